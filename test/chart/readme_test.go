package chart

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/bgpguard/bgpguard/test/golden"
)

// TestTheReadmeListsTheValues writes, with -update, the table of values in the README of the chart: the comments of
// values.yaml are the descriptions.
func TestTheReadmeListsTheValues(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(Folder, "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	rows := values(t, document.Content[0], "")
	file := filepath.Join(Folder, "README.md")
	readme, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const header = "| value | default | description |\n| --- | --- | --- |\n"
	before, _, found := strings.Cut(string(readme), header)
	if !found {
		t.Fatalf("%s has no table of values", file)
	}
	golden.Check(t, file, []byte(before+header+strings.Join(rows, "\n")+"\n"))
}

// values returns a row of the table for each mapping and each value. A value without a comment belongs to a mapping that
// has one.
func values(t *testing.T, mapping *yaml.Node, path string) []string {
	t.Helper()
	var rows []string
	for i := 0; i < len(mapping.Content); i += 2 {
		key, value := mapping.Content[i], mapping.Content[i+1]
		comment := strings.Join(strings.Fields(strings.ReplaceAll("\n"+key.HeadComment, "\n#", " ")), " ")
		name := path + key.Value
		nested := value.Kind == yaml.MappingNode && len(value.Content) > 0 && name != "resources"
		if comment == "" && (nested || path == "") {
			t.Errorf("values.yaml:%d: %s has no comment", key.Line, name)
		}
		if nested {
			rows = append(rows, fmt.Sprintf("| `%s` | | %s |", name, comment))
			rows = append(rows, values(t, value, name+".")...)
			continue
		}
		rows = append(rows, fmt.Sprintf("| `%s` | `%s` | %s |", name, flow(t, value), comment))
	}
	return rows
}

// flow returns a value on one line.
func flow(t *testing.T, node *yaml.Node) string {
	t.Helper()
	if node.Kind == yaml.ScalarNode && node.Style&yaml.DoubleQuotedStyle != 0 {
		return `"` + node.Value + `"`
	}
	copied := *node
	copied.HeadComment = ""
	var inline func(*yaml.Node)
	inline = func(n *yaml.Node) {
		n.Style |= yaml.FlowStyle
		for _, child := range n.Content {
			inline(child)
		}
	}
	inline(&copied)
	out, err := yaml.Marshal(&copied)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

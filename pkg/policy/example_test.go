package policy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
)

// The example message in the METADATA of a policy is a message that the tests of the policy
// expect.
func TestExampleMessagesAreReal(t *testing.T) {
	library, err := Embedded()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range library.Definitions() {
		t.Run(d.Name, func(t *testing.T) {
			file := filepath.Join("..", "..", "policies", strings.TrimSuffix(d.File, ".rego")+"_test.rego")
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if expected := texts(ast.MustParseModule(string(text))); !expected[d.ExampleMessage] {
				t.Errorf("%s expects no message %q", file, d.ExampleMessage)
			}
		})
	}
}

// texts returns the strings in a module, and those that concat joins from strings.
func texts(m *ast.Module) map[string]bool {
	out := map[string]bool{}
	ast.WalkTerms(m, func(t *ast.Term) bool {
		switch v := t.Value.(type) {
		case ast.String:
			out[string(v)] = true
		case ast.Call:
			if text, ok := joined(v); ok {
				out[text] = true
			}
		}
		return false
	})
	return out
}

// joined returns the result of concat("", [...]) of strings.
func joined(call ast.Call) (string, bool) {
	if len(call) != 3 || call[0].String() != "concat" {
		return "", false
	}
	parts, ok := call[2].Value.(*ast.Array)
	if !ok {
		return "", false
	}
	var b strings.Builder
	for i := range parts.Len() {
		part, ok := parts.Elem(i).Value.(ast.String)
		if !ok {
			return "", false
		}
		b.WriteString(string(part))
	}
	return b.String(), true
}

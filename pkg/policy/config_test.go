package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/bgpguard/bgpguard/test/golden"
)

// configured is the folder with a BGPPolicy for each policy of the library.
const configured = "../../config/policies"

// The default install has a BGPPolicy for every policy of the library, with the defaults of
// its METADATA.
func TestConfigHoldsTheLibrary(t *testing.T) {
	library, err := Embedded()
	if err != nil {
		t.Fatal(err)
	}
	const kustomization = "kustomization.yaml"
	want := map[string]string{kustomization: "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n"}
	for _, d := range library.Definitions() {
		file := d.Name + ".yaml"
		want[file] = configure(t, d)
		want[kustomization] += "- " + file + "\n"
	}
	golden.CheckDir(t, configured, "*.yaml", want)
}

// configure returns a BGPPolicy that sets and explains every default.
func configure(t *testing.T, d *Definition) string {
	t.Helper()
	var b strings.Builder
	b.WriteString(comment("", d.Title) + "#\n" + comment("", d.Description))
	fmt.Fprintf(&b, "apiVersion: policy.bgpguard.io/v1alpha1\nkind: BGPPolicy\nmetadata:\n  name: %[1]s\nspec:\n  policy: %[1]s\n", d.Name)
	schema, _ := d.Parameters().(map[string]any)
	properties, _ := schema["properties"].(map[string]any)
	defaults := d.Defaults()
	if len(defaults) > 0 {
		b.WriteString("  parameters:\n")
	}
	for _, name := range slices.Sorted(maps.Keys(defaults)) {
		property, _ := properties[name].(map[string]any)
		text, _ := property["description"].(string)
		b.WriteString(comment("    ", text))
		value, err := yaml.Marshal(map[string]any{name: defaults[name]})
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(value)) {
			b.WriteString("    " + line)
		}
	}
	var actions []string
	for _, a := range d.Actions {
		actions = append(actions, string(a))
	}
	fmt.Fprintf(&b, "  validationActions: [%s]\n", strings.Join(actions, ", "))
	return b.String()
}

// comment returns text as the lines of a comment.
func comment(indent, text string) string {
	const width = 100
	var b strings.Builder
	line := ""
	flush := func() {
		if line != "" {
			b.WriteString(indent + "#" + line + "\n")
		}
		line = ""
	}
	for word := range strings.FieldsSeq(text) {
		if len(indent)+len(line)+len(word) > width {
			flush()
		}
		line += " " + word
	}
	flush()
	return b.String()
}

func TestConfiguredPoliciesCanBeUsed(t *testing.T) {
	documents, err := Load([]string{configured})
	if err != nil {
		t.Fatal(err)
	}
	defaults, err := Defaults()
	if err != nil {
		t.Fatal(err)
	}
	installed, err := Compile(documents)
	if err != nil {
		t.Fatal(err)
	}
	builtIn, err := Compile(defaults)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range installed.Policies() {
		if d := builtIn.Policies()[i]; p.Name != d.Name || p.Action != d.Action || p.parameters.Value.Compare(d.parameters.Value) != 0 {
			t.Errorf("%s: config says %s with %v, the default of %s is %s with %v", p.Name, p.Action, p.parameters, d.Name, d.Action, d.parameters)
		}
	}
}

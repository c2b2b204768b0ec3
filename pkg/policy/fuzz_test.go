package policy

import (
	"strings"
	"testing"
)

// FuzzPrepare checks that custom Rego causes no panic, and that the error about an invalid
// policy names the BGPPolicy.
func FuzzPrepare(f *testing.F) {
	f.Add(a(always))
	f.Add(a(usesHelpers))
	f.Add("package policies.a\n\nviolation := {x | x := input.state.nodes}")
	f.Add("package policies.lib.text\n\nnumber(n) := n")
	f.Add("# METADATA\n# title: [\npackage policies.a\n")
	f.Add("import rego.v1")
	f.Fuzz(func(t *testing.T, text string) {
		l, err := Embedded()
		if err != nil {
			t.Fatal(err)
		}
		_, err = l.Prepare(inline("a.rego", text))
		if err != nil && (!strings.HasPrefix(err.Error(), "BGPPolicy own: ") || strings.Contains(err.Error(), "panicked")) {
			t.Errorf("%v", err)
		}
	})
}

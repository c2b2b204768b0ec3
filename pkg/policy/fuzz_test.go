package policy

import (
	"strings"
	"testing"
)

// FuzzPrepare holds that no Rego of anybody's own brings about a panic, and
// that what cannot be used says whose it is.
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

package validate

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// A part that is left out would make every rule that reads it undefined, which
// reads as "nothing wrong".
func TestTheInputHasEveryPartOfTheSummary(t *testing.T) {
	const whole = "# METADATA\n# title: x\n# custom:\n#   severity: low\n#   judges: state\n#   validationActions: [Deny]\npackage policies.whole\n\n" +
		"violation contains {\"id\": \"x\", \"size\": 1, \"msg\": \"m\"} if count(input.state) == 0\n"
	d := policy.Document{}
	d.Name, d.Spec.Policy = "whole", "whole"
	d.Spec.ValidationActions = []violation.Action{violation.Deny}
	lib, err := policy.NewLibrary(policy.Source{Name: "test", Modules: map[string]string{"whole.rego": whole}})
	if err != nil {
		t.Fatal(err)
	}
	set, err := lib.Compile([]policy.Document{d})
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, f := range reflect.VisibleFields(reflect.TypeFor[topology.Summary]()) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		want = append(want, name)
	}
	in := newStateInput(topology.Compute(state.New(), nil).Summary(), set.Reads, nil)
	in.value.Foreach(func(key, _ *ast.Term) { got = append(got, string(key.Value.(ast.String))) })
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("input.state has %q, the summary %q", got, want)
	}
}

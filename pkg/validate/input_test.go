package validate

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology"
)

// A part that is left out would make every rule that reads it undefined, which
// reads as "nothing wrong".
func TestTheInputHasEveryPartOfTheSummary(t *testing.T) {
	const whole = "# METADATA\n# title: x\n# custom:\n#   judges: state\npackage policies.whole\n\n" +
		"violation contains {\"id\": \"x\", \"size\": 1, \"msg\": \"m\"} if input.state == {}\n"
	d := policy.Document{}
	d.Name, d.Spec.Policy = "whole", "whole"
	set, err := policy.CompileFrom(fstest.MapFS{
		"schemas/input.json": {Data: []byte(`{"type": "object"}`)},
		"whole/whole.rego":   {Data: []byte(whole)},
	}, []policy.Document{d})
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, f := range reflect.VisibleFields(reflect.TypeFor[topology.Summary]()) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		want = append(want, name)
	}
	in := newStateInput(topology.Compute(state.New(), nil).Summary(), set, nil)
	in.value.Foreach(func(key, _ *ast.Term) { got = append(got, string(key.Value.(ast.String))) })
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("input.state has %q, the summary %q", got, want)
	}
}

package validate

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology"
	"github.com/bgpguard/bgpguard/pkg/topology/topologytest"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// A missing part would make every rule that reads it undefined, which looks like "no
// violation".
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
	in := newStateInput(topologytest.Compute(t, state.New(), nil), set.Reads, nil)
	in.value.Foreach(func(key, _ *ast.Term) { got = append(got, string(key.Value.(ast.String))) })
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("input.state has %q, the summary %q", got, want)
	}
}

// The input that is printed for authors of policies must be the input that policies get. The
// message of the policy in this test is its whole input.
func TestInputGivesWhatDecideEvaluates(t *testing.T) {
	now := func() time.Time { return time.Unix(1767225600, 0) }
	objects := append(nodes(t, 12, 3), calicotest.Mesh(t, false), peer(t, "workers", "!has(rr)", "has(rr)"), peer(t, "reflectors", "has(rr)", "has(rr)"))
	for name, c := range map[string]struct {
		judges string
		known  bool // the request and the snapshot hold the same object
	}{
		"a policy that judges changes":           {policy.JudgesChange, true},
		"a policy that judges states":            {policy.JudgesState, true},
		"a snapshot that lags behind the object": {policy.JudgesChange, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := state.New(objects...)
			r := Request{Change: state.Change{After: peer(t, "workers", "has(none)", "has(rr)")}, User: "alice", Groups: []string{"g"}}
			r.Before = s.Get(r.ID())
			if !c.known {
				r.Before = peer(t, "workers", "has(other)", "has(rr)")
			}
			// The change alters the id. Otherwise the violation would not be new.
			set := own(t, c.judges, `violation contains {"id": id, "size": 1, "msg": json.marshal(object.union(input, {"nodes": data.state.nodes}))} if
	id := input.state.bgpPeers.workers.spec.nodeSelector`, "")
			engine := NewEngine(set)
			engine.SetClock(now)
			evaluated := only(t, engine.Decide(t.Context(), s, r))
			input, data, err := engine.Input(t.Context(), s, r)
			if err != nil {
				t.Fatal(err)
			}
			printed := set.Policies()[0].Input(input)
			printed.Insert(ast.StringTerm("nodes"), data.(ast.Object).Get(ast.StringTerm("nodes")))
			want, err := ast.JSON(printed)
			if err != nil {
				t.Fatal(err)
			}
			if c.judges == policy.JudgesState { // Input contains the change, which these policies do not read.
				delete(want.(map[string]any), "change")
				delete(want.(map[string]any), "before")
			}
			text, err := json.Marshal(want)
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.Marshal(evaluated)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, reencode(t, text)) {
				t.Errorf("evaluated\n%s\nprinted\n%s", got, text)
			}
		})
	}
}

// reencode decodes JSON and encodes it again with encoding/json.
func reencode(t *testing.T, text []byte) []byte {
	t.Helper()
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestInputWithoutAChangeIsThatOfTheState(t *testing.T) {
	engine := NewEngine(policy.NewSet(nil))
	input, data, err := engine.Input(t.Context(), state.New(nodes(t, 3, 1)...), Request{})
	if err != nil {
		t.Fatal(err)
	}
	if got := input.Len(); got != 2 || input.Get(ast.StringTerm("state")) == nil || input.Get(ast.StringTerm("now")) == nil {
		t.Errorf("input has %d parts: %v", got, input)
	}
	if known, ok := data.(ast.Object).Get(ast.StringTerm("nodes")).Value.(ast.Object); !ok || known.Len() != 3 {
		t.Errorf("data %v", data)
	}
}

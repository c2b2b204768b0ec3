package validate

import (
	"slices"
	"strings"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

func TestDecideSet(t *testing.T) {
	e := NewEngine(compiled(t, document("reach", "reachability-preserved", "Deny", "")))
	healthy := state.New(redundant(t)...)
	remove := func(name string) state.Change { return deleteOf(healthy, calico.KindBGPPeer, "peer-"+name) }
	removeNode := func(s *state.Snapshot, name string) state.Change { return deleteOf(s, calico.KindNode, name) }
	oneDown := state.New(redundant(t, "rr-a")...)
	extra := state.Change{After: peer(t, "peer-c", "all()", "has(rr)")}
	for name, c := range map[string]struct {
		state   *state.Snapshot
		changes []state.Change
		pending []Pending
		denied  string // a part of the message, "" if the changes are allowed
	}{
		"no change":                        {healthy, nil, nil, ""},
		"each is allowed alone":            {healthy, []state.Change{remove("a"), remove("b")}, nil, "isolated nodes"},
		"a replacement is part of the set": {healthy, []state.Change{remove("a"), remove("b"), extra}, nil, ""},
		"the end state counts":             {healthy, []state.Change{remove("a"), remove("b"), {After: remove("b").Before}}, nil, ""},
		"created and deleted again":        {healthy, []state.Change{extra, {Before: extra.After}}, nil, ""},
		"with a pending change": {healthy, []state.Change{remove("a"), extra, {Before: extra.After}}, []Pending{{Change: remove("b"), User: "alice"}},
			"this assumes that the delete of BGPPeer peer-b by alice, which was just allowed, takes effect"},
		"a pending change of an object of the set":       {healthy, []state.Change{remove("a")}, []Pending{{Change: remove("a")}}, ""},
		"a reflector that is down beside another change": {oneDown, []state.Change{removeNode(oneDown, "rr-a"), extra}, nil, ""},
		"the last reflector beside one that is down":     {oneDown, []state.Change{removeNode(oneDown, "rr-a"), remove("b")}, nil, "isolated nodes"},
		"only in the live states":                        {oneDown, []state.Change{remove("b"), {After: member(t, 9, "w-9", false)}}, nil, "Node rr-a"},
	} {
		t.Run(name, func(t *testing.T) {
			requests := make([]Request, len(c.changes))
			for i := range c.changes {
				requests[i] = Request{Change: c.changes[i], Pending: c.pending}
			}
			d := e.DecideSet(t.Context(), c.state, requests)
			if d.Allowed != (c.denied == "") || !strings.Contains(d.Message(), c.denied) || len(d.Failures) > 0 {
				t.Errorf("allowed %t: %q, want %q; failures %v", d.Allowed, d.Message(), c.denied, d.Failures)
			}
		})
	}
}

// The last reflector is down and its Node is deleted, which changes nothing that is left. The
// verdict on the states as configured is a warning, also when another change is made with it.
func TestDecideSetWaivesOnlyWhatIsDown(t *testing.T) {
	e := NewEngine(compiled(t, document("reach", "reachability-preserved", "Deny", "")))
	s := state.New(redundant(t, "rr-a", "rr-b")...)
	removes := []Request{{Change: deleteOf(s, calico.KindNode, "rr-a")}, {Change: deleteOf(s, calico.KindNode, "rr-b")}}
	harmless := Request{Change: state.Change{After: peer(t, "peer-c", "all()", "has(none)")}}
	for _, requests := range [][]Request{removes, append(slices.Clone(removes), harmless)} {
		d := e.DecideSet(t.Context(), s, requests)
		if warnings := strings.Join(d.Warnings(), "\n"); !d.Allowed || !strings.Contains(warnings, isDown) {
			t.Errorf("%d changes: allowed %t: %s; warnings %s", len(requests), d.Allowed, d.Message(), warnings)
		}
	}
}

func TestDecideSetEvaluatesChangePolicies(t *testing.T) {
	rule := `violation contains {"id": input.change.name, "size": 1, "msg": sprintf("%s of %s", [input.change.operation, input.change.name])} if {
	input.change.name != "fine"
	input.state.nodes.total > input.before.nodes.total
}`
	set := own(t, "change", rule, `, "exempt": {"users": ["u"]}`)
	s := state.New(nodes(t, 3, 0)...)
	changes := []state.Change{{After: peer(t, "fine", "all()", "all()")}, {After: peer(t, "other", "all()", "all()")}, {After: node(t, 9, false)}}
	decide := func(users ...string) *Decision {
		requests := make([]Request, len(changes))
		for i, c := range changes {
			requests[i] = Request{Change: c, User: users[i]}
		}
		return NewEngine(set).DecideSet(t.Context(), s, requests)
	}
	d := decide("a", "a", "a")
	if want := "[own] CREATE of node-00009\n[own] CREATE of other"; d.Allowed || !strings.HasPrefix(d.Message(), want) {
		t.Errorf("got %q, want %q", d.Message(), want)
	}
	if len(d.Objects) != 3 || d.Objects[0] != (violation.Object{Kind: "BGPPeer", Name: "fine"}) {
		t.Errorf("objects %v", d.Objects)
	}
	if d = decide("a", "u", "a"); strings.Contains(d.Message(), "of other") || !strings.Contains(d.Message(), "node-00009") {
		t.Errorf("one user is exempt: %q", d.Message())
	}
	if d = decide("a", "u", "u"); !d.Allowed || !slices.Equal(d.Exempted(), []string{"own"}) {
		t.Errorf("the users are exempt: allowed %t, %v", d.Allowed, d.Exempted())
	}
}

func TestDecideSetExemptsIfAllUsersAre(t *testing.T) {
	set := own(t, "state", `violation contains {"id": "x", "size": input.state.nodes.total, "msg": "m"}`, `, "exempt": {"users": ["u"]}`)
	s := state.New(nodes(t, 3, 0)...)
	requests := []Request{{Change: state.Change{After: node(t, 8, false)}, User: "u"}, {Change: state.Change{After: node(t, 9, false)}, User: "u"}}
	if d := NewEngine(set).DecideSet(t.Context(), s, requests); !d.Allowed || len(d.Exempted()) != 1 {
		t.Errorf("all users are exempt: allowed %t", d.Allowed)
	}
	requests[1].User = "a"
	if d := NewEngine(set).DecideSet(t.Context(), s, requests); d.Allowed {
		t.Error("one user is not exempt, and the changes are allowed")
	}
}

// A kubelet's own Node is never denied, but a set with another change is.
func TestDecideSetIsEnforcedForOneOfItsChanges(t *testing.T) {
	set := own(t, "state", `violation contains {"id": "x", "size": input.state.nodes.total, "msg": "m"}`, "")
	s := state.New(nodes(t, 3, 0)...)
	kubelet := Request{Change: state.Change{After: node(t, 9, false)}, User: "system:node:node-00009", Groups: []string{"system:nodes"}}
	if d := NewEngine(set).DecideSet(t.Context(), s, []Request{kubelet}); d.NotEnforced == "" {
		t.Errorf("a kubelet: %s", d.Message())
	}
	mesh := Request{Change: known(s, state.Change{After: calicotest.Mesh(t, true)})}
	if d := NewEngine(set).DecideSet(t.Context(), s, []Request{kubelet, mesh}); d.Allowed {
		t.Error("a kubelet and a user: the changes are allowed")
	}
}

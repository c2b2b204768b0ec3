package validate

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// redundant is a cluster of two route reflectors, each selected by a BGPPeer of its own:
// it can lose one of them. down names the nodes that are not ready.
func redundant(t testing.TB, down ...string) []calico.Object {
	t.Helper()
	objects := []calico.Object{calicotest.Mesh(t, false)}
	for i, name := range []string{"rr-a", "rr-b", "w-0", "w-1", "w-2"} {
		objects = append(objects, member(t, i, name, slices.Contains(down, name)))
	}
	for _, name := range []string{"a", "b"} {
		objects = append(objects, peer(t, "peer-"+name, "all()", "rr == '"+name+"'"))
	}
	return objects
}

// member is a core/v1 Node; those whose name starts with "rr-" are route reflectors.
func member(t testing.TB, number int, name string, notReady bool) calico.Object {
	t.Helper()
	labels, annotations := map[string]any{}, map[string]any{calico.AnnotationIPv4Address: fmt.Sprintf("10.0.0.%d/24", number+1)}
	if letter, ok := strings.CutPrefix(name, "rr-"); ok {
		labels["rr"], annotations[calico.AnnotationClusterID] = letter, "244.0.0.1"
	}
	status := "True"
	if notReady {
		status = "False"
	}
	o, err := calico.Decode(map[string]any{
		"apiVersion": "v1", "kind": "Node", "metadata": map[string]any{"name": name, "labels": labels, "annotations": annotations},
		"status": map[string]any{"conditions": []any{map[string]any{"type": "Ready", "status": status}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func deleteOf(s *state.Snapshot, kind calico.Kind, name string) state.Change {
	return state.Change{Before: s.Get(calico.ID{Kind: kind, Name: name})}
}

func TestDecideUnderAssumptions(t *testing.T) {
	set := compiled(t, document("reach", "reachability-preserved", "Deny", ""))
	healthy := state.New(redundant(t)...)
	for name, c := range map[string]struct {
		state   []calico.Object
		change  func(*state.Snapshot) state.Change
		pending []string // BGPPeers that are being deleted by alice
		deny    string   // a part of the message, "" if the change is allowed
		warn    string
	}{
		"one of two reflectors can be lost": {redundant(t), func(s *state.Snapshot) state.Change { return deleteOf(s, calico.KindBGPPeer, "peer-a") }, nil, "", ""},
		"not while the other delete is pending": {redundant(t), func(s *state.Snapshot) state.Change { return deleteOf(s, calico.KindBGPPeer, "peer-a") },
			[]string{"peer-b"}, "this assumes that the delete of BGPPeer peer-b by alice, which was just allowed, takes effect", ""},
		"the same delete again is not pending": {redundant(t), func(s *state.Snapshot) state.Change { return deleteOf(s, calico.KindBGPPeer, "peer-a") }, []string{"peer-a"}, "", ""},
		"a fix does not depend on a pending delete": {redundant(t), func(*state.Snapshot) state.Change { return state.Change{After: peer(t, "peer-c", "all()", "has(rr)")} },
			[]string{"peer-b"}, "", ""},
		"not while the other reflector is down": {redundant(t, "rr-b"), func(s *state.Snapshot) state.Change { return deleteOf(s, calico.KindBGPPeer, "peer-a") },
			nil, "this assumes that 1 object that is not ready or being deleted stay down: Node rr-b", ""},
		"the Node of a reflector that is down can be deleted": {redundant(t, "rr-a"), func(s *state.Snapshot) state.Change { return deleteOf(s, calico.KindNode, "rr-a") }, nil, "", ""},
		"the last Node of a reflector, too, with a warning":   {redundant(t, "rr-a", "rr-b")[1:], func(s *state.Snapshot) state.Change { return deleteOf(s, calico.KindNode, "rr-a") }, nil, "", ""},
		"the mesh cannot be turned off while both reflectors are down": {
			append([]calico.Object{calicotest.Mesh(t, true)}, redundant(t, "rr-a", "rr-b")[1:]...),
			func(s *state.Snapshot) state.Change {
				return known(s, state.Change{After: calicotest.Mesh(t, false)})
			}, nil, "Node rr-a", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := state.New(c.state...)
			r := Request{Change: c.change(s)}
			for _, p := range c.pending {
				r.Pending = append(r.Pending, Pending{Change: deleteOf(healthy, calico.KindBGPPeer, p), User: "alice"})
			}
			d := NewEngine(set).Decide(t.Context(), s, r)
			if d.Allowed != (c.deny == "") || !strings.Contains(d.Message(), c.deny) || len(d.Failures) > 0 {
				t.Errorf("allowed %t: %q, want %q; failures %v", d.Allowed, d.Message(), c.deny, d.Failures)
			}
			if warnings := strings.Join(d.Warnings(), "\n"); !strings.Contains(warnings, c.warn) {
				t.Errorf("warnings %q, want %q", warnings, c.warn)
			}
		})
	}
}

func TestCombinations(t *testing.T) {
	pending := make([]Pending, MaxPending+1)
	for n, want := range []int{1, 2, 4, 8, 2} {
		if got := combinations(pending[:n]); len(got) != want || len(got[len(got)-1]) != n {
			t.Errorf("%d pending changes: %d combinations, the last of %d, want %d of %d", n, len(got), len(got[len(got)-1]), want, n)
		}
	}
}

// Nodes that join are one group: all of them are persisted, or none.
func TestCombinationsOfNodesThatJoin(t *testing.T) {
	joins := make([]Pending, 40)
	for i := range joins {
		joins[i].Joins = true
	}
	for n, want := range [][]int{{0, 40}, {0, 1, 40, 41}, {0, 1, 1, 2, 40, 41, 41, 42}, {0, 43}} {
		var sizes []int
		for _, set := range combinations(slices.Concat(joins[:20], make([]Pending, n), joins[20:])) {
			sizes = append(sizes, len(set))
		}
		slices.Sort(sizes)
		if !slices.Equal(sizes, want) {
			t.Errorf("%d other changes: sets of %v, want %v", n, sizes, want)
		}
	}
}

func TestWaive(t *testing.T) {
	verdict := func(severity string, r Relation, action violation.Action) Verdict {
		return Verdict{Violation: violation.Violation{ID: severity, Severity: severity, Action: action}, Relation: r}
	}
	advisory, assumed := verdict("critical", Gone, violation.Deny), verdict("critical", Gone, violation.Deny)
	advisory.Violation.Advisory, assumed.Violation.Assumption = true, "x"
	high := verdict("high", New, violation.Deny)
	for name, c := range map[string]struct {
		groups [][]Verdict
		denied int
	}{
		"nothing is fixed":                        {[][]Verdict{{high}}, 1},
		"something more severe is resolved":       {[][]Verdict{{high, verdict("critical", Gone, violation.Deny)}}, 0},
		"something more severe is smaller":        {[][]Verdict{{high, verdict("critical", Smaller, violation.Audit)}}, 0},
		"in the live state":                       {[][]Verdict{{high}, {high, verdict("critical", Gone, violation.Deny)}}, 0},
		"something as severe is resolved":         {[][]Verdict{{high, verdict("high", Gone, violation.Deny)}}, 1},
		"something as severe gets worse":          {[][]Verdict{{high, verdict("critical", Gone, violation.Deny), verdict("critical", Spread, violation.Deny)}}, 2},
		"something as severe warns":               {[][]Verdict{{high, verdict("critical", Gone, violation.Deny), verdict("critical", New, violation.Warn)}}, 0},
		"only an advisory violation is resolved":  {[][]Verdict{{high, advisory}}, 1},
		"only an assumed violation is resolved":   {[][]Verdict{{high, assumed}}, 1},
		"something more severe stays as it was":   {[][]Verdict{{high, verdict("critical", Standing, violation.Deny)}}, 1},
		"something more severe reaches new nodes": {[][]Verdict{{high, verdict("critical", Spread, violation.Warn)}}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			groups := make([][]Verdict, len(c.groups))
			for i := range groups {
				groups[i] = slices.Clone(c.groups[i])
			}
			waive(groups)
			denied := 0
			for _, verdicts := range groups {
				for i := range verdicts {
					if verdicts[i].denies() {
						denied++
					}
				}
			}
			if denied != c.denied {
				t.Errorf("%d verdicts deny, want %d", denied, c.denied)
			}
		})
	}
}

func TestAViolationWithAnAssumptionIsNotListedAndIsCompared(t *testing.T) {
	set := own(t, "state", `violation contains {"id": "x", "size": input.state.nodes.total, "msg": "m", "assumption": "it rains"}`, "")
	s := state.New(nodes(t, 3, 0)...)
	e := NewEngine(set)
	if found := e.Evaluate(t.Context(), s).Violations(); len(found) > 0 {
		t.Errorf("listed: %+v", found)
	}
	d := e.Decide(t.Context(), s, Request{Change: state.Change{After: node(t, 9, false)}})
	if d.Allowed || !strings.Contains(d.Message(), "this assumes that it rains") {
		t.Errorf("allowed %t: %s", d.Allowed, d.Message())
	}
	d = e.Decide(t.Context(), s, Request{Change: deleteOf(s, calico.KindNode, "node-00001")})
	if !d.Allowed || len(d.Verdicts) > 0 {
		t.Errorf("allowed %t: %+v", d.Allowed, d.Verdicts)
	}
}

func TestAnAdvisoryViolationWarns(t *testing.T) {
	set := own(t, "state", `violation contains {"id": "x", "size": input.state.nodes.total, "msg": "m", "advisory": true}`, "")
	d := decide(t, set, nodes(t, 3, 0), state.Change{After: node(t, 9, false)})
	if !d.Allowed || !slices.Equal(d.Warnings(), []string{"[own] m"}) {
		t.Errorf("allowed %t: %q", d.Allowed, d.Warnings())
	}
}

func TestFailuresOfOneCauseAreOneLine(t *testing.T) {
	same, other := errors.New("BGPConfiguration default does not parse"), errors.New("division by zero")
	d := &Decision{Failures: []Failure{
		{Policy: "a", Action: violation.Deny, Err: same}, {Policy: "b", Action: violation.Deny, Err: other}, {Policy: "c", Action: violation.Warn, Err: same},
		{Policy: "d", Action: violation.Deny, Err: same}, {Policy: "e", Action: violation.Deny, Err: same}, {Policy: "f", Action: violation.Deny, Err: same},
	}}
	want := "[a, d, e and 1 more] evaluation error: BGPConfiguration default does not parse\n[b] evaluation error: division by zero"
	if got := d.Message(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := d.Warnings(); !slices.Equal(got, []string{"[c] evaluation error: BGPConfiguration default does not parse"}) {
		t.Errorf("got %q", got)
	}
}

// Neither change alters anything alone: the BGPPeer selects the same nodes by another label,
// and no selector reads the label that the Node loses.
func TestTwoChangesThatAlterNothingAlone(t *testing.T) {
	set := compiled(t, document("reach", "reachability-preserved", "Deny", ""))
	worker := func(i int, labels map[string]any) calico.Object {
		o, err := calico.Decode(map[string]any{"apiVersion": "v1", "kind": "Node", "metadata": map[string]any{
			"name": fmt.Sprintf("w-%d", i), "labels": labels, "annotations": map[string]any{calico.AnnotationIPv4Address: fmt.Sprintf("10.0.1.%d/24", i+1)},
		}})
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	both := map[string]any{"old": "", "new": ""}
	s := state.New(calicotest.Mesh(t, false), member(t, 0, "rr-a", false), worker(0, both), worker(1, both), peer(t, "workers", "has(old)", "rr == 'a'"))
	selector := known(s, state.Change{After: peer(t, "workers", "has(new)", "rr == 'a'")})
	label := known(s, state.Change{After: worker(0, map[string]any{"old": ""})})
	e := NewEngine(set)
	for _, c := range []state.Change{selector, label} {
		if d := e.Decide(t.Context(), s, Request{Change: c}); !d.Allowed || d.Alters {
			t.Errorf("%s alone: allowed %t, alters %t", c.ID(), d.Allowed, d.Alters)
		}
	}
	if d := e.Decide(t.Context(), s, Request{Change: label, Pending: []Pending{{Change: selector}}}); d.Allowed || !strings.Contains(d.Message(), "w-0") {
		t.Errorf("the label is removed while the BGPPeer is in flight: %s", d.Message())
	}
}

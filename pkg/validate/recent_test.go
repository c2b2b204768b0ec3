package validate

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// reflectedCluster returns a cluster with route reflectors, and the change that deletes the BGPPeer of its workers.
func reflectedCluster(t *testing.T) (*state.Snapshot, state.Change) {
	workers := peer(t, "workers", "!has(rr)", "has(rr)")
	s := state.New(append(nodes(t, 12, 3), calicotest.Mesh(t, false), workers, peer(t, "reflectors", "has(rr)", "has(rr)"))...)
	return s, state.Change{Before: workers}
}

// shared reports whether two evaluations have the violations of one evaluation of a policy, and whether there are any.
func shared(a, b *Evaluation) (same, some bool) {
	same = true
	for i := range a.results {
		if v, w := a.results[i].violations, b.results[i].violations; len(v) > 0 && len(w) > 0 {
			same, some = same && &v[0] == &w[0], true
		}
	}
	return same, some
}

func TestAChangeThatIsDecidedAgainIsNotEvaluatedAgain(t *testing.T) {
	s, change := reflectedCluster(t)
	e := NewEngine(defaults(t))
	first := e.Decide(t.Context(), s, Request{Change: change, User: "alice", DryRun: true})
	known := e.proposed.all()
	again := e.Decide(t.Context(), s, Request{Change: change, User: "alice"})
	if now := e.proposed.all(); len(now) == 0 || now[0] != known[0] {
		t.Errorf("evaluated again: %d proposals, then %d", len(known), len(now))
	}
	if first.Allowed || !reflect.DeepEqual(first.Verdicts, again.Verdicts) || first.Message() != again.Message() {
		t.Errorf("first\n%s\nagain\n%s", first.Message(), again.Message())
	}
	e.SetPolicies(defaults(t))
	e.Decide(t.Context(), s, Request{Change: change})
	if e.proposed.all()[0] == known[0] {
		t.Error("reused with other policies")
	}
}

// After a change is made, the state that it leads to is the state of the cluster.
func TestTheStateAfterADecidedChangeIsNotEvaluatedAgain(t *testing.T) {
	s, change := reflectedCluster(t)
	e := NewEngine(defaults(t))
	e.Decide(t.Context(), s, Request{Change: change})
	landed := e.Evaluate(t.Context(), s.Apply(change))
	if same, some := shared(e.proposed.all()[0].after, landed); !same || !some {
		t.Errorf("evaluated again: same %v, some %v", same, some)
	}
	// Another cluster in the same form has equal values, too.
	equal, _ := reflectedCluster(t)
	if same, some := shared(landed, e.Evaluate(t.Context(), equal.Apply(change))); !same || !some {
		t.Errorf("evaluated equal values again: same %v, some %v", same, some)
	}
}

func TestOnlyTheLastProposalsAreKept(t *testing.T) {
	s, change := reflectedCluster(t)
	e := NewEngine(defaults(t))
	decide := func(c state.Change) *proposal {
		e.Decide(t.Context(), s, Request{Change: c})
		return e.proposed.all()[0]
	}
	first := decide(change)
	for i := range maxRecent - 1 {
		decide(state.Change{Before: s.Get(calico.ID{Kind: calico.KindBGPPeer, Name: "workers"}), After: peer(t, "workers", "!has(rr)", "has(rr)", "maxRestartTime", fmt.Sprintf("%ds", 130+i))})
	}
	if got := e.proposed.all(); len(got) != maxRecent || got[maxRecent-1] != first {
		t.Fatalf("%d proposals, want %d with the first one last", len(got), maxRecent)
	}
	e.Decide(t.Context(), s, Request{Change: state.Change{Before: calicotest.Mesh(t, false), After: calicotest.Mesh(t, true)}})
	got := e.proposed.all()
	if len(got) != maxRecent || got[maxRecent-1] == first {
		t.Fatalf("%d proposals, want %d without the first one", len(got), maxRecent)
	}
	if decide(change) == first {
		t.Error("a dropped proposal came back")
	}
}

// Kubelets and operators update Nodes all the time.
func TestALabelThatNobodyReadsCostsNoEvaluation(t *testing.T) {
	s, _ := reflectedCluster(t)
	e := NewEngine(defaults(t))
	if err := e.Warm(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	evaluations := func() (n int64) {
		for _, p := range e.Policies().Policies() {
			n += p.Evaluations()
		}
		return n
	}
	relabelled := func(i int, key string) state.Change {
		before := s.Get(calico.ID{Kind: calico.KindNode, Name: calicotest.NodeName(i)})
		document := calico.Manifest(before)
		calicotest.Label(key, "b")(document)
		return state.Change{Before: before, After: calicotest.Decode(t, document)}
	}
	e.Decide(t.Context(), s, Request{Change: relabelled(5, "team")}) // What is the same for all such changes is cached.
	before := evaluations()
	for i := range 5 {
		if d := e.Decide(t.Context(), s, Request{Change: relabelled(i+5, "team"), User: "alice"}); !d.Allowed || d.Alters || len(d.Verdicts) > 0 {
			t.Errorf("node %d: %+v", i, d)
		}
	}
	if n := evaluations() - before; n != 0 {
		t.Errorf("%d evaluations, want none", n)
	}
	e.Decide(t.Context(), s, Request{Change: relabelled(5, "rr"), User: "alice"})
	if evaluations() == before {
		t.Error("a label that a selector reads costs no evaluation either: the test counts nothing")
	}
}

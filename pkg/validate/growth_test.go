package validate

import (
	"fmt"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// work counts the steps of OPA in an evaluation: the expressions that it evaluates, and the rules and iterations that it
// enters again.
type work struct{ steps int }

func (w *work) Enabled() bool               { return true }
func (w *work) TraceEvent(topdown.Event)    { w.steps++ }
func (w *work) Config() topdown.TraceConfig { return topdown.TraceConfig{} }

// faulty returns n BGPPeers with a fault each, in turn of several kinds; no two have the same values.
func faulty(t *testing.T, n int) []calico.Object {
	t.Helper()
	address := func(i int) string { return fmt.Sprintf("172.16.%d.%d", i>>8, i&255) }
	faults := []func(i int) map[string]any{
		func(i int) map[string]any { // An external peer.
			return map[string]any{"node": calicotest.NodeName(i % growthNodes), "peerIP": address(i), "asNumber": int64(64600 + i)}
		},
		func(i int) map[string]any { // The same one in another AS.
			return map[string]any{"node": calicotest.NodeName((i - 1) % growthNodes), "peerIP": address(i - 1), "asNumber": int64(64600 + i)}
		},
		func(i int) map[string]any { // It selects no node.
			return map[string]any{"nodeSelector": fmt.Sprintf("rack == 'none-%d'", i), "peerSelector": "all()"}
		},
		func(i int) map[string]any { // Objects that do not exist.
			return map[string]any{
				"node": calicotest.NodeName(i % growthNodes), "peerIP": address(i), "asNumber": int64(64600), "filters": []any{fmt.Sprint("missing-", i)},
				"password": map[string]any{"secretKeyRef": map[string]any{"name": fmt.Sprint("missing-", i), "key": "password"}},
			}
		},
		func(i int) map[string]any { // Timers that differ from those of others.
			return map[string]any{
				"node": calicotest.NodeName(i % growthNodes), "peerIP": address(i), "asNumber": int64(64600),
				"maxRestartTime": fmt.Sprintf("%ds", 100+i), "keepaliveTime": fmt.Sprintf("%ds", 10+i),
			}
		},
		func(i int) map[string]any { // Another node in the AS of no node.
			return map[string]any{"node": calicotest.NodeName(i % growthNodes), "peerIP": calicotest.NodeAddress((i + 1) % growthNodes), "asNumber": int64(64600 + i)}
		},
		func(i int) map[string]any { // One end of sessions only.
			return map[string]any{"node": calicotest.NodeName(i % growthNodes), "peerSelector": fmt.Sprintf("rack == 'r%d' || has(l%d)", i%16, i)}
		},
		func(int) map[string]any { return map[string]any{"peerIP": "172.16.0.300"} },
	}
	out := make([]calico.Object, n)
	for i := range out {
		out[i] = calicotest.BGPPeer(t, fmt.Sprintf("peer-%05d", i), faults[i%len(faults)](i))
	}
	return out
}

const growthNodes = 40

// stepsAt returns the steps of each policy of a set on growthNodes nodes and n BGPPeers, by the name of the policy and of what changes.
func stepsAt(t *testing.T, set *policy.Set, n int, mesh bool) map[string]int {
	t.Helper()
	e := NewEngine(set)
	objects := append(nodes(t, growthNodes, 3), calicotest.Mesh(t, mesh))
	s := state.New(append(objects, faulty(t, n)...)...)
	out := map[string]int{}
	for _, c := range []state.Change{
		{Before: s.Get(calico.ID{Kind: calico.KindBGPPeer, Name: "peer-00000"})},
		{Before: s.BGPConfiguration(calico.Default), After: calicotest.Mesh(t, !mesh)},
	} {
		input, data, err := e.Input(t.Context(), s, Request{Change: c})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range set.Policies() {
			var w work
			if _, err := p.Trace(t.Context(), input, func() ast.Value { return data }, &w); err != nil {
				t.Fatalf("%s: %v", p.Name, err)
			}
			out[fmt.Sprintf("%s, mesh %t, change of %s", p.Name, mesh, c.ID())] = w.steps
		}
	}
	return out
}

// grows reports whether the steps at n, 2n and 4n BGPPeers grow with the square of n: then 2n more BGPPeers need four
// times as many steps more as n more, and otherwise twice as many.
func grows(steps [3]int) bool {
	first, second := steps[1]-steps[0], steps[2]-steps[1]
	return first > 0 && second > 3*first
}

// No policy of the library does work that grows with the square of the BGPPeers. OPA evaluates the body of a partial
// rule again for each key that is asked for: where the body iterates over all BGPPeers, and another rule asks for each
// key, the work is such a square.
func TestNoPolicyGrowsWithTheSquareOfTheBGPPeers(t *testing.T) {
	const n = 96
	square := own(t, "state", `of[number] contains name if {
	some name, peer in input.state.bgpPeers
	number := peer.asNumber
}

violation contains {"id": name, "size": 1, "msg": "m"} if {
	some name, peer in input.state.bgpPeers
	count(of[peer.asNumber]) > 10
}`, "")
	for _, test := range []struct {
		set  *policy.Set
		want bool
	}{{defaults(t), false}, {square, true}} {
		for _, mesh := range []bool{false, true} {
			few, more, most := stepsAt(t, test.set, n, mesh), stepsAt(t, test.set, 2*n, mesh), stepsAt(t, test.set, 4*n, mesh)
			for name := range few {
				if of := [3]int{few[name], more[name], most[name]}; grows(of) != test.want {
					t.Errorf("%s: %d steps at %d, %d and %d BGPPeers", name, of, n, 2*n, 4*n)
				}
			}
		}
	}
}

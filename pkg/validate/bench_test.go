package validate

import (
	"fmt"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology/topologytest"
)

var sizes = []int{100, 1000, 5000, 10000}

// benchState returns a cluster of n nodes with 3 route reflectors and 20 BGPPeers: one for
// each of 16 racks, one among the route reflectors and 3 external ones.
func benchState(b *testing.B, n int) *state.Snapshot {
	objects := append(nodes(b, n, 3), calicotest.Mesh(b, false), peer(b, "reflectors", "has(rr)", "has(rr)"))
	for i := range 16 {
		objects = append(objects, peer(b, fmt.Sprintf("rack-%02d", i), fmt.Sprintf("rack == 'r%d'", i), "has(rr)"))
	}
	for i := range 3 {
		objects = append(objects, calicotest.Object(b, "BGPPeer", fmt.Sprintf("tor-%d", i),
			map[string]any{"nodeSelector": fmt.Sprintf("rack == 'r%d'", i), "peerIP": fmt.Sprintf("172.16.0.%d", i+1), "asNumber": int64(64600 + i)}))
	}
	return state.New(objects...)
}

func forSizes(b *testing.B, run func(b *testing.B, s *state.Snapshot)) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("nodes=%d", n), func(b *testing.B) {
			s := benchState(b, n)
			b.ReportAllocs()
			b.ResetTimer()
			run(b, s)
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	raw := []byte(`{"apiVersion":"crd.projectcalico.org/v1","kind":"BGPPeer","metadata":{"name":"rack-00","uid":"7c2f7d3e-5f0e-4a55-9d5e-000000000001","managedFields":[{"manager":"calicoctl"}]},
		"spec":{"nodeSelector":"rack == 'r0'","peerSelector":"has(rr)","keepOriginalNextHop":true}}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := calico.DecodeJSON(raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkApply(b *testing.B) {
	forSizes(b, func(b *testing.B, s *state.Snapshot) {
		c := state.Change{After: peer(b, "rack-00", "rack == 'r0'", "has(rr)", "keepOriginalNextHop", true)}
		for b.Loop() {
			if s.Apply(c) == s {
				b.Fatal("nothing changed")
			}
		}
	})
}

func BenchmarkSummarizeFirst(b *testing.B) {
	forSizes(b, func(b *testing.B, s *state.Snapshot) {
		for b.Loop() {
			if topologytest.Compute(b, s, nil).Summary().Nodes.Reflectors != 3 {
				b.Fatal("wrong summary")
			}
		}
	})
}

func BenchmarkSummarizeChange(b *testing.B) {
	forSizes(b, func(b *testing.B, s *state.Snapshot) {
		before := topologytest.Compute(b, s, nil)
		next := s.Apply(state.Change{After: peer(b, "rack-00", "rack == 'r1'", "has(rr)")})
		for b.Loop() {
			if topologytest.Compute(b, next, before).Summary().Reflectors == before.Summary().Reflectors {
				b.Fatal("nothing changed")
			}
		}
	})
}

// BenchmarkDecide measures one admission request without HTTP and JSON: a change that was not decided before, and one that was
// just decided, as in a second review.
func BenchmarkDecide(b *testing.B) {
	for name, c := range map[string]struct {
		change  func(b *testing.B) state.Change
		allowed bool
	}{
		"change=nothing-read": {func(b *testing.B) state.Change {
			return state.Change{After: peer(b, "rack-00", "rack == 'r0'", "has(rr)", "keepOriginalNextHop", true)}
		}, true},
		"change=timer": {func(b *testing.B) state.Change {
			return state.Change{After: peer(b, "rack-00", "rack == 'r0'", "has(rr)", "maxRestartTime", "300s")}
		}, true},
		"change=delete": {func(b *testing.B) state.Change {
			return state.Change{Before: peer(b, "rack-00", "rack == 'r0'", "has(rr)")}
		}, false},
		"change=mesh-on": {func(b *testing.B) state.Change { return state.Change{After: calicotest.Mesh(b, true)} }, true},
	} {
		for _, again := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/again=%v", name, again), func(b *testing.B) {
				forSizes(b, func(b *testing.B, s *state.Snapshot) {
					e := NewEngine(defaults(b))
					if err := e.Warm(b.Context(), s); err != nil {
						b.Fatal(err)
					}
					change := known(s, c.change(b))
					allowed := c.allowed && !(name == "change=mesh-on" && len(s.Nodes()) > 103)
					e.Decide(b.Context(), s, Request{Change: change}) // Caches what holds for each such change.
					for b.Loop() {
						if !again {
							e.forget()
						}
						if d := e.Decide(b.Context(), s, Request{Change: change}); d.Allowed != allowed {
							b.Fatalf("allowed %v: %s", d.Allowed, d.Message())
						}
					}
				})
			})
		}
	}
}

// BenchmarkEvaluate measures one evaluation of all policies that evaluate states, on a state
// with few violations.
func BenchmarkEvaluate(b *testing.B) {
	forSizes(b, func(b *testing.B, s *state.Snapshot) {
		e := NewEngine(defaults(b))
		j := e.Evaluate(b.Context(), s)
		for b.Loop() {
			for _, p := range j.Policies.Policies() {
				if p.Definition.Judges == policy.JudgesChange {
					continue
				}
				if _, err := p.Evaluate(b.Context(), j.document, nil); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}

// forget makes an engine forget its last decisions.
func (e *Engine) forget() {
	e.proposed.list.Store(nil)
	e.changes.list.Store(nil)
}

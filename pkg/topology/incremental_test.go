package topology

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// incrementally applies n random changes. It returns the differences between a topology
// that reuses the previous one and a topology without a previous one.
func incrementally(g *generator, objects []calico.Object, n int) string {
	s := state.New(objects...)
	var lists []*TransitPeers
	compute := func(s *state.Snapshot, before *Topology) *Topology {
		out, err := Compute(g.t.Context(), s, before, lists...)
		if err != nil {
			g.t.Fatal(err)
		}
		return out
	}
	topology := compute(s, nil)
	for i := range n {
		change := g.change()
		before, listsBefore := s, lists
		s = s.Apply(change)
		if g.one(3) {
			lists = transitLists(g.choices)
		}
		next := compute(s, topology)
		if fault := topologiesDiffer(next, compute(s, nil)); fault != "" {
			return fmt.Sprintf("incremental and from scratch differ after change %d, %s %s: %s\nstate before:\n%s\nstate after:\n%s",
				i, change.Operation(), change.ID(), fault, show(before), show(s))
		}
		// The previous topology must not have changed.
		after := lists
		lists = listsBefore
		if fault := topologiesDiffer(topology, compute(before, nil)); fault != "" {
			return fmt.Sprintf("the topology before change %d, %s %s, is another one after it: %s\nstate before:\n%s",
				i, change.Operation(), change.ID(), fault, show(before))
		}
		topology, lists = next, after
	}
	return ""
}

func TestIncrementalEqualsFromScratch(t *testing.T) {
	forRandomStates(t, 6, seeds/16, func(r *rand.Rand, objects []calico.Object) string {
		return incrementally(newGenerator(t, r), objects, 8)
	})
}

// FuzzIncremental makes a state and changes from the bytes of the fuzzer.
func FuzzIncremental(f *testing.F) {
	f.Add([]byte{})
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, 7))
		var bytes []byte
		for range 400 {
			bytes = append(bytes, byte(r.IntN(256)))
		}
		f.Add(bytes)
	}
	f.Fuzz(func(t *testing.T, bytes []byte) {
		c := &byteChoices{slices.Clone(bytes)}
		g := newGenerator(t, c)
		if fault := incrementally(g, g.state(), 1+c.IntN(12)); fault != "" {
			t.Fatal(fault)
		}
	})
}

package topology

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// listedNeighbours returns the expected result of Neighbours as texts, from the other
// lists.
func listedNeighbours(t *Topology, wanted func(string) bool) []string {
	out := []string{}
	add := func(h *HalfSession, status Status, sources []string) {
		types := map[string]string{"Mesh": "NodeMesh", "Node": "NodePeer", "Global": "GlobalPeer"}
		prefix, _, _ := strings.Cut(h.Protocol, "_")
		if types[prefix] != "" && wanted(h.Node) {
			out = append(out, fmt.Sprintf("%s %s %s %s of %s: %s by %q", h.Node, h.Family, types[prefix], h.PeerIP, h.PeerNode, status, sources))
		}
	}
	for h := range t.HalfSessions("") {
		add(&h, h.Status, h.Sources)
	}
	for a := range t.Ambiguous("") {
		add(&a.Candidates[0], "", a.Sources)
	}
	slices.Sort(out)
	return out
}

func TestNeighboursAreTheHalfSessionsThatAreListed(t *testing.T) {
	statuses := map[Status]int{}
	forRandomStates(t, 21, seeds/3, func(r *rand.Rand, objects []calico.Object) string {
		topology := compute(t, state.New(objects...), nil)
		left := r.IntN(2)
		wanted := func(name string) bool { return left == 0 || name[len(name)-1]%2 == 0 }
		var got []string
		for n := range topology.Neighbours(func(n *calico.Node) bool { return wanted(n.Name) }) {
			for i := range n.List {
				one := &n.List[i]
				statuses[one.Status]++
				got = append(got, fmt.Sprintf("%s %s %s %s of %s: %s by %q", n.Node.Name, n.Family, one.Type, one.IP, one.PeerNode(), one.Status, one.Sources()))
			}
		}
		slices.Sort(got)
		return difference("neighbours", got, listedNeighbours(topology, wanted))
	})
	for _, status := range []Status{Paired, External, Broken, ""} {
		if statuses[status] < 10 {
			t.Errorf("only %d half-sessions are %q", statuses[status], status)
		}
	}
}

// TestNeighboursOfAllNodesAreOneWalk verifies by the number of allocations that
// Neighbours does not read all nodes again for each node.
func TestNeighboursOfAllNodesAreOneWalk(t *testing.T) {
	const nodes = 2000
	topology := compute(t, cluster(t, nodes, false), nil)
	got := testing.AllocsPerRun(5, func() {
		for range topology.Neighbours(func(*calico.Node) bool { return true }) {
		}
	})
	// Each node with an external peer allocates its settings.
	if got > nodes {
		t.Errorf("%v allocations for %d nodes", got, nodes)
	}
}

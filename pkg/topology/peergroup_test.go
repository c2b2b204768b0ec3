package topology

import (
	"maps"
	"slices"

	"math/rand/v2"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// forTwins is like forRandomStates, with BGPPeers that differ only in their names and
// nodes.
func forTwins(t *testing.T, stream uint64, check func(s *state.Snapshot) string) {
	t.Helper()
	forRandomStates(t, stream, seeds, func(r *rand.Rand, objects []calico.Object) string {
		s := state.New(append(objects, newGenerator(t, r).twins(objects)...)...)
		if underTwoNumbers(s) {
			return ""
		}
		if fault := check(s); fault != "" {
			return fault + "\nwith twins:\n" + show(s)
		}
		return ""
	})
}

func TestTwinsAgreeWithTheNaiveModel(t *testing.T) {
	for _, stream := range []uint64{13, 14, 15} {
		forTwins(t, stream, func(s *state.Snapshot) string {
			topology, m := compute(t, s, nil), newNaive(s)
			return sessionsDiffer(viewOf(topology), m) + summaryDiffers(topology.Summary(), m)
		})
	}
}

// TestTwinsFormPeerGroups verifies that the random states contain peer groups with
// several members, and merged external peers.
func TestTwinsFormPeerGroups(t *testing.T) {
	seen := map[string]int{}
	forTwins(t, 14, func(s *state.Snapshot) string {
		topology := compute(t, s, nil)
		for _, g := range topology.sessions.PeerGroups {
			if len(g.Members) == 1 {
				continue
			}
			side := "local"
			if g.RemoteVaries {
				side = "remote"
			}
			seen[side+" nodes vary"]++
			if g.Reverse != [2]bool{} {
				seen[side+" nodes vary, with half-sessions back"]++
			}
			if g.Peer.PeerIP != "" {
				seen[side+" nodes vary, on an address"]++
			}
		}
		for _, n := range topology.networks {
			if len(n.Counted) < len(n.Externals) {
				seen["external peers are counted as one"]++
			}
		}
		return ""
	})
	want := []string{
		"external peers are counted as one", "local nodes vary", "local nodes vary, on an address", "local nodes vary, with half-sessions back",
		"remote nodes vary", "remote nodes vary, with half-sessions back",
	}
	if got := slices.Sorted(maps.Keys(seen)); !slices.Equal(got, want) {
		t.Errorf("got %v, want %q", seen, want)
	}
	for what, n := range seen {
		if n < 5 {
			t.Errorf("%s in %d states only", what, n)
		}
	}
}

// TestABGPPeerIsCountedForItsOwnNodes compares the number of sessions of each BGPPeer
// with the listed sessions.
func TestABGPPeerIsCountedForItsOwnNodes(t *testing.T) {
	tried := 0
	forTwins(t, 14, func(s *state.Snapshot) string {
		topology := compute(t, s, nil)
		v := viewOf(topology)
		if len(v.ambiguous) > 0 {
			return "" // Ambiguous half-sessions have no status.
		}
		tried++
		type session struct{ source, family, a, b string }
		sessions := map[session]bool{}
		for _, h := range v.halves {
			if h.Status == Paired {
				for _, source := range h.Sources {
					sessions[session{source, h.Family, min(h.Node, h.PeerNode), max(h.Node, h.PeerNode)}] = true
				}
			}
		}
		listed := map[string]int{}
		for s := range sessions {
			listed[s.source]++
		}
		for name, p := range topology.Summary().BGPPeers {
			if p.Sessions != listed[name] {
				return difference(name, []int{p.Sessions}, []int{listed[name]})
			}
		}
		return ""
	})
	if tried < seeds/4 {
		t.Errorf("only %d states without ambiguous half-sessions", tried)
	}
}

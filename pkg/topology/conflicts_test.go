package topology

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// A node has a conflict with one peer and then another one with another peer instead: neither
// the number of half-sessions nor their nodes show it.
func TestAConflictWithAnotherPeerIsGained(t *testing.T) {
	peer := func(name string, spec map[string]any) calico.Object {
		return calicotest.Object(t, "BGPPeer", name, spec)
	}
	router := func(name, address string, asn int64) calico.Object {
		return peer(name, map[string]any{"peerIP": address, "asNumber": asn})
	}
	node := func(name, address, role string) calico.Object {
		return calicotest.Node(t, name, calicotest.BGP("ipv4Address", address), calicotest.Label("role", role))
	}
	to := func(name, role, key string) calico.Object {
		return peer(name, map[string]any{
			"nodeSelector": "role == 'x'", "peerSelector": "role == '" + role + "'", "reversePeering": "Manual",
			"password": map[string]any{"secretKeyRef": map[string]any{"name": "s", "key": key}},
		})
	}
	nodes := []calico.Object{meshOff(t), node("x", "10.0.0.1", "x"), node("a", "10.0.0.2", "a"), node("b", "10.0.0.3", "b")}
	with := func(objects ...calico.Object) *state.Snapshot { return state.New(append(objects, nodes...)...) }
	b2 := func(name string) calico.Object { return node(name, "10.0.0.4", "b") }
	for name, c := range map[string]struct {
		before, after *state.Snapshot
		want          string
	}{
		"another node":  {with(to("1", "a", "k"), to("2", "a", "l"), to("3", "b", "k")), with(to("1", "a", "k"), to("3", "b", "k"), to("4", "b", "l")), "1 [x] 0"},
		"the same node": {with(to("1", "a", "k"), to("2", "a", "l")), with(to("1", "a", "k"), to("3", "a", "m")), "0 [] 0"},
		"one more node that is there": {
			with(to("1", "b", "k"), to("2", "b", "l"), node("c", "10.0.0.4", "c")), with(to("1", "b", "k"), to("2", "b", "l"), node("c", "10.0.0.4", "b")), "1 [x] 0",
		},
		"one more node that joins": {with(to("1", "b", "k"), to("2", "b", "l")), with(to("1", "b", "k"), to("2", "b", "l"), b2("c")), "0 [] 1"},
		"another router": {
			with(router("1", "192.0.2.1", 1), router("2", "192.0.2.1", 2), router("3", "192.0.2.2", 1)),
			with(router("1", "192.0.2.1", 1), router("3", "192.0.2.2", 1), router("4", "192.0.2.2", 2)), "3 [a b x] 0",
		},
		"the same router": {with(router("1", "192.0.2.1", 1), router("2", "192.0.2.1", 2)), with(router("1", "192.0.2.1", 1), router("3", "192.0.2.1", 3)), "0 [] 0"},
		"the node becomes a router": {
			with(router("1", "10.0.0.4", 1), router("2", "10.0.0.4", 2), b2("c")), with(router("1", "10.0.0.4", 1), router("2", "10.0.0.4", 2)), "0 [] 0",
		},
		"the router becomes a node": {
			with(router("1", "10.0.0.4", 1), router("2", "10.0.0.4", 2)), with(router("1", "10.0.0.4", 1), router("2", "10.0.0.4", 2), b2("c")), "0 [] 3",
		},
	} {
		t.Run(name, func(t *testing.T) {
			before := compute(t, c.before, nil)
			gain, err := compute(t, c.after, before).Gained(before, "sessions/IPv4/conflicting")
			if got := fmt.Sprint(gain.Members, " ", gain.Sample, " ", gain.Joined); err != nil || got != c.want {
				t.Errorf("got %s, %v, want %s", got, err, c.want)
			}
		})
	}
}

// TestGainedConflictsAgreeWithTheNaiveModel compares half-session by half-session. States in
// which nodes share an address, or change it, are skipped.
func TestGainedConflictsAgreeWithTheNaiveModel(t *testing.T) {
	members, joined, stayed := 0, 0, 0
	forRandomStates(t, 10, seeds/2, func(r *rand.Rand, objects []calico.Object) string {
		old := state.New(objects...)
		g := newGenerator(t, r)
		now := old.Apply(g.change()).Apply(g.change())
		before := compute(t, old, nil)
		after := compute(t, now, before)
		a, b := newNaive(old), newNaive(now)
		for _, f := range calico.Families {
			if before == after || !identified(a, b, f) {
				continue
			}
			was := a.conflictingPeers(f)
			want := [2]int{}
			for name, peers := range b.conflictingPeers(f) {
				further, had := false, false
				for peer := range peers {
					owner := b.owner(f, peer)
					switch {
					case was[name][peer]:
					case a.node(name) == nil || !a.node(name).SpeaksBGP(f), len(was[name]) > 0 && owner != nil && a.owner(f, peer) == nil:
						further = true
					default:
						further, had = true, true
					}
				}
				switch {
				case had:
					want[0]++
				case further:
					want[1]++
				default:
					stayed++
				}
			}
			members, joined = members+want[0], joined+want[1]
			gain, err := after.Gained(before, "sessions/"+f.String()+"/conflicting")
			if got := [2]int{gain.Members, gain.Joined}; err != nil || got != want {
				return fmt.Sprintf("%s: gained %v, %v, want %v\nafter:\n%s", f, got, err, want, show(now))
			}
		}
		return ""
	})
	if members == 0 || joined == 0 || stayed == 0 {
		t.Errorf("%d members, %d joined and %d unchanged: the test does not test much", members, joined, stayed)
	}
}

// identified reports whether addresses identify the nodes of both models.
func identified(a, b *naive, f calico.Family) bool {
	owners := map[netip.Addr]string{}
	for _, m := range []*naive{a, b} {
		seen := map[netip.Addr]bool{}
		for _, n := range m.nodes {
			if !n.SpeaksBGP(f) {
				continue
			}
			address := n.Address[f].Addr()
			if owner, ok := owners[address]; seen[address] || ok && owner != n.Name {
				return false
			}
			seen[address], owners[address] = true, n.Name
		}
	}
	for _, n := range a.nodes {
		if o := b.node(n.Name); o != nil && n.SpeaksBGP(f) && o.SpeaksBGP(f) && n.Address[f].Addr() != o.Address[f].Addr() {
			return false
		}
	}
	return true
}

// conflictingPeers returns the peers with which each node has conflicting half-sessions.
func (m *naive) conflictingPeers(f calico.Family) map[string]map[netip.Addr]bool {
	out := map[string]map[netip.Addr]bool{}
	for _, s := range m.slots {
		if s.family == f && s.ambiguous() && len(m.conflicts(s)) > 0 {
			if out[s.node.Name] == nil {
				out[s.node.Name] = map[netip.Addr]bool{}
			}
			out[s.node.Name][s.peer] = true
		}
	}
	return out
}

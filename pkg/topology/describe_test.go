package topology

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/state"
)

func TestADescriptionOfANodeAgreesWithTheLists(t *testing.T) {
	forRandomStates(t, 33, seeds/4, func(_ *rand.Rand, objects []calico.Object) string {
		s := state.New(objects...)
		one := compute(t, s, nil)
		for _, n := range s.Nodes() {
			d := one.Describe(n.Name)
			for _, f := range calico.Families {
				want := NodeReach{}
				for _, o := range s.Nodes() {
					if o == n || !o.SpeaksBGP(f) || !n.SpeaksBGP(f) {
						continue
					}
					want.Others++
					if one.HasRoute(f, o.Name, n.Name, false) {
						want.To++
					}
					if one.HasRoute(f, n.Name, o.Name, false) {
						want.From++
					}
				}
				want.Isolated = want.Others > 0 && want.To == 0 && want.From == 0
				if len(s.BGPFilters()) > 0 || s.BGPConfiguration(calico.Default) != nil && s.BGPConfiguration(calico.Default).Spec["prefixAdvertisements"] != nil {
					// Routes to some prefixes of pods may pass, and others not.
					want.Isolated = want.Isolated && d.Families.In(f).WithoutTransit.Isolated
				}
				if got := d.Families.In(f).WithoutTransit; got != want {
					return fmt.Sprintf("%s, %s: got %+v, want %+v", n.Name, f, got, want)
				}
			}
			for i, p := range one.sessions.Peerings {
				number, _ := one.index.Find(n.Name)
				got := d.BGPPeers[i]
				if got.Name != p.Peer.Name || got.Local.Matches != p.Local.Test(number) || got.Peer != nil && p.Peer.Remote() != nil && got.Peer.Matches != p.Remote.Test(number) {
					return fmt.Sprintf("%s, BGPPeer %s: got %+v", n.Name, p.Peer.Name, got)
				}
			}
		}
		return ""
	})
}

func TestDescribeNamesReflectorsAndClauses(t *testing.T) {
	s := state.New(
		calicotest.Object(t, "BGPConfiguration", "default", map[string]any{"nodeToNodeMeshEnabled": false}),
		calicotest.Object(t, "BGPPeer", "workers", map[string]any{"nodeSelector": "!has(rr) && bgp != 'off'", "peerSelector": "has(rr)"}),
		calicotest.Node(t, "a", calicotest.BGP("ipv4Address", "10.0.0.1")),
		calicotest.Node(t, "b", calicotest.BGP("ipv4Address", "10.0.0.2"), calicotest.Label("bgp", "off")),
		calicotest.Node(t, "rr", calicotest.BGP("ipv4Address", "10.0.0.3"), calicotest.BGP("routeReflectorClusterID", "244.0.0.1"), calicotest.Label("rr", "")),
	)
	one := compute(t, s, nil)
	a, b := one.Describe("a"), one.Describe("b")
	if got := a.Families.IPv4; !slices.Equal(got.Reflectors, []string{"rr"}) || got.Sessions != 1 || got.WithoutTransit != (NodeReach{To: 1, From: 1, Others: 2}) {
		t.Errorf("got %+v", got)
	}
	if got := b.Families.IPv4; len(got.Reflectors) > 0 || !got.WithTransit.Isolated {
		t.Errorf("got %+v", got)
	}
	if got := fmt.Sprint(b.BGPPeers[0].Local.Clauses, b.BGPPeers[0].Peer.Clauses); got != `[bgp != 'off' (bgp is "off")] [has(rr) (no label rr)]` {
		t.Errorf("got %s", got)
	}
	if one.Describe("x") != nil {
		t.Error("there is no node x")
	}
}

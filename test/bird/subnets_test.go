//go:build system

package bird

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
)

// in gives a node the address 10.192.S.N with a mask, in place of its own.
func in(subnet, n, mask int) calicotest.Tweak {
	return calicotest.IPv4(fmt.Sprintf("10.192.%d.%d/%d", subnet, n, mask))
}

// TestMeshesOfSeveralSubnets compares sessions and next hops with the prediction in meshes of nodes with different AS numbers
// and networks: up to Calico v3.32, BIRD needs a common link for them.
func TestMeshesOfSeveralSubnets(t *testing.T) {
	t.Parallel()
	racks := objects(node(1, in(1, 1, 24), asNumber(65001)), node(2, in(1, 2, 24), asNumber(65001)), node(3, in(2, 3, 24), asNumber(65002)), node(4, in(2, 4, 24), asNumber(65002)))
	mixed := objects(node(1, in(1, 1, 24), asNumber(65001)), node(2, in(2, 2, 24), asNumber(65001)), node(3, in(1, 3, 24), asNumber(65002)))
	alone := objects(node(1, in(1, 1, 24), asNumber(65001)), node(2, in(2, 2, 24), asNumber(65002)), node(3, in(3, 3, 24), asNumber(65003)))
	tests := map[string][]object{
		"an AS number and a subnet per node, v3.32":        objects(version("v3.32.1"), alone),
		"an AS number and a subnet per node, v3.33":        objects(version("v3.33.0"), alone),
		"an AS number and a subnet per rack, v3.31":        objects(version("v3.31.2"), racks),
		"an AS number and a subnet per rack, v3.33":        objects(version("v3.33.0"), racks),
		"an AS number in two subnets, v3.32":               objects(version("v3.32.1"), mixed),
		"an AS number in two subnets, v3.33":               objects(version("v3.33.0"), mixed),
		"different AS numbers in one subnet, v3.32":        objects(version("v3.32.1"), node(1, asNumber(65001)), node(2, asNumber(65002)), node(3, asNumber(65003))),
		"one mask contains the other address, v3.32":       objects(version("v3.32.1"), node(1, asNumber(65001)), node(2, in(2, 2, 24), asNumber(65002))),
		"a node without an AS number of its own, v3.31":    objects(version("v3.31.2"), node(1, in(1, 1, 24)), node(2, in(2, 2, 24), asNumber(65002)), node(3, in(1, 3, 24), asNumber(65003))),
		"a node without an AS number of its own, v3.32":    objects(version("v3.32.1"), node(1, in(1, 1, 24)), node(2, in(2, 2, 24), asNumber(65002)), node(3, in(1, 3, 24), asNumber(65003))),
		"BGPPeers beside a mesh of several subnets, v3.32": objects(version("v3.32.1"), alone, between("all", "all()", "all()")),
		"BGPPeers in place of the mesh, v3.32":             objects(version("v3.32.1"), alone, noMesh(), between("all", "all()", "all()")),
	}
	for name, list := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, objects(pools(), list))
			c := start(t, w.nodes, Options{})
			w.await(t, c)
			w.awaitRoutes(t, c)
		})
	}
}

// TestMeshesOfHostMasks runs meshes of nodes with addresses whose networks are not known: /32 and /128. Where the interfaces
// have a wider mask, the sessions and routes are those of the prediction. Where they have the same one, they are those
// of the readings without links: the prediction for nodes each of which is in a network of its own.
func TestMeshesOfHostMasks(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		version string
		numbers [3]uint32 // 0 for none
	}{
		"an AS number per node, v3.32":                      {"v3.32.1", [3]uint32{65001, 65002, 65003}},
		"an AS number for two nodes, v3.32":                 {"v3.32.1", [3]uint32{65001, 65001, 65002}},
		"an AS number of its own for the first node, v3.31": {"v3.31.2", [3]uint32{65001, 0, 0}},
		"an AS number per node, v3.33":                      {"v3.33.0", [3]uint32{65001, 65002, 65003}},
	}
	for name, tc := range tests {
		state := func(four, six int) *world {
			list := objects(pools(), version(tc.version))
			for i, asn := range tc.numbers {
				n := i + 1
				tweaks := []calicotest.Tweak{in(n, n, four), calicotest.IPv6(fmt.Sprintf("fd00:192::%d/%d", 2*n, six))}
				if asn != 0 {
					tweaks = append(tweaks, asNumber(asn))
				}
				list = append(list, node(n, tweaks...))
			}
			return newWorld(t, list)
		}
		t.Run(name+", on a link", func(t *testing.T) {
			t.Parallel()
			w := state(32, 128)
			w.await(t, start(t, w.nodes, Options{}))
		})
		t.Run(name+", not on a link", func(t *testing.T) {
			t.Parallel()
			w, apart := state(32, 128), state(24, 127)
			for i := range w.nodes {
				for _, f := range calico.Families {
					a := w.nodes[i].Address[f]
					w.nodes[i].Network[f] = netip.PrefixFrom(a, a.BitLen())
				}
			}
			for _, f := range calico.Families {
				routes, want := w.topology.Summary().Routes.In(f), apart.topology.Summary().Routes.In(f).WithTransit
				got := routes.WithTransit
				if routes.WithoutLinks != nil {
					got = routes.WithoutLinks.WithTransit
				}
				if got.WithoutRoute.Pairs != want.WithoutRoute.Pairs || got.Isolated.Nodes != want.Isolated.Nodes {
					t.Errorf("%s without links: got %d pairs without a route and %d isolated nodes, want %d and %d",
						f, got.WithoutRoute.Pairs, got.Isolated.Nodes, want.WithoutRoute.Pairs, want.Isolated.Nodes)
				}
			}
			apart.await(t, start(t, w.nodes, Options{}))
		})
	}
}

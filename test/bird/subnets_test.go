//go:build system

package bird

import (
	"fmt"
	"testing"

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

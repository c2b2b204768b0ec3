package topology

import (
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// meshTraps returns the traps of the node-to-node mesh.
func meshTraps(t *testing.T) map[string]*trap {
	t.Helper()
	a, b := at(t, "a", "10.0.0.1"), at(t, "b", "10.0.0.2")
	mixed := []calico.Object{at(t, "a", "10.0.0.1", calicotest.BGP("asNumber", int64(64513))), b}
	return map[string]*trap{
		"addresses are compared as text, so 10.0.0.9 is greater than 10.0.0.100": {
			objects: []calico.Object{at(t, "hundred", "10.0.0.100"), at(t, "nine", "10.0.0.9")},
			want: `
				hundred Mesh_10_0_0_9 Paired nine asn 64512>64512 passive by
				nine Mesh_10_0_0_100 Paired hundred asn 64512>64512 by`,
		},
		"deleting the BGPConfiguration default turns the mesh on and the AS number back": {
			objects: []calico.Object{configuration(t, map[string]any{"nodeToNodeMeshEnabled": false, "asNumber": int64(64600)}), a, b},
			change:  state.Change{Before: noMesh(t)},
			want: `
				a Mesh_10_0_0_2 Paired b asn 64512>64512 passive by
				b Mesh_10_0_0_1 Paired a asn 64512>64512 by`,
		},
		"the mesh, the AS number and the restart time of one node's BGPConfiguration are ignored": {
			objects: []calico.Object{a, b, calicotest.Object(t, "BGPConfiguration", "node.a", map[string]any{"nodeToNodeMeshEnabled": false, "asNumber": int64(64600), "nodeMeshMaxRestartTime": "90s"})},
			want: `
				a Mesh_10_0_0_2 Paired b asn 64512>64512 passive by
				b Mesh_10_0_0_1 Paired a asn 64512>64512 by`,
		},
		"the listen port of one node's BGPConfiguration is not": {
			objects: []calico.Object{configuration(t, map[string]any{"listenPort": int64(1790)}), a, b, listensOn(t, "a", 1791)},
			want: `
				a Mesh_10_0_0_2 Paired b asn 64512>64512 passive port 1790 by default
				b Mesh_10_0_0_1 Paired a asn 64512>64512 port 1791 by default`,
		},
		"a mesh of mixed AS numbers works on v3.31": {
			objects: append(mixed, calicotest.ClusterInformation(t, "v3.31.2")),
			want: `
				a Mesh_10_0_0_2 Paired b asn 64513>64512 passive by
				b Mesh_10_0_0_1 Paired a asn 64512>64513 by`,
		},
		"a mesh of mixed AS numbers does not work on v3.32": {
			objects: append(mixed, calicotest.ClusterInformation(t, "v3.32.0")),
			want: `
				a Mesh_10_0_0_2 ASNumberMismatch b asn 64513>64513 passive by
				b Mesh_10_0_0_1 ASNumberMismatch a asn 64512>64513 by
				a to b: no IPv4 route
				b to a: no IPv4 route`,
		},
		"a mesh of mixed AS numbers is not trusted where the version is not known": {
			objects: mixed,
			want: `
				a Mesh_10_0_0_2 ASNumberMismatch b asn 64513>64513 passive by
				b Mesh_10_0_0_1 ASNumberMismatch a asn 64512>64513 by
				a to b: no IPv4 route
				b to a: no IPv4 route`,
		},
		"a mesh of mixed AS numbers needs one link up to v3.32": {
			objects: []calico.Object{calicotest.ClusterInformation(t, "v3.32.1"), at(t, "a", "10.0.1.1/24", calicotest.ASNumber(65001)), at(t, "b", "10.0.1.2/24", calicotest.ASNumber(65002)),
				at(t, "c", "10.0.2.3/24", calicotest.ASNumber(65002)), at(t, "wide", "10.0.2.4/16", calicotest.ASNumber(65003))},
			want: `
				a Mesh_10_0_1_2 Paired b asn 65001>65002 passive by
				a Mesh_10_0_2_3 NotOnLink c asn 65001>65002 passive by
				a Mesh_10_0_2_4 NotOnLink wide asn 65001>65003 passive by
				b Mesh_10_0_1_1 Paired a asn 65002>65001 by
				b Mesh_10_0_2_3 Paired c asn 65002>65002 passive by
				b Mesh_10_0_2_4 NotOnLink wide asn 65002>65003 passive by
				c Mesh_10_0_1_1 NotOnLink a asn 65002>65001 by
				c Mesh_10_0_1_2 Paired b asn 65002>65002 by
				c Mesh_10_0_2_4 Paired wide asn 65002>65003 passive by
				wide Mesh_10_0_1_1 NotOnLink a asn 65003>65001 by
				wide Mesh_10_0_1_2 NotOnLink b asn 65003>65002 by
				wide Mesh_10_0_2_3 Paired c asn 65003>65002 by`,
		},
		"a mesh of mixed AS numbers needs no common link since v3.33": {
			objects: []calico.Object{calicotest.ClusterInformation(t, "v3.33.0"), at(t, "a", "10.0.1.1/24", calicotest.ASNumber(65001)), at(t, "c", "10.0.2.3/24", calicotest.ASNumber(65002))},
			want: `
				a Mesh_10_0_2_3 Paired c asn 65001>65002 passive by
				c Mesh_10_0_1_1 Paired a asn 65002>65001 by`,
		},
		"a cluster ID takes a node out of the mesh on both ends": {
			objects: []calico.Object{a, b, at(t, "c", "10.0.0.3", calicotest.BGP("routeReflectorClusterID", "244.0.0.1"))},
			want: `
				a Mesh_10_0_0_2 Paired b asn 64512>64512 passive by
				b Mesh_10_0_0_1 Paired a asn 64512>64512 by
				a to c: no IPv4 route
				b to c: no IPv4 route
				c to a: no IPv4 route
				c to b: no IPv4 route`,
		},
		"two nodes with one address freeze all others of the mesh": {
			objects: []calico.Object{a, at(t, "again", "10.0.0.1"), b},
			want: `
				a Mesh_10_0_0_2 AddressShared b asn 64512>64512 passive by
				again Mesh_10_0_0_2 AddressShared b asn 64512>64512 passive by
				b Mesh_10_0_0_1 AddressShared a asn 64512>64512 by
				b Mesh_10_0_0_1 AddressShared again asn 64512>64512 by
				b IPv4 frozen
				a to again: no IPv4 route
				a to b: no IPv4 route
				again to a: no IPv4 route
				again to b: no IPv4 route
				b to a: no IPv4 route
				b to again: no IPv4 route`,
		},
	}
}

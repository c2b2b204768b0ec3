package topology

import (
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
)

// twoReflectors returns two route reflectors that peer, and one client of each.
func twoReflectors(t *testing.T, firstID, secondID string) []calico.Object {
	t.Helper()
	return []calico.Object{
		noMesh(t), at(t, "a", "10.0.0.1", calicotest.Label("rack", "1")), at(t, "b", "10.0.0.2", calicotest.Label("rack", "2")),
		at(t, "r", "10.0.0.3", calicotest.BGP("routeReflectorClusterID", firstID), calicotest.Label("rr", "1")),
		at(t, "s", "10.0.0.4", calicotest.BGP("routeReflectorClusterID", secondID), calicotest.Label("rr", "2")),
		bgpPeer(t, "one", map[string]any{"nodeSelector": "rack == '1'", "peerSelector": "rr == '1'"}),
		bgpPeer(t, "two", map[string]any{"nodeSelector": "rack == '2'", "peerSelector": "rr == '2'"}),
		bgpPeer(t, "between", map[string]any{"nodeSelector": "rr == '1'", "peerSelector": "rr == '2'"}),
	}
}

// reflectorTraps returns the traps of route reflectors.
func reflectorTraps(t *testing.T) map[string]*trap {
	t.Helper()
	id := calicotest.BGP("routeReflectorClusterID", "244.0.0.1")
	return map[string]*trap{
		"reflectors with one cluster ID do not relay between their clients": {
			objects: twoReflectors(t, "244.0.0.1", "244.0.0.1"),
			want: `
				a Node_10_0_0_3 Paired r asn 64512>64512 by one
				b Node_10_0_0_4 Paired s asn 64512>64512 by two
				r Node_10_0_0_1 Paired a asn 64512>64512 client 244.0.0.1 by one
				r Node_10_0_0_4 Paired s asn 64512>64512 by between
				s Node_10_0_0_2 Paired b asn 64512>64512 client 244.0.0.1 by two
				s Node_10_0_0_3 Paired r asn 64512>64512 by between
				a to b: no IPv4 route
				b to a: no IPv4 route`,
		},
		"reflectors with a cluster ID each do": {
			objects: twoReflectors(t, "244.0.0.1", "244.0.0.2"),
			want: `
				a Node_10_0_0_3 Paired r asn 64512>64512 by one
				b Node_10_0_0_4 Paired s asn 64512>64512 by two
				r Node_10_0_0_1 Paired a asn 64512>64512 client 244.0.0.1 by one
				r Node_10_0_0_4 Paired s asn 64512>64512 client 244.0.0.1 by between
				s Node_10_0_0_2 Paired b asn 64512>64512 client 244.0.0.2 by two
				s Node_10_0_0_3 Paired r asn 64512>64512 client 244.0.0.2 by between`,
		},
		"a reflector that is given by peerIP becomes a client, on one side": {
			objects: []calico.Object{noMesh(t), at(t, "r", "10.0.0.1", id), at(t, "s", "10.0.0.2", id),
				bgpPeer(t, "p", map[string]any{"node": "r", "peerIP": "10.0.0.2", "asNumber": int64(64512)})},
			want: `
				r Node_10_0_0_2 Paired s asn 64512>64512 client 244.0.0.1 by p
				s Node_10_0_0_1 Paired r asn 64512>64512 by p`,
		},
		"a local AS number that is the peer's makes an external peer a client": {
			objects: []calico.Object{noMesh(t), at(t, "r", "10.0.0.1", id),
				bgpPeer(t, "p", map[string]any{"node": "r", "peerIP": "192.0.2.1", "asNumber": int64(65000), "localASNumber": int64(65000)})},
			want: `
				r Node_192_0_2_1 External asn 65000>65000 client 244.0.0.1 by p`,
		},
		"a node of another AS number is no client of a reflector": {
			objects: []calico.Object{noMesh(t), at(t, "r", "10.0.0.1", id), at(t, "a", "10.0.0.2", calicotest.BGP("asNumber", int64(64513))),
				bgpPeer(t, "p", map[string]any{"node": "a", "peerSelector": "!has(x)"})},
			want: `
				a Node_10_0_0_1 Paired r asn 64513>64512 by p
				r Node_10_0_0_2 Paired a asn 64512>64513 by p`,
		},
	}
}

// frozenTraps returns the traps of configurations that BIRD rejects.
func frozenTraps(t *testing.T) map[string]*trap {
	t.Helper()
	a := at(t, "a", "10.0.0.1", calicotest.Label("role", "node"))
	toReflectors := bgpPeer(t, "p", map[string]any{"nodeSelector": "role == 'node'", "peerSelector": "!has(role)"})
	return map[string]*trap{
		"a peerIP without an AS number has 0, which freezes": {
			objects: []calico.Object{noMesh(t), a, bgpPeer(t, "p", map[string]any{"peerIP": "192.0.2.1"})},
			want: `
				a Global_192_0_2_1 ASNumberZero asn 64512>0 by p
				a IPv4 frozen`,
		},
		"a node of AS number 0 freezes itself and its neighbours": {
			objects: []calico.Object{a, at(t, "b", "10.0.0.2", calicotest.BGP("asNumber", int64(0)))},
			want: `
				a Mesh_10_0_0_2 ASNumberZero b asn 64512>0 passive by
				b Mesh_10_0_0_1 ASNumberZero a asn 0>0 by
				a IPv4 frozen
				b IPv4 frozen
				a to b: no IPv4 route
				b to a: no IPv4 route`,
		},
		"a cluster ID with a mask freezes a reflector that has clients": {
			objects: []calico.Object{noMesh(t), a, at(t, "r", "10.0.0.2", calicotest.BGP("routeReflectorClusterID", "244.0.0.0/8")), toReflectors},
			want: `
				a Node_10_0_0_2 Paired r asn 64512>64512 by p
				r Node_10_0_0_1 Paired a asn 64512>64512 client 244.0.0.0/8 by p
				r IPv4 frozen`,
		},
		"a cluster ID with a mask is not written where there is no client": {
			objects: []calico.Object{noMesh(t), at(t, "r", "10.0.0.2", calicotest.BGP("routeReflectorClusterID", "244.0.0.0/8")),
				bgpPeer(t, "p", map[string]any{"peerIP": "192.0.2.1", "asNumber": int64(65000)})},
			want: `
				r Global_192_0_2_1 External asn 64512>65000 by p`,
		},
		"a cluster ID that is no address makes no reflector": {
			objects: []calico.Object{noMesh(t), a, at(t, "r", "10.0.0.2", calicotest.BGP("routeReflectorClusterID", "244.0.0")), toReflectors},
			want: `
				a Node_10_0_0_2 Paired r asn 64512>64512 by p
				r Node_10_0_0_1 Paired a asn 64512>64512 by p`,
		},
		"a link-local IPv6 peer freezes IPv6 alone": {
			objects: []calico.Object{noMesh(t), at(t, "a", "10.0.0.1", calicotest.BGP("ipv6Address", "fd00::1")),
				bgpPeer(t, "p", map[string]any{"peerIP": "fe80::1", "asNumber": int64(65000)})},
			want: `
				a Global_fe80__1 External asn 64512>65000 by p
				a IPv6 frozen`,
		},
		"a node with an IPv6 address alone is not called frozen: CALICO_ROUTER_ID is in no object": {
			objects: []calico.Object{noMesh(t), calicotest.Node(t, "a", calicotest.BGP("ipv6Address", "fd00::1"))},
			want:    "",
		},
	}
}

package topology

import (
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
)

// bgpPeerTraps returns the traps of selectors and of several BGPPeers.
func bgpPeerTraps(t *testing.T) map[string]*trap {
	t.Helper()
	a, b := at(t, "a", "10.0.0.1"), at(t, "b", "10.0.0.2")
	everywhere := map[string]any{"nodeSelector": "all()", "peerSelector": "all()"}
	return map[string]*trap{
		"a BGPPeer that names no peer makes a mesh of the single-stack nodes, and dual-stack nodes have one side of it": {
			objects: []calico.Object{noMesh(t), a, b, at(t, "dual", "10.0.0.3", calicotest.BGP("ipv6Address", "fd00::3")), bgpPeer(t, "empty", nil)},
			want: `
				a Node_10_0_0_2 Paired b asn 64512>64512 by empty
				a Node_10_0_0_3 NoReturn dual asn 64512>64512 by empty
				b Node_10_0_0_1 Paired a asn 64512>64512 by empty
				b Node_10_0_0_3 NoReturn dual asn 64512>64512 by empty
				a to dual: no IPv4 route
				b to dual: no IPv4 route
				dual to a: no IPv4 route
				dual to b: no IPv4 route`,
		},
		"a selector of a blank is a selector, and matches all nodes": {
			objects: []calico.Object{noMesh(t), a, b, bgpPeer(t, "p", map[string]any{"nodeSelector": " ", "peerSelector": " "})},
			want: `
				a Node_10_0_0_2 Paired b asn 64512>64512 by p
				b Node_10_0_0_1 Paired a asn 64512>64512 by p`,
		},
		"a selector that does not parse matches no node": {
			objects: []calico.Object{noMesh(t), a, b, bgpPeer(t, "p", map[string]any{"nodeSelector": "a = 'b'", "peerSelector": "all()"})},
			want: `
				a to b: no IPv4 route
				b to a: no IPv4 route`,
		},
		"a BGPPeer over the mesh leaves the mesh's session working and its own idle": {
			objects: []calico.Object{a, b, bgpPeer(t, "p", everywhere)},
			want: `
				a Mesh_10_0_0_2 Paired b asn 64512>64512 passive by
				a Node_10_0_0_2 Overlapping b asn 64512>64512 by p
				b Mesh_10_0_0_1 Paired a asn 64512>64512 by
				b Node_10_0_0_1 Overlapping a asn 64512>64512 by p`,
		},
		"a BGPPeer of all nodes silences a node's own with the same peer": {
			objects: []calico.Object{noMesh(t), a, bgpPeer(t, "global", map[string]any{"peerIP": "192.0.2.1", "asNumber": int64(65001)}),
				bgpPeer(t, "own", map[string]any{"node": "a", "peerIP": "192.0.2.1:179", "asNumber": int64(65002)})},
			want: `
				a Global_192_0_2_1 External asn 64512>65001 by global`,
		},
		"another port is another protocol to the same neighbour, of which one works": {
			objects: []calico.Object{noMesh(t), a, bgpPeer(t, "global", map[string]any{"peerIP": "192.0.2.1", "asNumber": int64(65001)}),
				bgpPeer(t, "own", map[string]any{"node": "a", "peerIP": "192.0.2.1:1790", "asNumber": int64(65001)})},
			want: `
				a Global_192_0_2_1 External asn 64512>65001 by global
				a Node_192_0_2_1_port_1790 Overlapping asn 64512>65001 port 1790 by own`,
		},
		"two BGPPeers that give a node one peer with different settings are ambiguous": {
			objects: []calico.Object{noMesh(t), a, b, bgpPeer(t, "one", everywhere),
				bgpPeer(t, "two", map[string]any{"nodeSelector": "all()", "peerSelector": "all()", "maxRestartTime": "90s"})},
			want: `
				a 10.0.0.2 ambiguous gracefulRestartTime by one,two
				b 10.0.0.1 ambiguous gracefulRestartTime by one,two`,
		},
		"two BGPPeers that say the same are harmless": {
			objects: []calico.Object{noMesh(t), a, b,
				bgpPeer(t, "one", map[string]any{"nodeSelector": "all()", "peerSelector": "all()", "maxRestartTime": "120s"}),
				bgpPeer(t, "two", map[string]any{"nodeSelector": "all()", "peerSelector": "!has(x)", "maxRestartTime": "119600ms"})},
			want: `
				a Node_10_0_0_2 Paired b asn 64512>64512 restart 120 by one,two
				b Node_10_0_0_1 Paired a asn 64512>64512 restart 120 by one,two`,
		},
		"the way back of one BGPPeer gives way to another's way there": {
			objects: []calico.Object{noMesh(t), a, b, bgpPeer(t, "ab", map[string]any{"node": "a", "peerSelector": "!has(x)", "password": secret("a")}),
				bgpPeer(t, "ba", map[string]any{"node": "b", "peerSelector": "!has(x)", "password": secret("b")})},
			want: `
				a Node_10_0_0_2 PasswordMismatch b asn 64512>64512 by ab
				b Node_10_0_0_1 PasswordMismatch a asn 64512>64512 by ba
				a to b: no IPv4 route
				b to a: no IPv4 route`,
		},
		"without the way back there is one side only": {
			objects: []calico.Object{noMesh(t), a, b, bgpPeer(t, "p", map[string]any{"node": "a", "peerSelector": "!has(x)", "reversePeering": "Manual"})},
			want: `
				a Node_10_0_0_2 NoReturn b asn 64512>64512 by p
				a to b: no IPv4 route
				b to a: no IPv4 route`,
		},
		"a keepalive of 300 ms is rounded to 0, which BIRD takes for not set, and a restart time of 0 is 0": {
			objects: []calico.Object{noMesh(t), a, bgpPeer(t, "p", map[string]any{"peerIP": "192.0.2.1", "asNumber": int64(65001), "keepaliveTime": "300ms", "maxRestartTime": "300ms"})},
			want: `
				a Global_192_0_2_1 External asn 64512>65001 restart 0 by p`,
		},
	}
}

func secret(key string) map[string]any {
	return map[string]any{"secretKeyRef": map[string]any{"name": "bgp", "key": key}}
}

// peerIPTraps returns the traps of peerIP.
func peerIPTraps(t *testing.T) map[string]*trap {
	t.Helper()
	a, b := at(t, "a", "10.0.0.1"), at(t, "b", "10.0.0.2")
	dual := func(name, four, six string) calico.Object {
		return at(t, name, four, calicotest.BGP("ipv6Address", six))
	}
	return map[string]*trap{
		"a peerIP that is not written as Calico writes it has no way back": {
			objects: []calico.Object{noMesh(t), dual("a", "10.0.0.1", "fd00::1"), dual("b", "10.0.0.2", "fd00::2"),
				bgpPeer(t, "p", map[string]any{"node": "a", "peerIP": "fd00:0::2", "asNumber": int64(64512)})},
			want: `
				a Node_fd00__2 NoReturn b asn 64512>64512 by p
				a to b: no IPv4 route
				b to a: no IPv4 route
				a to b: no IPv6 route
				b to a: no IPv6 route`,
		},
		"a peerIP of all nodes waits for a neighbour with a greater address": {
			objects: []calico.Object{noMesh(t), a, b, bgpPeer(t, "p", map[string]any{"peerIP": "10.0.0.2", "asNumber": int64(64512)})},
			want: `
				a Global_10_0_0_2 Paired b asn 64512>64512 passive by p
				b Node_10_0_0_1 Paired a asn 64512>64512 by p`,
		},
		"a peerIP of all nodes with another AS number than its node's never comes up": {
			objects: []calico.Object{noMesh(t), a, b, bgpPeer(t, "p", map[string]any{"peerIP": "10.0.0.2", "asNumber": int64(65000)})},
			want: `
				a Global_10_0_0_2 NoReturn b asn 64512>65000 passive by p
				a to b: no IPv4 route
				b to a: no IPv4 route`,
		},
		"a peerIP with a port on which its node does not listen has no way back": {
			objects: []calico.Object{noMesh(t), a, b, listensOn(t, "b", 1790), bgpPeer(t, "p", map[string]any{"node": "a", "peerIP": "10.0.0.2:179", "asNumber": int64(64512)})},
			want: `
				a Node_10_0_0_2_port_179 NoReturn b asn 64512>64512 by p
				a to b: no IPv4 route
				b to a: no IPv4 route`,
		},
		"where one side waits and the other dials a port on which nobody listens, nobody dials": {
			objects: []calico.Object{noMesh(t), a, b, listensOn(t, "a", 1790),
				bgpPeer(t, "ab", map[string]any{"peerIP": "10.0.0.2", "asNumber": int64(64512), "reversePeering": "Manual"}),
				bgpPeer(t, "ba", map[string]any{"node": "b", "peerIP": "10.0.0.1:179", "asNumber": int64(64512), "reversePeering": "Manual"})},
			want: `
				a Global_10_0_0_2 NobodyDials b asn 64512>64512 passive by ab
				b Node_10_0_0_1_port_179 NobodyDials a asn 64512>64512 by ba
				a to b: no IPv4 route
				b to a: no IPv4 route`,
		},
		"a peerIP without a port takes its node's": {
			objects: []calico.Object{noMesh(t), a, b, listensOn(t, "b", 1790), bgpPeer(t, "p", map[string]any{"node": "a", "peerIP": "10.0.0.2", "asNumber": int64(64512)})},
			want: `
				a Node_10_0_0_2_port_1790 Paired b asn 64512>64512 port 1790 by p
				b Node_10_0_0_1 Paired a asn 64512>64512 by p`,
		},
		"a peerIP of an external peer does not take the default listen port, a node does": {
			objects: []calico.Object{configuration(t, map[string]any{"nodeToNodeMeshEnabled": false, "listenPort": int64(1790)}), a, b,
				bgpPeer(t, "out", map[string]any{"node": "a", "peerIP": "192.0.2.1", "asNumber": int64(65001)}),
				bgpPeer(t, "in", map[string]any{"node": "a", "peerSelector": "!has(x)"})},
			want: `
				a Node_10_0_0_2_port_1790 Paired b asn 64512>64512 port 1790 by in
				a Node_192_0_2_1 External asn 64512>65001 by out
				b Node_10_0_0_1_port_1790 Paired a asn 64512>64512 port 1790 by in`,
		},
		"a local AS number holds for a peerIP only, and not on the way back": {
			objects: []calico.Object{noMesh(t), a, b, bgpPeer(t, "p", map[string]any{"node": "a", "peerIP": "10.0.0.2", "asNumber": int64(64512), "localASNumber": int64(65000)})},
			want: `
				a Node_10_0_0_2 ASNumberMismatch b asn 65000>64512 by p
				b Node_10_0_0_1 ASNumberMismatch a asn 64512>64512 by p
				a to b: no IPv4 route
				b to a: no IPv4 route`,
		},
		"a local AS number is ignored for a peerSelector": {
			objects: []calico.Object{noMesh(t), a, b, bgpPeer(t, "p", map[string]any{"node": "a", "peerSelector": "!has(x)", "localASNumber": int64(65000)})},
			want: `
				a Node_10_0_0_2 Paired b asn 64512>64512 by p
				b Node_10_0_0_1 Paired a asn 64512>64512 by p`,
		},
		"pods on each node are peers that are not known": {
			objects: []calico.Object{noMesh(t), a, bgpPeer(t, "p", map[string]any{"localWorkloadSelector": "all()", "asNumber": int64(65000), "localASNumber": int64(65001)})},
			want: `
				a Local_Workload_p External asn 65001>65000 passive by p`,
		},
	}
}

package topology

import (
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
)

// readingTraps returns the traps of fields that Calico reads in another way than they look. The
// half-sessions are those that Calico's own code makes of such states.
func readingTraps(t *testing.T) map[string]*trap {
	t.Helper()
	a, b := at(t, "a", "10.0.0.1"), at(t, "b", "10.0.0.2")
	own := at(t, "own", "10.0.0.3", calicotest.BGP("asNumber", int64(65001)))
	keep := func(version string) []calico.Object {
		return []calico.Object{noMesh(t), a, own, calicotest.ClusterInformation(t, version),
			bgpPeer(t, "p", map[string]any{"node": "a", "peerSelector": "all()", "keepOriginalNextHop": true})}
	}
	to := func(text string, more ...calico.Object) []calico.Object {
		return append(more, noMesh(t), a, b, bgpPeer(t, "p", map[string]any{"node": "b", "peerIP": text, "asNumber": int64(64512)}))
	}
	toAWithPort := `
		a Node_10_0_0_2 Paired b asn 64512>64512 by p
		b Node_10_0_0_1_port_179 Paired a asn 64512>64512 by p`
	ignored := `
		a to b: no IPv4 route
		b to a: no IPv4 route`
	pair := func(filters ...any) []calico.Object {
		return []calico.Object{noMesh(t), a, b, bgpPeer(t, "one", map[string]any{"node": "a", "peerSelector": "!has(x)"}),
			bgpPeer(t, "two", map[string]any{"node": "a", "peerSelector": "!has(x)", "filters": filters}),
			calicotest.Object(t, "BGPFilter", "six", map[string]any{"exportV6": []any{map[string]any{"action": "Reject"}}}),
			calicotest.Object(t, "BGPFilter", "none", map[string]any{"importV4": []any{}})}
	}
	unfiltered := `
		a Node_10_0_0_2 Paired b asn 64512>64512 by one,two
		b Node_10_0_0_1 Paired a asn 64512>64512 by one,two`
	return map[string]*trap{
		"keepOriginalNextHop applies to nodes as peers since v3.30.2, on both sides": {
			objects: keep("v3.30.2"),
			want: `
				a Node_10_0_0_3 Paired own asn 64512>65001 next hop Keep by p
				own Node_10_0_0_1 Paired a asn 65001>64512 next hop Keep by p`,
		},
		"keepOriginalNextHop has no effect on nodes as peers before v3.30.2": {
			objects: keep("v3.30.1"),
			want: `
				a Node_10_0_0_3 Paired own asn 64512>65001 by p
				own Node_10_0_0_1 Paired a asn 65001>64512 by p`,
		},
		"keepOriginalNextHop is ignored if nextHopMode is set, even to Auto": {
			objects: []calico.Object{noMesh(t), a,
				bgpPeer(t, "p", map[string]any{"peerIP": "192.0.2.1", "asNumber": int64(65001), "keepOriginalNextHop": true, "nextHopMode": "Auto"})},
			want: `
				a Global_192_0_2_1 External asn 64512>65001 by p`,
		},
		"an unknown sourceAddress is None, and an unknown nextHopMode is Auto": {
			objects: []calico.Object{noMesh(t), a,
				bgpPeer(t, "p", map[string]any{"peerIP": "192.0.2.1", "asNumber": int64(65001), "sourceAddress": "Loopback", "nextHopMode": "Both"})},
			want: `
				a Global_192_0_2_1 External asn 64512>65001 source none by p`,
		},
		"a negative numAllowedLocalASNumbers is 0": {
			objects: []calico.Object{noMesh(t), a, bgpPeer(t, "p", map[string]any{"peerIP": "192.0.2.1", "asNumber": int64(65001), "numAllowedLocalASNumbers": int64(-1)})},
			want: `
				a Global_192_0_2_1 External asn 64512>65001 by p`,
		},
		"an IPv4 address may have brackets and a port":             {objects: to("[10.0.0.1]:179"), want: toAWithPort},
		"a port may be octal":                                      {objects: to("10.0.0.1:0263"), want: toAWithPort},
		"a port may be hexadecimal":                                {objects: to("10.0.0.1:0xb3"), want: toAWithPort},
		"a port may have underscores":                              {objects: to("10.0.0.1:1_79"), want: toAWithPort},
		"a port that is no number of Go makes the text no address": {objects: to("10.0.0.1:08"), want: ignored},
		"port 0 is no port": {
			objects: to("10.0.0.1:0"),
			want: `
				a Node_10_0_0_2 Paired b asn 64512>64512 by p
				b Node_10_0_0_1 Paired a asn 64512>64512 by p`,
		},
		"a port without an address selects single-stack nodes that listen on it": {
			objects: to(":179", listensOn(t, "a", 1790)),
			want: `
				a to b: no IPv4 route
				b to a: no IPv4 route`,
		},
		"a port without an address selects single-stack nodes": {
			objects: to(":179"),
			want: `
				a Node_10_0_0_2 NoReturn b asn 64512>64512 by p
				a to b: no IPv4 route
				b to a: no IPv4 route`,
		},
		"an IPv4-mapped peerIP is the address of no node as text": {
			objects: to("::ffff:10.0.0.1"),
			want: `
				b Node_10_0_0_1 NoReturn a asn 64512>64512 by p
				a to b: no IPv4 route
				b to a: no IPv4 route`,
		},
		"an IPv4-mapped address of a node is an IPv4 address": {
			objects: []calico.Object{a, at(t, "mapped", "::ffff:10.0.0.9/120")},
			want: `
				a Mesh_10_0_0_9 Paired mapped asn 64512>64512 passive by
				mapped Mesh_10_0_0_1 Paired a asn 64512>64512 by`,
		},
		"a BGPFilter without rules for the family is no difference": {objects: pair("six", "none"), want: unfiltered},
		"a BGPFilter that does not exist is no difference":          {objects: pair("missing"), want: unfiltered},
	}
}

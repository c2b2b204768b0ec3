# METADATA
# title: Peers outside the cluster
# description: |
#   BGPPeers with routers outside the cluster have a password and, where maxHops is set,
#   TTL security; their AS numbers are not reserved ones; no two of them give the same nodes
#   the same peer; and their peerIP is neither in an IPPool nor in a range of services, whose
#   addresses move about in the cluster. The security advice is that of RFC 7454. Whether the
#   Secret of a password is there, dangling-references says.
# related_resources:
#   - ref: https://docs.tigera.io/calico/latest/reference/resources/bgppeer
#     description: Calico, BGPPeer
#   - ref: https://www.rfc-editor.org/rfc/rfc7454
#     description: BGP operations and security
#   - ref: https://www.iana.org/assignments/iana-as-numbers-special-registry
#     description: IANA, special-purpose AS numbers
# schemas:
#   - input: schema.input
# custom:
#   severity: medium
#   judges: state
#   validationActions: [Warn]
#   parameters:
#     type: object
#     additionalProperties: false
#     properties:
#       requirePassword:
#         type: boolean
#         description: Whether each peer has to have a password.
#         default: true
#       maxHops:
#         type: integer
#         description: |
#           How many hops away a peer may be at the most, as its ttlSecurity has to say. TTL
#           security is not asked for where it is left out.
#         minimum: 1
#         maximum: 254
#       allowedASNumbers:
#         type: array
#         description: AS numbers that are reserved and yet in use here.
#         default: []
#         items:
#           type: integer
#           minimum: 0
#           maximum: 4294967295
package policies.external_peer_hygiene

import data.policies.lib.asn
import data.policies.lib.text

# METADATA
# description: A peer without a password.
violation contains {
	"id": sprintf("%s/password", [peer.name]),
	"size": 1,
	"msg": concat("", [
		sprintf("BGPPeer %s has no password, so whoever can send packets in its name can end its sessions: ", [peer.name]),
		"set spec.password.secretKeyRef, and the same password on the router",
	]),
	"details": {"peerIP": peer.spec.peerIP},
	"objects": [{"kind": "BGPPeer", "name": peer.name}],
} if {
	input.parameters.requirePassword
	some peer in _peers
	object.get(peer.spec, "password", null) == null
}

# METADATA
# description: A peer without TTL security, or with one that lets more hops pass. Its size is how many too many.
violation contains {
	"id": sprintf("%s/ttl-security", [peer.name]),
	"size": hops - limit,
	"msg": concat("", [
		sprintf("BGPPeer %s %s, and the policy's parameter maxHops is %d: ", [peer.name, _has_hops(peer), limit]),
		sprintf("set spec.ttlSecurity: %d or less, and TTL security on the router", [limit]),
	]),
	"details": {"peerIP": peer.spec.peerIP, "ttlSecurity": _ttl_security(peer), "maxHops": limit},
	"objects": [{"kind": "BGPPeer", "name": peer.name}],
} if {
	limit := input.parameters.maxHops
	some peer in _peers

	# Without it, a packet may have come over as many hops as there can be.
	hops := {true: _ttl_security(peer), false: 255}[_ttl_security(peer) > 0]
	hops > limit
}

# METADATA
# description: An AS number that is reserved.
violation contains {
	"id": sprintf("%s/%s", [peer.name, field]),
	"size": 1,
	"msg": concat("", [
		sprintf("BGPPeer %s has the %s %d, which is reserved %s: ", [peer.name, field, number, purpose]),
		"use the router's real one, for private use 64512 to 65534 or 4200000000 to 4294967294, ",
		"or name it in the policy's parameter allowedASNumbers",
	]),
	"details": {"field": sprintf("spec.%s", [field]), "asNumber": number},
	"objects": [{"kind": "BGPPeer", "name": peer.name}],
} if {
	some peer in _peers
	some field in ["asNumber", "localASNumber"]
	number := asn.number(object.get(peer.spec, field, null), null)
	some reserved in _reserved
	number >= reserved.first
	number <= reserved.last
	purpose := reserved.purpose
	not number in input.parameters.allowedASNumbers
}

# METADATA
# description: BGPPeers that give the same nodes the same peer. Its size is how many are too many.
violation contains {
	"id": sprintf("same-peer/%s", [address]),
	"size": count(names) - 1,
	"msg": concat("", [
		sprintf("%s (%s) give the same nodes the peer %s: ", [
			text.counted(count(names), "BGPPeer"),
			text.some_of(array.slice(names, 0, 3), count(names)),
			address,
		]),
		"Calico uses one of them for each node; keep one, or tell them apart by their nodes or ports",
	]),
	"details": {"peer": address, "bgpPeers": names},
	"objects": [{"kind": "BGPPeer", "name": name} | some name in names],
} if {
	some address, peers in _by_address
	count(peers) > 1
	names := sort(_of_same_nodes([{"name": peer.name, "nodes": _nodes(peer)} |
		some peer in peers
		peer.localNodes > 0
	]))
	count(names) > 1
}

# METADATA
# description: A peer whose address is one of pods or services.
violation contains {
	"id": sprintf("%s/address", [peer.name]),
	"size": 1,
	"msg": concat("", [
		sprintf("BGPPeer %s has the peerIP %s, which is in %s: ", [peer.name, peer.spec.peerIP, ranges[0].words]),
		"the cluster itself gives out such addresses, and routes them; use the router's address on the nodes' network",
	]),
	"details": {"peerIP": peer.spec.peerIP, "ranges": [range.cidr | some range in ranges]},
	"objects": array.concat(
		[{"kind": "BGPPeer", "name": peer.name}],
		sort({range.object | some range in ranges}),
	),
} if {
	some peer in _peers
	ip := _address(peer.spec.peerIP).ip
	ranges := [range | some range in _ranges; net.cidr_contains(range.cidr, ip)]
	count(ranges) > 0
}

_peers contains peer if {
	some peer in input.state.bgpPeers
	peer.scope == "external"
	is_string(peer.spec.peerIP)
	peer.spec.peerIP != ""
}

_ttl_security(peer) := hops if {
	hops := object.get(peer.spec, "ttlSecurity", 0)
	is_number(hops)
} else := 0

_has_hops(peer) := "has no TTL security" if _ttl_security(peer) == 0

_has_hops(peer) := sprintf("takes packets over %s", [text.counted(_ttl_security(peer), "hop")]) if {
	_ttl_security(peer) > 0
}

# RFC 7607, RFC 6793, RFC 7300 and RFC 5398.
_reserved := [
	{"first": 0, "last": 0, "purpose": "and refused by BIRD"},
	{"first": 23456, "last": 23456, "purpose": "to stand for those of 4 bytes"},
	{"first": 64496, "last": 64511, "purpose": "for documentation"},
	{"first": 65535, "last": 65535, "purpose": "as the last of 2 bytes"},
	{"first": 65536, "last": 65551, "purpose": "for documentation"},
	{"first": 4294967295, "last": 4294967295, "purpose": "as the last of 4 bytes"},
]

# By address and port: another port is another peer.
_by_address[key] contains peer if {
	some peer in _peers
	address := _address(peer.spec.peerIP)
	key := _key(address)
}

_key(address) := address.ip if address.port == 179

_key(address) := sprintf("%s port %d", [address.ip, address.port]) if address.port != 179

# The names of those that give a node the peer beside another one. Only where it is
# certain: selectors that differ may select the same nodes.
_of_same_nodes(peers) := {peer.name | some peer in peers} if {
	["", ""] in {peer.nodes | some peer in peers}
}

# Sorted, those of the same nodes are next to each other.
_of_same_nodes(peers) := {name |
	some i
	sorted[i].nodes == sorted[i + 1].nodes
	some name in [sorted[i].name, sorted[i + 1].name]
} if {
	not ["", ""] in {peer.nodes | some peer in peers}
	sorted := [{"nodes": pair[0], "name": pair[1]} | some pair in sort([[peer.nodes, peer.name] | some peer in peers])]
}

# nodeSelector wins over node.
_nodes(peer) := ["", selector] if {
	selector := object.get(peer.spec, "nodeSelector", "")
	selector != ""
} else := [object.get(peer.spec, "node", ""), ""]

# An address in its shortest form, with a port, in the three forms that peerIP has.
_address(text) := {"ip": _shortest(text), "port": 179} if _shortest(text)

_address(text) := {"ip": _shortest(parts[1]), "port": to_number(parts[2])} if {
	parts := regex.find_all_string_submatch_n(`^([0-9.]+):([1-9][0-9]{0,4})$`, text, 1)[0]
}

_address(text) := {"ip": _shortest(parts[1]), "port": to_number(parts[2])} if {
	parts := regex.find_all_string_submatch_n(`^\[([0-9a-fA-F:.]+)\]:([1-9][0-9]{0,4})$`, text, 1)[0]
}

_shortest(text) := ip if {
	length := {true: 128, false: 32}[contains(text, ":")]
	cidr := sprintf("%s/%d", [text, length])
	net.cidr_is_valid(cidr)
	some merged in net.cidr_merge([cidr])
	ip := split(merged, "/")[0]
}

# Ranges of addresses that the cluster gives out.
_ranges := sort(_pools | _services)

_pools contains {
	"cidr": pool.spec.cidr,
	"words": sprintf("%s of IPPool %s", [pool.spec.cidr, pool.name]),
	"object": {"kind": "IPPool", "name": pool.name},
} if {
	some pool in input.state.ipPools
	_is_range(pool.spec.cidr)
}

_services contains {
	"cidr": block.cidr,
	"words": sprintf("%s of %s in BGPConfiguration default", [block.cidr, field]),
	"object": {"kind": "BGPConfiguration", "name": "default"},
} if {
	some field in ["serviceClusterIPs", "serviceExternalIPs", "serviceLoadBalancerIPs"]
	some block in input.state.bgpConfigurations["default"].spec[field]
	_is_range(block.cidr)
}

_is_range(cidr) if {
	is_string(cidr)
	net.cidr_is_valid(cidr)
}

# METADATA
# title: Safe settings for external peers
# description: |
#   Finds BGPPeers for external peers without a password or, if maxHops is set, without
#   TTL security; with reserved AS numbers; with a peerIP in an IPPool or a service range;
#   and BGPPeers that give the same nodes the same peer. It also finds BGPPeers of any kind
#   whose peer no session can be with, such as a loopback address, and services that are
#   advertised without any external peer. dangling-references checks that the Secret of a
#   password exists.
#
#   Without a password or TTL security, anyone who can send packets to a node can reset
#   its sessions or inject routes (RFC 7454). Addresses of pods and services move in the
#   cluster, so they are not stable addresses for a router.
# related_resources:
#   - ref: https://github.com/bgpguard/bgpguard/blob/main/docs/policies/external-peer-hygiene.md
#     description: bgpguard, external-peer-hygiene
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
#   eachBGPPeer: true
#   validationActions: [Warn]
#   exampleMessage: |
#     BGPPeer tor-1 has no password: anyone who can send packets from the peer's address can reset its
#     sessions; set spec.password.secretKeyRef, and the same password on the router
#   remediation: |
#     1. Create a Secret with the password in calico-node's namespace, reference it in
#        `spec.password.secretKeyRef`, and set the same password on the router.
#     2. For TTL security, set `spec.ttlSecurity` to the number of hops to the router (1 if it is
#        directly connected), and TTL security on the router.
#     3. Replace reserved AS numbers by the router's own. Add the number to `allowedASNumbers` if you
#        use it on purpose, for example in a lab.
#     4. Set `peerIP` to the router's address on the nodes' network, and keep one BGPPeer for each peer.
#     5. To peer with a daemon on the node itself, give it an address of its own. Pods with a
#        `localWorkloadSelector` need `localWorkloadPeeringIPV4` or `localWorkloadPeeringIPV6` in
#        BGPConfiguration default.
#   loosens: {requirePassword: false, maxHops: higher, allowedASNumbers: more}
#   parameters:
#     type: object
#     additionalProperties: false
#     properties:
#       requirePassword:
#         type: boolean
#         description: Whether each external peer must have a password.
#         default: true
#       maxHops:
#         type: integer
#         description: |
#           Maximum number of hops to a peer, and so the maximum of ttlSecurity. If it is
#           unset, TTL security is not required.
#         minimum: 1
#         maximum: 254
#       allowedASNumbers:
#         type: array
#         description: Reserved AS numbers that BGPPeers may use.
#         default: []
#         items:
#           type: integer
#           minimum: 0
#           maximum: 4294967295
package policies.external_peer_hygiene

import data.policies.lib.asn
import data.policies.lib.objects
import data.policies.lib.text

# METADATA
# description: A peer with which no session can come up.
violation contains {
	"id": sprintf("%s/unusable", [peer.name]),
	"size": 1,
	"msg": sprintf("BGPPeer %s has a peer with which no session can come up: %s; %s", [
		peer.name,
		peer.unusable,
		_usable[peer.scope],
	]),
	"details": {"reason": peer.unusable},
	"objects": [{"kind": "BGPPeer", "name": peer.name}],
} if {
	some peer in input.state.bgpPeers
	peer.unusable != null
}

# METADATA
# description: A peer without a password.
violation contains {
	"id": sprintf("%s/password", [peer.name]),
	"size": 1,
	"msg": concat("", [
		sprintf("BGPPeer %s has no password: ", [peer.name]),
		"anyone who can send packets from the peer's address can reset its sessions; ",
		"set spec.password.secretKeyRef, and the same password on the router",
	]),
	"details": {"peerIP": peer.spec.peerIP},
	"objects": objects.named("BGPPeer", [peer.name], ["spec.password"]),
} if {
	input.parameters.requirePassword
	some name in _peers
	peer := input.state.bgpPeers[name]
	object.get(peer.spec, "password", null) == null
}

# METADATA
# description: A peer without TTL security or with too many hops. The size is the number of hops above the limit.
violation contains {
	"id": sprintf("%s/ttl-security", [peer.name]),
	"size": hops - limit,
	"msg": concat("", [
		sprintf("BGPPeer %s accepts packets from too far away: ", [peer.name]),
		sprintf("ttlSecurity is %s, the maximum is %d (parameter maxHops); ", [_hops_text(peer), limit]),
		sprintf("set spec.ttlSecurity: %d or less, and TTL security on the router", [limit]),
	]),
	"details": {"peerIP": peer.spec.peerIP, "ttlSecurity": _ttl_security(peer), "maxHops": limit},
	"objects": objects.named("BGPPeer", [peer.name], ["spec.ttlSecurity"]),
} if {
	limit := input.parameters.maxHops
	some name in _peers
	peer := input.state.bgpPeers[name]

	# Without TTL security, packets can come from any number of hops away.
	hops := {true: _ttl_security(peer), false: 255}[_ttl_security(peer) > 0]
	hops > limit
}

# METADATA
# description: A reserved AS number.
violation contains {
	"id": sprintf("%s/%s", [peer.name, field]),
	"size": 1,
	"msg": concat("", [
		sprintf("BGPPeer %s has a reserved AS number: %s is %d (%s); ", [peer.name, field, number, purpose]),
		"use the router's AS number, for private use 64512 to 65534 or 4200000000 to 4294967294, ",
		"or add it to the parameter allowedASNumbers",
	]),
	"details": {"field": sprintf("spec.%s", [field]), "asNumber": number},
	"objects": objects.named("BGPPeer", [peer.name], [sprintf("spec.%s", [field])]),
} if {
	some name in _peers
	peer := input.state.bgpPeers[name]
	some field, value in {
		"asNumber": object.get(peer.spec, "asNumber", null),
		"localASNumber": object.get(peer.spec, "localASNumber", null),
	}
	number := asn.number(value, null)
	some reserved in _reserved
	number >= reserved.first
	number <= reserved.last
	purpose := reserved.purpose
	not number in input.parameters.allowedASNumbers
}

# METADATA
# description: |
#   Services that Calico advertises to no external peer. The size is the number of fields of
#   BGPConfiguration default that list their addresses. It is advisory: routers can learn
#   these routes in other ways.
violation contains {
	"id": "services",
	"advisory": true,
	"size": count(fields),
	"msg": concat("", [
		sprintf("no external peer for service addresses: %s in BGPConfiguration default; ", [listed]),
		"routers outside the cluster get no routes to them; ",
		"create a BGPPeer for the routers, or remove the addresses",
	]),
	"details": {"fields": fields},
	"objects": objects.named("BGPConfiguration", ["default"], [sprintf("spec.%s", [field]) | some field in fields]),
} if {
	fields := [field |
		some field in _advertised
		count(object.get(input.state.bgpConfigurations["default"].spec, field, [])) > 0
	]
	count(fields) > 0
	listed := text.listed(count(fields), "field", fields)
	input.state.nodes.bgp > 0
	every sessions in input.state.sessions {
		sessions.external == 0
	}
}

# METADATA
# description: BGPPeers that give the same nodes the same peer. The size is the number of duplicates.
violation contains {
	"id": sprintf("same-peer/%s", [address]),
	"size": count(names) - 1,
	"msg": concat("", [
		sprintf("duplicate BGPPeers: %s give the same nodes the peer %s; ", [
			text.listed(count(names), "BGPPeer", names),
			address,
		]),
		"Calico uses one of them for each node; keep one, or separate them by nodes or ports",
	]),
	"details": {"peer": address, "bgpPeers": names},
	"objects": [objects.selecting(name, input.state.bgpPeers[name]) | some name in names],
} if {
	some address in _repeated([entry[0] | some entry in _addressed])
	names := sort(_of_same_nodes([{"name": name, "nodes": _nodes(peer)} |
		some entry in _addressed
		entry[0] == address
		name := entry[1]
		peer := input.state.bgpPeers[name]
		peer.localNodes > 0
	]))
	count(names) > 1
}

# METADATA
# description: A peer whose address belongs to pods or services.
violation contains {
	"id": sprintf("%s/address", [peer.name]),
	"size": 1,
	"msg": concat("", [
		sprintf("BGPPeer %s has a peerIP that the cluster assigns: ", [peer.name]),
		sprintf("%s is in %s; ", [peer.spec.peerIP, ranges[0].words]),
		"use the router's address on the nodes' network",
	]),
	"details": {"peerIP": peer.spec.peerIP, "ranges": [range.cidr | some range in ranges]},
	"objects": array.concat(
		objects.named("BGPPeer", [peer.name], ["spec.peerIP"]),
		sort({range.object | some range in ranges}),
	),
} if {
	some name in _peers
	peer := input.state.bgpPeers[name]
	ip := _address(peer.spec.peerIP).ip
	ranges := [range | some range in _ranges; net.cidr_contains(range.cidr, ip)]
	count(ranges) > 0
}

_usable := {
	"external": concat("", [
		"each start of calico-node on its nodes waits 240 s for it; ",
		"set peerIP to the router's address on the nodes' network, or delete the BGPPeer",
	]),
	"nodes": "set peerIP to the address of another node, or delete the BGPPeer",
	"workloads": "set one of these fields, or delete the BGPPeer",
}

_advertised := ["serviceClusterIPs", "serviceExternalIPs", "serviceLoadBalancerIPs"]

# The names of the external BGPPeers that can have sessions.
_peers contains name if {
	some name, peer in input.state.bgpPeers
	peer.scope == "external"
	peer.unusable == null
	is_string(peer.spec.peerIP)
	peer.spec.peerIP != ""
}

_ttl_security(peer) := hops if {
	hops := object.get(peer.spec, "ttlSecurity", 0)
	is_number(hops)
} else := 0

_hops_text(peer) := "unset" if _ttl_security(peer) == 0

_hops_text(peer) := sprintf("%d", [_ttl_security(peer)]) if _ttl_security(peer) > 0

_reserved := [
	{"first": 0, "last": 0, "purpose": "RFC 7607, BIRD rejects it"},
	{"first": 23456, "last": 23456, "purpose": "RFC 6793, AS_TRANS"},
	{"first": 64496, "last": 64511, "purpose": "RFC 5398, for documentation"},
	{"first": 65535, "last": 65535, "purpose": "RFC 7300, the last of 2 bytes"},
	{"first": 65536, "last": 65551, "purpose": "RFC 5398, for documentation"},
	{"first": 4294967295, "last": 4294967295, "purpose": "RFC 7300, the last of 4 bytes"},
]

# Pairs of the address and the name of the BGPPeer.
_addressed contains [_key(_address(peer.spec.peerIP)), name] if {
	some name in _peers
	peer := input.state.bgpPeers[name]
}

# Peers with different ports are different peers.
_key(address) := address.ip if address.port == 179

_key(address) := sprintf("%s port %d", [address.ip, address.port]) if address.port != 179

# The names of the BGPPeers that give a node a peer that another BGPPeer gives it too. Different
# selectors count as different nodes, although they may select the same nodes.
_of_same_nodes(peers) := {peer.name | some peer in peers} if {
	"" in {peer.nodes | some peer in peers}
} else := {peer.name | some peer in peers; peer.nodes in shared} if {
	shared := _repeated([peer.nodes | some peer in peers])
}

# The texts that are in a list more than once. They are next to each other once sorted.
_repeated(texts) := {text |
	sorted := sort(texts)
	some i, text in sorted
	sorted[i + 1] == text
}

# What selects the nodes of a BGPPeer, empty for all nodes. nodeSelector takes precedence over node.
_nodes(peer) := sprintf("nodeSelector %s", [peer.spec.nodeSelector]) if {
	object.get(peer.spec, "nodeSelector", "") != ""
} else := sprintf("node %s", [peer.spec.node]) if {
	object.get(peer.spec, "node", "") != ""
} else := ""

# The shortest form of the address, and the port, from the three formats of peerIP.
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

# Address ranges that the cluster assigns.
_ranges := sort(_pools | _services)

_pools contains {
	"cidr": pool.spec.cidr,
	"words": sprintf("%s of IPPool %s", [pool.spec.cidr, pool.name]),
	"object": {"kind": "IPPool", "name": pool.name, "fields": ["spec.cidr"]},
} if {
	some pool in input.state.ipPools
	_is_range(pool.spec.cidr)
}

_services contains {
	"cidr": block.cidr,
	"words": sprintf("%s of %s in BGPConfiguration default", [block.cidr, field]),
	"object": {"kind": "BGPConfiguration", "name": "default", "fields": [sprintf("spec.%s", [field])]},
} if {
	some field, blocks in _service_blocks
	some block in blocks
	_is_range(block.cidr)
}

# Each field by its name, so that a change of another one does not count.
_service_blocks := {
	"serviceClusterIPs": object.get(spec, "serviceClusterIPs", []),
	"serviceExternalIPs": object.get(spec, "serviceExternalIPs", []),
	"serviceLoadBalancerIPs": object.get(spec, "serviceLoadBalancerIPs", []),
} if {
	spec := input.state.bgpConfigurations["default"].spec
}

_is_range(cidr) if {
	is_string(cidr)
	net.cidr_is_valid(cidr)
}

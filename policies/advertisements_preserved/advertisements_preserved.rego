# METADATA
# title: Routes for the network outside
# description: |
#   Finds changes after which routers outside the cluster no longer receive routes: the last session
#   with an external peer is removed, or a range of addresses of Services is no longer advertised.
#   Ranges are those in serviceClusterIPs, serviceExternalIPs and serviceLoadBalancerIPs of
#   BGPConfiguration "default".
#
#   Traffic from outside the cluster to these addresses has no route then. A range is no longer
#   advertised if it is removed, if all nodes get the label
#   `node.kubernetes.io/exclude-from-external-load-balancers: "true"`, if the last session is removed,
#   or if BGPFilters reject the route on all sessions. If they reject only some addresses of a range
#   whose single addresses nodes advertise, a part of it is no longer advertised. What external peers
#   did not receive before the change does not count.
# related_resources:
#   - ref: https://github.com/bgpguard/bgpguard/blob/main/docs/policies/advertisements-preserved.md
#     description: bgpguard, advertisements-preserved
#   - ref: https://docs.tigera.io/calico/latest/networking/configuring/advertise-service-ips
#     description: Calico, advertise addresses of Services over BGP
#   - ref: https://docs.tigera.io/calico/latest/reference/resources/bgpconfig
#     description: Calico, BGPConfiguration
# schemas:
#   - input: schema.change
# custom:
#   severity: high
#   judges: change
#   eachBGPPeer: true
#   validationActions: [Warn]
#   exampleMessage: |
#     addresses of Services are no longer advertised to external peers: 1 IPv4 range (10.96.0.0/12 in
#     serviceLoadBalancerIPs, 6 sessions before and 0 after), nodes that may advertise: 3 before and 0 after;
#     remove the label node.kubernetes.io/exclude-from-external-load-balancers from a node that peers
#     with a router
#   remediation: |
#     1. Read in the warning what is lost: sessions, nodes that advertise the range, or the range.
#     2. If you replace a BGPPeer or a node that peers with a router, add the new one first, wait until
#        its session is established, and then remove the old one.
#     3. If you replace a range, add the new range first. Remove the old one when no Service has
#        addresses in it.
#     4. If you remove a router or a range for good, first move the traffic from outside to other
#        addresses or routers.
#   parameters:
#     type: object
#     additionalProperties: false
package policies.advertisements_preserved

import data.policies.lib.objects
import data.policies.lib.text

# METADATA
# description: |
#   External peers that lose their last session, for whatever reason: a BGPPeer changes, a label or an
#   address of a node, or another BGPPeer takes over the connection. The size is their number.
violation contains {
	"id": "external-peers",
	"size": count(addresses),
	"msg": concat("", [
		"external peers lose their last session, and receive no routes of the cluster: ",
		text.listed(count(addresses), "external peer", addresses),
		sprintf(", %s before and 0 after; ", [text.counted(sessions, "session")]),
		"keep for each router a BGPPeer that selects a node with an address, ",
		"or move traffic from outside to other routers first",
	]),
	"details": {"externalPeers": addresses, "sessionsBefore": sessions, "sessionsAfter": 0},
	"objects": [objects.selecting(name, input.before.bgpPeers[name]) |
		some name in array.slice(sort(object.keys(_lost_peers)), 0, 10)
	],
} if {
	count(_lost_peers) > 0
	addresses := sort({peer.address | some peer in _lost_peers})
	sessions := sum([peer.externalSessions | some peer in _lost_peers])
}

# METADATA
# description: |
#   Ranges of addresses of Services that stay configured, but that no session carries after the change.
#   The size is their number.
violation contains {
	"id": sprintf("%s/not-advertised", [family]),
	"size": count(lost),
	"msg": concat("", [
		"addresses of Services are no longer advertised to external peers: ",
		_listed(family, lost),
		sprintf(", nodes that may advertise: %s before and %s after; ", [
			text.number(lost[0].before.nodes),
			text.number(lost[0].after.nodes),
		]),
		_remedy(lost[0].after.nodes),
	]),
	"details": {"family": family, "ranges": [_named(range.before) | some range in lost]},
	"objects": _configuration(lost),
} if {
	some family in ["IPv4", "IPv6"]
	lost := [range | some range in _kept(family); range.after.partSessions == 0]
	count(lost) > 0
}

# METADATA
# description: |
#   Ranges of addresses of Services of which no session carries some addresses after the change, and
#   sessions carry others. The size is their number.
violation contains {
	"id": sprintf("%s/part-not-advertised", [family]),
	"size": count(lost),
	"msg": concat("", [
		"a part of the addresses of Services is no longer advertised to external peers: ",
		text.listed(count(lost), sprintf("%s range", [family]), [name |
			some range in lost
			name := sprintf("%s without %s", [_named(range.before), concat(", ", range.after.unadvertised.sample)])
		]),
		"; other addresses still are; keep on one session no BGPFilter that rejects them, ",
		"or first move traffic from outside to other addresses",
	]),
	"details": {"family": family, "ranges": [_named(range.before) | some range in lost]},
	"objects": _configuration(lost),
} if {
	some family in ["IPv4", "IPv6"]
	lost := [range |
		some range in _kept(family)
		range.after.partSessions > 0
		range.after.unadvertised.addresses > range.before.unadvertised.addresses
	]
	count(lost) > 0
}

# METADATA
# description: |
#   Ranges of addresses of Services that are removed, and that no other range contains. The size is
#   their number.
violation contains {
	"id": sprintf("%s/removed", [family]),
	"size": count(lost),
	"msg": concat("", [
		"ranges of addresses of Services are removed, so nodes no longer advertise them: ",
		_listed(family, lost),
		"; ",
		"first move traffic from outside to addresses in other ranges, or keep the range",
	]),
	"details": {"family": family, "ranges": [_named(range.before) | some range in lost]},
	"objects": _configuration(lost),
} if {
	some family, ranges in input.before.serviceRanges
	after := [range.cidr | some range in input.state.serviceRanges[family]]
	lost := [{"before": before} |
		some before in ranges
		before.partSessions > 0
		not _covered(before.cidr, after)
	]
	count(lost) > 0
}

# The ranges that stay configured and of which sessions carried some addresses before.
_kept(family) := [{"before": before, "after": after} |
	some before in input.before.serviceRanges[family]
	before.partSessions > 0
	some after in input.state.serviceRanges[family]
	after.field == before.field
	after.cidr == before.cidr
]

# BGPPeers with sessions with an external peer that has none now.
_lost_peers[name] := peer if {
	some name, peer in input.before.bgpPeers
	peer.externalSessions > 0
	not _same(name, peer)
	not peer.address in _addresses
}

# Cheaper than _addresses for most BGPPeers.
_same(name, peer) if {
	now := input.state.bgpPeers[name]
	now.address == peer.address
	now.externalSessions > 0
}

_addresses contains peer.address if {
	some peer in input.state.bgpPeers
	peer.externalSessions > 0
}

_covered(cidr, ranges) if {
	some range in ranges
	net.cidr_contains(range, cidr)
}

_listed(family, lost) := text.listed(count(lost), sprintf("%s range", [family]), [name |
	some range in lost
	sessions := text.counted(range.before.partSessions, "session")
	name := sprintf("%s, %s before and 0 after", [_named(range.before), sessions])
])

_named(range) := sprintf("%s in %s", [range.cidr, range.field])

_remedy(0) := concat(" ", ["remove the label", _exclude, "from a node that peers with a router"])

_remedy(nodes) := concat(" ", [
	"keep a BGPPeer that connects nodes without the label",
	_exclude,
	"with a router, and no BGPFilter on it that rejects the range",
]) if {
	nodes > 0
}

_exclude := "node.kubernetes.io/exclude-from-external-load-balancers"

_configuration(lost) := objects.named("BGPConfiguration", ["default"], sort({field |
	some range in lost
	field := sprintf("spec.%s", [range.before.field])
}))

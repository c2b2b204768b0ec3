# METADATA
# title: No single point of failure in route reflection
# description: |
#   Finds route reflectors, zones and external peers whose loss would isolate other
#   nodes, in each address family in which pod traffic between nodes needs BGP. A node
#   depends on a single point of failure if all its sessions are with it. The policy
#   also finds route reflectors that are not ready, and those with too many sessions.
#
#   When a single point of failure is lost, isolated nodes lose the routes to all other
#   nodes. A route reflector with many sessions needs more memory and time to send
#   routes after each restart.
# related_resources:
#   - ref: https://github.com/bgpguard/bgpguard/blob/main/docs/policies/reflector-redundancy.md
#     description: bgpguard, reflector-redundancy
#   - ref: https://docs.tigera.io/calico/latest/networking/configuring/bgp
#     description: Calico, full mesh and route reflectors
#   - ref: https://www.rfc-editor.org/rfc/rfc4456#section-7
#     description: BGP route reflection, redundant route reflectors
# schemas:
#   - input: schema.input
# custom:
#   severity: high
#   judges: state
#   validationActions: [Warn]
#   exampleMessage: |
#     single point of failure in IPv4: the loss of node node-1 would isolate 7 nodes (node-4, node-5,
#     node-6 and 4 more); peer these nodes with a second route reflector, by its labels or by the
#     peerSelector of a BGPPeer
#   remediation: |
#     1. Add a second route reflector, if possible in another zone, and give it the label that the
#        BGPPeer's `peerSelector` selects.
#     2. Run `bgpguard topology` on the new state: it lists the single points of failure that remain.
#     3. Find out why a route reflector is not ready: `kubectl describe node NAME`. Delete the Node
#        objects of machines that no longer exist.
#     4. For a load violation, add route reflectors, give each group of nodes its own with
#        `nodeSelector`, or raise `maxSessions` if the nodes have enough memory.
#   loosens: {kinds: fewer, transitPeers: more, maxSessions: higher}
#   parameters:
#     type: object
#     additionalProperties: false
#     properties:
#       kinds:
#         type: array
#         description: |
#           Kinds of single points of failure to find. Nodes of a rack often have only one
#           router, and the rack is lost with it, so externalPeer is not in the default.
#         default: [node, zone]
#         items: {type: string, enum: [node, zone, externalPeer]}
#       transitPeers:
#         type: array
#         description: |
#           External peers that are known to pass routes on between the nodes that peer with
#           them: names of BGPPeers, addresses, CIDRs or AS numbers. All others are
#           also assumed to pass nothing on.
#         default: []
#         maxItems: 1000
#         items:
#           type: string
#           pattern: "^([0-9]+|[0-9A-Fa-f:.]+(/[0-9]+)?|[a-z0-9]([-a-z0-9.]*[a-z0-9])?)$"
#       maxSessions:
#         type: integer
#         description: Maximum number of sessions of a route reflector in one address family.
#         default: 2000
#         minimum: 1
package policies.reflector_redundancy

import data.policies.lib.objects
import data.policies.lib.text
import data.policies.lib.transit

# METADATA
# description: A single point of failure. The size is the number of nodes that its loss isolates.
violation contains object.union(found, transit.assumption(reading.assumes)) if {
	some family in ["IPv4", "IPv6"]
	input.state.podTraffic[family].needsBGP
	some reading in transit.readings(input.state.routes[family], input.parameters.transitPeers)
	some point in reading.reach.singlePoints
	point.kind in input.parameters.kinds
	found := {
		"id": sprintf("%s/single-point/%s/%s", [family, point.kind, point.name]),
		"size": point.nodes,
		"members": [point.members],
		"msg": sprintf("single point of failure in %s: the loss of %s %s would isolate %s; %s", [
			family,
			_kinds[point.kind],
			point.name,
			text.listed(point.nodes, "node", point.sample),
			_remedies[point.kind],
		]),
		"details": {
			"family": family,
			"kind": point.kind,
			"name": point.name,
			"nodes": point.nodes,
			"sample": point.sample,
		},
		"objects": _objects(point),
	}
}

# METADATA
# description: |
#   Route reflectors that are not ready and to which other nodes have sessions. The size is their
#   number.
violation contains {
	"id": sprintf("%s/not-ready", [family]),
	"size": down.nodes,
	"members": [down.members],
	"msg": concat("", [
		sprintf("%s route reflectors that are not ready: %s; ", [
			family,
			text.listed_of(down.nodes, reflectors.peered, "route reflector", down.sample),
		]),
		"nodes have routes from the others alone, and each start of calico-node on a node that peers with ",
		"them waits 240 s; fix the nodes, or delete the Nodes of machines that no longer exist",
	]),
	"details": {
		"family": family,
		"nodes": down.nodes,
		"sample": down.sample,
		"peered": reflectors.peered,
	},
	"objects": [{"kind": "Node", "name": name} | some name in down.sample],
} if {
	some family in ["IPv4", "IPv6"]
	input.state.podTraffic[family].needsBGP
	reflectors := input.state.reflectors[family]
	down := reflectors.notReady
	down.nodes > 0
}

# METADATA
# description: Route reflectors with too many sessions. The size is the number of sessions above the limit.
violation contains {
	"id": sprintf("%s/load", [family]),
	"size": sum([excess | some level in over; excess := (level.sessions - limit) * level.nodes]),
	"members": [level.members | some level in array.reverse(over)], # the largest set first
	"msg": concat("", [
		sprintf("too many %s sessions: %s above the limit of %s, up to %s; ", [
			family,
			text.listed(reflectors, "route reflector", sample),
			text.number(limit),
			text.number(over[0].sessions),
		]),
		"add route reflectors and divide the nodes among them, or raise the parameter maxSessions",
	]),
	"details": {
		"family": family,
		"routeReflectors": reflectors,
		"sessions": over[0].sessions,
		"maxSessions": limit,
	},
	"objects": array.concat(
		objects.named("Node", array.slice(sample, 0, 3), objects.of_nodes(input.state.selectors)),
		objects.largest(input.state.bgpPeers, about.bgpPeers),
	),
} if {
	limit := input.parameters.maxSessions
	some family in ["IPv4", "IPv6"]
	about := input.state.reflectors[family]
	over := [level | some level in about.load; level.sessions > limit]
	count(over) > 0
	reflectors := sum([level.nodes | some level in over])
	sample := [name | some level in over; some name in level.sample]
}

# The single point, and nodes that depend on it, which may lack a label.
_objects(point) := array.concat(
	array.concat(
		objects.named("Node", [point.name | point.kind == "node"], []),
		[objects.selecting(name, input.state.bgpPeers[name]) |
			point.kind == "externalPeer"
			some name in object.get(_by_address, point.name, [])
		],
	),
	objects.named("Node", point.sample, _labels),
)

# One set for all single points.
_labels := objects.of_nodes(input.state.selectors)

# The names of the BGPPeers with an address. An object rule would compare each key with all earlier ones.
# regal ignore:prefer-set-or-object-rule
_by_address := {address: names | some [address, names] in _addressed}

_addressed contains [address, names] if {
	some address in {peer.address | some peer in input.state.bgpPeers}
	names := [name | some name, peer in input.state.bgpPeers; peer.address == address]
}

_kinds := {"node": "node", "zone": "zone", "externalPeer": "external peer"}

_remedies := {
	"node": "peer these nodes with a second route reflector, by its labels or by the peerSelector of a BGPPeer",
	"zone": "add a route reflector in another zone, and peer these nodes with it",
	"externalPeer": "peer these nodes with a second router, or with route reflectors",
}

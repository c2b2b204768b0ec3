# METADATA
# title: No single point in route reflection
# description: |
#   No route reflector, zone or peer outside the cluster is one whose loss would cut
#   nodes off, where pod traffic between nodes needs BGP, and no route reflector has
#   more sessions than it is given. A node counts as depending on what all of its own
#   sessions are with.
# related_resources:
#   - ref: https://www.rfc-editor.org/rfc/rfc4456#section-7
#     description: BGP route reflection, redundant route reflectors
#   - ref: https://docs.tigera.io/calico/latest/networking/configuring/bgp
#     description: Calico, full mesh and route reflectors
# schemas:
#   - input: schema.input
# custom:
#   severity: high
#   judges: state
#   validationActions: [Warn]
#   parameters:
#     type: object
#     additionalProperties: false
#     properties:
#       kinds:
#         type: array
#         description: |
#           What nodes may not depend on alone. A rack whose only way is one router is
#           common, and its loss takes the rack along anyway, so externalPeer is not
#           among the default.
#         default: [node, zone]
#         items: {type: string, enum: [node, zone, externalPeer]}
#       externalPeers:
#         type: string
#         description: |
#           Whether peers that are not nodes of the cluster carry routes on between the
#           nodes that peer with them, or are to be ignored.
#         default: carry
#         enum: [carry, ignore]
#       maxSessions:
#         type: integer
#         description: How many sessions a route reflector may have in one address family.
#         default: 2000
#         minimum: 1
package policies.reflector_redundancy

import data.policies.lib.text

# METADATA
# description: What cuts nodes off when it is lost. Its size is how many nodes.
violation contains {
	"id": sprintf("%s/single-point/%s/%s", [family, point.kind, point.name]),
	"size": point.nodes,
	"members": [point.members],
	"msg": concat("", [
		sprintf("the loss of %s %s alone would cut %s (%s) off%s: ", [
			_kinds[point.kind],
			point.name,
			text.counted(point.nodes, "node"),
			text.some_of(point.sample, point.nodes),
			_in_family(family),
		]),
		_remedies[point.kind],
	]),
	"details": {
		"family": family,
		"kind": point.kind,
		"name": point.name,
		"nodes": point.nodes,
		"sample": point.sample,
	},
	"objects": _objects(point, family),
} if {
	some family in ["IPv4", "IPv6"]
	input.state.podTraffic[family].needsBGP
	some point in _reach(family).singlePoints
	point.kind in input.parameters.kinds
}

# METADATA
# description: Route reflectors with too many sessions. Its size is how many sessions are too many, in all.
violation contains {
	"id": sprintf("%s/load", [family]),
	"size": sum([excess | some level in over; excess := (level.sessions - limit) * level.nodes]),
	"members": [level.members | some level in over],
	"msg": concat("", [
		sprintf("%s (%s) %s more than %s%s, up to %s: ", [
			text.counted(reflectors, "route reflector"),
			text.some_of(array.slice(sample, 0, 3), reflectors),
			text.agree(reflectors, "has", "have"),
			text.counted(limit, "session"),
			_in_family(family),
			text.number(over[0].sessions),
		]),
		"add route reflectors and divide the nodes among them, or raise the policy's parameter maxSessions",
	]),
	"details": {
		"family": family,
		"routeReflectors": reflectors,
		"sessions": over[0].sessions,
		"maxSessions": limit,
	},
	"objects": _bgp_peers(about.bgpPeers),
} if {
	limit := input.parameters.maxSessions
	some family in ["IPv4", "IPv6"]
	about := input.state.reflectors[family]
	over := [level | some level in about.load; level.sessions > limit]
	count(over) > 0
	reflectors := sum([level.nodes | some level in over])
	sample := [name | some level in over; some name in level.sample]
}

_reach(family) := input.state.routes[family].withTransit if input.parameters.externalPeers == "carry"

_reach(family) := input.state.routes[family].withoutTransit if input.parameters.externalPeers == "ignore"

# A node is about itself; whatever gives nodes their sessions may be at fault.
_objects(point, family) := array.concat(
	[{"kind": "Node", "name": point.name} | point.kind == "node"],
	_bgp_peers(input.state.routes[family].bgpPeers),
)

_bgp_peers(names) := [{"kind": "BGPPeer", "name": name} | some name in names]

_kinds := {"node": "node", "zone": "zone", "externalPeer": "the peer outside the cluster"}

_remedies := {
	"node": "peer them with a second route reflector, by its labels or by the peerSelector of a BGPPeer",
	"zone": "have a route reflector in another zone too, and peer them with it",
	"externalPeer": "peer them with a second router, or with route reflectors",
}

# The family is only worth a word where there are two.
_in_family(family) := sprintf(" in %s", [family]) if {
	input.state.podTraffic.IPv4.needsBGP
	input.state.podTraffic.IPv6.needsBGP
} else := ""

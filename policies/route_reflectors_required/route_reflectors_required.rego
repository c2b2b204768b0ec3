# METADATA
# title: Enough route reflectors for every node
# description: |
#   Finds nodes with too few BGP sessions to route reflectors while the node-to-node
#   mesh is off. It checks each address family in which pod traffic between nodes
#   needs BGP. Route reflectors themselves are not counted.
#
#   A node without a session to a route reflector has no routes to the pods of other
#   nodes, and other nodes have none to its pods. A node with one session loses its
#   routes with that route reflector.
# related_resources:
#   - ref: https://github.com/bgpguard/bgpguard/blob/main/docs/policies/route-reflectors-required.md
#     description: bgpguard, route-reflectors-required
#   - ref: https://docs.tigera.io/calico/latest/networking/configuring/bgp
#     description: Calico, route reflectors
#   - ref: https://www.rfc-editor.org/rfc/rfc4456
#     description: BGP route reflection, an alternative to full mesh
# schemas:
#   - input: schema.input
# custom:
#   severity: critical
#   judges: state
#   validationActions: [Deny]
#   exampleMessage: |
#     too few IPv4 sessions to route reflectors: 5,000 of 5,000 nodes (node-1, node-2, node-3 and
#     4,997 more) below the minimum of 2, 5,000 nodes with none; add 2 route reflectors (annotation
#     projectcalico.org/RouteReflectorClusterID) and select them with a BGPPeer, or turn the
#     node-to-node mesh on
#   remediation: |
#     1. If the change turns the node-to-node mesh off, keep it on until all nodes have sessions to
#        route reflectors.
#     2. Make sure that the cluster has at least `minReflectors` route reflectors: Nodes with the
#        annotation `projectcalico.org/RouteReflectorClusterID`.
#     3. Select them with the `peerSelector` of a BGPPeer whose `nodeSelector` is `all()`. Use a label
#        that only you manage.
#     4. Where nodes peer with external routers instead, set `validationActions: [Warn]` or remove
#        this BGPPolicy. `reachability-preserved` still protects the routes.
#   loosens: {minReflectors: lower}
#   parameters:
#     type: object
#     additionalProperties: false
#     properties:
#       minReflectors:
#         type: integer
#         description: Minimum number of route reflectors that each node has sessions to.
#         default: 2
#         minimum: 1
#         maximum: 16
package policies.route_reflectors_required

import data.policies.lib.causes
import data.policies.lib.objects
import data.policies.lib.text

# METADATA
# description: |
#   An address family in which nodes have too few sessions to route reflectors. The
#   size is their number and that of the route reflectors with as few, which can have
#   too few while the others have enough: so a node that is no longer a route reflector
#   makes it no larger. The sets of nodes are nested, so that a node that loses its last
#   session is worse than before.
violation contains {
	"id": family,
	"size": sum([level.nodes | some level in below]),
	"members": array.concat(named, [members | some members in _widest_first(reflecting); not members in named]),
	"msg": sprintf("too few %s sessions to route reflectors: %s below the minimum of %d, %s with none; %s", [
		family,
		text.listed_of(details.short, details.nodes, "node", details.sample),
		least,
		text.counted(details.without, "node"),
		causes.advice(_causes(family, details.short), details.short, _remedy(details)),
	]),
	"details": details,
	"objects": _at_fault(family, details),
} if {
	not input.state.mesh.enabled
	some family in ["IPv4", "IPv6"]
	_counts(family)
	least := input.parameters.minReflectors
	short := [level | some level in input.state.reflectors[family].levels; level.reflectors < least]
	count(short) > 0
	reflecting := [level | some level in input.state.reflectors[family].reflecting; level.reflectors < least]
	below := array.concat(short, reflecting)
	named := _widest_first(short)
	details := {
		"family": family,
		"nodes": input.state.reflectors[family].nodes,
		"short": sum([level.nodes | some level in short]),
		"without": sum([level.nodes | some level in short; level.reflectors == 0]),
		"minReflectors": least,
		"reflectors": input.state.reflectors[family].total,
		"peered": input.state.reflectors[family].peered,
		"sample": array.slice([name | some level in short; some name in level.sample], 0, 3),
	}
}

_bgp := input.state.bgp

_at_fault(_, _) := causes.disabling(_bgp) if not _bgp.enabled

_at_fault(family, details) := _objects(family, details) if _bgp.enabled

_blamed(f, nodes) := causes.blamed(f, input.state.addresses[f], input.state.otherASNumbers[f], nodes)

# The set of a level contains those of lower levels.
_widest_first(levels) := [members |
	some [_, members] in sort({[0 - level.reflectors, level.members] | some level in levels})
]

# If the mesh is off and nothing replaces it, the mesh is the cause.
_objects(family, details) := blamed if {
	blamed := _blamed(family, details.short)
	count(blamed) > 0
} else := objects.leaving_out(details.sample, input.state.selectors, family) if {
	details.reflectors >= details.minReflectors
	details.peered > 0
} else := array.concat([objects.mesh], objects.unused(input.state.selectors))

# A state without IPPools can need BGP in a family in which it has no node, and a single node needs
# no routes.
_counts(family) if {
	input.state.podTraffic[family].needsBGP
	input.state.reflectors[family].nodes > 0
	input.state.reflectors[family].nodes + input.state.reflectors[family].total > 1
}

_causes(_, nodes) := causes.disabled(_bgp, nodes) if not _bgp.enabled

_causes(family, _) := _of_nodes(family) if _bgp.enabled

_of_nodes(family) := causes.of(family, input.state.addresses[family], input.state.otherASNumbers[family])

# External peers can reflect routes too, which no object shows.
_remedy(details) := concat("", [
	sprintf("add %s ", [text.counted(details.minReflectors - details.reflectors, "route reflector")]),
	"(annotation projectcalico.org/RouteReflectorClusterID) and select them with a BGPPeer, ",
	"or turn the node-to-node mesh on",
	concat("", ["; set the action Warn if external peers act as route reflectors" |
		details.reflectors == 0
		input.state.sessions[details.family].external > 0
	]),
]) if {
	details.reflectors < details.minReflectors
} else := concat("", [
	sprintf("no BGPPeer selects a route reflector (the cluster has %d): ", [details.reflectors]),
	"fix their labels or the peerSelector of a BGPPeer, or turn the node-to-node mesh on",
]) if {
	details.peered == 0
} else := concat("", [
	sprintf("BGPPeers select only %d of %s: ", [details.peered, text.counted(details.reflectors, "route reflector")]),
	"fix their labels or the peerSelector of a BGPPeer, or turn the node-to-node mesh on",
]) if {
	details.peered < details.minReflectors
} else := concat("", [
	"widen the nodeSelector of the BGPPeer that selects the route reflectors, ",
	"or turn the node-to-node mesh on",
])

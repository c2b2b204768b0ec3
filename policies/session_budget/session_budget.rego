# METADATA
# title: Limits on the number of BGP sessions
# description: |
#   Finds nodes with more sessions than maxSessionsPerNode, and a cluster with more
#   sessions than maxSessions. Route reflectors are not counted: reflector-redundancy has
#   a limit for them.
#
#   Each session costs memory, keepalives, and time at every restart of calico-node.
# related_resources:
#   - ref: https://github.com/bgpguard/bgpguard/blob/main/docs/policies/session-budget.md
#     description: bgpguard, session-budget
#   - ref: https://docs.tigera.io/calico/latest/networking/configuring/bgp
#     description: Calico, full mesh and route reflectors
# schemas:
#   - input: schema.input
# custom:
#   severity: medium
#   judges: state
#   validationActions: [Warn]
#   exampleMessage: |
#     too many IPv6 sessions per node: 300 nodes (node-1, node-2, node-3 and 297 more) above the limit
#     of 200, up to 299; peer the nodes with route reflectors and turn the node-to-node mesh off, or
#     raise the parameter maxSessionsPerNode
#   remediation: |
#     1. If the node-to-node mesh is on, peer the nodes with route reflectors and turn the mesh off.
#     2. If the mesh is off, look for a BGPPeer that selects many nodes on both sides. One side
#        should select only route reflectors.
#     3. If your nodes can handle more sessions, raise `maxSessionsPerNode` or `maxSessions`.
#   loosens: {maxSessionsPerNode: higher, maxSessions: higher}
#   parameters:
#     type: object
#     additionalProperties: false
#     properties:
#       maxSessionsPerNode:
#         type: integer
#         description: |
#           Maximum number of sessions of a node that is not a route reflector, in one
#           address family.
#         default: 200
#         minimum: 1
#       maxSessions:
#         type: integer
#         description: |
#           Maximum number of sessions between nodes in one address family. If it is unset,
#           there is no limit.
#         minimum: 1
package policies.session_budget

import data.policies.lib.objects
import data.policies.lib.text

# METADATA
# description: Nodes with too many sessions. The size is the number of sessions above the limit.
violation contains {
	"id": sprintf("%s/node", [family]),
	"size": sum([excess | some level in over; excess := (level.sessions - limit) * level.nodes]),
	"members": [level.members | some level in array.reverse(over)], # the largest set first
	"msg": sprintf("too many %s sessions per node: %s above the limit of %s, up to %s; %s, or %s", [
		family,
		text.listed(nodes, "node", sample),
		text.number(limit),
		text.number(over[0].sessions),
		_remedy,
		"raise the parameter maxSessionsPerNode",
	]),
	"details": {
		"family": family,
		"nodes": nodes,
		"sessions": over[0].sessions,
		"maxSessionsPerNode": limit,
	},
	"objects": array.concat(
		_objects(family),
		objects.named("Node", array.slice(sample, 0, 3), objects.of_nodes(input.state.selectors)),
	),
} if {
	limit := input.parameters.maxSessionsPerNode
	_configured
	some family in ["IPv4", "IPv6"]
	over := [level | some level in input.state.sessions[family].load; level.sessions > limit]
	count(over) > 0
	nodes := sum([level.nodes | some level in over])
	sample := [name | some level in over; some name in level.sample]
}

# METADATA
# description: Too many sessions in the cluster. The size is the number of sessions above the limit.
violation contains {
	"id": sprintf("%s/all", [family]),
	"size": sessions - limit,
	"msg": sprintf("too many %s sessions in the cluster: %s, above the limit of %s; %s, or %s", [
		family,
		text.number(sessions),
		text.number(limit),
		_remedy,
		"raise the parameter maxSessions",
	]),
	"details": {"family": family, "sessions": sessions, "maxSessions": limit},
	"objects": _objects(family),
} if {
	limit := input.parameters.maxSessions
	_configured
	some family in ["IPv4", "IPv6"]
	sessions := input.state.sessions[family].total
	sessions > limit
}

# The mesh is on by default, also if Calico runs without BGP because no IPPool needs it.
_configured if input.state.podTraffic[_].needsBGP

_configured if not input.state.mesh.enabled

_remedy := "peer the nodes with route reflectors and turn the node-to-node mesh off" if input.state.mesh.enabled

_remedy := "select fewer nodes on one side of a BGPPeer, for example only route reflectors" if {
	not input.state.mesh.enabled
}

# What gives the most sessions.
_objects(_) := [objects.mesh] if input.state.mesh.enabled

_objects(family) := objects.largest(input.state.bgpPeers, input.state.routes[family].bgpPeers) if {
	not input.state.mesh.enabled
}

# METADATA
# title: A budget of BGP sessions
# description: |
#   No node that is not a route reflector has more sessions than a limit, and the
#   cluster has no more than another. Each session costs its node memory, keepalives
#   and time at every start; the sessions of route reflectors are the business of
#   reflector-redundancy.
# related_resources:
#   - ref: https://docs.tigera.io/calico/latest/networking/configuring/bgp
#     description: Calico, full mesh and route reflectors
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
#       maxSessionsPerNode:
#         type: integer
#         description: |
#           How many sessions a node that is not a route reflector may have in one
#           address family.
#         default: 200
#         minimum: 1
#       maxSessions:
#         type: integer
#         description: |
#           How many sessions there may be between nodes in one address family. Without
#           it, any number.
#         minimum: 1
package policies.session_budget

import data.policies.lib.text

# METADATA
# description: Nodes with too many sessions. Its size is how many sessions are too many, in all.
violation contains {
	"id": sprintf("%s/node", [family]),
	"size": sum([excess | some level in over; excess := (level.sessions - limit) * level.nodes]),
	"members": [level.members | some level in over],
	"msg": concat("", [
		sprintf("%s (%s) %s more than %s %s, up to %s: ", [
			text.counted(nodes, "node"),
			text.some_of(array.slice(sample, 0, 3), nodes),
			text.agree(nodes, "has", "have"),
			text.number(limit),
			sprintf("%s %s", [family, text.agree(limit, "session", "sessions")]),
			text.number(over[0].sessions),
		]),
		_remedy,
		", or raise the policy's parameter maxSessionsPerNode",
	]),
	"details": {
		"family": family,
		"nodes": nodes,
		"sessions": over[0].sessions,
		"maxSessionsPerNode": limit,
	},
	"objects": _objects(family),
} if {
	limit := input.parameters.maxSessionsPerNode
	some family in ["IPv4", "IPv6"]
	over := [level | some level in input.state.sessions[family].load; level.sessions > limit]
	count(over) > 0
	nodes := sum([level.nodes | some level in over])
	sample := [name | some level in over; some name in level.sample]
}

# METADATA
# description: Too many sessions in all. Its size is how many are too many.
violation contains {
	"id": sprintf("%s/all", [family]),
	"size": sessions - limit,
	"msg": concat("", [
		sprintf("the cluster has %s %s, the limit is %s: ", [
			text.number(sessions),
			sprintf("%s %s", [family, text.agree(sessions, "session", "sessions")]),
			text.number(limit),
		]),
		_remedy,
		", or raise the policy's parameter maxSessions",
	]),
	"details": {"family": family, "sessions": sessions, "maxSessions": limit},
	"objects": _objects(family),
} if {
	limit := input.parameters.maxSessions
	some family in ["IPv4", "IPv6"]
	sessions := input.state.sessions[family].total
	sessions > limit
}

_remedy := "peer the nodes with route reflectors and turn the node-to-node mesh off" if input.state.mesh.enabled

_remedy := "have BGPPeers select fewer nodes on one side, such as route reflectors alone" if {
	not input.state.mesh.enabled
}

_objects(family) := array.concat(
	[{"kind": "BGPConfiguration", "name": "default"} | input.state.mesh.enabled],
	[{"kind": "BGPPeer", "name": name} | some name in input.state.routes[family].bgpPeers],
)

# METADATA
# title: Limit on the nodes of the node-to-node mesh
# description: |
#   The full mesh may not be on with more than maxNodes nodes in it. Every node
#   of a mesh has a session to every other: the sessions grow with the square of
#   the nodes, and so do memory, restarts and the time until routes settle. Route
#   reflectors take no part in the mesh and are not counted.
# related_resources:
#   - ref: https://docs.tigera.io/calico/latest/networking/configuring/bgp
#     description: Calico, full mesh and route reflectors
#   - ref: https://www.rfc-editor.org/rfc/rfc4456
#     description: BGP route reflection, an alternative to full mesh
# schemas:
#   - input: schema.input
# custom:
#   severity: high
#   judges: state
#   validationActions: [Deny]
#   parameters:
#     type: object
#     additionalProperties: false
#     properties:
#       maxNodes:
#         type: integer
#         description: How many nodes may be in the full mesh.
#         default: 100
#         minimum: 1
package policies.mesh_node_limit

import data.policies.lib.text

# METADATA
# description: The mesh, when it is on and has too many nodes. Its size is how many are too many.
violation contains {
	"id": "node-to-node-mesh",
	"size": mesh.nodes - limit,
	"msg": _message(mesh, limit),
	"details": {
		"nodes": mesh.nodes,
		"sessionsPerNode": mesh.sessionsPerNode,
		"sessions": mesh.sessions,
		"maxNodes": limit,
		"source": mesh.source,
	},
	"objects": [{"kind": "BGPConfiguration", "name": "default"}],
} if {
	input.state.mesh.enabled
	mesh := input.state.mesh
	limit := input.parameters.maxNodes
	mesh.nodes > limit
}

_message(mesh, limit) := concat("", [
	sprintf("the node-to-node mesh is on (%s) with %s, ", [_why_on[mesh.source], text.counted(mesh.nodes, "node")]),
	sprintf("%s on each and %s in all%s; ", [
		text.counted(mesh.sessionsPerNode, "session"),
		text.number(mesh.sessions),
		_families(mesh),
	]),
	sprintf("the limit is %s: peer the nodes with route reflectors by BGPPeers, ", [text.counted(limit, "node")]),
	_turn_off[mesh.source],
])

# Where n nodes do not have n(n-1)/2 sessions, the two families are added up.
_families(mesh) := "" if mesh.sessions == (mesh.nodes * (mesh.nodes - 1)) / 2

_families(mesh) := " (IPv4 and IPv6)" if mesh.sessions != (mesh.nodes * (mesh.nodes - 1)) / 2

# Most meshes are on because nobody said anything: the message has to tell.
_why_on := {
	"set": "nodeToNodeMeshEnabled: true",
	"unset": "nodeToNodeMeshEnabled is not set, and unset means on",
	"absent": "there is no BGPConfiguration default, and without one the mesh is on",
}

_turn_off := {
	"set": "then set nodeToNodeMeshEnabled: false in BGPConfiguration default",
	"unset": "then set nodeToNodeMeshEnabled: false in BGPConfiguration default",
	"absent": "then create BGPConfiguration default with nodeToNodeMeshEnabled: false",
}

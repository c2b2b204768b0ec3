# METADATA
# title: Limit on the size of the node-to-node mesh
# description: |
#   Finds a node-to-node mesh that is on with more than maxNodes nodes. The mesh is on
#   by default: if nodeToNodeMeshEnabled is unset, and if there is no BGPConfiguration
#   default. Route reflectors are not part of the mesh and are not counted. A cluster in
#   which no IPPool needs BGP has no violation.
#
#   Every node of the mesh has a session to every other node. The number of sessions
#   grows with the square of the number of nodes, and so do memory, the time of a
#   restart and the time until routes converge.
# related_resources:
#   - ref: https://github.com/bgpguard/bgpguard/blob/main/docs/policies/mesh-node-limit.md
#     description: bgpguard, mesh-node-limit
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
#   exampleMessage: |
#     the node-to-node mesh is too large: 120 nodes (limit 100), 119 sessions per node, 7,140 in
#     total; the mesh is on because nodeToNodeMeshEnabled is unset: peer the nodes with route
#     reflectors, then set nodeToNodeMeshEnabled: false in BGPConfiguration default
#   remediation: |
#     1. If the change deletes BGPConfiguration default or unsets `nodeToNodeMeshEnabled`, the mesh
#        turns on. Set `nodeToNodeMeshEnabled: false` explicitly.
#     2. If the mesh is on and the cluster grows, add route reflectors, peer all nodes with them by
#        BGPPeers, and then turn the mesh off.
#     3. If your nodes can handle a larger mesh, raise `maxNodes`.
#   loosens: {maxNodes: higher}
#   parameters:
#     type: object
#     additionalProperties: false
#     properties:
#       maxNodes:
#         type: integer
#         description: Maximum number of nodes in the node-to-node mesh.
#         default: 100
#         minimum: 1
package policies.mesh_node_limit

import data.policies.lib.objects
import data.policies.lib.text

# METADATA
# description: A mesh that is on and too large. The size is the number of nodes above the limit.
violation contains {
	"id": "node-to-node-mesh",
	"size": mesh.nodes - limit,
	"msg": concat("", [
		sprintf("the node-to-node mesh is too large: %s (limit %s), %s per node, %s in total%s; ", [
			text.counted(mesh.nodes, "node"),
			text.number(limit),
			text.counted(mesh.sessionsPerNode, "session"),
			text.number(mesh.sessions),
			_families(mesh),
		]),
		sprintf("the mesh is on because %s: ", [_causes[mesh.source]]),
		sprintf("peer the nodes with route reflectors, then %s", [_remedies[mesh.source]]),
	]),
	"details": {
		"nodes": mesh.nodes,
		"sessionsPerNode": mesh.sessionsPerNode,
		"sessions": mesh.sessions,
		"maxNodes": limit,
		"source": mesh.source,
	},
	"objects": [objects.mesh],
} if {
	input.state.mesh.enabled
	_needs_bgp
	mesh := input.state.mesh
	limit := input.parameters.maxNodes
	mesh.nodes > limit
}

# Without an IPPool that needs BGP, Calico usually runs without BGP, and there are no sessions.
_needs_bgp if input.state.podTraffic[_].needsBGP

# Where n nodes do not have n(n-1)/2 sessions, the sum is that of both families.
_families(mesh) := "" if mesh.sessions == (mesh.nodes * (mesh.nodes - 1)) / 2

_families(mesh) := " (IPv4 and IPv6)" if mesh.sessions != (mesh.nodes * (mesh.nodes - 1)) / 2

_causes := {
	"set": "nodeToNodeMeshEnabled is true",
	"unset": "nodeToNodeMeshEnabled is unset",
	"absent": "there is no BGPConfiguration default",
}

_remedies := {
	"set": "set nodeToNodeMeshEnabled: false in BGPConfiguration default",
	"unset": "set nodeToNodeMeshEnabled: false in BGPConfiguration default",
	"absent": "create BGPConfiguration default with nodeToNodeMeshEnabled: false",
}

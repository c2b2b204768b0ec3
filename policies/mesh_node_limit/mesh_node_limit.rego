# METADATA
# title: Node-to-node mesh limit
# description: |
#   The full node-to-node mesh may not be on when more than maxNodes nodes take
#   part in it. Its sessions grow as n(n-1)/2, and a starting node waits up to
#   240 seconds for the slowest of its n-1 neighbours. Route reflectors take no
#   part in the mesh.
# related_resources:
#   - ref: https://docs.tigera.io/calico/latest/networking/configuring/bgp
#     description: Calico on full mesh and route reflectors
#   - ref: https://github.com/projectcalico/calico/issues/9976
#     description: 800 nodes in a mesh take four minutes to bring routes back
# custom:
#   severity: high
#   judges: state
#   parameters:
#     type: object
#     additionalProperties: false
#     properties:
#       maxNodes:
#         type: integer
#         minimum: 1
#         default: 100
#         description: The largest number of nodes in a full mesh.
package policies.mesh_node_limit

import data.policies.lib.text

# METADATA
# title: The mesh is on with too many nodes
violation contains {
	"id": "node-to-node-mesh",
	"size": mesh.nodes - input.parameters.maxNodes,
	"msg": sprintf(
		concat(" ", [
			"the node-to-node mesh is on (%s) with %s: %s on each and %s in all; the limit is %s:",
			"let BGPPeers connect all nodes to route reflectors,",
			"then set nodeToNodeMeshEnabled to false in BGPConfiguration default",
		]),
		[
			_why[mesh.source],
			text.counted(mesh.nodes, "node"),
			text.counted(mesh.sessionsPerNode, "session"),
			text.number(mesh.sessions),
			text.counted(input.parameters.maxNodes, "node"),
		],
	),
	"details": {
		"nodes": mesh.nodes,
		"maxNodes": input.parameters.maxNodes,
		"sessionsPerNode": mesh.sessionsPerNode,
		"sessions": mesh.sessions,
		"source": mesh.source,
	},
	"objects": [{"kind": "BGPConfiguration", "name": "default"}],
} if {
	mesh := input.state.mesh
	mesh.enabled
	mesh.nodes > input.parameters.maxNodes
}

_why := {
	"set": "nodeToNodeMeshEnabled is true",
	"unset": "nodeToNodeMeshEnabled is not set, which means on",
	"absent": "there is no BGPConfiguration default, which means on",
}

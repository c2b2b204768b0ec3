# METADATA
# title: No dead nodes in the mesh
# description: |
#   No node that is not ready, or gone with its object left behind, is in the
#   node-to-node mesh: every other node has a session to it that cannot come up, and
#   each start of calico-node anywhere waits for it.
# related_resources:
#   - ref: https://github.com/projectcalico/calico/issues/7144
#     description: Calico issue 7144, four minutes without routes after nodes rebooted
#   - ref: https://www.rfc-editor.org/rfc/rfc4724#section-4.1
#     description: Graceful restart, procedures of the restarting speaker
# schemas:
#   - input: schema.input
# custom:
#   severity: medium
#   judges: state
#   validationActions: [Audit]
#   parameters:
#     type: object
#     additionalProperties: false
#     properties:
#       maxNodes:
#         type: integer
#         description: How many nodes of the mesh may be not ready, as when nodes are restarted one by one.
#         default: 0
#         minimum: 0
package policies.stale_mesh_peers

import data.policies.lib.text

# METADATA
# description: Nodes in the mesh that are not ready. Its size is how many are too many.
violation contains {
	"id": "node-to-node-mesh",
	"size": stale.nodes - input.parameters.maxNodes,
	"msg": concat("", [
		sprintf("%s (%s) in the node-to-node mesh of %s %s not ready, ", [
			text.counted(stale.nodes, "node"),
			text.some_of(stale.sample, stale.nodes),
			text.number(input.state.mesh.nodes),
			text.agree(stale.nodes, "is", "are"),
		]),
		"so each start of calico-node on the others waits 240 s for their sessions before it uses a route: ",
		"mend them, or delete the Nodes of machines that are gone; with route reflectors nodes do not wait for each other",
	]),
	"details": {
		"nodes": stale.nodes,
		"sample": stale.sample,
		"meshNodes": input.state.mesh.nodes,
		"maxNodes": input.parameters.maxNodes,
	},
	"objects": [{"kind": "Node", "name": name} | some name in stale.sample],
} if {
	input.state.mesh.enabled
	stale := input.state.mesh.notReady
	stale.nodes > input.parameters.maxNodes
}

# METADATA
# title: No NotReady nodes among the peers of nodes
# description: |
#   Finds nodes in the node-to-node mesh that are NotReady, also those of deleted machines
#   whose Node object still exists. If the mesh is off, it finds all nodes with a BGP address
#   that are NotReady, route reflectors among them.
#
#   Every other node of the mesh, or every node with a BGPPeer for them, has a session to
#   them that cannot come up. Each start of calico-node on such a node waits 240 s for it
#   before it uses a route.
# related_resources:
#   - ref: https://github.com/bgpguard/bgpguard/blob/main/docs/policies/stale-mesh-peers.md
#     description: bgpguard, stale-mesh-peers
#   - ref: https://docs.tigera.io/calico/latest/networking/configuring/bgp
#     description: Calico, full mesh and route reflectors
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
#   exampleMessage: |
#     NotReady nodes in the node-to-node mesh: 1 of 7 nodes (node-4), maximum 0; each start of
#     calico-node on other nodes waits 240 s before it uses routes; fix the nodes, delete the Nodes of
#     machines that no longer exist, or use route reflectors
#   remediation: |
#     1. Find out why the nodes are NotReady: `kubectl describe node NAME`.
#     2. Delete the Node objects of machines that no longer exist.
#     3. If nodes are restarted regularly, set `maxNodes` to the number that is restarted at once.
#     4. In large clusters, replace the mesh by route reflectors: nodes then do not wait for each
#        other.
#   loosens: {maxNodes: higher}
#   parameters:
#     type: object
#     additionalProperties: false
#     properties:
#       maxNodes:
#         type: integer
#         description: |
#           Maximum number of nodes that can be NotReady, for example while nodes are
#           restarted one after the other.
#         default: 0
#         minimum: 0
package policies.stale_mesh_peers

import data.policies.lib.text

# METADATA
# description: NotReady nodes in the mesh. The size is their number above the maximum.
violation contains {
	"id": "node-to-node-mesh",
	"size": stale.nodes - input.parameters.maxNodes,
	"msg": concat("", [
		sprintf("NotReady nodes in the node-to-node mesh: %s, maximum %d; ", [
			text.listed_of(stale.nodes, input.state.mesh.nodes, "node", stale.sample),
			input.parameters.maxNodes,
		]),
		"each start of calico-node on other nodes waits 240 s before it uses routes; ",
		"fix the nodes, delete the Nodes of machines that no longer exist, or use route reflectors",
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
	_needs_bgp
	stale := input.state.mesh.notReady
	stale.nodes > input.parameters.maxNodes
}

# METADATA
# description: NotReady nodes while the mesh is off. The size is their number above the maximum.
violation contains {
	"id": "not-ready",
	"size": down.nodes - input.parameters.maxNodes,
	"msg": concat("", [
		sprintf("nodes with BGP that are not ready: %s, maximum %d; ", [
			text.listed_of(down.nodes, input.state.nodes.bgp, "node", down.sample),
			input.parameters.maxNodes,
		]),
		"each start of calico-node on a node that peers with them waits 240 s before it uses routes; ",
		"fix the nodes, or delete the Nodes of machines that no longer exist",
	]),
	"details": {
		"nodes": down.nodes,
		"sample": down.sample,
		"maxNodes": input.parameters.maxNodes,
	},
	"objects": [{"kind": "Node", "name": name} | some name in down.sample],
} if {
	not input.state.mesh.enabled
	_needs_bgp
	down := input.state.nodes.notReady
	down.nodes > input.parameters.maxNodes
}

# Without an IPPool that needs BGP, Calico usually runs without BGP, and there are no sessions.
_needs_bgp if input.state.podTraffic[_].needsBGP

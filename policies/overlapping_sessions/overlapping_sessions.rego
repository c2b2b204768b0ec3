# METADATA
# title: One session for each pair of nodes
# description: |
#   Finds nodes with two BGP protocols for the same peer. This happens if the node-to-node
#   mesh is on and BGPPeers connect the same nodes, or if one peer is configured with two
#   ports.
#
#   Only one of the two sessions comes up. The other stays idle with its own password,
#   filters and timers, and each start of calico-node waits 240 s for it. During a
#   migration from the mesh to route reflectors this is expected for some time: the policy
#   warns about the change, and the audit reports what remains.
# related_resources:
#   - ref: https://github.com/bgpguard/bgpguard/blob/main/docs/policies/overlapping-sessions.md
#     description: bgpguard, overlapping-sessions
#   - ref: https://docs.tigera.io/calico/latest/networking/configuring/bgp
#     description: Calico, full mesh and route reflectors
#   - ref: https://github.com/projectcalico/calico/issues/3785
#     description: Calico issue 3785, the mesh switched back on over route reflectors
#   - ref: https://www.rfc-editor.org/rfc/rfc4271#section-6.8
#     description: BGP-4, connection collision detection
# schemas:
#   - input: schema.input
# custom:
#   severity: medium
#   judges: state
#   validationActions: [Warn, Audit]
#   exampleMessage: |
#     duplicate IPv4 sessions to the same peer: 90 idle half-sessions on 10 nodes (node-1, node-2,
#     node-3 and 7 more), BGPPeers: all-to-all; each start of calico-node there waits 240 s; set
#     nodeToNodeMeshEnabled: false in BGPConfiguration default once the BGPPeers connect all nodes, or
#     delete these BGPPeers if you want the mesh
#   remediation: |
#     1. If you migrate from the mesh to route reflectors, finish the migration: when the sessions to
#        the route reflectors are established, set `nodeToNodeMeshEnabled: false` in BGPConfiguration
#        default.
#     2. If you want the mesh, delete the BGPPeers that connect the same nodes.
#     3. Without the mesh, keep one BGPPeer and one port for each peer.
#   parameters:
#     type: object
#     additionalProperties: false
package policies.overlapping_sessions

import data.policies.lib.objects
import data.policies.lib.text

# METADATA
# description: Half-sessions that stay idle beside another one. The size is their number.
violation contains {
	"id": family,
	"size": idle.halfSessions,
	"members": [idle.members],
	"msg": sprintf("duplicate %s sessions to the same peer: %s on %s%s; %s; %s", [
		family,
		text.counted(idle.halfSessions, "idle half-session"),
		text.listed(idle.nodes, "node", idle.sample),
		concat("", [sprintf(", BGPPeers: %s", [text.list(idle.bgpPeers, peers)]) | peers > 0]),
		"each start of calico-node there waits 240 s",
		_remedy(mesh),
	]),
	"details": {
		"family": family,
		"halfSessions": idle.halfSessions,
		"nodes": idle.nodes,
		"sample": idle.sample,
		"bgpPeers": idle.bgpPeers,
		"mesh": mesh,
	},
	"objects": array.concat(
		[objects.mesh | mesh],
		[objects.selecting(name, input.state.bgpPeers[name]) | some name in idle.bgpPeers],
	),
} if {
	some family in ["IPv4", "IPv6"]
	idle := input.state.sessions[family].brokenReasons.Overlapping
	mesh := _by_mesh(idle)
	peers := count(idle.bgpPeers)
}

# The mesh is not the cause if all idle half-sessions are to external peers.
_by_mesh(idle) if {
	input.state.mesh.enabled
	not _all_external(idle.bgpPeers)
} else := false

_all_external(names) if {
	count(names) > 0
	every name in names {
		input.state.bgpPeers[name].scope == "external"
	}
}

_remedy(true) := concat("", [
	"set nodeToNodeMeshEnabled: false in BGPConfiguration default once the BGPPeers connect all nodes, ",
	"or delete these BGPPeers if you want the mesh",
])

_remedy(false) := "keep one BGPPeer and one port for each peer"

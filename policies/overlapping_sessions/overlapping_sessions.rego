# METADATA
# title: One protocol for each neighbour
# description: |
#   No node has two BGP protocols with one neighbour, as it has when the node-to-node
#   mesh is on over BGPPeers between the same nodes, or when one neighbour is given on
#   two ports. Only one of them comes up. The other stays idle, with its own password,
#   filters and timers, and makes each start of calico-node wait. For a while, on the
#   way from the mesh to route reflectors, that is as it should be: a change is warned
#   of, and what stays is a violation of the audit.
# related_resources:
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
#   parameters:
#     type: object
#     additionalProperties: false
package policies.overlapping_sessions

import data.policies.lib.text

# METADATA
# description: Half-sessions that stay idle beside another one. Its size is how many they are.
violation contains {
	"id": family,
	"size": idle.halfSessions,
	"members": [idle.members],
	"msg": concat("", [
		sprintf("%s of %s (%s) %s idle in %s, because another protocol of the node has the same neighbour, ", [
			text.counted(idle.halfSessions, "half-session"),
			text.counted(idle.nodes, "node"),
			text.some_of(idle.sample, idle.nodes),
			text.agree(idle.halfSessions, "stays", "stay"),
			family,
		]),
		sprintf("and each start of calico-node on %s waits 240 s for %s: ", [
			text.agree(idle.nodes, "it", "them"),
			text.agree(idle.halfSessions, "it", "them"),
		]),
		_remedy(idle, mesh),
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
		[{"kind": "BGPConfiguration", "name": "default"} | mesh],
		[{"kind": "BGPPeer", "name": name} | some name in idle.bgpPeers],
	),
} if {
	some family in ["IPv4", "IPv6"]
	idle := input.state.sessions[family].brokenReasons.Overlapping
	mesh := _by_mesh(idle)
}

# The mesh has no part in it where all that is idle is with peers outside.
_by_mesh(idle) if {
	input.state.mesh.enabled
	not _all_outside(idle.bgpPeers)
} else := false

_all_outside(names) if {
	count(names) > 0
	every name in names {
		input.state.bgpPeers[name].scope == "external"
	}
}

_remedy(idle, true) := concat("", [
	"once the BGPPeers alone connect all nodes, set nodeToNodeMeshEnabled: false in BGPConfiguration default; ",
	sprintf("if it is the mesh that is wanted, delete the BGPPeers between the same nodes%s", [_named(idle)]),
])

_remedy(idle, false) := sprintf("have one BGPPeer, and one port, for each neighbour%s", [_named(idle)])

_named(idle) := "" if count(idle.bgpPeers) == 0

_named(idle) := sprintf(" (%s)", [text.first_of(idle.bgpPeers)]) if {
	count(idle.bgpPeers) > 0
}

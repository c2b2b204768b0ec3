# METADATA
# title: One setting for each peer
# description: |
#   No two BGPPeers give a node the same peer with different settings. Calico takes
#   the one that it happens to visit first, and may take another one at the next
#   change of any Node or BGPPeer.
# related_resources:
#   - ref: https://docs.tigera.io/calico/latest/reference/resources/bgppeer
#     description: Calico, BGPPeer
# schemas:
#   - input: schema.input
# custom:
#   severity: high
#   judges: state
#   validationActions: [Deny]
#   parameters:
#     type: object
#     additionalProperties: false
package policies.ambiguous_peering

import data.policies.lib.text

# METADATA
# description: Half-sessions whose settings are left to chance. Its size is how many they are.
violation contains {
	"id": family,
	"size": chance.halfSessions,
	"members": [chance.members],
	"msg": concat("", [
		sprintf("BGPPeers %s give %s (%s) the same peers in %s with different settings (%s), ", [
			text.first_of(chance.bgpPeers),
			text.counted(chance.nodes, "node"),
			text.some_of(chance.sample, chance.nodes),
			family,
			text.some_of(array.slice(fields, 0, 5), count(fields)),
		]),
		sprintf("and which of them holds for %s is left to chance: ", [text.counted(chance.halfSessions, "half-session")]),
		"have one BGPPeer for each peer, or the same settings in all",
	]),
	"details": {
		"family": family,
		"halfSessions": chance.halfSessions,
		"nodes": chance.nodes,
		"sample": chance.sample,
		"bgpPeers": chance.bgpPeers,
		"fields": fields,
	},
	"objects": [{"kind": "BGPPeer", "name": name} | some name in chance.bgpPeers],
} if {
	some family in ["IPv4", "IPv6"]
	chance := input.state.sessions[family].ambiguous
	chance.halfSessions > 0
	fields := sort({_in_bgp_peers(field) | some field in chance.fields})
}

# Some fields of half-sessions have another name in BGPPeers.
_in_bgp_peers(field) := object.get(_names, field, field)

_names := {"peerASN": "asNumber", "localASN": "localASNumber", "gracefulRestartTime": "maxRestartTime"}

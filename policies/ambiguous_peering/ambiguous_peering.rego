# METADATA
# title: One configuration for each peer
# description: |
#   Finds BGPPeers that give a node the same peer with different settings, for example
#   different passwords, AS numbers or filters.
#
#   Calico uses the settings that it reads first. That order is arbitrary and can change
#   with any change of a Node or BGPPeer, so the session can be reset at any time. If only
#   timers or BGPFilters that let the same routes pass differ, the session comes up again
#   with the same routes, and the policy only warns.
# related_resources:
#   - ref: https://github.com/bgpguard/bgpguard/blob/main/docs/policies/ambiguous-peering.md
#     description: bgpguard, ambiguous-peering
#   - ref: https://docs.tigera.io/calico/latest/reference/resources/bgppeer
#     description: Calico, BGPPeer
# schemas:
#   - input: schema.input
# custom:
#   severity: high
#   judges: state
#   validationActions: [Deny]
#   exampleMessage: |
#     conflicting settings for the same peer in IPv4: 2 half-sessions on 1 node (node-4), BGPPeers
#     all-nodes, rack-1, fields password; Calico uses one of them arbitrarily; keep one BGPPeer for
#     each peer, or use the same settings in all
#   remediation: |
#     1. Compare the BGPPeers that the message names. Its list of fields shows where they differ.
#     2. Keep one BGPPeer for each peer. To replace a BGPPeer, narrow the `nodeSelector` of the old one
#        so that the two never select the same nodes.
#     3. If you need both, give them the same settings.
#   parameters:
#     type: object
#     additionalProperties: false
package policies.ambiguous_peering

import data.policies.lib.objects
import data.policies.lib.text

# METADATA
# description: |
#   Half-sessions with conflicting settings: fields differ that decide whether the session
#   comes up, or which routes it carries. The size is their number.
violation contains object.union(_violation(family, "conflicting settings for the same peer", conflicting), {
	"id": family,
	"members": [conflicting.members],
}) if {
	some family in ["IPv4", "IPv6"]
	conflicting := input.state.sessions[family].conflicting
	conflicting.halfSessions > 0
}

# METADATA
# description: |
#   Half-sessions with other settings, such as timers or BGPFilters that let the same routes
#   pass. The session is reset if Calico chooses other settings, and comes up again with the
#   same routes. So it is advisory: a BGPPeer can be renamed and get another timer. The size
#   is their number.
violation contains object.union(_violation(family, "different timers or filters for the same peer", others), {
	"id": sprintf("%s/harmless", [family]),
	"advisory": true,
}) if {
	some family in ["IPv4", "IPv6"]
	ambiguous := input.state.sessions[family].ambiguous
	harmless := ambiguous.halfSessions - input.state.sessions[family].conflicting.halfSessions
	harmless > 0
	others := object.union(ambiguous, {"halfSessions": harmless})
}

_violation(family, what, ambiguous) := {
	"size": ambiguous.halfSessions,
	"msg": concat("", [
		sprintf("%s in %s: %s on %s, ", [
			what,
			family,
			text.counted(ambiguous.halfSessions, "half-session"),
			text.listed(ambiguous.nodes, "node", ambiguous.sample),
		]),
		sprintf("BGPPeers %s, fields %s; ", [
			text.list(ambiguous.bgpPeers, count(ambiguous.bgpPeers)),
			text.list(fields, count(fields)),
		]),
		"Calico uses one of them arbitrarily; keep one BGPPeer for each peer, or use the same settings in all",
	]),
	"details": {
		"family": family,
		"halfSessions": ambiguous.halfSessions,
		"nodes": ambiguous.nodes,
		"sample": ambiguous.sample,
		"bgpPeers": ambiguous.bgpPeers,
		"fields": fields,
	},
	"objects": objects.named("BGPPeer", ambiguous.bgpPeers, [sprintf("spec.%s", [field]) | some field in fields]),
} if {
	fields := sort({_in_bgp_peers(field) | some field in ambiguous.fields})
}

# The names in BGPPeers of fields of half-sessions, where they differ.
_in_bgp_peers(field) := object.get(_names, field, field)

_names := {"peerASN": "asNumber", "localASN": "localASNumber", "gracefulRestartTime": "maxRestartTime"}

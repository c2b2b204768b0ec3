# METADATA
# title: Every half-session has another half
# description: |
#   Both nodes of a session are set up for it, and alike: with each other's AS number,
#   the same password, TTL security on both or none, and a port on which the other
#   listens. Where they are not, the session never comes up, and for most reasons each
#   start of calico-node waits for it. Idle protocols beside another one are the
#   business of overlapping-sessions, what BIRD refuses that of bird-accepts.
# related_resources:
#   - ref: https://docs.tigera.io/calico/latest/reference/resources/bgppeer
#     description: Calico, BGPPeer
#   - ref: https://www.rfc-editor.org/rfc/rfc4271#section-6.2
#     description: BGP-4, errors in OPEN messages
# schemas:
#   - input: schema.input
# custom:
#   severity: high
#   judges: state
#   validationActions: [Warn]
#   parameters:
#     type: object
#     additionalProperties: false
package policies.unpaired_sessions

import data.policies.lib.text

# METADATA
# description: Half-sessions on which no session can come up, for one reason. Its size is how many they are.
violation contains {
	"id": sprintf("%s/%s", [family, reason]),
	"size": broken.halfSessions,
	"members": [broken.members],
	"msg": concat("", [
		sprintf("%s of %s (%s) can never come up in %s, because %s%s: ", [
			text.counted(broken.halfSessions, "half-session"),
			text.counted(broken.nodes, "node"),
			text.some_of(broken.sample, broken.nodes),
			family,
			about.why,
			_wait(reason),
		]),
		about.remedy,
		_named(broken),
	]),
	"details": {
		"family": family,
		"reason": reason,
		"halfSessions": broken.halfSessions,
		"nodes": broken.nodes,
		"sample": broken.sample,
		"bgpPeers": broken.bgpPeers,
	},
	"objects": array.concat(
		[{"kind": "BGPConfiguration", "name": "default"} | count(broken.bgpPeers) == 0],
		[{"kind": "BGPPeer", "name": name} | some name in broken.bgpPeers],
	),
} if {
	some family in ["IPv4", "IPv6"]
	some reason, broken in input.state.sessions[family].brokenReasons
	about := _reasons[reason]
}

_reasons := {
	"NoReturn": {
		"why": "the other node has none back",
		"remedy": concat("", [
			"have a BGPPeer that gives the other node a session too: peers by peerSelector, or by the peerIP and AS number ",
			"of a node, are set up on both sides unless reversePeering is Manual",
		]),
	},
	"ASNumberMismatch": {
		"why": "a side expects another AS number than the other has",
		"remedy": concat("", [
			"set asNumber of the BGPPeer to that of the node with this peerIP, or give all nodes of the mesh their AS number ",
			"in the same way",
		]),
	},
	"PasswordMismatch": {
		"why": "the two sides name different passwords, or only one does",
		"remedy": "name the same Secret and key on both sides",
	},
	"TTLSecurityMismatch": {
		"why": "only one side has TTL security",
		"remedy": "set the same ttlSecurity on both sides",
	},
	"NobodyDials": {
		"why": "each side waits for the other, or dials a port on which it does not listen",
		"remedy": "leave the port out of peerIP, or set it to the listenPort of the node's BGPConfiguration",
	},
}

# A starting BIRD does not wait for a session that fails by its AS number.
_wait("ASNumberMismatch") := ""

_wait(reason) := ", and each start of calico-node there waits 240 s for them" if reason != "ASNumberMismatch"

_named(broken) := "" if count(broken.bgpPeers) == 0

_named(broken) := sprintf("; by %s %s", [
	text.agree(count(broken.bgpPeers), "BGPPeer", "BGPPeers"),
	text.first_of(broken.bgpPeers),
]) if {
	count(broken.bgpPeers) > 0
}

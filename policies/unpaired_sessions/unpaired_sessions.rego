# METADATA
# title: Sessions that can come up
# description: |
#   Finds half-sessions without a matching half-session on the other node. The two nodes
#   of a session must both be configured for it: with each other's AS number, the same
#   password, TTL security on both or neither, and a port on which the other node listens.
#   And each of them needs an address of its own. Up to Calico v3.32, sessions of the mesh between
#   different AS numbers also need a common link.
#
#   Otherwise the session never comes up and, for most causes, each start of calico-node
#   waits 240 s for it. overlapping-sessions finds idle duplicates of a session, and
#   bird-accepts finds what BIRD rejects.
# related_resources:
#   - ref: https://github.com/bgpguard/bgpguard/blob/main/docs/policies/unpaired-sessions.md
#     description: bgpguard, unpaired-sessions
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
#   exampleMessage: |
#     IPv4 sessions cannot come up because the two ends expect different AS numbers: 12 half-sessions
#     on 4 nodes (node-4, node-5, node-6 and 1 more); set asNumber of the BGPPeer to that of the node
#     with this peerIP, or set the AS numbers of all nodes in the same way
#   remediation: |
#     1. Run `bgpguard topology --node NAME` for one of the nodes. It shows each half-session and why it
#        cannot come up.
#     2. If the other node has no half-session back, select peers by `peerSelector`, or by the `peerIP`
#        and AS number of a node. Calico then configures both ends, unless `reversePeering` is
#        `Manual`.
#     3. If AS numbers, passwords, TTL security or ports differ, make them the same in the BGPPeers of
#        both ends.
#     4. You can ignore the warning between two changes that configure the two ends.
#   parameters:
#     type: object
#     additionalProperties: false
package policies.unpaired_sessions

import data.policies.lib.causes
import data.policies.lib.objects
import data.policies.lib.text

# METADATA
# description: Half-sessions that cannot come up, for one reason. The size is their number.
violation contains {
	"id": sprintf("%s/%s", [family, reason]),
	"size": broken.halfSessions,
	"members": [broken.members],
	"msg": sprintf("%s sessions cannot come up because %s: %s%s on %s; %s%s", [
		family,
		about.cause,
		text.counted(broken.halfSessions, "half-session"),
		concat("", [sprintf(" from %s", [text.listed(peers, "BGPPeer", broken.bgpPeers)]) | peers > 0]),
		text.listed(broken.nodes, "node", broken.sample),
		_delay(reason),
		_advice(reason, family, broken.nodes),
	]),
	"details": {
		"family": family,
		"reason": reason,
		"halfSessions": broken.halfSessions,
		"nodes": broken.nodes,
		"sample": broken.sample,
		"bgpPeers": broken.bgpPeers,
	},
	"objects": _objects(reason, family, broken.bgpPeers, about.fields),
} if {
	some family in ["IPv4", "IPv6"]
	some reason, broken in input.state.sessions[family].brokenReasons
	about := _reasons[reason]
	peers := count(broken.bgpPeers)
}

# The nodes are at fault if they share an address, whatever peers them.
_objects("AddressShared", family, _, _) := causes.sharing(family, input.state.addresses[family])

_objects(reason, _, peers, fields) := array.concat(
	objects.named("BGPConfiguration", ["default" | count(peers) == 0], fields.BGPConfiguration),
	objects.named("BGPPeer", peers, fields.BGPPeer),
) if {
	reason != "AddressShared"
}

_advice("AddressShared", family, _) := causes.shared(family, input.state.addresses[family])

_advice(reason, family, nodes) := causes.advice(found, nodes, _reasons[reason].remedy) if {
	reason in {"NoReturn", "ASNumberMismatch"}
	found := causes.of(family, _no_addresses, input.state.otherASNumbers[family])
} else := _reasons[reason].remedy if reason != "AddressShared"

# Nodes with one address have a reason of their own.
_no_addresses := {"shared": {"nodes": 0}, "sharedAddresses": []}

_reasons := {
	"AddressShared": {
		"cause": "several nodes have the same address",
		"fields": {"BGPConfiguration": [], "BGPPeer": []},
	},
	"NoReturn": {
		"cause": "the other node has no half-session back",
		"fields": {"BGPConfiguration": ["spec.nodeToNodeMeshEnabled"], "BGPPeer": [
			"spec.peerIP",
			"spec.peerSelector",
			"spec.reversePeering",
		]},
		"remedy": "select the other node with a BGPPeer by peerSelector, or by the peerIP and AS number of a node",
	},
	"ASNumberMismatch": {
		"cause": "the two ends expect different AS numbers",
		"fields": {"BGPConfiguration": ["spec.asNumber"], "BGPPeer": ["spec.asNumber", "spec.localASNumber"]},
		"remedy": concat("", [
			"set asNumber of the BGPPeer to that of the node with this peerIP, ",
			"or set the AS numbers of all nodes in the same way",
		]),
	},
	"PasswordMismatch": {
		"cause": "the two ends have different passwords, or only one has a password",
		"fields": {"BGPConfiguration": ["spec.nodeMeshPassword"], "BGPPeer": ["spec.password"]},
		"remedy": "reference the same Secret and key for both ends",
	},
	"TTLSecurityMismatch": {
		"cause": "only one end has TTL security",
		"fields": {"BGPConfiguration": [], "BGPPeer": ["spec.ttlSecurity"]},
		"remedy": "set the same ttlSecurity for both ends",
	},
	"NotOnLink": {
		"cause": "the mesh connects nodes with different AS numbers only on a common link up to Calico v3.32",
		"fields": {"BGPConfiguration": ["spec.asNumber", "spec.nodeToNodeMeshEnabled"], "BGPPeer": []},
		"remedy": "replace the mesh by BGPPeers, upgrade Calico to v3.33, or give the nodes one AS number",
	},
	"NobodyDials": {
		"cause": "neither end connects to a port on which the other listens",
		"fields": {"BGPConfiguration": ["spec.listenPort"], "BGPPeer": ["spec.peerIP"]},
		"remedy": "remove the port from peerIP, or set it to the listenPort in the node's BGPConfiguration",
	},
}

# When BIRD starts, it does not wait for a session that fails because of an AS number.
_delay("ASNumberMismatch") := ""

_delay(reason) := "each start of calico-node there waits 240 s; " if reason != "ASNumberMismatch"

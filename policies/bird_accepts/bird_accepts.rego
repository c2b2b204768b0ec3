# METADATA
# title: Configurations that BIRD accepts
# description: |
#   No node gets a configuration that its BIRD refuses: an AS number of 0, as a BGPPeer
#   with peerIP and without asNumber gives, a cluster ID with a mask, one address on two
#   nodes. BIRD keeps what it has, and no later change reaches the node until the cause
#   is gone; a node that starts anew has no BGP at all.
# related_resources:
#   - ref: https://docs.tigera.io/calico/latest/reference/resources/bgppeer
#     description: Calico, BGPPeer
#   - ref: https://docs.tigera.io/calico/latest/reference/resources/node
#     description: Calico, Node, addresses and cluster IDs
# schemas:
#   - input: schema.input
# custom:
#   severity: critical
#   judges: state
#   validationActions: [Deny]
#   parameters:
#     type: object
#     additionalProperties: false
package policies.bird_accepts

import data.policies.lib.asn
import data.policies.lib.text

# METADATA
# description: Nodes whose BIRD refuses its configuration, for one reason. Its size is how many they are.
violation contains {
	"id": sprintf("%s/%s", [family, refused.reason]),
	"size": refused.nodes,
	"members": [refused.members],
	"msg": concat("", [
		sprintf("BIRD refuses the %s configuration of %s (%s): %s%s; ", [
			family,
			text.counted(refused.nodes, "node"),
			text.some_of(refused.sample, refused.nodes),
			refused.reason,
			_named(refused),
		]),
		text.agree(refused.nodes, "it", "each of them"),
		" keeps what it has, no later change reaches it, and after a start it has no BGP: ",
		object.get(_remedies, refused.reason, "mend that first"),
	]),
	"details": {
		"family": family,
		"reason": refused.reason,
		"nodes": refused.nodes,
		"sample": refused.sample,
		"bgpPeers": refused.bgpPeers,
	},
	"objects": array.concat(
		[{"kind": "BGPPeer", "name": name} | some name in refused.bgpPeers],
		[{"kind": "Node", "name": name} | some name in refused.sample],
	),
} if {
	some family in ["IPv4", "IPv6"]
	some refused in input.state.sessions[family].frozenReasons
}

# By the reasons as the simulator words them (pkg/topology/frozen.go).
_remedies := {
	"the node's own AS number 0": sprintf("set the annotation %s to the node's AS number, or take it away%s", [
		_as_number,
		_or_of_cluster,
	]),
	"the AS number 0 of a peer that is a node": sprintf("set that node's annotation %s to its AS number%s", [
		_as_number,
		_or_of_cluster,
	]),
	"the remote AS number 0 of a BGPPeer": "set asNumber of the BGPPeer, which Calico does not default for a peerIP",
	"a cluster ID with a mask": sprintf("set the annotation %s to an address without a mask", [_cluster_id]),
	"two protocols of one name, for an address that several nodes have": "give each node an address of its own",
}

_as_number := "projectcalico.org/ASNumber"

default _or_of_cluster := ""

# Nodes without a number of their own have that of the cluster.
_or_of_cluster := ", and asNumber of BGPConfiguration default to that of the cluster" if {
	asn.number(object.get(input.state.bgpConfigurations, ["default", "spec", "asNumber"], null), null) == 0
}

_cluster_id := "projectcalico.org/RouteReflectorClusterID"

_named(refused) := "" if count(refused.bgpPeers) == 0

_named(refused) := sprintf(" (%s %s)", [
	text.agree(count(refused.bgpPeers), "BGPPeer", "BGPPeers"),
	text.first_of(refused.bgpPeers),
]) if {
	count(refused.bgpPeers) > 0
}

# METADATA
# title: Configurations that BIRD accepts
# description: |
#   Finds nodes whose BIRD rejects the configuration that Calico generates. Causes are an AS
#   number of 0 (a BGPPeer with peerIP and without asNumber has it), a cluster ID with a
#   mask, and one address on two nodes.
#
#   BIRD then keeps its previous configuration: no later change reaches the node until the
#   cause is fixed. If BIRD restarts, the node has no BGP at all.
# related_resources:
#   - ref: https://github.com/bgpguard/bgpguard/blob/main/docs/policies/bird-accepts.md
#     description: bgpguard, bird-accepts
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
#   exampleMessage: |
#     BIRD rejects the IPv4 configuration of 1 node (node-1): a cluster ID with a mask; later changes
#     do not reach these nodes, and after a restart they have no BGP; set the annotation
#     projectcalico.org/RouteReflectorClusterID to an address without a mask
#   remediation: |
#     1. Set `asNumber` in every BGPPeer with `peerIP`: Calico has no default for it.
#     2. Correct the annotations of the Nodes: `projectcalico.org/ASNumber` must not be 0, and
#        `projectcalico.org/RouteReflectorClusterID` must be an IPv4 address without a mask.
#     3. Give each node its own address.
#     4. Check with `bgpguard topology --node NAME` that BIRD accepts the configuration.
#   parameters:
#     type: object
#     additionalProperties: false
package policies.bird_accepts

import data.policies.lib.asn
import data.policies.lib.causes
import data.policies.lib.text

# METADATA
# description: |
#   Nodes whose BIRD rejects its configuration in one address family. The size is their number.
#   The reasons are in the message only: a node with two of them keeps one after the first fix,
#   and this is not a new violation.
violation contains {
	"id": family,
	"size": frozen.nodes,
	"members": [frozen.members],
	"msg": sprintf("BIRD rejects the %s configuration of %s: %s; %s; %s", [
		family,
		text.listed(frozen.nodes, "node", frozen.sample),
		concat("; ", [_reason(rejected, frozen) | some rejected in reasons]),
		"later changes do not reach these nodes, and after a restart they have no BGP",
		concat("; ", [_remedy(rejected.reason, family) | some rejected in reasons]),
	]),
	"details": {
		"family": family,
		"nodes": frozen.nodes,
		"sample": frozen.sample,
		"reasons": [object.remove(rejected, ["members"]) | some rejected in reasons],
	},
	"objects": array.concat(
		[{"kind": "BGPPeer", "name": name} | some name in peers],
		[{"kind": "Node", "name": name} | some name in nodes],
	),
} if {
	some family in ["IPv4", "IPv6"]
	frozen := input.state.sessions[family].frozen
	frozen.nodes > 0
	reasons := input.state.sessions[family].frozenReasons
	peers := sort({name | some rejected in reasons; some name in rejected.bgpPeers})
	nodes := sort({name | some rejected in reasons; some name in rejected.sample})
}

# A reason, its nodes if others are rejected too, and the BGPPeers with it.
_reason(rejected, frozen) := concat("", [
	rejected.reason,
	concat("", [sprintf(" on %s", [text.listed(rejected.nodes, "node", rejected.sample)]) |
		rejected.nodes < frozen.nodes
	]),
	concat("", [sprintf(", BGPPeers: %s", [text.list(rejected.bgpPeers, peers)]) | peers > 0]),
]) if {
	peers := count(rejected.bgpPeers)
}

_remedy(reason, family) := causes.shared(family, input.state.addresses[family]) if {
	reason == "two protocols of one name, for an address that several nodes have"
} else := object.get(_remedies, reason, "fix this first")

# The remedies by the reasons of pkg/topology/sessions/refusal.go.
_remedies := {
	"the node's own AS number 0": sprintf("set the annotation %s to the node's AS number, or remove it%s", [
		_as_number,
		_or_of_cluster,
	]),
	"the AS number 0 of a peer that is a node": sprintf("set that node's annotation %s to its AS number%s", [
		_as_number,
		_or_of_cluster,
	]),
	"the remote AS number 0 of a BGPPeer": "set asNumber of the BGPPeer, which has no default with peerIP",
	"a cluster ID with a mask": sprintf("set the annotation %s to an address without a mask", [_cluster_id]),
}

_as_number := "projectcalico.org/ASNumber"

default _or_of_cluster := ""

# Nodes without their own AS number use that of the cluster.
_or_of_cluster := ", and asNumber of BGPConfiguration default to that of the cluster" if {
	asn.number(object.get(input.state.bgpConfigurations, ["default", "spec", "asNumber"], null), null) == 0
}

_cluster_id := "projectcalico.org/RouteReflectorClusterID"

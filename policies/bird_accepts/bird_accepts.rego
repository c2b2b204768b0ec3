# METADATA
# title: Configurations that BIRD accepts
# description: |
#   Finds nodes whose BIRD rejects the configuration that Calico generates. Kubernetes stores many
#   values that BIRD rejects: host bits in a network, a negative time, an AS number of 0 (a BGPPeer
#   with peerIP and without asNumber has it), a cluster ID with a mask, one address on two nodes, a
#   line break at the end of a password. A BGPFilter counts also if no BGPPeer names it, because
#   Calico writes every BGPFilter on every node. A stored value that Calico cannot decode, such as
#   the duration "2 minutes", concerns all nodes: Calico then reads no object of the kind.
#
#   BIRD then keeps its previous configuration: no later change reaches the node until the
#   cause is fixed. After a restart of calico-node, there is no previous configuration, and the
#   node has no BGP at all.
#
#   A node with an IPv6 address only has an empty router ID, unless CALICO_ROUTER_ID is set in the
#   DaemonSet. The policy assumes that it is set if no node of the cluster has an IPv4 address.
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
#     BIRD rejects the IPv4 configuration of 1 node (node-1): a cluster ID with a mask (Node node-1); the
#     node keeps its old configuration until this is fixed, and a restart of calico-node then leaves it
#     without BGP; remove the mask
#   remediation: |
#     1. Correct the fields that the message names. Every value that it names must be fixed.
#     2. Check with `bgpguard topology --node NAME` that BIRD accepts the configuration.
#     3. Do not restart calico-node on these nodes before. The fix itself needs no restart.
#   parameters:
#     type: object
#     additionalProperties: false
package policies.bird_accepts

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
		_consequence(frozen.nodes),
		concat("; ", [_fix(rejected, family) | some rejected in reasons]),
	]),
	"details": {
		"family": family,
		"nodes": frozen.nodes,
		"sample": frozen.sample,
		"reasons": [object.remove(rejected, ["members"]) | some rejected in reasons],
	},
	"objects": _objects(reasons),
} if {
	some family in ["IPv4", "IPv6"]
	frozen := input.state.sessions[family].frozen
	frozen.nodes > 0
	reasons := input.state.sessions[family].frozenReasons
}

# The objects with rejected values, each once with all of these fields.
_objects(reasons) := [object.union(id, {"fields": fields}) |
	some id in sort({{"kind": fault.kind, "name": fault.name} |
		some rejected in reasons
		some fault in rejected.objects
	})
	fields := sort({fault.field |
		some rejected in reasons
		some fault in rejected.objects
		fault.kind == id.kind
		fault.name == id.name
	})
]

# A reason, its nodes if others are rejected too, and the objects with it.
_reason(rejected, frozen) := concat("", [
	rejected.reason,
	concat("", [sprintf(" on %s", [text.listed(rejected.nodes, "node", rejected.sample)]) |
		rejected.nodes < frozen.nodes
	]),
	sprintf(" (%s)", [text.list(objects, count(objects))]),
]) if {
	objects := sort({_named(fault) | some fault in rejected.objects})
}

_fix(rejected, family) := causes.shared(family, input.state.addresses[family]) if {
	rejected.reason == "two protocols of one name, for an address that several nodes have"
} else := rejected.fix

# The field of an annotation is in the fix.
_named(fault) := sprintf("%s %s", [fault.kind, fault.name]) if startswith(fault.field, "metadata.")

_named(fault) := sprintf("%s %s %s", [fault.kind, fault.name, fault.field]) if {
	not startswith(fault.field, "metadata.")
}

_consequence(1) := concat("", [
	"the node keeps its old configuration until this is fixed, ",
	"and a restart of calico-node then leaves it without BGP",
])

_consequence(nodes) := concat("", [
	"the nodes keep their old configuration until this is fixed, ",
	"and a restart of calico-node then leaves a node without BGP",
]) if {
	nodes != 1
}

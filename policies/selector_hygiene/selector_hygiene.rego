# METADATA
# title: Selectors that hold
# description: |
#   The selectors of BGPPeers parse, select a node, and do not rest on labels that
#   others set and take away: an upgrade that took node-role.kubernetes.io/master from
#   the nodes has cost whole clusters their route reflectors. Labels of one's own, and
#   those of hosts and zones, stay as long as the node does.
# related_resources:
#   - ref: https://docs.tigera.io/calico/latest/reference/resources/bgppeer
#     description: Calico, BGPPeer and its selectors
#   - ref: https://kubernetes.io/docs/reference/labels-annotations-taints/
#     description: Kubernetes, well-known labels, deprecated ones among them
# schemas:
#   - input: schema.input
# custom:
#   severity: medium
#   judges: state
#   validationActions: [Warn]
#   parameters:
#     type: object
#     additionalProperties: false
#     properties:
#       labels:
#         type: array
#         description: |
#           Labels that selectors do not rest on; "*" stands for any characters. The
#           default are those that installers and clouds set, and change.
#         default:
#           - node-role.kubernetes.io/master
#           - node-role.kubernetes.io/control-plane
#           - node-role.kubernetes.io/controlplane
#           - node-role.kubernetes.io/etcd
#           - node-role.kubernetes.io/worker
#           - node-role.kubernetes.io/node
#           - kubernetes.io/role
#           - beta.kubernetes.io/*
#           - failure-domain.beta.kubernetes.io/*
#           - node.kubernetes.io/instance-type
#         items:
#           type: string
#           pattern: ^[A-Za-z0-9_./*-]+$
package policies.selector_hygiene

import data.policies.lib.text

# METADATA
# description: A selector that does not parse. Calico takes it to select no node.
violation contains {
	"id": sprintf("%s/%s/syntax", [peer.name, selector.field]),
	"size": 1,
	"msg": concat("", [
		sprintf("BGPPeer %s: %s %q does not parse (%s), ", [peer.name, selector.field, selector.text, selector.error]),
		"and Calico takes such a selector to select no node: mend it",
	]),
	"details": {"field": selector.field, "selector": selector.text, "error": selector.error},
	"objects": [{"kind": "BGPPeer", "name": peer.name}],
} if {
	some peer in input.state.bgpPeers
	some selector in peer.selectors
	selector.error != ""
}

# METADATA
# description: A selector that selects none of the nodes that there are.
violation contains {
	"id": sprintf("%s/%s/nodes", [peer.name, selector.field]),
	"size": 1,
	"msg": concat("", [
		sprintf("BGPPeer %s: %s %q selects none of %s, ", [
			peer.name,
			selector.field,
			selector.text,
			text.counted(nodes, "node"),
		]),
		sprintf("so %s: label the nodes that are meant, or mend the selector", [_without[selector.field]]),
	]),
	"details": {"field": selector.field, "selector": selector.text, "nodes": nodes},
	"objects": [{"kind": "BGPPeer", "name": peer.name}],
} if {
	nodes := input.state.nodes.total
	nodes > 0
	some peer in input.state.bgpPeers
	some selector in peer.selectors
	selector.error == ""
	selector.nodes == 0
}

# METADATA
# description: A selector that rests on labels that others manage. Its size is how many they are.
violation contains {
	"id": sprintf("%s/%s/labels", [peer.name, selector.field]),
	"size": count(labels),
	"msg": concat("", [
		sprintf("BGPPeer %s: %s %q rests on the %s %s, ", [
			peer.name,
			selector.field,
			selector.text,
			text.agree(count(labels), "label", "labels"),
			text.some_of(array.slice(labels, 0, 3), count(labels)),
		]),
		sprintf("which %s not yours: an upgrade or a cloud may take %s away, and the sessions with %s; ", [
			text.agree(count(labels), "is", "are"),
			text.agree(count(labels), "it", "them"),
			text.agree(count(labels), "it", "them"),
		]),
		"select a label of your own, or take it out of the policy's parameter labels",
	]),
	"details": {"field": selector.field, "selector": selector.text, "labels": labels},
	"objects": [{"kind": "BGPPeer", "name": peer.name}],
} if {
	some peer in input.state.bgpPeers
	some selector in peer.selectors
	labels := [label | some label in selector.labels; _managed(label)]
	count(labels) > 0
}

_managed(label) if {
	some pattern in input.parameters.labels
	glob.match(pattern, null, label)
}

_without := {
	"spec.nodeSelector": "no node gets its sessions",
	"spec.peerSelector": "it gives no session to a node",
}

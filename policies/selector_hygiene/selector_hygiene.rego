# METADATA
# title: Reliable selectors in BGPPeers
# description: |
#   Finds selectors of BGPPeers that are invalid, that select no node, that use labels
#   which Kubernetes installers and cloud providers set and remove, or that select nodes
#   whose label has the value "false", because has() matches each value.
#
#   Labels of others can disappear with an upgrade, and sessions disappear with them: clusters have
#   lost all route reflectors because an upgrade removed node-role.kubernetes.io/master. Your
#   own labels, and the labels of hosts and zones, stay as long as the node exists.
# related_resources:
#   - ref: https://github.com/bgpguard/bgpguard/blob/main/docs/policies/selector-hygiene.md
#     description: bgpguard, selector-hygiene
#   - ref: https://docs.tigera.io/calico/latest/reference/resources/bgppeer
#     description: Calico, BGPPeer and its selectors
#   - ref: https://kubernetes.io/docs/reference/labels-annotations-taints/
#     description: Kubernetes, well-known labels, also deprecated ones
# schemas:
#   - input: schema.input
# custom:
#   severity: medium
#   judges: state
#   eachBGPPeer: true
#   validationActions: [Warn]
#   exampleMessage: |
#     BGPPeer racks has a selector that selects no node: spec.peerSelector "rack == 'a'" selects 0 of
#     10 nodes, so the BGPPeer gives nodes no sessions; label the nodes, or correct the selector
#   remediation: |
#     1. Correct the selector. `kubectl get nodes --show-labels` shows the labels that nodes have.
#     2. If the nodes do not exist yet or are labeled later, you can ignore the warning.
#     3. Set your own label on the nodes, for example `example.org/route-reflector`, and select it
#        instead of a label that others manage.
#     4. If you manage one of the labels yourself, remove it from the parameter `labels`.
#     5. Compare the value of a label, for example `route-reflector == 'true'`, if some nodes have it
#        with the value `false`, `off` or `disabled`. Or remove the label from these nodes.
#   loosens: {labels: fewer}
#   parameters:
#     type: object
#     additionalProperties: false
#     properties:
#       labels:
#         type: array
#         description: |
#           Labels that selectors should not use; "*" matches any characters. The default are
#           labels that installers and cloud providers manage.
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

import data.policies.lib.objects
import data.policies.lib.text

# METADATA
# description: An invalid selector. In Calico it selects no node.
violation contains {
	"id": sprintf("%s/%s/syntax", [peer.name, selector.field]),
	"size": 1,
	"msg": sprintf("BGPPeer %s has an invalid selector: %s %q (%s) selects no node; correct it", [
		peer.name,
		selector.field,
		selector.text,
		selector.error,
	]),
	"details": {"field": selector.field, "selector": selector.text, "error": selector.error},
	"objects": objects.named("BGPPeer", [peer.name], [selector.field]),
} if {
	some peer in input.state.bgpPeers
	some selector in peer.selectors
	selector.error != null
}

# METADATA
# description: A selector that selects no node.
violation contains {
	"id": sprintf("%s/%s/nodes", [peer.name, selector.field]),
	"size": 1,
	"msg": sprintf("BGPPeer %s has a selector that selects no node: %s %q selects 0 of %s, so %s; %s", [
		peer.name,
		selector.field,
		selector.text,
		text.counted(nodes, "node"),
		_effects[selector.field],
		"label the nodes, or correct the selector",
	]),
	"details": {"field": selector.field, "selector": selector.text, "nodes": nodes},
	"objects": objects.named("BGPPeer", [peer.name], [selector.field]),
} if {
	nodes := input.state.nodes.total
	nodes > 0
	some peer in input.state.bgpPeers
	some selector in peer.selectors
	selector.error == null
	selector.nodes == 0
}

# METADATA
# description: A selector with labels that others manage. The size is their number.
violation contains {
	"id": sprintf("%s/%s/labels", [peer.name, selector.field]),
	"size": count(labels),
	"msg": concat("", [
		sprintf("BGPPeer %s selects nodes by labels that others manage: %s %q uses %s; ", [
			peer.name,
			selector.field,
			selector.text,
			text.listed(count(labels), "label", labels),
		]),
		"an upgrade or a cloud provider can remove them, and the sessions with them; ",
		"use your own label, or change the parameter labels",
	]),
	"details": {"field": selector.field, "selector": selector.text, "labels": labels},
	"objects": objects.named("BGPPeer", [peer.name], [selector.field]),
} if {
	count(_managed) > 0
	some peer in input.state.bgpPeers
	some selector in peer.selectors
	labels := [label | some label in selector.labels; label in _managed]
	count(labels) > 0
}

# METADATA
# description: |
#   A selector with has() that selects nodes whose label has a negative value. The size is the number
#   of nodes.
violation contains {
	"id": sprintf("%s/%s/has", [peer.name, selector.field]),
	"size": unintended.nodes,
	"msg": concat("", [
		sprintf("BGPPeer %s selects nodes by a label with the value \"false\", \"off\" or \"disabled\": ", [peer.name]),
		sprintf("%s %q selects %s because has() matches each value; ", [
			selector.field,
			selector.text,
			text.listed(unintended.nodes, "node", unintended.sample),
		]),
		"compare the value of the label, or remove the label from these nodes",
	]),
	"details": {
		"field": selector.field,
		"selector": selector.text,
		"nodes": unintended.nodes,
		"sample": unintended.sample,
	},
	"objects": objects.named("BGPPeer", [peer.name], [selector.field]),
} if {
	some peer in input.state.bgpPeers
	some selector in peer.selectors
	unintended := selector.unintended
	unintended.nodes > 0
}

_labels contains label if {
	some peer in input.state.bgpPeers
	some selector in peer.selectors
	some label in selector.labels
}

# The labels of selectors that others manage.
_managed contains label if {
	some label in _labels
	some pattern in input.parameters.labels
	glob.match(pattern, null, label)
}

_effects := {
	"spec.nodeSelector": "no node gets the sessions of the BGPPeer",
	"spec.peerSelector": "the BGPPeer gives nodes no sessions",
}

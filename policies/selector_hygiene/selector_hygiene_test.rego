package policies.selector_hygiene_test

import data.policies.selector_hygiene as rule
import data.policies.testing_test as testing

test_success_selectors_with_your_own_labels if {
	selectors := [
		_selector("spec.nodeSelector", "!has(route-reflector)", ["route-reflector"], 7),
		_selector("spec.peerSelector", "has(route-reflector)", ["route-reflector"], 3),
	]
	_violations(selectors, _default) == set()
}

test_success_hosts_and_zones_stay if {
	labels := [
		"topology.kubernetes.io/zone",
		"topology.kubernetes.io/region",
		"kubernetes.io/hostname",
		"kubernetes.io/os",
		"node-role.kubernetes.io/route-reflector",
	]
	_violations([_selector("spec.nodeSelector", "x", labels, 1)], _default) == set()
}

test_success_no_selector if {
	_violations([], _default) == set()
}

test_success_nothing_to_select_where_there_is_no_node if {
	patch := {
		"nodes": {"total": 0},
		"bgpPeers": {"racks": _peer([_selector("spec.nodeSelector", "all()", [], 0)])},
	}
	found := rule.violation with input as testing.input_with(patch, {"labels": _default})
	found == set()
}

test_fail_an_invalid_selector if {
	selector := {
		"field": "spec.peerSelector",
		"text": "rack = 'a'",
		"error": "unexpected characters",
		"labels": [],
		"nodes": 0,
	}
	_violations([selector], _default) == {{
		"id": "racks/spec.peerSelector/syntax",
		"size": 1,
		"msg": concat("", [
			`BGPPeer racks has an invalid selector: spec.peerSelector "rack = 'a'" (unexpected `,
			"characters) selects no node; correct it",
		]),
		"details": {"field": "spec.peerSelector", "selector": "rack = 'a'", "error": "unexpected characters"},
		"objects": [{"kind": "BGPPeer", "name": "racks", "fields": ["spec.peerSelector"]}],
	}}
}

test_fail_a_selector_that_selects_no_node if {
	_violations([_selector("spec.peerSelector", "rack == 'a'", ["rack"], 0)], _default) == {{
		"id": "racks/spec.peerSelector/nodes",
		"size": 1,
		"msg": concat("", [
			`BGPPeer racks has a selector that selects no node: spec.peerSelector "rack == 'a'" `,
			"selects 0 of 10 nodes, so the BGPPeer gives nodes no sessions; label the nodes, or ",
			"correct the selector",
		]),
		"details": {"field": "spec.peerSelector", "selector": "rack == 'a'", "nodes": 10},
		"objects": [{"kind": "BGPPeer", "name": "racks", "fields": ["spec.peerSelector"]}],
	}}
	some violation in _violations([_selector("spec.nodeSelector", "rack == 'a'", ["rack"], 0)], _default)
	violation.id == "racks/spec.nodeSelector/nodes"
	contains(violation.msg, ", so no node gets the sessions of the BGPPeer; ")
}

test_fail_a_selector_uses_a_label_of_the_installer if {
	label := "node-role.kubernetes.io/master"
	_violations([_selector("spec.peerSelector", sprintf("has(%s)", [label]), [label], 3)], _default) == {{
		"id": "racks/spec.peerSelector/labels",
		"size": 1,
		"msg": concat("", [
			"BGPPeer racks selects nodes by labels that others manage: spec.peerSelector ",
			`"has(node-role.kubernetes.io/master)" uses 1 label (node-role.kubernetes.io/master); `,
			"an upgrade or a cloud provider can remove them, and the sessions with them; use your ",
			"own label, or change the parameter labels",
		]),
		"details": {
			"field": "spec.peerSelector",
			"selector": "has(node-role.kubernetes.io/master)",
			"labels": ["node-role.kubernetes.io/master"],
		},
		"objects": [{"kind": "BGPPeer", "name": "racks", "fields": ["spec.peerSelector"]}],
	}}
}

test_fail_labels_by_pattern if {
	labels := ["beta.kubernetes.io/arch", "beta.kubernetes.io/os", "failure-domain.beta.kubernetes.io/zone", "rack"]
	some violation in _violations([_selector("spec.nodeSelector", "x", labels, 1)], _default)
	violation.size == 3
	violation.details.labels == [
		"beta.kubernetes.io/arch",
		"beta.kubernetes.io/os",
		"failure-domain.beta.kubernetes.io/zone",
	]
	contains(violation.msg, " uses 3 labels (beta.kubernetes.io/arch, ")
}

test_fail_labels_of_the_parameter_only if {
	labels := ["node-role.kubernetes.io/master", "rack-a"]
	selectors := [_selector("spec.nodeSelector", "x", labels, 1)]
	{violation.details.labels | some violation in _violations(selectors, ["rack-*"])} == {["rack-a"]}
	_violations(selectors, ["rack", "*-b"]) == set()
	_violations(selectors, []) == set()
}

test_fail_a_selector_can_be_wrong_in_two_ways if {
	selectors := [_selector("spec.peerSelector", "has(kubernetes.io/role)", ["kubernetes.io/role"], 0)]
	{violation.id | some violation in _violations(selectors, _default)} == {
		"racks/spec.peerSelector/labels",
		"racks/spec.peerSelector/nodes",
	}
}

test_fail_has_matches_a_negative_value if {
	selector := object.union(_selector("spec.peerSelector", "has(rr)", ["rr"], 5), {"unintended": {
		"nodes": 4,
		"sample": ["node-4", "node-5", "node-6"],
	}})
	_violations([selector], _default) == {{
		"id": "racks/spec.peerSelector/has",
		"size": 4,
		"msg": concat("", [
			"BGPPeer racks selects nodes by a label with the value \"false\", \"off\" or \"disabled\": ",
			"spec.peerSelector \"has(rr)\" selects 4 nodes (node-4, node-5, node-6 and 1 more) because has() ",
			"matches each value; compare the value of the label, or remove the label from these nodes",
		]),
		"details": {
			"field": "spec.peerSelector",
			"selector": "has(rr)",
			"nodes": 4,
			"sample": ["node-4", "node-5", "node-6"],
		},
		"objects": [{"kind": "BGPPeer", "name": "racks", "fields": ["spec.peerSelector"]}],
	}}
}

_default := [
	"node-role.kubernetes.io/master", "node-role.kubernetes.io/control-plane",
	"kubernetes.io/role", "beta.kubernetes.io/*",
	"failure-domain.beta.kubernetes.io/*", "node.kubernetes.io/instance-type",
]

_peer(selectors) := {"name": "racks", "selectors": selectors}

_selector(field, text, labels, nodes) := {
	"field": field,
	"text": text,
	"error": null,
	"labels": labels,
	"nodes": nodes,
	"unintended": {"nodes": 0, "sample": []},
}

_violations(selectors, labels) := found if {
	patch := {"bgpPeers": {"racks": _peer(selectors)}}
	found := rule.violation with input as testing.input_with(patch, {"labels": labels})
}

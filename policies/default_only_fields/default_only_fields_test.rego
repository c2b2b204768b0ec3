package policies.default_only_fields_test

import data.policies.default_only_fields as rule
import data.policies.testing_test as testing

test_success_fields_in_their_place if {
	_violations({
		"default": {"name": "default", "node": null, "spec": {"asNumber": 64600, "nodeToNodeMeshEnabled": false}},
		"node.node-1": {
			"name": "node.node-1",
			"node": "node-1",
			"spec": {
				"listenPort": 1790,
				"logSeverityScreen": "Debug",
				"communities": [{"name": "a", "value": "1:2"}],
				"prefixAdvertisements": [],
			},
		},
	}) == set()
}

test_success_nothing_is_set if {
	every spec in [{}, {"asNumber": null}, {"serviceLoadBalancerAggregation": "Enabled"}] {
		_violations({"node.node-1": {"name": "node.node-1", "node": "node-1", "spec": spec}}) == set()
	}
}

test_success_an_object_that_is_ignored_as_a_whole if {
	_violations({"backup": {"name": "backup", "node": null, "spec": {"asNumber": 64600}}}) == set()
}

test_fail_a_field_that_is_ignored if {
	_violations(_node({"bindMode": "NodeIP", "listenPort": 1790})) == {{
		"id": "node.node-1",
		"size": 1,
		"msg": concat("", [
			"BGPConfiguration node.node-1 sets fields without effect: Calico reads bindMode only ",
			"in BGPConfiguration default; remove them here, and set them in default if they are ",
			"for all nodes",
		]),
		"details": {"node": "node-1", "fields": ["bindMode"]},
		"objects": [{"kind": "BGPConfiguration", "name": "node.node-1", "fields": ["spec.bindMode"]}],
	}}
}

test_fail_an_as_number_has_another_place if {
	_violations(_node({"nodeToNodeMeshEnabled": false, "asNumber": 64600})) == {{
		"id": "node.node-1",
		"size": 2,
		"msg": concat("", [
			"BGPConfiguration node.node-1 sets fields without effect: Calico reads asNumber, ",
			"nodeToNodeMeshEnabled only in BGPConfiguration default; remove them here, and set ",
			"them in default if they are for all nodes, or the annotation ",
			"projectcalico.org/ASNumber on node node-1",
		]),
		"details": {"node": "node-1", "fields": ["asNumber", "nodeToNodeMeshEnabled"]},
		"objects": [{
			"kind": "BGPConfiguration",
			"name": "node.node-1",
			"fields": ["spec.asNumber", "spec.nodeToNodeMeshEnabled"],
		}],
	}}
}

test_fail_values_that_are_empty_are_set if {
	some violation in _violations(_node({"nodeToNodeMeshEnabled": false, "serviceClusterIPs": []}))
	violation.size == 2
}

_node(spec) := {"node.node-1": {"name": "node.node-1", "node": "node-1", "spec": spec}}

_violations(configurations) := found if {
	found := rule.violation with input as testing.input_with({"bgpConfigurations": configurations}, {})
}

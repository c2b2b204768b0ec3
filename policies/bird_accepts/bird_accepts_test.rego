package policies.bird_accepts_test

import data.policies.bird_accepts as rule
import data.policies.testing_test as testing

test_success_bird_accepts_all if {
	_violations([]) == set()
}

test_fail_one_node if {
	some violation in _violations([_rejected(1)])
	violation.id == "IPv4"
	violation.size == 1
	violation.members == ["frozen"]
	violation.objects == [{"kind": "Node", "name": "node-1", "fields": [_cluster_id]}]
	violation.msg == concat("", [
		"BIRD rejects the IPv4 configuration of 1 node (node-1): a cluster ID with a mask (Node node-1); the ",
		"node keeps its old configuration until this is fixed, and a restart of calico-node then leaves it ",
		"without BGP; remove the mask",
	])
}

test_fail_many_nodes_by_a_filter if {
	some violation in _violations([_filtered(5000)])
	violation.objects == [{"kind": "BGPFilter", "name": "f", "fields": ["spec.exportV4[0].cidr"]}]
	violation.msg == concat("", [
		"BIRD rejects the IPv4 configuration of 5,000 nodes (node-1 and 4,999 more): a cidr with host bits ",
		"(BGPFilter f spec.exportV4[0].cidr); the nodes keep their old configuration until this is fixed, ",
		"and a restart of calico-node then leaves a node without BGP; set all host bits to 0",
	])
}

test_fail_the_reasons_of_a_family_are_one_violation if {
	found := _violations([
		object.union(_rejected(2), {"sample": ["node-2", "node-3"]}),
		object.union(_filtered(3), {"members": "others"}),
	])
	count(found) == 1
	some violation in found
	violation.id == "IPv4"
	violation.size == 3
	violation.members == ["frozen"]
	violation.objects == [
		{"kind": "BGPFilter", "name": "f", "fields": ["spec.exportV4[0].cidr"]},
		{"kind": "Node", "name": "node-1", "fields": [_cluster_id]},
	]
	[reason.reason | some reason in violation.details.reasons] == ["a cluster ID with a mask", "a cidr with host bits"]
	violation.msg == concat("", [
		"BIRD rejects the IPv4 configuration of 3 nodes (node-1 and 2 more): a cluster ID with a mask on 2 ",
		"nodes (node-2, node-3) (Node node-1); a cidr with host bits (BGPFilter f spec.exportV4[0].cidr); the ",
		"nodes keep their old configuration until this is fixed, and a restart of calico-node then leaves a ",
		"node without BGP; remove the mask; set all host bits to 0",
	])
}

test_fail_an_object_is_named_once_with_its_fields if {
	some violation in _violations([
		_filtered(2),
		object.union(_filtered(2), {
			"reason": "an unknown action",
			"objects": [{"kind": "BGPFilter", "name": "f", "field": "spec.exportV4[0].action"}],
		}),
	])
	violation.objects == [{
		"kind": "BGPFilter",
		"name": "f",
		"fields": ["spec.exportV4[0].action", "spec.exportV4[0].cidr"],
	}]
}

test_fail_nodes_that_share_an_address_are_named if {
	reason := "two protocols of one name, for an address that several nodes have"
	patch := {
		"sessions": {"IPv4": _sessions([object.union(_rejected(3), {"reason": reason})])},
		"addresses": {"IPv4": {"sharedAddresses": [{"address": "10.0.0.8", "nodes": 2, "sample": ["node-2", "node-9"]}]}},
	}
	some violation in rule.violation with input as testing.input_with(patch, {})
	endswith(violation.msg, concat("", [
		"without BGP; nodes node-2 and node-9 have the same address 10.0.0.8; give each node its own ",
		"address (annotation projectcalico.org/IPv4Address)",
	]))
}

_cluster_id := "metadata.annotations[projectcalico.org/RouteReflectorClusterID]"

_rejected(nodes) := {
	"reason": "a cluster ID with a mask",
	"fix": "remove the mask",
	"nodes": nodes,
	"sample": ["node-1"],
	"members": "frozen",
	"objects": [{"kind": "Node", "name": "node-1", "field": _cluster_id}],
}

_filtered(nodes) := object.union(_rejected(nodes), {
	"reason": "a cidr with host bits",
	"fix": "set all host bits to 0",
	"objects": [{"kind": "BGPFilter", "name": "f", "field": "spec.exportV4[0].cidr"}],
})

_violations(reasons) := found if {
	found := rule.violation with input as testing.input_with({"sessions": {"IPv4": _sessions(reasons)}}, {})
}

# The nodes with one reason are among those with the most frequent one.
_sessions(reasons) := {
	"frozen": {"nodes": max({0} | {rejected.nodes | some rejected in reasons}), "sample": ["node-1"], "members": "frozen"},
	"frozenReasons": reasons,
}

package policies.typha_drops_test

import data.policies.testing_test as testing
import data.policies.typha_drops as rule

test_success_nothing_is_rejected if {
	every installed in [true, false, null] {
		_violations({"installed": installed, "dropped": {}}) == set()
	}
}

test_fail_the_default_configuration if {
	_violations({"installed": true, "dropped": {"BGPConfiguration": _one("default")}}) == {{
		"id": "BGPConfiguration",
		"size": 1,
		"advisory": false,
		"msg": concat("", [
			"Calico's validator rejects BGPConfiguration default: spec.a: is wrong; Typha drops it, so the ",
			"node-to-node mesh is on and the AS number is 64512; correct it",
		]),
		"details": {"kind": "BGPConfiguration", "objects": 1, "sample": _one("default").sample},
		"objects": [{"kind": "BGPConfiguration", "name": "default", "fields": ["spec.a", "spec.b"]}],
	}}
}

test_fail_a_service_range if {
	range := {
		"name": "default",
		"fields": [{
			"field": "spec.serviceClusterIPs[0].cidr",
			"message": "\"10.96.0.1/12\" has host bits: the network is 10.96.0.0/12",
		}],
	}
	some violation in _violations({
		"installed": true,
		"dropped": {"BGPConfiguration": {"objects": 1, "sample": [range]}},
	})
	violation.msg == concat("", [
		"Calico's validator rejects BGPConfiguration default: spec.serviceClusterIPs[0].cidr: ",
		"\"10.96.0.1/12\" has host bits: the network is 10.96.0.0/12; Typha drops it, so the node-to-node ",
		"mesh is on and the AS number is 64512; correct it",
	])
}

test_fail_it_is_not_known_whether_typha_is_installed if {
	some violation in _violations({"installed": null, "dropped": {"BGPConfiguration": _one("node.node-1")}})
	violation.advisory
	violation.msg == concat("", [
		"Calico's validator rejects BGPConfiguration node.node-1: spec.a: is wrong; Typha, if it is installed, ",
		"drops it, so the settings have no effect; correct it",
	])
}

test_fail_several_objects_of_each_kind if {
	four := {"objects": 4, "sample": [_object(name) | some name in ["a", "b", "c"]]}
	messages := {violation.id: violation.msg |
		some violation in _violations({"installed": true, "dropped": {"BGPPeer": four, "BGPFilter": four, "Node": four}})
	}
	messages == {
		"BGPPeer": concat("", [
			"Calico's validator rejects 4 BGPPeers (a, b, c and 1 more), of a: spec.a: is wrong; Typha drops ",
			"them, so the sessions of a BGPPeer that is dropped end; correct them",
		]),
		"BGPFilter": concat("", [
			"Calico's validator rejects 4 BGPFilters (a, b, c and 1 more), of a: spec.a: is wrong; Typha drops ",
			"them, so routes pass that the filter rejects; correct them",
		]),
		"Node": concat("", [
			"Calico's validator rejects 4 Nodes (a, b, c and 1 more), of a: spec.a: is wrong; Typha drops them, ",
			"so the other nodes have neither sessions with the node nor routes to its pods, ",
			"not even by VXLAN or IPIP; correct them",
		]),
	}
}

_one(name) := {"objects": 1, "sample": [_object(name)]}

_object(name) := {
	"name": name,
	"fields": [{"field": "spec.a", "message": "is wrong"}, {"field": "spec.b", "message": ""}],
}

_violations(typha) := found if {
	found := rule.violation with input as testing.input_with({"typha": typha}, {})
}

package policies.reflector_redundancy_test

import data.policies.reflector_redundancy as rule
import data.policies.testing_test as testing

test_success_nothing_depends_on_one_thing if {
	_violations({}, {}) == set()
}

test_success_pod_traffic_does_not_need_bgp if {
	patch := object.union(_points([_node]), {"podTraffic": {"IPv4": {"needsBGP": false}}})
	_violations(patch, {}) == set()
}

test_success_a_kind_that_is_not_in_the_parameter if {
	_violations(_points([_router]), {}) == set()
}

test_success_points_only_in_the_other_reading if {
	patch := {"routes": {"IPv4": {"withTransit": {"singlePoints": []}, "withoutTransit": {"singlePoints": [_node]}}}}
	_violations(patch, {}) == set()
	{violation.assumption | some violation in _found(patch, {})} == {"external peers do not pass routes on between nodes"}
	known := {"routes": {"IPv4": {"knownTransit": [{"transitPeers": ["tor"], "reach": {"singlePoints": []}}]}}}
	_found(object.union(patch, known), {"transitPeers": ["tor"]}) == set()
}

test_success_reflectors_at_the_limit if {
	_violations({}, {"maxSessions": 7}) == set()
}

test_fail_one_reflector_alone if {
	some violation in _violations(_points([_node]), {})
	violation.id == "IPv4/single-point/node/node-1"
	violation.size == 7
	violation.members == ["point/node-1"]
	violation.objects == [
		{"kind": "Node", "name": "node-1", "fields": []},
		_of_node("node-4"),
		_of_node("node-5"),
		_of_node("node-6"),
	]
	violation.msg == concat("", [
		"single point of failure in IPv4: the loss of node node-1 would isolate 7 nodes (node-4, ",
		"node-5, node-6 and 4 more); peer these nodes with a second route reflector, by its ",
		"labels or by the peerSelector of a BGPPeer",
	])
}

test_fail_a_zone_and_a_node_are_two if {
	found := _violations(_points([_node, _zone]), {})
	{violation.id | some violation in found} == {"IPv4/single-point/node/node-1", "IPv4/single-point/zone/a"}
}

test_fail_a_zone_is_no_object if {
	some violation in _violations(_points([_zone]), {})
	violation.objects == [_of_node("node-9")]
	violation.msg == concat("", [
		"single point of failure in IPv4: the loss of zone a would isolate 1 node (node-9); add a ",
		"route reflector in another zone, and peer these nodes with it",
	])
}

test_fail_a_router_if_the_parameter_has_its_kind if {
	patch := object.union(_points([_router]), {"bgpPeers": {
		"tor": {"scope": "external", "address": "192.0.2.1", "selects": ["spec.peerIP"]},
		"other": {"scope": "external", "address": "192.0.2.2", "selects": ["spec.peerIP"]},
	}})
	some violation in _violations(patch, {"kinds": ["externalPeer"]})
	violation.objects == [
		{"kind": "BGPPeer", "name": "tor", "fields": ["spec.peerIP"]},
		_of_node("node-4"),
		_of_node("node-5"),
		_of_node("node-6"),
	]
	violation.msg == concat("", [
		"single point of failure in IPv4: the loss of external peer 192.0.2.1 would isolate 40 ",
		"nodes (node-4, node-5, node-6 and 37 more); peer these nodes with a second router, or ",
		"with route reflectors",
	])
}

_of_node(name) := {"kind": "Node", "name": name, "fields": [
	"metadata.labels.rr",
	"metadata.annotations[projectcalico.org/RouteReflectorClusterID]",
]}

test_fail_each_family_is_named if {
	patch := object.union(_points([_zone]), {"podTraffic": {"IPv6": {"needsBGP": true}}})
	some violation in _violations(patch, {})
	startswith(violation.msg, "single point of failure in IPv4: the loss of zone a would isolate 1 node (node-9); ")
}

test_fail_reflectors_that_are_not_ready if {
	down := {"nodes": 1, "sample": ["node-2"], "members": "down"}
	some violation in _violations({"reflectors": {"IPv4": {"notReady": down}}}, {})
	violation.id == "IPv4/not-ready"
	violation.size == 1
	violation.members == ["down"]
	violation.objects == [{"kind": "Node", "name": "node-2"}]
	violation.msg == concat("", [
		"IPv4 route reflectors that are not ready: 1 of 3 route reflectors (node-2); nodes have routes from ",
		"the others alone, and each start of calico-node on a node that peers with them waits 240 s; fix ",
		"the nodes, or delete the Nodes of machines that no longer exist",
	])
}

test_success_reflectors_that_are_not_ready_and_not_needed if {
	down := {"nodes": 1, "sample": ["node-2"], "members": "down"}
	patch := {"reflectors": {"IPv4": {"notReady": down}}, "podTraffic": {"IPv4": {"needsBGP": false}}}
	_violations(patch, {}) == set()
}

test_fail_reflectors_with_too_many_sessions if {
	load := [
		{"sessions": 12, "nodes": 1, "sample": ["node-1"], "members": "load/12"},
		{"sessions": 9, "nodes": 3, "sample": ["node-2", "node-3", "node-7"], "members": "load/9"},
		{"sessions": 4, "nodes": 1, "sample": ["node-8"], "members": "load/4"},
	]
	some violation in _violations({"reflectors": {"IPv4": {"load": load}}}, {"maxSessions": 8})
	violation.id == "IPv4/load"
	violation.size == 7
	violation.members == ["load/9", "load/12"]
	violation.msg == concat("", [
		"too many IPv4 sessions: 4 route reflectors (node-1, node-2, node-3 and 1 more) above the ",
		"limit of 8, up to 12; add route reflectors and divide the nodes among them, or raise the ",
		"parameter maxSessions",
	])
}

_node := {
	"kind": "node",
	"name": "node-1",
	"nodes": 7,
	"sample": ["node-4", "node-5", "node-6"],
	"members": "point/node-1",
}

_zone := {"kind": "zone", "name": "a", "nodes": 1, "sample": ["node-9"], "members": "point/a"}

_router := {
	"kind": "externalPeer",
	"name": "192.0.2.1",
	"nodes": 40,
	"sample": ["node-4", "node-5", "node-6"],
	"members": "point/192.0.2.1",
}

_points(points) := {"routes": {"IPv4": {"withTransit": {"singlePoints": points}}}}

# Without an assumption.
_violations(patch, parameters) := {violation |
	some violation in _found(patch, parameters)
	not violation.assumption
}

_found(patch, parameters) := found if {
	defaults := {"kinds": ["node", "zone"], "transitPeers": [], "maxSessions": 2000}
	found := rule.violation with input as testing.input_with(
		object.union(_peers, patch),
		object.union(defaults, parameters),
	)
}

_peers := {"selectors": testing.selectors, "bgpPeers": {"to-reflectors": testing.to_reflectors}}

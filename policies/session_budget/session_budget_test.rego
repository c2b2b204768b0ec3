package policies.session_budget_test

import data.policies.session_budget as rule
import data.policies.testing_test as testing

test_success_within_both_limits if {
	_violations({}, {"maxSessionsPerNode": 3, "maxSessions": 21}) == set()
}

test_success_no_limit_in_all if {
	_violations({"sessions": {"IPv4": {"total": 12497500}}}, {"maxSessionsPerNode": 200}) == set()
}

test_success_a_mesh_of_many_without_a_pool_that_needs_bgp if {
	vxlan := {
		"mesh": {"enabled": true},
		"sessions": {"IPv4": {"total": 12497500}},
		"podTraffic": {"IPv4": {"needsBGP": false, "pools": []}},
	}
	_violations(vxlan, {"maxSessionsPerNode": 1, "maxSessions": 1}) == set()
	count(_violations(object.union(vxlan, {"mesh": {"enabled": false}}), {"maxSessionsPerNode": 1, "maxSessions": 1})) > 0
}

test_fail_one_node_with_one_session_too_many if {
	load := [{"sessions": 2, "nodes": 1, "sample": ["node-4"], "members": "load/2"}]
	some violation in _violations({"sessions": {"IPv4": {"load": load}}}, {"maxSessionsPerNode": 1})
	violation.id == "IPv4/node"
	violation.size == 1
	violation.members == ["load/2"]
	violation.objects == [
		{"kind": "BGPPeer", "name": "to-reflectors", "fields": ["spec.nodeSelector", "spec.peerSelector"]},
		{"kind": "Node", "name": "node-4", "fields": [
			"metadata.labels.rr",
			"metadata.annotations[projectcalico.org/RouteReflectorClusterID]",
		]},
	]
	violation.msg == concat("", [
		"too many IPv4 sessions per node: 1 node (node-4) above the limit of 1, up to 2; select ",
		"fewer nodes on one side of a BGPPeer, for example only route reflectors, or raise the ",
		"parameter maxSessionsPerNode",
	])
}

test_fail_the_largest_set_of_nodes_is_first if {
	load := [
		{"sessions": 3, "nodes": 1, "sample": ["node-4"], "members": "load/3"},
		{"sessions": 2, "nodes": 1, "sample": ["node-5"], "members": "load/2"},
	]
	some violation in _violations({"sessions": {"IPv4": {"load": load}}}, {"maxSessionsPerNode": 1})
	violation.members == ["load/2", "load/3"]
}

test_fail_a_mesh_of_many if {
	load := [{"sessions": 299, "nodes": 300, "sample": ["node-1", "node-2", "node-3"], "members": "load/299"}]
	patch := {"mesh": {"enabled": true}, "sessions": {"IPv6": {"load": load}}}
	some violation in _violations(patch, {"maxSessionsPerNode": 200})
	violation.size == 29700
	[object_.name | some object_ in violation.objects] == ["default", "node-1", "node-2", "node-3"]
	violation.objects[0].fields == ["spec.nodeToNodeMeshEnabled"]
	violation.msg == concat("", [
		"too many IPv6 sessions per node: 300 nodes (node-1, node-2, node-3 and 297 more) above ",
		"the limit of 200, up to 299; peer the nodes with route reflectors and turn the node-to-node mesh off, ",
		"or raise the parameter maxSessionsPerNode",
	])
}

test_fail_one_session_too_many_in_all if {
	some violation in _violations({}, {"maxSessionsPerNode": 200, "maxSessions": 20})
	violation.id == "IPv4/all"
	violation.size == 1
	violation.msg == concat("", [
		"too many IPv4 sessions in the cluster: 21, above the limit of 20; select fewer nodes on ",
		"one side of a BGPPeer, for example only route reflectors, or raise the parameter ",
		"maxSessions",
	])
}

_violations(patch, parameters) := found if {
	found := rule.violation with input as testing.input_with(object.union(_peers, patch), parameters)
}

_peers := {"selectors": testing.selectors, "bgpPeers": {"to-reflectors": testing.to_reflectors}}

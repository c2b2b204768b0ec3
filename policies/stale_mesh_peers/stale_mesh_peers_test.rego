package policies.stale_mesh_peers_test

import data.policies.stale_mesh_peers as rule
import data.policies.testing_test as testing

test_success_all_nodes_are_ready if {
	_violations(true, 0, 0) == set()
}

test_success_the_mesh_is_off if {
	_violations(false, 3, 0) == set()
}

test_success_as_many_as_may_be if {
	_violations(true, 3, 3) == set()
}

test_success_no_pool_needs_bgp if {
	mesh := {"enabled": true, "notReady": {"nodes": 1, "sample": ["node-4"], "members": "stale"}}
	vxlan := {"mesh": mesh, "podTraffic": {"IPv4": {"needsBGP": false, "pools": []}}}
	found := rule.violation with input as testing.input_with(vxlan, {"maxNodes": 0})
	found == set()
}

test_fail_one_node if {
	some violation in _violations(true, 1, 0)
	violation.size == 1
	violation.objects == [{"kind": "Node", "name": "node-4"}]
	violation.msg == concat("", [
		"NotReady nodes in the node-to-node mesh: 1 of 7 nodes (node-4), maximum 0; each start of ",
		"calico-node on other nodes waits 240 s before it uses routes; fix the nodes, delete the ",
		"Nodes of machines that no longer exist, or use route reflectors",
	])
}

test_fail_more_than_the_maximum if {
	some violation in _violations(true, 5, 2)
	violation.size == 3
	startswith(violation.msg, "NotReady nodes in the node-to-node mesh: 5 of 7 nodes (node-4 and 4 more), maximum ")
}

test_fail_a_route_reflector_without_the_mesh if {
	down := {"nodes": 1, "sample": ["rr-1"], "members": "notReady"}
	patch := {"mesh": {"enabled": false}, "nodes": {"bgp": 5, "notReady": down}}
	found := rule.violation with input as testing.input_with(patch, {"maxNodes": 0})
	found == {{
		"id": "not-ready",
		"size": 1,
		"msg": concat("", [
			"nodes with BGP that are not ready: 1 of 5 nodes (rr-1), maximum 0; each start of calico-node on a ",
			"node that peers with them waits 240 s before it uses routes; fix the nodes, or delete the Nodes of ",
			"machines that no longer exist",
		]),
		"details": {"nodes": 1, "sample": ["rr-1"], "maxNodes": 0},
		"objects": [{"kind": "Node", "name": "rr-1"}],
	}}
}

_violations(enabled, nodes, most) := found if {
	stale := {"nodes": nodes, "sample": ["node-4"], "members": "stale"}
	patch := {"mesh": {"enabled": enabled, "notReady": stale}}
	found := rule.violation with input as testing.input_with(patch, {"maxNodes": most})
}

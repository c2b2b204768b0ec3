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

test_fail_one_node if {
	some violation in _violations(true, 1, 0)
	violation.size == 1
	violation.objects == [{"kind": "Node", "name": "node-4"}]
	violation.msg == concat("", [
		"1 node (node-4) in the node-to-node mesh of 7 is not ready, ",
		"so each start of calico-node on the others waits 240 s for their sessions before it uses a route: ",
		"mend them, or delete the Nodes of machines that are gone; ",
		"with route reflectors nodes do not wait for each other",
	])
}

test_fail_more_than_may_be if {
	some violation in _violations(true, 5, 2)
	violation.size == 3
	startswith(violation.msg, "5 nodes (node-4 and 4 more) in the node-to-node mesh of 7 are not ready, ")
}

_violations(enabled, nodes, most) := found if {
	stale := {"nodes": nodes, "sample": ["node-4"], "members": "stale"}
	patch := {"mesh": {"enabled": enabled, "notReady": stale}}
	found := rule.violation with input as testing.input_with(patch, {"maxNodes": most})
}

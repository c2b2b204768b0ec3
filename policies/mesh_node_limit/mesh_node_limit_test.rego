package policies.mesh_node_limit_test

import data.policies.mesh_node_limit as rule
import data.policies.testing_test as testing

test_success_mesh_off_however_many_nodes if {
	mesh := {"enabled": false, "nodes": 5000, "sessionsPerNode": 0, "sessions": 0}
	_violations(mesh, 100) == set()
}

test_success_mesh_on_at_the_limit if {
	mesh := {"enabled": true, "nodes": 100, "sessionsPerNode": 99, "sessions": 4950}
	_violations(mesh, 100) == set()
}

test_fail_one_node_over_the_limit if {
	mesh := {"enabled": true, "nodes": 101, "sessionsPerNode": 100, "sessions": 5050}
	some violation in _violations(mesh, 100)
	violation.size == 1
}

test_fail_the_smallest_mesh_over_the_smallest_limit if {
	mesh := {"enabled": true, "nodes": 2, "sessionsPerNode": 1, "sessions": 1}
	some violation in _violations(mesh, 1)
	violation.msg == concat("", [
		"the node-to-node mesh is on (nodeToNodeMeshEnabled: true) with 2 nodes, 1 session on each and 1 in all; ",
		"the limit is 1 node: peer the nodes with route reflectors by BGPPeers, ",
		"then set nodeToNodeMeshEnabled: false in BGPConfiguration default",
	])
}

test_fail_both_families_are_added_up if {
	mesh := {"enabled": true, "nodes": 3, "sessionsPerNode": 4, "sessions": 6}
	some violation in _violations(mesh, 2)
	violation.msg == concat("", [
		"the node-to-node mesh is on (nodeToNodeMeshEnabled: true) with 3 nodes, ",
		"4 sessions on each and 6 in all (IPv4 and IPv6); ",
		"the limit is 2 nodes: peer the nodes with route reflectors by BGPPeers, ",
		"then set nodeToNodeMeshEnabled: false in BGPConfiguration default",
	])
}

test_fail_mesh_on_with_too_many_nodes[source] if {
	some source, words in {
		"set": {
			"why": "nodeToNodeMeshEnabled: true",
			"then": "set nodeToNodeMeshEnabled: false in BGPConfiguration default",
		},
		"unset": {
			"why": "nodeToNodeMeshEnabled is not set, and unset means on",
			"then": "set nodeToNodeMeshEnabled: false in BGPConfiguration default",
		},
		"absent": {
			"why": "there is no BGPConfiguration default, and without one the mesh is on",
			"then": "create BGPConfiguration default with nodeToNodeMeshEnabled: false",
		},
	}
	mesh := {"enabled": true, "source": source, "nodes": 120, "sessionsPerNode": 119, "sessions": 7140}
	_violations(mesh, 100) == {{
		"id": "node-to-node-mesh",
		"size": 20,
		"msg": sprintf("%s (%s) with 120 nodes, 119 sessions on each and 7,140 in all; %s, then %s", [
			"the node-to-node mesh is on",
			words.why,
			"the limit is 100 nodes: peer the nodes with route reflectors by BGPPeers",
			words.then,
		]),
		"details": {"nodes": 120, "sessionsPerNode": 119, "sessions": 7140, "maxNodes": 100, "source": source},
		"objects": [{"kind": "BGPConfiguration", "name": "default"}],
	}}
}

_violations(mesh, limit) := found if {
	found := rule.violation with input as testing.input_with({"mesh": mesh}, {"maxNodes": limit})
}

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

test_success_no_pool_needs_bgp if {
	mesh := {"enabled": true, "nodes": 5000, "sessionsPerNode": 4999, "sessions": 12497500}
	vxlan := {"mesh": mesh, "podTraffic": {"IPv4": {"needsBGP": false, "pools": []}}}
	found := rule.violation with input as testing.input_with(vxlan, {"maxNodes": 100})
	found == set()
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
		"the node-to-node mesh is too large: 2 nodes (limit 1), 1 session per node, 1 in total; ",
		"the mesh is on because nodeToNodeMeshEnabled is true: peer the nodes with route ",
		"reflectors, then set nodeToNodeMeshEnabled: false in BGPConfiguration default",
	])
}

test_fail_the_sum_of_both_families if {
	mesh := {"enabled": true, "nodes": 3, "sessionsPerNode": 4, "sessions": 6}
	some violation in _violations(mesh, 2)
	violation.msg == concat("", [
		"the node-to-node mesh is too large: 3 nodes (limit 2), 4 sessions per node, 6 in total ",
		"(IPv4 and IPv6); the mesh is on because nodeToNodeMeshEnabled is true: peer the nodes ",
		"with route reflectors, then set nodeToNodeMeshEnabled: false in BGPConfiguration default",
	])
}

test_fail_mesh_on_with_too_many_nodes[source] if {
	some source, message in {
		"set": concat("", [
			"the node-to-node mesh is too large: 120 nodes (limit 100), 119 sessions per node, 7,140 in total; ",
			"the mesh is on because nodeToNodeMeshEnabled is true: peer the nodes with route reflectors, ",
			"then set nodeToNodeMeshEnabled: false in BGPConfiguration default",
		]),
		"unset": concat("", [
			"the node-to-node mesh is too large: 120 nodes (limit 100), 119 sessions per node, 7,140 in total; ",
			"the mesh is on because nodeToNodeMeshEnabled is unset: peer the nodes with route reflectors, ",
			"then set nodeToNodeMeshEnabled: false in BGPConfiguration default",
		]),
		"absent": concat("", [
			"the node-to-node mesh is too large: 120 nodes (limit 100), 119 sessions per node, 7,140 in total; ",
			"the mesh is on because there is no BGPConfiguration default: peer the nodes with route reflectors, ",
			"then create BGPConfiguration default with nodeToNodeMeshEnabled: false",
		]),
	}
	mesh := {"enabled": true, "source": source, "nodes": 120, "sessionsPerNode": 119, "sessions": 7140}
	_violations(mesh, 100) == {{
		"id": "node-to-node-mesh",
		"size": 20,
		"msg": message,
		"details": {"nodes": 120, "sessionsPerNode": 119, "sessions": 7140, "maxNodes": 100, "source": source},
		"objects": [{"kind": "BGPConfiguration", "name": "default", "fields": ["spec.nodeToNodeMeshEnabled"]}],
	}}
}

_violations(mesh, limit) := found if {
	found := rule.violation with input as testing.input_with({"mesh": mesh}, {"maxNodes": limit})
}

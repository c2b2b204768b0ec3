package bgpmeshlimit_test

import data.bgpmeshlimit as rule

test_mesh_over_the_limit if {
	messages({"nodeToNodeMeshEnabled": true}, "UPDATE", 1) == {"the node-to-node mesh would have 2 nodes, the limit is 1"}
}

test_mesh_is_on_by_default if count(messages({}, "CREATE", 1)) == 1

test_delete_enables_the_mesh if count(messages({"nodeToNodeMeshEnabled": false}, "DELETE", 1)) == 1

test_mesh_at_the_limit if messages({"nodeToNodeMeshEnabled": true}, "UPDATE", 2) == set()

test_mesh_off if messages({"nodeToNodeMeshEnabled": false}, "UPDATE", 1) == set()

test_other_configurations_do_not_matter if {
	review := {"operation": "CREATE", "object": {"metadata": {"name": "node.a"}, "spec": {}}}
	violations := rule.violation with input as {"review": review, "parameters": {"maxNodes": 1}}
		with data.inventory.cluster.v1.Node as nodes
	count(violations) == 0
}

messages(spec, operation, limit) := {violation.msg | some violation in violations} if {
	review := {"operation": operation, "object": {"metadata": {"name": "default"}, "spec": spec}}
	violations := rule.violation with input as {"review": review, "parameters": {"maxNodes": limit}}
		with data.inventory.cluster.v1.Node as nodes
}

nodes := {
	"a": {"metadata": {"annotations": {"projectcalico.org/IPv4Address": "10.0.0.1/16"}}},
	"b": {"metadata": {"annotations": {"projectcalico.org/IPv4Address": "10.0.0.2/16"}}},
	"no-bgp": {"metadata": {"annotations": {"other": "x"}}},
	"reflector": {"metadata": {"annotations": {
		"projectcalico.org/IPv4Address": "10.0.0.3/16",
		"projectcalico.org/RouteReflectorClusterID": "244.0.0.1",
	}}},
}

package bgprestarttime_test

import data.bgprestarttime as rule

test_another_time if {
	found := messages({"maxRestartTime": "300s"}, "UPDATE", {"restartTime": "120s"})
	found == {"maxRestartTime is 300s, that of the cluster is 120s"}
}

test_the_same_time_in_other_units if messages({"maxRestartTime": "2m"}, "UPDATE", {"restartTime": "120s"}) == set()

test_unset_is_the_default_of_bird if {
	messages({}, "CREATE", {"restartTime": "120s"}) == set()
	messages({}, "CREATE", {"restartTime": "60s"}) == {"maxRestartTime is 120s, that of the cluster is 60s"}
}

test_without_parameter_the_configuration_decides if {
	messages({}, "CREATE", {}) == {"maxRestartTime is 120s, that of the cluster is 90s"}
	messages({"maxRestartTime": "90s"}, "CREATE", {}) == set()
}

test_a_delete_is_allowed if messages({"maxRestartTime": "300s"}, "DELETE", {}) == set()

messages(spec, operation, parameters) := {violation.msg | some violation in violations} if {
	review := {"operation": operation, "object": {"metadata": {"name": "rack"}, "spec": spec}}
	violations := rule.violation with input as {"review": review, "parameters": parameters}
		with data.inventory.cluster as {"crd.projectcalico.org/v1": {"BGPConfiguration": configurations}}
}

configurations := {"default": {"spec": {"nodeMeshMaxRestartTime": "90s"}}}

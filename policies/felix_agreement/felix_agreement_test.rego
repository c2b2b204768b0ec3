package policies.felix_agreement_test

import data.policies.felix_agreement as rule
import data.policies.testing_test as testing

test_success_one_of_the_two_programs_each_class if {
	_violations({"clusterRoutes": {
		"ipip": {"felix": true, "bird": false, "pools": ["pool-a"]},
		"noEncap": {"felix": false, "bird": true, "pools": ["pool-b"]},
		"setting": {"felix": "EnabledIPIPOnly", "bird": "EnabledNoEncapOnly"},
		"version": "3.33",
	}}) == set()
}

test_success_classes_without_pools if {
	every programs in [true, false] {
		_violations({"clusterRoutes": {
			"ipip": {"felix": programs, "bird": programs, "pools": []},
			"noEncap": {"felix": programs, "bird": programs, "pools": []},
			"setting": {"felix": "Enabled", "bird": "Enabled"},
		}}) == set()
	}
}

test_success_an_unknown_setting if {
	every setting in [{"felix": null, "bird": "Enabled"}, {"felix": "Enabled", "bird": null}] {
		_violations({"clusterRoutes": {
			"ipip": {"felix": false, "bird": false, "pools": ["pool-a"]},
			"noEncap": {"felix": true, "bird": true, "pools": ["pool-b"]},
			"setting": setting,
		}}) == set()
	}
}

test_success_priorities_are_the_same if {
	cases := [
		{"felix": {}, "bird": {}},
		{"felix": {"ipv4NormalRoutePriority": 1024}, "bird": {}},
		{"felix": {}, "bird": {"ipv6NormalRoutePriority": 1024}},
		{"felix": {"ipv4NormalRoutePriority": 2000}, "bird": {"ipv4NormalRoutePriority": 2000}},
	]
	every case in cases {
		_violations(_priorities(case.felix, case.bird)) == set()
	}
}

test_success_priorities_of_felix_are_not_known if {
	bird := {"default": {"name": "default", "spec": {"ipv4NormalRoutePriority": 2000}}}
	_violations({"bgpConfigurations": bird}) == set()
}

test_fail_nobody_programs_the_routes if {
	_violations(_no_encap(false, false, {"felix": "Disabled", "bird": "EnabledIPIPOnly"})) == {{
		"id": "noEncap/nobody",
		"size": 1,
		"msg": concat("", [
			"neither Felix nor BIRD programs the routes to pods on other nodes: 1 IPPool without ",
			"encapsulation (pool-b), programClusterRoutes is Disabled for Felix and ",
			"EnabledIPIPOnly for BIRD; enable it in FelixConfiguration default or in ",
			"BGPConfiguration default",
		]),
		"details": {"class": "noEncap", "ipPools": ["pool-b"], "felix": "Disabled", "bird": "EnabledIPIPOnly"},
		"objects": [
			{"kind": "FelixConfiguration", "name": "default", "fields": ["spec.programClusterRoutes"]},
			{"kind": "BGPConfiguration", "name": "default", "fields": ["spec.programClusterRoutes"]},
			{"kind": "IPPool", "name": "pool-b", "fields": ["spec.vxlanMode", "spec.ipipMode"]},
		],
	}}
}

test_fail_both_program_the_routes if {
	pools := ["pool-a", "pool-b", "pool-c", "pool-d"]
	some violation in _violations({"clusterRoutes": {
		"ipip": {"felix": true, "bird": true, "pools": pools},
		"noEncap": {"felix": false, "bird": true, "pools": []},
		"setting": {"felix": "EnabledIPIPOnly", "bird": "Enabled"},
	}})
	violation.id == "ipip/both"
	violation.size == 4
	violation.msg == concat("", [
		"both Felix and BIRD program the routes to pods on other nodes: 4 IPPools with IP-in-IP ",
		"(pool-a, pool-b, pool-c and 1 more), programClusterRoutes is EnabledIPIPOnly for Felix ",
		"and Enabled for BIRD; the routes flap; disable it in FelixConfiguration default or in ",
		"BGPConfiguration default",
	])
	violation.details == {"class": "ipip", "ipPools": pools, "felix": "EnabledIPIPOnly", "bird": "Enabled"}
	count(violation.objects) == 6
}

test_fail_only_felix_can_be_disabled_before_v3_32 if {
	some violation in _violations({"clusterRoutes": {
		"ipip": {"felix": true, "bird": true, "pools": ["pool-a"]},
		"noEncap": {"felix": false, "bird": true, "pools": []},
		"setting": {"felix": "Enabled", "bird": "Enabled"},
		"version": "3.31",
	}})
	endswith(violation.msg, concat("", [
		"; set programClusterRoutes: Disabled in FelixConfiguration default (BGPConfiguration has ",
		"the field since v3.32)",
	]))
}

test_fail_priorities_differ if {
	_violations(_priorities({"ipv4NormalRoutePriority": 2000}, {})) == {{
		"id": "default/ipv4NormalRoutePriority",
		"size": 1,
		"msg": concat("", [
			"Felix and BIRD have different route priorities: ipv4NormalRoutePriority is 2000 in ",
			"FelixConfiguration default and 1024 (the default) in BGPConfiguration default; BIRD ",
			"mistakes normal routes for those of pods that move, or the reverse; set the same ",
			"value in both",
		]),
		"details": {"field": "ipv4NormalRoutePriority", "felix": 2000, "bird": 1024},
		"objects": [
			{"kind": "FelixConfiguration", "name": "default", "fields": ["spec.ipv4NormalRoutePriority"]},
			{"kind": "BGPConfiguration", "name": "default", "fields": ["spec.ipv4NormalRoutePriority"]},
		],
	}}
}

test_success_other_nodes_agree if {
	_violations({"clusterRoutes": {
		"ipip": {"felix": true, "bird": true, "pools": []},
		"noEncap": {"felix": false, "bird": true, "pools": ["pool-b"]},
		"setting": {"felix": "EnabledIPIPOnly", "bird": "EnabledNoEncapOnly"},
		"otherNodes": [_other_nodes("Disabled", false)],
		"otherPriorities": {"IPv4": [_other_priority(1024)], "IPv6": []},
	}}) == set()
}

test_fail_both_program_the_routes_of_one_node if {
	some violation in _violations({"clusterRoutes": {
		"noEncap": {"felix": false, "bird": true, "pools": ["pool-b"]},
		"setting": {"felix": "EnabledIPIPOnly", "bird": "EnabledNoEncapOnly"},
		"otherNodes": [_other_nodes("Enabled", true)],
	}})
	violation.id == "noEncap/both/Enabled"
	violation.size == 1
	violation.members == ["felix/programClusterRoutes/Enabled"]
	violation.msg == concat("", [
		"both Felix and BIRD program the routes to pods on other nodes on 1 node (node-1): 1 IPPool ",
		"without encapsulation (pool-b), programClusterRoutes is Enabled for Felix in ",
		"FelixConfiguration node.node-1 and EnabledNoEncapOnly for BIRD; change it in one of them",
	])
}

test_fail_nobody_programs_the_routes_of_one_node if {
	violations := _violations({"clusterRoutes": {
		"noEncap": {"felix": true, "bird": false, "pools": ["pool-b"]},
		"setting": {"felix": "Enabled", "bird": "EnabledIPIPOnly"},
		"otherNodes": [_other_nodes("Disabled", false)],
	}})
	{violation.id | some violation in violations} == {"noEncap/nobody/Disabled"}
}

test_fail_priorities_of_one_node_differ if {
	some violation in _violations({"clusterRoutes": {"otherPriorities": {"IPv4": [], "IPv6": [_other_priority(100)]}}})
	violation.id == "ipv6NormalRoutePriority/100"
	violation.msg == concat("", [
		"Felix and BIRD have different route priorities on 1 node (node-1): ipv6NormalRoutePriority ",
		"is 100 in FelixConfiguration node.node-1 and 1024 (the default) in BGPConfiguration default; ",
		"BIRD mistakes normal routes for those of pods that move, or the reverse; set the same value ",
		"in both",
	])
}

_other_nodes(setting, programs) := {
	"setting": setting,
	"ipip": programs,
	"noEncap": programs,
	"felixConfigurations": ["node.node-1"],
	"nodes": 1,
	"sample": ["node-1"],
	"members": sprintf("felix/programClusterRoutes/%s", [setting]),
}

_other_priority(priority) := {
	"priority": priority,
	"felixConfigurations": ["node.node-1"],
	"nodes": 1,
	"sample": ["node-1"],
	"members": sprintf("felix/ipv6NormalRoutePriority/%d", [priority]),
}

test_fail_only_the_agreements_of_the_parameter if {
	patch := object.union(
		_priorities({"ipv4NormalRoutePriority": 2000}, {}),
		{"clusterRoutes": {
			"ipip": {"felix": true, "bird": true, "pools": ["pool-a"]},
			"noEncap": {"felix": false, "bird": false, "pools": ["pool-b"]},
			"setting": {"felix": "EnabledIPIPOnly", "bird": "EnabledIPIPOnly"},
		}},
	)
	found := {agreement: ids |
		some agreement in ["somebody", "one", "priorities"]
		violations := rule.violation with input as testing.input_with(patch, {"agreements": [agreement]})
		ids := {violation.id | some violation in violations}
	}
	found == {
		"somebody": {"noEncap/nobody"},
		"one": {"ipip/both"},
		"priorities": {"default/ipv4NormalRoutePriority"},
	}
}

_no_encap(felix, bird, setting) := {"clusterRoutes": {
	"ipip": {"felix": false, "bird": true, "pools": []},
	"noEncap": {"felix": felix, "bird": bird, "pools": ["pool-b"]},
	"setting": setting,
}}

_priorities(felix, bird) := {
	"felixConfigurations": {"default": {"name": "default", "spec": felix}},
	"bgpConfigurations": {"default": {"name": "default", "spec": bird}},
}

_violations(patch) := found if {
	found := rule.violation with input as testing.input_with(patch, {"agreements": ["somebody", "one", "priorities"]})
}

package policies.route_reflectors_required_test

import data.policies.route_reflectors_required as rule
import data.policies.testing_test as testing

test_success_all_nodes_have_enough if {
	_violations({}, 2) == set()
}

test_success_exactly_enough if {
	_violations({}, 3) == set()
}

test_success_mesh_on if {
	_violations({"mesh": {"enabled": true}, "reflectors": {"IPv4": _no_reflectors}}, 2) == set()
}

test_success_no_pool_needs_bgp if {
	patch := {"podTraffic": {"IPv4": {"needsBGP": false}}, "reflectors": {"IPv4": _no_reflectors}}
	_violations(patch, 2) == set()
}

test_success_a_family_without_nodes if {
	_violations({"podTraffic": {"IPv6": {"needsBGP": true}}}, 2) == set()
}

test_success_all_nodes_are_reflectors if {
	_violations(
		{"reflectors": {"IPv4": {
			"total": 3, "peered": 0, "nodes": 0, "bgpPeers": ["to-reflectors"],
			"levels": [],
		}}},
		2,
	) == set()
}

test_success_the_highest_level_stands_for_all_above if {
	levels := [_level(16, 7, ["node-4", "node-5", "node-6"])]
	_violations({"reflectors": {"IPv4": {"total": 20, "levels": levels}}}, 16) == set()
}

test_fail_no_reflectors_at_all if {
	_violations({"reflectors": {"IPv4": _no_reflectors}}, 2) == {{
		"id": "IPv4",
		"size": 5000,
		"members": ["reflectors/0"],
		"msg": concat("", [
			"too few IPv4 sessions to route reflectors: 5,000 of 5,000 nodes (node-1, node-2, ",
			"node-3 and 4,997 more) below the minimum of 2, 5,000 nodes with none; add 2 route ",
			"reflectors (annotation projectcalico.org/RouteReflectorClusterID) and select them ",
			"with a BGPPeer, or turn the node-to-node mesh on",
		]),
		"details": {
			"family": "IPv4",
			"nodes": 5000,
			"short": 5000,
			"without": 5000,
			"minReflectors": 2,
			"reflectors": 0,
			"peered": 0,
			"sample": ["node-1", "node-2", "node-3"],
		},
		"objects": [{"kind": "BGPConfiguration", "name": "default", "fields": ["spec.nodeToNodeMeshEnabled"]}],
	}}
}

test_success_a_node_that_is_alone if {
	alone := object.union(_no_reflectors, {"nodes": 1, "levels": [_level(0, 1, ["node-1"])]})
	_violations({"reflectors": {"IPv4": alone}}, 2) == set()

	# With a route reflector in the cluster, the node is not alone.
	some violation in _violations({"reflectors": {"IPv4": object.union(alone, {"total": 1})}}, 2)
	violation.size == 1
}

test_fail_an_installation_disables_bgp if {
	patch := {
		"bgp": {"enabled": false, "installation": "default", "deleting": false},
		"reflectors": {"IPv4": _no_reflectors},
	}
	some violation in _violations(patch, 2)
	endswith(violation.msg, concat("", [
		"5,000 nodes with none; Installation default disables BGP, so there are no sessions; ",
		"set spec.calicoNetwork.bgp: Enabled",
	]))
	violation.objects == [{"kind": "Installation", "name": "default", "fields": ["spec.calicoNetwork.bgp"]}]
}

test_fail_some_reflectors_but_not_enough_for_any_node if {
	levels := [_level(1, 7, ["node-2", "node-3", "node-4"])]
	some violation in _violations({"reflectors": {"IPv4": {"total": 1, "levels": levels}}}, 2)
	contains(violation.msg, " below the minimum of 2, 0 nodes with none; add 1 route reflector (")
}

test_fail_external_peers_may_reflect_routes if {
	patch := {"sessions": {"IPv4": {"external": 10}}, "reflectors": {"IPv4": _no_reflectors}}
	some violation in _violations(patch, 2)
	endswith(violation.msg, "; set the action Warn if external peers act as route reflectors")
}

test_fail_too_few_reflectors if {
	levels := [
		_level(0, 2, ["node-8", "node-9"]),
		_level(1, 7, ["node-2", "node-3", "node-4"]),
	]
	_violations({"reflectors": {"IPv4": {"total": 1, "nodes": 9, "levels": levels}}}, 2) == {{
		"id": "IPv4",
		"size": 9,
		"members": ["reflectors/1", "reflectors/0"],
		"msg": concat("", [
			"too few IPv4 sessions to route reflectors: 9 of 9 nodes (node-8, node-9, node-2 and ",
			"6 more) below the minimum of 2, 2 nodes with none; add 1 route reflector (annotation ",
			"projectcalico.org/RouteReflectorClusterID) and select them with a BGPPeer, or turn ",
			"the node-to-node mesh on",
		]),
		"details": {
			"family": "IPv4",
			"nodes": 9,
			"short": 9,
			"without": 2,
			"minReflectors": 2,
			"reflectors": 1,
			"peered": 3,
			"sample": ["node-8", "node-9", "node-2"],
		},
		"objects": [{"kind": "BGPConfiguration", "name": "default", "fields": ["spec.nodeToNodeMeshEnabled"]}],
	}}
}

test_fail_node_not_covered_by_a_peer if {
	levels := [
		_level(0, 1, ["node-4"]),
		_level(3, 6, ["node-5", "node-6", "node-7"]),
	]
	_violations({"reflectors": {"IPv4": {"levels": levels}}}, 2) == {{
		"id": "IPv4",
		"size": 1,
		"members": ["reflectors/0"],
		"msg": concat("", [
			"too few IPv4 sessions to route reflectors: 1 of 7 nodes (node-4) below the minimum ",
			"of 2, 1 node with none; widen the nodeSelector of the BGPPeer that selects the route ",
			"reflectors, or turn the node-to-node mesh on",
		]),
		"details": {
			"family": "IPv4",
			"nodes": 7,
			"short": 1,
			"without": 1,
			"minReflectors": 2,
			"reflectors": 3,
			"peered": 3,
			"sample": ["node-4"],
		},
		"objects": [
			{"kind": "BGPPeer", "name": "to-reflectors", "fields": ["spec.nodeSelector", "spec.peerSelector"]},
			{"kind": "Node", "name": "node-4", "fields": [
				"metadata.labels.rr",
				"metadata.annotations[projectcalico.org/RouteReflectorClusterID]",
			]},
		],
	}}
}

test_fail_losing_the_last_reflector_enters_another_set if {
	members := [violation.members |
		some reflectors in [1, 0]
		levels := [_level(reflectors, 7, ["node-4", "node-5", "node-6"])]
		some violation in _violations({"reflectors": {"IPv4": {"levels": levels}}}, 2)
	]
	members == [["reflectors/1"], ["reflectors/0"]]
}

test_fail_reflectors_with_as_few_count_in_the_size if {
	levels := [_level(0, 1, ["node-4"]), _level(2, 6, ["node-5", "node-6", "node-7"])]
	patch := {
		"levels": levels,
		"reflecting": [
			{"reflectors": 0, "nodes": 1, "members": "reflectors/0"},
			{"reflectors": 1, "nodes": 2, "members": "reflectors/1"},
			{"reflectors": 2, "nodes": 4, "members": "reflectors/2"},
		],
	}
	some violation in _violations({"reflectors": {"IPv4": patch}}, 2)
	violation.size == 4
	violation.members == ["reflectors/0", "reflectors/1"]
	violation.details.short == 1
}

test_fail_a_minimum_of_one if {
	levels := [_level(0, 7, ["node-4", "node-5", "node-6"])]
	some violation in _violations({"reflectors": {"IPv4": {"total": 1, "levels": levels}}}, 1)
	violation.size == 7
	violation.msg == concat("", [
		"too few IPv4 sessions to route reflectors: 7 of 7 nodes (node-4, node-5, node-6 and 4 ",
		"more) below the minimum of 1, 7 nodes with none; widen the nodeSelector of the BGPPeer ",
		"that selects the route reflectors, or turn the node-to-node mesh on",
	])
}

test_fail_ipv6_of_two_families if {
	levels := [_level(0, 4, ["node-4", "node-5", "node-6"])]
	patch := {
		"podTraffic": {"IPv6": {"needsBGP": true}},
		"reflectors": {"IPv6": {"total": 0, "nodes": 4, "levels": levels}},
	}
	some violation in _violations(patch, 2)
	violation.id == "IPv6"
	violation.msg == concat("", [
		"too few IPv6 sessions to route reflectors: 4 of 4 nodes (node-4, node-5, node-6 and 1 ",
		"more) below the minimum of 2, 4 nodes with none; add 2 route reflectors (annotation ",
		"projectcalico.org/RouteReflectorClusterID) and select them with a BGPPeer, or turn the ",
		"node-to-node mesh on",
	])
}

test_fail_both_families_are_two_violations if {
	patch := {
		"podTraffic": {"IPv6": {"needsBGP": true}},
		"reflectors": {"IPv4": _no_reflectors, "IPv6": _no_reflectors},
	}
	{violation.id | some violation in _violations(patch, 2)} == {"IPv4", "IPv6"}
}

_level(reflectors, nodes, sample) := {
	"reflectors": reflectors,
	"nodes": nodes,
	"sample": sample,
	"members": sprintf("reflectors/%d", [reflectors]),
}

_no_reflectors := {
	"total": 0,
	"peered": 0,
	"nodes": 5000,
	"bgpPeers": ["to-reflectors"],
	"levels": [_level(0, 5000, ["node-1", "node-2", "node-3"])],
}

_violations(patch, least) := found if {
	found := rule.violation with input as testing.input_with(object.union(_peers, patch), {"minReflectors": least})
}

test_fail_bgp_peers_with_the_old_as_number_are_the_cause if {
	group := {"asNumber": 64512, "nodeASNumber": 64600, "bgpPeers": 2, "sample": ["rack-1", "rack-2"]}
	patch := {
		"reflectors": {"IPv4": {"levels": [_level(0, 7, ["node-4", "node-5", "node-6"])]}},
		"otherASNumbers": {"IPv4": {"nodes": 8, "groups": [group]}},
	}
	some violation in _violations(patch, 2)
	endswith(violation.msg, concat("", [
		" with none; BGPPeers rack-1, rack-2 have asNumber 64512, but the nodes at their peerIP have AS number ",
		"64600; set asNumber: 64600",
	]))
}

test_fail_reflectors_that_no_peer_selects if {
	levels := [{"reflectors": 1, "nodes": 7, "sample": ["node-4", "node-5", "node-6"]}]
	some violation in _violations({"reflectors": {"IPv4": {"peered": 1, "levels": levels}}}, 2)
	violation.details.peered == 1
	violation.msg == concat("", [
		"too few IPv4 sessions to route reflectors: 7 of 7 nodes (node-4, node-5, node-6 and 4 ",
		"more) below the minimum of 2, 0 nodes with none; BGPPeers select only 1 of 3 route ",
		"reflectors: fix their labels or the peerSelector of a BGPPeer, or turn the node-to-node ",
		"mesh on",
	])
}

test_fail_no_peer_selects_a_reflector if {
	levels := [_level(0, 7, ["node-4", "node-5", "node-6"])]
	some violation in _violations({"reflectors": {"IPv4": {"peered": 0, "levels": levels}}}, 2)
	violation.objects == [{"kind": "BGPConfiguration", "name": "default", "fields": ["spec.nodeToNodeMeshEnabled"]}]
	violation.msg == concat("", [
		"too few IPv4 sessions to route reflectors: 7 of 7 nodes (node-4, node-5, node-6 and 4 more) ",
		"below the minimum of 2, 7 nodes with none; no BGPPeer selects a route reflector ",
		"(the cluster has 3): fix their labels or the peerSelector of a BGPPeer, or turn the ",
		"node-to-node mesh on",
	])
}

_peers := {"selectors": testing.selectors, "bgpPeers": {"to-reflectors": testing.to_reflectors}}

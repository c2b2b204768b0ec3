package policies.reachability_preserved_test

import data.policies.reachability_preserved as rule
import data.policies.testing_test as testing

test_success_all_nodes_have_all_routes if {
	_found({}, []) == set()
	_found({}, ["tor"]) == set()
}

test_success_no_pool_needs_bgp if {
	patch := object.union(_ipv4(_two_isolated), {"podTraffic": {"IPv4": {"needsBGP": false}}})
	_violations(patch) == set()
}

test_success_a_single_node_has_nobody_to_reach if {
	patch := {"routes": {"IPv4": {
		"withTransit": {"nodes": 1, "largestPartition": 1},
		"notExported": ["pool-a"],
	}}}
	_violations(patch) == set()
}

test_success_a_family_without_nodes if {
	_violations({"podTraffic": {"IPv6": {"needsBGP": true}}}) == set()
}

test_success_external_peers_carry_routes if {
	_violations({"routes": {"IPv4": {"withoutTransit": _two_isolated}}}) == set()
}

test_fail_nodes_are_isolated if {
	_violations(_ipv4(_two_isolated)) == {{
		"id": "IPv4/without-route",
		"size": 17,
		"members": ["isolated", "without-route"],
		"msg": concat("", [
			"isolated nodes: 2 of 10 nodes (node-8, node-9) cannot exchange IPv4 pod traffic with ",
			"other nodes; connect them to other nodes with a BGPPeer, for example to route ",
			"reflectors, or turn the node-to-node mesh on",
		]),
		"details": {
			"family": "IPv4",
			"nodes": 10,
			"isolated": 2,
			"isolatedSample": ["node-8", "node-9"],
			"pairs": 45,
			"withoutRoute": 17,
			"withoutRouteSample": [["node-1", "node-8"], ["node-1", "node-9"], ["node-2", "node-8"]],
			"partitions": 3,
			"largestPartition": 8,
			"transitPeers": [],
		},
		"objects": [
			{"kind": "BGPPeer", "name": "to-reflectors", "fields": ["spec.nodeSelector", "spec.peerSelector"]},
			_of_node("node-8"),
			_of_node("node-9"),
		],
	}}
}

# No BGPPeer helps where calico-node runs no BIRD, also for nodes that share an address.
test_fail_isolated_nodes_because_an_installation_disables_bgp if {
	patch := object.union(_ipv4(_two_isolated), {
		"bgp": {"enabled": false, "installation": "default", "deleting": false},
		"addresses": {"IPv4": _shared},
	})
	_messages(patch) == {concat("", [
		"isolated nodes: 2 of 10 nodes (node-8, node-9) cannot exchange IPv4 pod traffic with other nodes; ",
		"Installation default disables BGP, so there are no sessions; set spec.calicoNetwork.bgp: Enabled",
	])}
	some violation in _violations(patch)
	violation.objects == [{"kind": "Installation", "name": "default", "fields": ["spec.calicoNetwork.bgp"]}]
}

test_fail_isolated_nodes_with_one_address if {
	patch := object.union(_ipv4(_two_isolated), {"addresses": {"IPv4": _shared}})
	_messages(patch) == {concat("", [
		"isolated nodes: 2 of 10 nodes (node-8, node-9) cannot exchange IPv4 pod traffic with other nodes; ",
		"nodes node-8 and node-9 have the same address 10.0.0.8; give each node its own address (annotation ",
		"projectcalico.org/IPv4Address)",
	])}
	some violation in _violations(patch)
	violation.objects == [
	{"kind": "Node", "name": name, "fields": ["metadata.annotations[projectcalico.org/IPv4Address]"]} |
		some name in ["node-8", "node-9"]
	]
}

test_fail_more_isolated_nodes_than_those_with_one_address if {
	patch := object.union(_ipv4(_two_isolated), {"addresses": {"IPv4": object.union(_shared, {"shared": {"nodes": 1}})}})
	some message in _messages(patch)
	contains(message, "; nodes node-8 and node-9 have the same address 10.0.0.8; give each node its own address ")
	endswith(message, concat("", [
		"; if that does not suffice, connect them to other nodes with a BGPPeer, for example to route ",
		"reflectors, or turn the node-to-node mesh on",
	]))
}

test_fail_partitions_with_a_cause if {
	some message in _messages(object.union(_ipv4(_apart), {"addresses": {"IPv4": _shared}}))
	contains(message, concat("", [
		"; nodes node-8 and node-9 have the same address 10.0.0.8; give each node its own address (annotation ",
		"projectcalico.org/IPv4Address); if that does not suffice, give both nodes of a pair sessions ",
	]))
}

_shared := {
	"shared": {"nodes": 2},
	"sharedAddresses": [{"address": "10.0.0.8", "nodes": 2, "sample": ["node-8", "node-9"]}],
}

test_fail_one_node_is_isolated_beside_the_mesh if {
	reach := _reach({
		"partitions": 2,
		"largestPartition": 9,
		"isolated": {"nodes": 1, "sample": ["node-9"]},
		"withoutRoute": {"pairs": 9, "sample": [["node-1", "node-9"], ["node-2", "node-9"], ["node-3", "node-9"]]},
	})
	patch := object.union(_ipv4(reach), {"mesh": {"enabled": true}})
	_messages(patch) == {concat("", [
		"isolated nodes: 1 of 10 nodes (node-9) cannot exchange IPv4 pod traffic with other ",
		"nodes; connect them to other nodes with a BGPPeer, for example to route reflectors (the ",
		"node-to-node mesh does not include route reflectors)",
	])}
}

test_fail_a_mesh_without_reflectors if {
	reach := _reach({
		"isolated": {"nodes": 1, "sample": ["node-9"]},
		"withoutRoute": {"pairs": 9, "sample": [["node-1", "node-9"], ["node-2", "node-9"], ["node-3", "node-9"]]},
	})
	patch := object.union(_ipv4(reach), {"mesh": {"enabled": true}, "nodes": {"reflectors": 0}})
	some message in _messages(patch)
	endswith(message, "; connect them to other nodes with a BGPPeer, for example to route reflectors")
}

test_fail_all_nodes_are_isolated if {
	reach := _reach({
		"nodes": 5000,
		"partitions": 5000,
		"largestPartition": 1,
		"isolated": {"nodes": 5000, "sample": ["node-1", "node-2", "node-3"]},
		"withoutRoute": {
			"pairs": 12497500,
			"sample": [["node-1", "node-2"], ["node-1", "node-3"], ["node-1", "node-4"]],
		},
	})
	_messages(_ipv4(reach)) == {concat("", [
		"isolated nodes: 5,000 of 5,000 nodes (node-1, node-2, node-3 and 4,997 more) cannot ",
		"exchange IPv4 pod traffic with other nodes; connect them to other nodes with a BGPPeer, ",
		"for example to route reflectors, or turn the node-to-node mesh on",
	])}
}

test_fail_partitions if {
	some violation in _violations(_ipv4(_apart))
	violation.id == "IPv4/without-route"
	violation.size == 24
	violation.msg == concat("", [
		"missing routes: 24 of 45 node pairs (node-1 with node-7, node-1 with node-8, node-1 with ",
		"node-9 and 21 more) cannot exchange IPv4 pod traffic, 2 partitions, the largest with 6 ",
		"nodes; give both nodes of a pair sessions to the same route reflector, or connect their ",
		"route reflectors, or turn the node-to-node mesh on",
	])
}

test_fail_missing_routes_without_partitions if {
	reach := _reach({"withoutRoute": {"pairs": 1, "sample": [["node-8", "node-9"]]}})
	_messages(_ipv4(reach)) == {concat("", [
		"missing routes: 1 of 45 node pairs (node-8 with node-9) cannot exchange IPv4 pod ",
		"traffic; give both nodes of a pair sessions to the same route reflector, or connect ",
		"their route reflectors, or turn the node-to-node mesh on",
	])}
}

test_fail_partitions_and_an_isolated_node if {
	reach := object.union(_apart, {
		"partitions": 3,
		"largestPartition": 6,
		"isolated": {"nodes": 1, "sample": ["node-9"]},
		"withoutRoute": {"pairs": 27},
	})
	_messages(_ipv4(reach)) == {concat("", [
		"missing routes: 27 of 45 node pairs (node-1 with node-7, node-1 with node-8, node-1 with ",
		"node-9 and 24 more) cannot exchange IPv4 pod traffic, 1 isolated node (node-9), 3 ",
		"partitions, the largest with 6 nodes; give both nodes of a pair sessions to the same ",
		"route reflector, or connect their route reflectors, or turn the node-to-node mesh on",
	])}
}

# The violation keeps its id during a fix, so that a step that helps some nodes is not a new
# violation.
test_fail_the_id_stays_when_isolated_nodes_are_connected if {
	every reach in [_two_isolated, _apart] {
		{violation.id | some violation in _violations(_ipv4(reach))} == {"IPv4/without-route"}
	}
}

# External peers. The reading without their transit has the same violation, with an assumption.

test_fail_external_peers_may_pass_nothing_on if {
	patch := {"routes": {"IPv4": {"withoutTransit": _two_isolated}}}
	_violations(patch) == set()
	some violation in _assuming(patch, [], "external peers do not pass routes on between nodes")
	violation.id == "IPv4/without-route"
	violation.msg == concat("", [
		"isolated nodes: 2 of 10 nodes (node-8, node-9) cannot exchange IPv4 pod traffic with ",
		"other nodes; connect them to other nodes with a BGPPeer, for example to route ",
		"reflectors, or turn the node-to-node mesh on; name the external peers that pass routes on ",
		"between nodes in the parameter transitPeers (if all do, 0 pairs without routes)",
	])
}

test_success_known_transit_peers_pass_routes_on if {
	known := [{"transitPeers": ["tor"], "reach": _reach({})}]
	patch := {"routes": {"IPv4": {"withoutTransit": _two_isolated, "knownTransit": known}}}
	_found(patch, ["tor"]) == set()
	count(_found(patch, ["192.0.2.1"])) == 4
}

test_fail_external_peers_make_no_difference if {
	some message in _messages(_ipv4(_two_isolated))
	{violation.msg |
		some violation in _assuming(_ipv4(_two_isolated), [], "external peers do not pass routes on between nodes")
	} == {message}
}

# Disabled IPPools may hold addresses of pods.

test_fail_only_a_disabled_pool_may_need_bgp if {
	patch := object.union(
		_ipv4(_two_isolated),
		{"podTraffic": {"IPv4": {"needsBGP": false, "pools": [], "disabledPools": ["old"]}}},
	)
	_violations(patch) == set()
	count(_found(patch, [])) == 4
	some violation in _assuming(patch, [], "disabled IPPools hold addresses of pods")
	endswith(violation.msg, "; set vxlanMode: Always in 1 disabled IPPool (old) if no pod has an address of it")
}

test_fail_a_disabled_pool_beside_others_changes_nothing if {
	every disabled in [[], ["old"]] {
		patch := object.union(_ipv4(_two_isolated), {"podTraffic": {"IPv4": {"disabledPools": disabled}}})
		count(_violations(patch)) == 1
		count(_found(patch, [])) == 8
	}
}

test_fail_broken_half_sessions_are_counted[broken] if {
	some broken, words in {
		1: "1 half-session cannot come up",
		1009: "1,009 half-sessions cannot come up",
	}
	sessions := {"IPv4": {"broken": broken}}
	_messages(object.union(_ipv4(_two_isolated), {"sessions": sessions})) == {concat("", [
		"isolated nodes: 2 of 10 nodes (node-8, node-9) cannot exchange IPv4 pod traffic with other nodes; ",
		"connect them to other nodes with a BGPPeer, for example to route reflectors, ",
		"or turn the node-to-node mesh on; ",
		words,
		", see bgpguard topology",
	])}
}

test_fail_both_families_are_named if {
	routes := {"IPv4": {"withTransit": _two_isolated}, "IPv6": {"withTransit": _apart}}
	violations := _violations({"routes": routes, "podTraffic": {"IPv6": {"needsBGP": true}}})
	messages := {violation.id: violation.msg | some violation in violations}
	object.keys(messages) == {"IPv4/without-route", "IPv6/without-route"}
	contains(messages["IPv4/without-route"], "2 of 10 nodes (node-8, node-9) cannot exchange IPv4 pod traffic with ")
	contains(messages["IPv6/without-route"], " and 21 more) cannot exchange IPv6 pod traffic, ")
}

test_fail_a_pool_is_not_exported if {
	pools := {"podTraffic": {"IPv4": {"pools": ["pool-a"]}}}
	_violations(object.union(pools, {"routes": {"IPv4": {
		"notExported": ["pool-a"],
		"exportDisabledBy": ["pool-a"],
	}}})) == {{
		"id": "IPv4/not-exported",
		"size": 1,
		"msg": concat("", [
			"no IPv4 routes to the pods of 1 IPPool (pool-a): disableBGPExport applies and no ",
			"BGPFilter accepts them, but pod traffic between nodes needs BGP; set disableBGPExport: false, or ",
			"vxlanMode: Always with ipipMode: Never",
		]),
		"details": {"family": "IPv4", "ipPools": ["pool-a"], "disabledBy": ["pool-a"]},
		"objects": [{"kind": "IPPool", "name": "pool-a", "fields": ["spec.disableBGPExport"]}],
	}}
}

test_fail_a_pool_inside_another_is_not_exported if {
	some violation in _violations({
		"podTraffic": {"IPv4": {"pools": ["small"]}},
		"routes": {"IPv4": {"notExported": ["small"], "exportDisabledBy": ["big"]}},
	})
	contains(violation.msg, "of 1 IPPool (small): disableBGPExport of 1 IPPool (big) applies and no BGPFilter ")
	violation.objects == [{"kind": "IPPool", "name": "big", "fields": ["spec.disableBGPExport"]}]
}

test_fail_many_pools_are_not_exported if {
	pools := ["pool-a", "pool-b", "pool-c", "pool-d", "pool-e"]
	routes := {"IPv4": {"notExported": pools, "exportDisabledBy": pools}}
	patch := {"routes": routes, "podTraffic": {"IPv4": {"pools": pools}}}
	some violation in _violations(patch)
	violation.size == 5
	violation.msg == concat("", [
		"no IPv4 routes to the pods of 5 IPPools (pool-a, pool-b, pool-c and 2 more): ",
		"disableBGPExport applies and no BGPFilter accepts them, but pod traffic between nodes needs BGP; ",
		"set disableBGPExport: false, or vxlanMode: Always with ipipMode: Never",
	])
	count(violation.objects) == 5
}

test_fail_the_mesh_is_off_and_nothing_replaces_it if {
	idle := {"name": "to-reflectors", "fields": ["spec.nodeSelector"]}
	patch := {"sessions": {"IPv4": {"total": 0}}, "selectors": {"unused": [idle]}}
	some violation in _violations(object.union(_ipv4(_two_isolated), patch))
	violation.objects == [
		{"kind": "BGPConfiguration", "name": "default", "fields": ["spec.nodeToNodeMeshEnabled"]},
		{"kind": "BGPPeer", "name": "to-reflectors", "fields": ["spec.nodeSelector"]},
	]
}

test_fail_nodes_of_pairs_are_named_if_none_is_isolated if {
	some violation in _violations(_ipv4(_apart))
	nodes := [object_ | some object_ in violation.objects; object_.kind == "Node"]
	nodes == [_of_node("node-1"), _of_node("node-7"), _of_node("node-8")]
}

_of_node(name) := {"kind": "Node", "name": name, "fields": [
	"metadata.labels.rr",
	"metadata.annotations[projectcalico.org/RouteReflectorClusterID]",
]}

_two_isolated := _reach({
	"partitions": 3,
	"largestPartition": 8,
	"isolated": {"nodes": 2, "sample": ["node-8", "node-9"]},
	"withoutRoute": {"pairs": 17, "sample": [["node-1", "node-8"], ["node-1", "node-9"], ["node-2", "node-8"]]},
})

_apart := _reach({
	"partitions": 2,
	"largestPartition": 6,
	"withoutRoute": {"pairs": 24, "sample": [["node-1", "node-7"], ["node-1", "node-8"], ["node-1", "node-9"]]},
})

# Ten nodes with routes to each other, with a patch.
_reach(patch) := object.union(
	{
		"nodes": 10,
		"partitions": 1,
		"largestPartition": 10,
		"isolated": {"nodes": 0, "sample": [], "members": "isolated"},
		"withoutRoute": {"pairs": 0, "sample": [], "members": "without-route"},
		"newBlocks": {"pairs": 0, "sample": [], "members": "new-blocks"},
		"singlePoints": [],
	},
	patch,
)

_ipv4(reach) := {"routes": {"IPv4": {"withTransit": reach, "withoutTransit": reach}}}

_messages(patch) := {violation.msg | some violation in _violations(patch)}

# Without an assumption.
_violations(patch) := {violation |
	some violation in _found(patch, [])
	not violation.assumption
}

_assuming(patch, transit_peers, assumption) := {violation |
	some violation in _found(patch, transit_peers)
	violation.assumption == assumption
}

_found(patch, transit_peers) := found if {
	parameters := {"transitPeers": transit_peers, "asOverride": false}
	found := rule.violation with input as testing.input_with(object.union(_peers, patch), parameters)
}

# New blocks.

test_fail_routes_to_new_blocks if {
	sample := [["node-1", "node-8"], ["node-1", "node-9"]]
	reach := _reach({"newBlocks": {"pairs": 17, "sample": sample, "members": "new-blocks"}})
	patch := object.union(_ipv4(reach), {"bgpFilters": {"names": ["a", "b", "c", "d"]}})
	_violations(patch) == {{
		"id": "IPv4/new-blocks",
		"size": 17,
		"members": ["new-blocks"],
		"msg": concat("", [
			"routes to new blocks: 17 of 45 node pairs (node-1 with node-8, node-1 with node-9 and 15 more) could not ",
			"exchange IPv4 pod traffic if IPAM allocated blocks to them in all parts of the IPPools: BGPFilters reject ",
			"parts in which these nodes have no pods now; accept all prefixes of the IPPools between nodes, or use IPPools ",
			"without the rejected addresses",
		]),
		"details": {
			"family": "IPv4",
			"nodes": 10,
			"pairs": 45,
			"withoutRoute": 0,
			"newBlocks": 17,
			"newBlocksSample": sample,
		},
		"objects": [{"kind": "BGPFilter", "name": name, "fields": ["spec"]} | some name in ["a", "b", "c"]],
		"advisory": true,
	}}
}

test_success_new_blocks_lack_no_further_routes if {
	some violation in _violations(_ipv4(_reach({
		"withoutRoute": {"pairs": 17},
		"newBlocks": {"pairs": 17, "sample": [["node-1", "node-8"]], "members": "without-route"},
	})))
	violation.id == "IPv4/without-route"
	not violation.advisory
}

test_success_new_blocks_of_ippools_that_need_no_bgp if {
	reach := _reach({"newBlocks": {"pairs": 17, "sample": [["node-1", "node-8"]], "members": "new-blocks"}})
	_violations(object.union(_ipv4(reach), {"podTraffic": {"IPv4": {"needsBGP": false}}})) == set()
}

# AS paths.

test_fail_external_peers_keep_as_paths if {
	patch := {"routes": {"IPv4": {"withASPaths": _two_isolated}}}
	_violations(patch) == set()
	some violation in _assuming(patch, [], "external peers keep AS paths and set their own address as next hop")
	endswith(violation.msg, concat("", [
		"; nodes drop routes that hold their own AS number in the AS path: set numAllowedLocalASNumbers in the ",
		"BGPPeers of external peers, or the parameter asOverride if external peers replace AS numbers (then 0 ",
		"pairs without routes)",
	]))
}

test_fail_ipip_tunnels_end_at_routers if {
	patch := {
		"routes": {"IPv4": {"withASPaths": _two_isolated}},
		"clusterRoutes": {"ipip": {"bird": true, "felix": false, "pools": ["pods", "cross"]}, "version": "3.32"},
		"ipPools": {"pods": {"spec": {"ipipMode": "Always"}}, "cross": {"spec": {"ipipMode": "CrossSubnet"}}},
	}
	some violation in _assuming(patch, [], "external peers keep AS paths and set their own address as next hop")
	endswith(violation.msg, concat("", [
		"; routers do not unpack IPIP: if they set their own address as next hop, set ipipMode: CrossSubnet in ",
		"1 IPPool (pods), or connect the nodes with each other",
	]))
}

test_success_external_peers_replace_as_numbers if {
	patch := object.union(_peers, {"routes": {"IPv4": {"withASPaths": _two_isolated}}})
	parameters := {"transitPeers": [], "asOverride": true}
	count(rule.violation) == 0 with input as testing.input_with(patch, parameters)
}

test_fail_as_paths_make_no_difference if {
	reading := {"withTransit": _two_isolated, "withASPaths": _two_isolated}
	assumption := "external peers keep AS paths and set their own address as next hop"
	some violation in _assuming({"routes": {"IPv4": reading}}, [], assumption)
	not contains(violation.msg, "AS path")
}

test_fail_a_node_without_an_address if {
	missing := {"nodes": 1, "sample": ["node-9"], "members": "no-address"}
	_violations({"routes": {"IPv4": {"noAddress": missing}}}) == {{
		"id": "IPv4/no-address",
		"size": 1,
		"members": ["no-address"],
		"msg": concat("", [
			"no IPv4 address for BGP: 1 of 10 nodes (node-9) cannot have sessions; set the ",
			"annotation projectcalico.org/IPv4Address to the node's address, as calico-node does",
		]),
		"details": {"family": "IPv4", "nodes": 1, "sample": ["node-9"]},
		"objects": [{
			"kind": "Node",
			"name": "node-9",
			"fields": ["metadata.annotations[projectcalico.org/IPv4Address]"],
		}],
	}}
}

test_fail_a_family_that_no_node_has_yet if {
	missing := {"nodes": 10, "sample": ["node-1", "node-2", "node-3"], "members": "no-address"}
	patch := {"routes": {"IPv6": {"noAddress": missing}}, "podTraffic": {"IPv6": {"needsBGP": true, "pools": ["six"]}}}
	{violation.id: violation.size | some violation in _violations(patch)} == {"IPv6/no-address": 10}
}

test_success_a_family_that_no_node_has_and_no_pool_is_known_to_need if {
	missing := {"nodes": 10, "sample": ["node-1", "node-2", "node-3"], "members": "no-address"}
	patch := {"routes": {"IPv6": {"noAddress": missing}}, "podTraffic": {"IPv6": {"needsBGP": true}}}
	_violations(patch) == set()
}

_peers := {"selectors": testing.selectors, "bgpPeers": {"to-reflectors": testing.to_reflectors}}

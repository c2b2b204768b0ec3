package policies.encapsulation_change_test

import data.policies.encapsulation_change as rule
import data.policies.testing_test as testing

# The safe order: first the IPPools to VXLAN, then the mesh off.

test_success_from_bgp_to_vxlan_step_by_step if {
	steps := [
		[_meshed(["pool-a", "pool-b"]), _meshed(["pool-b"])],
		[_meshed(["pool-b"]), _meshed([])],
		[_meshed([]), _apart([])],
	]
	every step in steps {
		_violations(step[0], step[1]) == set()
	}
}

test_success_from_vxlan_to_bgp_step_by_step if {
	steps := [
		[_apart([]), _meshed([])],
		[_meshed([]), _meshed(["pool-a"])],
		[_meshed(["pool-a"]), _meshed(["pool-a", "pool-b"])],
	]
	every step in steps {
		_violations(step[0], step[1]) == set()
	}
}

test_success_the_mesh_is_turned_off_and_bgppeers_have_the_routes if {
	_violations(_meshed(["pool-a"]), _peered(["pool-a"])) == set()
}

test_success_what_was_bad_before_does_not_get_worse if {
	_violations(_apart(["pool-a"]), _apart(["pool-a"])) == set()
	_violations(_apart(["pool-a"]), _apart([])) == set()
}

test_success_the_first_pool_of_a_cluster_that_is_being_built if {
	_violations(object.remove(_apart([]), ["ipPools"]), _apart(["pool-a"])) == set()
}

test_success_no_node_at_all if {
	after := _with_reach(["pool-a"], false, {"nodes": 0, "withoutRoute": {"pairs": 0}})
	_violations(_apart([]), after) == set()
}

test_fail_a_pool_newly_needs_bgp if {
	_violations(_apart([]), _apart(["pool-a"])) == {{
		"id": "IPv4/needs-bgp",
		"size": 1,
		"msg": concat("", [
			"pod traffic would need BGP routes that are missing: 1 IPv4 IPPool (pool-a), and 45 ",
			"of 45 node pairs without routes; use vxlanMode: CrossSubnet or Always, or first give ",
			"all nodes routes to each other, by BGPPeers or the node-to-node mesh",
		]),
		"details": {"family": "IPv4", "ipPools": ["pool-a"]},
		"objects": [_of_pool("pool-a")],
	}}
}

# reachability-preserved already has a violation in the family, which does not grow.
test_fail_one_more_pool_needs_bgp if {
	some violation in _violations(_apart(["pool-a"]), _apart(["pool-a", "pool-b"]))
	violation.details.ipPools == ["pool-b"]
}

# A new IPPool has no pods.
test_success_a_new_pool_where_others_need_bgp if {
	before := object.union(object.remove(_apart(["pool-a"]), ["ipPools"]), {"ipPools": {"pool-a": {"name": "pool-a"}}})
	_violations(before, _apart(["pool-a", "pool-b"])) == set()
}

test_fail_the_first_pool_of_a_family_that_needs_bgp if {
	before := object.union(object.remove(_apart([]), ["ipPools"]), {"ipPools": {"pool-a": {"name": "pool-a"}}})
	some violation in _violations(before, _apart(["pool-b"]))
	violation.details.ipPools == ["pool-b"]
}

test_success_a_new_pool_whose_routes_nobody_programs_like_those_of_others if {
	nobody := _programs(false, false, "Disabled")
	before := object.union(object.remove(nobody, ["ipPools"]), {"ipPools": {"pool-a": {"name": "pool-a"}}})
	after := object.union(nobody, {"clusterRoutes": {"noEncap": {"pools": ["pool-a", "pool-b"]}}})
	_violations(before, after) == set()
}

test_fail_several_pools_newly_need_bgp if {
	some violation in _violations(_apart([]), _apart(["pool-a", "pool-b"]))
	violation.size == 2
	contains(violation.msg, ": 2 IPv4 IPPools (pool-a, pool-b), and ")
}

test_fail_a_pool_of_a_family_without_addresses if {
	some violation in _violations(_six([], ["pool-6"]), _six(["pool-6"], ["pool-6"]))
	violation.id == "IPv6/needs-bgp"
	contains(violation.msg, ", and 10 nodes without an IPv6 address for BGP; ")
}

test_success_the_first_pool_of_a_family_without_addresses if {
	_violations(_six([], []), _six(["pool-6"], ["pool-6"])) == set()
}

_six(needing, existing) := object.union(_meshed([]), {
	"podTraffic": {"IPv6": {"needsBGP": count(needing) > 0, "pools": needing}},
	"routes": {"IPv6": {"noAddress": {"nodes": 10}}},
	"ipPools": {name: {"name": name} | some name in existing},
})

# External peers.

test_fail_the_first_pool_depends_on_external_peers if {
	after := _without_transit(_peered(["pool-a"]))
	_violations(_peered([]), after) == set()
	some violation in _assuming(_peered([]), after, [])
	violation.id == "IPv4/needs-bgp"
	violation.assumption == "external peers do not pass routes on between nodes"
	endswith(violation.msg, ", or name the external peers that pass routes on between nodes in the parameter transitPeers")
}

test_success_one_more_pool_depends_on_external_peers if {
	before := _without_transit(_peered(["pool-a"]))
	_assuming(before, _without_transit(_peered(["pool-a", "pool-b"])), []) == set()
}

test_fail_the_mesh_is_turned_off_and_external_peers_are_left if {
	before := _meshed(["pool-a"])
	after := _without_transit(_peered(["pool-a"]))
	_violations(before, after) == set()
	{violation.id | some violation in _assuming(before, after, [])} == {"IPv4/mesh-off"}
}

test_success_the_mesh_is_turned_off_and_known_transit_peers_are_left if {
	known := [{"transitPeers": ["tor"], "reach": {"nodes": 10, "withoutRoute": {"pairs": 0}}}]
	after := object.union(_without_transit(_peered(["pool-a"])), {"routes": {"IPv4": {"knownTransit": known}}})
	_assuming(_meshed(["pool-a"]), after, ["tor"]) == set()
	count(_assuming(_meshed(["pool-a"]), after, ["other"])) == 1
}

# Disabled IPPools may hold addresses of pods.

test_fail_the_mesh_is_turned_off_while_a_disabled_pool_may_need_it if {
	disabled := {"podTraffic": {"IPv4": {"disabledPools": ["pool-a"]}}}
	before := object.union(_meshed([]), disabled)
	after := object.union(_apart([]), disabled)
	{violation.id | some violation in _violations(before, after)} == {"IPv4/mesh-off"}
}

test_success_a_pool_is_disabled if {
	after := object.union(_apart([]), {"podTraffic": {"IPv4": {"disabledPools": ["pool-a"]}}})
	_violations(_apart(["pool-a"]), after) == set()
}

_without_transit(state) := object.union(
	state,
	{"routes": {"IPv4": {"withoutTransit": {"withoutRoute": {"pairs": 45}}}}},
)

test_fail_the_mesh_is_turned_off_while_pools_need_bgp if {
	_violations(_meshed(["pool-a", "pool-b"]), _apart(["pool-a", "pool-b"])) == {{
		"id": "IPv4/mesh-off",
		"size": 2,
		"members": ["none", "none"],
		"msg": concat("", [
			"the node-to-node mesh is turned off while pod traffic needs its routes: 2 IPv4 ",
			"IPPools (pool-a, pool-b); first set vxlanMode: CrossSubnet and ipipMode: Never in ",
			"all IPPools, or connect all nodes with BGPPeers",
		]),
		"details": {"family": "IPv4", "ipPools": ["pool-a", "pool-b"], "withoutRoute": 45},
		"objects": [
			{"kind": "BGPConfiguration", "name": "default", "fields": ["spec.nodeToNodeMeshEnabled"]},
			_of_pool("pool-a"),
			_of_pool("pool-b"),
		],
	}}
}

_disabled := {"bgp": {"enabled": false, "installation": "default", "deleting": false}}

_installation := {"kind": "Installation", "name": "default", "fields": ["spec.calicoNetwork.bgp"]}

test_fail_a_pool_needs_bgp_which_is_off if {
	some violation in _violations(object.union(_apart([]), _disabled), object.union(_apart(["pool-a"]), _disabled))
	endswith(violation.msg, concat("", [
		"; use vxlanMode: CrossSubnet or Always, ",
		"or first set spec.calicoNetwork.bgp: Enabled in Installation default",
	]))
}

test_fail_bgp_is_turned_off_while_pools_need_it if {
	some violation in _violations(_meshed(["pool-a"]), object.union(_apart(["pool-a"]), _disabled))
	violation.msg == concat("", [
		"Installation default turns BGP off while pod traffic needs its routes: 1 IPv4 IPPool (pool-a); ",
		"first set vxlanMode: CrossSubnet and ipipMode: Never in all IPPools",
	])
	violation.objects == [_installation, _of_pool("pool-a")]
}

test_fail_one_pool_still_needs_bgp if {
	some violation in _violations(_meshed(["pool-b"]), _apart(["pool-b"]))
	contains(violation.msg, "needs its routes: 1 IPv4 IPPool (pool-b); ")
}

# Subnets.

test_fail_no_encapsulation_between_subnets if {
	_violations(_subnets(2, []), _subnets(2, ["pool-a"])) == {{
		"id": "IPv4/subnets",
		"size": 1,
		"advisory": true,
		"msg": concat("", [
			"no encapsulation between different subnets: 1 IPv4 IPPool (pool-a), and the nodes of 25 of 45 node ",
			"pairs are in different subnets (192.0.2.0/24, 198.51.100.0/24), so routers between them must know ",
			"the addresses of pods, but no external peer receives the routes of 10 nodes (node-1, node-2, node-3 ",
			"and 7 more); use vxlanMode: CrossSubnet or ipipMode: CrossSubnet, or give the routers the routes of ",
			"all nodes: with BGPPeers, and without a BGPFilter that rejects them or disableBGPExport",
		]),
		"details": {
			"family": "IPv4",
			"ipPools": ["pool-a"],
			"subnets": 2,
			"sample": ["192.0.2.0/24", "198.51.100.0/24"],
			"pairs": 25,
			"unadvertised": 10,
		},
		"objects": [_of_pool("pool-a")],
	}}
}

test_fail_a_node_in_a_further_subnet if {
	some violation in _violations(_subnets(1, ["pool-a"]), _subnets(3, ["pool-a"]))
	contains(violation.msg, "in different subnets (192.0.2.0/24, 198.51.100.0/24, ...)")
}

test_fail_the_last_router_is_removed if {
	found := _violations(_advertised(0, ["pool-a"]), _subnets(2, ["pool-a"]))
	{violation.id | some violation in found} == {"IPv4/subnets"}
}

test_success_subnets_with_a_router if {
	_violations(_subnets(2, []), _advertised(0, ["pool-a"])) == set()
}

test_fail_the_router_receives_the_routes_of_some_nodes if {
	some violation in _violations(_subnets(2, []), _advertised(1, ["pool-a"]))
	contains(violation.msg, "receives the routes of 1 node (node-1); use ")
}

test_success_one_subnet if _violations(_subnets(1, []), _subnets(1, ["pool-a"])) == set()

test_success_one_more_pool_between_subnets if {
	one := {"ipPools": {"pool-a": {"name": "pool-a", "family": "IPv4"}}}
	before := object.union(object.remove(_subnets(2, ["pool-a"]), ["ipPools"]), one)
	_violations(before, _subnets(2, ["pool-a", "pool-b"])) == set()
}

# A mask that is too narrow: packets in one direction go to the router.
test_fail_no_encapsulation_with_masks_that_differ if {
	found := _violations(_masks(0, "Never", []), _masks(1, "Never", ["pool-a"]))
	{violation.id | some violation in found} == {"IPv4/subnets"}
}

test_fail_cross_subnet_with_masks_that_differ if {
	_violations(_masks(1, "Always", []), _masks(1, "CrossSubnet", [])) == {{
		"id": "IPv4/masks",
		"size": 1,
		"advisory": true,
		"msg": concat("", [
			"CrossSubnet with masks that differ: 1 IPv4 IPPool (pool-a), and the subnet of 1 node (node-1) contains ",
			"nodes with a narrower subnet, in 9 node pairs; packets to pods on these nodes have no tunnel, and are ",
			"lost unless both nodes are on one link; give all nodes on one link the same mask, in the addresses of ",
			"their Nodes",
		]),
		"details": {"family": "IPv4", "ipPools": ["pool-a"], "pairs": 9, "nodes": 1},
		"objects": [_of_pool("pool-a")],
	}}
}

test_fail_another_mask_with_cross_subnet if {
	count(_violations(_masks(0, "CrossSubnet", []), _masks(1, "CrossSubnet", []))) == 1
}

test_success_masks_that_differed_before if {
	_violations(_masks(1, "CrossSubnet", []), _masks(1, "CrossSubnet", [])) == set()
	_violations(_masks(1, "CrossSubnet", []), _masks(0, "CrossSubnet", [])) == set()
}

test_success_masks_that_differ_with_a_tunnel_always if {
	_violations(_masks(0, "Always", []), _masks(1, "Always", [])) == set()
}

_masks(wider, mode, pools) := object.union(_peered(["pool-a"]), {
	"addresses": {"IPv4": {"subnets": {
		"subnets": 1,
		"sample": ["192.0.2.0/24"],
		"same": 45 - (9 * wider),
		"different": 0,
		"uneven": 9 * wider,
		"wider": {"nodes": wider, "sample": ["node-1"]},
		"unadvertised": [_without(10) | wider > 0],
	}}},
	"clusterRoutes": {"noEncap": {"pools": pools}},
	"ipPools": {"pool-a": {"name": "pool-a", "family": "IPv4", "spec": {"ipipMode": mode}}},
})

# External peers receive the routes of all but some nodes.
_advertised(without, pools) := json.patch(_subnets(2, pools), [{
	"op": "replace",
	"path": "/addresses/IPv4/subnets/unadvertised",
	"value": [_without(without) | without > 0],
}])

_without(nodes) := {
	"ipPool": "pool-a",
	"nodes": nodes,
	"sample": array.slice(["node-1", "node-2", "node-3"], 0, nodes),
}

_subnets(number, pools) := object.union(_peered(["pool-a"]), {
	"addresses": {"IPv4": {"subnets": {
		"subnets": number,
		"sample": ["192.0.2.0/24", "198.51.100.0/24"],
		"same": 45 - _different(number),
		"different": _different(number),
		"uneven": 0,
		"unadvertised": [_without(10) | number > 1],
	}}},
	"clusterRoutes": {"noEncap": {"pools": pools}},
	"ipPools": {name: {"name": name, "family": "IPv4"} | some name in ["pool-a", "pool-b"]},
})

_different(1) := 0

_different(number) := 25 if number > 1

# Who programs the routes.

test_success_routes_are_handed_over_by_way_of_both if {
	_violations(_programs(false, true, "Disabled"), _programs(true, true, "Enabled")) == set()
	_violations(_programs(true, true, "Enabled"), _programs(true, false, "Enabled")) == set()
}

test_success_who_programs_them_is_not_known if {
	_violations(_programs(false, true, "Disabled"), _programs(false, false, null)) == set()
}

test_success_nobody_did_before if {
	_violations(_programs(false, false, "Disabled"), _programs(false, false, "Disabled")) == set()
}

test_fail_nobody_programs_the_routes_after_the_change if {
	_violations(_programs(true, false, "Enabled"), _programs(false, false, "Disabled")) == {{
		"id": "noEncap/nobody",
		"size": 1,
		"msg": concat("", [
			"neither Felix nor BIRD would program the routes to pods on other nodes: 1 IPPool ",
			"(pool-a), programClusterRoutes is Disabled for Felix and Disabled for BIRD; enable ",
			"one of them before you disable the other",
		]),
		"details": {"class": "noEncap", "ipPools": ["pool-a"], "felix": "Disabled", "bird": "Disabled"},
		"objects": [
			{"kind": "FelixConfiguration", "name": "default", "fields": ["spec.programClusterRoutes"]},
			{"kind": "BGPConfiguration", "name": "default", "fields": ["spec.programClusterRoutes"]},
			_of_pool("pool-a"),
		],
	}}
}

test_fail_bgp_is_turned_off_while_bird_programs_the_routes if {
	after := object.union(_programs(false, false, "Disabled"), _disabled)
	some violation in _violations(_programs(false, true, "Disabled"), after)
	endswith(violation.msg, concat("", [
		"; set programClusterRoutes: Enabled in FelixConfiguration default ",
		"before Installation default ends BIRD",
	]))
	felix := {"kind": "FelixConfiguration", "name": "default", "fields": ["spec.programClusterRoutes"]}
	violation.objects == [_installation, felix, _of_pool("pool-a")]
}

test_fail_a_pool_is_added_to_a_class_that_nobody_programs if {
	before := object.union(_programs(false, false, "Disabled"), {"clusterRoutes": {"noEncap": {"pools": []}}})
	some violation in _violations(before, _programs(false, false, "Disabled"))
	violation.id == "noEncap/nobody"
}

_programs(felix, bird, setting) := object.union(_peered(["pool-a"]), {"clusterRoutes": {
	"ipip": {"pools": []},
	"noEncap": {"felix": felix, "bird": bird, "pools": ["pool-a"]},
	"setting": {"felix": setting, "bird": "Disabled"},
}})

_meshed(pools) := _with_reach(pools, true, {"withoutRoute": {"pairs": 0}})

_peered(pools) := _with_reach(pools, false, {"withoutRoute": {"pairs": 0}})

_apart(pools) := _with_reach(pools, false, {"withoutRoute": {"pairs": 45}})

_with_reach(pools, mesh, reach) := {
	"mesh": {"enabled": mesh},
	"podTraffic": {"IPv4": {"needsBGP": count(pools) > 0, "pools": pools}},
	"routes": {"IPv4": {"withTransit": reach, "withoutTransit": reach}},
	"ipPools": {"pool-a": {"name": "pool-a"}, "pool-b": {"name": "pool-b"}},
}

# Without an assumption.
_violations(before, after) := {violation |
	some violation in _found(before, after, [])
	not violation.assumption
}

_assuming(before, after, transit_peers) := {violation |
	some violation in _found(before, after, transit_peers)
	violation.assumption
}

_found(before, after, transit_peers) := found if {
	change := {"kind": "IPPool", "name": "pool-a"}
	parameters := {"transitPeers": transit_peers}
	found := rule.violation with input as testing.change_with(change, before, after, parameters)
}

_of_pool(name) := {"kind": "IPPool", "name": name, "fields": ["spec.vxlanMode", "spec.ipipMode"]}

package policies.bird_accepts_test

import data.policies.bird_accepts as rule
import data.policies.testing_test as testing

test_success_bird_accepts_all if {
	_violations([]) == set()
}

test_fail_one_node if {
	some violation in _violations([_rejected(1, [])])
	violation.id == "IPv4"
	violation.size == 1
	violation.members == ["frozen"]
	violation.objects == [{"kind": "Node", "name": "node-1"}]
	violation.msg == concat("", [
		"BIRD rejects the IPv4 configuration of 1 node (node-1): a cluster ID with a mask; later ",
		"changes do not reach these nodes, and after a restart they have no BGP; set the ",
		"annotation projectcalico.org/RouteReflectorClusterID to an address without a mask",
	])
}

test_fail_many_nodes_by_a_bgp_peer if {
	some violation in _violations([_rejected(5000, ["tor"])])
	violation.objects == [{"kind": "BGPPeer", "name": "tor"}, {"kind": "Node", "name": "node-1"}]
	violation.msg == concat("", [
		"BIRD rejects the IPv4 configuration of 5,000 nodes (node-1 and 4,999 more): a cluster ID ",
		"with a mask, BGPPeers: tor; later changes do not reach these nodes, and after a restart ",
		"they have no BGP; set the annotation projectcalico.org/RouteReflectorClusterID to an ",
		"address without a mask",
	])
}

test_fail_the_reasons_of_a_family_are_one_violation if {
	found := _violations([
		object.union(_rejected(2, ["tor"]), {"sample": ["node-2", "node-3"]}),
		object.union(_rejected(3, []), {"reason": "another", "members": "others"}),
	])
	count(found) == 1
	some violation in found
	violation.id == "IPv4"
	violation.size == 3
	violation.members == ["frozen"]
	violation.objects == [
		{"kind": "BGPPeer", "name": "tor"},
		{"kind": "Node", "name": "node-1"},
		{"kind": "Node", "name": "node-2"},
		{"kind": "Node", "name": "node-3"},
	]
	[reason.reason | some reason in violation.details.reasons] == ["a cluster ID with a mask", "another"]
	violation.msg == concat("", [
		"BIRD rejects the IPv4 configuration of 3 nodes (node-1 and 2 more): a cluster ID with a mask ",
		"on 2 nodes (node-2, node-3), BGPPeers: tor; another; later changes do not reach these nodes, ",
		"and after a restart they have no BGP; set the annotation ",
		"projectcalico.org/RouteReflectorClusterID to an address without a mask; fix this first",
	])
}

test_fail_nodes_that_share_an_address_are_named if {
	reason := "two protocols of one name, for an address that several nodes have"
	patch := {
		"sessions": {"IPv4": _sessions([object.union(_rejected(3, []), {"reason": reason})])},
		"addresses": {"IPv4": {"sharedAddresses": [{"address": "10.0.0.8", "nodes": 2, "sample": ["node-2", "node-9"]}]}},
	}
	some violation in rule.violation with input as testing.input_with(patch, {})
	endswith(violation.msg, concat("", [
		"they have no BGP; nodes node-2 and node-9 have the same address 10.0.0.8; give each node its own ",
		"address (annotation projectcalico.org/IPv4Address)",
	]))
}

test_fail_several_bgp_peers_are_named if {
	some violation in _violations([_rejected(2, ["a", "b"])])
	contains(violation.msg, ": a cluster ID with a mask, BGPPeers: a, b; ")
}

test_fail_the_as_number_0_of_the_cluster if {
	rejected := object.union(_rejected(1, []), {"reason": "the node's own AS number 0"})
	cases := {
		"": {"asNumber": 64512},
		", and asNumber of BGPConfiguration default to that of the cluster": {"asNumber": 0},
	}
	every remedy, spec in cases {
		patch := {
			"sessions": {"IPv4": _sessions([rejected])},
			"bgpConfigurations": {"default": {"name": "default", "spec": spec}},
		}
		some violation in rule.violation with input as testing.input_with(patch, {})
		endswith(violation.msg, concat("", [
			"; set the annotation projectcalico.org/ASNumber to the node's AS number, or remove it",
			remedy,
		]))
	}
}

_rejected(nodes, peers) := {
	"reason": "a cluster ID with a mask",
	"nodes": nodes,
	"sample": ["node-1"],
	"members": "frozen",
	"bgpPeers": peers,
}

_violations(reasons) := found if {
	found := rule.violation with input as testing.input_with({"sessions": {"IPv4": _sessions(reasons)}}, {})
}

# The nodes with one reason are among those with the most frequent one.
_sessions(reasons) := {
	"frozen": {"nodes": max({0} | {rejected.nodes | some rejected in reasons}), "sample": ["node-1"], "members": "frozen"},
	"frozenReasons": reasons,
}

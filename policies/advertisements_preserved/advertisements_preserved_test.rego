package policies.advertisements_preserved_test

import data.policies.advertisements_preserved as rule
import data.policies.testing_test as testing

test_success_nothing_changes if {
	_violations(_two_routers, _two_routers) == set()
}

test_success_the_first_install if {
	_violations({}, _two_routers) == set()
	_violations({}, _ranged([_range("10.96.0.0/12", 3, 6)])) == set()
}

# Sessions.

test_success_one_of_two_bgppeers_of_a_router if {
	both := {"bgpPeers": {"tor": _peer("192.0.2.1", 3), "tor-too": _peer("192.0.2.1", 2)}}
	_violations(both, {"bgpPeers": {"tor-too": _peer("192.0.2.1", 2)}}) == set()
}

test_success_a_bgppeer_is_renamed if {
	_violations({"bgpPeers": {"a": _peer("192.0.2.1", 3)}}, {"bgpPeers": {"b": _peer("192.0.2.1", 3)}}) == set()
}

test_success_fewer_nodes if {
	_violations({"bgpPeers": {"a": _peer("192.0.2.1", 3)}}, {"bgpPeers": {"a": _peer("192.0.2.1", 1)}}) == set()
}

test_success_no_node_had_a_session if {
	_violations({"bgpPeers": {"a": _peer("192.0.2.1", 0)}}, {}) == set()
}

test_success_a_bgppeer_between_nodes if {
	_violations({"bgpPeers": {"to-reflectors": testing.to_reflectors}}, {}) == set()
}

test_fail_the_bgppeers_of_a_router_are_deleted if {
	_violations(_two_routers, {"bgpPeers": {"b": _peer("192.0.2.2", 3)}}) == {{
		"id": "external-peers",
		"size": 1,
		"msg": concat("", [
			"external peers lose their last session, and receive no routes of the cluster: 1 external peer ",
			"(192.0.2.1), 3 sessions before and 0 after; keep for each router a BGPPeer that selects a node with ",
			"an address, or move traffic from outside to other routers first",
		]),
		"details": {"externalPeers": ["192.0.2.1"], "sessionsBefore": 3, "sessionsAfter": 0},
		"objects": [{"kind": "BGPPeer", "name": "a", "fields": ["spec.nodeSelector", "spec.peerIP"]}],
	}}
}

test_fail_two_routers_at_once if {
	some violation in _violations(_two_routers, {"bgpPeers": {
		"a": _peer("192.0.2.1", 0),
		"b": _peer("192.0.2.2", 0),
	}})
	violation.size == 2
	violation.details == {"externalPeers": ["192.0.2.1", "192.0.2.2"], "sessionsBefore": 6, "sessionsAfter": 0}
	[object_.name | some object_ in violation.objects] == ["a", "b"]
}

test_fail_a_bgppeer_gets_another_address if {
	some violation in _violations({"bgpPeers": {"a": _peer("192.0.2.1", 3)}}, {"bgpPeers": {"a": _peer("192.0.2.2", 3)}})
	violation.details.externalPeers == ["192.0.2.1"]
}

test_fail_the_bgppeer_stays_and_its_nodes_lose_their_sessions if {
	some violation in _violations({"bgpPeers": {"a": _peer("192.0.2.1", 3)}}, {"bgpPeers": {"a": _peer("192.0.2.1", 0)}})
	violation.details == {"externalPeers": ["192.0.2.1"], "sessionsBefore": 3, "sessionsAfter": 0}
}

# Ranges.

test_success_fewer_sessions if {
	_violations(_ranged([_range("10.96.0.0/12", 3, 6)]), _ranged([_range("10.96.0.0/12", 1, 1)])) == set()
}

test_success_a_range_that_nobody_received if {
	_violations(_ranged([_range("10.96.0.0/12", 3, 0)]), _ranged([])) == set()
	_violations(_ranged([_range("10.96.0.0/12", 3, 0)]), _ranged([_range("10.96.0.0/12", 0, 0)])) == set()
}

test_success_the_number_of_sessions_is_not_known if {
	_violations(_ranged([_range("10.96.0.0/12", 3, null)]), _ranged([_range("10.96.0.0/12", 0, 0)])) == set()
	_violations(_ranged([_range("10.96.0.0/12", 3, 6)]), _ranged([_range("10.96.0.0/12", 3, null)])) == set()
}

test_success_a_larger_range_replaces_one if {
	_violations(_ranged([_range("10.96.0.0/12", 3, 6)]), _ranged([_range("10.0.0.0/8", 3, 6)])) == set()
}

test_success_a_range_moves_to_another_list if {
	moved := object.union(_range("10.96.0.0/12", 3, 6), {"field": "serviceExternalIPs"})
	_violations(_ranged([_range("10.96.0.0/12", 3, 6)]), _ranged([moved])) == set()
}

test_fail_the_last_node_is_excluded if {
	_violations(_ranged([_range("10.96.0.0/12", 3, 6)]), _ranged([_range("10.96.0.0/12", 0, 0)])) == {{
		"id": "IPv4/not-advertised",
		"size": 1,
		"msg": concat("", [
			"addresses of Services are no longer advertised to external peers: 1 IPv4 range (10.96.0.0/12 in ",
			"serviceLoadBalancerIPs, 6 sessions before and 0 after), nodes that may advertise: 3 before and 0 ",
			"after; remove the label node.kubernetes.io/exclude-from-external-load-balancers from a node that ",
			"peers with a router",
		]),
		"details": {"family": "IPv4", "ranges": ["10.96.0.0/12 in serviceLoadBalancerIPs"]},
		"objects": [_configuration],
	}}
}

test_fail_a_filter_rejects_the_range if {
	some violation in _violations(_ranged([_range("10.96.0.0/12", 3, 6)]), _ranged([_range("10.96.0.0/12", 3, 0)]))
	violation.id == "IPv4/not-advertised"
	contains(violation.msg, "3 before and 3 after; keep a BGPPeer that connects nodes without the label")
	contains(violation.msg, "and no BGPFilter on it that rejects the range")
}

test_fail_a_range_is_removed if {
	before := _ranged([_range("10.96.0.0/12", 3, 1), _range("10.200.0.0/16", 3, 6)])
	_violations(before, _ranged([_range("10.200.0.0/16", 3, 6)])) == {{
		"id": "IPv4/removed",
		"size": 1,
		"msg": concat("", [
			"ranges of addresses of Services are removed, so nodes no longer advertise them: 1 IPv4 range ",
			"(10.96.0.0/12 in serviceLoadBalancerIPs, 1 session before and 0 after); first move traffic from ",
			"outside to addresses in other ranges, or keep the range",
		]),
		"details": {"family": "IPv4", "ranges": ["10.96.0.0/12 in serviceLoadBalancerIPs"]},
		"objects": [_configuration],
	}}
}

test_fail_a_filter_rejects_one_address if {
	_violations(_ranged([_range("192.0.2.0/24", 3, 3)]), _ranged([_partial("192.0.2.0/24", 3, 3, 1)])) == {{
		"id": "IPv4/part-not-advertised",
		"size": 1,
		"msg": concat("", [
			"a part of the addresses of Services is no longer advertised to external peers: 1 IPv4 range ",
			"(192.0.2.0/24 in serviceLoadBalancerIPs without 192.0.2.9/32); other addresses still are; keep on one ",
			"session no BGPFilter that rejects them, or first move traffic from outside to other addresses",
		]),
		"details": {"family": "IPv4", "ranges": ["192.0.2.0/24 in serviceLoadBalancerIPs"]},
		"objects": [_configuration],
	}}
}

test_fail_a_filter_rejects_the_rest if {
	after := object.union(_partial("192.0.2.0/24", 3, 3, 256), {"partSessions": 0})
	found := _violations(_ranged([_partial("192.0.2.0/24", 3, 3, 1)]), _ranged([after]))
	{violation.id | some violation in found} == {"IPv4/not-advertised"}
}

test_success_a_part_that_was_not_advertised_before if {
	ranges := _ranged([_partial("192.0.2.0/24", 3, 3, 1)])
	_violations(ranges, ranges) == set()
}

# Two sessions carry a half of the addresses each.
test_success_every_address_is_on_a_session if {
	after := _partial("192.0.2.0/24", 3, 3, 0)
	_violations(_ranged([_range("192.0.2.0/24", 3, 3)]), _ranged([after])) == set()
}

test_fail_a_smaller_range_replaces_one if {
	some violation in _violations(_ranged([_range("10.96.0.0/12", 3, 6)]), _ranged([_range("10.96.0.0/16", 3, 6)]))
	violation.id == "IPv4/removed"
}

test_fail_both_families if {
	before := {"serviceRanges": {
		"IPv4": [_range("10.96.0.0/12", 3, 6)],
		"IPv6": [_range("fd00:96::/112", 3, 6)],
	}}
	{violation.id | some violation in _violations(before, {})} == {"IPv4/removed", "IPv6/removed"}
}

_two_routers := {"bgpPeers": {"a": _peer("192.0.2.1", 3), "b": _peer("192.0.2.2", 3)}}

_peer(address, sessions) := object.union(testing.to_reflectors, {
	"selects": ["spec.nodeSelector", "spec.peerIP"],
	"scope": "external",
	"address": address,
	"localNodes": 3,
	"externalSessions": sessions,
})

_ranged(ranges) := {"serviceRanges": {"IPv4": ranges, "IPv6": []}}

_range(cidr, nodes, sessions) := {
	"field": "serviceLoadBalancerIPs",
	"cidr": cidr,
	"nodes": nodes,
	"sessions": sessions,
	"partSessions": sessions,
	"unadvertised": {"addresses": 0, "sample": []},
	"nextHops": _no_nodes,
	"ipPools": [],
}

_partial(cidr, nodes, sessions, addresses) := object.union(_range(cidr, nodes, sessions), {
	"sessions": 0,
	"unadvertised": {"addresses": addresses, "sample": ["192.0.2.9/32"]},
})

_no_nodes := {"nodes": 0, "sample": [], "members": "none"}

_configuration := {"kind": "BGPConfiguration", "name": "default", "fields": ["spec.serviceLoadBalancerIPs"]}

_violations(before, after) := found if {
	found := rule.violation with input as testing.change_with({}, before, after, {})
}

package policies.ambiguous_peering_test

import data.policies.ambiguous_peering as rule
import data.policies.testing_test as testing

test_success_one_setting_for_each_peer if {
	rule.violation == set() with input as testing.input_with({}, {})
}

test_fail_two_bgp_peers_that_differ if {
	some violation in _violations(2, ["all-nodes", "rack-1"], ["password"])
	violation.id == "IPv4"
	violation.size == 2
	violation.members == ["ambiguous"]
	violation.objects == [{"kind": "BGPPeer", "name": "all-nodes"}, {"kind": "BGPPeer", "name": "rack-1"}]
	violation.msg == concat("", [
		"conflicting settings for the same peer in IPv4: 2 half-sessions on 1 node (node-4), ",
		"BGPPeers all-nodes, rack-1, fields password; Calico uses one of them arbitrarily; keep one BGPPeer ",
		"for each peer, or use the same settings in all",
	])
}

test_fail_fields_have_their_names_in_bgp_peers if {
	some violation in _violations(2, ["a", "b"], ["gracefulRestartTime", "peerASN", "ttlSecurity"])
	violation.details.fields == ["asNumber", "maxRestartTime", "ttlSecurity"]
	contains(violation.msg, ", fields asNumber, maxRestartTime, ttlSecurity; ")
}

test_fail_long_lists_are_shortened if {
	some violation in _violations(1, ["a", "b", "c", "d"], ["1", "2", "3", "4", "5", "6", "7"])
	startswith(violation.msg, concat("", [
		"conflicting settings for the same peer in IPv4: 1 half-session on 1 node (node-4), ",
		"BGPPeers a, b, c and 1 more, fields 1, 2, 3 and 4 more; ",
	]))
}

_violations(half_sessions, peers, fields) := found if {
	ambiguous := {
		"halfSessions": half_sessions,
		"nodes": 1,
		"sample": ["node-4"],
		"members": "ambiguous",
		"bgpPeers": peers,
		"fields": fields,
	}
	found := rule.violation with input as testing.input_with({"sessions": {"IPv4": {"ambiguous": ambiguous}}}, {})
}

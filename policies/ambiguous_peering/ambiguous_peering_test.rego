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
	violation.members == ["conflicting"]
	not violation.advisory
	violation.objects == [
		{"kind": "BGPPeer", "name": "all-nodes", "fields": ["spec.password"]},
		{"kind": "BGPPeer", "name": "rack-1", "fields": ["spec.password"]},
	]
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

test_fail_harmless_differences_are_advisory if {
	_sessions_with(_none, _ambiguous(2, ["old", "new"], ["gracefulRestartTime"])) == {{
		"id": "IPv4/harmless",
		"advisory": true,
		"size": 2,
		"msg": concat("", [
			"different timers or filters for the same peer in IPv4: 2 half-sessions on 1 node (node-4), ",
			"BGPPeers old, new, fields maxRestartTime; Calico uses one of them arbitrarily; keep one BGPPeer ",
			"for each peer, or use the same settings in all",
		]),
		"details": {
			"family": "IPv4",
			"halfSessions": 2,
			"nodes": 1,
			"sample": ["node-4"],
			"bgpPeers": ["old", "new"],
			"fields": ["maxRestartTime"],
		},
		"objects": [
			{"kind": "BGPPeer", "name": "old", "fields": ["spec.maxRestartTime"]},
			{"kind": "BGPPeer", "name": "new", "fields": ["spec.maxRestartTime"]},
		],
	}}
}

test_fail_both_kinds_of_differences if {
	conflicting := _ambiguous(2, ["a", "b"], ["password"])
	found := _sessions_with(conflicting, _ambiguous(5, ["a", "b"], ["password", "keepaliveTime"]))
	{violation.id: violation.size | some violation in found} == {"IPv4": 2, "IPv4/harmless": 3}
}

_violations(half_sessions, peers, fields) := _sessions_with(ambiguous, ambiguous) if {
	ambiguous := _ambiguous(half_sessions, peers, fields)
}

_ambiguous(half_sessions, peers, fields) := {
	"halfSessions": half_sessions,
	"nodes": 1,
	"sample": ["node-4"],
	"members": "conflicting",
	"bgpPeers": peers,
	"fields": fields,
}

_none := _ambiguous(0, [], [])

_sessions_with(conflicting, ambiguous) := found if {
	sessions := {"IPv4": {"conflicting": conflicting, "ambiguous": ambiguous}}
	found := rule.violation with input as testing.input_with({"sessions": sessions}, {})
}

package policies.timer_safety_test

import data.policies.testing_test as testing
import data.policies.timer_safety as rule

test_success_the_defaults_of_bird if {
	_violations({}, {}) == set()
}

test_success_values_at_the_bounds if {
	_violations(_timers([10, 80], [30, 4095]), {}) == set()
}

test_success_a_fast_peer_in_the_parameter if {
	_violations(_timers([3], [120]), {"fastPeers": ["pee*"]}) == set()
}

test_success_a_long_start_without_a_pool_that_needs_bgp if {
	slow := {"convergence": {"start": {"seconds": 200, "reason": "many routes"}}}
	vxlan := object.union(slow, {"podTraffic": {"IPv4": {"needsBGP": false, "pools": []}}})
	_violations(vxlan, {}) == set()
	count(_violations(slow, {})) > 0
}

test_fail_a_short_keepalive_time if {
	some violation in _violations(_timers([3], [120]), {"fastPeers": ["other"]})
	violation.id == "keepaliveTime/short/BGPPeer/peer-0"
	violation.size == 7
	violation.objects == [{"kind": "BGPPeer", "name": "peer-0", "fields": ["spec.keepaliveTime"]}]
	violation.msg == concat("", [
		"BGPPeer peer-0 has a short keepalive time: 3s, minimum 10s (parameter minKeepaliveTime); ",
		"sessions of a busy node can flap; set keepaliveTime: 10s or more, or add the BGPPeer to ",
		"the parameter fastPeers",
	])
}

test_fail_a_long_keepalive_time if {
	some violation in _violations(_timers([81], [120]), {})
	violation.id == "keepaliveTime/long/BGPPeer/peer-0"
	violation.size == 1
	violation.msg == concat("", [
		"BGPPeer peer-0 has a long keepalive time: 81s, maximum 80s (parameter maxKeepaliveTime); ",
		"the hold time stays 240 s, so a few late keepalives end a healthy session; set ",
		"keepaliveTime: 80s or less",
	])
}

test_fail_a_short_restart_time_of_the_mesh if {
	group := {
		"seconds": 0,
		"scope": "nodes",
		"sessions": 21,
		"objects": [{"kind": "BGPConfiguration", "name": "default", "set": true, "sessions": 21}],
	}
	some violation in _violations({"timers": {"restartTime": [group]}}, {})
	violation.id == "restartTime/short/BGPConfiguration/default"
	violation.objects == [{"kind": "BGPConfiguration", "name": "default", "fields": ["spec.nodeMeshMaxRestartTime"]}]
	violation.size == 30
	violation.msg == concat("", [
		"BGPConfiguration default has a short restart time: 0s, but a restart of calico-node ",
		"takes 30s; peers remove the routes of a node before it is back; set ",
		"nodeMeshMaxRestartTime: 30s or more",
	])
}

test_fail_shorter_than_what_a_start_is_known_to_take if {
	patch := object.union(_timers([80], [40]), {"convergence": {"start": {"seconds": 45}}})
	some violation in _violations(patch, {})
	violation.size == 5
}

test_success_a_start_that_waits_for_others_is_not_the_measure if {
	patch := object.union(_timers([80], [120]), {"convergence": {"start": {"seconds": 240}, "waiting": {"nodes": 1}}})
	_violations(patch, {}) == set()
}

test_fail_a_restart_time_that_wraps if {
	some violation in _violations(_timers([80], [4100]), {})
	violation.id == "restartTime/long/BGPPeer/peer-0"
	violation.size == 5
	violation.msg == concat("", [
		"BGPPeer peer-0 has a restart time that BGP cannot carry: 4,100s, maximum 4,095s; peers ",
		"read 4s; set maxRestartTime: 4095s or less",
	])
}

_timers(keepalive, restart) := {"timers": {"keepaliveTime": _groups(keepalive), "restartTime": _groups(restart)}}

_groups(values) := [group |
	some i, seconds in values
	holder := {"kind": "BGPPeer", "name": sprintf("peer-%d", [i]), "set": true, "sessions": 1}
	group := {"seconds": seconds, "scope": "nodes", "sessions": 1, "objects": [holder]}
]

_violations(patch, parameters) := found if {
	defaults := {"minKeepaliveTime": "10s", "maxKeepaliveTime": "80s", "minRestartTime": "30s", "fastPeers": []}
	found := rule.violation with input as testing.input_with(patch, object.union(defaults, parameters))
}

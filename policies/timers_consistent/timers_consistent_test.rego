package policies.timers_consistent_test

import data.policies.testing_test as testing
import data.policies.timers_consistent as rule

# No value is configured: most sessions decide.

test_success_one_value if {
	_violations({}, {}) == set()
}

test_success_external_peers_and_peers_without_sessions_are_ignored if {
	groups := [
		{"seconds": 300, "scope": "external", "sessions": 0, "objects": [_peer("tor-1", true, 0)]},
		{"seconds": 60, "scope": "nodes", "sessions": 0, "objects": [_peer("selects-nothing", true, 0)]},
		{"seconds": 120, "scope": "nodes", "sessions": 21, "objects": [_peer("rack-1", false, 21)]},
	]
	_violations({"restartTime": groups, "keepaliveTime": groups}, {}) == set()
}

test_fail_a_peer_that_differs_from_most if {
	groups := [
		{"seconds": 120, "scope": "nodes", "sessions": 7140, "objects": [_mesh(false, 7140)]},
		{"seconds": 300, "scope": "nodes", "sessions": 10, "objects": [
			_peer("rack-1", true, 10),
			_peer("selects-nothing", true, 0),
		]},
	]
	_violations({"restartTime": groups}, {}) == {{
		"id": "restart-time",
		"advisory": true,
		"size": 1800,
		"msg": concat("", [
			"different restart times between nodes: 120s for 7,140 sessions, other values for 10 ",
			"sessions (BGPPeer rack-1: maxRestartTime 300s); set spec.maxRestartTime: 120s in ",
			"BGPPeer rack-1, or set the parameter restartTime for all",
		]),
		"details": {
			"timer": "restart-time",
			"values": [300],
			"sessions": 10,
			"setting": 120,
			"settingSessions": 7140,
		},
		"objects": [{"kind": "BGPPeer", "name": "rack-1", "fields": ["spec.maxRestartTime"]}],
	}}
}

test_fail_several_objects_that_differ_are_sorted_and_shortened if {
	groups := [
		{"seconds": 60, "scope": "nodes", "sessions": 4, "objects": [
			_peer("rack-4", true, 1),
			_peer("rack-1", true, 3),
		]},
		{"seconds": 120, "scope": "nodes", "sessions": 6, "objects": [_mesh(false, 1), _peer("rack-3", false, 5)]},
		{"seconds": 300, "scope": "nodes", "sessions": 2000, "objects": [_peer("to-reflectors", true, 2000)]},
	]
	_violations({"restartTime": groups}, {}) == {{
		"id": "restart-time",
		"advisory": true,
		"size": (4 * 240) + (6 * 180),
		"msg": concat("", [
			"different restart times between nodes: 300s for 2,000 sessions, other values for 10 ",
			"sessions (BGPConfiguration default: 120s by default (nodeMeshMaxRestartTime is ",
			"unset), BGPPeer rack-1: maxRestartTime 60s, BGPPeer rack-3: 120s by default ",
			"(maxRestartTime is unset) and 1 more); set spec.nodeMeshMaxRestartTime: 300s in ",
			"BGPConfiguration default and spec.maxRestartTime: 300s in BGPPeer rack-1, rack-3, ",
			"rack-4, or set the parameter restartTime for all",
		]),
		"details": {
			"timer": "restart-time",
			"values": [60, 120],
			"sessions": 10,
			"setting": 300,
			"settingSessions": 2000,
		},
		"objects": [
			{"kind": "BGPConfiguration", "name": "default", "fields": ["spec.nodeMeshMaxRestartTime"]},
			{"kind": "BGPPeer", "name": "rack-1", "fields": ["spec.maxRestartTime"]},
			{"kind": "BGPPeer", "name": "rack-3", "fields": ["spec.maxRestartTime"]},
			{"kind": "BGPPeer", "name": "rack-4", "fields": ["spec.maxRestartTime"]},
		],
	}}
}

test_fail_a_tie_goes_to_the_default_of_bird if {
	cases := {
		"restartTime": {"values": [60, 120, 300], "setting": 120},
		"keepaliveTime": {"values": [60, 80, 300], "setting": 80},
	}
	every timer, case in cases {
		some violation in _violations({timer: _one_session_each(case.values)}, {})
		violation.details.setting == case.setting
	}
}

test_fail_a_tie_without_the_default_goes_to_the_smallest if {
	every timer in ["restartTime", "keepaliveTime"] {
		some violation in _violations({timer: _one_session_each([60, 90, 300])}, {})
		violation.details.setting == 60
	}
}

test_fail_most_sessions_win_over_the_default if {
	groups := [
		{"seconds": 90, "scope": "nodes", "sessions": 2, "objects": [_peer("rack-1", true, 2)]},
		{"seconds": 120, "scope": "nodes", "sessions": 1, "objects": [_peer("rack-2", false, 1)]},
	]
	some violation in _violations({"restartTime": groups}, {})
	violation.details.setting == 90
	violation.objects == [{"kind": "BGPPeer", "name": "rack-2", "fields": ["spec.maxRestartTime"]}]
}

test_fail_the_keepalive_time_of_the_mesh_cannot_be_set if {
	groups := [
		{"seconds": 60, "scope": "nodes", "sessions": 9, "objects": [_peer("rack-1", true, 9)]},
		{"seconds": 80, "scope": "nodes", "sessions": 3, "objects": [_mesh(false, 3)]},
	]
	some violation in _violations({"keepaliveTime": groups}, {})
	violation.msg == concat("", [
		"different keepalive times between nodes: 60s for 9 sessions, other values for 3 sessions ",
		"(the mesh: 80s, which cannot be changed); unset spec.keepaliveTime in all BGPPeers while ",
		"the mesh is on, or set the parameter keepaliveTime for all",
	])
}

# nodeMeshMaxRestartTime is set.

test_success_peers_have_the_restart_time_of_the_mesh if {
	_violations({"restartTime": _two_values, "nodeMeshMaxRestartTime": {"set": true, "seconds": 300}}, {}) == set()
}

test_fail_a_peer_differs_from_the_restart_time_of_the_mesh if {
	groups := [
		{"seconds": 120, "scope": "nodes", "sessions": 0, "objects": [_peer("rack-1", false, 0)]},
		{"seconds": 240, "scope": "nodes", "sessions": 7140, "objects": [_mesh(true, 7140)]},
	]
	_violations({"restartTime": groups, "nodeMeshMaxRestartTime": {"set": true, "seconds": 240}}, {}) == {{
		"id": "restart-time/BGPPeer/rack-1",
		"setBy": {"kind": "BGPConfiguration", "name": "default"},
		"size": 120,
		"msg": concat("", [
			"BGPPeer rack-1 has a different restart time: 120s by default (maxRestartTime is ",
			"unset), expected 240s (nodeMeshMaxRestartTime in BGPConfiguration default); set ",
			"spec.maxRestartTime: 240s in it, or first change nodeMeshMaxRestartTime for all",
		]),
		"details": {
			"timer": "restart-time",
			"seconds": 120,
			"set": false,
			"setting": 240,
			"source": "nodeMeshMaxRestartTime in BGPConfiguration default",
		},
		"objects": [{"kind": "BGPPeer", "name": "rack-1", "fields": ["spec.maxRestartTime"]}],
	}}
}

test_fail_a_peer_with_its_own_restart_time if {
	groups := [
		{"seconds": 120, "scope": "nodes", "sessions": 7140, "objects": [_mesh(true, 7140)]},
		{"seconds": 300, "scope": "nodes", "sessions": 10, "objects": [_peer("rack-1", true, 10)]},
	]
	some violation in _violations(
		{
			"restartTime": groups,
			"nodeMeshMaxRestartTime": {"set": true, "seconds": 120},
		},
		{},
	)
	violation.setBy == {"kind": "BGPConfiguration", "name": "default"}
	violation.msg == concat("", [
		"BGPPeer rack-1 has a different restart time: maxRestartTime 300s, expected 120s ",
		"(nodeMeshMaxRestartTime in BGPConfiguration default); set spec.maxRestartTime: 120s in it, ",
		"or first change nodeMeshMaxRestartTime for all",
	])
}

test_fail_the_restart_time_of_the_mesh_says_nothing_about_keepalives if {
	patch := {"keepaliveTime": _one_session_each([80, 90]), "nodeMeshMaxRestartTime": {"set": true, "seconds": 120}}
	{violation.id | some violation in _violations(patch, {})} == {"keepalive-time"}
}

# A parameter is set.

test_success_all_as_the_parameter_says if {
	every duration in ["300s", "5m", "0.08h12s", "299.6s"] {
		groups := [{"seconds": 300, "scope": "external", "sessions": 0, "objects": [_peer("tor-1", true, 0)]}]
		_violations({"restartTime": groups}, {"restartTime": duration}) == set()
	}
}

test_success_the_keepalive_of_the_mesh_is_not_judged if {
	groups := [{"seconds": 80, "scope": "nodes", "sessions": 3, "objects": [_mesh(false, 3)]}]
	parameters := {"keepaliveTime": "60s", "maxKeepaliveTime": "70s"}
	_violations({"keepaliveTime": groups}, parameters) == set()
}

test_fail_objects_differ_from_the_parameter if {
	patch := {"restartTime": _two_values, "nodeMeshMaxRestartTime": {"set": true, "seconds": 300}}
	source := "parameter restartTime"
	_violations(patch, {"restartTime": "2m"}) == {
		{
			"id": "restart-time/BGPConfiguration/default",
			"size": 180,
			"msg": concat("", [
				"BGPConfiguration default has a different restart time: nodeMeshMaxRestartTime ",
				"300s, expected 120s (parameter restartTime); set spec.nodeMeshMaxRestartTime: ",
				"120s in it, or first change the parameter restartTime for all",
			]),
			"details": {"timer": "restart-time", "seconds": 300, "set": true, "setting": 120, "source": source},
			"objects": [{"kind": "BGPConfiguration", "name": "default", "fields": ["spec.nodeMeshMaxRestartTime"]}],
		},
		{
			"id": "restart-time/BGPPeer/tor-1",
			"size": 30,
			"msg": concat("", [
				"BGPPeer tor-1 has a different restart time: maxRestartTime 90s, expected 120s ",
				"(parameter restartTime); set spec.maxRestartTime: 120s in it, or first change the ",
				"parameter restartTime for all",
			]),
			"details": {"timer": "restart-time", "seconds": 90, "set": true, "setting": 120, "source": source},
			"objects": [{"kind": "BGPPeer", "name": "tor-1", "fields": ["spec.maxRestartTime"]}],
		},
	}
}

test_fail_the_keepalive_differs_from_the_parameter if {
	_violations({}, {"keepaliveTime": "60s"}) == {{
		"id": "keepalive-time/BGPPeer/to-reflectors",
		"size": 20,
		"msg": concat("", [
			"BGPPeer to-reflectors has a different keepalive time: 80s by default (keepaliveTime ",
			"is unset), expected 60s (parameter keepaliveTime); set spec.keepaliveTime: 60s in it, ",
			"or first change the parameter keepaliveTime for all",
		]),
		"details": {
			"timer": "keepalive-time",
			"seconds": 80,
			"set": false,
			"setting": 60,
			"source": "parameter keepaliveTime",
		},
		"objects": [{"kind": "BGPPeer", "name": "to-reflectors", "fields": ["spec.keepaliveTime"]}],
	}}
}

# Bounds.

test_success_values_on_the_bounds if {
	parameters := {
		"minRestartTime": "2m",
		"maxRestartTime": "120s",
		"minKeepaliveTime": "80s",
		"maxKeepaliveTime": "1m20s",
	}
	_violations({}, parameters) == set()
}

test_fail_values_out_of_bounds if {
	patch := {"restartTime": _two_values, "nodeMeshMaxRestartTime": {"set": true, "seconds": 300}}
	_violations(patch, {"minRestartTime": "100s", "maxRestartTime": "4m"}) == {
		{
			"id": "restart-time-bounds/BGPConfiguration/default",
			"size": 60,
			"msg": concat("", [
				"BGPConfiguration default has a restart time above the maximum: ",
				"nodeMeshMaxRestartTime 300s, maximum 240s (parameter maxRestartTime); set ",
				"spec.nodeMeshMaxRestartTime: 240s or less in it",
			]),
			"details": {"timer": "restart-time", "seconds": 300, "set": true, "maximum": 240},
			"objects": [{"kind": "BGPConfiguration", "name": "default", "fields": ["spec.nodeMeshMaxRestartTime"]}],
		},
		{
			"id": "restart-time-bounds/BGPPeer/tor-1",
			"size": 10,
			"msg": concat("", [
				"BGPPeer tor-1 has a restart time below the minimum: maxRestartTime 90s, minimum ",
				"100s (parameter minRestartTime); set spec.maxRestartTime: 100s or more in it",
			]),
			"details": {"timer": "restart-time", "seconds": 90, "set": true, "minimum": 100},
			"objects": [{"kind": "BGPPeer", "name": "tor-1", "fields": ["spec.maxRestartTime"]}],
		},
	}
}

test_fail_keepalives_out_of_bounds if {
	every parameters in [{"minKeepaliveTime": "81s"}, {"maxKeepaliveTime": "79s"}] {
		violations := _violations({}, parameters)
		{violation.id | some violation in violations} == {"keepalive-time-bounds/BGPPeer/to-reflectors"}
		{violation.size | some violation in violations} == {1}
	}
}

_two_values := [
	{"seconds": 90, "scope": "external", "sessions": 0, "objects": [_peer("tor-1", true, 0)]},
	{"seconds": 300, "scope": "nodes", "sessions": 7140, "objects": [_mesh(true, 7140)]},
]

_one_session_each(values) := [group |
	some seconds in values
	peer := _peer(sprintf("rack-%d", [seconds]), true, 1)
	group := {"seconds": seconds, "scope": "nodes", "sessions": 1, "objects": [peer]}
]

_peer(name, set_itself, sessions) := {"kind": "BGPPeer", "name": name, "set": set_itself, "sessions": sessions}

_mesh(set_itself, sessions) := {
	"kind": "BGPConfiguration",
	"name": "default",
	"set": set_itself,
	"sessions": sessions,
}

_violations(timers, parameters) := found if {
	found := rule.violation with input as testing.input_with({"timers": timers}, parameters)
}

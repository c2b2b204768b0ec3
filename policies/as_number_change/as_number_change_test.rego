package policies.as_number_change_test

import data.policies.as_number_change as rule
import data.policies.testing_test as testing

# The AS number of the cluster.

test_success_the_number_of_the_cluster_stays if {
	cases := [
		["UPDATE", {"asNumber": 64600}, {"asNumber": 64600, "nodeToNodeMeshEnabled": false}],
		["UPDATE", {"asNumber": 64600}, {"asNumber": "64600"}],
		["UPDATE", {}, {"asNumber": 64512}],
		["UPDATE", {"asNumber": null}, {}],
		["CREATE", null, {"asNumber": 64512}],
		["CREATE", null, {}],
		["DELETE", {"asNumber": 64512}, null],
		["DELETE", {}, null],
	]
	every case in cases {
		_violations(_cluster(case[0], case[1], case[2]), {}, {}) == set()
	}
}

test_success_a_cluster_without_sessions if {
	before := {"sessions": {"IPv4": {"total": 0, "external": 0}}}
	_violations(_cluster("CREATE", null, {"asNumber": 64600}), before, {}) == set()
}

test_success_the_number_on_other_configurations_is_ignored if {
	change := object.union(_cluster("UPDATE", {}, {"asNumber": 64600}), {"name": "node.node-1"})
	_violations(change, {}, {}) == set()
}

test_fail_the_number_of_the_cluster_changes if {
	_violations(_cluster("UPDATE", {}, {"asNumber": 64600}), {}, {}) == {{
		"id": "as-number",
		"size": 21,
		"msg": concat("", [
			"the AS number of the cluster changes from 64512 to 64600: this resets the sessions ",
			"of all nodes without their own AS number (up to 21 sessions between 10 nodes); set ",
			"the annotation policy.bgpguard.io/approval",
		]),
		"details": {"from": 64512, "to": 64600, "sessions": 21},
		"objects": [{"kind": "BGPConfiguration", "name": "default", "fields": ["spec.asNumber"]}],
	}}
}

test_fail_the_default_number_comes_back if {
	changes := {
		"deleted": _cluster("DELETE", {"asNumber": 64600}, null),
		"taken out": _cluster("UPDATE", {"asNumber": 64600}, {}),
		"no spec": _cluster("UPDATE", {"asNumber": "64600"}, null),
	}
	every change in changes {
		some violation in _violations(change, {}, {})
		violation.details.from == 64600
		violation.details.to == 64512
	}
}

test_fail_there_was_no_configuration if {
	some violation in _violations(_cluster("CREATE", null, {"asNumber": 64600}), {}, {})
	violation.details.from == 64512
}

test_fail_external_peers_expect_the_old_number if {
	before := {"sessions": {"IPv4": {"external": 20}, "IPv6": {"total": 5, "external": 4}}}
	some violation in _violations(_cluster("UPDATE", {}, {"asNumber": 64600}), before, {})
	violation.size == 50
	contains(violation.msg, concat("", [
		" (up to 26 sessions between 10 nodes, 24 with external peers, which must expect the new ",
		"number); ",
	]))
}

test_fail_bgp_peers_that_name_the_old_number if {
	group := {"asNumber": 64512, "nodeASNumber": 64600, "bgpPeers": 1, "sample": ["rack-1"]}
	other := object.union(group, {"asNumber": 64700, "sample": ["rack-2"]})
	state := {"otherASNumbers": {"IPv4": {"nodes": 2, "groups": [group, other]}}}
	change := _cluster("UPDATE", {}, {"asNumber": 64600})
	defaults := {"windows": [], "approval": {"annotation": "policy.bgpguard.io/approval", "pattern": ".+"}}
	some violation in rule.violation with input as testing.change_with(change, {}, state, defaults)
	endswith(violation.msg, concat("", [
		"; set the annotation policy.bgpguard.io/approval; BGPPeer rack-1 has asNumber 64512, but the node at ",
		"its peerIP has AS number 64600; set asNumber: 64600",
	]))
}

# The AS number of a node.

test_success_the_number_of_a_node_stays if {
	cases := [
		[{}, {"projectcalico.org/ASNumber": "64512"}],
		[{"projectcalico.org/ASNumber": "64513"}, {"projectcalico.org/ASNumber": "0.64513"}],
		[{}, {"projectcalico.org/ASNumber": "invalid"}],
		[{"projectcalico.org/ASNumber": "64513", "x": "1"}, {"projectcalico.org/ASNumber": "64513"}],
	]
	every case in cases {
		_violations(_node("UPDATE", case[0], case[1]), {}, {}) == set()
	}
}

test_success_a_node_is_created_or_deleted if {
	numbered := {"projectcalico.org/ASNumber": "64513"}
	_violations(object.union(_node("CREATE", {}, numbered), {"oldObject": null}), {}, {}) == set()
	_violations(object.union(_node("DELETE", numbered, {}), {"object": null}), {}, {}) == set()
}

test_success_a_node_without_an_address_has_no_session if {
	nowhere := {"projectcalico.org/IPv4Address": ""}
	numbered := {"projectcalico.org/IPv4Address": "", "projectcalico.org/ASNumber": "64513"}
	_violations(_node("UPDATE", nowhere, numbered), {}, {}) == set()
	_violations(_node("UPDATE", nowhere, {"projectcalico.org/ASNumber": "64513"}), {}, {}) == set()
}

test_success_the_number_of_the_cluster_is_the_node_s if {
	before := {"bgpConfigurations": {"default": {"name": "default", "spec": {"asNumber": 64600}}}}
	_violations(_node("UPDATE", {}, {"projectcalico.org/ASNumber": "64600"}), before, {}) == set()
}

test_fail_the_number_of_a_node_changes if {
	_violations(_node("UPDATE", {}, {"projectcalico.org/ASNumber": "1.10"}), {}, {}) == {{
		"id": "as-number",
		"size": 0,
		"msg": concat("", [
			"the AS number of node node-1 changes from 64512 to 65546: this resets all its ",
			"sessions; set the annotation policy.bgpguard.io/approval",
		]),
		"details": {"from": 64512, "to": 65546, "sessions": 0},
		"objects": [{
			"kind": "Node",
			"name": "node-1",
			"fields": ["metadata.annotations[projectcalico.org/ASNumber]"],
		}],
	}}
}

test_fail_the_number_of_a_node_in_the_mesh if {
	before := {"mesh": {"enabled": true, "sessionsPerNode": 119}}
	numbered := {"projectcalico.org/ASNumber": "64513"}
	reflector := {"projectcalico.org/RouteReflectorClusterID": "244.0.0.1"}
	some violation in _violations(_node("UPDATE", numbered, {}), before, {})
	violation.size == 119
	contains(violation.msg, "from 64513 to 64512: this resets all its sessions, 119 of them in the mesh; ")
	some of_reflector in _violations(_node("UPDATE", reflector, object.union(reflector, numbered)), before, {})
	of_reflector.size == 0
}

# The AS numbers of a peer.

test_success_the_numbers_of_a_peer_stay if {
	cases := [
		[{"asNumber": 65000}, {"asNumber": 65000, "keepaliveTime": "30s"}],
		[{"asNumber": 65000}, {"asNumber": "65000"}],
		[{"asNumber": 65000}, {"asNumber": 65001, "peerIP": "10.0.0.2"}],
		[{"peerIP": "", "asNumber": 65000}, {"peerIP": "", "asNumber": 65001}],
	]
	every case in cases {
		_violations(_peer("UPDATE", case[0], case[1]), _with_peer(0, 7), {}) == set()
	}
}

test_success_a_peer_is_created_or_deleted_or_has_no_session if {
	_violations(_peer("CREATE", {"asNumber": 65000}, {"asNumber": 65001}), _with_peer(0, 7), {}) == set()
	_violations(_peer("UPDATE", {"asNumber": 65000}, {"asNumber": 65001}), _with_peer(0, 0), {}) == set()
	_violations(_peer("UPDATE", {"asNumber": 65000}, {"asNumber": 65001}), {}, {}) == set()
}

test_success_an_as_number_that_bird_refuses_has_no_sessions_to_end if {
	_violations(_peer("UPDATE", {}, {"asNumber": 65001}), _with_peer(0, 7), {}) == set()
	_violations(_peer("UPDATE", {"asNumber": 0}, {"asNumber": 65001}), _with_peer(0, 7), {}) == set()
	_violations(_peer("UPDATE", {"asNumber": 65001}, {}), _with_peer(0, 7), {}) == set()
	_violations(_cluster("UPDATE", {"asNumber": 0}, {"asNumber": 64600}), {}, {}) == set()
	_violations(_node("UPDATE", {"projectcalico.org/ASNumber": "0"}, {}), {}, {}) == set()
}

test_fail_the_number_of_a_peer_changes if {
	_violations(_peer("UPDATE", {"asNumber": 65000}, {"asNumber": 65001}), _with_peer(0, 7), {}) == {{
		"id": "as-number",
		"size": 7,
		"msg": concat("", [
			"asNumber of BGPPeer tor-1 changes from 65000 to 65001: this resets 7 sessions; set ",
			"the annotation policy.bgpguard.io/approval",
		]),
		"details": {"from": 65000, "to": 65001, "sessions": 7},
		"objects": [{"kind": "BGPPeer", "name": "tor-1", "fields": ["spec.asNumber"]}],
	}}
}

test_fail_the_local_number_of_a_peer if {
	some violation in _violations(_peer("UPDATE", {}, {"localASNumber": 65001}), _with_peer(1, 0), {})
	violation.size == 1
	contains(violation.msg, "localASNumber of BGPPeer tor-1 changes from none to 65001: this resets 1 session; ")
}

# Permission.

test_success_inside_a_window_or_with_an_approval if {
	change := _cluster("UPDATE", {}, {"asNumber": 64600})

	# It is 2026-01-01 00:00 in UTC, 01:00 in Berlin.
	_violations(change, {}, {"windows": [_nightly]}) == set()
	approved := object.union(change, {"object": {"metadata": {"annotations": {"policy.bgpguard.io/approval": "CHG-1"}}}})
	_violations(approved, {}, {}) == set()
}

test_fail_outside_the_windows if {
	parameters := {"windows": [object.union(_nightly, {"duration": "2h"})]}
	some violation in _violations(_cluster("UPDATE", {}, {"asNumber": 64600}), {}, parameters)
	endswith(violation.msg, concat("", [
		"; wait for the next window (Thu 2026-01-01 22:00 Europe/Berlin), or set the annotation ",
		"policy.bgpguard.io/approval",
	]))
}

test_fail_an_invalid_window if {
	parameters := {"windows": [object.union(_nightly, {"schedule": "0 25 * * *"})]}
	violations := _violations(_cluster("UPDATE", {}, {"asNumber": 64600}), {}, parameters)
	{violation.id | some violation in violations} == {"as-number", "parameters"}
	some violation in violations
	violation.msg == concat("", [
		`window "0 25 * * *" for "6h" is invalid: hour "25" must be a number from 0 to 23, or a `,
		"list, range or step of these; correct the parameters of the policy",
	])
}

test_success_an_invalid_window_that_is_not_needed if {
	_violations(_cluster("UPDATE", {}, {}), {}, {"windows": [object.union(_nightly, {"schedule": "@daily"})]}) == set()
}

_nightly := {"schedule": "0 22 * * *", "duration": "6h", "timeZone": "Europe/Berlin"}

_cluster(operation, old_spec, spec) := {
	"operation": operation,
	"kind": "BGPConfiguration",
	"name": "default",
	"object": _configuration(operation == "DELETE", spec),
	"oldObject": _configuration(operation == "CREATE", old_spec),
}

_configuration(true, _) := null

_configuration(false, spec) := {"metadata": {"name": "default"}, "spec": spec}

_node(operation, old_annotations, annotations) := {
	"operation": operation,
	"kind": "Node",
	"name": "node-1",
	"object": {"metadata": {"annotations": object.union(_addressed, annotations)}},
	"oldObject": {"metadata": {"annotations": object.union(_addressed, old_annotations)}},
}

_addressed := {"projectcalico.org/IPv4Address": "10.0.0.1/24"}

_peer(operation, old_spec, spec) := {
	"operation": operation,
	"kind": "BGPPeer",
	"name": "tor-1",
	"object": {"spec": object.union({"peerIP": "10.0.0.1"}, spec)},
	"oldObject": {"spec": object.union({"peerIP": "10.0.0.1"}, old_spec)},
}

_with_peer(sessions, nodes) := {"bgpPeers": {"tor-1": {"name": "tor-1", "sessions": sessions, "localNodes": nodes}}}

_violations(change, before, parameters) := found if {
	defaults := {"windows": [], "approval": {"annotation": "policy.bgpguard.io/approval", "pattern": ".+"}}
	found := rule.violation with input as testing.change_with(change, before, {}, object.union(defaults, parameters))
}

package policies.change_window_test

import data.policies.change_window as rule
import data.policies.testing_test as testing

test_success_nothing_is_configured if {
	_violations(_update, {}) == set()
	_violations(_update, {"approval": {"pattern": "CHG-[0-9]+"}}) == set()
}

# It is 2026-01-01 00:00 in UTC, 01:00 in Berlin.
test_success_inside_a_window if {
	_violations(_update, {"windows": [_noon, object.union(_noon, {"schedule": "0 22 * * *"})]}) == set()
}

test_success_with_an_approval if {
	approved := object.union(_update, {"object": {"metadata": {"annotations": {"example.org/ticket": "CHG-1"}}}})
	_violations(approved, {"windows": [_noon], "approval": _tickets}) == set()
}

test_success_a_delete_with_an_approval_that_was_set_before if {
	deletion := object.union(_update, {
		"operation": "DELETE",
		"object": null,
		"oldObject": {"metadata": {"annotations": {"example.org/ticket": "CHG-1"}}},
	})
	_violations(deletion, {"windows": [_noon], "approval": _tickets}) == set()
}

test_success_an_update_that_leaves_the_spec_as_it_is if {
	annotated := object.union(_update, {
		"object": {"metadata": {"annotations": {"example.org/ticket": "CHG-1"}}},
		"oldObject": _update.object,
	})
	_violations(annotated, {"windows": [_noon]}) == set()
}

test_success_changes_not_in_the_parameter if {
	every changes in [
		[],
		[{"kinds": []}],
		[{"kinds": ["IPPool", "BGPConfiguration"]}],
		[{"operations": ["CREATE", "DELETE"]}],
		[{"names": ["rack-*", "tor"]}],
		[{"kinds": ["BGPPeer"], "operations": ["DELETE"]}, {"kinds": ["IPPool"], "operations": ["UPDATE"]}],
	] {
		_violations(_update, {"windows": [_noon], "changes": changes}) == set()
	}
}

test_fail_outside_the_windows if {
	_violations(_update, {"windows": [_noon], "approval": _tickets}) == {{
		"id": "change",
		"size": 1,
		"msg": concat("", [
			"BGPPeer tor-1 is updated outside the change windows: wait for the next window (Thu ",
			"2026-01-01 12:00 Europe/Berlin), or set the annotation example.org/ticket to a value ",
			"that matches CHG-[0-9]+",
		]),
		"details": {"operation": "UPDATE", "windows": [_noon]},
		"objects": [{"kind": "BGPPeer", "name": "tor-1"}],
	}}
}

test_fail_without_an_approval_where_there_is_no_window if {
	_violations(_update, {"approval": _tickets}) == {{
		"id": "change",
		"size": 1,
		"msg": concat("", [
			"BGPPeer tor-1 is updated without an approval: set the annotation example.org/ticket ",
			"to a value that matches CHG-[0-9]+",
		]),
		"details": {"operation": "UPDATE", "windows": []},
		"objects": [{"kind": "BGPPeer", "name": "tor-1"}],
	}}
}

test_fail_changes_in_the_parameter if {
	every changes in [
		[{}],
		[{"kinds": ["IPPool", "BGPPeer"]}],
		[{"operations": ["UPDATE"]}],
		[{"names": ["tor-*"]}],
		[{"names": ["*"]}],
		[{"names": ["rack-1", "tor-1"]}],
		[{"kinds": ["IPPool"]}, {"kinds": ["BGPPeer"], "operations": ["UPDATE"], "names": ["t*1"]}],
	] {
		count(_violations(_update, {"windows": [_noon], "changes": changes})) == 1
	}
}

test_fail_a_create_and_a_delete if {
	creation := object.union(_update, {"operation": "CREATE", "oldObject": null})
	deletion := object.union(_update, {"operation": "DELETE", "object": null})
	some created in _violations(creation, {"windows": [_noon]})
	startswith(created.msg, "BGPPeer tor-1 is created outside the change windows: ")
	some deleted in _violations(deletion, {"windows": [_noon]})
	startswith(deleted.msg, "BGPPeer tor-1 is deleted outside the change windows: ")
}

test_nodes_are_changed_by_their_labels_and_bgp_annotations if {
	parameters := {"windows": [_noon], "changes": [{"kinds": ["Node"]}]}
	every metadata in [
		{"labels": {"rack": "b"}},
		{"annotations": {"projectcalico.org/ASNumber": "64513"}},
		{"annotations": {"projectcalico.org/IPv4Address": "10.0.0.2/24"}},
		{"annotations": {"projectcalico.org/IPv6Address": "fd00::2/64"}},
		{"annotations": {"projectcalico.org/RouteReflectorClusterID": "244.0.0.1"}},
		{"annotations": {"projectcalico.org/labels": "{}"}},
	] {
		count(_violations(_node(metadata), parameters)) == 1
	}
	every metadata in [{}, {"annotations": {"example.org/ticket": "CHG-1"}}] {
		_violations(_node(metadata), parameters) == set()
	}
}

test_fail_an_invalid_window if {
	broken := object.union(_noon, {"schedule": "0 12 * * noday"})
	_violations(_update, {"windows": [broken]}) == {
		{
			"id": "change",
			"size": 1,
			"msg": concat("", [
				"BGPPeer tor-1 is updated outside the change windows: set the parameter windows ",
				"or approval of the policy",
			]),
			"details": {"operation": "UPDATE", "windows": [broken]},
			"objects": [{"kind": "BGPPeer", "name": "tor-1"}],
		},
		{
			"id": "parameters",
			"size": 1,
			"msg": concat("", [
				`window "0 12 * * noday" for "4h" is invalid: day of week "noday" must be a `,
				"number from 0 to 7 or a name such as mon, or a list, range or step of these; ",
				"correct the parameters of the policy",
			]),
			"details": {"problems": [concat("", [
				`window "0 12 * * noday" for "4h" is invalid: day of week "noday" must be a `,
				"number from 0 to 7 or a name such as mon, or a list, range or step of these",
			])]},
			"objects": [],
		},
	}
}

_noon := {"schedule": "0 12 * * *", "duration": "4h", "timeZone": "Europe/Berlin"}

_tickets := {"annotation": "example.org/ticket", "pattern": "CHG-[0-9]+"}

_update := {
	"operation": "UPDATE",
	"kind": "BGPPeer",
	"name": "tor-1",
	"object": {"metadata": {"name": "tor-1", "annotations": {}}, "spec": {"peerIP": "10.0.0.1", "asNumber": 65001}},
	"oldObject": {"metadata": {"name": "tor-1", "annotations": {}}, "spec": {"peerIP": "10.0.0.1", "asNumber": 65000}},
}

_node(metadata) := {
	"kind": "Node",
	"name": "node-1",
	"object": {"metadata": object.union(_plain, metadata)},
	"oldObject": {"metadata": _plain},
}

_plain := {"name": "node-1", "labels": {"rack": "a"}, "annotations": {}}

_violations(change, parameters) := found if {
	defaults := {
		"changes": [{"kinds": ["BGPConfiguration", "BGPFilter", "BGPPeer", "IPPool"]}],
		"windows": [],
		"approval": {},
	}
	found := rule.violation with input as testing.change_with(change, {}, {}, object.union(defaults, parameters))
}

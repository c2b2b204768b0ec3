package policies.lib.permission_test

import data.policies.lib.permission

test_a_window_or_an_approval_permits if {
	cases := [
		[_night, _unapproved, _no_approval, true],
		[_night, _unapproved, _tickets, true],
		[_noon, _approved, _tickets, true],
		[_noon, _approved, _no_approval, false],
		[_noon, _unapproved, _tickets, false],
	]
	every case in cases {
		_given(case[1], {"windows": [_nightly], "approval": case[2]}, case[0]) == case[3]
	}
}

test_only_an_approval_permits_where_there_is_no_window if {
	_given(_approved, {"windows": [], "approval": _tickets}, _noon)
	not permission.given(_unapproved, {"windows": [], "approval": _no_approval}, _night)
}

test_the_remedy_names_what_there_is if {
	window := "wait for the next window (Tue 2026-11-24 22:00 Europe/Berlin)"
	approval := "set the annotation example.org/ticket to a value that matches CHG-[0-9]+"
	cases := [
		[[_nightly], _tickets, sprintf("%s, or %s", [window, approval])],
		[[_nightly, _broken], _no_approval, window],
		[[_broken], _tickets, approval],
		[[], _tickets, approval],
		[[], _no_approval, "set the parameter windows or approval of the policy"],
	]
	[[windows, way, remedy] |
		some [windows, way, _] in cases
		remedy := permission.remedy(_unapproved, {"windows": windows, "approval": way}, _noon)
	] == cases
}

test_problems_are_those_of_windows_and_approvals if {
	permission.problems({"windows": [_nightly], "approval": _tickets}) == []
	permission.problems({
		"windows": [_nightly, _broken],
		"approval": {"annotation": "example.org/ticket", "pattern": "("},
	}) == [
		`window "@daily" for "6h" is invalid: a schedule has 5 fields, found 1`,
		`approval pattern "(" is not a regular expression`,
	]
}

_nightly := {"schedule": "0 22 * * *", "duration": "6h", "timeZone": "Europe/Berlin"}

_broken := {"schedule": "@daily", "duration": "6h"}

_tickets := {"annotation": "example.org/ticket", "pattern": "CHG-[0-9]+"}

_no_approval := {}

_noon := time.parse_rfc3339_ns("2026-11-24T12:00:00Z")

_night := time.parse_rfc3339_ns("2026-11-24T23:00:00Z")

_approved := {"operation": "UPDATE", "object": {"metadata": {"annotations": {"example.org/ticket": "CHG-7"}}}}

_unapproved := {"operation": "UPDATE", "object": {"metadata": {"annotations": {}}}}

_given(change, parameters, now) if {
	permission.given(change, parameters, now)
} else := false

package policies.lib.approval_test

import data.policies.lib.approval

test_the_annotation_of_what_is_sent_approves if {
	every operation in ["CREATE", "UPDATE"] {
		approval.given({"operation": operation, "object": _with("CHG-12"), "oldObject": null}, _tickets)
		not approval.given({"operation": operation, "object": _with("CHG-"), "oldObject": _with("CHG-12")}, _tickets)
	}
}

test_the_annotation_of_what_is_deleted_approves if {
	approval.given({"operation": "DELETE", "object": null, "oldObject": _with("CHG-12")}, _tickets)
	not approval.given({"operation": "DELETE", "object": null, "oldObject": {"metadata": {}}}, _tickets)
}

test_the_whole_value_has_to_match if {
	every value in ["xCHG-12", "CHG-12 is denied", "", "CHG-12\n"] {
		not approval.given({"operation": "CREATE", "object": _with(value)}, _tickets)
	}
	every value in ["a", "bb"] {
		approval.given({"operation": "CREATE", "object": _with(value)}, object.union(_tickets, {"pattern": "a|b+"}))
	}
}

test_any_value_approves_where_there_is_no_pattern if {
	approval.given({"operation": "CREATE", "object": _with("x")}, {"annotation": "example.org/ticket"})
	not approval.given({"operation": "CREATE", "object": _with("")}, {"annotation": "example.org/ticket"})
}

test_nothing_approves_without_an_annotation if {
	not approval.given({"operation": "CREATE", "object": _with("x")}, {})
}

test_an_invalid_pattern_is_reported_and_approves_nothing if {
	broken := {"annotation": "example.org/ticket", "pattern": "CHG-("}
	not approval.given({"operation": "CREATE", "object": _with("CHG-(")}, broken)
	approval.problem(broken) == `approval pattern "CHG-(" is not a regular expression`
	approval.advice(_sent, broken) == ""
	approval.problem(_tickets) == ""
}

test_advice_names_annotation_and_pattern if {
	approval.advice(_sent, _tickets) == "set the annotation example.org/ticket to a value that matches CHG-[0-9]+"
	approval.advice(_sent, {"annotation": "example.org/ticket"}) == "set the annotation example.org/ticket"
	approval.advice(_sent, {}) == ""
}

test_the_annotation_of_an_installation_approves_what_follows if {
	follows := {"operation": "UPDATE", "object": _with("x"), "oldObject": _with("x"), "installation": _with("CHG-1")}
	approval.given(follows, _tickets)
	advice := "set the annotation example.org/ticket of Installation x to a value that matches CHG-[0-9]+"
	approval.advice(follows, _tickets) == advice
	every installation in [null, _with("x")] {
		not approval.given(object.union(follows, {"installation": installation}), _tickets)
	}
}

_sent := {"operation": "UPDATE", "object": _with("x"), "oldObject": _with("x"), "installation": null}

_tickets := {"annotation": "example.org/ticket", "pattern": "CHG-[0-9]+"}

_with(value) := {"metadata": {"name": "x", "annotations": {"example.org/ticket": value}}}

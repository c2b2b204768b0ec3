# METADATA
# title: Approvals
# description: |
#   An approval is an annotation of the changed object, of a deleted one before it
#   goes, with a value that matches a pattern as a whole. It approves as long as it
#   is there: whoever sets it takes it away again.
package policies.lib.approval

# METADATA
# description: Whether the change of an object has the approval that is asked for.
given(change, approval) if {
	problem(approval) == ""
	value := _object(change).metadata.annotations[approval.annotation]
	regex.match(sprintf("^(?:%s)$", [_pattern(approval)]), value)
}

# METADATA
# description: How to have a change approved; empty where it cannot be.
advice(approval) := sprintf("set the annotation %s%s", [approval.annotation, _matching(_pattern(approval))]) if {
	approval.annotation
	problem(approval) == ""
} else := ""

# METADATA
# description: Why no change can be approved, empty where it can.
# scope: document
problem(approval) := "" if regex.is_valid(_pattern(approval))

problem(approval) := sprintf("the pattern of approvals %q is not a regular expression", [_pattern(approval)]) if {
	not regex.is_valid(_pattern(approval))
}

_pattern(approval) := object.get(approval, "pattern", _something)

_something := ".+"

_matching(pattern) := " to a value" if pattern == _something

_matching(pattern) := sprintf(" to a value that matches %s", [pattern]) if pattern != _something

_object(change) := change.oldObject if change.operation == "DELETE"

_object(change) := change.object if change.operation != "DELETE"

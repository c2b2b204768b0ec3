# METADATA
# title: Approvals
# description: |
#   An approval is an annotation of the changed object whose value matches a pattern as a
#   whole. For a delete, the object must have it before. It approves changes as long as it is
#   set: the user who sets it must remove it again. That of an Installation also approves what
#   tigera-operator writes because the Installation changes.
package policies.lib.approval

# METADATA
# description: |
#   True if the changed object has the approval, or the Installation for which
#   tigera-operator makes the change.
# scope: document
given(change, approval) if _has(_object(change), approval)

given(change, approval) if _has(change.installation, approval)

_has(holder, approval) if {
	problem(approval) == ""
	value := holder.metadata.annotations[approval.annotation]
	regex.match(sprintf("^(?:%s)$", [_pattern(approval)]), value)
}

# METADATA
# description: How to approve a change; empty if no approval is possible.
advice(change, approval) := concat("", [
	sprintf("set the annotation %s", [approval.annotation]),
	_of(change),
	_matching(_pattern(approval)),
]) if {
	approval.annotation
	problem(approval) == ""
} else := ""

_of(change) := sprintf(" of Installation %s", [name]) if {
	name := change.installation.metadata.name
} else := ""

# METADATA
# description: What is wrong with the approval parameter; empty if it is valid.
# scope: document
problem(approval) := "" if regex.is_valid(_pattern(approval))

problem(approval) := sprintf("approval pattern %q is not a regular expression", [_pattern(approval)]) if {
	not regex.is_valid(_pattern(approval))
}

_pattern(approval) := object.get(approval, "pattern", _any)

_any := ".+"

_matching(pattern) := "" if pattern == _any

_matching(pattern) := sprintf(" to a value that matches %s", [pattern]) if pattern != _any

_object(change) := change.oldObject if change.operation == "DELETE"

_object(change) := change.object if change.operation != "DELETE"

# METADATA
# title: Changes in windows
# description: |
#   The changes that are named are made inside a window only, or with an approval. As long as
#   neither windows nor the annotation of approvals are set, nothing is held back. An update that
#   leaves an object's spec as it is, and a Node's labels and BGP annotations, is none: an
#   approval can be set first and the change made then.
# related_resources:
#   - ref: https://man7.org/linux/man-pages/man5/crontab.5.html
#     description: crontab(5), the form of a schedule
# schemas:
#   - input: schema.change
# custom:
#   severity: medium
#   judges: change
#   validationActions: [Deny]
#   parameters:
#     type: object
#     additionalProperties: false
#     properties:
#       changes:
#         type: array
#         description: |
#           The changes that are held back outside windows: each entry all that have one of its kinds,
#           operations and names. What an entry leaves out, it does not ask for.
#         default:
#           - kinds: [BGPConfiguration, BGPFilter, BGPPeer, IPPool]
#         items:
#           type: object
#           additionalProperties: false
#           properties:
#             kinds:
#               type: array
#               description: Kinds of the changed object.
#               items:
#                 type: string
#                 enum: [BGPConfiguration, BGPFilter, BGPPeer, FelixConfiguration, IPPool, Node]
#             operations:
#               type: array
#               description: What is done to it.
#               items:
#                 type: string
#                 enum: [CREATE, UPDATE, DELETE]
#             names:
#               type: array
#               description: Names of the changed object; "*" stands for any characters.
#               items:
#                 type: string
#                 pattern: ^[A-Za-z0-9.*-]+$
#       windows:
#         type: array
#         description: When the changes may be made.
#         default: []
#         items:
#           type: object
#           additionalProperties: false
#           required: [schedule, duration]
#           properties:
#             schedule:
#               type: string
#               description: |
#                 When the window opens, in the five fields of crontab(5), by the clock of its time
#                 zone, for example "0 22 * * 1-5".
#               pattern: ^[0-9A-Za-z*/,-]+( [0-9A-Za-z*/,-]+){4}$
#             duration:
#               type: string
#               description: How long it stays open by that clock, for example 6h, at most 168h.
#               pattern: ^([0-9]{1,5}(\.[0-9]{1,3})?(ms|s|m|h)){1,3}$
#             timeZone:
#               type: string
#               description: The name of a time zone, for example Europe/Berlin; UTC where it is left out.
#               pattern: ^[A-Za-z][A-Za-z0-9_/+-]*$
#               format: time-zone
#       approval:
#         type: object
#         description: |
#           The annotation of the changed object that approves the change. Whoever may change the object
#           can set it: it is there for the record, and so that nothing changes by mistake.
#         default: {}
#         additionalProperties: false
#         properties:
#           annotation:
#             type: string
#             description: Its name; nothing approves where it is left out.
#             minLength: 1
#           pattern:
#             type: string
#             description: The regular expression that the whole value matches; any value where it is left out.
#             minLength: 1
#             format: regex
package policies.change_window

import data.policies.lib.permission

# METADATA
# description: A change that is made without permission.
violation contains {
	"id": "change",
	"size": 1,
	"msg": sprintf("%s %s %s is held back %s: %s", [
		_verbs[input.change.operation],
		input.change.kind,
		input.change.name,
		_where,
		permission.remedy(input.parameters, input.now),
	]),
	"details": {"operation": input.change.operation, "windows": input.parameters.windows},
	"objects": [{"kind": input.change.kind, "name": input.change.name}],
} if {
	_held_back
}

# METADATA
# description: Windows or approvals that cannot be read, where permission is missing. Its size is how many.
violation contains {
	"id": "parameters",
	"size": count(problems),
	"msg": sprintf("%s: correct the policy's parameters", [concat("; ", problems)]),
	"details": {"problems": problems},
	"objects": [],
} if {
	_held_back
	problems := permission.problems(input.parameters)
	count(problems) > 0
}

_held_back if {
	_in_force
	_named
	_changes
	not permission.given(input.change, input.parameters, input.now)
}

# Who has set neither has not said when changes may be made.
_in_force if count(input.parameters.windows) > 0

_in_force if input.parameters.approval.annotation

_named if {
	some entry in input.parameters.changes
	_has(entry, "kinds", input.change.kind)
	_has(entry, "operations", input.change.operation)
	_has_name(entry, input.change.name)
}

_has(entry, field, value) if value in object.get(entry, field, [value])

_has_name(entry, name) if {
	some pattern in object.get(entry, "names", ["*"])
	glob.match(pattern, null, name)
}

_changes if input.change.operation != "UPDATE"

_changes if {
	input.change.kind != "Node"
	object.get(input.change.object, "spec", null) != object.get(input.change.oldObject, "spec", null)
}

_changes if {
	input.change.kind == "Node"
	some path in _of_node
	object.get(input.change.object, path, null) != object.get(input.change.oldObject, path, null)
}

# What of a Node decides BGP.
_of_node := [
	["metadata", "labels"],
	["metadata", "annotations", "projectcalico.org/ASNumber"],
	["metadata", "annotations", "projectcalico.org/IPv4Address"],
	["metadata", "annotations", "projectcalico.org/IPv6Address"],
	["metadata", "annotations", "projectcalico.org/RouteReflectorClusterID"],
	["metadata", "annotations", "projectcalico.org/labels"],
]

_verbs := {"CREATE": "creating", "UPDATE": "updating", "DELETE": "deleting"}

_where := "outside windows" if count(input.parameters.windows) > 0

_where := "without an approval" if count(input.parameters.windows) == 0

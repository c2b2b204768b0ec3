# METADATA
# title: Changes in windows or with approval
# description: |
#   Finds changes of the kinds in the parameter changes that are made outside the windows
#   and without an approval. If neither windows nor an approval annotation are set, the
#   policy finds nothing.
#
#   Changes of BGP can interrupt the network of the whole cluster, so they should be made
#   when somebody is there to watch them. An update that changes neither the spec of an
#   object nor the labels and BGP annotations of a Node is always permitted, so that an
#   approval can be set before the change. What tigera-operator writes because an Installation
#   changes is part of that change: the windows and the approval of the Installation apply.
# related_resources:
#   - ref: https://github.com/bgpguard/bgpguard/blob/main/docs/policies/change-window.md
#     description: bgpguard, change-window
#   - ref: https://docs.tigera.io/calico/latest/networking/configuring/bgp
#     description: Calico, configure BGP peering
#   - ref: https://man7.org/linux/man-pages/man5/crontab.5.html
#     description: crontab(5), the format of a schedule
# schemas:
#   - input: schema.change
# custom:
#   severity: medium
#   judges: change
#   validationActions: [Deny]
#   exampleMessage: |
#     BGPPeer tor-1 is updated outside the change windows: wait for the next window (Thu 2026-01-01
#     12:00 Europe/Berlin), or set the annotation example.org/ticket to a value that matches
#     CHG-[0-9]+
#   remediation: |
#     1. Wait for the next window. The message names it.
#     2. Or approve the change: set the annotation of the parameter `approval` on the object, first or
#        in the same change. For a delete, set it first.
#     3. In an emergency, a user in `exempt` of the BGPPolicy can make the change. bgpguard records it.
#   loosens: {changes: fewer, windows: more, approval: unknown}
#   parameters:
#     type: object
#     additionalProperties: false
#     properties:
#       changes:
#         type: array
#         description: |
#           The changes that need a window or an approval. An entry matches a change of one of
#           its kinds, operations and names. A field that is unset matches every change.
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
#                 enum: [BGPConfiguration, BGPFilter, BGPPeer, FelixConfiguration, IPPool, Installation, Node]
#             operations:
#               type: array
#               description: Operations on the object.
#               items:
#                 type: string
#                 enum: [CREATE, UPDATE, DELETE]
#             names:
#               type: array
#               description: Names of the changed object; "*" matches any characters.
#               items:
#                 type: string
#                 pattern: ^[A-Za-z0-9.*-]+$
#       windows:
#         type: array
#         description: Windows in which the changes can be made.
#         default: []
#         examples:
#           - - schedule: 0 22 * * fri
#               duration: 6h
#               timeZone: Europe/Berlin
#         items:
#           type: object
#           additionalProperties: false
#           required: [schedule, duration]
#           properties:
#             schedule:
#               type: string
#               description: |
#                 When the window opens, in the five fields of crontab(5) and in the window's time
#                 zone, for example "0 22 * * 1-5".
#               pattern: ^[0-9A-Za-z*/,-]+( [0-9A-Za-z*/,-]+){4}$
#             duration:
#               type: string
#               description: How long the window stays open, for example 6h, at most 168h.
#               pattern: ^([0-9]{1,5}(\.[0-9]{1,3})?(ms|s|m|h)){1,3}$
#             timeZone:
#               type: string
#               description: Name of the time zone, for example Europe/Berlin. UTC if it is unset.
#               pattern: ^[A-Za-z][A-Za-z0-9_/+-]*$
#               format: time-zone
#       approval:
#         type: object
#         description: |
#           The annotation of the changed object that approves the change. That of an
#           Installation also approves what tigera-operator writes for it. Everybody who may
#           change the object can set it: it documents the change and prevents mistakes, but
#           it is not access control.
#         default: {}
#         additionalProperties: false
#         properties:
#           annotation:
#             type: string
#             description: Name of the annotation. If it is unset, no change can be approved.
#             minLength: 1
#           pattern:
#             type: string
#             description: Regular expression that must match the whole value. Any value if it is unset.
#             minLength: 1
#             format: regex
package policies.change_window

import data.policies.lib.permission

# METADATA
# description: A change without permission.
violation contains {
	"id": "change",
	"size": 1,
	"msg": sprintf("%s %s is %s %s: %s", [
		input.change.kind,
		input.change.name,
		_operations[input.change.operation],
		_missing,
		permission.remedy(input.change, input.parameters, input.now),
	]),
	"details": {"operation": input.change.operation, "windows": input.parameters.windows},
	"objects": [{"kind": input.change.kind, "name": input.change.name}],
} if {
	_not_permitted
}

# METADATA
# description: Invalid windows or approvals of a change without permission. The size is their number.
violation contains {
	"id": "parameters",
	"size": count(problems),
	"msg": sprintf("%s; correct the parameters of the policy", [concat("; ", problems)]),
	"details": {"problems": problems},
	"objects": [],
} if {
	_not_permitted
	problems := permission.problems(input.parameters)
	count(problems) > 0
}

_not_permitted if {
	_configured
	_listed
	_changes_bgp
	not permission.given(input.change, input.parameters, input.now)
}

# Without windows and an approval annotation, the policy is not configured.
_configured if count(input.parameters.windows) > 0

_configured if input.parameters.approval.annotation

_listed if {
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

_changes_bgp if input.change.operation != "UPDATE"

_changes_bgp if {
	input.change.kind != "Node"
	object.get(input.change.object, "spec", null) != object.get(input.change.oldObject, "spec", null)
}

_changes_bgp if {
	input.change.kind == "Node"
	some path in _node_fields
	object.get(input.change.object, path, null) != object.get(input.change.oldObject, path, null)
}

# The fields of a Node that affect BGP.
_node_fields := [
	["metadata", "labels"],
	["metadata", "annotations", "projectcalico.org/ASNumber"],
	["metadata", "annotations", "projectcalico.org/IPv4Address"],
	["metadata", "annotations", "projectcalico.org/IPv6Address"],
	["metadata", "annotations", "projectcalico.org/RouteReflectorClusterID"],
	["metadata", "annotations", "projectcalico.org/labels"],
]

_operations := {"CREATE": "created", "UPDATE": "updated", "DELETE": "deleted"}

_missing := "outside the change windows" if count(input.parameters.windows) > 0

_missing := "without an approval" if count(input.parameters.windows) == 0

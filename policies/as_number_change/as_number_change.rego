# METADATA
# title: AS number changes in windows or with approval
# description: |
#   Finds changes of the AS number of the cluster, of a node or of a peer that are made
#   outside the windows and without an approval. The AS number of the cluster is 64512 if
#   BGPConfiguration default or its asNumber is missing.
#
#   Each session with the changed AS number at one end is reset, and comes up again only
#   if the other end expects the new number. Changes that reset no session are not
#   violations. The same holds for changes from or to AS number 0, and of a peer from or
#   to no AS number: BIRD rejects them and keeps its sessions, which bird-accepts reports.
# related_resources:
#   - ref: https://github.com/bgpguard/bgpguard/blob/main/docs/policies/as-number-change.md
#     description: bgpguard, as-number-change
#   - ref: https://docs.tigera.io/calico/latest/reference/resources/bgpconfig
#     description: Calico, BGPConfiguration and the AS number of the cluster
#   - ref: https://www.rfc-editor.org/rfc/rfc4271
#     description: BGP-4, section 6.2 on peers with an unexpected AS number
# schemas:
#   - input: schema.change
# custom:
#   severity: high
#   judges: change
#   fields:
#     BGPConfiguration: [spec.asNumber]
#     BGPPeer: [spec.asNumber, spec.localASNumber]
#     Node: ["metadata.annotations[projectcalico.org/ASNumber]"]
#   eachBGPPeer: true
#   validationActions: [Warn]
#   exampleMessage: |
#     the AS number of node node-1 changes from 64512 to 65546: this resets all its sessions; set the
#     annotation policy.bgpguard.io/approval
#   remediation: |
#     1. Prepare the other end: external routers must expect the new AS number, or the sessions stay
#        down.
#     2. Wait for the next window, or approve the change: set the annotation of the parameter
#        `approval` on the changed object, first or in the same change.
#     3. Remove the annotation afterwards. It approves changes as long as it is set.
#   loosens: {windows: more, approval: unknown}
#   parameters:
#     type: object
#     additionalProperties: false
#     properties:
#       windows:
#         type: array
#         description: Windows in which AS numbers can change.
#         default: []
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
#           The annotation of the changed object that approves the change. Everybody who may
#           change the object can set it: it documents the change and prevents mistakes, but
#           it is not access control.
#         default: {annotation: policy.bgpguard.io/approval, pattern: .+}
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
package policies.as_number_change

import data.policies.lib.asn
import data.policies.lib.causes
import data.policies.lib.objects
import data.policies.lib.permission
import data.policies.lib.text

# METADATA
# description: |
#   A change of an AS number without permission. The size is the number of sessions that it
#   resets, as far as it is known.
violation contains {
	"id": "as-number",
	"size": reset.sessions,
	"msg": concat("; ", array.concat(
		[reset.message, permission.remedy(input.change, input.parameters, input.now)],
		_left(reset.from),
	)),
	"details": {"from": reset.from, "to": reset.to, "sessions": reset.sessions},
	"objects": objects.named(input.change.kind, [input.change.name], [reset.field]),
} if {
	_not_permitted
	some reset in _resets
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

# BGPPeers that name nodes with the number that they no longer have.
_left(from) := [causes.named(group) |
	input.change.kind != "BGPPeer"
	some others in input.state.otherASNumbers
	some group in others.groups
	group.asNumber == from
]

_not_permitted if {
	count(_resets) > 0
	not permission.given(input.change, input.parameters, input.now)
}

# The AS number of the cluster, which nodes without their own AS number use.
_resets contains {
	"field": "spec.asNumber",
	"from": from,
	"to": to,
	"sessions": sessions,
	"message": sprintf("the AS number of the cluster changes from %d to %d: this resets %s (%s%s)", [
		from,
		to,
		"the sessions of all nodes without their own AS number",
		sprintf("up to %s between %s", [
			text.counted(_between_nodes, "session"),
			text.counted(input.before.nodes.bgp, "node"),
		]),
		concat("", [sprintf(", %s with external peers, which must expect the new number", [text.number(_external)]) |
			_external > 0
		]),
	]),
} if {
	input.change.kind == "BGPConfiguration"
	input.change.name == "default"
	from := _number(input.change.oldObject, "asNumber", _default)
	to := _number(input.change.object, "asNumber", _default)
	_ends_sessions(from, to)
	sessions := _between_nodes + _external
	sessions > 0
}

# The AS number of one node.
_resets contains {
	"field": objects.annotation("projectcalico.org/ASNumber"),
	"from": from,
	"to": to,
	"sessions": _in_mesh,
	"message": sprintf("the AS number of node %s changes from %d to %d: this resets all its sessions%s", [
		input.change.name,
		from,
		to,
		concat("", [sprintf(", %s of them in the mesh", [text.number(_in_mesh)]) | _in_mesh > 0]),
	]),
} if {
	input.change.kind == "Node"
	input.change.operation == "UPDATE"
	_speaks_bgp(input.change.oldObject)
	_speaks_bgp(input.change.object)
	from := _number_of_node(input.change.oldObject)
	to := _number_of_node(input.change.object)
	_ends_sessions(from, to)
}

# The AS number of a peer, and the local one that nodes use with it.
_resets contains {
	"field": sprintf("spec.%s", [field]),
	"from": from,
	"to": to,
	"sessions": sessions,
	"message": sprintf("%s of BGPPeer %s changes from %s to %s: this resets %s", [
		field,
		input.change.name,
		_text(from),
		_text(to),
		text.counted(sessions, "session"),
	]),
} if {
	input.change.kind == "BGPPeer"
	input.change.operation == "UPDATE"
	_target(input.change.oldObject) == _target(input.change.object)
	_target(input.change.object) != ["", ""]
	some field in ["asNumber", "localASNumber"]
	from := _number(input.change.oldObject, field, _unset[field])
	to := _number(input.change.object, field, _unset[field])
	_ends_sessions(from, to)
	peer := input.before.bgpPeers[input.change.name]

	# Each node has one session to an external peer.
	sessions := max([peer.sessions, peer.localNodes])
	sessions > 0
}

# BIRD rejects a configuration with AS number 0 and keeps its sessions.
_ends_sessions(from, to) if {
	from != to
	not 0 in {from, to}
}

_default := 64512

# Calico configures AS number 0 for a BGPPeer without asNumber, and the node's own without localASNumber.
_unset := {"asNumber": 0, "localASNumber": null}

_number(object_, field, other) := asn.number(object.get(object_, ["spec", field], null), other) if is_object(object_)

_number(null, _, other) := other

# Calico ignores a value that is not an AS number.
_number_of_node(node) := asn.number(
	object.get(node, ["metadata", "annotations", "projectcalico.org/ASNumber"], null),
	asn.number(object.get(input.before.bgpConfigurations, ["default", "spec", "asNumber"], null), _default),
)

_speaks_bgp(node) if {
	some annotation in ["projectcalico.org/IPv4Address", "projectcalico.org/IPv6Address"]
	node.metadata.annotations[annotation] != ""
}

# Only these peers have the AS number of the BGPPeer. Nodes selected by a peerSelector have their own.
_target(peer) := [object.get(peer, ["spec", field], "") | some field in ["peerIP", "localWorkloadSelector"]]

_text(null) := "none"

_text(number) := sprintf("%d", [number]) if number != null

_between_nodes := sum([sessions.total | some sessions in input.before.sessions])

_external := sum([sessions.external | some sessions in input.before.sessions])

# The sessions of a node in the mesh are known. Route reflectors have none there.
_in_mesh := 0 if object.get(
	input.change.oldObject,
	["metadata", "annotations", "projectcalico.org/RouteReflectorClusterID"],
	"",
) != ""

else := input.before.mesh.sessionsPerNode

# METADATA
# title: Changes of AS numbers
# description: |
#   The AS number of the cluster, of a node or of a peer changes inside a window only, or with
#   an approval. Each session with another AS number on one of its sides is ended and started
#   anew, and comes up only if the other side expects the new one. Without BGPConfiguration
#   default, or without a number in it, the AS number of the cluster is 64512. A change that
#   ends no session is not held back, nor is one from or to the AS number 0, or that of a peer
#   from or to none: BIRD refuses it, as bird-accepts says, and keeps the sessions that it has.
# related_resources:
#   - ref: https://docs.tigera.io/calico/latest/reference/resources/bgpconfig
#     description: Calico, BGPConfiguration and the AS number of the cluster
#   - ref: https://www.rfc-editor.org/rfc/rfc4271
#     description: BGP-4, of which section 6.2 refuses a peer with another AS number
# schemas:
#   - input: schema.change
# custom:
#   severity: high
#   judges: change
#   validationActions: [Warn]
#   parameters:
#     type: object
#     additionalProperties: false
#     properties:
#       windows:
#         type: array
#         description: When AS numbers may be changed.
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
#         default: {annotation: policy.bgpguard.io/approval, pattern: .+}
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
package policies.as_number_change

import data.policies.lib.asn
import data.policies.lib.permission
import data.policies.lib.text

# METADATA
# description: |
#   A change of an AS number without permission. Its size is how many sessions it ends, as far
#   as it is known.
violation contains {
	"id": "as-number",
	"size": reset.sessions,
	"msg": sprintf("%s: %s", [reset.words, permission.remedy(input.parameters, input.now)]),
	"details": {"from": reset.from, "to": reset.to, "sessions": reset.sessions},
	"objects": [{"kind": input.change.kind, "name": input.change.name}],
} if {
	_held_back
	some reset in _resets
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
	count(_resets) > 0
	not permission.given(input.change, input.parameters, input.now)
}

# The AS number of the cluster, which nodes without one of their own have.
_resets contains {
	"from": from,
	"to": to,
	"sessions": sessions,
	"words": sprintf("the AS number of the cluster changes from %d to %d, which ends the sessions of all nodes %s (%s)", [
		from,
		to,
		"without one of their own",
		_of_cluster,
	]),
} if {
	input.change.kind == "BGPConfiguration"
	input.change.name == "default"
	from := _number(input.change.oldObject, "asNumber", _default)
	to := _number(input.change.object, "asNumber", _default)
	_ends_sessions(from, to)
	sessions := _between_nodes + _outside
	sessions > 0
}

# That of one node.
_resets contains {
	"from": from,
	"to": to,
	"sessions": _in_mesh,
	"words": sprintf("the AS number of node %s changes from %d to %d, which ends all its sessions%s", [
		input.change.name,
		from,
		to,
		_among_them,
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

# Those of one peer: its own, and the one that nodes show it.
_resets contains {
	"from": from,
	"to": to,
	"sessions": sessions,
	"words": sprintf("BGPPeer %s changes its %s from %s to %s, which ends %s", [
		input.change.name,
		field,
		_word(from),
		_word(to),
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

	# Of those with routers outside, each node has one.
	sessions := max([peer.sessions, peer.localNodes])
	sessions > 0
}

# BIRD takes neither 0 for an AS number nor the configuration that has it.
_ends_sessions(from, to) if {
	from != to
	not 0 in {from, to}
}

_default := 64512

# A BGPPeer without an AS number has 0 in Calico's eyes; without one to show, it shows that of the node.
_unset := {"asNumber": 0, "localASNumber": null}

_number(object_, field, other) := asn.number(object.get(object_, ["spec", field], null), other) if is_object(object_)

_number(null, _, other) := other

# What Calico does not read as a number, it takes for none.
_number_of_node(node) := asn.number(
	object.get(node, ["metadata", "annotations", "projectcalico.org/ASNumber"], null),
	asn.number(object.get(input.before.bgpConfigurations, ["default", "spec", "asNumber"], null), _default),
)

_speaks_bgp(node) if {
	some annotation in ["projectcalico.org/IPv4Address", "projectcalico.org/IPv6Address"]
	node.metadata.annotations[annotation] != ""
}

# Only these have AS numbers by the BGPPeer: what a peerSelector selects has its own.
_target(peer) := [object.get(peer, ["spec", field], "") | some field in ["peerIP", "localWorkloadSelector"]]

_word(null) := "none"

_word(number) := sprintf("%d", [number]) if number != null

_between_nodes := sum([sessions.total | some sessions in input.before.sessions])

_outside := sum([sessions.external | some sessions in input.before.sessions])

_of_cluster := sprintf("up to %s between %s%s", [
	text.counted(_between_nodes, "session"),
	text.counted(input.before.nodes.bgp, "node"),
	_with_outside,
])

_with_outside := "" if _outside == 0

_with_outside := sprintf(" and %s with peers outside, %s", [
	text.number(_outside),
	"which come up again when these expect the new number",
]) if {
	_outside > 0
}

# Those in the mesh are known, unless the node is a route reflector.
_in_mesh := 0 if object.get(
	input.change.oldObject,
	["metadata", "annotations", "projectcalico.org/RouteReflectorClusterID"],
	"",
) != ""

else := input.before.mesh.sessionsPerNode

_among_them := "" if _in_mesh == 0

_among_them := sprintf(", %s in the mesh among them", [text.number(_in_mesh)]) if _in_mesh > 0

# METADATA
# title: The same BGP timers in the whole cluster
# description: |
#   Finds BGPPeers, and the node-to-node mesh, whose graceful restart time or keepalive time
#   differs from that of the rest of the cluster, or is out of bounds. The expected value is
#   that of the parameter. Without it, restart times between nodes must be
#   nodeMeshMaxRestartTime of BGPConfiguration default. A change of nodeMeshMaxRestartTime is
#   never denied because other objects differ from it: it can be changed first, and then each
#   object. An unset timer counts as BIRD's default, 120 s for restart times and 80 s for
#   keepalive times.
#
#   If no value is configured, the policy only warns: it compares with the value that most
#   sessions between nodes have, and which value is intended is not known.
#
#   With different timers the nodes of a cluster fail differently: some drop the routes of a
#   restarting node that others keep.
# related_resources:
#   - ref: https://github.com/bgpguard/bgpguard/blob/main/docs/policies/timers-consistent.md
#     description: bgpguard, timers-consistent
#   - ref: https://docs.tigera.io/calico/latest/reference/resources/bgppeer
#     description: Calico, BGPPeer
#   - ref: https://docs.tigera.io/calico/latest/reference/resources/bgpconfig
#     description: Calico, BGPConfiguration
#   - ref: https://www.rfc-editor.org/rfc/rfc4724
#     description: Graceful restart mechanism for BGP
# schemas:
#   - input: schema.input
# custom:
#   severity: medium
#   judges: state
#   validationActions: [Deny]
#   exampleMessage: |
#     BGPPeer rack-1 has a different restart time: maxRestartTime 300s, expected 120s
#     (nodeMeshMaxRestartTime in BGPConfiguration default); set spec.maxRestartTime: 120s in it, or
#     first change nodeMeshMaxRestartTime for all
#   remediation: |
#     1. Set the timer that the message names to the value of the rest of the cluster. The message
#        names the field and the object.
#     2. To change the value for the whole cluster, first change the place that the message names, the
#        parameter of the policy or nodeMeshMaxRestartTime. Then change the objects one by one.
#     3. While the mesh is on, leave `keepaliveTime` of BGPPeers between nodes unset: the keepalive time
#        of the mesh cannot be changed.
#   loosens:
#     restartTime: unknown
#     keepaliveTime: unknown
#     minRestartTime: lower
#     maxRestartTime: higher
#     minKeepaliveTime: lower
#     maxKeepaliveTime: higher
#   parameters:
#     type: object
#     additionalProperties: false
#     properties:
#       restartTime:
#         type: string
#         description: |
#           Graceful restart time for all sessions, a duration such as 120s. If unset,
#           nodeMeshMaxRestartTime. If that is unset too, the policy warns about values that
#           differ from the most common one.
#         pattern: ^([0-9]{1,5}(\.[0-9]{1,3})?(ms|s|m|h)){1,3}$
#       keepaliveTime:
#         type: string
#         description: |
#           Keepalive time for all BGPPeers, a duration such as 80s. If unset, the policy warns
#           about values that differ from the most common one.
#         pattern: ^([0-9]{1,5}(\.[0-9]{1,3})?(ms|s|m|h)){1,3}$
#       minRestartTime:
#         type: string
#         description: Minimum graceful restart time, a duration. No minimum if unset.
#         pattern: ^([0-9]{1,5}(\.[0-9]{1,3})?(ms|s|m|h)){1,3}$
#       maxRestartTime:
#         type: string
#         description: Maximum graceful restart time, a duration. No maximum if unset.
#         pattern: ^([0-9]{1,5}(\.[0-9]{1,3})?(ms|s|m|h)){1,3}$
#       minKeepaliveTime:
#         type: string
#         description: Minimum keepalive time, a duration. No minimum if unset.
#         pattern: ^([0-9]{1,5}(\.[0-9]{1,3})?(ms|s|m|h)){1,3}$
#       maxKeepaliveTime:
#         type: string
#         description: Maximum keepalive time, a duration. No maximum if unset.
#         pattern: ^([0-9]{1,5}(\.[0-9]{1,3})?(ms|s|m|h)){1,3}$
package policies.timers_consistent

import data.policies.lib.objects
import data.policies.lib.text

# METADATA
# description: |
#   An object whose value differs from the configured one. The size is the difference in
#   seconds. A change of the object that sets the value is not denied.
violation contains object.union(setting.by, {
	"id": sprintf("%s/%s/%s", [timer, holder.kind, holder.name]),
	"size": abs(group.seconds - setting.seconds),
	"msg": sprintf("%s %s has a different %s: %s, expected %ds (%s); set spec.%s: %ds in it, or first change %s for all", [
		holder.kind,
		holder.name,
		about.noun,
		_value(holder, group.seconds, field),
		setting.seconds,
		setting.source,
		field,
		setting.seconds,
		setting.name,
	]),
	"details": {
		"timer": timer,
		"seconds": group.seconds,
		"set": holder.set,
		"setting": setting.seconds,
		"source": setting.source,
	},
	"objects": objects.named(holder.kind, [holder.name], [sprintf("spec.%s", [field])]),
}) if {
	some timer, setting in _settings
	some group in _groups[timer]
	group.scope in setting.scopes
	group.seconds != setting.seconds
	some holder in group.objects

	# The keepalive time of the mesh cannot be changed.
	about := _timers[timer]
	field := about.fields[holder.kind]
}

# METADATA
# description: |
#   Objects whose value differs from that of most sessions between nodes, if no value is
#   configured. The size is the difference in seconds, summed up over their sessions. It is
#   advisory: the value that most sessions have is only a guess at the intended one, and a
#   change for the whole cluster starts with the first object that differs.
violation contains {
	"id": timer,
	"advisory": true,
	"size": sum([off | some holder in differing; off := holder.sessions * abs(holder.seconds - most.seconds)]),
	"msg": sprintf("different %s: %ds for %s, other values for %s (%s); %s, or set the parameter %s for all", [
		sprintf("%ss between nodes", [about.noun]),
		most.seconds,
		text.counted(most.sessions, "session"),
		text.counted(sessions, "session"),
		text.list(sample, count(differing)),
		_remedy(differing, most.seconds, about.fields),
		about.parameter,
	]),
	"details": {
		"timer": timer,
		"values": sort({holder.seconds | some holder in differing}),
		"sessions": sessions,
		"setting": most.seconds,
		"settingSessions": most.sessions,
	},
	"objects": [{"kind": holder.kind, "name": holder.name, "fields": fields} |
		some holder in differing
		fields := [sprintf("spec.%s", [field]) | field := about.fields[holder.kind]]
	],
} if {
	some timer, about in _timers
	not _settings[timer]
	between_nodes := [group | some group in _groups[timer]; group.scope == "nodes"; group.sessions > 0]
	count(between_nodes) > 1
	most := _most(between_nodes, about["default"])
	differing := _differing(between_nodes, most.seconds)
	sessions := sum([holder.sessions | some holder in differing])
	sample := [sprintf("%s: %s", [_name(holder, field), _value(holder, holder.seconds, field)]) |
		some holder in array.slice(differing, 0, 3)
		field := object.get(about.fields, holder.kind, "")
	]
}

# METADATA
# description: An object whose value is out of bounds. The size is the distance in seconds.
violation contains {
	"id": sprintf("%s-bounds/%s/%s", [bound.timer, holder.kind, holder.name]),
	"size": abs(group.seconds - bound.seconds),
	"msg": sprintf("%s %s has a %s %s the %s: %s, %s %ds (parameter %s); set spec.%s: %ds or %s in it", [
		holder.kind,
		holder.name,
		_timers[bound.timer].noun,
		{"minimum": "below", "maximum": "above"}[bound.side],
		bound.side,
		_value(holder, group.seconds, field),
		bound.side,
		bound.seconds,
		bound.parameter,
		field,
		bound.seconds,
		{"minimum": "more", "maximum": "less"}[bound.side],
	]),
	"details": {
		"timer": bound.timer,
		"seconds": group.seconds,
		"set": holder.set,
		bound.side: bound.seconds,
	},
	"objects": objects.named(holder.kind, [holder.name], [sprintf("spec.%s", [field])]),
} if {
	some bound in _bounds
	some group in _groups[bound.timer]
	_beyond(bound.side, group.seconds, bound.seconds)
	some holder in group.objects
	field := _timers[bound.timer].fields[holder.kind]
}

_groups := {
	"restart-time": input.state.timers.restartTime,
	"keepalive-time": input.state.timers.keepaliveTime,
}

# The timers: BIRD's default, the fields that set the timer, and the parameters for it.
_timers := {
	"restart-time": {
		"noun": "restart time",
		"default": 120,
		"fields": {"BGPPeer": "maxRestartTime", "BGPConfiguration": "nodeMeshMaxRestartTime"},
		"parameter": "restartTime",
		"minimum": "minRestartTime",
		"maximum": "maxRestartTime",
	},
	"keepalive-time": {
		"noun": "keepalive time",
		"default": 80,
		"fields": {"BGPPeer": "keepaliveTime"},
		"parameter": "keepaliveTime",
		"minimum": "minKeepaliveTime",
		"maximum": "maxKeepaliveTime",
	},
}

# The configured value of each timer, what sets it, and the scopes of the sessions that must have it.
# External peers can have different values unless the parameter is set.
_settings[timer] := {
	"seconds": _seconds(input.parameters[about.parameter]),
	"source": sprintf("parameter %s", [about.parameter]),
	"name": sprintf("the parameter %s", [about.parameter]),
	"by": {},
	"scopes": ["nodes", "external"],
} if {
	some timer, about in _timers
}

_settings["restart-time"] := {
	"seconds": input.state.timers.nodeMeshMaxRestartTime.seconds,
	"source": "nodeMeshMaxRestartTime in BGPConfiguration default",
	"name": "nodeMeshMaxRestartTime",
	"by": {"setBy": {"kind": "BGPConfiguration", "name": "default"}},
	"scopes": ["nodes"],
} if {
	not input.parameters.restartTime
	input.state.timers.nodeMeshMaxRestartTime.set
}

_bounds contains bound if {
	some timer, about in _timers
	some side in ["minimum", "maximum"]
	seconds := _seconds(input.parameters[about[side]])
	bound := {"timer": timer, "side": side, "seconds": seconds, "parameter": about[side]}
}

_beyond("minimum", seconds, bound) if seconds < bound

_beyond("maximum", seconds, bound) if seconds > bound

# Calico rounds in the same way.
_seconds(duration) := round(time.parse_duration_ns(duration) / 1000000000)

# The value that most sessions have. In a tie it is BIRD's default, or else the smallest value, so that
# the result does not depend on an order.
_most(groups, preset) := {"seconds": _preferred(tied, preset), "sessions": sessions} if {
	sessions := max([group.sessions | some group in groups])
	tied := {group.seconds | some group in groups; group.sessions == sessions}
}

_preferred(tied, preset) := preset if preset in tied

_preferred(tied, preset) := min(tied) if not preset in tied

# The objects whose sessions have a different value, sorted by kind and name.
_differing(groups, seconds) := sort([object.union(holder, {"seconds": group.seconds}) |
	some group in groups
	group.seconds != seconds
	some holder in group.objects
	holder.sessions > 0
])

# The mesh has no field for some timers, and so no object that sets them.
_name(holder, field) := sprintf("%s %s", [holder.kind, holder.name]) if field != ""

_name(_, "") := "the mesh"

_value(holder, seconds, field) := sprintf("%s %ds", [field, seconds]) if holder.set

_value(holder, seconds, field) := sprintf("%ds by default (%s is unset)", [seconds, field]) if {
	not holder.set
	field != ""
}

_value(_, seconds, "") := sprintf("%ds, which cannot be changed", [seconds])

_remedy(holders, seconds, fields) := sprintf("set %s", [concat(" and ", assignments)]) if {
	kinds := {holder.kind | some holder in holders}
	assignments := [sprintf("spec.%s: %ds in %s", [fields[kind], seconds, _named(holders, kind)]) | some kind in kinds]
	count(assignments) == count(kinds)
}

# The value of the mesh is BIRD's default, which cannot be changed.
_remedy(holders, _, fields) := "unset spec.keepaliveTime in all BGPPeers while the mesh is on" if {
	some holder in holders
	not fields[holder.kind]
}

_named(holders, kind) := sprintf("%s %s", [kind, text.list(names, count(names))]) if {
	names := [holder.name | some holder in holders; holder.kind == kind]
}

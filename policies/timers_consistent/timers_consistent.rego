# METADATA
# title: One value for each BGP timer
# description: |
#   BGPPeers and the node-to-node mesh have the same graceful restart time and the
#   same keepalive time as the rest of the cluster. The value that all are held to
#   is, in this order, the policy's parameter; for restart times between nodes,
#   nodeMeshMaxRestartTime of BGPConfiguration default; else what most sessions
#   between nodes have. Bounds hold besides. A timer that is left out counts as
#   BIRD's default.
# related_resources:
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
#   parameters:
#     type: object
#     additionalProperties: false
#     properties:
#       restartTime:
#         type: string
#         description: The graceful restart time that all have, a duration such as 120s or 2m; any without it.
#         pattern: ^([0-9]{1,5}(\.[0-9]{1,3})?(ms|s|m|h)){1,3}$
#       keepaliveTime:
#         type: string
#         description: The keepalive time that all BGPPeers have, a duration such as 80s; any without it.
#         pattern: ^([0-9]{1,5}(\.[0-9]{1,3})?(ms|s|m|h)){1,3}$
#       minRestartTime:
#         type: string
#         description: The shortest graceful restart time, a duration; any without it.
#         pattern: ^([0-9]{1,5}(\.[0-9]{1,3})?(ms|s|m|h)){1,3}$
#       maxRestartTime:
#         type: string
#         description: The longest graceful restart time, a duration; any without it.
#         pattern: ^([0-9]{1,5}(\.[0-9]{1,3})?(ms|s|m|h)){1,3}$
#       minKeepaliveTime:
#         type: string
#         description: The shortest keepalive time, a duration; any without it.
#         pattern: ^([0-9]{1,5}(\.[0-9]{1,3})?(ms|s|m|h)){1,3}$
#       maxKeepaliveTime:
#         type: string
#         description: The longest keepalive time, a duration; any without it.
#         pattern: ^([0-9]{1,5}(\.[0-9]{1,3})?(ms|s|m|h)){1,3}$
package policies.timers_consistent

import data.policies.lib.text

# METADATA
# description: |
#   An object with another value than the one that is set for it. The size is the
#   seconds between.
violation contains {
	"id": sprintf("%s/%s/%s", [timer, holder.kind, holder.name]),
	"size": abs(group.seconds - setting.seconds),
	"msg": sprintf("%s, %s than the %ds of %s: set spec.%s: %ds in %s %s", [
		_has(holder, group.seconds, field),
		_difference(group.seconds, setting.seconds),
		setting.seconds,
		setting.source,
		field,
		setting.seconds,
		holder.kind,
		holder.name,
	]),
	"details": {
		"timer": timer,
		"seconds": group.seconds,
		"set": holder.set,
		"setting": setting.seconds,
		"source": setting.source,
	},
	"objects": [{"kind": holder.kind, "name": holder.name}],
} if {
	some timer, setting in _settings
	some group in _groups[timer]
	group.scope in setting.scopes
	group.seconds != setting.seconds
	some holder in group.objects

	# The mesh has no field for its keepalive time: nothing to hold it to.
	field := _timers[timer].fields[holder.kind]
}

# METADATA
# description: |
#   Objects with another value than most sessions between nodes have, where no
#   value is set. The size is the seconds between, for each of their sessions.
violation contains {
	"id": timer,
	"size": sum([off | some holder in differing; off := holder.sessions * abs(holder.seconds - most.seconds)]),
	"msg": sprintf("the %s of %s between nodes differs from the %ds of %s others (%s): %s, or %s %s", [
		about.noun,
		text.counted(sessions, "session"),
		most.seconds,
		text.number(most.sessions),
		text.some_of(sample, count(differing)),
		_remedy(differing, most.seconds, about.fields),
		"set the value for all as the policy's parameter",
		about.parameter,
	]),
	"details": {
		"timer": timer,
		"values": sort({holder.seconds | some holder in differing}),
		"sessions": sessions,
		"setting": most.seconds,
		"settingSessions": most.sessions,
	},
	"objects": [{"kind": holder.kind, "name": holder.name} | some holder in differing],
} if {
	some timer, about in _timers
	not _settings[timer]
	between_nodes := [group | some group in _groups[timer]; group.scope == "nodes"; group.sessions > 0]
	count(between_nodes) > 1
	most := _most(between_nodes, about.usual)
	differing := _differing(between_nodes, most.seconds)
	sessions := sum([holder.sessions | some holder in differing])
	sample := [_has(holder, holder.seconds, object.get(about.fields, holder.kind, "")) |
		some holder in array.slice(differing, 0, 3)
	]
}

# METADATA
# description: An object whose value is out of bounds. The size is the seconds beyond.
violation contains {
	"id": sprintf("%s-bounds/%s/%s", [bound.timer, holder.kind, holder.name]),
	"size": abs(group.seconds - bound.seconds),
	"msg": sprintf("%s, %s than the %s %ds of the policy's parameter %s: set spec.%s: %ds or %s in %s %s", [
		_has(holder, group.seconds, field),
		_difference(group.seconds, bound.seconds),
		bound.side,
		bound.seconds,
		bound.parameter,
		field,
		bound.seconds,
		{"minimum": "more", "maximum": "less"}[bound.side],
		holder.kind,
		holder.name,
	]),
	"details": {
		"timer": bound.timer,
		"seconds": group.seconds,
		"set": holder.set,
		bound.side: bound.seconds,
	},
	"objects": [{"kind": holder.kind, "name": holder.name}],
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

# What is known of each timer: BIRD's usual value, the fields that set it, the
# parameters that are about it.
_timers := {
	"restart-time": {
		"noun": "restart time",
		"usual": 120,
		"fields": {"BGPPeer": "maxRestartTime", "BGPConfiguration": "nodeMeshMaxRestartTime"},
		"parameter": "restartTime",
		"minimum": "minRestartTime",
		"maximum": "maxRestartTime",
	},
	"keepalive-time": {
		"noun": "keepalive time",
		"usual": 80,
		"fields": {"BGPPeer": "keepaliveTime"},
		"parameter": "keepaliveTime",
		"minimum": "minKeepaliveTime",
		"maximum": "maxKeepaliveTime",
	},
}

# The values that are set, by timer, and which sessions they are for: external
# peers have their own, unless a parameter says otherwise.
_settings[timer] := {
	"seconds": _seconds(input.parameters[about.parameter]),
	"source": sprintf("the policy's parameter %s", [about.parameter]),
	"scopes": ["nodes", "external"],
} if {
	some timer, about in _timers
}

_settings["restart-time"] := {
	"seconds": input.state.timers.nodeMeshMaxRestartTime.seconds,
	"source": "nodeMeshMaxRestartTime in BGPConfiguration default",
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

# Rounded as Calico rounds what it configures.
_seconds(duration) := round(time.parse_duration_ns(duration) / 1000000000)

# The value that most sessions have. A tie goes to BIRD's default, or else to the
# smallest, so that the answer depends on no order.
_most(groups, usual) := {"seconds": _preferred(tied, usual), "sessions": sessions} if {
	sessions := max([group.sessions | some group in groups])
	tied := {group.seconds | some group in groups; group.sessions == sessions}
}

_preferred(tied, usual) := usual if usual in tied

_preferred(tied, usual) := min(tied) if not usual in tied

# The objects with sessions of another value, sorted by kind and name.
_differing(groups, seconds) := sort([object.union(holder, {"seconds": group.seconds}) |
	some group in groups
	group.seconds != seconds
	some holder in group.objects
	holder.sessions > 0
])

_has(holder, seconds, field) := sprintf("%s %s has %s %ds", [holder.kind, holder.name, field, seconds]) if {
	holder.set
}

_has(holder, seconds, field) := sprintf("%s %s leaves %s out, so BIRD's default %ds holds", [
	holder.kind,
	holder.name,
	field,
	seconds,
]) if {
	not holder.set
	field != ""
}

_has(_, seconds, "") := sprintf("the mesh has BIRD's default %ds, which cannot be changed", [seconds])

_difference(seconds, setting) := sprintf("%ds more", [seconds - setting]) if seconds > setting

_difference(seconds, setting) := sprintf("%ds less", [setting - seconds]) if seconds < setting

_remedy(holders, seconds, fields) := sprintf("set %s", [concat(" and ", assignments)]) if {
	kinds := {holder.kind | some holder in holders}
	assignments := [sprintf("spec.%s: %ds in %s", [fields[kind], seconds, _named(holders, kind)]) | some kind in kinds]
	count(assignments) == count(kinds)
}

# Only the mesh has a kind without a field, and its value is BIRD's default.
_remedy(holders, _, fields) := "leave spec.keepaliveTime out in all BGPPeers while the mesh is on" if {
	some holder in holders
	not fields[holder.kind]
}

_named(holders, kind) := text.agree(count(names), sprintf("%s %s", [kind, names[0]]), sprintf("these %ss", [kind])) if {
	names := [holder.name | some holder in holders; holder.kind == kind]
}

# METADATA
# title: Timers consistent
# description: |
#   Graceful restart time and keepalive time match the cluster-wide setting: the
#   parameter where it is set; else, for the restart time of sessions between
#   nodes, nodeMeshMaxRestartTime of the BGPConfiguration default; else the value
#   that most sessions between nodes use. A field that is left out counts as
#   BIRD's default, 120 and 80 seconds. External peers are judged against
#   parameters only.
# related_resources:
#   - ref: https://docs.tigera.io/calico/latest/reference/resources/bgppeer
#     description: BGPPeer maxRestartTime and keepaliveTime
#   - ref: https://www.rfc-editor.org/rfc/rfc4724
#     description: Graceful restart for BGP
# custom:
#   severity: medium
#   judges: state
#   parameters:
#     type: object
#     additionalProperties: false
#     properties:
#       restartTime: &duration
#         type: string
#         pattern: '^([0-9]+(\.[0-9]+)?(h|m|s|ms))+$'
#         description: A duration such as 120s or 2m.
#       minRestartTime: *duration
#       maxRestartTime: *duration
#       keepaliveTime: *duration
#       minKeepaliveTime: *duration
#       maxKeepaliveTime: *duration
package policies.timers_consistent

import data.policies.lib.text

# METADATA
# title: A timer differs from the setting
violation contains {
	"id": sprintf("%s/%s/%s", [timer.id, obj.kind, obj.name]),
	"size": abs(group.seconds - timer.setting),
	"msg": sprintf(
		"%s is %ds (%s), but the cluster-wide setting is %ds (%s): set it to %ds, or change the setting first",
		[_name(timer, obj), group.seconds, _origin(obj, timer), timer.setting, timer.source, timer.setting],
	),
	"details": {"seconds": group.seconds, "setting": timer.setting, "source": timer.source, "sessions": obj.sessions},
	"objects": [{"kind": obj.kind, "name": obj.name}],
} if {
	some timer in _timers
	timer.source != ""
	some group in timer.groups
	group.seconds != timer.setting
	group.scope in timer.scopes
	some obj in group.objects
	_settable(timer, obj)
	not _is_setting(timer, obj)
}

# METADATA
# title: Sessions between nodes have different values
# description: The size counts the seconds off over all sessions that differ.
violation contains {
	"id": timer.id,
	"size": sum([off | some use in differing; off := use.sessions * abs(use.seconds - common)]),
	"msg": sprintf(
		"%s of %s between nodes have another %s than the %ds that most use: %s: set %s alike on all",
		[
			text.number(sessions),
			text.counted(sum([use.sessions | some use in uses]), "session"),
			timer.words,
			common,
			text.some_of([label | some use in array.slice(differing, 0, 3); label := _label(use)], count(differing)),
			timer.field,
		],
	),
	"details": {"setting": common, "sessions": sessions},
	"objects": [{"kind": use.kind, "name": use.name} | some use in differing],
} if {
	some timer in _timers
	timer.source == ""
	uses := [use |
		some group in timer.groups
		group.scope == "nodes"
		some obj in group.objects
		obj.sessions > 0
		use := object.union(obj, {"seconds": group.seconds})
	]
	count({use.seconds | some use in uses}) > 1
	common := _common(uses, timer.default)
	differing := [use | some use in uses; use.seconds != common]
	sessions := sum([use.sessions | some use in differing])
}

# METADATA
# title: A timer is out of bounds
violation contains {
	"id": sprintf("%s-bounds/%s/%s", [timer.id, obj.kind, obj.name]),
	"size": beyond,
	"msg": sprintf(
		"%s is %ds (%s), %ds beyond the bounds of %s to %s: set it to a value within them",
		[_name(timer, obj), group.seconds, _origin(obj, timer), beyond, _bound(timer.low, "0s"), _bound(timer.high, "any")],
	),
	"details": {"seconds": group.seconds, "beyond": beyond},
	"objects": [{"kind": obj.kind, "name": obj.name}],
} if {
	some timer in _timers
	some group in timer.groups
	beyond := max([0, timer.low - group.seconds, _over(group.seconds, timer.high)])
	beyond > 0
	some obj in group.objects
	_settable(timer, obj)
}

_timers := [
	{
		"id": "restart-time",
		"words": "graceful restart time",
		"field": "maxRestartTime",
		"default": 120,
		"groups": input.state.timers.restartTime,
		"setting": _restart.seconds,
		"source": _restart.source,
		"scopes": _restart.scopes,
		"low": _seconds("minRestartTime", 0),
		"high": _seconds("maxRestartTime", -1),
	},
	{
		"id": "keepalive-time",
		"words": "keepalive time",
		"field": "keepaliveTime",
		"default": 80,
		"groups": input.state.timers.keepaliveTime,
		"setting": _seconds("keepaliveTime", 0),
		"source": _parameter("keepaliveTime"),
		"scopes": ["nodes", "external"],
		"low": _seconds("minKeepaliveTime", 0),
		"high": _seconds("maxKeepaliveTime", -1),
	},
]

_restart := {
	"seconds": _seconds("restartTime", 0),
	"source": "the policy's parameter restartTime",
	"scopes": ["nodes", "external"],
} if {
	_given("restartTime")
} else := {
	"seconds": input.state.timers.nodeMeshMaxRestartTime.seconds,
	"source": "nodeMeshMaxRestartTime of BGPConfiguration default",
	"scopes": ["nodes"],
} if {
	input.state.timers.nodeMeshMaxRestartTime.set
} else := {"seconds": 0, "source": "", "scopes": []}

# The value that most sessions use; of those with equally many BIRD's default,
# or else the smallest.
_common(uses, preferred) := preferred if {
	preferred in _most(uses)
} else := min(_most(uses))

_most(uses) := {seconds |
	most := max([n | some n in _sessions(uses)])
	some seconds, n in _sessions(uses)
	n == most
}

_sessions(uses) := {seconds: n |
	some seconds in {use.seconds | some use in uses}
	n := sum([use.sessions | some use in uses; use.seconds == seconds])
}

_given(name) if input.parameters[name] != ""

_parameter(name) := sprintf("the policy's parameter %s", [name]) if _given(name)

_parameter(name) := "" if not _given(name)

_seconds(name, _) := round(time.parse_duration_ns(input.parameters[name]) / 1000000000) if _given(name)

_seconds(name, otherwise) := otherwise if not _given(name)

_over(_, -1) := 0

_over(seconds, high) := seconds - high if high >= 0

_bound(-1, otherwise) := otherwise

_bound(0, otherwise) := otherwise

_bound(seconds, _) := sprintf("%ds", [seconds]) if seconds > 0

# The mesh's keepalive time cannot be configured.
_settable(timer, _) if timer.field == "maxRestartTime"

_settable(_, obj) if obj.kind == "BGPPeer"

# nodeMeshMaxRestartTime does not differ from itself.
_is_setting(timer, obj) if {
	obj.kind == "BGPConfiguration"
	timer.source == "nodeMeshMaxRestartTime of BGPConfiguration default"
}

_name(timer, obj) := sprintf("%s of BGPPeer %s", [timer.field, obj.name]) if obj.kind == "BGPPeer"

_name(_, obj) := "nodeMeshMaxRestartTime of BGPConfiguration default" if obj.kind == "BGPConfiguration"

_label(use) := sprintf("BGPPeer %s (%ds)", [use.name, use.seconds]) if use.kind == "BGPPeer"

_label(use) := sprintf("the mesh (%ds)", [use.seconds]) if use.kind == "BGPConfiguration"

_origin(obj, _) := "as it sets it" if obj.set

_origin(obj, timer) := sprintf("BIRD's default, as it sets no %s", [timer.field]) if not obj.set

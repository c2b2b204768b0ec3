# METADATA
# title: Safe values for BGP timers
# description: |
#   Finds keepalive times that are too short or too long, and graceful restart times that are
#   shorter than a restart of calico-node or longer than BGP can carry.
#
#   With a short keepalive time the sessions of a busy node flap. With a long one, a few late
#   keepalives end a healthy session, because Calico leaves the hold time at BIRD's 240 s. A
#   short keepalive time does not detect a dead peer sooner unless an external peer asks for a
#   shorter hold time. If the restart time is too short, peers remove the routes of a node
#   before it is back.
# related_resources:
#   - ref: https://github.com/bgpguard/bgpguard/blob/main/docs/policies/timer-safety.md
#     description: bgpguard, timer-safety
#   - ref: https://docs.tigera.io/calico/latest/reference/resources/bgppeer
#     description: Calico, BGPPeer
#   - ref: https://www.rfc-editor.org/rfc/rfc4271#section-10
#     description: BGP-4, timers
#   - ref: https://www.rfc-editor.org/rfc/rfc4724#section-3
#     description: Graceful restart, the restart time has twelve bits
# schemas:
#   - input: schema.input
# custom:
#   severity: medium
#   judges: state
#   validationActions: [Warn]
#   exampleMessage: |
#     BGPPeer peer-0 has a short keepalive time: 3s, minimum 10s (parameter minKeepaliveTime);
#     sessions of a busy node can flap; set keepaliveTime: 10s or more, or add the BGPPeer to the
#     parameter fastPeers
#   remediation: |
#     1. Unset the timer to use BIRD's default (keepalive time 80 s, restart time 120 s), or set a value
#        in the range of the message.
#     2. To detect a dead external peer sooner, configure a shorter hold time on the router, and add the
#        BGPPeer to `fastPeers`.
#     3. If the policy's bounds do not fit your cluster, change `minKeepaliveTime`, `maxKeepaliveTime`
#        or `minRestartTime`.
#   loosens:
#     minKeepaliveTime: lower
#     maxKeepaliveTime: higher
#     minRestartTime: lower
#     fastPeers: more
#   parameters:
#     type: object
#     additionalProperties: false
#     properties:
#       minKeepaliveTime:
#         type: string
#         description: Minimum keepalive time, a duration such as 10s.
#         default: 10s
#         pattern: ^([0-9]{1,5}(\.[0-9]{1,3})?(ms|s|m|h)){1,3}$
#       maxKeepaliveTime:
#         type: string
#         description: |
#           Maximum keepalive time, a duration. The default is a third of BIRD's hold time, as
#           RFC 4271 suggests.
#         default: 80s
#         pattern: ^([0-9]{1,5}(\.[0-9]{1,3})?(ms|s|m|h)){1,3}$
#       minRestartTime:
#         type: string
#         description: |
#           Minimum graceful restart time, a duration: how long a restart of calico-node takes
#           until its sessions are established again.
#         default: 30s
#         pattern: ^([0-9]{1,5}(\.[0-9]{1,3})?(ms|s|m|h)){1,3}$
#       fastPeers:
#         type: array
#         description: |
#           Names of BGPPeers that can have a keepalive time below minKeepaliveTime; "*" matches
#           any characters.
#         default: []
#         items: {type: string, minLength: 1}
package policies.timer_safety

import data.policies.lib.objects
import data.policies.lib.text

# METADATA
# description: A short keepalive time. The size is the number of seconds below the minimum.
violation contains {
	"id": sprintf("keepaliveTime/short/%s/%s", [holder.kind, holder.name]),
	"size": limit - group.seconds,
	"msg": sprintf("%s has a short keepalive time: %ds, minimum %ds (parameter minKeepaliveTime); %s%s", [
		_name(holder),
		group.seconds,
		limit,
		sprintf("sessions of a busy node can flap; set keepaliveTime: %ds or more", [limit]),
		concat("", [", or add the BGPPeer to the parameter fastPeers" | holder.kind == "BGPPeer"]),
	]),
	"details": {"keepaliveTime": group.seconds, "minKeepaliveTime": limit, "sessions": holder.sessions},
	"objects": objects.named(holder.kind, [holder.name], _keepalive_fields[holder.kind]),
} if {
	limit := _seconds(input.parameters.minKeepaliveTime)
	some group in input.state.timers.keepaliveTime
	group.seconds < limit
	some holder in group.objects
	not _fast(holder)
}

# METADATA
# description: A long keepalive time. The size is the number of seconds above the maximum.
violation contains {
	"id": sprintf("keepaliveTime/long/%s/%s", [holder.kind, holder.name]),
	"size": group.seconds - limit,
	"msg": sprintf("%s has a long keepalive time: %ds, maximum %ds (parameter maxKeepaliveTime); %s; %s", [
		_name(holder),
		group.seconds,
		limit,
		"the hold time stays 240 s, so a few late keepalives end a healthy session",
		sprintf("set keepaliveTime: %ds or less", [limit]),
	]),
	"details": {"keepaliveTime": group.seconds, "maxKeepaliveTime": limit, "sessions": holder.sessions},
	"objects": objects.named(holder.kind, [holder.name], _keepalive_fields[holder.kind]),
} if {
	limit := _seconds(input.parameters.maxKeepaliveTime)
	some group in input.state.timers.keepaliveTime
	group.seconds > limit
	some holder in group.objects
}

# METADATA
# description: A short graceful restart time. The size is the number of seconds below the minimum.
violation contains {
	"id": sprintf("restartTime/short/%s/%s", [holder.kind, holder.name]),
	"size": limit - group.seconds,
	"msg": sprintf("%s has a short restart time: %ds, but a restart of calico-node takes %ds; %s; set %s: %ds or more", [
		_name(holder),
		group.seconds,
		limit,
		"peers remove the routes of a node before it is back",
		_restart_fields[holder.kind],
		limit,
	]),
	"details": {"restartTime": group.seconds, "minRestartTime": limit, "sessions": holder.sessions},
	"objects": objects.named(holder.kind, [holder.name], [sprintf("spec.%s", [_restart_fields[holder.kind]])]),
} if {
	limit := max([_seconds(input.parameters.minRestartTime), _start])
	some group in input.state.timers.restartTime
	group.seconds < limit
	some holder in group.objects
}

# METADATA
# description: A graceful restart time that BGP cannot carry. The size is the number of seconds above the maximum.
violation contains {
	"id": sprintf("restartTime/long/%s/%s", [holder.kind, holder.name]),
	"size": group.seconds - _max_restart,
	"msg": sprintf("%s has a restart time that BGP cannot carry: %ss, maximum %ss; peers read %ds; set %s: %ds or less", [
		_name(holder),
		text.number(group.seconds),
		text.number(_max_restart),
		group.seconds % (_max_restart + 1),
		_restart_fields[holder.kind],
		_max_restart,
	]),
	"details": {"restartTime": group.seconds, "maxRestartTime": _max_restart, "sessions": holder.sessions},
	"objects": objects.named(holder.kind, [holder.name], [sprintf("spec.%s", [_restart_fields[holder.kind]])]),
} if {
	some group in input.state.timers.restartTime
	group.seconds > _max_restart
	some holder in group.objects
}

# The restart time has 12 bits; BIRD sends the other bits of the number as flags.
_max_restart := 4095

# How long a start takes if every session can come up. Otherwise it takes 240 s, which other policies
# report. Without an IPPool that needs BGP, Calico usually runs without BGP.
default _start := 0

_start := input.state.convergence.start.seconds if {
	input.state.convergence.waiting.nodes == 0
	input.state.podTraffic[_].needsBGP
}

_seconds(duration) := time.parse_duration_ns(duration) / 1000000000

_fast(holder) if {
	holder.kind == "BGPPeer"
	some pattern in input.parameters.fastPeers
	glob.match(pattern, null, holder.name)
}

# The mesh has BIRD's default, which no field changes.
_keepalive_fields := {"BGPPeer": ["spec.keepaliveTime"], "BGPConfiguration": []}

_restart_fields := {"BGPPeer": "maxRestartTime", "BGPConfiguration": "nodeMeshMaxRestartTime"}

_name(holder) := sprintf("%s %s", [holder.kind, holder.name])

# METADATA
# title: Timers that neither flap nor forget
# description: |
#   Keepalive times are neither so short that a busy node's sessions flap nor so long
#   that the other side's hold timer runs out between two of them, and graceful restart
#   times are at least what a start takes and at most what BGP can carry. Calico leaves
#   the hold time at BIRD's 240 s, so a shorter keepalive time does not find a dead peer
#   any sooner unless the peer outside asks for a shorter hold time.
# related_resources:
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
#   parameters:
#     type: object
#     additionalProperties: false
#     properties:
#       minKeepaliveTime:
#         type: string
#         description: The shortest keepalive time, a duration such as 10s.
#         default: 10s
#         pattern: ^([0-9]{1,5}(\.[0-9]{1,3})?(ms|s|m|h)){1,3}$
#       maxKeepaliveTime:
#         type: string
#         description: |
#           The longest keepalive time. The default is a third of BIRD's hold time, what
#           RFC 4271 asks for.
#         default: 80s
#         pattern: ^([0-9]{1,5}(\.[0-9]{1,3})?(ms|s|m|h)){1,3}$
#       minRestartTime:
#         type: string
#         description: |
#           What a restart of calico-node takes until its sessions are up again; no
#           graceful restart time is shorter.
#         default: 30s
#         pattern: ^([0-9]{1,5}(\.[0-9]{1,3})?(ms|s|m|h)){1,3}$
#       fastPeers:
#         type: array
#         description: |
#           BGPPeers whose peers detect failures fast enough for a keepalive time below
#           minKeepaliveTime, by name; "*" stands for any characters.
#         default: []
#         items: {type: string, minLength: 1}
package policies.timer_safety

import data.policies.lib.text

# METADATA
# description: A keepalive time that is too short. Its size is the seconds that are missing.
violation contains {
	"id": sprintf("keepaliveTime/short/%s/%s", [holder.kind, holder.name]),
	"size": limit - group.seconds,
	"msg": concat("", [
		sprintf("%s has keepaliveTime %ds, below the %ds of the policy's parameter minKeepaliveTime: ", [
			_name(holder),
			group.seconds,
			limit,
		]),
		"under load BIRD sends late, and a peer with a hold time that fits so short a keepalive time ",
		"takes the session down and up again; with the hold time of 240 s that Calico has ",
		sprintf("it finds no dead peer sooner: set keepaliveTime: %ds or more%s", [limit, _or_fast(holder)]),
	]),
	"details": {"keepaliveTime": group.seconds, "minKeepaliveTime": limit, "sessions": holder.sessions},
	"objects": [_object(holder)],
} if {
	limit := _seconds(input.parameters.minKeepaliveTime)
	some group in input.state.timers.keepaliveTime
	group.seconds < limit
	some holder in group.objects
	not _fast(holder)
}

# METADATA
# description: A keepalive time that is too long. Its size is the seconds above the limit.
violation contains {
	"id": sprintf("keepaliveTime/long/%s/%s", [holder.kind, holder.name]),
	"size": group.seconds - limit,
	"msg": concat("", [
		sprintf("%s has keepaliveTime %ds, above the %ds of the policy's parameter maxKeepaliveTime: ", [
			_name(holder),
			group.seconds,
			limit,
		]),
		"the hold time stays 240 s, so a few keepalives that come late take a session down that is well: ",
		sprintf("set keepaliveTime: %ds or less", [limit]),
	]),
	"details": {"keepaliveTime": group.seconds, "maxKeepaliveTime": limit, "sessions": holder.sessions},
	"objects": [_object(holder)],
} if {
	limit := _seconds(input.parameters.maxKeepaliveTime)
	some group in input.state.timers.keepaliveTime
	group.seconds > limit
	some holder in group.objects
}

# METADATA
# description: A graceful restart time that is shorter than a start. Its size is the seconds that are missing.
violation contains {
	"id": sprintf("restartTime/short/%s/%s", [holder.kind, holder.name]),
	"size": limit - group.seconds,
	"msg": concat("", [
		sprintf("%s has a graceful restart time of %ds, below the %ds that a restart of calico-node takes: ", [
			_name(holder),
			group.seconds,
			limit,
		]),
		"its peers drop the routes of a node before it is back, and pods on it are unreachable meanwhile: ",
		sprintf("set %s: %ds or more", [_restart_fields[holder.kind], limit]),
	]),
	"details": {"restartTime": group.seconds, "minRestartTime": limit, "sessions": holder.sessions},
	"objects": [_object(holder)],
} if {
	limit := max([_seconds(input.parameters.minRestartTime), _start])
	some group in input.state.timers.restartTime
	group.seconds < limit
	some holder in group.objects
}

# METADATA
# description: A graceful restart time that BGP cannot carry. Its size is the seconds above the limit.
violation contains {
	"id": sprintf("restartTime/long/%s/%s", [holder.kind, holder.name]),
	"size": group.seconds - _carried,
	"msg": concat("", [
		sprintf("%s has a graceful restart time of %ss, above the %ss that BGP can carry: ", [
			_name(holder),
			text.number(group.seconds),
			text.number(_carried),
		]),
		sprintf("BIRD sends the rest of the number as flags, and peers read %ds: ", [group.seconds % (_carried + 1)]),
		sprintf("set %s: %ds or less", [_restart_fields[holder.kind], _carried]),
	]),
	"details": {"restartTime": group.seconds, "maxRestartTime": _carried, "sessions": holder.sessions},
	"objects": [_object(holder)],
} if {
	some group in input.state.timers.restartTime
	group.seconds > _carried
	some holder in group.objects
}

_carried := 4095

# What a start takes where every session can come up. Where one cannot, it takes
# 240 s, which other policies are about.
_start := input.state.convergence.start.seconds if input.state.convergence.waiting.nodes == 0

_start := 0 if input.state.convergence.waiting.nodes > 0

_seconds(duration) := time.parse_duration_ns(duration) / 1000000000

_fast(holder) if {
	holder.kind == "BGPPeer"
	some pattern in input.parameters.fastPeers
	glob.match(pattern, null, holder.name)
}

_or_fast(holder) := ", or name it in the policy's parameter fastPeers" if holder.kind == "BGPPeer"

_or_fast(holder) := "" if holder.kind != "BGPPeer"

_restart_fields := {"BGPPeer": "maxRestartTime", "BGPConfiguration": "nodeMeshMaxRestartTime"}

_name(holder) := sprintf("%s %s", [holder.kind, holder.name])

_object(holder) := {"kind": holder.kind, "name": holder.name}

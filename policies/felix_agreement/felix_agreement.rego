# METADATA
# title: Felix and BIRD agree on routes
# description: |
#   Finds IPPools whose routes to pods on other nodes are programmed by neither Felix nor BIRD,
#   or by both, according to programClusterRoutes of FelixConfiguration and BGPConfiguration. It
#   checks IPPools with IP-in-IP and IPPools without encapsulation. It also finds different route
#   priorities in Felix and BIRD.
#
#   If both program the routes, the routes flap. If neither does, there are none although all
#   sessions are established. With different priorities, BIRD mistakes normal routes for those of
#   pods that move. Calico does not check this. To hand routes over you change two objects, one
#   after the other: let both program the routes in between, not neither.
#
#   A FelixConfiguration `node.NODENAME`, or since v3.32 one with a nodeSelector, has precedence over
#   FelixConfiguration default on its nodes, field by field. The policy names these nodes. A
#   BGPConfiguration sets these fields for all nodes.
# related_resources:
#   - ref: https://github.com/bgpguard/bgpguard/blob/main/docs/policies/felix-agreement.md
#     description: bgpguard, felix-agreement
#   - ref: https://docs.tigera.io/calico/latest/reference/resources/bgpconfig
#     description: Calico, BGPConfiguration
#   - ref: https://docs.tigera.io/calico/latest/reference/resources/felixconfig
#     description: Calico, FelixConfiguration
# schemas:
#   - input: schema.input
# custom:
#   severity: high
#   judges: state
#   validationActions: [Warn]
#   exampleMessage: |
#     neither Felix nor BIRD programs the routes to pods on other nodes: 1 IPPool without
#     encapsulation (pool-b), programClusterRoutes is Disabled for Felix and EnabledIPIPOnly for BIRD;
#     enable it in FelixConfiguration default or in BGPConfiguration default
#   remediation: |
#     1. Decide whether Felix or BIRD programs the routes. Set `programClusterRoutes: Enabled` for it in
#        FelixConfiguration default or BGPConfiguration default.
#     2. Set `programClusterRoutes: Disabled` for the other one, after the first change is active on all
#        nodes.
#     3. Set `ipv4NormalRoutePriority` and `ipv6NormalRoutePriority` to the same values in both.
#   loosens: {agreements: fewer}
#   parameters:
#     type: object
#     additionalProperties: false
#     properties:
#       agreements:
#         type: array
#         description: |
#           What to check: somebody (Felix or BIRD programs the routes), one (not both program
#           them), priorities (route priorities are the same in both).
#         default: [somebody, one, priorities]
#         items:
#           type: string
#           enum: [somebody, one, priorities]
package policies.felix_agreement

import data.policies.lib.objects
import data.policies.lib.text

# METADATA
# description: IPPools of a class whose routes nobody programs. The size is their number.
violation contains {
	"id": sprintf("%s/nobody", [routes.class]),
	"size": count(routes.pools),
	"msg": concat("", [
		sprintf("neither Felix nor BIRD programs the routes to pods on other nodes: %s, ", [routes.listed]),
		sprintf("programClusterRoutes is %s for Felix and %s for BIRD; ", [setting.felix, setting.bird]),
		"enable it in FelixConfiguration default or in BGPConfiguration default",
	]),
	"details": {"class": routes.class, "ipPools": routes.pools, "felix": setting.felix, "bird": setting.bird},
	"objects": _objects(routes.pools),
} if {
	"somebody" in input.parameters.agreements
	some routes in _classes
	not routes.felix
	not routes.bird
	setting := input.state.clusterRoutes.setting
}

# METADATA
# description: IPPools of a class whose routes are programmed twice. The size is their number.
violation contains {
	"id": sprintf("%s/both", [routes.class]),
	"size": count(routes.pools),
	"msg": concat("", [
		sprintf("both Felix and BIRD program the routes to pods on other nodes: %s, ", [routes.listed]),
		sprintf("programClusterRoutes is %s for Felix and %s for BIRD; ", [setting.felix, setting.bird]),
		sprintf("the routes flap; %s", [_disable]),
	]),
	"details": {"class": routes.class, "ipPools": routes.pools, "felix": setting.felix, "bird": setting.bird},
	"objects": _objects(routes.pools),
} if {
	"one" in input.parameters.agreements
	some routes in _classes
	routes.felix
	routes.bird
	setting := input.state.clusterRoutes.setting
}

# METADATA
# description: |
#   Nodes with a FelixConfiguration of their own by which nobody programs the routes of a class, or
#   both do. The size is their number.
violation contains {
	"id": sprintf("%s/%s/%s", [routes.class, fault, other.setting]),
	"size": other.nodes,
	"members": [other.members],
	"msg": concat("", [
		sprintf("%s the routes to pods on other nodes on %s: %s, ", [
			who,
			text.listed(other.nodes, "node", other.sample),
			routes.listed,
		]),
		sprintf("programClusterRoutes is %s for Felix in FelixConfiguration %s and %s for BIRD; ", [
			other.setting,
			text.list(other.felixConfigurations, count(other.felixConfigurations)),
			setting.bird,
		]),
		"change it in one of them",
	]),
	"details": {
		"class": routes.class,
		"ipPools": routes.pools,
		"felix": other.setting,
		"bird": setting.bird,
		"nodes": other.nodes,
		"sample": other.sample,
	},
	"objects": array.concat(
		objects.named("FelixConfiguration", other.felixConfigurations, ["spec.programClusterRoutes"]),
		_objects(routes.pools),
	),
} if {
	some routes in _classes
	some other in input.state.clusterRoutes.otherNodes
	other.setting != null
	some fault, case in {
		"nobody": {"agreement": "somebody", "programs": false, "who": "neither Felix nor BIRD programs"},
		"both": {"agreement": "one", "programs": true, "who": "both Felix and BIRD program"},
	}
	case.agreement in input.parameters.agreements
	other[routes.class] == case.programs
	routes.bird == case.programs
	who := case.who
	setting := input.state.clusterRoutes.setting
}

# METADATA
# description: |
#   Nodes with a FelixConfiguration of their own whose route priority differs from BGPConfiguration
#   default. The size is their number.
violation contains {
	"id": sprintf("%s/%d", [field, other.priority]),
	"size": other.nodes,
	"members": [other.members],
	"msg": concat("", [
		sprintf("Felix and BIRD have different route priorities on %s: ", [text.listed(other.nodes, "node", other.sample)]),
		sprintf("%s is %d in FelixConfiguration %s and %s in BGPConfiguration default; ", [
			field,
			other.priority,
			text.list(other.felixConfigurations, count(other.felixConfigurations)),
			_text(_bird, field),
		]),
		_mistaken,
	]),
	"details": {
		"field": field,
		"felix": other.priority,
		"bird": _priority(_bird, field),
		"nodes": other.nodes,
		"sample": other.sample,
	},
	"objects": array.concat(
		objects.named("FelixConfiguration", other.felixConfigurations, [sprintf("spec.%s", [field])]),
		objects.named("BGPConfiguration", ["default"], [sprintf("spec.%s", [field])]),
	),
} if {
	"priorities" in input.parameters.agreements
	some family, field in _priorities
	some other in input.state.clusterRoutes.otherPriorities[family]
	other.priority != _priority(_bird, field)
}

# METADATA
# description: A route priority of FelixConfiguration default that differs from BGPConfiguration default.
violation contains {
	"id": sprintf("%s/%s", [felix.name, field]),
	"size": 1,
	"msg": concat("", [
		sprintf("Felix and BIRD have different route priorities: %s is %s in FelixConfiguration %s ", [
			field,
			_text(felix.spec, field),
			felix.name,
		]),
		sprintf("and %s in BGPConfiguration default; ", [_text(_bird, field)]),
		_mistaken,
	]),
	"details": {"field": field, "felix": felix_priority, "bird": bird_priority},
	"objects": array.concat(
		objects.named("FelixConfiguration", [felix.name], [sprintf("spec.%s", [field])]),
		objects.named("BGPConfiguration", ["default"], [sprintf("spec.%s", [field])]),
	),
} if {
	"priorities" in input.parameters.agreements
	some field in _priorities
	felix := input.state.felixConfigurations["default"]
	felix_priority := _priority(felix.spec, field)
	bird_priority := _priority(_bird, field)
	felix_priority != bird_priority
}

_priorities := {"IPv4": "ipv4NormalRoutePriority", "IPv6": "ipv6NormalRoutePriority"}

_bird := object.get(input.state.bgpConfigurations, ["default", "spec"], {})

_mistaken := concat("", [
	"BIRD mistakes normal routes for those of pods that move, or the reverse; ",
	"set the same value in both",
])

default _disable := "disable it in FelixConfiguration default or in BGPConfiguration default"

# Felix has the field since v3.31, BIRD since v3.32.
_disable := concat("", [
	"set programClusterRoutes: Disabled in FelixConfiguration default ",
	"(BGPConfiguration has the field since v3.32)",
]) if {
	input.state.clusterRoutes.version == "3.31"
}

# The classes with IPPools, if it is known who programs their routes.
_classes contains object.union(routes, {
	"class": class,
	"listed": sprintf("%s %s (%s)", [
		text.counted(count(routes.pools), "IPPool"),
		words,
		text.list(routes.pools, count(routes.pools)),
	]),
}) if {
	input.state.clusterRoutes.setting.felix != null
	input.state.clusterRoutes.setting.bird != null
	some class, words in {"ipip": "with IP-in-IP", "noEncap": "without encapsulation"}
	routes := input.state.clusterRoutes[class]
	count(routes.pools) > 0
}

_objects(pools) := array.concat(
	[object_ |
		some kind in ["FelixConfiguration", "BGPConfiguration"]
		some object_ in objects.named(kind, ["default"], ["spec.programClusterRoutes"])
	],
	objects.named("IPPool", pools, ["spec.vxlanMode", "spec.ipipMode"]),
)

# The default is 1024 in both (Calico v3.32).
_priority(spec, field) := value if {
	value := object.get(spec, field, null)
	value != null
} else := 1024

_text(spec, field) := sprintf("%d", [_priority(spec, field)]) if {
	object.get(spec, field, null) != null
} else := sprintf("%d (the default)", [_priority(spec, field)])

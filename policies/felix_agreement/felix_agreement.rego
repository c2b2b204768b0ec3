# METADATA
# title: Felix and BIRD agree
# description: |
#   For each class of IPPools, with IP-in-IP and without encapsulation, either Felix or BIRD
#   programs the routes to pods on other nodes, as programClusterRoutes of FelixConfiguration
#   and BGPConfiguration says: with both of them routes come and go, with neither there are
#   none while all sessions are up. And both take the same priority for a route that is as
#   usual, by which BIRD knows those of a pod that moves. Nothing in Calico checks either.
#   Handing routes over changes two objects, one after the other, so one state between does
#   not agree: let both program them for that while, not neither.
# related_resources:
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
#   parameters:
#     type: object
#     additionalProperties: false
#     properties:
#       agreements:
#         type: array
#         description: |
#           What has to hold: somebody (Felix or BIRD programs the routes), one (not both
#           of them), priorities (the same in both).
#         default: [somebody, one, priorities]
#         items:
#           type: string
#           enum: [somebody, one, priorities]
package policies.felix_agreement

import data.policies.lib.text

# METADATA
# description: A class of IPPools whose routes nobody programs. Its size is how many they are.
violation contains {
	"id": sprintf("%s/nobody", [routes.class]),
	"size": count(routes.pools),
	"msg": concat("", [
		sprintf("nobody programs the routes to pods on other nodes for %s %s (%s): ", [
			text.counted(count(routes.pools), "IPPool"),
			routes.words,
			text.some_of(array.slice(routes.pools, 0, 3), count(routes.pools)),
		]),
		sprintf("programClusterRoutes is %s for Felix and %s for BIRD; ", [setting.felix, setting.bird]),
		"have one of them program them, in FelixConfiguration default or in BGPConfiguration default",
	]),
	"details": {"class": routes.class, "ipPools": routes.pools, "felix": setting.felix, "bird": setting.bird},
	"objects": _objects(routes.pools),
} if {
	"somebody" in input.parameters.agreements
	some routes in _judged
	not routes.felix
	not routes.bird
	setting := input.state.clusterRoutes.setting
}

# METADATA
# description: A class of IPPools whose routes are programmed twice. Its size is how many they are.
violation contains {
	"id": sprintf("%s/both", [routes.class]),
	"size": count(routes.pools),
	"msg": concat("", [
		sprintf("Felix and BIRD both program the routes to pods on other nodes for %s %s (%s), ", [
			text.counted(count(routes.pools), "IPPool"),
			routes.words,
			text.some_of(array.slice(routes.pools, 0, 3), count(routes.pools)),
		]),
		sprintf("which come and go: programClusterRoutes is %s for Felix and %s for BIRD; ", [setting.felix, setting.bird]),
		_take_away,
	]),
	"details": {"class": routes.class, "ipPools": routes.pools, "felix": setting.felix, "bird": setting.bird},
	"objects": _objects(routes.pools),
} if {
	"one" in input.parameters.agreements
	some routes in _judged
	routes.felix
	routes.bird
	setting := input.state.clusterRoutes.setting
}

# METADATA
# description: A FelixConfiguration with another route priority than BGPConfiguration default.
violation contains {
	"id": sprintf("%s/%s", [felix.name, field]),
	"size": 1,
	"msg": concat("", [
		sprintf("%s is %s in FelixConfiguration %s and %s in BGPConfiguration default, ", [
			field,
			_said(felix.spec, field),
			felix.name,
			_said(bird, field),
		]),
		"so BIRD takes usual routes to pods for those of pods that move, ",
		"or the other way round: set the same in both",
	]),
	"details": {"field": field, "felix": felix_priority, "bird": bird_priority},
	"objects": [
		{"kind": "FelixConfiguration", "name": felix.name},
		{"kind": "BGPConfiguration", "name": "default"},
	],
} if {
	"priorities" in input.parameters.agreements
	some field in ["ipv4NormalRoutePriority", "ipv6NormalRoutePriority"]
	some felix in input.state.felixConfigurations
	_sets(felix, field)
	bird := object.get(input.state.bgpConfigurations, ["default", "spec"], {})
	felix_priority := _priority(felix.spec, field)
	bird_priority := _priority(bird, field)
	felix_priority != bird_priority
}

default _take_away := "take them from one of the two, in FelixConfiguration default or in BGPConfiguration default"

# Felix had the field a version before BIRD.
_take_away := concat("", [
	"set programClusterRoutes: Disabled in FelixConfiguration default, ",
	"for BIRD has no such field before v3.32",
]) if {
	input.state.clusterRoutes.version == "3.31"
}

# The classes with IPPools, if it is known who programs their routes.
_judged contains object.union(routes, {"class": class, "words": words}) if {
	input.state.clusterRoutes.setting.felix != ""
	input.state.clusterRoutes.setting.bird != ""
	some class, words in {"ipip": "with IP-in-IP", "noEncap": "without encapsulation"}
	routes := input.state.clusterRoutes[class]
	count(routes.pools) > 0
}

_objects(pools) := array.concat(
	[{"kind": "FelixConfiguration", "name": "default"}, {"kind": "BGPConfiguration", "name": "default"}],
	[{"kind": "IPPool", "name": name} | some name in pools],
)

# FelixConfigurations for single nodes count where they set the field.
_sets(felix, _) if felix.name == "default"

_sets(felix, field) if {
	startswith(felix.name, "node.")
	object.get(felix.spec, field, null) != null
}

# Both are 1024 unless they are set (Calico v3.32).
_priority(spec, field) := value if {
	value := object.get(spec, field, null)
	value != null
} else := 1024

_said(spec, field) := sprintf("%d", [_priority(spec, field)]) if {
	object.get(spec, field, null) != null
} else := sprintf("%d (the default)", [_priority(spec, field)])

# METADATA
# title: Fields that only the BGPConfiguration default has
# description: |
#   A BGPConfiguration for one node sets only what Calico reads there: the listen port,
#   the log level, communities and prefix advertisements. All else counts in
#   BGPConfiguration default alone; calicoctl refuses some of it elsewhere, a write to
#   the custom resource does not, and it is then ignored without a word.
# related_resources:
#   - ref: https://docs.tigera.io/calico/latest/reference/resources/bgpconfig
#     description: Calico, BGPConfiguration
# schemas:
#   - input: schema.input
# custom:
#   severity: medium
#   judges: state
#   validationActions: [Warn]
#   parameters:
#     type: object
#     additionalProperties: false
package policies.default_only_fields

import data.policies.lib.text

# METADATA
# description: A BGPConfiguration for one node with fields that are ignored. Its size is how many they are.
violation contains {
	"id": configuration.name,
	"size": count(fields),
	"msg": concat("", [
		sprintf("BGPConfiguration %s sets %s, which Calico reads in BGPConfiguration default only and ignores here: ", [
			configuration.name,
			concat(", ", fields),
		]),
		sprintf("remove %s here, and set %s in default if all nodes are meant", [
			text.agree(count(fields), "it", "them"),
			text.agree(count(fields), "it", "them"),
		]),
		_instead(fields, configuration.node),
	]),
	"details": {"node": configuration.node, "fields": fields},
	"objects": [{"kind": "BGPConfiguration", "name": configuration.name}],
} if {
	some configuration in input.state.bgpConfigurations
	configuration.node != ""
	fields := sort([field |
		some field in _default_only
		object.get(configuration.spec, field, null) != null
	])
	count(fields) > 0
}

# What confd looks for in the global configuration alone.
_default_only := [
	"asNumber",
	"bindMode",
	"ignoredInterfaces",
	"ipv4NormalRoutePriority",
	"ipv6NormalRoutePriority",
	"localWorkloadPeeringIPV4",
	"localWorkloadPeeringIPV6",
	"nodeMeshMaxRestartTime",
	"nodeMeshPassword",
	"nodeToNodeMeshEnabled",
	"programClusterRoutes",
	"serviceClusterIPs",
	"serviceExternalIPs",
	"serviceLoadBalancerAggregation",
	"serviceLoadBalancerIPs",
]

# An AS number of its own a node can have, in another place.
_instead(fields, node) := sprintf("; an AS number of its own node %s has by its %s", [
	node,
	"annotation projectcalico.org/ASNumber",
]) if {
	"asNumber" in fields
}

_instead(fields, _) := "" if not "asNumber" in fields

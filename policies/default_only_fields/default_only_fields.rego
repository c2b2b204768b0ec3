# METADATA
# title: Fields that only BGPConfiguration default can set
# description: |
#   Finds BGPConfigurations for a single node (node.NAME) with fields that Calico reads
#   only in BGPConfiguration default. For a single node Calico reads the listen port, the
#   log level, communities and prefix advertisements.
#
#   Calico ignores the other fields without a warning. calicoctl rejects some of them, but
#   the API server accepts them all, so the setting seems to be active and is not.
# related_resources:
#   - ref: https://github.com/bgpguard/bgpguard/blob/main/docs/policies/default-only-fields.md
#     description: bgpguard, default-only-fields
#   - ref: https://docs.tigera.io/calico/latest/reference/resources/bgpconfig
#     description: Calico, BGPConfiguration
# schemas:
#   - input: schema.input
# custom:
#   severity: medium
#   judges: state
#   validationActions: [Warn]
#   exampleMessage: |
#     BGPConfiguration node.node-1 sets fields without effect: Calico reads asNumber,
#     nodeToNodeMeshEnabled only in BGPConfiguration default; remove them here, and set them in
#     default if they are for all nodes, or the annotation projectcalico.org/ASNumber on node node-1
#   remediation: |
#     1. Remove the fields from the BGPConfiguration of the node.
#     2. If the setting is for all nodes, set it in BGPConfiguration default.
#     3. For an AS number of a single node, set the annotation `projectcalico.org/ASNumber` on its
#        Node.
#   parameters:
#     type: object
#     additionalProperties: false
package policies.default_only_fields

# METADATA
# description: A BGPConfiguration for one node with ignored fields. The size is their number.
violation contains {
	"id": configuration.name,
	"size": count(fields),
	"msg": concat("", [
		sprintf("BGPConfiguration %s sets fields without effect: ", [configuration.name]),
		sprintf("Calico reads %s only in BGPConfiguration default; ", [concat(", ", fields)]),
		"remove them here, and set them in default if they are for all nodes",
		concat("", [sprintf(", or the annotation projectcalico.org/ASNumber on node %s", [configuration.node]) |
			"asNumber" in fields
		]),
	]),
	"details": {"node": configuration.node, "fields": fields},
	"objects": [{
		"kind": "BGPConfiguration",
		"name": configuration.name,
		"fields": [sprintf("spec.%s", [field]) | some field in fields],
	}],
} if {
	some configuration in input.state.bgpConfigurations
	configuration.node != null
	fields := sort([field |
		some field in _default_only
		value := object.get(configuration.spec, field, null)
		value != null
		value != object.get(_defaults, field, null)
	])
	count(fields) > 0
}

# The values that the API server writes if a user sets none. Nobody can remove them.
_defaults := {"serviceLoadBalancerAggregation": "Enabled"}

# The fields that confd reads only in the global configuration.
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

# METADATA
# title: Objects that Typha drops
# description: |
#   Finds BGPConfigurations, BGPPeers, BGPFilters and Nodes that the API server stores and that
#   Calico's own validator rejects, for example a service range with host bits. calicoctl and
#   Calico's API server do not write such objects, but kubectl can.
#
#   Typha treats such an object as if it were deleted. Without BGPConfiguration default, for
#   example, the node-to-node mesh is on and the AS number is 64512. The Tigera operator always
#   installs Typha. Without Typha, Calico reads the object, and BIRD often rejects the value. If
#   it is not known whether Typha is installed, a change is evaluated in both readings.
# related_resources:
#   - ref: https://github.com/bgpguard/bgpguard/blob/main/docs/policies/typha-drops.md
#     description: bgpguard, typha-drops
#   - ref: https://docs.tigera.io/calico/latest/reference/typha/overview
#     description: Calico, Typha
# schemas:
#   - input: schema.input
# custom:
#   severity: critical
#   judges: state
#   validationActions: [Deny]
#   exampleMessage: |
#     Calico's validator rejects BGPConfiguration default: spec.serviceClusterIPs[0].cidr:
#     "10.96.0.1/12" has host bits: the network is 10.96.0.0/12; Typha drops it, so the node-to-node
#     mesh is on and the AS number is 64512; correct it
#   remediation: |
#     1. Correct the fields that the message names. `calicoctl apply` rejects the same values.
#     2. Write Calico's objects by calicoctl or Calico's API server, which validate them.
#   parameters:
#     type: object
#     additionalProperties: false
package policies.typha_drops

import data.policies.lib.text

# METADATA
# description: |
#   The objects of a kind that Calico's validator rejects. The size is their number. It is advisory
#   if it is not known whether Typha is installed. The other policies evaluate the state in which it
#   is, and find the harm that the loss of the objects does.
violation contains {
	"id": kind,
	"size": dropped.objects,
	"advisory": installed == null,
	"msg": concat("; ", [
		sprintf("Calico's validator rejects %s", [_rejected(kind, dropped)]),
		sprintf("Typha%s drops %s, so %s", [
			_if_unknown(installed),
			_them(dropped.objects),
			_consequence(kind, dropped.sample),
		]),
		sprintf("correct %s", [_them(dropped.objects)]),
	]),
	"details": {"kind": kind, "objects": dropped.objects, "sample": dropped.sample},
	"objects": [_at_fault(kind, item) | some item in dropped.sample],
} if {
	some kind, dropped in input.state.typha.dropped
	installed := input.state.typha.installed
}

_at_fault(kind, item) := {
	"kind": kind,
	"name": item.name,
	"fields": [rejected.field | some rejected in item.fields],
}

# One object with its first field, or several with that of the first.
_rejected(kind, {"objects": 1, "sample": [item]}) := sprintf("%s %s: %s", [kind, item.name, _reason(item)])

_rejected(kind, dropped) := sprintf("%s, of %s: %s", [
	text.listed(dropped.objects, kind, [item.name | some item in dropped.sample]),
	dropped.sample[0].name,
	_reason(dropped.sample[0]),
]) if {
	dropped.objects > 1
}

_reason(item) := sprintf("%s: %s", [item.fields[0].field, item.fields[0].message])

_them(1) := "it"

_them(objects) := "them" if objects > 1

_if_unknown(null) := ", if it is installed,"

_if_unknown(true) := ""

# What Calico does without the objects.
_consequence("BGPConfiguration", sample) := "the node-to-node mesh is on and the AS number is 64512" if {
	_default_is_in(sample)
}

_consequence("BGPConfiguration", sample) := "the settings have no effect" if not _default_is_in(sample)

_consequence("BGPPeer", _) := "the sessions of a BGPPeer that is dropped end"

_consequence("BGPFilter", _) := "routes pass that the filter rejects"

_consequence("Node", _) := concat("", [
	"the other nodes have neither sessions with the node nor routes to its pods, ",
	"not even by VXLAN or IPIP",
])

_default_is_in(sample) if {
	some item in sample
	item.name == "default"
}

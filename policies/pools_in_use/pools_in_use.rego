# METADATA
# title: IPPools whose addresses pods use stay
# description: |
#   Finds changes that take the IPPool from pods that have addresses of it: an IPPool that is
#   deleted, whose CIDR changes, or whose only use becomes LoadBalancer. Another IPPool that
#   contains the addresses keeps the routes.
#
#   Nodes pass on only routes that are in an IPPool, and Felix programs only those. Pods keep
#   their addresses without the IPPool, but lose their routes: behind route reflectors and
#   with VXLAN at once. Calico's API server also releases the blocks of the nodes before it
#   deletes an IPPool, so that a full mesh does not keep the routes either.
#
#   IPAMBlocks show which IPPools pods use. The component ipam lets bgpguard read them. If it
#   may not, the violation is advisory: it warns and never denies. The delete of an IPPool
#   with the finalizer projectcalico.org/ippool-finalizer is no violation: Calico deletes the
#   IPPool when its last address is free.
# related_resources:
#   - ref: https://github.com/bgpguard/bgpguard/blob/main/docs/policies/pools-in-use.md
#     description: bgpguard, pools-in-use
#   - ref: https://docs.tigera.io/calico/latest/networking/ipam/migrate-pools
#     description: Calico, migrate from one IP pool to another
#   - ref: https://docs.tigera.io/calico/latest/reference/resources/ippool
#     description: Calico, IPPool
# schemas:
#   - input: schema.change
# custom:
#   severity: critical
#   judges: change
#   validationActions: [Deny]
#   exampleMessage: |
#     IPPool a is deleted while pods have addresses of it: 2 IPAMBlocks would be in no IPPool, and their
#     pods would lose their routes; first disable the IPPool and recreate its pods, or create an IPPool
#     that contains its CIDR
#   remediation: |
#     1. Create the new IPPool, and disable the old one: `disabled: true` keeps the routes of its pods.
#     2. Recreate the pods that have addresses of the old IPPool, until `calicoctl ipam show
#        --show-blocks` lists none.
#     3. Delete the old IPPool.
#     4. A CIDR cannot be changed in place: an IPPool with the new CIDR is a new IPPool.
#   parameters:
#     type: object
#     additionalProperties: false
package policies.pools_in_use

import data.policies.lib.objects
import data.policies.lib.text

# METADATA
# description: |
#   Pods that lose their IPPool. The size is the number of IPAMBlocks that are in no IPPool
#   after the change.
violation contains {
	"id": sprintf("IPPool/%s", [input.change.name]),
	"size": lost,
	"msg": concat("", [
		sprintf("%s while pods have addresses of it: %s would be in no IPPool, ", [
			_change,
			text.counted(lost, "IPAMBlock"),
		]),
		"and their pods would lose their routes; first disable the IPPool and recreate its pods, ",
		"or create an IPPool that contains its CIDR",
	]),
	"details": {"ipPool": input.change.name, "allocations": "some", "blocks": lost},
	"objects": objects.named("IPPool", [input.change.name], _fields),
} if {
	input.change.kind == "IPPool"
	not _finalized
	input.before.podAddresses.known
	input.state.podAddresses.known
	lost := _without_pool(input.state) - _without_pool(input.before)
	lost > 0
}

# METADATA
# description: An IPPool that is taken from pods, if pods have addresses of it. This is not known.
violation contains {
	"id": sprintf("IPPool/%s", [input.change.name]),
	"advisory": true,
	"size": 1,
	"msg": concat("", [
		sprintf("%s, and bgpguard does not know whether pods have addresses of it: ", [_change]),
		sprintf("such pods %s; ", [_consequence]),
		"check with calicoctl ipam show --show-blocks, or let bgpguard read IPAMBlocks ",
		"(component ipam)",
	]),
	"details": {"ipPool": input.change.name, "allocations": "unknown", "blocks": 0},
	"objects": objects.named("IPPool", [input.change.name], _fields),
} if {
	input.change.kind == "IPPool"
	not _finalized
	_pool.allocations == "unknown"
	_for_pods(_pool)
	_consequence
}

_pool := input.before.ipPools[input.change.name]

_new := input.state.ipPools[input.change.name]

# What changes: undefined if it takes the IPPool from no pod.
_change := sprintf("IPPool %s is deleted", [_pool.name]) if not _new

_change := sprintf("the CIDR of IPPool %s changes from %v to %v", [_pool.name, _pool.spec.cidr, _new.spec.cidr]) if {
	_pool.spec.cidr != _new.spec.cidr
} else := sprintf("LoadBalancer becomes the only use of IPPool %s", [_pool.name]) if {
	_routed(_pool)
	not _routed(_new)
} else := sprintf("pods are no longer a use of IPPool %s", [_pool.name]) if {
	_for_pods(_pool)
	not _for_pods(_new)
}

default _fields := []

# The field that takes the IPPool from pods, if it is not deleted.
_fields := ["spec.cidr"] if {
	_new
	_pool.spec.cidr != _new.spec.cidr
} else := ["spec.allowedUses"] if {
	_new
}

_consequence := "would lose their routes" if {
	not _covered
} else := "keep their routes, but bgpguard would no longer protect them" if {
	_new
	not _for_pods(_new)
}

# An IPPool that contains all addresses of the changed one.
_covered if {
	net.cidr_is_valid(_pool.spec.cidr)
	some other in input.state.ipPools
	_routed(other)
	net.cidr_is_valid(other.spec.cidr)
	net.cidr_contains(other.spec.cidr, _pool.spec.cidr)
}

_without_pool(state) := sum([family.blocks | some family in state.podAddresses.withoutPool])

# kube-controllers removes the finalizer when the IPPool has no address left.
_finalized if {
	input.change.operation == "DELETE"
	"projectcalico.org/ippool-finalizer" in input.change.oldObject.metadata.finalizers
}

_for_pods(pool) if "Workload" in _uses(pool)

_routed(pool) if {
	some use in _uses(pool)
	use != "LoadBalancer"
}

_uses(pool) := pool.spec.allowedUses if {
	count(pool.spec.allowedUses) > 0
} else := ["Workload", "Tunnel"]

# METADATA
# title: Changes of encapsulation
# description: |
#   No change makes pod traffic depend on BGP that is not there: not the edit of an IPPool
#   from VXLAN to IP-in-IP or none, not a new IPPool without VXLAN, not the handing of routes
#   from Felix to BIRD, and the node-to-node mesh does not go off while IPPools need it. Nor
#   does a change leave routes to pods on other nodes that nobody programs.
#
#   The road from BGP to VXLAN is safe in two steps: vxlanMode CrossSubnet and ipipMode Never
#   in each IPPool, then the mesh off. How many nodes are isolated otherwise,
#   reachability-preserved says; this policy names the IPPools.
# related_resources:
#   - ref: https://docs.tigera.io/calico/latest/networking/configuring/vxlan-ipip
#     description: Calico, overlay networking
#   - ref: https://docs.tigera.io/calico/latest/reference/resources/ippool
#     description: Calico, IPPool
# schemas:
#   - input: schema.change
# custom:
#   severity: critical
#   judges: change
#   validationActions: [Deny]
#   parameters:
#     type: object
#     additionalProperties: false
#     properties:
#       externalPeers:
#         type: string
#         description: |
#           Whether peers that are not nodes of the cluster carry routes, or traffic, on
#           between the nodes that peer with them, or are to be ignored.
#         default: carry
#         enum: [carry, ignore]
package policies.encapsulation_change

import data.policies.lib.text

# METADATA
# description: IPPools that come to need BGP where it is not there. Its size is how many they are.
violation contains {
	"id": sprintf("%s/needs-bgp", [family]),
	"size": count(pools),
	"msg": concat("", [
		sprintf("with this change %s BGP for pod traffic between nodes, and %s: ", [
			_pools(pools, ["needs", "need"]),
			_missing(family),
		]),
		sprintf("have vxlanMode: CrossSubnet or Always in %s, ", [text.agree(count(pools), "it", "them")]),
		"or first give all nodes routes to each other, by BGPPeers or the node-to-node mesh",
	]),
	"details": {"family": family, "ipPools": pools},
	"objects": [{"kind": "IPPool", "name": name} | some name in pools],
} if {
	_in_use
	some family in ["IPv4", "IPv6"]
	pools := [name |
		some name in input.state.podTraffic[family].pools
		not name in input.before.podTraffic[family].pools
	]
	count(pools) > 0
	_missing(family)
}

# METADATA
# description: |
#   The mesh goes off, routes go with it, and IPPools need them. Its size is how many IPPools
#   do.
violation contains {
	"id": sprintf("%s/mesh-off", [family]),
	"size": count(pools),
	"msg": concat("", [
		sprintf("the node-to-node mesh goes off while %s BGP, ", [_pools(pools, ["still needs", "still need"])]),
		"and routes between nodes go with it: ",
		sprintf("first have vxlanMode: CrossSubnet and ipipMode: Never in %s, which %s no BGP, ", [
			text.agree(count(pools), "it", "them"),
			text.agree(count(pools), "then needs", "then need"),
		]),
		"or give all nodes routes to each other by BGPPeers; then turn the mesh off",
	]),
	"details": {"family": family, "ipPools": pools, "withoutRoute": lost},
	"objects": array.concat(
		[{"kind": "BGPConfiguration", "name": "default"}],
		[{"kind": "IPPool", "name": name} | some name in pools],
	),
} if {
	input.before.mesh.enabled
	not input.state.mesh.enabled
	some family in ["IPv4", "IPv6"]
	pools := input.state.podTraffic[family].pools
	count(pools) > 0
	lost := _reach[family].withoutRoute.pairs
	lost > _reach_before[family].withoutRoute.pairs
}

# METADATA
# description: IPPools whose routes nobody programs any more. Its size is how many they are.
violation contains {
	"id": sprintf("%s/nobody", [class]),
	"size": count(pools),
	"msg": concat("", [
		sprintf("with this change nobody programs the routes to pods on other nodes for %s: ", [_pools(pools, ["", ""])]),
		sprintf("programClusterRoutes is %s for Felix and %s for BIRD; ", [setting.felix, setting.bird]),
		"have one of them program the routes before the other stops",
	]),
	"details": {"class": class, "ipPools": pools, "felix": setting.felix, "bird": setting.bird},
	"objects": [{"kind": "IPPool", "name": name} | some name in pools],
} if {
	_in_use
	setting := input.state.clusterRoutes.setting
	some class in ["ipip", "noEncap"]
	before := _nobody(input.before.clusterRoutes)
	pools := [name |
		some name in _nobody(input.state.clusterRoutes)[class]
		not name in before[class]
	]
	count(pools) > 0
}

# Where there was no IPPool there were no pods: a cluster is being built, and what its
# objects need may come after them.
_in_use if count(input.before.ipPools) > 0

# The IPPools of each class whose routes nobody programs, as far as it is known.
_nobody(routes) := {class: pools |
	some class in ["ipip", "noEncap"]
	pools := [name |
		some name in routes[class].pools
		not routes[class].felix
		not routes[class].bird
		routes.setting.felix != ""
		routes.setting.bird != ""
	]
}

# What of BGP is not there; undefined where it is.
_missing(family) := sprintf("%s of %s of nodes %s no routes to each other", [
	text.number(missing),
	text.counted((reach.nodes * (reach.nodes - 1)) / 2, "pair"),
	text.agree(missing, "has", "have"),
]) if {
	reach := _reach[family]
	missing := reach.withoutRoute.pairs
	missing > 0
}

_missing(family) := sprintf("none of %s has an %s address for BGP", [
	text.counted(input.state.routes[family].noAddress.nodes, "node"),
	family,
]) if {
	_reach[family].nodes == 0
	input.state.routes[family].noAddress.nodes > 0
}

_reach[family] := routes[_assumed] if some family, routes in input.state.routes

_reach_before[family] := routes[_assumed] if some family, routes in input.before.routes

_assumed := {"carry": "withTransit", "ignore": "withoutTransit"}[input.parameters.externalPeers]

_pools(pools, verbs) := trim_space(sprintf("IPPool %s %s", [pools[0], verbs[0]])) if count(pools) == 1

_pools(pools, verbs) := trim_space(sprintf("%d IPPools (%s) %s", [
	count(pools),
	text.some_of(array.slice(pools, 0, 3), count(pools)),
	verbs[1],
])) if {
	count(pools) > 1
}

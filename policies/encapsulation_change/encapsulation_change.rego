# METADATA
# title: Encapsulation changes that keep pod traffic
# description: |
#   Finds changes after which pod traffic needs BGP routes that are missing, or that neither
#   Felix nor BIRD programs. Such changes are an IPPool that changes from VXLAN to IP-in-IP or
#   no encapsulation, a new IPPool without VXLAN, a node-to-node mesh that is turned off while
#   IPPools need its routes, and a new value of programClusterRoutes.
#
#   Pods of these IPPools could no longer reach pods on other nodes. What was so before the
#   change does not count: pairs of nodes that had no route, and IPPools that needed one. A new
#   IPPool has no pods, so it counts only if no IPPool of its family needed BGP before.
#
#   It warns if IPPools have no encapsulation while nodes are in different subnets and external peers
#   do not receive the routes of all nodes, for example because a BGPFilter rejects them: the network
#   between the subnets does not know these pods. A node without a mask in its address, or with
#   /32 or /128, is in no subnet with another node. It also warns if
#   IPPools use CrossSubnet and the masks of nodes differ: a node decides by the mask of its own
#   address, so it sends packets without a tunnel to nodes that answer through one.
#
#   From BGP to VXLAN, two steps are safe: first set vxlanMode: CrossSubnet and
#   ipipMode: Never in each IPPool, then turn the mesh off. This policy names the IPPools,
#   and reachability-preserved the nodes.
# related_resources:
#   - ref: https://github.com/bgpguard/bgpguard/blob/main/docs/policies/encapsulation-change.md
#     description: bgpguard, encapsulation-change
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
#   exampleMessage: |
#     the node-to-node mesh is turned off while pod traffic needs its routes: 2 IPv4 IPPools (pool-a,
#     pool-b); first set vxlanMode: CrossSubnet and ipipMode: Never in all IPPools, or connect all
#     nodes with BGPPeers
#   remediation: |
#     1. From BGP to VXLAN: set `vxlanMode: CrossSubnet` and `ipipMode: Never` in each IPPool, wait until
#        pod traffic uses VXLAN, and then turn the mesh off.
#     2. From VXLAN to BGP: first give all nodes routes to each other, by BGPPeers or the mesh. Check
#        with `bgpguard topology`, and then change the IPPools.
#     3. To hand routes over between Felix and BIRD, let both program them for a moment, not neither.
#   loosens: {transitPeers: more}
#   parameters:
#     type: object
#     additionalProperties: false
#     properties:
#       transitPeers:
#         type: array
#         description: |
#           External peers that are known to pass routes on between the nodes that peer with
#           them: names of BGPPeers, addresses, CIDRs or AS numbers. A change that makes
#           routes worse if all other external peers pass nothing on is a violation.
#         default: []
#         maxItems: 1000
#         items:
#           type: string
#           pattern: "^([0-9]+|[0-9A-Fa-f:.]+(/[0-9]+)?|[a-z0-9]([-a-z0-9.]*[a-z0-9])?)$"
package policies.encapsulation_change

import data.policies.lib.causes
import data.policies.lib.objects
import data.policies.lib.text
import data.policies.lib.transit

# METADATA
# description: |
#   IPPools that newly need missing BGP routes. The size is their number. An IPPool that
#   existed before can have pods, which lose the routes, however many pairs of nodes had none
#   before. A new IPPool has no pods: it counts only if it is the first of its family to need
#   BGP. It has no members, because each pair without a route is one for the first time.
violation contains object.union(found, transit.assumption(reading.assumes)) if {
	_in_use
	some family in ["IPv4", "IPv6"]
	before := _pools(input.before, family)
	pools := [name |
		some name in _pools(input.state, family)
		not name in before
		_counts(name, before)
	]
	count(pools) > 0
	some reading in _readings(input.state, family)
	_judged(reading, before)
	missing := _missing(reading.reach, family, pools)
	found := {
		"id": sprintf("%s/needs-bgp", [family]),
		"size": count(pools),
		"msg": concat("", [
			sprintf("pod traffic would need BGP routes that are missing: %s, and %s; ", [
				text.listed(count(pools), sprintf("%s IPPool", [family]), pools),
				missing,
			]),
			_connect,
			_transit(reading),
		]),
		"details": {"family": family, "ipPools": pools},
		"objects": objects.named("IPPool", pools, _encapsulation),
	}
}

# METADATA
# description: |
#   A mesh that is turned off although IPPools need its routes. The size is the number of
#   these IPPools. The members are the pairs without a route: the violation counts if pairs
#   lose theirs.
violation contains object.union(found, transit.assumption(reading.assumes)) if {
	input.before.mesh.enabled
	not input.state.mesh.enabled
	some family in ["IPv4", "IPv6"]
	pools := _pools(input.state, family)
	count(pools) > 0
	some reading in _readings(input.state, family)
	lost := reading.reach.withoutRoute.pairs
	lost > 0
	found := {
		"id": sprintf("%s/mesh-off", [family]),
		"size": count(pools),
		"members": [reading.reach.isolated.members, reading.reach.withoutRoute.members],
		"msg": concat("", [
			_off.what,
			" while pod traffic needs its routes: ",
			text.listed(count(pools), sprintf("%s IPPool", [family]), pools),
			_off.instead,
			_transit(reading),
		]),
		"details": {"family": family, "ipPools": pools, "withoutRoute": lost},
		"objects": array.concat(
			_off.objects,
			objects.named("IPPool", pools, _encapsulation),
		),
	}
}

# METADATA
# description: |
#   IPPools whose routes are no longer programmed. The size is their number. A new IPPool
#   counts only if it is the first of its class.
violation contains {
	"id": sprintf("%s/nobody", [class]),
	"size": count(pools),
	"msg": concat("", [
		"neither Felix nor BIRD would program the routes to pods on other nodes: ",
		text.listed(count(pools), "IPPool", pools),
		sprintf(", programClusterRoutes is %s for Felix and %s for BIRD; ", [setting.felix, setting.bird]),
		_enable,
	]),
	"details": {"class": class, "ipPools": pools, "felix": setting.felix, "bird": setting.bird},
	"objects": array.concat(
		_programming,
		objects.named("IPPool", pools, _encapsulation),
	),
} if {
	_in_use
	setting := input.state.clusterRoutes.setting
	some class in ["ipip", "noEncap"]
	before := _nobody(input.before.clusterRoutes)
	pools := [name |
		some name in _nobody(input.state.clusterRoutes)[class]
		not name in before[class]
		_counts(name, before[class])
	]
	count(pools) > 0
}

# METADATA
# description: |
#   IPPools without encapsulation whose packets newly need the help of routers: pairs of nodes are in
#   different subnets, by the masks of their addresses. Calico then sends packets to pods in another subnet to the
#   default gateway. The size is the number of IPPools. It is advisory, because routers may know the
#   pods by other means than BGP. By BGP, external peers know those whose routes they receive.
violation contains {
	"id": sprintf("%s/subnets", [family]),
	"size": count(pools),
	"advisory": true,
	"msg": concat("", [
		"no encapsulation between different subnets: ",
		text.listed(count(pools), sprintf("%s IPPool", [family]), pools),
		", ",
		sprintf("and the nodes of %s of %s are in different subnets (%s), so routers ", [
			text.number(_routed_pairs(subnets)),
			text.counted(_pairs(subnets), "node pair"),
			concat(", ", _sample(subnets)),
		]),
		"between them must know the addresses of pods, but no external peer receives the routes of ",
		text.listed(most.nodes, "node", most.sample),
		"; use vxlanMode: CrossSubnet or ipipMode: CrossSubnet, or give the routers the routes of all nodes: ",
		"with BGPPeers, and without a BGPFilter that rejects them or disableBGPExport",
	]),
	"details": {
		"family": family,
		"ipPools": pools,
		"subnets": subnets.subnets,
		"sample": subnets.sample,
		"pairs": _routed_pairs(subnets),
		"unadvertised": most.nodes,
	},
	"objects": objects.named("IPPool", pools, _encapsulation),
} if {
	_in_use
	some family in ["IPv4", "IPv6"]
	before := _routed(input.before, family)
	after := _routed(input.state, family)
	pools := [name |
		some name, _ in after
		not before[name]
		_counts(name, object.keys(before))
	]
	count(pools) > 0
	subnets := input.state.addresses[family].subnets
	number := max([after[name].nodes | some name in pools])
	most := [after[name] | some name in pools; after[name].nodes == number][0]
}

# METADATA
# description: |
#   IPPools with CrossSubnet while masks differ: nodes have addresses of other nodes in their subnet, and
#   these have a narrower subnet. The size is the number of nodes with the wider subnet. It is advisory,
#   because packets arrive both ways if all these nodes are on one link.
violation contains {
	"id": sprintf("%s/masks", [family]),
	"size": wider.nodes,
	"advisory": true,
	"msg": concat("", [
		"CrossSubnet with masks that differ: ",
		text.listed(count(pools), sprintf("%s IPPool", [family]), pools),
		", ",
		sprintf("and the subnet of %s contains nodes with a narrower subnet, in %s; ", [
			text.listed(wider.nodes, "node", wider.sample),
			text.counted(subnets.uneven, "node pair"),
		]),
		"packets to pods on these nodes have no tunnel, and are lost unless both nodes are on one link; ",
		"give all nodes on one link the same mask, in the addresses of their Nodes",
	]),
	"details": {"family": family, "ipPools": pools, "pairs": subnets.uneven, "nodes": wider.nodes},
	"objects": objects.named("IPPool", pools, _encapsulation),
} if {
	_in_use
	some family in ["IPv4", "IPv6"]
	pools := _cross_subnet(input.state, family)
	count(pools) > 0
	subnets := input.state.addresses[family].subnets
	wider := subnets.wider
	wider.nodes > _wider_before(family)
}

_wider_before(family) := 0 if count(_cross_subnet(input.before, family)) == 0

_wider_before(family) := input.before.addresses[family].subnets.wider.nodes if {
	count(_cross_subnet(input.before, family)) > 0
}

_cross_subnet(state, family) := [name |
	some name, pool in state.ipPools
	pool.family == family
	"CrossSubnet" in {object.get(pool.spec, mode, "") | some mode in ["ipipMode", "vxlanMode"]}
]

_routed_pairs(subnets) := subnets.different + subnets.uneven

_pairs(subnets) := subnets.same + _routed_pairs(subnets)

_sample(subnets) := subnets.sample if subnets.subnets == count(subnets.sample)

_sample(subnets) := array.concat(subnets.sample, ["..."]) if subnets.subnets > count(subnets.sample)

# The IPPools without encapsulation to whose pods external peers do not receive the routes of all nodes,
# while nodes are in different subnets.
_routed(state, family) := {pool.ipPool: pool |
	some pool in state.addresses[family].subnets.unadvertised
	pool.ipPool in state.clusterRoutes.noEncap.pools
}

_encapsulation := ["spec.vxlanMode", "spec.ipipMode"]

# A new IPPool has no pods, and changes nothing where others had the same need before.
_counts(name, _) if input.before.ipPools[name]

_counts(_, before) if count(before) == 0

# Without IPPools there were no pods: the cluster is being set up, and its objects can be created in
# any order.
_in_use if count(input.before.ipPools) > 0

# The IPPools of each class whose routes neither Felix nor BIRD programs, if this is known.
_nobody(routes) := {class: pools |
	some class in ["ipip", "noEncap"]
	pools := [name |
		some name in routes[class].pools
		not routes[class].felix
		not routes[class].bird
		routes.setting.felix != null
		routes.setting.bird != null
	]
}

# The IPPools that need BGP, also those that are disabled and may hold addresses of pods.
_pools(state, family) := array.concat(
	state.podTraffic[family].pools,
	state.podTraffic[family].disabledPools,
)

_readings(state, family) := transit.readings(state.routes[family], input.parameters.transitPeers)

# Where IPPools already depend on external peers, one more changes nothing.
_judged(reading, _) if reading.assumes == []

_judged(_, []) := true

_transit(reading) := "" if reading.assumes == []

_transit(reading) := concat("", [
	", or name the external peers that pass routes on between nodes ",
	"in the parameter transitPeers",
]) if {
	reading.assumes != []
}

# The missing routes in a family; undefined if there are none.
_missing(reach, _, _) := sprintf("%s of %s without routes", [
	text.number(missing),
	text.counted((reach.nodes * (reach.nodes - 1)) / 2, "node pair"),
]) if {
	missing := reach.withoutRoute.pairs
	missing > 0
}

# The first IPPool of a family can be created before nodes have addresses in it: no pod has one yet.
_missing(reach, family, pools) := sprintf("%s without an %s address for BGP", [
	text.counted(without, "node"),
	family,
]) if {
	reach.nodes == 0
	some name in pools
	input.before.ipPools[name]
	without := input.state.routes[family].noAddress.nodes
	without > 0
}

_connect := concat("", [
	"use vxlanMode: CrossSubnet or Always, ",
	"or first give all nodes routes to each other, by BGPPeers or the node-to-node mesh",
]) if {
	input.state.bgp.enabled
} else := concat("", [
	"use vxlanMode: CrossSubnet or Always, ",
	sprintf("or first set spec.calicoNetwork.bgp: Enabled in Installation %s", [input.state.bgp.installation]),
])

# What turns the mesh off, and what to do first.
_off := {
	"what": "the node-to-node mesh is turned off",
	"instead": concat("", [
		"; first set vxlanMode: CrossSubnet and ipipMode: Never in all IPPools, ",
		"or connect all nodes with BGPPeers",
	]),
	"objects": [objects.mesh],
} if {
	input.state.bgp.enabled
} else := {
	"what": sprintf("Installation %s turns BGP off", [input.state.bgp.installation]),
	"instead": "; first set vxlanMode: CrossSubnet and ipipMode: Never in all IPPools",
	"objects": causes.disabling(input.state.bgp),
}

_enable := "enable one of them before you disable the other" if input.state.bgp.enabled

_enable := concat("", [
	"set programClusterRoutes: Enabled in FelixConfiguration default ",
	sprintf("before Installation %s ends BIRD", [input.state.bgp.installation]),
]) if {
	not input.state.bgp.enabled
}

_programming := [object_ |
	some kind in ["FelixConfiguration", "BGPConfiguration"]
	some object_ in objects.named(kind, ["default"], ["spec.programClusterRoutes"])
] if {
	input.state.bgp.enabled
} else := array.concat(
	causes.disabling(input.state.bgp),
	objects.named("FelixConfiguration", ["default"], ["spec.programClusterRoutes"]),
)

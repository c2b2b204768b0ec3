# METADATA
# title: Routes between all nodes
# description: |
#   Finds isolated nodes and pairs of nodes without routes to each other's pods, in each
#   address family in which pod traffic between nodes needs BGP. It also finds IPPools
#   that Calico does not export to BGP although they need it, nodes without an
#   address for BGP, and ranges of addresses of Services that contain addresses of nodes or pods,
#   so that other nodes drop packets to pods.
#
#   Pods on nodes without routes cannot reach each other. BGPFilters, AS paths and well-known
#   communities decide which routes pass a session. Objects do not show whether
#   external peers pass routes on between nodes. A change must make nothing worse if all
#   of them do, and if only those in the parameter transitPeers do. It also warns if a change
#   makes routes worse if all of them do and keep the AS numbers of nodes in AS paths and, over
#   eBGP, set their own address as next hop: they do not unpack the IPIP tunnels of BIRD.
#
#   Up to Calico v3.32, BIRD opens sessions of the node-to-node mesh between different AS numbers
#   only between nodes on one link. Nodes whose addresses have no mask, /32 or /128 may be on one or
#   not. A change must make nothing worse in both cases. The same holds for the need of a link if
#   the version of Calico is not known.
#
#   If bgpguard reads IPAMBlocks, a node needs routes only to the blocks in which pods of other nodes have
#   addresses. A change that makes only routes to new blocks in other parts of the IPPools worse is a warning.
#   If it does not, each node needs routes to all parts of the IPPools from every other node.
# related_resources:
#   - ref: https://github.com/bgpguard/bgpguard/blob/main/docs/policies/reachability-preserved.md
#     description: bgpguard, reachability-preserved
#   - ref: https://docs.tigera.io/calico/latest/networking/configuring/bgp
#     description: Calico, full mesh and route reflectors
#   - ref: https://www.rfc-editor.org/rfc/rfc4456
#     description: BGP route reflection, an alternative to full mesh
#   - ref: https://docs.tigera.io/calico/latest/reference/resources/ippool
#     description: Calico, IPPool
# schemas:
#   - input: schema.input
# custom:
#   severity: critical
#   judges: state
#   validationActions: [Deny]
#   exampleMessage: |
#     isolated nodes: 2 of 10 nodes (node-8, node-9) cannot exchange IPv4 pod traffic with other
#     nodes; connect them to other nodes with a BGPPeer, for example to route reflectors, or turn the
#     node-to-node mesh on
#   remediation: |
#     1. Read in the denial what the change does: which selectors match fewer nodes, and which sessions
#        disappear.
#     2. Make the change in the safe order: add the new sessions first, wait until they are
#        established, and then remove the old ones.
#     3. Isolated nodes need a BGPPeer that connects them to route reflectors, or the node-to-node
#        mesh. The mesh does not include route reflectors.
#     4. Pairs of nodes without routes often have different route reflectors. Connect the route
#        reflectors to each other, and give redundant route reflectors different cluster IDs if one
#        must pass routes on to the clients of another.
#     5. Read the rules of the BGPFilters in the BGPPeers: none may reject prefixes of the IPPools between
#        nodes. Nodes of one AS behind external peers need `numAllowedLocalASNumbers: 1`, or external peers that
#        replace AS numbers: then set `asOverride`.
#     6. Keep addresses of nodes and IPPools out of serviceClusterIPs, serviceExternalIPs and
#        serviceLoadBalancerIPs. BIRD resolves the next hop of a route by the longest prefix, and has a route
#        to each range. It programs no learned route inside a range.
#     7. If nodes in the mesh need different AS numbers and have addresses with /32 or /128, upgrade Calico to
#        v3.33 or replace the mesh by BGPPeers first. If the nodes are on one link, write the masks of their
#        interfaces into the addresses.
#     8. If external peers pass routes on between nodes, such as top-of-rack switches, name them in
#        `transitPeers`. If the IPPools need no BGP, set `vxlanMode: Always` or `CrossSubnet`.
#   loosens: {transitPeers: more, asOverride: true}
#   parameters:
#     type: object
#     additionalProperties: false
#     properties:
#       asOverride:
#         type: boolean
#         description: |
#           External peers replace or remove the AS numbers of nodes in AS paths, so that nodes
#           of one AS accept routes of each other through them, and keep next hops. If it is
#           false, bgpguard warns of a change that makes routes worse if they do neither.
#         default: false
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
package policies.reachability_preserved

import data.policies.lib.causes
import data.policies.lib.objects
import data.policies.lib.text
import data.policies.lib.transit

# METADATA
# description: |
#   An address family in which nodes have no routes to each other's pods. The size is the
#   number of pairs of such nodes. Isolated nodes are part of this violation and have no
#   violation of their own: otherwise connecting some of them to each other, the first
#   step of a fix, would make a new violation. It is advisory if external peers keep AS paths:
#   many replace AS numbers.
violation contains object.union_n([
	_without_route(family, reading),
	_advice(reading),
	transit.assumption(array.concat(reading.assumes, need.assumes)),
]) if {
	some family, needs in _needs
	some need in needs
	some reading in _readings(family)
	reading.reach.nodes > 1 # A single node needs no routes.
	reading.reach.withoutRoute.pairs > 0
}

# METADATA
# description: |
#   Pairs of nodes that have the routes to each other's pods, and would lack them if IPAM allocated new blocks
#   in all parts of the IPPools. The size is the number of pairs without routes then. It is advisory: IPAMBlocks
#   show that no pod lacks routes now. It exists only if IPAMBlocks show in which parts of the IPPools nodes have pods.
violation contains object.union_n([
	_without_route_to_new_blocks(family, reading.reach),
	{"advisory": true},
	transit.assumption(array.concat(reading.assumes, need.assumes)),
]) if {
	some family, needs in _needs
	some need in needs
	some reading in _readings(family)
	reading.reach.nodes > 1
	reading.reach.newBlocks.pairs > reading.reach.withoutRoute.pairs
}

# METADATA
# description: |
#   IPPools with pods to which nodes export no routes: disableBGPExport of an IPPool that contains them
#   applies, and no BGPFilter accepts them. The size is their number.
violation contains object.union(found, transit.assumption(need.assumes)) if {
	some family, needs in _needs
	some need in needs
	input.state.routes[family].withTransit.nodes > 1
	pools := [name | some name in input.state.routes[family].notExported; name in need.pools]
	count(pools) > 0
	setting := input.state.routes[family].exportDisabledBy
	found := {
		"id": sprintf("%s/not-exported", [family]),
		"size": count(pools),
		"msg": concat("", [
			sprintf("no %s routes to the pods of %s: ", [family, text.listed(count(pools), "IPPool", pools)]),
			_disable(pools, setting),
			" applies and no BGPFilter accepts them, but pod traffic between nodes needs BGP; ",
			"set disableBGPExport: false, or vxlanMode: Always with ipipMode: Never",
		]),
		"details": {"family": family, "ipPools": pools, "disabledBy": setting},
		"objects": objects.named("IPPool", setting, ["spec.disableBGPExport"]),
	}
}

# METADATA
# description: |
#   Nodes that get no session in a family because they have no address in it. The size is
#   their number. The violation also exists if no node has an address, so that adding
#   addresses to one node after the other makes it smaller from the start. It is there to
#   deny a change that removes an address.
violation contains object.union(found, transit.assumption(need.assumes)) if {
	some family, needs in _needs
	some need in needs
	_wanted(family, need)
	missing := input.state.routes[family].noAddress
	missing.nodes > 0
	found := {
		"id": sprintf("%s/no-address", [family]),
		"size": missing.nodes,
		"members": [missing.members],
		"msg": concat("", [
			sprintf("no %s address for BGP: %s cannot have sessions; ", [
				family,
				text.listed_of(missing.nodes, input.state.nodes.total, "node", missing.sample),
			]),
			sprintf("set the annotation projectcalico.org/%sAddress to the node's address, as calico-node does", [family]),
		]),
		"details": {"family": family, "nodes": missing.nodes, "sample": missing.sample},
		"objects": objects.named("Node", missing.sample, [objects.annotation(_address_annotation(family))]),
	}
}

# METADATA
# description: |
#   Nodes whose address other nodes resolve, as a next hop, through a route to a range of addresses of
#   Services. The size is their number.
violation contains object.union(found, transit.assumption(need.assumes)) if {
	_bgp.enabled
	some family, needs in _needs
	some need in needs
	some range in input.state.serviceRanges[family]
	nodes := range.nextHops
	nodes.nodes > 0
	found := {
		"id": sprintf("%s/next-hops/%s/%s", [family, range.field, range.cidr]),
		"size": nodes.nodes,
		"members": [nodes.members],
		"msg": concat("", [
			sprintf("next hops in a range of addresses of Services: %s have an %s address in %s of %s, ", [
				text.listed_of(nodes.nodes, input.state.nodes.total, "node", nodes.sample),
				family,
				range.cidr,
				range.field,
			]),
			"so other nodes resolve them through their route to the range and drop packets to the pods of these nodes; ",
			"use a range without addresses of nodes",
		]),
		"details": {
			"family": family,
			"range": range.cidr,
			"field": range.field,
			"nodes": nodes.nodes,
			"sample": nodes.sample,
		},
		"objects": objects.named("BGPConfiguration", ["default"], [sprintf("spec.%s", [range.field])]),
	}
}

# METADATA
# description: |
#   IPPools with pods in a range of addresses of Services. The size is their number.
violation contains object.union(found, transit.assumption(need.assumes)) if {
	_bgp.enabled
	some family, needs in _needs
	some need in needs
	input.state.routes[family].withTransit.nodes > 1
	some range in input.state.serviceRanges[family]
	parts := [part | some part in range.ipPools; part.name in need.pools]
	count(parts) > 0
	found := {
		"id": sprintf("%s/pods-in-range/%s/%s", [family, range.field, range.cidr]),
		"size": count(parts),
		"msg": concat("", [
			sprintf("pods in a range of addresses of Services: %s of %s contains %s addresses of %s, ", [
				range.cidr,
				range.field,
				family,
				text.listed(count(parts), "IPPool", [sprintf("%s of %s", [part.cidr, part.name]) | some part in parts]),
			]),
			"so nodes program no routes to these pods on other nodes; ",
			"use a range outside all IPPools",
		]),
		"details": {"family": family, "range": range.cidr, "field": range.field, "ipPools": parts},
		"objects": objects.named("BGPConfiguration", ["default"], [sprintf("spec.%s", [range.field])]),
	}
}

# The IPPools are named if they are not those without routes.
_disable(pools, setting) := "disableBGPExport" if {
	{name | some name in setting} == {name | some name in pools}
} else := sprintf("disableBGPExport of %s", [text.listed(count(setting), "IPPool", setting)])

_without_route(family, reading) := object.union(found, {"msg": concat("; ", parts)}) if {
	found := _pairs_without(family, reading.reach)
	parts := [part |
		some part in [
			_message(found.details),
			_remedy(found.details),
			_external(reading, found.details),
			_tunnels(reading, found.details),
			_link(reading, found.details),
			_disabled(family),
			_broken(family),
		]
		part != ""
	]
}

# OPA evaluates it once for readings that are equal, and for all assumptions about IPPools.
_pairs_without(family, reach) := {
	"id": sprintf("%s/without-route", [family]),
	"size": reach.withoutRoute.pairs,
	"members": [reach.isolated.members, reach.withoutRoute.members],
	"details": {
		"family": family,
		"nodes": reach.nodes,
		"isolated": reach.isolated.nodes,
		"isolatedSample": reach.isolated.sample,
		"pairs": _pairs(reach.nodes),
		"withoutRoute": reach.withoutRoute.pairs,
		"withoutRouteSample": reach.withoutRoute.sample,
		"partitions": reach.partitions,
		"largestPartition": reach.largestPartition,
		"transitPeers": input.parameters.transitPeers,
	},
	"objects": _at_fault(family, reach),
}

_without_route_to_new_blocks(family, reach) := {
	"id": sprintf("%s/new-blocks", [family]),
	"size": reach.newBlocks.pairs,
	"members": [reach.newBlocks.members],
	"msg": concat("", [
		sprintf("routes to new blocks: %s could not exchange %s pod traffic if IPAM allocated blocks to them ", [
			text.listed_of(
				reach.newBlocks.pairs, _pairs(reach.nodes), "node pair",
				[concat(" with ", pair) | some pair in reach.newBlocks.sample],
			),
			family,
		]),
		"in all parts of the IPPools: BGPFilters reject parts in which these nodes have no pods now; ",
		"accept all prefixes of the IPPools between nodes, or use IPPools without the rejected addresses",
	]),
	"details": {
		"family": family,
		"nodes": reach.nodes,
		"pairs": _pairs(reach.nodes),
		"withoutRoute": reach.withoutRoute.pairs,
		"newBlocks": reach.newBlocks.pairs,
		"newBlocksSample": reach.newBlocks.sample,
	},
	"objects": objects.named("BGPFilter", array.slice(input.state.bgpFilters.names, 0, 3), ["spec"]),
}

_address_annotation(family) := sprintf("projectcalico.org/%sAddress", [family])

_readings(f) := transit.every_reading(input.state.routes[f], input.parameters.transitPeers, input.parameters.asOverride)

_advice(reading) := {"advisory": true} if transit.as_paths in reading.assumes

_advice(reading) := {} if not transit.as_paths in reading.assumes

# Nodes must have an address if IPPools need it or, without IPPools in the state, nodes have one.
_wanted(_, need) if count(need.pools) > 0

_wanted(family, need) if {
	need.assumes == []
	input.state.routes[family].withTransit.nodes > 0
}

# The families in which pod traffic needs BGP, with the IPPools that need it: those in use, and also
# those that are disabled and may hold addresses of pods.
_needs[family] contains {"pools": traffic.pools, "assumes": []} if {
	some family, traffic in input.state.podTraffic
	traffic.needsBGP
}

_needs[family] contains {
	"pools": array.concat(traffic.pools, traffic.disabledPools),
	"assumes": ["disabled IPPools hold addresses of pods"],
} if {
	some family, traffic in input.state.podTraffic
	_may_need(traffic)
}

_may_need(traffic) if traffic.needsBGP

_may_need(traffic) if count(traffic.disabledPools) > 0

_at_fault(_, _) := causes.disabling(_bgp) if not _bgp.enabled

_at_fault(family, reach) := _objects(family, reach) if _bgp.enabled

# If the mesh is off and no BGPPeer replaces it, the mesh is the cause.
_objects(family, reach) := array.concat([objects.mesh], objects.unused(input.state.selectors)) if {
	not input.state.mesh.enabled
	input.state.sessions[family].total == 0
} else := blamed if {
	reach.isolated.nodes > 0
	blamed := _blamed(family, reach.isolated.nodes)
	count(blamed) > 0
} else := objects.leaving_out(_sample(reach), input.state.selectors, family)

_blamed(f, nodes) := causes.blamed(f, input.state.addresses[f], input.state.otherASNumbers[f], nodes)

# Nodes without routes: isolated ones, or else those of pairs.
_sample(reach) := reach.isolated.sample if reach.isolated.nodes > 0

_sample(reach) := array.slice(nodes, 0, 3) if {
	reach.isolated.nodes == 0
	nodes := sort({node | some pair in reach.withoutRoute.sample; some node in pair})
}

_pairs(nodes) := (nodes * (nodes - 1)) / 2

# Each pair without a route has an isolated node.
_only_isolated(details) if {
	others := details.nodes - details.isolated
	details.withoutRoute == (details.isolated * others) + _pairs(details.isolated)
}

_message(details) := sprintf("isolated nodes: %s cannot exchange %s pod traffic with other nodes", [
	text.listed_of(details.isolated, details.nodes, "node", details.isolatedSample),
	details.family,
]) if {
	_only_isolated(details)
} else := sprintf("missing routes: %s cannot exchange %s pod traffic%s", [
	text.listed_of(
		details.withoutRoute, details.pairs, "node pair",
		[concat(" with ", pair) | some pair in details.withoutRouteSample],
	),
	details.family,
	concat("", array.concat(
		[sprintf(", %s", [text.listed(details.isolated, "isolated node", details.isolatedSample)]) |
			details.isolated > 0
		],
		# Nodes that lack some routes need not form partitions, if others have routes to all.
		[sprintf(", %d partitions, the largest with %s", [
			details.partitions,
			text.counted(details.largestPartition, "node"),
		]) |
			details.partitions > 1
		],
	)),
])

_remedy(details) := causes.advice(_causes(details.family, details.isolated), details.isolated, concat("", [
	"connect them to other nodes with a BGPPeer, for example to route reflectors",
	_or_the_mesh,
])) if {
	_only_isolated(details)
} else := causes.advice(_causes(details.family, details.nodes), details.nodes, concat("", [
	"give both nodes of a pair sessions to the same route reflector, or connect their route reflectors",
	_or_the_mesh,
]))

_bgp := input.state.bgp

_causes(_, nodes) := causes.disabled(_bgp, nodes) if not _bgp.enabled

_causes(f, _) := causes.of(f, input.state.addresses[f], input.state.otherASNumbers[f]) if _bgp.enabled

default _or_the_mesh := ""

_or_the_mesh := ", or turn the node-to-node mesh on" if not input.state.mesh.enabled

_or_the_mesh := " (the node-to-node mesh does not include route reflectors)" if {
	input.state.mesh.enabled
	input.state.nodes.reflectors > 0
}

# What another reading of external peers would change.
_external(reading, details) := "" if {
	reading.transit >= details.withoutRoute
} else := concat("", [
	"nodes drop routes that hold their own AS number in the AS path: set numAllowedLocalASNumbers in the ",
	"BGPPeers of external peers, or the parameter asOverride if external peers replace AS numbers ",
	sprintf("(then %s without routes)", [text.counted(reading.transit, "pair")]),
]) if {
	transit.as_paths in reading.assumes
} else := concat("", [
	"name the external peers that pass routes on between nodes in the parameter transitPeers ",
	sprintf("(if all do, %s without routes)", [text.counted(reading.transit, "pair")]),
])

# IPPools whose packets BIRD sends through a tunnel to the next hop, if a reading without that makes a
# difference.
_tunnels(reading, details) := concat("", [
	"routers do not unpack IPIP: if they set their own address as next hop, set ipipMode: CrossSubnet in ",
	text.listed(count(_tunnelled), "IPPool", _tunnelled),
	", or connect the nodes with each other",
]) if {
	transit.as_paths in reading.assumes
	details.family == "IPv4"
	reading.transit < details.withoutRoute
	count(_tunnelled) > 0
} else := ""

_tunnelled := [name |
	ipip := input.state.clusterRoutes.ipip
	input.state.clusterRoutes.version != null
	ipip.bird
	not ipip.felix
	some name in ipip.pools
	input.state.ipPools[name].spec.ipipMode == "Always"
]

# What links that are not known would change.
_link(reading, details) := concat("", [
	_unknown_version,
	"up to Calico v3.32, BIRD opens mesh sessions between AS numbers only on a common link: replace the mesh ",
	"by BGPPeers, upgrade Calico to v3.33, give the nodes one AS number, or write the masks of their interfaces ",
	sprintf("into the annotations %s if the nodes are on one link ", [_address_annotation(details.family)]),
	sprintf("(if the sessions come up, %s without routes)", [text.counted(reading.linked, "pair")]),
]) if {
	reading.linked < details.withoutRoute
} else := ""

_unknown_version := "the version of Calico is not known, and " if input.state.calicoVersion == null

_unknown_version := "" if input.state.calicoVersion != null

# Only disabled IPPools need BGP.
_disabled(family) := sprintf("set vxlanMode: Always in %s if no pod has an address of it", [listed]) if {
	not input.state.podTraffic[family].needsBGP
	pools := input.state.podTraffic[family].disabledPools
	listed := text.listed(count(pools), "disabled IPPool", pools)
} else := ""

_broken(family) := "" if input.state.sessions[family].broken == 0

_broken(family) := sprintf("%s cannot come up, see bgpguard topology", [counted]) if {
	sessions := input.state.sessions[family]
	sessions.broken > 0
	counted := text.counted(sessions.broken, "half-session")
}

# METADATA
# title: Routes between all nodes
# description: |
#   Every two nodes have the routes to each other's pods, in each address family in
#   which pod traffic between nodes needs BGP, and no IPPool that needs BGP is kept
#   out of it. What routers outside the cluster do with routes, no object tells:
#   externalPeers says what to assume of them.
# related_resources:
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
package policies.reachability_preserved

import data.policies.lib.text

# METADATA
# description: |
#   An address family in which nodes have no routes to each other's pods. Its size
#   is the pairs of such nodes. Nodes that are isolated are a part of this violation
#   and none beside it: who joins a few of them to each other, as the first step of
#   mending, would otherwise have one violation less and a new one.
violation contains {
	"id": sprintf("%s/without-route", [family]),
	"size": reach.withoutRoute.pairs,
	"members": [reach.isolated.members, reach.withoutRoute.members],
	"msg": concat("", [
		_problem(details),
		": ",
		_remedy(details),
		_on_the_mesh,
		_on_outside(details),
		_on_broken(family),
	]),
	"details": details,
	"objects": array.concat([{"kind": "BGPConfiguration", "name": "default"}], _bgp_peers(family)),
} if {
	some family in _families
	reach := _reach[family]
	reach.withoutRoute.pairs > 0
	details := {
		"family": family,
		"nodes": reach.nodes,
		"isolated": reach.isolated.nodes,
		"isolatedSample": reach.isolated.sample,
		"pairs": _pairs(reach.nodes),
		"withoutRoute": reach.withoutRoute.pairs,
		"withoutRouteSample": reach.withoutRoute.sample,
		"partitions": reach.partitions,
		"largestPartition": reach.largestPartition,
		"externalPeers": input.parameters.externalPeers,
	}
}

# METADATA
# description: IPPools whose pods no other node has routes to. Its size is how many they are.
violation contains {
	"id": sprintf("%s/not-exported", [family]),
	"size": count(pools),
	"msg": concat("", [
		sprintf("%s (%s) %s pod traffic between nodes and %s disableBGPExport: true, ", [
			text.counted(count(pools), "IPPool"),
			text.some_of(array.slice(pools, 0, 3), count(pools)),
			text.agree(count(pools), "needs BGP for", "need BGP for"),
			text.agree(count(pools), "has", "have"),
		]),
		sprintf("so no node has routes to %s pods on other nodes: ", [text.agree(count(pools), "its", "their")]),
		"set disableBGPExport: false, or vxlanMode: Always with ipipMode: Never",
	]),
	"details": {"family": family, "ipPools": pools},
	"objects": [{"kind": "IPPool", "name": name} | some name in pools],
} if {
	some family in _families
	pools := input.state.routes[family].notExported
	count(pools) > 0
}

# METADATA
# description: |
#   Nodes that Calico gives no session in a family, because they have no address in
#   it. It is there also where no node has one, so that giving the nodes addresses,
#   one by one, makes it smaller from the first on. Its size is how many they are. Nobody who edits a
#   BGPPeer can do anything about it, so it is about no object: it is there to
#   hold back the change that takes an address away.
violation contains {
	"id": sprintf("%s/no-address", [family]),
	"size": missing.nodes,
	"members": [missing.members],
	"msg": concat("", [
		sprintf("%s of %s (%s) %s no %s address for BGP, so Calico gives %s no session: ", [
			text.number(missing.nodes),
			text.counted(input.state.nodes.total, "node"),
			text.some_of(missing.sample, missing.nodes),
			text.agree(missing.nodes, "has", "have"),
			family,
			text.agree(missing.nodes, "it", "them"),
		]),
		sprintf("set the annotation projectcalico.org/%sAddress to the node's address, as calico-node does", [family]),
	]),
	"details": {"family": family, "nodes": missing.nodes, "sample": missing.sample},
	"objects": [],
} if {
	some family in _wanted
	missing := input.state.routes[family].noAddress
	missing.nodes > 0
}

# Families in which nodes are to have an address: pools need it, or, where the state
# has no pools, nodes have one.
_wanted contains family if {
	some family in ["IPv4", "IPv6"]
	count(input.state.podTraffic[family].pools) > 0
}

_wanted contains family if {
	some family in ["IPv4", "IPv6"]
	input.state.podTraffic[family].needsBGP
	_reach[family].nodes > 0
}

# Those that count: a single node has nobody to reach.
_families contains family if {
	some family in ["IPv4", "IPv6"]
	input.state.podTraffic[family].needsBGP
	_reach[family].nodes > 1
}

_reach[family] := routes.withTransit if {
	input.parameters.externalPeers == "carry"
	some family, routes in input.state.routes
}

_reach[family] := routes.withoutTransit if {
	input.parameters.externalPeers == "ignore"
	some family, routes in input.state.routes
}

# Through any of them nodes may have lost their sessions, also through one that
# now selects nobody, or whose peerIP is no node's any more.
_bgp_peers(family) := [{"kind": "BGPPeer", "name": name} | some name in input.state.routes[family].bgpPeers]

_pairs(nodes) := (nodes * (nodes - 1)) / 2

# Every pair without a route has a node in it that is isolated.
_only_isolated(details) if {
	others := details.nodes - details.isolated
	details.withoutRoute == (details.isolated * others) + _pairs(details.isolated)
}

_problem(details) := sprintf("%s, so pods on %s and on other nodes do not reach each other", [
	_isolated(details),
	text.agree(details.isolated, "it", "them"),
]) if {
	_only_isolated(details)
}

_problem(details) := sprintf("%s%s of %s of %s (%s) %s not have routes to each other, %s%s", [
	_beside(details),
	text.number(details.withoutRoute),
	text.counted(details.pairs, "pair"),
	_noun("nodes", details),
	text.some_of([concat(" with ", pair) | some pair in details.withoutRouteSample], details.withoutRoute),
	text.agree(details.withoutRoute, "does", "do"),
	"so pods on them do not reach each other",
	_parts(details),
]) if {
	not _only_isolated(details)
}

_isolated(details) := sprintf("%s of %s (%s) %s isolated: no BGP session gives %s routes to other nodes", [
	text.number(details.isolated),
	text.counted(details.nodes, _noun("node", details)),
	text.some_of(details.isolatedSample, details.isolated),
	text.agree(details.isolated, "is", "are"),
	text.agree(details.isolated, "it", "them"),
])

_beside(details) := "" if details.isolated == 0

_beside(details) := sprintf("%s; with %s, ", [
	_isolated(details),
	text.agree(details.isolated, "it", "them"),
]) if {
	details.isolated > 0
}

# Nodes without routes to some need not fall apart, if others have routes to all.
_parts(details) := "" if details.partitions <= 1

_parts(details) := sprintf(" (the nodes fall into %s parts, of which the largest has %s)", [
	text.number(details.partitions),
	text.number(details.largestPartition),
]) if {
	details.partitions > 1
}

_remedy(details) := concat(" ", [
	"peer",
	text.agree(details.isolated, "it", "them"),
	"with the rest by a BGPPeer, for example with route reflectors",
]) if {
	_only_isolated(details)
}

_remedy(details) := concat("", [
	"give both nodes of a pair sessions to the same route reflector or to each other, route reflectors among them; ",
	"one reflector passes routes on to the clients of another only if their cluster IDs differ",
]) if {
	not _only_isolated(details)
}

_on_the_mesh := " (the node-to-node mesh leaves route reflectors out)" if {
	input.state.mesh.enabled
	input.state.nodes.reflectors > 0
}

# Without one, something else keeps sessions of the mesh down.
_on_the_mesh := "" if {
	input.state.mesh.enabled
	input.state.nodes.reflectors == 0
}

_on_the_mesh := ", or have the node-to-node mesh on" if not input.state.mesh.enabled

# Where the other assumption would make a difference, say so.
_on_outside(details) := "" if _left_by_carry(details) >= details.withoutRoute

_on_outside(details) := concat("", [
	"; if the peers outside the cluster carry routes on, set the policy's parameter externalPeers: carry, ",
	sprintf("which leaves %s", [text.counted(_left_by_carry(details), "pair")]),
]) if {
	_left_by_carry(details) < details.withoutRoute
}

_left_by_carry(details) := input.state.routes[details.family].withTransit.withoutRoute.pairs

_on_broken(family) := "" if input.state.sessions[family].broken == 0

_on_broken(family) := sprintf("; on %s no session comes up: bgpguard topology -f STATE says why", [counted]) if {
	sessions := input.state.sessions[family]
	sessions.broken > 0
	counted := text.counted(sessions.broken, "half-session")
}

# The family is only worth a word where there are two.
_noun(noun, details) := sprintf("%s %s", [details.family, noun]) if count(_families) == 2

_noun(noun, _) := noun if count(_families) < 2

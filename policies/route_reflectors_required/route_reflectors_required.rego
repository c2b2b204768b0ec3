# METADATA
# title: Route reflectors in place of the mesh
# description: |
#   With the node-to-node mesh off, every node that is not a route reflector
#   itself has BGP sessions to at least minReflectors of them, in each address
#   family in which pod traffic between nodes needs BGP. A node with none has no
#   routes to the pods of others, and they have none to its pods.
# related_resources:
#   - ref: https://docs.tigera.io/calico/latest/networking/configuring/bgp
#     description: Calico, route reflectors
#   - ref: https://www.rfc-editor.org/rfc/rfc4456
#     description: BGP route reflection, an alternative to full mesh
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
#       minReflectors:
#         type: integer
#         description: How many route reflectors each node has sessions to at the least.
#         default: 2
#         minimum: 1
#         maximum: 16
package policies.route_reflectors_required

import data.policies.lib.text

# METADATA
# description: |
#   An address family in which nodes are short of route reflectors. Its size is
#   how many sessions they lack, so that a node that loses its last reflector is
#   worse than one that loses its second.
violation contains {
	"id": family,
	"size": sum([missing | some level in short; missing := level.nodes * (least - level.reflectors)]),
	"members": [level.members | some level in short],
	"msg": _message(details),
	"details": details,
	"objects": array.concat([{"kind": "BGPConfiguration", "name": "default"}], peers),
} if {
	not input.state.mesh.enabled
	some family in _families
	least := input.parameters.minReflectors
	short := [level | some level in input.state.reflectors[family].levels; level.reflectors < least]
	count(short) > 0
	peers := [{"kind": "BGPPeer", "name": name} | some name in input.state.reflectors[family].bgpPeers]
	details := {
		"family": family,
		"nodes": input.state.reflectors[family].nodes,
		"short": sum([level.nodes | some level in short]),
		"without": sum([level.nodes | some level in short; level.reflectors == 0]),
		"minReflectors": least,
		"reflectors": input.state.reflectors[family].total,
		"peered": input.state.reflectors[family].peered,
		"sample": array.slice([name | some level in short; some name in level.sample], 0, 3),
	}
}

# Those that count: a family can be needed, by a state without pools for one,
# and have no node, and a node that is alone has nobody to have routes to.
_families contains family if {
	some family in ["IPv4", "IPv6"]
	input.state.podTraffic[family].needsBGP
	input.state.reflectors[family].nodes > 0
	input.state.reflectors[family].nodes + input.state.reflectors[family].total > 1
}

_message(details) := sprintf("the node-to-node mesh is off and %s of %s (%s) %s: %s, or have the mesh on%s", [
	text.number(details.short),
	text.counted(details.nodes, _noun("node", details)),
	text.some_of(details.sample, details.short),
	_lack(details),
	_remedy(details),
	_on_outside(details),
])

# Nothing tells what routers outside the cluster do with routes, but whoever peers
# with them and has no reflector may mean it so.
_on_outside(details) := "; if peers outside the cluster do what route reflectors do, have this policy warn" if {
	details.reflectors == 0
	input.state.sessions[details.family].external > 0
} else := ""

_lack(details) := sprintf("%s no %s to peer with, because the cluster has none and the minimum is %s", [
	text.agree(details.short, "has", "have"),
	_noun("route reflector", details),
	text.number(details.minReflectors),
]) if {
	details.reflectors == 0
}

_lack(details) := sprintf("%s BGP sessions to fewer than %s%s, and the cluster has only %s", [
	text.agree(details.short, "has", "have"),
	text.counted(details.minReflectors, _noun("route reflector", details)),
	_without(details, "to"),
	text.number(details.reflectors),
]) if {
	details.reflectors > 0
	details.reflectors < details.minReflectors
}

_lack(details) := sprintf("%s not covered by BGPPeers with at least %s of the cluster's %s%s", [
	text.agree(details.short, "is", "are"),
	text.number(details.minReflectors),
	text.counted(details.reflectors, _noun("route reflector", details)),
	_without(details, "with"),
]) if {
	details.reflectors >= details.minReflectors
}

_without(details, _) := "" if details.without == 0

_without(details, word) := sprintf(", %s of them %s none", [text.number(details.without), word]) if details.without > 0

_remedy(details) := concat("", [
	sprintf("have at least %s ", [text.counted(details.minReflectors, _noun("route reflector", details))]),
	"(nodes with the annotation projectcalico.org/RouteReflectorClusterID and a label) and ",
	"cover all nodes by a BGPPeer whose peerSelector selects them",
]) if {
	details.reflectors < details.minReflectors
}

_remedy(details) := "widen the nodeSelector of a BGPPeer whose peerSelector selects the route reflectors" if {
	details.reflectors >= details.minReflectors
	details.peered >= details.minReflectors
}

_remedy(details) := concat("", [
	sprintf("only %s of them %s sessions to other nodes, so select the others again, ", [
		text.number(details.peered),
		text.agree(details.peered, "has", "have"),
	]),
	"by their labels or by the peerSelector of a BGPPeer",
]) if {
	details.reflectors >= details.minReflectors
	details.peered < details.minReflectors
	details.peered > 0
}

_remedy(details) := concat("", [
	"none of them has a session to another node, so select them again, ",
	"by their labels or by the peerSelector of a BGPPeer",
]) if {
	details.reflectors >= details.minReflectors
	details.peered == 0
}

# The family is only worth a word where there are two.
_noun(noun, details) := sprintf("%s %s", [details.family, noun]) if count(_families) == 2

_noun(noun, _) := noun if count(_families) < 2

# METADATA
# title: Route reflectors required
# description: |
#   With the node-to-node mesh off, every node that speaks BGP and is not a
#   route reflector itself has sessions to at least minReflectors of them. Not
#   demanded in a family in which no IPPool needs BGP to carry pod traffic.
# related_resources:
#   - ref: https://docs.tigera.io/calico/latest/networking/configuring/bgp
#     description: Calico on route reflectors
#   - ref: https://www.rfc-editor.org/rfc/rfc4456
#     description: BGP route reflection
# custom:
#   severity: critical
#   judges: state
#   parameters:
#     type: object
#     additionalProperties: false
#     properties:
#       minReflectors:
#         type: integer
#         minimum: 1
#         maximum: 16
#         default: 2
#         description: The smallest number of route reflectors that a node has sessions to.
package policies.route_reflectors_required

import data.policies.lib.text

# METADATA
# title: Nodes have sessions to too few route reflectors
# description: |
#   The size counts missing sessions, so that a node that loses its last
#   reflector makes it worse although no more nodes are short.
violation contains {
	"id": family,
	"size": sum([missing | some level in short; missing := level.nodes * (minimum - level.reflectors)]),
	"msg": sprintf(
		"the mesh is off and %s of %s %s sessions to fewer than %d route reflectors (%s have none): %s: %s",
		[
			text.number(nodes),
			text.counted(reflectors.nodes, "node"),
			_verb(nodes),
			minimum,
			text.number(without),
			text.sample(names, nodes),
			_remedy(reflectors.total, minimum),
		],
	),
	"details": {
		"family": family,
		"nodes": reflectors.nodes,
		"short": nodes,
		"without": without,
		"reflectors": reflectors.total,
		"minReflectors": minimum,
		"sample": names,
	},
	"objects": [{"kind": "BGPConfiguration", "name": "default"}],
} if {
	not input.state.mesh.enabled
	minimum := input.parameters.minReflectors
	some family, reflectors in input.state.reflectors
	input.state.podTraffic[family].needsBGP
	short := [level | some level in reflectors.levels; level.reflectors < minimum]
	nodes := sum([level.nodes | some level in short])
	nodes > 0
	without := sum([level.nodes | some level in short; level.reflectors == 0])
	names := array.slice([name | some level in short; some name in level.sample], 0, 3)
}

_verb(nodes) := "has" if nodes == 1

_verb(nodes) := "have" if nodes != 1

_remedy(total, minimum) := sprintf(
	concat(" ", [
		"there are %s route reflectors and %d are needed:",
		"give nodes a routeReflectorClusterID and a label, cover the others by a BGPPeer that selects it,",
		"or keep the mesh on",
	]),
	[_some(total), minimum],
) if {
	total < minimum
}

_remedy(total, minimum) := sprintf(
	"there are %d route reflectors: cover the nodes by the nodeSelector of a BGPPeer whose peerSelector selects them, or keep the mesh on",
	[total],
) if {
	total >= minimum
}

_some(0) := "no"

_some(n) := sprintf("only %d", [n]) if n > 0

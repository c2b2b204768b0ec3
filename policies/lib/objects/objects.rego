# METADATA
# title: Objects at fault
# description: |
#   The entries of "objects" in a violation: a kind, a name, and the fields at fault. A field is a
#   path such as spec.peerSelector or metadata.labels.rack. A key with other characters than
#   letters, digits, "-" and "_" is in brackets, as in
#   metadata.annotations[projectcalico.org/ASNumber].
package policies.lib.objects

# METADATA
# description: The node-to-node mesh, which BGPConfiguration default turns on or off.
mesh := {"kind": "BGPConfiguration", "name": "default", "fields": ["spec.nodeToNodeMeshEnabled"]}

# METADATA
# description: Objects of one kind with the same fields at fault.
named(kind, names, fields) := [object.union({"kind": kind, "fields": fields}, {"name": name}) | some name in names]

# METADATA
# description: The path of an annotation.
annotation(key) := sprintf("metadata.annotations[%s]", [key])

# METADATA
# description: |
#   The paths of the labels that the selectors of BGPPeers use, and of the annotation with a cluster ID.
#   selectors is input.state.selectors.
of_nodes(selectors) := array.concat(
	[_label(label) | some label in selectors.labels],
	[annotation("projectcalico.org/RouteReflectorClusterID")],
)

# METADATA
# description: |
#   The BGPPeers that give no node a session because one side selects no node, with the field of
#   that side. At most 10, by name. selectors is input.state.selectors.
unused(selectors) := [object.union(peer, {"kind": "BGPPeer"}) | some peer in selectors.unused]

# METADATA
# description: |
#   What can leave nodes out in a family: BGPPeers that select no node, those that have to select all
#   nodes, and the nodes, which may lack a label. selectors is input.state.selectors.
leaving_out(nodes, selectors, family) := array.concat(
	array.concat(unused(selectors), [object.union(peer, {"kind": "BGPPeer"}) |
		some peer in selectors.wide[family]
		not peer.name in names
	]),
	named("Node", nodes, of_nodes(selectors)),
) if {
	names := {peer.name | some peer in selectors.unused}
}

# METADATA
# description: The 3 of the named BGPPeers that give the most sessions, with the fields that select.
largest(peers, names) := [selecting(name, peers[name]) | some [_, name] in array.slice(ranked, 0, 3)] if {
	ranked := sort([[0 - (peers[name].sessions + peers[name].externalSessions), name] | some name in names])
}

# METADATA
# description: A BGPPeer, with the fields that select its nodes and peers.
selecting(name, peer) := {"kind": "BGPPeer", "name": name, "fields": peer.selects}

_label(key) := sprintf("metadata.labels.%s", [key]) if regex.match(`^[A-Za-z0-9_-]+$`, key)

_label(key) := sprintf("metadata.labels[%s]", [key]) if not regex.match(`^[A-Za-z0-9_-]+$`, key)

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
# description: The paths of the labels that the selectors of BGPPeers use, and of the annotation with a cluster ID.
of_nodes(peers) := array.concat(
	sort({_label(label) | some label in labels}),
	[annotation("projectcalico.org/RouteReflectorClusterID")],
) if {
	labels := {label | label := peers[_].selectors[_].labels[_]}
}

# METADATA
# description: |
#   The BGPPeers that give no node a session because one side selects no node, with the field of
#   that side. At most 10, by name.
unused(peers) := array.slice(
	[{"kind": "BGPPeer", "name": name, "fields": fields} |
		some name in sort(candidates)
		fields := sort(_unused_sides(peers[name]))
		count(fields) > 0
	],
	0, 10,
) if {
	# Only peers that are nodes have a remote side: there can be an external peer for each node.
	candidates := {name | peers[name].localNodes == 0} | {name |
		peers[name].remoteNodes == 0
		peers[name].scope == "nodes"
	}
}

# METADATA
# description: |
#   Those of the named BGPPeers that connect more nodes than there are route reflectors, so that they
#   have to select all other nodes, with the fields that select. Empty if there are more than 3:
#   each of them may be for other nodes, and which one is at fault is not known.
connecting(peers, names, reflectors) := [selecting(name, peers[name]) | some name in wide] if {
	wide := [name |
		some name in names
		max([peers[name].localNodes, peers[name].remoteNodes]) > reflectors
	]
	count(wide) <= 3
} else := []

# METADATA
# description: |
#   What can leave nodes out: BGPPeers that select no node, those that have to select all nodes, and
#   the nodes, which may lack a label. names are the BGPPeers that give route reflectors sessions.
leaving_out(nodes, peers, names, reflectors) := array.concat(
	array.concat(unused(peers), [peer |
		some peer in connecting(peers, names, reflectors)
		count(_unused_sides(peers[peer.name])) == 0
	]),
	named("Node", nodes, of_nodes(peers)),
)

# METADATA
# description: The 3 of the named BGPPeers that give the most sessions, with the fields that select.
largest(peers, names) := [selecting(name, peers[name]) | some [_, name] in array.slice(ranked, 0, 3)] if {
	ranked := sort({[0 - _sessions(peers[name]), name] | some name in names})
}

# Each node has one session to a peer that is no node.
_sessions(peer) := peer.sessions if peer.scope == "nodes"

_sessions(peer) := peer.localNodes if peer.scope != "nodes"

# METADATA
# description: A BGPPeer, with the fields that select its nodes and peers.
selecting(name, peer) := {"kind": "BGPPeer", "name": name, "fields": array.concat(_local(peer), _remote(peer))}

_unused_sides(peer) := {field | peer.localNodes == 0; some field in _local(peer)} | {field |
	peer.scope == "nodes"
	peer.remoteNodes == 0
	some field in _remote(peer)
}

# nodeSelector takes precedence over node.
_local(peer) := ["spec.nodeSelector"] if {
	_is_set(object.get(peer.spec, "nodeSelector", ""))
} else := ["spec.node"] if {
	_is_set(object.get(peer.spec, "node", ""))
} else := []

# peerSelector takes precedence over peerIP.
_remote(peer) := ["spec.peerSelector"] if {
	_is_set(object.get(peer.spec, "peerSelector", ""))
} else := ["spec.localWorkloadSelector"] if {
	_is_set(object.get(peer.spec, "localWorkloadSelector", ""))
} else := ["spec.peerIP"] if {
	_is_set(object.get(peer.spec, "peerIP", ""))
} else := []

_is_set(value) if not value in {"", null}

_label(key) := sprintf("metadata.labels.%s", [key]) if regex.match(`^[A-Za-z0-9_-]+$`, key)

_label(key) := sprintf("metadata.labels[%s]", [key]) if not regex.match(`^[A-Za-z0-9_-]+$`, key)

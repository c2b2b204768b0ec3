package policies.lib.objects_test

import data.policies.lib.objects

test_named_objects_have_the_same_fields if {
	objects.named("Node", ["a", "b"], [objects.annotation("projectcalico.org/ASNumber")]) == [
		{"kind": "Node", "name": "a", "fields": ["metadata.annotations[projectcalico.org/ASNumber]"]},
		{"kind": "Node", "name": "b", "fields": ["metadata.annotations[projectcalico.org/ASNumber]"]},
	]
	objects.named("Node", [], []) == []
}

test_of_nodes_are_the_labels_of_selectors if {
	objects.of_nodes({"labels": [], "unused": []}) == ["metadata.annotations[projectcalico.org/RouteReflectorClusterID]"]
	objects.of_nodes(_selectors) == [
		"metadata.labels.rack",
		"metadata.labels.rr",
		"metadata.labels[topology.kubernetes.io/zone]",
		"metadata.annotations[projectcalico.org/RouteReflectorClusterID]",
	]
}

test_unused_names_the_fields_that_select_no_node if {
	objects.unused(_selectors) == [
		{"kind": "BGPPeer", "name": "no-local", "fields": ["spec.node"]},
		{"kind": "BGPPeer", "name": "nothing", "fields": ["spec.nodeSelector", "spec.peerSelector"]},
	]
	objects.unused({"labels": [], "unused": []}) == []
}

test_largest_are_those_with_the_most_sessions if {
	[named.name | some named in objects.largest(_peers, object.keys(_peers))] == ["workers", "tor", "reflectors"]
	objects.largest(_peers, []) == []
}

test_selecting_has_the_fields_that_select if {
	objects.selecting("workers", _peers.workers) == {
		"kind": "BGPPeer",
		"name": "workers",
		"fields": ["spec.nodeSelector", "spec.peerSelector"],
	}
}

_selectors := {
	"labels": ["rack", "rr", "topology.kubernetes.io/zone"],
	"unused": [
		{"name": "no-local", "fields": ["spec.node"]},
		{"name": "nothing", "fields": ["spec.nodeSelector", "spec.peerSelector"]},
	],
	"wide": {
		"IPv4": [
			{"name": "nothing", "fields": ["spec.nodeSelector", "spec.peerSelector"]},
			{"name": "workers", "fields": ["spec.nodeSelector", "spec.peerSelector"]},
		],
		"IPv6": [],
	},
}

_peers := {
	"workers": _peer(["spec.nodeSelector", "spec.peerSelector"], 296, 4, 1184, 0),
	"reflectors": _peer(["spec.nodeSelector", "spec.peerSelector"], 4, 4, 6, 0),
	"nothing": _peer(["spec.nodeSelector", "spec.peerSelector"], 0, 500, 0, 0),
	"tor": _peer(["spec.peerIP"], 20, 0, 0, 20),
}

_peer(selects, local, remote, sessions, external) := {
	"selects": selects,
	"localNodes": local,
	"remoteNodes": remote,
	"sessions": sessions,
	"externalSessions": external,
}

test_leaving_out_names_bgp_peers_and_nodes if {
	found := objects.leaving_out(["a"], _selectors, "IPv4")
	[named.name | some named in found] == ["no-local", "nothing", "workers", "a"]
	found[3].fields == objects.of_nodes(_selectors)
	[named.name | some named in objects.leaving_out([], _selectors, "IPv6")] == ["no-local", "nothing"]
}

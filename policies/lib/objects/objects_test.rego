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
	objects.of_nodes({}) == ["metadata.annotations[projectcalico.org/RouteReflectorClusterID]"]
	objects.of_nodes(_peers) == [
		"metadata.labels.rack",
		"metadata.labels.rr",
		"metadata.labels[topology.kubernetes.io/zone]",
		"metadata.annotations[projectcalico.org/RouteReflectorClusterID]",
	]
}

test_unused_names_the_side_that_selects_no_node if {
	objects.unused(_peers) == [
		{"kind": "BGPPeer", "name": "no-local", "fields": ["spec.node"]},
		{"kind": "BGPPeer", "name": "no-peer", "fields": ["spec.peerSelector"]},
		{"kind": "BGPPeer", "name": "nothing", "fields": ["spec.nodeSelector", "spec.peerSelector"]},
	]
	objects.unused({}) == []
}

test_unused_is_bounded if {
	many := {sprintf("peer-%d", [i]): _peers["no-peer"] | some i in numbers.range(10, 40)}
	count(objects.unused(many)) == 10
}

test_connecting_selects_more_than_the_route_reflectors if {
	workers := {"kind": "BGPPeer", "name": "workers", "fields": ["spec.nodeSelector", "spec.peerSelector"]}
	objects.connecting(_peers, ["reflectors", "workers"], 4) == [workers]
	objects.connecting(_peers, [], 4) == []

	# Each of many may be for other nodes.
	racks := {sprintf("rack-%d", [i]): _peers.workers | some i in numbers.range(1, 4)}
	objects.connecting(racks, object.keys(racks), 4) == []
}

test_largest_are_those_with_the_most_sessions if {
	[named.name | some named in objects.largest(_peers, object.keys(_peers))] == ["workers", "tor", "reflectors"]
	objects.largest(_peers, []) == []
}

test_selecting_has_the_fields_that_are_set if {
	fields := {name: objects.selecting(name, peer).fields | some name, peer in _peers}
	fields.workers == ["spec.nodeSelector", "spec.peerSelector"]
	fields["no-local"] == ["spec.node", "spec.peerIP"]
	fields.tor == ["spec.peerIP"]
	fields.pods == ["spec.localWorkloadSelector"]
}

_peers := {
	"workers": _peer("nodes", {"nodeSelector": "!has(rr)", "peerSelector": "has(rr)", "node": "a"}, 296, 4, 1184),
	"reflectors": _peer("nodes", {"nodeSelector": "has(rr)", "peerSelector": "has(rr)"}, 4, 4, 6),
	"no-peer": _peer("nodes", {"peerSelector": "zone == 'a'", "peerIP": ""}, 300, 0, 0),
	"no-local": _peer("external", {"node": "gone", "nodeSelector": "", "peerIP": "172.16.0.1"}, 0, 0, 0),
	"nothing": _peer("nodes", {"nodeSelector": "rack == 'x'", "peerSelector": "rack == 'y'"}, 0, 0, 0),
	"tor": _peer("external", {"peerIP": "172.16.0.2", "nodeSelector": ""}, 20, 0, 0),
	"pods": _peer("workloads", {"localWorkloadSelector": "all()"}, 5, 0, 0),
}

_peer(scope, spec, local, remote, sessions) := {
	"scope": scope,
	"spec": spec,
	"localNodes": local,
	"remoteNodes": remote,
	"sessions": sessions,
	"selectors": [{"labels": [label]} |
		some field in ["nodeSelector", "peerSelector"]
		some needle, label in {"rr": "rr", "rack": "rack", "zone": "topology.kubernetes.io/zone"}
		contains(object.get(spec, field, ""), needle)
	],
}

test_leaving_out_names_bgp_peers_and_nodes if {
	found := objects.leaving_out(["a"], _peers, ["reflectors", "workers", "nothing"], 4)
	[named.name | some named in found] == ["no-local", "no-peer", "nothing", "workers", "a"]
	found[4].fields == objects.of_nodes(_peers)
}

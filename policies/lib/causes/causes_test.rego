package policies.lib.causes_test

import data.policies.lib.causes

test_advice_is_as_usual_without_causes if {
	causes.advice([], 3, "do it") == "do it"
	causes.of("IPv4", _fine, {"nodes": 0, "groups": []}) == []
}

test_advice_names_causes_of_all_nodes_alone if {
	causes.advice([{"text": "a", "nodes": 2}, {"text": "b", "nodes": 1}], 3, "do it") == "a; b"
}

test_advice_names_causes_of_some_nodes_first if {
	causes.advice([{"text": "a", "nodes": 2}], 3, "do it") == "a; if that does not suffice, do it"
}

test_shared_addresses_are_named_with_their_nodes if {
	causes.of("IPv4", _shared, {"nodes": 0, "groups": []}) == [{
		"text": concat("", [
			"nodes n2 and n9 have the same address 10.20.0.12, 4 nodes (a, b, c and 1 more) have the same ",
			"address 10.20.0.13; give each node its own address (annotation projectcalico.org/IPv4Address)",
		]),
		"nodes": 6,
	}]
}

test_bgp_peers_with_other_as_numbers_are_named if {
	others := {
		"nodes": 5,
		"groups": [
			{"asNumber": 63400, "nodeASNumber": 65523, "bgpPeers": 4, "sample": ["p-1", "p-2", "p-3", "p-4"]},
			{"asNumber": 63401, "nodeASNumber": 65523, "bgpPeers": 1, "sample": ["q"]},
		],
	}
	causes.of("IPv6", _fine, others) == [{
		"text": concat("", [
			"BGPPeers p-1, p-2, p-3 and 1 more have asNumber 63400, but the nodes at their peerIP have AS ",
			"number 65523; set asNumber: 65523; BGPPeer q has asNumber 63401, but the node at its peerIP has ",
			"AS number 65523; set asNumber: 65523",
		]),
		"nodes": 5,
	}]
}

test_blamed_are_the_objects_of_the_causes if {
	others := {"nodes": 1, "groups": [{"asNumber": 63401, "nodeASNumber": 65523, "bgpPeers": 1, "sample": ["q"]}]}
	address := ["metadata.annotations[projectcalico.org/IPv4Address]"]
	nodes := [{"kind": "Node", "name": name, "fields": address} | some name in ["n2", "n9", "a", "b", "c"]]
	peer := {"kind": "BGPPeer", "name": "q", "fields": ["spec.asNumber"]}
	causes.blamed("IPv4", _shared, others, 7) == array.concat(nodes, [peer])
	causes.blamed("IPv4", _shared, others, 8) == []
	causes.blamed("IPv4", _fine, {"nodes": 0, "groups": []}, 0) == []
}

test_an_installation_that_disables_bgp_is_the_only_cause if {
	causes.disabled({"enabled": true, "installation": null, "deleting": false}, 7) == []
	found := causes.disabled(_off, 7)
	causes.advice(found, 7, "do it") == concat("", [
		"Installation overlay disables BGP, so there are no sessions; ",
		"set spec.calicoNetwork.bgp: Enabled",
	])
	causes.disabling(_off) == [{"kind": "Installation", "name": "overlay", "fields": ["spec.calicoNetwork.bgp"]}]
}

test_an_installation_that_is_being_deleted if {
	found := causes.disabled({"enabled": false, "installation": "default", "deleting": true}, 7)
	causes.advice(found, 7, "do it") == concat("", [
		"Installation default is being deleted, and calico-node with it; ",
		"do not delete it",
	])
}

_off := {"enabled": false, "installation": "overlay", "deleting": false}

_fine := {"shared": {"nodes": 0}, "sharedAddresses": []}

_shared := {
	"shared": {"nodes": 6},
	"sharedAddresses": [
		{"address": "10.20.0.12", "nodes": 2, "sample": ["n2", "n9"]},
		{"address": "10.20.0.13", "nodes": 4, "sample": ["a", "b", "c"]},
	],
}

package bgpreflectorcoverage_test

import data.bgpreflectorcoverage as rule

test_a_change_that_keeps_the_selectors if {
	messages("BGPPeer", "rack-a", "UPDATE", object.union(peers["rack-a"].spec, {"keepOriginalNextHop": true})) == set()
}

test_delete if {
	messages("BGPPeer", "rack-a", "DELETE", peers["rack-a"].spec) == {uncovered(1)}
}

test_selectors_that_select_no_node if {
	count(messages("BGPPeer", "rack-a", "UPDATE", {"nodeSelector": "rack == 'c'", "peerSelector": "has(reflector)"})) == 1
	count(messages("BGPPeer", "rack-a", "UPDATE", {"nodeSelector": "rack == 'a'", "peerSelector": "has(rack)"})) == 1
	count(messages("BGPPeer", "rack-a", "UPDATE", {"nodeSelector": "rack == 'a'", "peerSelector": "none == 'x'"})) == 1
}

# Each form of selector that selects node a.
test_forms_of_selectors if {
	every selector in ["rack == \"a\"", "has(only-a)", "!has(not-a)", "all()", "", " rack=='a' "] {
		messages("BGPPeer", "rack-a", "UPDATE", {"nodeSelector": selector, "peerSelector": "reflector == 'true'"}) == set()
	}
	messages("BGPPeer", "rack-a", "UPDATE", {"node": "a", "peerSelector": "has(reflector)"}) == set()
	messages("BGPPeer", "rack-a", "UPDATE", {"peerSelector": "has(reflector)"}) == set()
}

test_forms_of_selectors_that_do_not_select_node_a if {
	every selector in ["rack == 'x'", "has(not-a)", "!has(only-a)"] {
		count(messages("BGPPeer", "rack-a", "UPDATE", {"nodeSelector": selector, "peerSelector": "has(reflector)"})) == 1
	}
	count(messages("BGPPeer", "rack-a", "UPDATE", {"node": "b", "peerSelector": "has(reflector)"})) == 1
}

test_an_external_peer_covers_nothing if {
	count(messages("BGPPeer", "rack-a", "UPDATE", {"nodeSelector": "rack == 'a'", "peerIP": "10.0.0.1"})) == 1
}

test_a_new_peer_is_evaluated_with_the_others if {
	messages("BGPPeer", "more", "CREATE", {"nodeSelector": "rack == 'a'", "peerSelector": "has(reflector)"}) == set()
}

test_an_unreadable_selector if {
	spec := {"nodeSelector": "rack in {'a'}", "peerSelector": "has(reflector)"}
	messages("BGPPeer", "more", "CREATE", spec) == {"this policy cannot read the selector \"rack in {'a'}\""}
}

test_the_mesh_needs_no_reflectors if {
	messages("BGPConfiguration", "default", "UPDATE", {"nodeToNodeMeshEnabled": true}) == set()
	messages("BGPConfiguration", "default", "DELETE", {"nodeToNodeMeshEnabled": false}) == set()
}

test_the_configuration_of_one_node_does_not_change_the_mesh if {
	messages("BGPConfiguration", "node.a", "UPDATE", {}) == set()
}

test_without_peers_no_node_is_covered if {
	review := {
		"kind": {"kind": "BGPConfiguration"}, "operation": "UPDATE",
		"object": {"metadata": {"name": "default"}, "spec": {"nodeToNodeMeshEnabled": false}},
	}
	violations := rule.violation with input as {"review": review, "parameters": {"minReflectors": 2}}
		with data.inventory.cluster as {"v1": {"Node": nodes}, "crd.projectcalico.org/v1": {}}
	{violation.msg | some violation in violations} == {uncovered(4)}
}

uncovered(count) := sprintf("%d of 5 nodes would have fewer than 2 route reflectors, for example a", [count])

messages(kind, name, operation, spec) := {violation.msg | some violation in violations} if {
	review := {"kind": {"kind": kind}, "operation": operation, "object": {"metadata": {"name": name}, "spec": spec}}
	violations := rule.violation with input as {"review": review, "parameters": {"minReflectors": 2}}
		with data.inventory.cluster as {
			"v1": {"Node": nodes},
			"crd.projectcalico.org/v1": {
				"BGPPeer": peers,
				"BGPConfiguration": {"default": {"spec": {"nodeToNodeMeshEnabled": false}}},
			},
		}
}

peers := {
	"rack-a": {"spec": {"nodeSelector": "rack == 'a'", "peerSelector": "has(reflector)"}},
	"rack-b": {"spec": {"nodeSelector": "rack == 'b'", "peerSelector": "has(reflector)"}},
	"reflectors": {"spec": {"nodeSelector": "has(reflector)", "peerSelector": "has(reflector)"}},
	"router": {"spec": {"peerIP": "10.0.0.9", "asNumber": 64600}},
}

nodes := {
	"a": node({"rack": "a", "only-a": ""}, {}),
	"b": node({"rack": "b", "not-a": ""}, {}),
	"r1": node({"reflector": "true", "not-a": ""}, {"projectcalico.org/RouteReflectorClusterID": "244.0.0.1"}),
	"r2": node({"reflector": "true", "not-a": ""}, {"projectcalico.org/RouteReflectorClusterID": "244.0.0.1"}),
	"no-bgp": {"metadata": {"labels": {}, "annotations": {}}},
}

node(labels, annotations) := {"metadata": {
	"labels": labels,
	"annotations": object.union(annotations, {"projectcalico.org/IPv4Address": "10.0.0.1/16"}),
}}

package policies.unpaired_sessions_test

import data.policies.testing_test as testing
import data.policies.unpaired_sessions as rule

test_success_every_half_session_has_another if {
	_violations({}) == set()
}

test_success_what_other_policies_find[reason] if {
	some reason in ["Overlapping", "ASNumberZero"]
	_violations(_broken(reason, _some)) == set()
}

test_fail_no_session_back if {
	some violation in _violations(_broken("NoReturn", _some))
	violation.id == "IPv4/NoReturn"
	violation.size == 12
	violation.members == ["broken"]
	violation.objects == [{
		"kind": "BGPPeer",
		"name": "rack-1",
		"fields": ["spec.peerIP", "spec.peerSelector", "spec.reversePeering"],
	}]
	violation.msg == concat("", [
		"IPv4 sessions cannot come up because the other node has no half-session back: 12 ",
		"half-sessions from 1 BGPPeer (rack-1) on 4 nodes (node-4, node-5, node-6 and 1 more); ",
		"each start of calico-node there waits 240 s; select the other node with a BGPPeer by ",
		"peerSelector, or by the peerIP and AS number of a node",
	])
}

test_fail_another_as_number_does_not_wait if {
	some violation in _violations(_broken("ASNumberMismatch", object.union(_some, {"bgpPeers": []})))
	violation.objects == [{"kind": "BGPConfiguration", "name": "default", "fields": ["spec.asNumber"]}]
	violation.msg == concat("", [
		"IPv4 sessions cannot come up because the two ends expect different AS numbers: 12 ",
		"half-sessions on 4 nodes (node-4, node-5, node-6 and 1 more); set asNumber of the ",
		"BGPPeer to that of the node with this peerIP, or set the AS numbers of all nodes in the ",
		"same way",
	])
}

test_fail_two_nodes_share_an_address if {
	addresses := {
		"shared": {"nodes": 2},
		"sharedAddresses": [{"address": "10.0.0.8", "nodes": 2, "sample": ["node-4", "node-9"]}],
	}
	patch := object.union(_broken("AddressShared", object.union(_some, {"nodes": 2})), {"addresses": {"IPv4": addresses}})
	some violation in _violations(patch)
	violation.id == "IPv4/AddressShared"
	endswith(violation.msg, concat("", [
		"waits 240 s; nodes node-4 and node-9 have the same address 10.0.0.8; give each node its own address ",
		"(annotation projectcalico.org/IPv4Address)",
	]))
	violation.objects == [
	{"kind": "Node", "name": name, "fields": ["metadata.annotations[projectcalico.org/IPv4Address]"]} |
		some name in ["node-4", "node-9"]
	]
}

test_fail_bgp_peers_with_the_old_as_number_are_the_cause if {
	group := {"asNumber": 64512, "nodeASNumber": 64600, "bgpPeers": 1, "sample": ["rack-1"]}
	cause := "BGPPeer rack-1 has asNumber 64512, but the node at its peerIP has AS number 64600; set asNumber: 64600"
	every reason in ["NoReturn", "ASNumberMismatch"] {
		some nodes, ending in {5: cause, 3: concat("", [cause, "; s"])}
		others := {"nodes": nodes, "groups": [group]}
		some violation in _violations(object.union(_broken(reason, _some), {"otherASNumbers": {"IPv4": others}}))
		contains(violation.msg, ending)
	}
	every reason in ["PasswordMismatch"] {
		others := {"nodes": 5, "groups": [group]}
		some violation in _violations(object.union(_broken(reason, _some), {"otherASNumbers": {"IPv4": others}}))
		not contains(violation.msg, cause)
	}
}

test_fail_several_bgp_peers_are_named if {
	some violation in _violations(_broken("NoReturn", object.union(_some, {"bgpPeers": ["a", "b", "c", "d"]})))
	contains(violation.msg, " from 4 BGPPeers (a, b, c and 1 more) on 4 nodes (")
}

test_fail_each_reason_is_a_violation if {
	reasons := {"NoReturn", "ASNumberMismatch", "PasswordMismatch", "TTLSecurityMismatch", "NobodyDials", "NotOnLink"}
	patch := {"sessions": {"IPv6": {"brokenReasons": {reason: _some | some reason in reasons}}}}
	{violation.details.reason | some violation in _violations(patch)} == reasons
}

_some := {
	"halfSessions": 12,
	"nodes": 4,
	"sample": ["node-4", "node-5", "node-6"],
	"members": "broken",
	"bgpPeers": ["rack-1"],
}

_broken(reason, half_sessions) := {"sessions": {"IPv4": {"brokenReasons": {reason: half_sessions}}}}

_violations(patch) := found if {
	found := rule.violation with input as testing.input_with(patch, {})
}

package policies.unpaired_sessions_test

import data.policies.testing_test as testing
import data.policies.unpaired_sessions as rule

test_success_every_half_session_has_another if {
	_violations({}) == set()
}

test_success_what_other_policies_are_about[reason] if {
	some reason in ["Overlapping", "AddressShared", "ASNumberZero"]
	_violations(_broken(reason, _some)) == set()
}

test_fail_no_session_back if {
	some violation in _violations(_broken("NoReturn", _some))
	violation.id == "IPv4/NoReturn"
	violation.size == 12
	violation.members == ["broken"]
	violation.objects == [{"kind": "BGPPeer", "name": "rack-1"}]
	violation.msg == concat("", [
		"12 half-sessions of 4 nodes (node-4, node-5, node-6 and 1 more) can never come up in IPv4, ",
		"because the other node has none back, and each start of calico-node there waits 240 s for them: ",
		"have a BGPPeer that gives the other node a session too: peers by peerSelector, ",
		"or by the peerIP and AS number of a node, are set up on both sides unless reversePeering is Manual; ",
		"by BGPPeer rack-1",
	])
}

test_fail_another_as_number_does_not_wait if {
	some violation in _violations(_broken("ASNumberMismatch", object.union(_some, {"bgpPeers": []})))
	violation.objects == [{"kind": "BGPConfiguration", "name": "default"}]
	violation.msg == concat("", [
		"12 half-sessions of 4 nodes (node-4, node-5, node-6 and 1 more) can never come up in IPv4, ",
		"because a side expects another AS number than the other has: ",
		"set asNumber of the BGPPeer to that of the node with this peerIP, ",
		"or give all nodes of the mesh their AS number in the same way",
	])
}

test_fail_several_bgp_peers_are_named if {
	some violation in _violations(_broken("NoReturn", object.union(_some, {"bgpPeers": ["a", "b", "c", "d"]})))
	endswith(violation.msg, "; by BGPPeers a, b, c and 1 more")
}

test_fail_each_reason_is_a_violation if {
	reasons := {"NoReturn", "ASNumberMismatch", "PasswordMismatch", "TTLSecurityMismatch", "NobodyDials"}
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

package policies.session_budget_test

import data.policies.session_budget as rule
import data.policies.testing_test as testing

test_success_within_both_limits if {
	_violations({}, {"maxSessionsPerNode": 3, "maxSessions": 21}) == set()
}

test_success_no_limit_in_all if {
	_violations({"sessions": {"IPv4": {"total": 12497500}}}, {"maxSessionsPerNode": 200}) == set()
}

test_fail_one_node_with_one_session_too_many if {
	load := [{"sessions": 2, "nodes": 1, "sample": ["node-4"], "members": "load/2"}]
	some violation in _violations({"sessions": {"IPv4": {"load": load}}}, {"maxSessionsPerNode": 1})
	violation.id == "IPv4/node"
	violation.size == 1
	violation.members == ["load/2"]
	violation.objects == [{"kind": "BGPPeer", "name": "to-reflectors"}]
	violation.msg == concat("", [
		"1 node (node-4) has more than 1 IPv4 session, up to 2: ",
		"have BGPPeers select fewer nodes on one side, such as route reflectors alone, ",
		"or raise the policy's parameter maxSessionsPerNode",
	])
}

test_fail_a_mesh_of_many if {
	load := [{"sessions": 299, "nodes": 300, "sample": ["a", "b", "c"], "members": "load/299"}]
	patch := {"mesh": {"enabled": true}, "sessions": {"IPv6": {"load": load}}}
	some violation in _violations(patch, {"maxSessionsPerNode": 200})
	violation.size == 29700
	violation.objects == [{"kind": "BGPConfiguration", "name": "default"}, {"kind": "BGPPeer", "name": "to-reflectors"}]
	violation.msg == concat("", [
		"300 nodes (a, b, c and 297 more) have more than 200 IPv6 sessions, up to 299: ",
		"peer the nodes with route reflectors and turn the node-to-node mesh off, ",
		"or raise the policy's parameter maxSessionsPerNode",
	])
}

test_fail_one_session_too_many_in_all if {
	some violation in _violations({}, {"maxSessionsPerNode": 200, "maxSessions": 20})
	violation.id == "IPv4/all"
	violation.size == 1
	violation.msg == concat("", [
		"the cluster has 21 IPv4 sessions, the limit is 20: ",
		"have BGPPeers select fewer nodes on one side, such as route reflectors alone, ",
		"or raise the policy's parameter maxSessions",
	])
}

_violations(patch, parameters) := found if {
	found := rule.violation with input as testing.input_with(patch, parameters)
}

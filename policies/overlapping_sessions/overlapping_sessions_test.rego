package policies.overlapping_sessions_test

import data.policies.overlapping_sessions as rule
import data.policies.testing_test as testing

test_success_one_protocol_for_each_neighbour if {
	_violations({}) == set()
}

test_success_half_sessions_that_are_broken_otherwise if {
	_violations({"sessions": {"IPv4": {"brokenReasons": {"NoReturn": _idle}}}}) == set()
}

test_fail_the_mesh_over_bgp_peers if {
	peers := {"all-to-all": {"name": "all-to-all", "scope": "nodes", "selects": ["spec.peerSelector"]}}
	some violation in _violations(object.union(_overlapping(_idle), {"mesh": {"enabled": true}, "bgpPeers": peers}))
	violation.id == "IPv4"
	violation.size == 90
	violation.members == ["overlapping"]
	violation.objects == [
		{"kind": "BGPConfiguration", "name": "default", "fields": ["spec.nodeToNodeMeshEnabled"]},
		{"kind": "BGPPeer", "name": "all-to-all", "fields": ["spec.peerSelector"]},
	]
	violation.msg == concat("", [
		"duplicate IPv4 sessions to the same peer: 90 idle half-sessions on 10 nodes (node-1, ",
		"node-2, node-3 and 7 more), BGPPeers: all-to-all; each start of calico-node there waits ",
		"240 s; set nodeToNodeMeshEnabled: false in BGPConfiguration default once the BGPPeers ",
		"connect all nodes, or delete these BGPPeers if you want the mesh",
	])
}

test_fail_one_neighbour_on_two_ports if {
	idle := {
		"halfSessions": 1,
		"nodes": 1,
		"sample": ["node-1"],
		"members": "overlapping",
		"bgpPeers": ["a", "b", "c", "d"],
	}
	some violation in _violations(_overlapping(idle))
	violation.msg == concat("", [
		"duplicate IPv4 sessions to the same peer: 1 idle half-session on 1 node (node-1), ",
		"BGPPeers: a, b, c and 1 more; each start of calico-node there waits 240 s; keep one ",
		"BGPPeer and one port for each peer",
	])
}

test_fail_one_router_on_two_ports_has_nothing_to_do_with_the_mesh if {
	peers := {"tor-a": {"name": "tor-a", "scope": "external", "selects": ["spec.peerIP"]}}
	idle := object.union(_idle, {"bgpPeers": ["tor-a"]})
	patch := object.union(_overlapping(idle), {"mesh": {"enabled": true}, "bgpPeers": peers})
	some violation in _violations(patch)
	violation.objects == [{"kind": "BGPPeer", "name": "tor-a", "fields": ["spec.peerIP"]}]
	endswith(violation.msg, concat("", [
		", BGPPeers: tor-a; each start of calico-node there waits 240 s; ",
		"keep one BGPPeer and one port for each peer",
	]))
}

test_fail_without_known_bgp_peers if {
	some violation in _violations(_overlapping(object.union(_idle, {"bgpPeers": []})))
	endswith(violation.msg, concat("", [
		" (node-1, node-2, node-3 and 7 more); each start of calico-node there waits 240 s; ",
		"keep one BGPPeer and one port for each peer",
	]))
}

_idle := {
	"halfSessions": 90,
	"nodes": 10,
	"sample": ["node-1", "node-2", "node-3"],
	"members": "overlapping",
	"bgpPeers": ["all-to-all"],
}

_overlapping(idle) := {"sessions": {"IPv4": {"brokenReasons": {"Overlapping": idle}}}}

_violations(patch) := found if {
	found := rule.violation with input as testing.input_with(patch, {})
}

package policies.external_peer_hygiene_test

import data.policies.external_peer_hygiene as rule
import data.policies.testing_test as testing

test_success_a_peer_in_order if {
	patch := {
		"bgpPeers": {"tor-1": _peer("tor-1", {}), "tor-2": _peer("tor-2", {"peerIP": "10.0.0.2"})},
		"ipPools": {"pods": {"name": "pods", "spec": {"cidr": "10.244.0.0/16"}}},
		"bgpConfigurations": {"default": {"name": "default", "spec": {"serviceClusterIPs": [{"cidr": "10.96.0.0/12"}]}}},
	}
	_violations(_peered(patch), {"maxHops": 1}) == set()
}

# Services.

test_fail_no_external_peer_for_services if {
	spec := {"serviceLoadBalancerIPs": [{"cidr": "10.99.0.0/24"}], "serviceClusterIPs": []}
	patch := {"bgpConfigurations": {"default": {"name": "default", "spec": spec}}}
	_violations(patch, {}) == {{
		"id": "services",
		"advisory": true,
		"size": 1,
		"msg": concat("", [
			"no external peer for service addresses: 1 field (serviceLoadBalancerIPs) in ",
			"BGPConfiguration default; routers outside the cluster get no routes to them; create a ",
			"BGPPeer for the routers, or remove the addresses",
		]),
		"details": {"fields": ["serviceLoadBalancerIPs"]},
		"objects": [{"kind": "BGPConfiguration", "name": "default", "fields": ["spec.serviceLoadBalancerIPs"]}],
	}}
	_violations(_peered(patch), {}) == set()
}

test_success_peers_that_are_nodes_or_pods if {
	every scope in ["nodes", "workloads"] {
		bare := {"name": "x", "scope": scope, "unusable": null, "spec": {"peerIP": "10.0.0.1", "asNumber": 64500}}
		_violations({"bgpPeers": {"x": bare}}, {"maxHops": 1}) == set()
	}
}

# Peers with which no session can come up.

test_fail_a_loopback_address if {
	peer := object.union(_peer("lb", {"peerIP": "127.0.0.1", "password": null}), {"unusable": "127.0.0.1 is one"})
	_violations({"bgpPeers": {"lb": peer}}, {"maxHops": 1}) == {{
		"id": "lb/unusable",
		"size": 1,
		"msg": concat("", [
			"BGPPeer lb has a peer with which no session can come up: 127.0.0.1 is one; each start of ",
			"calico-node on its nodes waits 240 s for it; set peerIP to the router's address on the nodes' ",
			"network, or delete the BGPPeer",
		]),
		"details": {"reason": "127.0.0.1 is one"},
		"objects": [{"kind": "BGPPeer", "name": "lb"}],
	}}
}

test_fail_a_node_and_pods_that_cannot_be_peers if {
	endings := {
		"nodes": ": a reason; set peerIP to the address of another node, or delete the BGPPeer",
		"workloads": ": a reason; set one of these fields, or delete the BGPPeer",
	}
	every scope, ending in endings {
		peer := object.union(_peer("x", {}), {"scope": scope, "unusable": "a reason"})
		some violation in _violations({"bgpPeers": {"x": peer}}, {})
		endswith(violation.msg, ending)
	}
}

# Passwords.

test_success_passwords_are_not_asked_for if {
	_of_peer({"password": null}, {"requirePassword": false}) == set()
}

test_fail_a_peer_without_a_password if {
	_of_peer({"password": null}, {}) == {{
		"id": "tor-1/password",
		"size": 1,
		"msg": concat("", [
			"BGPPeer tor-1 has no password: anyone who can send packets from the peer's address ",
			"can reset its sessions; set spec.password.secretKeyRef, and the same password on the ",
			"router",
		]),
		"details": {"peerIP": "10.0.0.1"},
		"objects": [{"kind": "BGPPeer", "name": "tor-1", "fields": ["spec.password"]}],
	}}
}

# TTL security.

test_success_ttl_security_is_not_asked_for if {
	every hops in [null, 0, 255] {
		_of_peer({"ttlSecurity": hops}, {}) == set()
	}
}

test_success_as_many_hops_as_may_be if {
	_of_peer({"ttlSecurity": 2}, {"maxHops": 2}) == set()
}

test_fail_no_ttl_security if {
	every hops in [null, 0] {
		_of_peer({"ttlSecurity": hops}, {"maxHops": 2}) == {{
			"id": "tor-1/ttl-security",
			"size": 253,
			"msg": concat("", [
				"BGPPeer tor-1 accepts packets from too far away: ttlSecurity is unset, the ",
				"maximum is 2 (parameter maxHops); set spec.ttlSecurity: 2 or less, and TTL ",
				"security on the router",
			]),
			"details": {"peerIP": "10.0.0.1", "ttlSecurity": 0, "maxHops": 2},
			"objects": [{"kind": "BGPPeer", "name": "tor-1", "fields": ["spec.ttlSecurity"]}],
		}}
	}
}

test_fail_too_many_hops if {
	some violation in _of_peer({"ttlSecurity": 3}, {"maxHops": 2})
	violation.size == 1
	violation.msg == concat("", [
		"BGPPeer tor-1 accepts packets from too far away: ttlSecurity is 3, the maximum is 2 ",
		"(parameter maxHops); set spec.ttlSecurity: 2 or less, and TTL security on the router",
	])
}

# AS numbers.

test_success_as_numbers_that_are_not_reserved if {
	fine := [1, 23455, 64495, 64512, 65534, 65552, 4200000000, 4294967294, "65000", "1.100"]
	every number in fine {
		_of_peer({"asNumber": number, "localASNumber": number}, {}) == set()
	}
}

test_success_an_as_number_that_is_allowed if {
	_of_peer({"asNumber": 64500}, {"allowedASNumbers": [64500]}) == set()
}

test_success_no_as_number_is_not_a_reserved_one if {
	_of_peer({"asNumber": null}, {}) == set()
}

test_fail_an_as_number_for_documentation if {
	_of_peer({"asNumber": 64500}, {}) == {{
		"id": "tor-1/asNumber",
		"size": 1,
		"msg": concat("", [
			"BGPPeer tor-1 has a reserved AS number: asNumber is 64500 (RFC 5398, for ",
			"documentation); use the router's AS number, for private use 64512 to 65534 or ",
			"4200000000 to 4294967294, or add it to the parameter allowedASNumbers",
		]),
		"details": {"field": "spec.asNumber", "asNumber": 64500},
		"objects": [{"kind": "BGPPeer", "name": "tor-1", "fields": ["spec.asNumber"]}],
	}}
}

test_fail_reserved_as_numbers if {
	every number in [0, 23456, 64496, 64511, 65535, 65536, 65551, 4294967295, "1.0"] {
		{violation.id | some violation in _of_peer({"asNumber": number}, {})} == {"tor-1/asNumber"}
		{violation.id | some violation in _of_peer({"localASNumber": number}, {})} == {"tor-1/localASNumber"}
	}
}

# Duplicates.

test_success_other_nodes_or_ports if {
	cases := [
		[{"node": "node-1"}, {"node": "node-2"}],
		[{"nodeSelector": "rack == 'a'"}, {"nodeSelector": "rack == 'b'"}],
		[{"nodeSelector": "rack == 'a'"}, {"node": "node-1"}],
		[{"peerIP": "10.0.0.1"}, {"peerIP": "10.0.0.1:1179"}],
		[{"peerIP": "fd00::1"}, {"peerIP": "[fd00::1]:1179"}],
		[{"peerIP": "no address"}, {"peerIP": "no address"}],
	]
	every case in cases {
		_of_two(case[0], case[1]) == set()
	}
}

test_success_two_of_which_one_has_no_node if {
	idle := object.union(_peer("two", {}), {"localNodes": 0})
	_violations({"bgpPeers": {"one": _peer("one", {}), "two": idle}}, {}) == set()
}

test_fail_two_for_the_same_nodes if {
	_of_two({}, {}) == {{
		"id": "same-peer/10.0.0.1",
		"size": 1,
		"msg": concat("", [
			"duplicate BGPPeers: 2 BGPPeers (one, two) give the same nodes the peer 10.0.0.1; ",
			"Calico uses one of them for each node; keep one, or separate them by nodes or ports",
		]),
		"details": {"peer": "10.0.0.1", "bgpPeers": ["one", "two"]},
		"objects": [
			{"kind": "BGPPeer", "name": "one", "fields": ["spec.peerIP"]},
			{"kind": "BGPPeer", "name": "two", "fields": ["spec.peerIP"]},
		],
	}}
}

test_fail_however_nodes_and_address_are_written if {
	cases := [
		[{"node": "node-1"}, {"node": "node-1"}],
		[{"nodeSelector": "rack == 'a'", "node": "node-1"}, {"nodeSelector": "rack == 'a'"}],
		[{"nodeSelector": "rack == 'a'"}, {}],
		[{}, {"node": "node-1"}],
		[{"peerIP": "10.0.0.1"}, {"peerIP": "10.0.0.1:179"}],
		[{"peerIP": "fd00::1"}, {"peerIP": "FD00:0:0::1"}],
		[{"peerIP": "[fd00::1]:1179"}, {"peerIP": "[fd00:0::1]:1179"}],
	]
	every case in cases {
		count(_of_two(case[0], case[1])) == 1
	}
}

test_fail_another_port_is_named if {
	some violation in _of_two({"peerIP": "10.0.0.1:1179"}, {"peerIP": "10.0.0.1:1179"})
	violation.id == "same-peer/10.0.0.1 port 1179"
}

# Addresses.

test_success_invalid_addresses if {
	every address in [null, "", "10.244.0.256", "10.244.0", "[10.244.0.1", "10.244.0.1:x", "pods"] {
		patch := {
			"bgpPeers": {"tor-1": _peer("tor-1", {"peerIP": address})},
			"ipPools": {"pods": {"name": "pods", "spec": {"cidr": "10.244.0.0/16"}}},
		}
		_violations(patch, {}) == set()
	}
}

test_fail_an_address_of_pods if {
	patch := {
		"bgpPeers": {"tor-1": _peer("tor-1", {"peerIP": "10.244.1.1:1179"})},
		"ipPools": {
			"broken": {"name": "broken", "spec": {"cidr": "10.244.0.0"}},
			"none": {"name": "none", "spec": {"cidr": null}},
			"pods": {"name": "pods", "spec": {"cidr": "10.244.0.0/16"}},
		},
	}
	_violations(patch, {}) == {{
		"id": "tor-1/address",
		"size": 1,
		"msg": concat("", [
			"BGPPeer tor-1 has a peerIP that the cluster assigns: 10.244.1.1:1179 is in ",
			"10.244.0.0/16 of IPPool pods; use the router's address on the nodes' network",
		]),
		"details": {"peerIP": "10.244.1.1:1179", "ranges": ["10.244.0.0/16"]},
		"objects": [
			{"kind": "BGPPeer", "name": "tor-1", "fields": ["spec.peerIP"]},
			{"kind": "IPPool", "name": "pods", "fields": ["spec.cidr"]},
		],
	}}
}

test_fail_an_address_of_services if {
	every field in ["serviceClusterIPs", "serviceExternalIPs", "serviceLoadBalancerIPs"] {
		patch := {
			"bgpPeers": {"tor-1": _peer("tor-1", {"peerIP": "fd00:1::1"})},
			"bgpConfigurations": {
				"default": {"name": "default", "spec": {field: [{"cidr": "10.96.0.0/12"}, {"cidr": "fd00:1::/112"}]}},
				"node.a": {"name": "node.a", "spec": {field: [{"cidr": "::/0"}]}},
			},
		}
		some violation in _violations(_peered(patch), {})
		violation.details.ranges == ["fd00:1::/112"]
		contains(violation.msg, sprintf("is in fd00:1::/112 of %s in BGPConfiguration default; ", [field]))
	}
}

_of_two(one, two) := _violations({"bgpPeers": {"one": _peer("one", one), "two": _peer("two", two)}}, {})

_of_peer(spec, parameters) := _violations({"bgpPeers": {"tor-1": _peer("tor-1", spec)}}, parameters)

_peer(name, spec) := {
	"name": name,
	"scope": "external",
	"unusable": null,
	"localNodes": 3,
	"spec": object.union(_in_order, spec),
	"selects": ["spec.peerIP"],
}

_in_order := {
	"peerIP": "10.0.0.1",
	"asNumber": 65000,
	"ttlSecurity": 1,
	"password": {"secretKeyRef": {"name": "bgp", "key": "tor"}},
}

_violations(patch, parameters) := found if {
	defaults := {"requirePassword": true, "allowedASNumbers": []}
	found := rule.violation with input as testing.input_with(patch, object.union(defaults, parameters))
}

_peered(patch) := object.union(patch, {"sessions": {"IPv4": {"external": 3}}})

# Ranges of addresses of Services that contain addresses of nodes or of pods.
package policies.reachability_preserved_test

test_fail_addresses_of_nodes_in_a_range_of_services if {
	_violations(_ranged({"nodes": 2, "sample": ["node-8", "node-9"], "members": "hops"})) == {{
		"id": "IPv4/next-hops/serviceExternalIPs/10.0.0.0/28",
		"size": 2,
		"members": ["hops"],
		"msg": concat("", [
			"next hops in a range of addresses of Services: 2 of 10 nodes (node-8, node-9) have an IPv4 address in ",
			"10.0.0.0/28 of serviceExternalIPs, so other nodes resolve them through their route to the range and drop ",
			"packets to the pods of these nodes; use a range without addresses of nodes",
		]),
		"details": {
			"family": "IPv4",
			"range": "10.0.0.0/28",
			"field": "serviceExternalIPs",
			"nodes": 2,
			"sample": ["node-8", "node-9"],
		},
		"objects": [{"kind": "BGPConfiguration", "name": "default", "fields": ["spec.serviceExternalIPs"]}],
	}}
}

test_success_a_range_without_addresses_of_nodes if {
	_violations(_ranged({"nodes": 0, "sample": [], "members": "hops"})) == set()
}

test_success_addresses_in_a_range_without_bird if {
	patch := object.union(
		_ranged({"nodes": 2, "sample": ["node-8", "node-9"], "members": "hops"}),
		{"bgp": {"enabled": false, "installation": "default", "deleting": false}},
	)
	_violations(patch) == set()
}

_ranged(hops) := {"serviceRanges": {"IPv4": [{
	"field": "serviceExternalIPs",
	"cidr": "10.0.0.0/28",
	"nodes": 10,
	"sessions": 0,
	"partSessions": 0,
	"unadvertised": {"addresses": 16, "sample": ["10.0.0.0/28"]},
	"nextHops": hops,
	"ipPools": [],
}]}}

test_fail_pods_in_a_range if {
	_violations(_around([{"name": "pool-a", "cidr": "10.244.0.0/17"}])) == {{
		"id": "IPv4/pods-in-range/serviceClusterIPs/10.244.0.0/17",
		"size": 1,
		"msg": concat("", [
			"pods in a range of addresses of Services: 10.244.0.0/17 of serviceClusterIPs contains IPv4 ",
			"addresses of 1 IPPool (10.244.0.0/17 of pool-a), so nodes program no routes to these pods on ",
			"other nodes; use a range outside all IPPools",
		]),
		"details": {
			"family": "IPv4",
			"range": "10.244.0.0/17",
			"field": "serviceClusterIPs",
			"ipPools": [{"name": "pool-a", "cidr": "10.244.0.0/17"}],
		},
		"objects": [{"kind": "BGPConfiguration", "name": "default", "fields": ["spec.serviceClusterIPs"]}],
	}}
}

test_success_pods_in_a_range_of_a_pool_without_bgp if {
	_violations(_around([{"name": "pool-z", "cidr": "10.244.0.0/17"}])) == set()
}

test_success_pods_in_a_range_on_one_node if {
	patch := {"routes": {"IPv4": {"withTransit": {"nodes": 1}}}}
	_violations(object.union(_around([{"name": "pool-a", "cidr": "10.244.0.0/17"}]), patch)) == set()
}

_around(parts) := {
	"podTraffic": {"IPv4": {"pools": ["pool-a"]}},
	"serviceRanges": {"IPv4": [{
		"field": "serviceClusterIPs",
		"cidr": "10.244.0.0/17",
		"nodes": 10,
		"sessions": 0,
		"nextHops": {"nodes": 0, "sample": [], "members": "hops"},
		"ipPools": parts,
	}]},
}

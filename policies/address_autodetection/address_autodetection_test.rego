package policies.address_autodetection_test

import data.policies.address_autodetection as rule
import data.policies.testing_test as testing

test_success_addresses_of_the_nodes if {
	_violations({}) == set()
}

test_fail_a_bridge if {
	_violations(_wrong("IPv4", [{"node": "node-9", "address": "172.17.0.1", "internalIP": "10.20.0.99"}])) == {{
		"id": "IPv4",
		"size": 1,
		"members": ["misdetected"],
		"msg": concat("", [
			"BGP addresses that other nodes probably cannot reach: 1 of 10 nodes (node-9 has 172.17.0.1, ",
			"its InternalIP is 10.20.0.99); set the autodetection method of calico-node to the nodes' ",
			"network, for example IP_AUTODETECTION_METHOD=kubernetes-internal-ip",
		]),
		"details": {
			"family": "IPv4",
			"nodes": 1,
			"addresses": [{"node": "node-9", "address": "172.17.0.1", "internalIP": "10.20.0.99"}],
		},
		"objects": [{"kind": "Node", "name": "node-9"}],
	}}
}

test_fail_a_node_without_an_internal_address if {
	some violation in _violations(_wrong("IPv6", [{"node": "node-9", "address": "fd11::1", "internalIP": null}]))
	contains(violation.msg, "(node-9 has fd11::1); ")
	endswith(violation.msg, " IP6_AUTODETECTION_METHOD=kubernetes-internal-ip")
}

_wrong(family, addresses) := {"addresses": {family: {
	"misdetected": {"nodes": count(addresses), "sample": [one.node | some one in addresses], "members": "misdetected"},
	"misdetectedAddresses": addresses,
}}}

_violations(patch) := found if {
	found := rule.violation with input as testing.input_with(patch, {})
}

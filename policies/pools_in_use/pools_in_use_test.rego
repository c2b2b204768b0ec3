package policies.pools_in_use_test

import data.policies.pools_in_use as rule
import data.policies.testing_test as testing

# Known allocations.

test_success_no_block_loses_its_pool if {
	_violations(_deleted(_pool("none")), _known(2), _known(2)) == set()
	_violations(_deleted(_pool("some")), _known(0), _known(0)) == set()
	_violations(_deleted(_pool("some")), _known(3), _known(1)) == set()
}

test_success_a_finalizer_waits_for_the_pods if {
	change := object.union(
		_deleted(_pool("some")),
		{"oldObject": {"metadata": {"name": "a", "finalizers": ["projectcalico.org/ippool-finalizer"]}}},
	)
	_violations(change, _known(0), _known(3)) == set()
	some violation in _violations(object.union(change, {"operation": "UPDATE"}), _known(0), _known(3))
	violation.size == 3
}

test_fail_a_pool_in_use_is_deleted if {
	_violations(_deleted(_pool("some")), _known(1), _known(3)) == {{
		"id": "IPPool/a",
		"size": 2,
		"msg": concat("", [
			"IPPool a is deleted while pods have addresses of it: 2 IPAMBlocks would be in no ",
			"IPPool, and their pods would lose their routes; first disable the IPPool and ",
			"recreate its pods, or create an IPPool that contains its CIDR",
		]),
		"details": {"ipPool": "a", "allocations": "some", "blocks": 2},
		"objects": [{"kind": "IPPool", "name": "a", "fields": []}],
	}}
}

test_fail_the_cidr_of_a_pool_in_use_changes if {
	new := object.union(_pool("none"), {"spec": {"cidr": "10.9.0.0/16"}})
	some violation in _violations(_updated(_pool("some"), new), _known(0), _known(1))
	violation.objects == [{"kind": "IPPool", "name": "a", "fields": ["spec.cidr"]}]
	startswith(violation.msg, concat("", [
		"the CIDR of IPPool a changes from 10.1.0.0/16 to 10.9.0.0/16 while pods have addresses ",
		"of it: 1 IPAMBlock would ",
	]))
}

test_fail_load_balancers_become_the_only_use if {
	some violation in _violations(_updated(_pool("some"), _used_for(["LoadBalancer"])), _known(0), _known(1))
	violation.objects == [{"kind": "IPPool", "name": "a", "fields": ["spec.allowedUses"]}]
	startswith(violation.msg, "LoadBalancer becomes the only use of IPPool a while pods have addresses of it")
}

test_success_pods_keep_their_routes_in_a_pool_for_tunnels if {
	_violations(_updated(_pool("some"), _used_for(["Tunnel"])), _known(0), _known(0)) == set()
}

# Unknown allocations.

test_success_unknown_and_nothing_is_lost if {
	changes := {
		"disabled": _updated(_pool("unknown"), object.union(_pool("unknown"), {"spec": {"disabled": true}})),
		"a larger CIDR": _updated(_pool("unknown"), object.union(_pool("unknown"), {"spec": {"cidr": "10.0.0.0/8"}})),
		"known to hold nothing": _deleted(_pool("none")),
		"not for pods": _deleted(object.union(_used_for(["LoadBalancer"]), {"allocations": "unknown"})),
		"created": _change("CREATE", {}, {"a": _pool("unknown")}),
		"another kind": object.union(_deleted(_pool("unknown")), {"kind": "BGPPeer"}),
	}
	every change in changes {
		_violations(change, {}, {}) == set()
	}
}

test_success_unknown_and_another_pool_contains_it if {
	larger := object.union(_pool("unknown"), {"name": "b", "spec": {"cidr": "10.0.0.0/8"}})
	change := _change("DELETE", {"a": _pool("unknown"), "b": larger}, {"b": larger})
	_violations(change, {}, {}) == set()
}

test_fail_unknown_and_the_other_pool_does_not_contain_it if {
	others := {
		"smaller": {"cidr": "10.1.0.0/17"},
		"other": {"cidr": "10.2.0.0/16"},
		"invalid": {"cidr": "10.0.0.0"},
		"for load balancers": {"cidr": "10.0.0.0/8", "allowedUses": ["LoadBalancer"]},
	}
	every spec in others {
		other := object.union(_pool("unknown"), {"name": "b", "spec": spec})
		change := _change("DELETE", {"a": _pool("unknown"), "b": other}, {"b": other})
		count(_violations(change, {}, {})) == 1
	}
}

test_fail_unknown_is_advisory if {
	_violations(_deleted(_pool("unknown")), {}, {}) == {{
		"id": "IPPool/a",
		"advisory": true,
		"size": 1,
		"msg": concat("", [
			"IPPool a is deleted, and bgpguard does not know whether pods have addresses of it: ",
			"such pods would lose their routes; check with calicoctl ipam show --show-blocks, or ",
			"let bgpguard read IPAMBlocks (component ipam)",
		]),
		"details": {"ipPool": "a", "allocations": "unknown", "blocks": 0},
		"objects": [{"kind": "IPPool", "name": "a", "fields": []}],
	}}
}

test_fail_unknown_and_pods_are_no_longer_a_use if {
	some violation in _violations(_updated(_pool("unknown"), _used_for(["Tunnel"])), {}, {})
	violation.advisory
	contains(violation.msg, "pods are no longer a use of IPPool a, and ")
	contains(violation.msg, "such pods keep their routes, but bgpguard would no longer protect them; ")
}

_pool(allocations) := {
	"name": "a",
	"family": "IPv4",
	"needsBGP": true,
	"allocations": allocations,
	"spec": {"cidr": "10.1.0.0/16"},
}

_used_for(uses) := object.union(_pool("unknown"), {"spec": {"allowedUses": uses}})

_deleted(pool) := _change("DELETE", {"a": pool}, {})

_updated(old, new) := _change("UPDATE", {"a": old}, {"a": new})

_change(operation, before, after) := {
	"operation": operation,
	"kind": "IPPool",
	"name": "a",
	"object": null,
	"oldObject": null,
	"before": before,
	"after": after,
}

_known(blocks) := {"podAddresses": {"known": true, "withoutPool": {"IPv4": {"blocks": blocks}}}}

_violations(change, before, after) := found if {
	old := testing.input_with(object.union(before, {"ipPools": change.before}), {})
	new := testing.input_with(object.union(after, {"ipPools": change.after}), {})
	found := rule.violation with input as object.union(new, {"before": old.state, "change": change})
}

package policies.dangling_references_test

import data.policies.dangling_references as rule
import data.policies.testing_test as testing

test_success_all_references_exist if {
	_violations({
		"bgpPeers": {"tor": _peer({"filters": ["no-default"], "password": _secret("bgp", "tor")})},
		"bgpConfigurations": {"default": {"name": "default", "spec": {"nodeMeshPassword": _secret("bgp", "mesh")}}},
		"mesh": {"enabled": true},
		"bgpFilters": {"known": true, "names": ["no-default", "other"]},
		"secrets": {"known": true, "keys": {"bgp": ["mesh", "tor"]}},
	}) == set()
}

test_success_no_references if {
	every spec in [null, {}, {"filters": [], "password": null}, {"filters": null}] {
		_violations(object.union(_nothing_there, {"bgpPeers": {"tor": _peer(spec)}})) == set()
	}
}

test_success_filters_and_secrets_are_unknown if {
	_violations({
		"bgpPeers": {"tor": _peer({"filters": ["no-default"], "password": _secret("bgp", "tor")})},
		"bgpFilters": {"known": false, "names": []},
		"secrets": {"known": false, "keys": {}},
	}) == set()
}

test_success_the_password_of_a_mesh_that_is_off if {
	patch := {
		"bgpConfigurations": {"default": {"name": "default", "spec": {"nodeMeshPassword": _secret("bgp", "mesh")}}},
		"mesh": {"enabled": false},
	}
	_violations(object.union(_nothing_there, patch)) == set()
}

test_success_the_mesh_has_its_password_from_default_only if {
	patch := {
		"bgpConfigurations": {"node.a": {"name": "node.a", "spec": {"nodeMeshPassword": _secret("bgp", "mesh")}}},
		"mesh": {"enabled": true},
	}
	_violations(object.union(_nothing_there, patch)) == set()
}

test_fail_a_missing_filter if {
	patch := {"bgpPeers": {"tor": _peer({"filters": ["no-default", "there"]})}}
	_violations(object.union({"bgpFilters": {"known": true, "names": ["there"]}}, patch)) == {{
		"id": "BGPPeer/tor/filters",
		"size": 1,
		"msg": concat("", [
			"BGPPeer tor has BGPFilters that do not exist: 1 BGPFilter (no-default); Calico skips ",
			"them and passes the routes that they should block; create them, or remove them from ",
			"spec.filters",
		]),
		"details": {"filters": ["no-default"]},
		"objects": [
			{"kind": "BGPPeer", "name": "tor", "fields": ["spec.filters"]},
			{"kind": "BGPFilter", "name": "no-default", "fields": []},
		],
	}}
}

test_fail_many_missing_filters if {
	patch := {"bgpPeers": {"tor": _peer({"filters": ["d", "c", "b", "a", "a"]})}}
	some violation in _violations(object.union(_nothing_there, patch))
	violation.size == 4
	violation.msg == concat("", [
		"BGPPeer tor has BGPFilters that do not exist: 4 BGPFilters (a, b, c and 1 more); Calico ",
		"skips them and passes the routes that they should block; create them, or remove them ",
		"from spec.filters",
	])
}

test_fail_a_missing_secret if {
	patch := {"bgpPeers": {"tor": _peer({"password": _secret("bgp", "tor")})}}
	_violations(object.union(_nothing_there, patch)) == {{
		"id": "BGPPeer/tor/password",
		"size": 1,
		"msg": concat("", [
			"BGPPeer tor has no usable password: Secret bgp does not exist in calico-node's ",
			"namespace; its sessions cannot come up if the other end has one; create it, or ",
			"reference another Secret",
		]),
		"details": {"field": "spec.password", "secret": "bgp", "key": "tor"},
		"objects": [{"kind": "BGPPeer", "name": "tor", "fields": ["spec.password"]}],
	}}
}

test_fail_a_secret_without_the_key if {
	patch := {"bgpPeers": {"tor": _peer({"password": _secret("bgp", "tor")})}}
	every keys in [[], ["mesh"]] {
		some violation in _violations(object.union({"secrets": {"known": true, "keys": {"bgp": keys}}}, patch))
		violation.msg == concat("", [
			"BGPPeer tor has no usable password: Secret bgp has no key tor; its sessions cannot ",
			"come up if the other end has one; add the key, or reference another one",
		])
	}
}

test_fail_a_reference_with_parts_missing if {
	cases := {
		"no name": [{"secretKeyRef": {"key": "tor"}}, "has no name"],
		"no key": [{"secretKeyRef": {"name": "bgp", "key": ""}}, "has no key"],
		"null": [{"secretKeyRef": {"name": null, "key": "tor"}}, "has no name"],
		"a reference that is null": [{"secretKeyRef": null}, "has no name and no key"],
		"neither": [{"secretKeyRef": {}}, "has no name and no key"],
		"no reference": [{}, "has no name and no key"],
	}
	every case in cases {
		messages := {violation.msg |
			some violation in _violations({"bgpPeers": {"tor": _peer({"password": case[0]})}})
		}
		messages == {concat("", [
			sprintf("BGPPeer tor has no usable password: spec.password.secretKeyRef %s; ", [case[1]]),
			"its sessions cannot come up if the other end has one; set name and key",
		])}
	}
}

test_fail_the_mesh_has_no_password if {
	patch := {
		"bgpConfigurations": {"default": {"name": "default", "spec": {"nodeMeshPassword": _secret("bgp", "mesh")}}},
		"mesh": {"enabled": true},
	}
	_violations(object.union(_nothing_there, patch)) == {{
		"id": "BGPConfiguration/default/nodeMeshPassword",
		"size": 1,
		"msg": concat("", [
			"BGPConfiguration default has no usable password: Secret bgp does not exist in ",
			"calico-node's namespace; the sessions of the mesh cannot come up if the other end ",
			"has one; create it, or reference another Secret",
		]),
		"details": {"field": "spec.nodeMeshPassword", "secret": "bgp", "key": "mesh"},
		"objects": [{"kind": "BGPConfiguration", "name": "default", "fields": ["spec.nodeMeshPassword"]}],
	}}
}

_nothing_there := {"bgpFilters": {"known": true, "names": []}, "secrets": {"known": true, "keys": {}}}

_secret(name, key) := {"secretKeyRef": {"name": name, "key": key}}

_peer(spec) := {"name": "tor", "spec": spec}

_violations(patch) := found if {
	found := rule.violation with input as testing.input_with(patch, {})
}

package policies.lib.transit_test

import data.policies.lib.transit

_routes := {
	"withTransit": {"nodes": 1},
	"withoutTransit": {"nodes": 2},
	"knownTransit": [
		{"transitPeers": ["tor"], "reach": {"nodes": 3}},
		{"transitPeers": ["192.0.2.0/24", "64512"], "reach": {"nodes": 4}},
	],
}

test_readings_without_known_peers if {
	transit.readings(_routes, []) == [
		{"reach": {"nodes": 1}, "assumes": []},
		{"reach": {"nodes": 2}, "assumes": ["external peers do not pass routes on between nodes"]},
	]
}

test_readings_with_known_peers if {
	transit.readings(_routes, ["tor"])[1] == {
		"reach": {"nodes": 3},
		"assumes": ["only the external peers in transitPeers pass routes on between nodes"],
	}
}

test_known_peers_that_the_input_does_not_have_pass_nothing_on if {
	transit.known(_routes, ["other"]) == {"nodes": 2}
}

test_assumption_joins_clauses if {
	transit.assumption([]) == {}
	transit.assumption(["a"]) == {"assumption": "a"}
	transit.assumption(["a", "b"]) == {"assumption": "a, and b"}
}

test_every_reading_counts_the_pairs_of_others if {
	reach := {pairs: {"withoutRoute": {"pairs": pairs}} | some pairs in [1, 2, 3, 4, 5, 6]}
	linked := _of(reach[1], reach[2], reach[3])
	routes := object.union(linked, {"withoutLinks": _of(reach[4], reach[5], reach[6])})
	found := transit.every_reading(routes, [], false)
	[one.reach.withoutRoute.pairs | some one in found] == [1, 2, 3, 4, 5, 6]
	[one.transit | some one in found] == [1, 1, 1, 4, 4, 4]
	[one.linked | some one in array.slice(found, 3, 6)] == [1, 2, 3]
	[count(one.assumes) | some one in found] == [0, 1, 1, 1, 2, 2]

	# Without such links the readings are the same, under the assumption that there are none.
	same := transit.every_reading(object.union(linked, {"withoutLinks": null}), [], true)
	[one.reach.withoutRoute.pairs | some one in same] == [1, 2, 1, 2]
}

_of(with_transit, without_transit, with_as_paths) := {
	"withTransit": with_transit,
	"withoutTransit": without_transit,
	"withASPaths": with_as_paths,
	"knownTransit": [],
}

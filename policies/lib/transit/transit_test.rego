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

package author

import (
	"slices"
	"testing"
)

func TestSlowFindsWhatCostsTimeAndNothingElse(t *testing.T) {
	for name, c := range map[string]struct {
		rules string
		want  []string
	}{
		"one pass over the peers": {
			`violation contains name if { some name, peer in input.state.bgpPeers; peer.labels.owner == "" }`, nil,
		},
		"two passes one after the other": {
			`violation contains 1 if { count([p | some p in input.state.bgpPeers]) > count([p | some p in input.state.bgpPeers; p.labels.a]) }`, nil,
		},
		"peers by each peer": {
			`violation contains 1 if { some a in input.state.bgpPeers; some b in input.state.bgpPeers; a.name < b.name }`, []string{checkSquare},
		},
		"peers by each peer, with references": {
			`violation contains 1 if { input.state.bgpPeers[a].spec == input.state.bgpPeers[b].spec; a < b }`, []string{checkSquare},
		},
		"a look-up by a known name": {
			`violation contains 1 if { some name in ["a", "b"]; input.state.bgpPeers[name].spec; input.before.bgpPeers[name].spec }`, nil,
		},
		"the same peer before and after": {
			`violation contains name if { some name, peer in input.state.bgpPeers; input.before.bgpPeers[name].spec != peer.spec }`, nil,
		},
		"a comprehension for each peer": {
			`violation contains 1 if { some a in input.state.bgpPeers; same := [b | some b in input.state.bgpPeers; b.spec == a.spec]; count(same) > 1 }`, []string{checkSquare},
		},
		"a comprehension before": {
			`violation contains 1 if { all := {b.spec.peerIP | some b in input.state.bgpPeers}; some a in input.state.bgpPeers; a.spec.peerIP in all }`, nil,
		},
		"every peer for each peer": {
			`violation contains 1 if { some a in input.state.bgpPeers; every b in input.state.bgpPeers { a.name != b.name } }`, []string{checkSquare},
		},
		"another name for the peers": {
			`violation contains 1 if { peers := input.state.bgpPeers; some a in peers; some b in peers; a.name < b.name }`, []string{checkSquare},
		},
		"a function that passes over the peers, for each": {
			"violation contains 1 if { some a in input.state.bgpPeers; twin(a) }\n" +
				`twin(a) if { some b in input.state.bgpPeers; a.name < b.name }`, []string{checkSquare},
		},
		"such a function once": {
			"violation contains 1 if twin(input.parameters.name)\n" + `twin(a) if { some b in input.state.bgpPeers; a < b.name }`, nil,
		},
		"in an else": {
			`f(x) if x else if { some a in input.state.bgpPeers; some b in input.state.bgpPeers; a < b }`, []string{checkSquare},
		},
		"all nodes": {
			`violation contains 1 if data.state.nodes["a"].notReady`, []string{checkAllNodes},
		},
		"nodes for each peer": {
			`violation contains 1 if { some a in input.state.bgpPeers; some n in data.state.nodes; a.name == n.name }`, []string{checkAllNodes, checkSquare},
		},
		"a pattern from each peer": {
			`violation contains 1 if { some a in input.state.bgpPeers; regex.match(a.labels.pattern, "x") }`, []string{checkPattern},
		},
		"a pattern that is put together for each peer": {
			`violation contains 1 if { some a in input.state.bgpPeers; p := sprintf("^%s$", [a.name]); glob.match(p, [], "x") }`, []string{checkPattern},
		},
		"a constant pattern": {
			`violation contains 1 if { some a in input.state.bgpPeers; regex.match("^tor-", a.name) }`, nil,
		},
		"patterns from a parameter": {
			`violation contains 1 if { some a in input.state.bgpPeers; some p in input.parameters.patterns; regex.match(p, a.name) }`, nil,
		},
		"a walk through the state":  {`violation contains 1 if { walk(input.state, [path, 7]); count(path) > 2 }`, []string{checkWalk}},
		"a walk through the change": {`violation contains 1 if { walk(input.change.object, [path, 7]); count(path) > 2 }`, nil},
		"a long range":              {`violation contains n if some n in numbers.range(1, 100000)`, []string{checkRange}},
		"a short range":             {`violation contains n if some n in numbers.range(1, 60)`, nil},
		"a range over nodes":        {`violation contains n if some n in numbers.range(1, input.state.nodes.total)`, []string{checkRange}},
		"print":                     {`violation contains 1 if { print("here"); input.state.mesh.enabled }`, []string{checkPrint}},
		"print in a comprehension":  {`violation contains 1 if count([x | some x in [1]; print(x)]) == 1`, []string{checkPrint}},
	} {
		t.Run(name, func(t *testing.T) {
			modules, err := parse(map[string]string{"a.rego": "package policies.a\n\n" + c.rules + "\n", "a_test.rego": "package policies.a_test\n\ntest_a if print(1)\n"})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range slow(modules) {
				got = append(got, f.Check)
				if f.Policy != "a" || f.File != "a.rego" || f.Line != 3 && f.Line != 4 || f.Column == 0 {
					t.Errorf("at %+v", f)
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, c.want) {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
}

package topology

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// TestTheIndexSelectsWhatCalicoEvaluates compares the index, made at once and
// after edits, with Calico's evaluation of a selector for each node.
func TestTheIndexSelectsWhatCalicoEvaluates(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	leaves := []string{
		"a == 'x'", `a == "y"`, "a == ''", "a == 'unknown'", "a != 'x'", `a != ""`, "b != 'unknown'", "has(a)", "!has(b)", "has(unknown)", "unknown == ''",
		"b in {'x', 'it\"s'}", `b in {"it's"}`, "b in {}", "b not in {'x', ''}", "b not in {}", "unknown not in {'x'}", "unknown in {'x'}",
		"a contains 'x'", "b starts with 'x'", "b ends with 'y'", "all()", "global()",
	}
	var random func(depth int) string
	random = func(depth int) string {
		if depth == 0 || r.IntN(3) == 0 {
			return pick(r, leaves...)
		}
		return fmt.Sprintf(pick(r, "(%s && %s)", "(%s || %s)", "!(%s) && %s"), random(depth-1), random(depth-1))
	}
	labelled := func(i int) calico.Object {
		var options []nodeOption
		for _, key := range []string{"a", "b"} {
			if r.IntN(3) > 0 {
				options = append(options, label(key, pick(r, "", "x", "y", "xy", "it's", `it"s`)))
			}
		}
		return node(t, fmt.Sprintf("n%03d", i), options...)
	}
	s := state.New()
	for i := range 70 {
		s = s.Apply(state.Change{After: labelled(2 * i)})
	}
	ix := newIndex(s.Nodes(), nil, nil)
	all := func(string) bool { return true }
	for range 300 {
		text := random(3)
		selector, err := calico.ParseSelector(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		set := ix.selected(text, selector)
		for i, n := range ix.nodes {
			if got, want := set.Test(uint(i)), selector.Matches(n.Labels); got != want {
				t.Fatalf("%s for a node with the labels %v: the index says %v, Calico %v", text, n.Labels, got, want)
			}
		}
		switch change, at := labelled(r.IntN(150)), r.IntN(len(ix.nodes)); r.IntN(3) {
		case 0:
			s = s.Apply(state.Change{After: change})
		case 1:
			s = s.Apply(state.Change{Before: ix.nodes[at]})
		}
		ix = newIndex(s.Nodes(), ix, all)
	}
}

package topology

import (
	"fmt"

	"github.com/bits-and-blooms/bitset"
)

// measure compares one set of the summary in two topologies: how many of its
// nodes or pairs of nodes are in the set now that were not before, and the first
// few of them.
type measure func(now, before *Topology) (n int, sample []string)

// measures are the sets of a part of the summary by the names that it hands out
// as Members. What makes a name registers what the name stands for in the same
// call. A policy hands names back in its violations, and Gained looks them up.
type measures []namedMeasure

type namedMeasure struct {
	name    string
	measure measure
}

// add registers a measure and returns its name.
func (m *measures) add(name string, measure measure) string {
	*m = append(*m, namedMeasure{name, measure})
	return name
}

// nodes registers a set of nodes and returns its name. members returns the test
// for membership in the set that a topology has.
func (m *measures) nodes(name string, members func(*Topology) func(node int) bool) string {
	return m.add(name, func(now, before *Topology) (int, []string) {
		return now.gainedNodes(before, members(now), members(before))
	})
}

// measure returns what a name stands for, nil where the summary does not have it.
func (t *Topology) measure(name string) measure {
	for _, list := range []measures{t.measures, t.sessionMeasures, t.tallies[0].measures, t.tallies[1].measures, t.routings[0].measures, t.routings[1].measures} {
		for i := range list {
			if list[i].name == name {
				return list[i].measure
			}
		}
	}
	return nil
}

// Gained returns what a set of the summary has that it did not have before: how
// many nodes or pairs of nodes, and the names of the first few. Nodes are compared
// by name; one that was not there before is new in every set. Members is the name
// of a set as the summary of t, or that of before, has it; another one is an
// error. O(nodes), for pairs O(nodes + kinds of nodes squared).
func (t *Topology) Gained(before *Topology, members string) (int, []string, error) {
	if t == before {
		return 0, nil, nil
	}
	m := t.measure(members)
	if m == nil {
		m = before.measure(members)
	}
	if m == nil {
		return 0, nil, fmt.Errorf("members %q is no set of the summary", members)
	}
	n, sample := m(t, before)
	return n, sample, nil
}

// gainedNodes counts the nodes that are in a set and were not before.
func (t *Topology) gainedNodes(before *Topology, is, was func(node int) bool) (n int, sample []string) {
	sample = []string{}
	t.matched(before, func(i, old int) {
		if is(i) && (old < 0 || !was(old)) {
			n++
			if len(sample) < SampleSize {
				sample = append(sample, t.index.nodes[i].Name)
			}
		}
	})
	return n, sample
}

// matched calls visit with the number of each node and the one that it had
// before, -1 for none.
func (t *Topology) matched(before *Topology, visit func(i, old int)) {
	old := before.index.nodes
	k := 0
	for i, n := range t.index.nodes {
		for k < len(old) && old[k].Name < n.Name {
			k++
		}
		if k < len(old) && old[k].Name == n.Name {
			visit(i, k)
		} else {
			visit(i, -1)
		}
	}
}

// within is the test for membership in a set of nodes, in which nil has none.
func within(set *bitset.BitSet) func(int) bool {
	return func(i int) bool { return set != nil && set.Test(uint(i)) }
}

// gainedPairs counts the pairs of nodes that have lost a route between them. Nodes
// that were and are in the same vertices are counted together. A node that had no
// address in the family, or was not there, has lost none.
func (t *Topology) gainedPairs(before *Topology, now, old *routing, transit bool) (int, []string) {
	type kind struct{ is, was int } // vertices; was is -1 for none
	counts, first := map[kind]int{}, map[kind][]int{}
	var kinds []kind
	t.matched(before, func(i, k int) {
		one := kind{now.vertex(uint(i)), -1}
		if k >= 0 {
			one.was = old.vertex(uint(k))
		}
		if one.is < 0 {
			return
		}
		if counts[one] == 0 {
			kinds = append(kinds, one)
		}
		counts[one]++
		if len(first[one]) < 2 {
			first[one] = append(first[one], i)
		}
	})
	n, sample := 0, []string{}
	for x, a := range kinds {
		for _, b := range kinds[:x+1] {
			pairs, i, j := counts[a]*counts[b], first[a][0], first[b][0]
			if a == b {
				pairs = counts[a] * (counts[a] - 1) / 2
				j = first[a][len(first[a])-1]
			}
			had := a.was < 0 || b.was < 0 || old.In(transit).Mutual(a.was, b.was)
			if pairs == 0 || !had || now.In(transit).Mutual(a.is, b.is) {
				continue
			}
			n += pairs
			if len(sample) < SampleSize {
				sample = append(sample, t.index.nodes[min(i, j)].Name+" and "+t.index.nodes[max(i, j)].Name)
			}
		}
	}
	return n, sample
}

package topology

import (
	"fmt"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// measure is one set of the summary. It can be evaluated in any topology.
type measure interface {
	// gained returns the number of nodes, or pairs of nodes, that are in the set now and
	// were not before, and the names of the first few.
	gained(now, before *Topology) (n int, sample []string)
}

// measures holds the sets of a part of the summary by name. The names are the values of
// Members in the summary. Policies return them in their violations, and Gained looks
// them up.
type measures struct {
	named []namedMeasure
	finds []func(name string) measure
}

type namedMeasure struct {
	name    string
	measure measure
}

// add registers a measure and returns its name.
func (m *measures) add(name string, measure measure) string {
	if m.named == nil {
		m.named = make([]namedMeasure, 0, 8)
	}
	m.named = append(m.named, namedMeasure{name, measure})
	return name
}

// addAll registers many measures. find returns the measure of a name, nil for an
// unknown name.
func (m *measures) addAll(find func(name string) measure) { m.finds = append(m.finds, find) }

// find returns the measure of a name, nil for a name that is not registered.
func (m *measures) find(name string) measure {
	for i := range m.named {
		if m.named[i].name == name {
			return m.named[i].measure
		}
	}
	for _, find := range m.finds {
		if out := find(name); out != nil {
			return out
		}
	}
	return nil
}

// measure returns the measure of a name, nil if the summary does not have the name.
func (t *Topology) measure(name string) measure {
	for _, m := range []*measures{
		&t.measures, &t.sessionMeasures, &t.tallies[0].measures, &t.tallies[1].measures, &t.routings[0].measures, &t.routings[1].measures,
	} {
		if out := m.find(name); out != nil {
			return out
		}
	}
	return nil
}

// Gain is what a set of the summary gained between two topologies.
type Gain struct {
	// Members counts the nodes, or pairs of nodes, that the set has and did not have before,
	// without those that joined. Sample names the first few.
	Members int
	Sample  []string
	// Joined counts the gained nodes, or pairs with nodes, that had no address in the family
	// before. They had no session that a change could end.
	Joined int
}

// Gained returns the nodes or pairs of nodes that a set of the summary has and did not
// have before. Nodes are compared by name. members is the name of a set in the summary of
// t or of before; another name is an error. O(nodes), for pairs O(nodes + kinds of nodes squared).
func (t *Topology) Gained(before *Topology, members string) (Gain, error) {
	if t == before {
		return Gain{}, nil
	}
	m := t.measure(members)
	if m == nil {
		m = before.measure(members)
	}
	if m == nil {
		return Gain{}, fmt.Errorf("members %q is not a set of the summary", members)
	}
	n, sample := m.gained(t, before)
	return Gain{Members: n, Sample: sample}, nil
}

// nodesOf is a set of nodes as a function. For a topology, it returns a function that
// reports whether a node is in the set.
type nodesOf func(*Topology) func(node int) bool

func (members nodesOf) gained(now, before *Topology) (n int, sample []string) {
	is, was := members(now), members(before)
	sample = []string{}
	now.matched(before, func(i, old int) {
		if is(i) && (old < 0 || !was(old)) {
			n++
			if len(sample) < SampleSize {
				sample = append(sample, now.index.Nodes[i].Name)
			}
		}
	})
	return n, sample
}

// matched calls visit with the number of each node in t and its number in before, -1 if
// it did not exist.
func (t *Topology) matched(before *Topology, visit func(i, old int)) {
	old := before.index.Nodes
	k := 0
	for i, n := range t.index.Nodes {
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

// within returns a function that reports whether a node is in set. nil is empty.
func within(set *bitset.BitSet) func(int) bool {
	return func(i int) bool { return set != nil && set.Test(uint(i)) }
}

// pairsWithoutRoute is the pairs of nodes without a route between them, in one
// family and one reading of external peers.
type pairsWithoutRoute struct {
	family  calico.Family
	transit bool
}

// gained counts the pairs without a route now that had routes both ways before. Nodes
// with the same vertices now and before are counted together. A pair with a node that
// did not exist or had no address in the family before is counted too.
func (p pairsWithoutRoute) gained(t, before *Topology) (int, []string) {
	now, old := t.routings[p.family], before.routings[p.family]
	is, was := now.In(p.transit), old.In(p.transit)
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
			had := a.was < 0 || b.was < 0 || was.Mutual(a.was, b.was)
			if pairs == 0 || !had || is.Mutual(a.is, b.is) {
				continue
			}
			n += pairs
			if len(sample) < SampleSize {
				sample = append(sample, t.index.Nodes[min(i, j)].Name+" and "+t.index.Nodes[max(i, j)].Name)
			}
		}
	}
	return n, sample
}

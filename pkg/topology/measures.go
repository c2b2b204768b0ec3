package topology

import (
	"fmt"
	"slices"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology/routes"
)

// measure is one set of the summary. It can be evaluated in any topology.
type measure interface {
	// gained returns what the set has now that it did not have before.
	gained(now, before *Topology) Gain
	// nodes returns a function that reports whether a node of t is in the set, or in one of
	// its pairs.
	nodes(t *Topology) func(node int) bool
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
	for _, r := range t.routings {
		if r.withoutLinks != nil {
			if out := r.withoutLinks.measures.find(name); out != nil {
				return out
			}
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
	// before, and the gained isolated node that was the only one with an address. They had no
	// session that a change could end.
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
	return m.gained(t, before), nil
}

// Members returns the names of the nodes in a set of the summary of t, in order. Of a set
// of pairs, these are the nodes in its pairs. A name that is not one of a set is an error.
// O(nodes), for pairs also O(kinds of nodes squared).
func (t *Topology) Members(name string) ([]string, error) {
	m := t.measure(name)
	if m == nil {
		return nil, fmt.Errorf("members %q is not a set of the summary", name)
	}
	is := m.nodes(t)
	out := []string{}
	for i, n := range t.index.Nodes {
		if is(i) {
			out = append(out, n.Name)
		}
	}
	return out, nil
}

// nodesOf is a set of nodes.
type nodesOf struct {
	// families are those in which a node had an address before, or else it joined.
	families []calico.Family
	// members returns a function that reports whether a node of a topology is in the set.
	members func(*Topology) func(node int) bool
}

// nodesIn returns a set of nodes in one family.
func nodesIn(f calico.Family, members func(*Topology) func(node int) bool) nodesOf {
	return nodesOf{families: []calico.Family{f}, members: members}
}

// nodesInAny returns a set of nodes in both families.
func nodesInAny(members func(*Topology) func(node int) bool) nodesOf {
	return nodesOf{families: calico.Families[:], members: members}
}

func (s nodesOf) nodes(t *Topology) func(int) bool { return s.members(t) }

// clientsOf is a set of nodes of which only those that are no route reflectors are named.
type clientsOf struct{ nodesOf }

func (s clientsOf) nodes(t *Topology) func(int) bool {
	in, reflector := s.members(t), within(t.index.Reflectors)
	return func(i int) bool { return in(i) && !reflector(i) }
}

func (s nodesOf) gained(now, before *Topology) Gain {
	out := Gain{Sample: []string{}}
	if now.hasSetsOf(before) {
		return out
	}
	is, was := s.members(now), s.members(before)
	number := now.numberIn(before)
	for i := range now.index.Nodes {
		if !is(i) {
			continue
		}
		if old := number(i); old < 0 || !was(old) {
			out.add(now, i, before.speaks(old, s.families...))
		}
	}
	return out
}

// hasSetsOf reports whether Compute has found that the sets of two topologies are the same, because all that they are made of is.
func (t *Topology) hasSetsOf(before *Topology) bool { return t.summary == before.summary }

// add counts a node that a set has gained. had reports whether it had an address before.
func (g *Gain) add(t *Topology, i int, had bool) {
	if !had {
		g.Joined++
		return
	}
	g.Members++
	if len(g.Sample) < SampleSize {
		g.Sample = append(g.Sample, t.index.Nodes[i].Name)
	}
}

// speaks reports whether a node has an address in one of some families; -1 is no node.
func (t *Topology) speaks(node int, families ...calico.Family) bool {
	return node >= 0 && slices.ContainsFunc(families, func(f calico.Family) bool { return t.index.BGP[f].Test(uint(node)) })
}

// isolatedNodes is the isolated nodes in one family and one reading of external peers.
type isolatedNodes struct {
	family  calico.Family
	reading string
}

// gained counts the isolated nodes that were not isolated before. A node that was the only
// one with an address had no routes that it could lose: it joined, like the others.
func (s isolatedNodes) gained(now, before *Topology) Gain {
	out := nodesIn(s.family, s.members).gained(now, before)
	if before.index.BGP[s.family].Count() < 2 {
		out = Gain{Sample: []string{}, Joined: out.Members + out.Joined}
	}
	return out
}

func (s isolatedNodes) nodes(t *Topology) func(int) bool { return s.members(t) }

func (s isolatedNodes) members(t *Topology) func(int) bool {
	r, reading := t.routings[s.family].named(s.reading)
	return func(i int) bool {
		kind := r.kind(uint(i))
		return kind >= 0 && r.isolated(reading, kind)
	}
}

// withoutAddress is the nodes without an address in a family. All that had none before
// joined, although they were in the set: a policy may look at the family only since an
// IPPool needs it.
type withoutAddress struct{ family calico.Family }

func (s withoutAddress) nodes(t *Topology) func(int) bool {
	return func(i int) bool { return !t.speaks(i, s.family) }
}

func (s withoutAddress) gained(now, before *Topology) Gain {
	out := Gain{Sample: []string{}}
	now.matched(before, func(i, old int) {
		if !now.speaks(i, s.family) {
			out.add(now, i, before.speaks(old, s.family))
		}
	})
	return out
}

// matched calls visit with the number of each node in t and its number in before, -1 if
// it did not exist. O(nodes), and O(log nodes) for each node that differs from before.
func (t *Topology) matched(before *Topology, visit func(i, old int)) {
	number := t.numberIn(before)
	for i := range t.index.Nodes {
		visit(i, number(i))
	}
}

// numberIn returns a function that returns the number in before of a node of t, -1 if it did not
// exist. A call is O(1) if the node and the one of the call before are as far apart in both, which
// holds for nearly all nodes, and else O(log nodes).
func (t *Topology) numberIn(before *Topology) func(i int) int {
	nodes, old, shift := t.index.Nodes, before.index.Nodes, 0
	return func(i int) int {
		if k := i + shift; k >= 0 && k < len(old) && (old[k] == nodes[i] || old[k].Name == nodes[i].Name) {
			return k
		}
		k, ok := before.index.Find(nodes[i].Name)
		if !ok {
			return -1
		}
		shift = int(k) - i
		return int(k)
	}
}

// within returns a function that reports whether a node is in set. nil is empty.
func within(set *bitset.BitSet) func(int) bool {
	return func(i int) bool { return set != nil && set.Test(uint(i)) }
}

// pairsWithoutRoute is the pairs of nodes without a route between them, in one
// family and one reading of external peers. With newBlocks, nodes have blocks in every part of the IPPools.
type pairsWithoutRoute struct {
	family    calico.Family
	reading   string
	newBlocks bool
}

// of returns which nodes of a routing have the routes of others, and the vertex there of each node, -1 for none.
func (p pairsWithoutRoute) of(r *routing) (*routes.Reachability, func(node uint) int) {
	r, reading := r.named(p.reading)
	if p.newBlocks {
		return r.results[reading], r.vertex
	}
	return r.existing(reading), r.kind
}

// gained counts the pairs without a route now that had routes both ways before. Nodes
// with the same vertices now and before are counted together. A pair with a node that
// did not exist or had no address in the family before joined.
func (p pairsWithoutRoute) gained(t, before *Topology) Gain {
	if t.hasSetsOf(before) {
		return Gain{Sample: []string{}}
	}
	is, now := p.of(t.routings[p.family])
	was, old := p.of(before.routings[p.family])
	type kind struct{ is, was int } // vertices; was is -1 for none
	counts, first := map[kind]int{}, map[kind][]int{}
	var kinds []kind
	t.matched(before, func(i, k int) {
		one := kind{now(uint(i)), -1}
		if k >= 0 {
			one.was = old(uint(k))
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
	out := Gain{Sample: []string{}}
	for x, a := range kinds {
		for _, b := range kinds[:x+1] {
			pairs, i, j := counts[a]*counts[b], first[a][0], first[b][0]
			if a == b {
				pairs = counts[a] * (counts[a] - 1) / 2
				j = first[a][len(first[a])-1]
			}
			switch {
			case pairs == 0 || is.Mutual(a.is, b.is):
				continue
			case a.was < 0 || b.was < 0:
				out.Joined += pairs
				continue
			case !was.Mutual(a.was, b.was):
				continue
			}
			out.Members += pairs
			if len(out.Sample) < SampleSize {
				out.Sample = append(out.Sample, t.index.Nodes[min(i, j)].Name+" and "+t.index.Nodes[max(i, j)].Name)
			}
		}
	}
	return out
}

// nodes returns the nodes without a route to or from at least one other node.
func (p pairsWithoutRoute) nodes(t *Topology) func(int) bool {
	m, vertex := p.of(t.routings[p.family])
	in := m.Incomplete()
	return func(i int) bool {
		v := vertex(uint(i))
		return v >= 0 && in[v]
	}
}

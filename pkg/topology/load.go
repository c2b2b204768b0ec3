package topology

import (
	"slices"
	"strconv"

	"github.com/bits-and-blooms/bitset"
)

// loads are the half-sessions of the nodes, those on which a session comes up or
// whose other side is not known.
type loads struct {
	degrees []int   // of the nodes of each class, with other nodes
	more    []int32 // of each node, with what is no node; nil for none
}

// of is how many node i of class g has.
func (l *loads) of(i int, g uint32) int {
	if l.more == nil {
		return l.degrees[g]
	}
	return l.degrees[g] + int(l.more[i])
}

// newLoads adds to the degrees of classes what is no node. O(half-sessions with
// it), and O(nodes) where there are any.
func (n *network) newLoads(degrees []int) *loads {
	l := &loads{degrees: degrees}
	for _, o := range n.Counted {
		for k := range o.Protocols {
			l.add(n, n.Working(&o.Protocols[k]))
		}
	}
	for _, p := range n.Workloads {
		l.add(n, p.Local.Intersection(n.Index.BGP[n.Family]))
	}
	return l
}

func (l *loads) add(n *network, set *bitset.BitSet) {
	if l.more == nil && set.Any() {
		l.more = make([]int32, len(n.Classes.Of))
	}
	for i, ok := set.NextSet(0); ok; i, ok = set.NextSet(i + 1) {
		l.more[i]++
	}
}

// loadNodes is nodes with equally many half-sessions; first are the first few of
// them, and may be in any order.
type loadNodes struct {
	nodes int
	first []uint32
}

// byCount groups the nodes by how many they have and by whether they are route reflectors.
// O(classes), and O(nodes) where some have half-sessions with what is no node.
func (l *loads) byCount(n *network) [2]map[int]*loadNodes {
	out := [2]map[int]*loadNodes{{}, {}}
	at := func(g uint32, sessions int) *loadNodes {
		kind := out[0]
		if n.Classes.List[g].Reflector() {
			kind = out[1]
		}
		if kind[sessions] == nil {
			kind[sessions] = &loadNodes{}
		}
		return kind[sessions]
	}
	if l.more == nil {
		for g := range n.Classes.List {
			if s := &n.Classes.List[g]; s.Speaks(n.Family) {
				one := at(uint32(g), l.degrees[g])
				one.nodes += s.Nodes
				one.first = append(one.first, s.First...)
			}
		}
		return out
	}
	// Nodes of one class differ in few ways, so what was looked up last is kept.
	type last struct {
		more int32
		*loadNodes
	}
	known := make([]last, len(n.Classes.List))
	for i, g := range n.Classes.Of {
		if !n.Classes.List[g].Speaks(n.Family) {
			continue
		}
		k := &known[g]
		if k.loadNodes == nil || k.more != l.more[i] {
			*k = last{l.more[i], at(g, l.of(i, g))}
		}
		k.nodes++
		if len(k.first) < SampleSize {
			k.first = append(k.first, uint32(i))
		}
	}
	return out
}

// list lists loads, most first: those of the route reflectors or those of
// the other nodes. The set of each is the nodes with at least so many.
func (t *tally) list(n *network, groups map[int]*loadNodes, reflectors bool) []Load {
	f, part := n.Family, "sessions/"
	if reflectors {
		part = "reflectors/"
	}
	part += f.String() + "/load/"
	counts := sortedKeys(groups)
	slices.Reverse(counts)
	out := make([]Load, 0, min(len(counts), maxLoads))
	for _, count := range counts[:min(len(counts), maxLoads)] {
		g := groups[count]
		members := t.measures.add(part+strconv.Itoa(count), nodesOf(func(t *Topology) func(int) bool {
			n, loads := t.networks[f], t.tallies[f].loads
			return func(i int) bool {
				g := n.Classes.Of[i]
				s := &n.Classes.List[g]
				return s.Speaks(f) && s.Reflector() == reflectors && loads.of(i, g) >= count
			}
		}))
		out = append(out, Load{count, g.nodes, sample(n.Index, g.first), members})
	}
	return out
}

// most finds the node with the most half-sessions, the first in order of names of
// several; none where nobody has one.
func (n *network) most(loads ...[]Load) (sessions int, name string) {
	for _, list := range loads {
		if len(list) == 0 || list[0].Sessions == 0 {
			continue
		}
		if one := list[0]; one.Sessions > sessions || one.Sessions == sessions && one.Sample[0] < name {
			sessions, name = one.Sessions, one.Sample[0]
		}
	}
	return sessions, name
}

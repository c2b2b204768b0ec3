package topology

import (
	"slices"
	"strconv"

	"github.com/bits-and-blooms/bitset"
)

// loads holds the number of half-sessions of each node, without broken ones.
type loads struct {
	degrees []int   // by class: the number of half-sessions of one node with other nodes
	more    []int32 // by node: the number with external peers and pods; nil if there are none
}

// of returns the number of half-sessions of node i, which is in class g.
func (l *loads) of(i int, g uint32) int {
	if l.more == nil {
		return l.degrees[g]
	}
	return l.degrees[g] + int(l.more[i])
}

// newLoads returns the loads of nodes. degrees are the numbers of half-sessions with
// other nodes, by class. O(half-sessions with external peers and pods), and O(nodes)
// if there are any.
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

// loadNodes is the nodes with the same number of half-sessions. first contains the
// first few of them, unordered.
type loadNodes struct {
	nodes int
	first []uint32
}

// byCount groups the nodes by their numbers of half-sessions. Element 0 has the nodes
// that are not route reflectors, element 1 the route reflectors. O(classes), and
// O(nodes) if there are half-sessions with external peers or pods.
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
	// Most nodes of a class have the same number, so keep the last lookup of each class.
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

// list lists the loads of the route reflectors or of the other nodes, the highest
// first. The set of a load is the nodes with at least this number of half-sessions.
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
		members := t.measures.add(part+strconv.Itoa(count), nodesIn(f, func(t *Topology) func(int) bool {
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

// most returns the highest number of half-sessions and the first node, by name, that
// has it; 0 and "" if no node has half-sessions.
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

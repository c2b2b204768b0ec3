package topology

import (
	"github.com/bits-and-blooms/bitset"
)

// marks are half-sessions that have something in common: how many, the nodes that
// have them, and the BGPPeers that give them.
type marks struct {
	halves int
	groups []bool         // those all nodes of which have them; nil for none
	nodes  *bitset.BitSet // others that do; nil for none
	peers  map[string]bool
}

// group takes in the half-sessions of all nodes of a group, and the ways in which
// BGPPeers give them.
func (m *marks) group(n *network, g uint32, halves int, ways ...way) {
	if m.groups == nil {
		m.groups = make([]bool, len(n.sides))
	}
	m.groups[g] = true
	m.halves += halves
	for i := range ways {
		m.by(ways[i].sources)
	}
}

// single takes in one half-session of each of some nodes.
func (m *marks) single(nodes *bitset.BitSet) {
	if m.nodes == nil {
		m.nodes = bitset.New(0)
	}
	m.nodes.InPlaceUnion(nodes)
	m.halves += int(nodes.Count())
}

func (m *marks) by(sources []*peering) {
	if m.peers == nil {
		m.peers = map[string]bool{}
	}
	for _, p := range sources {
		m.peers[p.peer.Name] = true
	}
}

// byAt takes in those of the sources that are for one of some nodes.
func (m *marks) byAt(sources []*peering, nodes *bitset.BitSet) {
	for _, p := range sources {
		if p.local.IntersectionCardinality(nodes) > 0 {
			m.by([]*peering{p})
		}
	}
}

// join takes in the nodes of other marks.
func (m *marks) join(n *network, other *marks) {
	for g, yes := range other.groups {
		if yes {
			m.group(n, uint32(g), 0)
		}
	}
	if other.nodes != nil {
		m.single(other.nodes)
	}
}

// has reports whether node i is marked; no node is where m is nil.
func (m *marks) has(n *network, i int) bool {
	return m != nil && (m.hasGroup(int(n.groups.of[i])) || m.nodes != nil && m.nodes.Test(uint(i)))
}

func (m *marks) hasGroup(g int) bool { return len(m.groups) > g && m.groups[g] }

// nodeSet tells the marked nodes. O(groups), and O(nodes) where single ones are.
func (m *marks) nodeSet(n *network, members string) NodeSet {
	if m.nodes != nil {
		set := m.nodes
		if all := n.groups.union(m.hasGroup); all != nil {
			set = set.Union(all)
		}
		return n.index.nodeSet(set, members)
	}
	out := NodeSet{Members: members}
	var first []uint32
	for g, yes := range m.groups {
		if yes {
			out.Nodes += n.sides[g].nodes
			first = append(first, n.sides[g].first...)
		}
	}
	out.Sample = n.index.sample(first)
	return out
}

func (m *marks) halfGroup(n *network, members string) HalfGroup {
	return HalfGroup{m.halves, m.nodeSet(n, members), firstNames(m.peers)}
}

// firstNames are the first few of names, in order.
func firstNames(names map[string]bool) []string {
	out := sortedKeys(names)
	return out[:min(len(out), MaxNames)]
}

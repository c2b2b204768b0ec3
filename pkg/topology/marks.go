package topology

import (
	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/topology/sessions"
)

// marks is a group of half-sessions, for example those that are broken for one reason:
// their number, their nodes, and the BGPPeers that configure them.
type marks struct {
	halfSessions int
	classes      []bool         // by class, whether all its nodes have such half-sessions; nil for no class
	nodes        *bitset.BitSet // further nodes; nil for none
	peers        map[string]bool
}

// addClass adds the half-sessions of all nodes of a class, and returns the marks.
func (m *marks) addClass(n *network, g uint32, halves int) *marks {
	if m.classes == nil {
		m.classes = make([]bool, len(n.Classes.List))
	}
	m.classes[g] = true
	m.halfSessions += halves
	return m
}

// addNodes adds one half-session of each node.
func (m *marks) addNodes(nodes *bitset.BitSet) {
	if m.nodes == nil {
		m.nodes = bitset.New(0)
	}
	m.nodes.InPlaceUnion(nodes)
	m.halfSessions += int(nodes.Count())
}

// addPeers adds the BGPPeers that configure half-sessions of a link, at most maxNames
// of each source.
func (m *marks) addPeers(n *network, l *sessions.Link, h *sessions.Protocol) {
	for i := range h.Ways {
		m.addSources(n, l, h.Ways[i].Sources)
	}
}

// addSources adds the BGPPeers of sources that configure half-sessions of a link, at
// most maxNames of each source.
func (m *marks) addSources(n *network, l *sessions.Link, sources []sessions.Source) {
	for _, s := range sources {
		named := 0
		n.Spreads.Among(s, l.From, l.To, func(p *sessions.Peering, _ uint32) bool {
			m.addPeer(p)
			named++
			return named < maxNames
		})
	}
}

func (m *marks) addPeer(p *sessions.Peering) {
	if m.peers == nil {
		m.peers = map[string]bool{}
	}
	m.peers[p.Peer.Name] = true
}

// addPeersAt adds at most maxNames BGPPeers of sources that select at least one of
// nodes.
func (m *marks) addPeersAt(sources []*sessions.Peering, nodes *bitset.BitSet) {
	named := 0
	for _, p := range sources {
		if p.Local.IntersectionCardinality(nodes) > 0 {
			m.addPeer(p)
			named++
			if named == maxNames {
				return
			}
		}
	}
}

// join adds the nodes of other, without their half-sessions and BGPPeers.
func (m *marks) join(n *network, other *marks) {
	for g, yes := range other.classes {
		if yes {
			m.addClass(n, uint32(g), 0)
		}
	}
	if other.nodes != nil {
		m.addNodes(other.nodes)
	}
}

// has reports whether node i is marked. It returns false if m is nil.
func (m *marks) has(n *network, i int) bool {
	return m != nil && (m.hasClass(int(n.Classes.Of[i])) || m.nodes != nil && m.nodes.Test(uint(i)))
}

func (m *marks) hasClass(g int) bool { return len(m.classes) > g && m.classes[g] }

// nodeSet returns the marked nodes as a NodeSet. O(classes), and O(nodes) if m.nodes is
// not nil.
func (m *marks) nodeSet(n *network, members string) NodeSet {
	if m.nodes != nil {
		set := m.nodes
		if all := n.Classes.Union(m.hasClass); all != nil {
			set = set.Union(all)
		}
		return nodeSet(n.Index, set, members)
	}
	out := NodeSet{Members: members}
	var first []uint32
	for g, yes := range m.classes {
		if yes {
			out.Nodes += n.Classes.List[g].Nodes
			first = append(first, n.Classes.List[g].First...)
		}
	}
	out.Sample = sample(n.Index, first)
	return out
}

func (m *marks) halfGroup(n *network, members string) HalfGroup {
	return HalfGroup{m.halfSessions, m.nodeSet(n, members), firstNames(m.peers)}
}

// firstNames returns the first maxNames names, in order.
func firstNames(names map[string]bool) []string {
	out := sortedKeys(names)
	return out[:min(len(out), maxNames)]
}

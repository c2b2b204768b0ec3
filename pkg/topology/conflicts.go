package topology

import (
	"net/netip"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology/sessions"
)

// conflictSet is between which nodes and peers half-sessions have conflicting settings.
type conflictSet struct {
	// links are the numbers of two classes: each node of the first has conflicting
	// half-sessions to each node of the second.
	links map[[2]uint32]bool
	// externals are the nodes with conflicting half-sessions to an external peer.
	externals map[netip.Addr]*bitset.BitSet
}

func (c *conflictSet) addLink(l *sessions.Link) {
	if c.links == nil {
		c.links = map[[2]uint32]bool{}
	}
	c.links[[2]uint32{l.From, l.To}] = true
}

func (c *conflictSet) addExternal(peer netip.Addr, nodes *bitset.BitSet) {
	if c.externals == nil {
		c.externals = map[netip.Addr]*bitset.BitSet{}
	}
	if known := c.externals[peer]; known != nil {
		nodes = known.Union(nodes)
	}
	c.externals[peer] = nodes
}

// conflictingNodes is the nodes with conflicting half-sessions in a family. It gains a node
// also if the node had conflicting half-sessions, but none to one of the peers that it has
// some to now.
type conflictingNodes struct{ family calico.Family }

func (s conflictingNodes) nodes(t *Topology) func(int) bool {
	return t.marked(s.family, &t.tallies[s.family].conflicting)
}

// gained takes O(nodes), and for nodes that had conflicting half-sessions O(links x nodes of
// a class that changed class + external peers x set operations).
func (s conflictingNodes) gained(now, before *Topology) Gain {
	is, was := now.marked(s.family, &now.tallies[s.family].conflicting), before.marked(s.family, &before.tallies[s.family].conflicting)
	var peers *conflictPeers
	out := Gain{Sample: []string{}}
	now.matched(before, func(i, old int) {
		switch {
		case !is(i):
		case old < 0 || !was(old):
			out.add(now, i, before.speaks(old, s.family))
		default:
			if peers == nil {
				peers = s.peers(now, before)
			}
			if further, had := peers.further(i, old); further {
				out.add(now, i, had)
			}
		}
	})
	return out
}

// move is the class of a node now, and its class before; none if it had no address.
type move struct{ now, before uint32 }

// none is the class of no node.
const none = ^uint32(0)

// conflictPeers finds the nodes that have conflicting half-sessions to further peers.
type conflictPeers struct {
	family        calico.Family
	now, before   *Topology
	moved, joined map[move]bool  // have them with nodes that had an address before, with others
	externals     *bitset.BitSet // have them with external peers
}

func (s conflictingNodes) peers(now, before *Topology) *conflictPeers {
	out := &conflictPeers{family: s.family, now: now, before: before, moved: map[move]bool{}, joined: map[move]bool{}, externals: bitset.New(0)}
	counts, byClass := map[move]int{}, map[uint32][]move{}
	olds := make([]int, len(now.index.Nodes))
	now.matched(before, func(i, old int) {
		olds[i] = old
		m := out.moveOf(i, old)
		if counts[m] == 0 {
			byClass[m.now] = append(byClass[m.now], m)
		}
		counts[m]++
	})
	is, was := now.tallies[s.family].conflicts, before.tallies[s.family].conflicts
	for link := range is.links {
		for _, a := range byClass[link[0]] {
			for _, b := range byClass[link[1]] {
				switch {
				case a == b && counts[a] == 1, a.before == none:
				case b.before == none:
					out.joined[a] = true
				case !was.links[[2]uint32{a.before, b.before}]:
					out.moved[a] = true
				}
			}
		}
	}
	for peer, nodes := range is.externals {
		old := was.externals[peer]
		for i, ok := nodes.NextSet(0); ok; i, ok = nodes.NextSet(i + 1) {
			if k := olds[i]; k >= 0 && !out.externals.Test(i) && (old == nil || !old.Test(uint(k))) && !out.hadNode(peer, uint(k)) {
				out.externals.Set(i)
			}
		}
	}
	return out
}

func (p *conflictPeers) moveOf(i, old int) move {
	out := move{p.now.networks[p.family].Classes.Of[i], none}
	if p.before.speaks(old, p.family) {
		out.before = p.before.networks[p.family].Classes.Of[old]
	}
	return out
}

// hadNode reports whether the address of an external peer was that of a node, to which the
// node with the number before had conflicting half-sessions.
func (p *conflictPeers) hadNode(peer netip.Addr, before uint) bool {
	classes := p.before.networks[p.family].Classes.Of
	for _, node := range p.before.index.At(peer) {
		if p.before.tallies[p.family].conflicts.links[[2]uint32{classes[before], classes[node]}] {
			return true
		}
	}
	return false
}

// further reports whether a node has conflicting half-sessions to further peers, and whether
// one of these had an address before.
func (p *conflictPeers) further(i, old int) (further, had bool) {
	m := p.moveOf(i, old)
	had = p.moved[m] || p.externals.Test(uint(i))
	return had || p.joined[m], had
}

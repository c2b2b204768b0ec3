package sessions

import (
	"net/netip"
	"slices"
	"sync"
	"unique"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology/nodes"
)

// PeerGroup is BGPPeers between nodes that differ only in their names and in the nodes
// of one side, the varying side. Together they configure the same half-sessions as one
// BGPPeer that selects all these nodes. The embedded peering is that BGPPeer, with the
// union of the nodes on the varying side. With one BGPPeer per node or per rack, the
// cost grows with the peer groups and not with the BGPPeers.
type PeerGroup struct {
	*Peering
	Members []*Peering // in order of names, at least one
	Numbers []uint32   // of each member, its index in Sessions.Peerings
	// RemoteVaries reports that the remote nodes are the varying side. Otherwise the
	// local nodes are. It has no meaning for one member.
	RemoteVaries bool

	once   sync.Once
	byNode map[uint32][]*Peering // the members with a node on the varying side
}

// peerKind is the properties that all BGPPeers of a PeerGroup have in common, except
// the nodes of the fixed side.
type peerKind struct {
	settings         Settings
	address          netip.Addr
	forward, reverse [2]bool
	global, known    bool
	keepsForNodes    bool
}

// newPeerKind returns the kind of a peering. Peerings of one kind whose peerIP is the
// address of one node have the same remote nodes.
func newPeerKind(r *Peering) unique.Handle[peerKind] {
	return unique.Make(peerKind{r.ownSettings(), r.Peer.PeerAddress, r.Forward, r.Reverse, r.global(), r.known, r.keepsForNodes})
}

// varying returns the nodes of a member on the varying side.
func (g *PeerGroup) varying(r *Peering) *nodes.List {
	if g.RemoteVaries {
		return &r.remoteNodes
	}
	return &r.localNodes
}

// groupKey is equal for the members of one PeerGroup.
type groupKey struct {
	kind         unique.Handle[peerKind]
	fixed        *bitset.BitSet // the nodes of the fixed side; nil if kind implies them
	remoteVaries bool
}

// grouper collects peer groups.
type grouper struct {
	known map[groupKey]*PeerGroup
	list  []*PeerGroup
}

// add adds a peering to the group of a key.
func (c *grouper) add(k groupKey, r *Peering, number uint32) {
	g := c.known[k]
	if g == nil {
		g = &PeerGroup{Peering: r, RemoteVaries: k.remoteVaries}
		c.known[k] = g
		c.list = append(c.list, g)
	}
	g.Members, g.Numbers = append(g.Members, r), append(g.Numbers, number)
}

// groupPeerings makes peer groups of the peerings between nodes. A node that shares its
// address with another node is never on a varying side, because Calico enters one of the
// two in place of the other. old is the peer groups of an earlier topology;
// groupPeerings reuses their sets. O(peerings + nodes on varying sides).
func groupPeerings(ix *nodes.Index, peerings []*Peering, old []*PeerGroup) []*PeerGroup {
	shared := ix.Shared(calico.IPv4).Any() || ix.Shared(calico.IPv6).Any()
	mayVary := func(l *nodes.List) bool { return l.Len > 0 && !(shared && l.Some(ix.Shares)) }
	// First, group the peerings with the same remote nodes.
	c := &grouper{known: map[groupKey]*PeerGroup{}}
	for i, r := range peerings {
		if r.Scope != ScopeNodes {
			continue
		}
		switch bySelector := r.Peer.PeerSelector != ""; {
		case !mayVary(&r.localNodes), !bySelector && !(r.byPeerIP() && r.remoteNodes.Len == 1):
			c.list = append(c.list, &PeerGroup{Peering: r, Members: []*Peering{r}, Numbers: []uint32{uint32(i)}})
		case bySelector:
			c.add(groupKey{r.kind, r.Remote, false}, r, uint32(i))
		default:
			c.add(groupKey{r.kind, nil, false}, r, uint32(i))
		}
	}
	// Then group the remaining peerings with the same local nodes.
	first := c.list
	c.list = nil
	for _, g := range first {
		if r := g.Peering; len(g.Members) == 1 && r.Peer.PeerSelector != "" && mayVary(&r.remoteNodes) {
			c.add(groupKey{r.kind, r.Local, true}, r, g.Numbers[0])
		} else {
			c.list = append(c.list, g)
		}
	}
	uniteAll(ix, c.list, old)
	return c.list
}

// uniteAll sets the embedded peerings of groups. It reuses the embedded peerings of
// old.
func uniteAll(ix *nodes.Index, groups, old []*PeerGroup) {
	before := make(map[*Peering]*PeerGroup, len(old))
	for _, g := range old {
		before[g.Members[0]] = g
	}
	for i, g := range groups {
		if o := before[g.Members[0]]; o != nil && o.RemoteVaries == g.RemoteVaries && slices.Equal(o.Members, g.Members) {
			// The numbers may have changed.
			groups[i] = &PeerGroup{Peering: o.Peering, Members: o.Members, Numbers: g.Numbers, RemoteVaries: o.RemoteVaries}
		} else if len(g.Members) > 1 {
			g.unite(ix)
		}
	}
}

// unite sets the embedded peering.
func (g *PeerGroup) unite(ix *nodes.Index) {
	all := bitset.New(ix.Len())
	for _, r := range g.Members {
		g.varying(r).AddTo(all)
	}
	one := *g.Members[0]
	if g.RemoteVaries {
		one.Remote, one.back = all, all
	} else {
		one.Local = all
	}
	g.Peering = &one
}

// with returns the members with node i on the varying side, in order. O(nodes on the
// varying sides) the first time, then O(1).
func (g *PeerGroup) with(i uint) []*Peering {
	g.once.Do(func() {
		g.byNode = map[uint32][]*Peering{}
		for _, r := range g.Members {
			g.varying(r).Each(func(i uint32) bool {
				g.byNode[i] = append(g.byNode[i], r)
				return true
			})
		}
	})
	return g.byNode[uint32(i)]
}

// Source is a PeerGroup that configures a half-session.
type Source struct {
	*PeerGroup
	// Far reports that the peer is on the varying side: the members that select the peer
	// on that side configure the half-session. Otherwise the members that select the node
	// itself configure it. Far is false for one member.
	Far bool
}

// newSource returns g as a source of its forward half-sessions or, for back, of its
// reverse half-sessions.
func newSource(g *PeerGroup, back bool) Source {
	return Source{g, len(g.Members) > 1 && g.RemoteVaries != back}
}

// only returns a single peering as a source.
func only(r *Peering) Source { return Source{PeerGroup: r.alone} }

// between returns the members that configure the half-session of node i with node j.
func (s Source) between(i, j uint) []*Peering {
	switch {
	case len(s.Members) == 1:
		return s.Members
	case s.Far:
		return s.with(j)
	default:
		return s.with(i)
	}
}

// Spread lists, for each class, the members of a PeerGroup that select nodes of the
// class on the varying side.
type Spread struct {
	starts []uint32 // of each class, the index of its first in list
	list   []Placed
}

// Placed is a member of a PeerGroup in the list of a class.
type Placed struct {
	Member uint32 // an index into PeerGroup.Members
	Nodes  int    // the number of nodes of the class that the member selects on the varying side
}

// In lists the members for class i, in order.
func (s *Spread) In(i uint32) []Placed { return s.list[s.starts[i]:s.starts[i+1]] }

// Spreads holds the spread of every PeerGroup with several members.
type Spreads map[*PeerGroup]*Spread

// NewSpreads returns the spreads of the peer groups over classes of nodes. O(nodes on
// the varying sides + classes x peer groups of several members).
func NewSpreads(list []*PeerGroup, nodes *nodes.Classes) Spreads {
	out := Spreads{}
	for _, g := range list {
		if len(g.Members) > 1 {
			out[g] = newSpread(g, nodes)
		}
	}
	return out
}

func newSpread(g *PeerGroup, nodes *nodes.Classes) *Spread {
	type entry struct {
		Placed
		class uint32
	}
	var entries []entry
	last := make([]int, len(nodes.List)) // of each class, 1 + the index of its last entry
	counts := make([]uint32, len(nodes.List)+1)
	for k, r := range g.Members {
		first := len(entries)
		g.varying(r).Each(func(i uint32) bool {
			class := nodes.Of[i]
			if at := last[class] - 1; at >= first {
				entries[at].Nodes++
				return true
			}
			entries = append(entries, entry{Placed{uint32(k), 1}, class})
			last[class] = len(entries)
			counts[class+1]++
			return true
		})
	}
	for i := range nodes.List {
		counts[i+1] += counts[i]
	}
	s := &Spread{starts: counts, list: make([]Placed, len(entries))}
	next := slices.Clone(counts)
	for _, e := range entries {
		s.list[next[e.class]] = e.Placed
		next[e.class]++
	}
	return s
}

// Among calls visit with the members of a source that configure half-sessions from
// nodes of class from to nodes of class to, in order, until visit returns false. number
// is the index of the member in Sessions.Peerings.
func (s Spreads) Among(src Source, from, to uint32, visit func(r *Peering, number uint32) bool) {
	if len(src.Members) == 1 {
		visit(src.Members[0], src.Numbers[0])
		return
	}
	if src.Far {
		from = to
	}
	for _, p := range s[src.PeerGroup].In(from) {
		if !visit(src.Members[p.Member], src.Numbers[p.Member]) {
			return
		}
	}
}

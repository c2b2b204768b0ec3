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

// PeerGroup is BGPPeers between nodes that differ only in their names and in the
// nodes of one side. Together they give the half-sessions that one BGPPeer with
// all of these nodes would give, so the embedded peering stands for all of them
// and has the union on the varying side. With one BGPPeer per node or per rack,
// the work grows with the peer groups and not with the BGPPeers.
type PeerGroup struct {
	*Peering
	Members []*Peering // in order of names, at least one
	Numbers []uint32   // of each member, its index in Topology.peerings
	// remoteVaries reports which side varies where there are several members:
	// the remote nodes, or else the local nodes.
	RemoteVaries bool

	once   sync.Once
	byNode map[uint32][]*Peering // the members with a node on the varying side
}

// peerKind is everything that BGPPeers of one PeerGroup have in common, but for
// the nodes of the side that does not vary.
type peerKind struct {
	settings         Settings
	address          netip.Addr
	forward, reverse [2]bool
	global, known    bool
}

// newPeerKind returns the kind of a peering. Two peerings of one kind that are
// on the address of one node have the same remote nodes.
func newPeerKind(r *Peering) unique.Handle[peerKind] {
	return unique.Make(peerKind{r.ownSettings(), r.Peer.PeerAddress, r.Forward, r.Reverse, r.global(), r.known})
}

// varying returns the nodes of the side of a member that varies.
func (g *PeerGroup) varying(r *Peering) *nodes.List {
	if g.RemoteVaries {
		return &r.remoteNodes
	}
	return &r.localNodes
}

// groupPeerings makes peer groups of the peerings between nodes. A node that
// shares its address with another one never varies: Calico enters one of the two
// in place of the other. old are the peer groups of an earlier topology, whose
// sets are reused. O(peerings + nodes on varying sides).
func groupPeerings(ix *nodes.Index, peerings []*Peering, old []*PeerGroup) []*PeerGroup {
	type key struct {
		kind         unique.Handle[peerKind]
		fixed        *bitset.BitSet // the nodes of the other side; nil where kind implies them
		remoteVaries bool
	}
	var out []*PeerGroup
	known := map[key]*PeerGroup{}
	enter := func(k key, r *Peering, number uint32) *PeerGroup {
		g := known[k]
		if g == nil {
			g = &PeerGroup{Peering: r, RemoteVaries: k.remoteVaries}
			known[k] = g
			out = append(out, g)
		}
		g.Members, g.Numbers = append(g.Members, r), append(g.Numbers, number)
		return g
	}
	shared := ix.Shared(calico.IPv4).Any() || ix.Shared(calico.IPv6).Any()
	mayVary := func(l *nodes.List) bool { return l.Len > 0 && !(shared && l.Some(ix.Shares)) }
	for i, r := range peerings {
		if r.Scope != ScopeNodes {
			continue
		}
		switch bySelector := r.Peer.PeerSelector != ""; {
		case !mayVary(&r.localNodes), !bySelector && !(r.byPeerIP() && r.remoteNodes.Len == 1):
			out = append(out, &PeerGroup{Peering: r, Members: []*Peering{r}, Numbers: []uint32{uint32(i)}})
		case bySelector:
			enter(key{r.kind, r.Remote, false}, r, uint32(i))
		default:
			enter(key{r.kind, nil, false}, r, uint32(i))
		}
	}
	// The rest may have the same local nodes.
	first := out
	out = nil
	for _, g := range first {
		if r := g.Peering; len(g.Members) == 1 && r.Peer.PeerSelector != "" && mayVary(&r.remoteNodes) {
			enter(key{r.kind, r.Local, true}, r, g.Numbers[0])
		} else {
			out = append(out, g)
		}
	}
	before := map[*Peering]*PeerGroup{}
	for _, g := range old {
		before[g.Members[0]] = g
	}
	for i, g := range out {
		if o := before[g.Members[0]]; o != nil && o.RemoteVaries == g.RemoteVaries && slices.Equal(o.Members, g.Members) {
			// Reuses the sets; the numbers may be others.
			out[i] = &PeerGroup{Peering: o.Peering, Members: o.Members, Numbers: g.Numbers, RemoteVaries: o.RemoteVaries}
		} else if len(g.Members) > 1 {
			g.unite(ix)
		}
	}
	return out
}

// unite makes the peering that stands for all members.
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

// with returns the members that have node i on the varying side, in order. O(nodes
// on the varying sides) the first time, then O(1).
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

// Source is a PeerGroup that gives a half-session.
type Source struct {
	*PeerGroup
	// far reports which nodes decide the members that give the half-session:
	// those that it is towards, or else those that have it. It is false where
	// there is one member.
	Far bool
}

// newSource returns g as a source of half-sessions, forward or back.
func newSource(g *PeerGroup, back bool) Source {
	return Source{g, len(g.Members) > 1 && g.RemoteVaries != back}
}

// only returns a single peering as a source.
func only(r *Peering) Source { return Source{PeerGroup: r.alone} }

// between returns the members that give node i its half-session towards node j.
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

// Spread holds in which classes of nodes the varying nodes of a PeerGroup are.
type Spread struct {
	starts []uint32
	list   []Placed
}

// Placed is a member of a PeerGroup in a class of nodes.
type Placed struct {
	Member uint32 // an index into peerGroup.members
	Nodes  int    // of the member's varying nodes, those in the class of nodes
}

// In lists the members with varying nodes in class i, in order.
func (s *Spread) In(i uint32) []Placed { return s.list[s.starts[i]:s.starts[i+1]] }

// Spreads holds the spread of every PeerGroup with several members.
type Spreads map[*PeerGroup]*Spread

// NewSpreads finds where the members of the peer groups are. O(nodes on the
// varying sides + classes for each PeerGroup of several).
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
	counts := make([]uint32, len(nodes.List)+1)
	last := make([]uint32, len(nodes.List)) // the last member that was placed, + 1
	each := func(visit func(member, group uint32, again bool)) {
		clear(last)
		for k, r := range g.Members {
			g.varying(r).Each(func(i uint32) bool {
				id := nodes.Of[i]
				visit(uint32(k), id, last[id] == uint32(k)+1)
				last[id] = uint32(k) + 1
				return true
			})
		}
	}
	each(func(_, group uint32, again bool) {
		if !again {
			counts[group+1]++
		}
	})
	for i := range nodes.List {
		counts[i+1] += counts[i]
	}
	s := &Spread{starts: counts, list: make([]Placed, counts[len(nodes.List)])}
	next := slices.Clone(counts)
	each(func(member, group uint32, again bool) {
		if again {
			s.list[next[group]-1].Nodes++
			return
		}
		s.list[next[group]] = Placed{member, 1}
		next[group]++
	})
	return s
}

// Among calls visit with the members of a source, in order, that give a node of
// class from its half-session towards a node of class to, until visit returns
// false.
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

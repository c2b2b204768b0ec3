package topology

import (
	"net/netip"
	"slices"
	"sync"
	"unique"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology/nodes"
)

// peerGroup is BGPPeers between nodes that differ only in their names and in the
// nodes of one side. Together they give the half-sessions that one BGPPeer with
// all of these nodes would give, so the embedded peering stands for all of them
// and has the union on the varying side. With one BGPPeer per node or per rack,
// the work grows with the peer groups and not with the BGPPeers.
type peerGroup struct {
	*peering
	members []*peering // in order of names, at least one
	numbers []uint32   // of each member, its index in Topology.peerings
	// remoteVaries reports which side varies where there are several members:
	// the remote nodes, or else the local nodes.
	remoteVaries bool

	once   sync.Once
	byNode map[uint32][]*peering // the members with a node on the varying side
}

// peerKind is everything that BGPPeers of one peerGroup have in common, but for
// the nodes of the side that does not vary.
type peerKind struct {
	settings         settings
	address          netip.Addr
	forward, reverse [2]bool
	global, known    bool
}

// newPeerKind returns the kind of a peering. Two peerings of one kind that are
// on the address of one node have the same remote nodes.
func newPeerKind(r *peering) unique.Handle[peerKind] {
	return unique.Make(peerKind{r.ownSettings(), r.peer.PeerAddress, r.forward, r.reverse, r.global(), r.known})
}

// varying returns the nodes of the side of a member that varies.
func (g *peerGroup) varying(r *peering) *nodes.List {
	if g.remoteVaries {
		return &r.remoteNodes
	}
	return &r.localNodes
}

// groupPeerings makes peer groups of the peerings between nodes. A node that
// shares its address with another one never varies: Calico enters one of the two
// in place of the other. old are the peer groups of an earlier topology, whose
// sets are reused. O(peerings + nodes on varying sides).
func groupPeerings(ix *nodes.Index, peerings []*peering, old []*peerGroup) []*peerGroup {
	type key struct {
		kind         unique.Handle[peerKind]
		fixed        *bitset.BitSet // the nodes of the other side; nil where kind implies them
		remoteVaries bool
	}
	var out []*peerGroup
	known := map[key]*peerGroup{}
	enter := func(k key, r *peering, number uint32) *peerGroup {
		g := known[k]
		if g == nil {
			g = &peerGroup{peering: r, remoteVaries: k.remoteVaries}
			known[k] = g
			out = append(out, g)
		}
		g.members, g.numbers = append(g.members, r), append(g.numbers, number)
		return g
	}
	shared := ix.Shared(calico.IPv4).Any() || ix.Shared(calico.IPv6).Any()
	mayVary := func(l *nodes.List) bool { return l.Len > 0 && !(shared && l.Some(ix.Shares)) }
	for i, r := range peerings {
		if r.scope != scopeNodes {
			continue
		}
		switch bySelector := r.peer.PeerSelector != ""; {
		case !mayVary(&r.localNodes), !bySelector && !(r.byPeerIP() && r.remoteNodes.Len == 1):
			out = append(out, &peerGroup{peering: r, members: []*peering{r}, numbers: []uint32{uint32(i)}})
		case bySelector:
			enter(key{r.kind, r.remote, false}, r, uint32(i))
		default:
			enter(key{r.kind, nil, false}, r, uint32(i))
		}
	}
	// The rest may have the same local nodes.
	first := out
	out = nil
	for _, g := range first {
		if r := g.peering; len(g.members) == 1 && r.peer.PeerSelector != "" && mayVary(&r.remoteNodes) {
			enter(key{r.kind, r.local, true}, r, g.numbers[0])
		} else {
			out = append(out, g)
		}
	}
	before := map[*peering]*peerGroup{}
	for _, g := range old {
		before[g.members[0]] = g
	}
	for i, g := range out {
		if o := before[g.members[0]]; o != nil && o.remoteVaries == g.remoteVaries && slices.Equal(o.members, g.members) {
			// Reuses the sets; the numbers may be others.
			out[i] = &peerGroup{peering: o.peering, members: o.members, numbers: g.numbers, remoteVaries: o.remoteVaries}
		} else if len(g.members) > 1 {
			g.unite(ix)
		}
	}
	return out
}

// unite makes the peering that stands for all members.
func (g *peerGroup) unite(ix *nodes.Index) {
	all := bitset.New(ix.Len())
	for _, r := range g.members {
		g.varying(r).AddTo(all)
	}
	one := *g.members[0]
	if g.remoteVaries {
		one.remote, one.back = all, all
	} else {
		one.local = all
	}
	g.peering = &one
}

// with returns the members that have node i on the varying side, in order. O(nodes
// on the varying sides) the first time, then O(1).
func (g *peerGroup) with(i uint) []*peering {
	g.once.Do(func() {
		g.byNode = map[uint32][]*peering{}
		for _, r := range g.members {
			g.varying(r).Each(func(i uint32) bool {
				g.byNode[i] = append(g.byNode[i], r)
				return true
			})
		}
	})
	return g.byNode[uint32(i)]
}

// source is a peerGroup that gives a half-session.
type source struct {
	*peerGroup
	// far reports which nodes decide the members that give the half-session:
	// those that it is towards, or else those that have it. It is false where
	// there is one member.
	far bool
}

// newSource returns g as a source of half-sessions, forward or back.
func newSource(g *peerGroup, back bool) source {
	return source{g, len(g.members) > 1 && g.remoteVaries != back}
}

// only returns a single peering as a source.
func only(r *peering) source { return source{peerGroup: r.alone} }

// between returns the members that give node i its half-session towards node j.
func (s source) between(i, j uint) []*peering {
	switch {
	case len(s.members) == 1:
		return s.members
	case s.far:
		return s.with(j)
	default:
		return s.with(i)
	}
}

// spread tells for one division of the nodes into groups in which of them the
// varying nodes of a peerGroup are.
type spread struct {
	starts []uint32
	list   []placed
}

// placed is a member of a peerGroup in a group of nodes.
type placed struct {
	member uint32 // an index into peerGroup.members
	nodes  int    // of the member's varying nodes, those in the group of nodes
}

// in lists the members with varying nodes in group i, in order.
func (s *spread) in(i uint32) []placed { return s.list[s.starts[i]:s.starts[i+1]] }

// spreads holds the spread of every peerGroup with several members.
type spreads map[*peerGroup]*spread

// newSpreads finds where the members of the peer groups are. O(nodes on the
// varying sides + groups for each peerGroup of several).
func newSpreads(list []*peerGroup, nodes *nodes.Classes) spreads {
	out := spreads{}
	for _, g := range list {
		if len(g.members) > 1 {
			out[g] = newSpread(g, nodes)
		}
	}
	return out
}

func newSpread(g *peerGroup, nodes *nodes.Classes) *spread {
	counts := make([]uint32, len(nodes.List)+1)
	last := make([]uint32, len(nodes.List)) // the last member that was placed, + 1
	each := func(visit func(member, group uint32, again bool)) {
		clear(last)
		for k, r := range g.members {
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
	s := &spread{starts: counts, list: make([]placed, counts[len(nodes.List)])}
	next := slices.Clone(counts)
	each(func(member, group uint32, again bool) {
		if again {
			s.list[next[group]-1].nodes++
			return
		}
		s.list[next[group]] = placed{member, 1}
		next[group]++
	})
	return s
}

// among calls visit with the members of a source, in order, that give a node of
// group from its half-session towards a node of group to, until visit returns
// false.
func (s spreads) among(src source, from, to uint32, visit func(r *peering, number uint32) bool) {
	if len(src.members) == 1 {
		visit(src.members[0], src.numbers[0])
		return
	}
	if src.far {
		from = to
	}
	for _, p := range s[src.peerGroup].in(from) {
		if !visit(src.members[p.member], src.numbers[p.member]) {
			return
		}
	}
}

package topology

import (
	"context"
	"slices"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology/nodes"
)

// tally is what there is of sessions in a network, by BGPPeer where one is
// behind them.
type tally struct {
	Sessions
	// byPeering counts the sessions that each of Topology.peerings gives a side of,
	// byMesh those that the mesh does.
	byPeering []int
	byMesh    int
	// broken, ambiguous and frozen are the half-sessions and nodes behind the
	// Sessions' parts: broken by reason, frozen by what BIRD refuses and, under
	// anyRefusal, in all.
	broken    map[Reason]*marks
	ambiguous marks
	frozen    map[string]*marks
	loads     *loads
	// dead are the groups with a half-session for which a starting BIRD waits in
	// vain.
	dead []bool
	// reflectorLoad is the Load of the route reflectors.
	reflectorLoad []Load
	// measures are the sets of the Sessions' parts and of reflectorLoad.
	measures measures
}

// count counts the sessions of a network. O(links + groups + external peers).
func (n *network) count(ctx context.Context, peerings int) (*tally, error) {
	t := &tally{byPeering: make([]int, peerings), dead: make([]bool, len(n.classes.List)), broken: map[Reason]*marks{}}
	degrees, fields := make([]int, len(n.classes.List)), map[string]bool{}
	for i := range n.links {
		if i%linksBetweenChecks == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		n.countLink(t, &n.links[i], degrees, fields)
	}
	n.countMesh(t, degrees)
	n.countExternals(t, fields)
	t.loads, t.frozen = n.newLoads(degrees), n.frozen()
	n.sumUp(t, fields)
	return t, nil
}

// linksBetweenChecks is how many links are counted until the context is asked
// again.
const linksBetweenChecks = 256

// sumUp makes the Sessions' parts that name nodes.
func (n *network) sumUp(t *tally, fields map[string]bool) {
	loads := t.loads.byCount(n)
	t.Load, t.reflectorLoad = t.list(n, loads[0], false), t.list(n, loads[1], true)
	t.Most, t.MostNode = n.most(t.Load, t.reflectorLoad)
	t.BrokenReasons = make(map[Reason]HalfGroup, len(t.broken))
	for reason, m := range t.broken {
		t.BrokenReasons[reason] = m.halfGroup(n, t.brokenMembers(n.family, reason))
	}
	t.Ambiguous = Ambiguous{t.ambiguous.halfGroup(n, t.ambiguousMembers(n.family)), firstNames(fields)}
	t.Frozen = NodeSet{Sample: []string{}, Members: t.frozenMembers(n.family, anyRefusal)}
	if all := t.frozen[anyRefusal]; all != nil {
		t.Frozen = all.nodeSet(n, t.Frozen.Members)
	}
	t.FrozenReasons = []FrozenReason{}
	for _, reason := range sortedKeys(t.frozen) {
		if m := t.frozen[reason]; reason != anyRefusal {
			t.FrozenReasons = append(t.FrozenReasons, FrozenReason{reason, m.nodeSet(n, t.frozenMembers(n.family, reason)), firstNames(m.peers)})
		}
	}
}

// brokenMembers registers the nodes with half-sessions that are broken for a
// reason.
func (t *tally) brokenMembers(f calico.Family, reason Reason) string {
	return t.measures.add("sessions/"+f.String()+"/broken/"+string(reason), nodesOf(func(t *Topology) func(int) bool {
		return t.marked(f, t.tallies[f].broken[reason])
	}))
}

// ambiguousMembers registers the nodes with ambiguous half-sessions.
func (t *tally) ambiguousMembers(f calico.Family) string {
	return t.measures.add("sessions/"+f.String()+"/ambiguous", nodesOf(func(t *Topology) func(int) bool {
		return t.marked(f, &t.tallies[f].ambiguous)
	}))
}

// frozenMembers registers the nodes whose BIRD refuses its configuration for a
// reason, or for any.
func (t *tally) frozenMembers(f calico.Family, reason string) string {
	name := "frozen/" + f.String()
	if reason != anyRefusal {
		name += "/" + reason
	}
	return t.measures.add(name, nodesOf(func(t *Topology) func(int) bool {
		return t.marked(f, t.tallies[f].frozen[reason])
	}))
}

// marked returns the test for marks, of which nil has none.
func (t *Topology) marked(f calico.Family, m *marks) func(int) bool {
	return func(i int) bool { return m.has(t.networks[f], i) }
}

// breaks counts the half-sessions of all nodes of a group on which no session
// comes up, and returns their marks.
func (n *network) breaks(t *tally, reason Reason, halves int, group uint32) *marks {
	t.Broken += halves
	t.dead[group] = t.dead[group] || waitsFor(reason)
	return t.marked(reason).addClass(n, group, halves)
}

func (t *tally) marked(reason Reason) *marks {
	if t.broken[reason] == nil {
		t.broken[reason] = &marks{}
	}
	return t.broken[reason]
}

// waitsFor reports whether a starting BIRD waits for a half-session that is
// broken for the given reason. It does not wait for a protocol that has failed
// by an error of BGP, which a wrong AS number is (nest/proto.c,
// proto_falling_down; seen in BIRD 1.6.8).
func waitsFor(reason Reason) bool { return reason != ASNumberMismatch }

// ordered counts the ordered pairs of different nodes of two groups.
func (n *network) ordered(a, b uint32) int {
	if a == b {
		return 2 * n.classes.Pairs(a, b)
	}
	return n.classes.Pairs(a, b)
}

func (n *network) countLink(t *tally, l *link, degrees []int, fields map[string]bool) {
	halves := n.ordered(l.from, l.to)
	for i := range l.halfSessions {
		h := &l.halfSessions[i]
		switch {
		case h.ambiguous():
			t.ambiguous.addClass(n, l.from, halves).addPeers(n, l, h)
			all := make([]*settings, len(h.ways))
			for k := range h.ways {
				all[k] = &h.ways[k].settings
			}
			addDifferences(fields, &n.classes.List[l.from], h.prefix, all...)
		case i > 0:
			n.breaks(t, n.laterReason(l, h), halves, l.from).addPeers(n, l, h)
		case !l.established():
			n.breaks(t, l.reason, halves, l.from).addPeers(n, l, h)
		}
		// An ambiguous one may be dead as well.
		if i > 0 || !l.established() && waitsFor(l.reason) {
			t.dead[l.from] = true
		}
	}
	if !l.established() {
		return
	}
	degrees[l.from] += halves / n.classes.List[l.from].Nodes
	if l.from > l.to {
		return
	}
	t.Total += n.classes.Pairs(l.from, l.to)
	n.credit(t, l)
}

// laterReason is why a half-session that is not the first stays idle.
func (n *network) laterReason(l *link, h *halfSession) Reason {
	a := &n.classes.List[l.from]
	if s := &h.ways[0].settings; s.peerASN == 0 || s.local(a) == 0 {
		return ASNumberZero
	}
	if n.sharesAddress(l.from) || n.sharesAddress(l.to) {
		return AddressShared
	}
	return Overlapping
}

// credit counts the sessions of a link for the BGPPeers that give a side of them.
func (n *network) credit(t *tally, l *link) {
	const (
		byFrom = 1 << iota // by the members with nodes of l.from
		byTo               // by those with nodes of l.to
	)
	type share struct {
		*peerGroup
		by int // 0 for the only member
	}
	var shares []share
	mesh := false
	for _, end := range []*link{l, n.link(l.to, l.from)} {
		mesh = mesh || end.halfSessions[0].prefix == prefixMesh
		for _, w := range end.halfSessions[0].ways {
			for _, s := range w.sources {
				by := 0
				switch {
				case len(s.members) == 1:
				case s.far == (end == l):
					by = byTo
				default:
					by = byFrom
				}
				i := slices.IndexFunc(shares, func(o share) bool { return o.peerGroup == s.peerGroup })
				if i < 0 {
					i = len(shares)
					shares = append(shares, share{s.peerGroup, 0})
				}
				shares[i].by |= by
			}
		}
	}
	sessions := n.classes.Pairs(l.from, l.to)
	if mesh {
		t.byMesh += sessions
	}
	for _, s := range shares {
		if s.by == 0 {
			t.byPeering[s.numbers[0]] += sessions
			continue
		}
		from, to := n.classes.List[l.from].Nodes, n.classes.List[l.to].Nodes
		var a, b []placed
		switch {
		case l.from == l.to:
			// All sessions but those between two nodes that are not the member's.
			for _, p := range n.spreads[s.peerGroup].in(l.from) {
				t.byPeering[s.numbers[p.member]] += sessions - (from-p.nodes)*(from-p.nodes-1)/2
			}
			continue
		case s.by&byFrom != 0:
			a = n.spreads[s.peerGroup].in(l.from)
		}
		if s.by&byTo != 0 {
			b = n.spreads[s.peerGroup].in(l.to)
		}
		for len(a) > 0 || len(b) > 0 {
			member, nodesFrom, nodesTo := uint32(0), 0, 0
			if len(b) == 0 || len(a) > 0 && a[0].member <= b[0].member {
				member, nodesFrom = a[0].member, a[0].nodes
			} else {
				member = b[0].member
			}
			if len(b) > 0 && b[0].member == member {
				nodesTo = b[0].nodes
				b = b[1:]
			}
			if nodesFrom > 0 {
				a = a[1:]
			}
			t.byPeering[s.numbers[member]] += sessions - (from-nodesFrom)*(to-nodesTo)
		}
	}
}

// countMesh counts the mesh's sessions as a formula, but for those pairs that
// have a link.
func (n *network) countMesh(t *tally, degrees []int) {
	sizes, linked := [meshKinds]int{}, make([][meshKinds]int, len(n.classes.List)) // nodes of linked groups
	kinds := map[uint32]int{}
	for kind, list := range n.mesh {
		for _, g := range list {
			kinds[g] = kind
			sizes[kind] += n.classes.List[g].Nodes
		}
	}
	if len(kinds) == 0 {
		return
	}
	for i := range n.links {
		l := &n.links[i]
		if kind, ok := kinds[l.to]; ok {
			linked[l.from][kind] += n.classes.List[l.to].Nodes
		}
	}
	sessions := 0 // counted from both ends
	for g, kind := range kinds {
		nodes := n.classes.List[g].Nodes
		for other := range meshKinds {
			peers := sizes[other] - linked[g][other]
			if other == kind && n.link(g, g) == nil {
				peers-- // itself
			}
			for _, s := range n.addressSharers() { // They are skipped and have no link.
				if k, ok := kinds[s]; ok && k == other && n.sameAddress(g, s) {
					peers--
				}
			}
			if reason := n.rules.meshReason(kind, other); reason == "" {
				sessions += nodes * peers
				degrees[g] += peers
			} else if peers > 0 {
				n.breaks(t, reason, nodes*peers, g)
			}
		}
	}
	t.Total += sessions / 2
	t.byMesh += sessions / 2
}

func (n *network) countExternals(t *tally, fields map[string]bool) {
	for _, p := range n.workloads {
		t.External += int(p.local.IntersectionCardinality(n.index.BGP[n.family]))
	}
	for _, o := range n.counted {
		for k := range o.halfSessions {
			h := &o.halfSessions[k]
			counted := n.ambiguousAt(h, fields)
			if counted.Any() {
				t.ambiguous.addNodes(counted)
				h.sourcesAt(&t.ambiguous, counted)
			}
			for _, v := range h.variants {
				left := v.nodes.Difference(counted)
				counted.InPlaceUnion(v.nodes) // Variants that come to the same are one.
				for _, dead := range []struct {
					reason Reason
					nodes  *bitset.BitSet
				}{
					{ASNumberZero, n.zeroASN(&v, left)}, {AddressShared, n.index.Shared(n.family)}, {Overlapping, h.idle},
				} {
					c := int(left.IntersectionCardinality(dead.nodes))
					if c == 0 {
						continue
					}
					t.Broken += c
					m, hit := t.marked(dead.reason), left.Intersection(dead.nodes)
					m.addNodes(hit)
					h.sourcesAt(m, hit)
					left = left.Difference(dead.nodes)
				}
				t.External += int(left.Count())
			}
		}
	}
}

// sourcesAt takes in the BGPPeers that give the half-session to some nodes.
func (h *externalHalfSession) sourcesAt(m *marks, nodes *bitset.BitSet) {
	for i := range h.variants {
		m.addPeersAt(h.variants[i].sources, nodes)
	}
}

// zeroASN returns those of nodes for which an AS number of 0 is in it.
func (n *network) zeroASN(v *variant, nodes *bitset.BitSet) *bitset.BitSet {
	if v.settings.peerASN == 0 {
		return nodes
	}
	if v.settings.localASN != 0 {
		return bitset.New(0)
	}
	zero := n.classes.Union(func(g int) bool { return n.classes.List[g].ASN == 0 })
	if zero == nil {
		return bitset.New(0)
	}
	return zero.Intersection(nodes)
}

// working returns the nodes whose half-session with an external peer BIRD takes.
func (n *network) working(h *externalHalfSession) *bitset.BitSet {
	out := h.nodes.Difference(h.idle).Difference(n.index.Shared(n.family))
	for i := range h.variants {
		out.InPlaceDifference(n.zeroASN(&h.variants[i], h.variants[i].nodes))
	}
	return out
}

// waiting returns the nodes that have a half-session for which a starting BIRD
// waits in vain, a peer that is not ready among the reasons; nil for none. O(nodes) where
// there are any.
func (n *network) waiting(t *tally) *bitset.BitSet {
	down := n.index.NotReady.Intersection(n.index.BGP[n.family])
	downIn := make([]int, len(n.classes.List))
	for i, ok := down.NextSet(0); ok; i, ok = down.NextSet(i + 1) {
		downIn[n.classes.Of[i]]++
	}
	meshDown := 0
	for g, c := range downIn {
		if n.inMesh(uint32(g)) {
			meshDown += c
		}
	}
	out := n.classes.Union(func(g int) bool {
		if t.dead[g] {
			return true
		}
		// A node that is down itself and the only one does not wait for itself;
		// it is down anyway, so it is let count.
		if n.inMesh(uint32(g)) && meshDown > 0 {
			return true
		}
		for _, l := range n.from(uint32(g)) {
			if downIn[l.to] > 0 {
				return true
			}
		}
		return false
	})
	for _, o := range n.counted {
		for k := range o.halfSessions {
			h := &o.halfSessions[k]
			dead := h.idle.Union(h.nodes.Intersection(n.index.Shared(n.family)))
			if dead.Any() {
				if out == nil {
					out = bitset.New(uint(len(n.classes.Of)))
				}
				out.InPlaceUnion(dead)
			}
		}
	}
	return out
}

// meshSummary is the node-to-node mesh under the BGPConfiguration "default".
func meshSummary(ix *nodes.Index) Mesh {
	four, six := ix.BGP[calico.IPv4].Difference(ix.Reflectors), ix.BGP[calico.IPv6].Difference(ix.Reflectors)
	n4, n6 := int(four.Count()), int(six.Count())
	m := Mesh{Nodes: int(four.UnionCardinality(six)), Sessions: n4*(n4-1)/2 + n6*(n6-1)/2}
	// The node with the most sessions is one with addresses in both families,
	// where there is such a node.
	m.SessionsPerNode = max(n4-1, n6-1, 0)
	if four.IntersectionCardinality(six) > 0 {
		m.SessionsPerNode = n4 - 1 + n6 - 1
	}
	return m
}

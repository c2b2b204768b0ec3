package topology

import (
	"context"
	"slices"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology/nodes"
	"github.com/bgpguard/bgpguard/pkg/topology/sessions"
)

// network is the sessions of one family, with methods that count them.
type network struct{ *sessions.Network }

// tally is the numbers of sessions and half-sessions of a network.
type tally struct {
	Sessions
	// byPeering is, for each peering, the number of sessions with at least one
	// half-session that it configures. byMesh is this number for the mesh.
	byPeering []int
	byMesh    int
	// broken, ambiguous and frozen are the half-sessions and nodes that Sessions counts.
	// broken has them by reason.
	broken    map[Reason]*marks
	ambiguous marks
	// conflicting marks the ambiguous half-sessions whose settings conflict.
	conflicting marks
	frozen      *rejections
	loads       *loads
	// dead are the classes with a half-session for which a starting BIRD waits until
	// its graceful-restart wait is over.
	dead []bool
	// reflectorLoad is the Load of the route reflectors.
	reflectorLoad []Load
	// measures are the sets of Sessions and of reflectorLoad.
	measures measures
}

// count counts the sessions of a network. O(links + classes + external peers).
func (n *network) count(ctx context.Context, peerings int) (*tally, error) {
	t := &tally{byPeering: make([]int, peerings), dead: make([]bool, len(n.Classes.List)), broken: map[Reason]*marks{}}
	degrees, fields, conflicts := make([]int, len(n.Classes.List)), map[string]bool{}, map[string]bool{}
	for i := range n.Links {
		if i%linksBetweenChecks == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		n.countLink(t, &n.Links[i], degrees, fields, conflicts)
	}
	n.countMesh(t, degrees)
	n.countExternals(t, fields, conflicts)
	t.loads, t.frozen = n.newLoads(degrees), n.frozen()
	n.sumUp(t, fields, conflicts)
	return t, nil
}

// linksBetweenChecks is the number of links after which count checks the context.
const linksBetweenChecks = 256

// sumUp sets the fields of Sessions that name nodes.
func (n *network) sumUp(t *tally, fields, conflicts map[string]bool) {
	loads := t.loads.byCount(n)
	t.Load, t.reflectorLoad = t.list(n, loads[0], false), t.list(n, loads[1], true)
	most, node := n.most(t.Load, t.reflectorLoad)
	t.Most, t.MostNode = most, Optional(node)
	t.BrokenReasons = make(map[Reason]HalfGroup, len(t.broken))
	for reason, m := range t.broken {
		t.BrokenReasons[reason] = m.halfGroup(n, t.brokenMembers(n.Family, reason))
	}
	t.Ambiguous = Ambiguous{t.ambiguous.halfGroup(n, t.ambiguousMembers(n.Family)), firstNames(fields)}
	t.Conflicting = Ambiguous{t.conflicting.halfGroup(n, t.conflictingMembers(n.Family)), firstNames(conflicts)}
	t.Frozen = t.frozen.all.nodeSet(n, t.frozenMembers(n.Family, nil))
	t.FrozenReasons = t.frozenReasons(n)
}

// brokenMembers registers the nodes with half-sessions broken for a reason.
func (t *tally) brokenMembers(f calico.Family, reason Reason) string {
	return t.measures.add("sessions/"+f.String()+"/broken/"+string(reason), nodesIn(f, func(t *Topology) func(int) bool {
		return t.marked(f, t.tallies[f].broken[reason])
	}))
}

// ambiguousMembers registers the nodes with ambiguous half-sessions.
func (t *tally) ambiguousMembers(f calico.Family) string {
	return t.measures.add("sessions/"+f.String()+"/ambiguous", nodesIn(f, func(t *Topology) func(int) bool {
		return t.marked(f, &t.tallies[f].ambiguous)
	}))
}

// conflictingMembers registers the nodes with ambiguous half-sessions whose settings
// conflict.
func (t *tally) conflictingMembers(f calico.Family) string {
	return t.measures.add("sessions/"+f.String()+"/conflicting", nodesIn(f, func(t *Topology) func(int) bool {
		return t.marked(f, &t.tallies[f].conflicting)
	}))
}

// frozenMembers registers the nodes whose BIRD rejects its configuration by a rule, or by
// any rule for nil.
func (t *tally) frozenMembers(f calico.Family, rule *calico.Rule) string {
	name := "frozen/" + f.String()
	if rule != nil {
		name += "/" + rule.Reason
	}
	return t.measures.add(name, nodesIn(f, func(t *Topology) func(int) bool {
		return t.marked(f, t.tallies[f].frozen.marked(rule))
	}))
}

// marked returns a function that reports whether a node is marked. m may be nil.
func (t *Topology) marked(f calico.Family, m *marks) func(int) bool {
	return func(i int) bool { return m.has(t.networks[f], i) }
}

// breaks adds a number of broken half-sessions of the nodes of a class to the tally,
// and returns the marks of the reason.
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

// waitsFor reports whether a starting BIRD waits for a half-session that is broken for
// a reason. BIRD does not wait for a protocol that stopped with a BGP error, such as a
// wrong AS number (nest/proto.c, proto_falling_down; observed with BIRD 1.6.8).
func waitsFor(reason Reason) bool { return reason != ASNumberMismatch }

// ordered returns the number of ordered pairs of different nodes of two classes.
func (n *network) ordered(a, b uint32) int {
	if a == b {
		return 2 * n.Classes.Pairs(a, b)
	}
	return n.Classes.Pairs(a, b)
}

func (n *network) countLink(t *tally, l *sessions.Link, degrees []int, fields, conflicts map[string]bool) {
	halves := n.ordered(l.From, l.To)
	for i := range l.Protocols {
		h := &l.Protocols[i]
		switch {
		case h.Ambiguous():
			t.ambiguous.addClass(n, l.From, halves).addPeers(n, l, h)
			all := make([]*sessions.Settings, len(h.Ways))
			for k := range h.Ways {
				all[k] = &h.Ways[k].Settings
			}
			if n.AddDifferences(fields, conflicts, l.From, h.Prefix, all...) {
				t.conflicting.addClass(n, l.From, halves).addPeers(n, l, h)
			}
		case i > 0:
			n.breaks(t, n.LaterReason(l, h), halves, l.From).addPeers(n, l, h)
		case !l.Established():
			n.breaks(t, l.Reason, halves, l.From).addPeers(n, l, h)
		}
		// A starting BIRD waits for an ambiguous half-session too.
		if i > 0 || !l.Established() && waitsFor(l.Reason) {
			t.dead[l.From] = true
		}
	}
	if !l.Established() {
		return
	}
	degrees[l.From] += halves / n.Classes.List[l.From].Nodes
	if l.From > l.To {
		return
	}
	t.Total += n.Classes.Pairs(l.From, l.To)
	n.credit(t, l)
}

// configuring is a peer group that configures half-sessions on a link.
type configuring struct {
	*sessions.PeerGroup
	from bool // members with nodes in the class From of the link configure them
	to   bool // members with nodes in the class To configure them; a group of one member has neither
}

// credit adds the sessions of a link to the numbers of the BGPPeers that configure at
// least one of their half-sessions.
func (n *network) credit(t *tally, l *sessions.Link) {
	shares, mesh := n.shares(l)
	total := n.Classes.Pairs(l.From, l.To)
	if mesh {
		t.byMesh += total
	}
	for _, s := range shares {
		if !s.from && !s.to {
			t.byPeering[s.Numbers[0]] += total
			continue
		}
		n.creditMembers(t, l, s, total)
	}
}

// shares returns the peer groups that configure half-sessions on a link or back, and
// whether the mesh configures some of them.
func (n *network) shares(l *sessions.Link) (shares []configuring, mesh bool) {
	for _, end := range []*sessions.Link{l, n.Link(l.To, l.From)} {
		mesh = mesh || end.Protocols[0].Prefix == sessions.PrefixMesh
		for _, w := range end.Protocols[0].Ways {
			for _, s := range w.Sources {
				i := slices.IndexFunc(shares, func(o configuring) bool { return o.PeerGroup == s.PeerGroup })
				if i < 0 {
					i = len(shares)
					shares = append(shares, configuring{PeerGroup: s.PeerGroup})
				}
				if len(s.Members) > 1 {
					byTo := s.Far == (end == l)
					shares[i].to, shares[i].from = shares[i].to || byTo, shares[i].from || !byTo
				}
			}
		}
	}
	return shares, mesh
}

// creditMembers adds the sessions of a link to the numbers of the members of a peer
// group. A member configures all of the total sessions except those between two nodes
// that it does not select on the varying side. O(members with nodes in the two
// classes).
func (n *network) creditMembers(t *tally, l *sessions.Link, s configuring, total int) {
	from, to := n.Classes.List[l.From].Nodes, n.Classes.List[l.To].Nodes
	spread := n.Spreads[s.PeerGroup]
	if l.From == l.To {
		for _, p := range spread.In(l.From) {
			t.byPeering[s.Numbers[p.Member]] += total - (from-p.Nodes)*(from-p.Nodes-1)/2
		}
		return
	}
	var a, b []sessions.Placed // both in order of members
	if s.from {
		a = spread.In(l.From)
	}
	if s.to {
		b = spread.In(l.To)
	}
	for len(a) > 0 || len(b) > 0 {
		var member uint32
		if len(b) == 0 || len(a) > 0 && a[0].Member <= b[0].Member {
			member = a[0].Member
		} else {
			member = b[0].Member
		}
		nodesFrom, nodesTo := 0, 0
		if len(a) > 0 && a[0].Member == member {
			nodesFrom, a = a[0].Nodes, a[1:]
		}
		if len(b) > 0 && b[0].Member == member {
			nodesTo, b = b[0].Nodes, b[1:]
		}
		t.byPeering[s.Numbers[member]] += total - (from-nodesFrom)*(to-nodesTo)
	}
}

// countMesh counts the mesh sessions between classes without a link, by a formula.
func (n *network) countMesh(t *tally, degrees []int) {
	sizes, linked := make([]int, len(n.Mesh)), make([]map[int]int, len(n.Classes.List)) // nodes of linked classes
	kinds := map[uint32]int{}
	for kind, list := range n.Mesh {
		for _, g := range list {
			kinds[g] = kind
			sizes[kind] += n.Classes.List[g].Nodes
		}
	}
	if len(kinds) == 0 {
		return
	}
	for i := range n.Links {
		l := &n.Links[i]
		if kind, ok := kinds[l.To]; ok {
			if linked[l.From] == nil {
				linked[l.From] = map[int]int{}
			}
			linked[l.From][kind] += n.Classes.List[l.To].Nodes
		}
	}
	count := 0 // each session is counted at both ends
	for g, kind := range kinds {
		nodes := n.Classes.List[g].Nodes
		for other := range n.Mesh {
			peers := sizes[other] - linked[g][other]
			if other == kind && n.Link(g, g) == nil {
				peers-- // itself
			}
			for _, s := range n.AddressSharers() { // No half-session, and no link.
				if k, ok := kinds[s]; ok && k == other && n.SameAddress(g, s) {
					peers--
				}
			}
			if reason := n.MeshReason(kind, other); reason == "" {
				count += nodes * peers
				degrees[g] += peers
			} else if peers > 0 {
				n.breaks(t, reason, nodes*peers, g)
			}
		}
	}
	t.Total += count / 2
	t.byMesh += count / 2
}

func (n *network) countExternals(t *tally, fields, conflicts map[string]bool) {
	for _, p := range n.Workloads {
		t.External += int(p.Local.IntersectionCardinality(n.Index.BGP[n.Family]))
	}
	for _, o := range n.Counted {
		for k := range o.Protocols {
			h := &o.Protocols[k]
			counted, conflicting := n.AmbiguousAt(h, fields, conflicts)
			if counted.Any() {
				t.ambiguous.addNodes(counted)
				addSourcesAt(h, &t.ambiguous, counted)
			}
			if conflicting.Any() {
				t.conflicting.addNodes(conflicting)
				addSourcesAt(h, &t.conflicting, conflicting)
			}
			for _, v := range h.Variants {
				left := v.Nodes.Difference(counted)
				counted.InPlaceUnion(v.Nodes) // Equivalent variants are one half-session.
				for _, dead := range []struct {
					reason Reason
					nodes  *bitset.BitSet
				}{
					{ASNumberZero, n.ZeroASN(&v, left)}, {AddressShared, n.Index.Shared(n.Family)}, {Overlapping, h.Idle},
				} {
					c := int(left.IntersectionCardinality(dead.nodes))
					if c == 0 {
						continue
					}
					t.Broken += c
					m, hit := t.marked(dead.reason), left.Intersection(dead.nodes)
					m.addNodes(hit)
					addSourcesAt(h, m, hit)
					left = left.Difference(dead.nodes)
				}
				t.External += int(left.Count())
			}
		}
	}
}

// addSourcesAt adds the BGPPeers that configure the half-sessions h on some nodes.
func addSourcesAt(h *sessions.ExternalProtocol, m *marks, nodes *bitset.BitSet) {
	for i := range h.Variants {
		m.addPeersAt(h.Variants[i].Sources, nodes)
	}
}

// waiting returns the nodes on which a starting BIRD waits until its graceful-restart
// wait is over, nil if there are none. They have a half-session on which no session
// comes up, or a peer that is not ready. O(classes + links), and O(nodes) if there are
// such nodes.
func (n *network) waiting(t *tally) *bitset.BitSet {
	down := n.Index.NotReady.Intersection(n.Index.BGP[n.Family])
	downIn := make([]int, len(n.Classes.List))
	for i, ok := down.NextSet(0); ok; i, ok = down.NextSet(i + 1) {
		downIn[n.Classes.Of[i]]++
	}
	meshDown := 0
	for g, c := range downIn {
		if n.InMesh(uint32(g)) {
			meshDown += c
		}
	}
	out := n.Classes.Union(func(g int) bool {
		if t.dead[g] {
			return true
		}
		// If exactly one node is not ready, it does not wait for itself. It is counted
		// because it is down anyway.
		if n.InMesh(uint32(g)) && meshDown > 0 {
			return true
		}
		for _, l := range n.LinksFrom(uint32(g)) {
			if downIn[l.To] > 0 {
				return true
			}
		}
		return false
	})
	for _, o := range n.Counted {
		for k := range o.Protocols {
			h := &o.Protocols[k]
			dead := h.Idle.Union(h.Nodes.Intersection(n.Index.Shared(n.Family)))
			if dead.Any() {
				if out == nil {
					out = bitset.New(uint(len(n.Classes.Of)))
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
	// A node with addresses in both families has the most sessions.
	m.SessionsPerNode = max(n4-1, n6-1, 0)
	if four.IntersectionCardinality(six) > 0 {
		m.SessionsPerNode = n4 - 1 + n6 - 1
	}
	return m
}

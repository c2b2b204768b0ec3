package topology

import (
	"context"
	"encoding/binary"
	"slices"

	"github.com/bits-and-blooms/bitset"
)

// quotient is a network for following routes: its vertices are groups, merged
// where they have the same neighbours on the same terms, as the workers of all
// racks have that peer with the same route reflectors.
type quotient struct {
	network  *network
	of       []int32 // of each group, an index into vertices; -1 without an address
	vertices []vertex
}

type vertex struct {
	groups  []uint32
	first   []uint32 // nodes, in order
	nodes   int
	cluster int // number of the own cluster ID, -1 for none
	hops    []hop
	exits   []exitHop
	// relays tells that a route learned over iBGP may be passed on.
	relays bool
}

// hop is the sessions from the nodes of a vertex to those of another one.
type hop struct {
	to int32
	terms
}

// terms are what decides which routes a session carries one way.
type terms struct {
	internal bool // iBGP
	// The sender's half-session: whether the receiver is its client, and the
	// AS number that it presents itself with.
	outClient bool
	outASN    uint32
	// The receiver's.
	inClient bool
	inASN    uint32
	inAllow  int
	// ownAllow is the sender's inAllow the other way, which tells vertices apart.
	ownAllow int
}

// exitHop is a session with what is outside, as its node has it.
type exitHop struct {
	internal, client bool
	asn              uint32
}

// newQuotient merges the groups of a network. O(links + mesh groups squared
// after merging).
func newQuotient(ctx context.Context, n *network, exits map[exit]*bitset.BitSet) (*quotient, error) {
	q := &quotient{network: n, of: make([]int32, len(n.sides))}
	edges := make([][]hop, len(n.sides)) // to groups, without the mesh's
	exitHops := make([][]exitHop, len(n.sides))
	kinds := make([]int, len(n.sides))
	for g := range kinds {
		kinds[g] = -1
	}
	for kind, list := range n.mesh {
		for _, g := range list {
			kinds[g] = kind
		}
	}
	exitKeys := sortedExits(exits)
	known := map[string]int32{}
	ids := map[string]int{}
	for g := range n.sides {
		s := &n.sides[g]
		q.of[g] = -1
		if !s.speaks(n.family) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		edges[g] = n.edges(uint32(g))
		for _, k := range exitKeys {
			if h := k.hop(s); h.asn != 0 && exits[k].Test(uint(s.first[0])) { // BIRD refuses 0.
				exitHops[g] = append(exitHops[g], h)
			}
		}
		key := signature(n, uint32(g), kinds[g], edges[g], exitHops[g])
		v, ok := known[key]
		if !ok {
			v = int32(len(q.vertices))
			known[key] = v
			q.vertices = append(q.vertices, vertex{cluster: -1, exits: exitHops[g]})
			if s.reflector() {
				if _, ok := ids[s.clusterID]; !ok {
					ids[s.clusterID] = len(ids)
				}
				q.vertices[v].cluster = ids[s.clusterID]
			}
		}
		q.of[g] = v
		one := &q.vertices[v]
		one.groups = append(one.groups, uint32(g))
		one.nodes += s.nodes
		one.first = append(one.first, s.first...)
	}
	for i := range q.vertices {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		v := &q.vertices[i]
		slices.Sort(v.first)
		v.first = v.first[:min(len(v.first), firstNodes)]
		q.join(v, edges[v.groups[0]], kinds)
	}
	return q, nil
}

// join makes the hops of a vertex: those to groups, each vertex once, and
// those of the mesh to all whom no link reaches.
func (q *quotient) join(v *vertex, edges []hop, kinds []int) {
	n := q.network
	g := v.groups[0]
	linked := make(map[int32]bool, len(edges))
	for i := range n.from(g) {
		linked[q.of[n.from(g)[i].to]] = true
	}
	seen := make(map[int32]bool, len(edges))
	for _, e := range edges {
		to := q.of[e.to]
		if !seen[to] {
			seen[to] = true
			v.hops = append(v.hops, hop{to, e.terms})
		}
	}
	if kinds[g] >= 0 {
		for i := range q.vertices {
			w := &q.vertices[i]
			kind := kinds[w.groups[0]]
			if kind < 0 || linked[int32(i)] || n.rules.meshReason(kinds[g], kind) != "" || n.isShared(g) || n.isShared(w.groups[0]) {
				continue
			}
			a, b := &n.sides[g], &n.sides[w.groups[0]]
			v.hops = append(v.hops, hop{int32(i), terms{internal: a.asn == b.asn, outASN: a.asn, inASN: b.asn}})
		}
	}
	v.relays = len(v.exits) > 0
	for _, h := range v.hops {
		v.relays = v.relays || h.outClient || !h.internal || h.outASN != v.hops[0].outASN
	}
}

// edges lists the sessions of a group by links.
func (n *network) edges(g uint32) []hop {
	var out []hop
	list := n.from(g)
	for i := range list {
		l := &list[i]
		if !l.stands() {
			continue
		}
		out = append(out, hop{int32(l.to), n.terms(l, n.link(l.to, l.from))})
	}
	return out
}

// terms of the sessions on link l, whose other side is m. Where a side is
// ambiguous, only what holds either way is counted on.
func (n *network) terms(l, m *link) terms {
	a, b := &n.sides[l.from], &n.sides[l.to]
	first := &l.halves[0].ways[0].settings
	t := terms{internal: first.internal(a), outASN: first.local(a), inASN: m.halves[0].ways[0].settings.local(b)}
	t.outClient = !l.some(func(s *settings) bool { return !s.client(a, l.halves[0].prefix) })
	t.inClient = !m.some(func(s *settings) bool { return !s.client(b, m.halves[0].prefix) })
	t.inAllow, t.ownAllow = m.allow(), l.allow()
	return t
}

// allow is how often the nodes of l.from take a route with their own AS number
// in its path.
func (l *link) allow() int {
	least := l.halves[0].ways[0].settings.allow
	for _, w := range l.halves[0].ways {
		least = min(least, w.settings.allow)
	}
	return least
}

func (k exit) hop(s *side) exitHop {
	local := k.localASN
	if local == 0 {
		local = s.asn
	}
	h := exitHop{internal: !k.foreign && k.peerASN == local, asn: local}
	h.client = h.internal && s.reflector()
	return h
}

// signature is the same for groups that no route can tell apart.
func signature(n *network, g uint32, mesh int, edges []hop, exits []exitHop) string {
	s := &n.sides[g]
	b := make([]byte, 0, 16+16*len(edges))
	b = append(b, s.clusterID...)
	b = append(b, 0, byte(mesh+1))
	b = binary.BigEndian.AppendUint32(b, s.asn)
	if n.isShared(g) {
		b = binary.BigEndian.AppendUint32(b, g+1)
	}
	flags := func(set ...bool) {
		var f byte
		for i, on := range set {
			if on {
				f |= 1 << i
			}
		}
		b = append(b, f)
	}
	for _, e := range exits {
		b = binary.BigEndian.AppendUint32(append(b, 'x'), e.asn)
		flags(e.internal, e.client)
	}
	for _, e := range edges {
		b = binary.BigEndian.AppendUint32(append(b, 'e'), uint32(e.to))
		b = binary.BigEndian.AppendUint32(b, e.outASN)
		b = binary.BigEndian.AppendUint32(b, e.inASN)
		b = binary.BigEndian.AppendUint32(b, uint32(e.inAllow))
		b = binary.BigEndian.AppendUint32(b, uint32(e.ownAllow))
		flags(e.internal, e.outClient, e.inClient)
	}
	// A link without a session takes the mesh's place too.
	if mesh >= 0 {
		for _, l := range n.from(g) {
			b = binary.BigEndian.AppendUint32(append(b, 'l'), l.to)
		}
	}
	return string(b)
}

package routes

import (
	"context"
	"slices"
)

// learned is how a node has a route.
type learned uint8

const (
	locally learned = iota // the node originates it
	byEBGP
	byIBGP
)

// route is the route of one node as the nodes of a vertex have it. It holds the
// attributes that decide to which peers it is advertised and which peers drop it
// (RFC 4271 section 9.1.2, RFC 4456 section 8, and BIRD's proto/bgp/packets.c and
// attrs.c).
type route struct {
	at      int32
	to      set // the destinations to which it is the route
	learned learned
	client  bool   // learned over iBGP from a client
	asn     uint32 // the node's own AS number on the session over which it learned the route
	// sender is the vertex of the node that sent the route, nobody if no node did. direct reports
	// that this node is the source of the flood. barred is the vertex of the sender if the nodes of at
	// cannot send it the route, and that may matter; else nobody.
	sender int32
	direct bool
	barred int32
	// clusters is the cluster list. path is the AS numbers that eBGP prepended. Both
	// are sorted.
	clusters []int
	path     []uint32
	// external reports that external peers passed the route on: its AS path and communities
	// may have more elements. The fields after it are set if they are observed: the AS path
	// in order, the sorted communities, and the local preference.
	external    bool
	order       []uint32 // as many as are observed
	communities []Community
	preference  uint32
	trail       *trail // nil in Compute
}

// nobody is the sender of a route that an external peer sent, or that the node originates. It is no
// vertex.
const nobody = External

// maxRoutes is the maximum number of paths of one route that the nodes of a vertex
// advertise. Compute keeps the first paths, which are the shortest. In networks of
// many AS numbers in layers, the number of paths is otherwise exponential. The bound
// does not change whether a node of the vertex has the route. The result may lack
// routes that other nodes learn only over a dropped path. It never has additional ones.
const maxRoutes = 16

// flood follows the route of one node of the vertex source to the destinations of a batch. The other
// nodes of that vertex are receivers like all others. The floods of Compute alone have several
// destinations.
type flood struct {
	*batch

	graph    *Graph
	reading  Reading
	observed observed
	parts    []int   // of each vertex, the number of its component
	relays   []bool  // of each vertex
	several  []bool  // of each vertex, whether its nodes have several AS numbers
	shared   *Shared // nil for routes that all nodes originate and pass on

	source   int32
	got      []set     // of each vertex, the destinations to which its nodes have the route
	missing  []int     // of each destination, the number of vertices of the source's component without the route
	wanted   set       // the destinations for which missing is not 0
	routes   [][]route // of each vertex; keep does not add a route that earlier ones cover
	queue    []kept    // routes to advertise, from next on
	next     int
	external []route // the routes that the external peers pass on
	trace    *trace  // nil in Compute
	sent     []route // the result of the last call of send
}

// kept is a route in flood.routes: that of an index at a vertex.
type kept struct{ at, index int32 }

func newFlood(g *Graph, reading Reading, b *batch) *flood {
	return (&flood{routes: make([][]route, len(g.Vertices))}).over(g, reading, b)
}

// over returns f, without its results, for another reading or batch. It reuses the memory of lists, which
// are long in all floods over a graph if they are in one.
func (f *flood) over(g *Graph, reading Reading, b *batch) *flood {
	*f = flood{
		batch: b, graph: g, reading: reading, observed: b.observed, got: make([]set, len(g.Vertices)), missing: make([]int, len(b.numbers)),
		parts: g.components(reading), relays: make([]bool, len(g.Vertices)), several: make([]bool, len(g.Vertices)),
		routes: f.routes, queue: f.queue, external: f.external, sent: f.sent,
	}
	for i := range f.relays {
		f.relays[i], f.several[i] = g.Vertices[i].relays(reading), g.Vertices[i].severalNumbers(reading)
	}
	return f
}

// run sets got for each vertex whose nodes receive the route of a node of the vertex
// source. It sets got for source itself if the other nodes of source receive the
// route. run checks the context before it advertises a path, which is O(vertices).
func (f *flood) run(ctx context.Context, source int32) error {
	missing := 0
	for _, part := range f.parts {
		if part == f.parts[source] {
			missing++
		}
	}
	if f.graph.Vertices[source].Nodes == 1 {
		missing--
	}
	f.start(source, missing)
	f.advertise(f.own(source))
	return f.drain(ctx)
}

// start forgets the routes of another source. missing is the number of vertices that can receive the
// route.
func (f *flood) start(source int32, missing int) {
	f.source, f.external = source, f.external[:0]
	f.queue, f.next = f.queue[:0], 0
	clear(f.got)
	for i := range f.routes {
		f.routes[i] = f.routes[i][:0]
	}
	for i := range f.missing {
		f.missing[i] = missing
	}
	f.wanted = f.all
	if missing == 0 && f.trace == nil {
		f.wanted = 0
	}
}

// drain advertises all routes that are to be advertised, for each destination until no vertex is missing.
func (f *flood) drain(ctx context.Context) error {
	for f.next < len(f.queue) && f.wanted != 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		k := f.queue[f.next]
		f.next++
		r := f.routes[k.at][k.index]
		if r.to &= f.wanted; r.to != 0 {
			f.advertise(&r)
		}
	}
	return ctx.Err()
}

// have records that the nodes of a vertex have the route to some destinations. A trace also wants the
// routes that come later.
func (f *flood) have(v int32, to set) {
	fresh := to &^ f.got[v]
	f.got[v] |= fresh
	if f.trace != nil {
		return
	}
	fresh.each(func(k int) {
		f.missing[k]--
		if f.missing[k] == 0 {
			f.wanted &^= 1 << k
		}
	})
}

// others returns the number of nodes of a vertex without the one that originates the route.
func (f *flood) others(v int32) int {
	if v == f.source {
		return f.graph.Vertices[v].Nodes - 1
	}
	return f.graph.Vertices[v].Nodes
}

// receivers returns the number of nodes of a vertex to which a node may send its route: all except
// the source, the node itself, and the node that sent it the route. BIRD sends no route back over the
// session from which it has it (proto/bgp/attrs.c, bgp_import_control). These nodes differ, and the
// sessions of all others of a vertex are the same. So a path over given vertices exists to each of
// them or to none, and its number of receivers does not depend on which nodes it contains.
func (f *flood) receivers(r *route, v int32) int {
	out := f.others(v)
	if v == r.at && (r.learned != locally || v != f.source) {
		out--
	}
	if v == r.sender && !r.direct {
		out--
	}
	return out
}

// findBarred sets barred. A node has the route that it sent: it needs the same route from another
// sender only if it accepts its own AS number in the path or if policies or its several AS numbers
// distinguish the two.
func (f *flood) findBarred(r *route) {
	r.barred = nobody
	if !f.relays[r.at] || r.sender == nobody || r.direct || f.receivers(r, r.sender) > 0 {
		return
	}
	for i := range f.graph.Vertices[r.at].Sessions {
		s := &f.graph.Vertices[r.at].Sessions[i]
		if s.To != r.sender {
			continue
		}
		own := !s.Internal && s.PeerASN != Anonymous // The sender finds its own AS number.
		if own && s.PeerAllowed > 0 || !own && (f.several[s.To] || f.observed.attributes()) {
			r.barred = r.sender
		}
	}
}

// advertise sends a route over every session that carries it.
func (f *flood) advertise(r *route) {
	if f.trace.ends(f, r) {
		return
	}
	v := &f.graph.Vertices[r.at]
	reflected := r.clusters // the cluster list of the route as v reflects it
	if v.Cluster != NoCluster && r.learned == byIBGP {
		if i, has := slices.BinarySearch(r.clusters, v.Cluster); !has {
			reflected = slices.Concat(r.clusters[:i], []int{v.Cluster}, r.clusters[i:])
		}
	}
	for i := range v.Sessions {
		s := &v.Sessions[i]
		if f.receivers(r, s.To) < 1 || !r.exported(s.Internal, s.Client, s.ASN, v.Cluster) {
			continue
		}
		next := *r
		if !s.Internal {
			next.to &^= f.sentBefore(r, s)
		}
		if f.only(s.To) {
			next.to &^= f.got[s.To]
		}
		if next.to == 0 {
			continue
		}
		next.at, next.learned, next.client, next.asn = s.To, byIBGP, s.PeerClient, s.PeerASN
		if s.Internal && r.learned == byIBGP && r.asn == s.ASN {
			next.clusters = reflected
		}
		sent := f.send(&next, r, s.Internal, s.ASN, s.Policy, f.passes(r))
		for k := range sent {
			f.trace.passes(&sent[k], r, s.Internal, s.ASN, s.NextHop)
			f.receive(&sent[k], s)
		}
	}
	f.hand(r, v)
	f.trace.tap(f, r)
}

// hand sends a route to the external peers that pass routes on.
func (f *flood) hand(r *route, v *Vertex) {
	for _, x := range v.externalIn(f.reading) {
		if !r.exported(x.Internal, x.Client, x.ASN, v.Cluster) {
			continue
		}
		next := *r
		next.at = External
		sent := f.send(&next, r, x.Internal, x.ASN, x.Policy, f.passes(r))
		for k := range sent {
			one := &sent[k]
			f.trace.passes(one, r, x.Internal, x.ASN, NextHopDefault)
			f.trace.transfers(one, x.Internal)
			one.external, one.clusters = true, nil
			if f.reading != WithASPaths {
				one.path, one.order = nil, nil
			}
			for i := range f.external {
				if has := &f.external[i]; has.to&one.to != 0 && f.sameAttributes(has, one) && subset(has.path, one.path) {
					one.to &^= has.to
				}
			}
			if one.to &^= f.full(f.external, one.to); one.to != 0 {
				f.external = append(f.external, *one)
				f.transfer(one)
			}
		}
	}
}

// full returns those of some destinations to which a list has as many routes as are followed.
func (f *flood) full(list []route, to set) set {
	var out set
	if len(list) < maxRoutes {
		return out
	}
	to.each(func(k int) {
		paths := 0
		for i := range list {
			if list[i].to&(1<<k) != 0 {
				paths++
			}
		}
		if f.trace.full(paths) {
			out |= 1 << k
		}
	})
	return out
}

// send returns r as a node sends it over a session: a route for each way in which the policy changes
// it, and none to destinations to which the node does not send it. next is r with the fields that depend on
// the receiver; send changes it. asn is the node's AS number on the session, policy the number of
// its policy. passes reports whether the node exports a route that no term accepts, unless
// Destination.Disabled. The result is valid until the next call.
func (f *flood) send(next, r *route, internal bool, asn uint32, policy int, passes bool) []route {
	f.sent = f.sent[:0]
	if f.observed.communities && r.learned != locally && r.confined(internal) {
		f.trace.drop(Drop{At: r.at, Peer: next.at, Reason: ByCommunity})
		return f.sent
	}
	next.sender, next.direct = r.at, r.learned == locally && r.at == f.source
	if !internal {
		next.learned, next.clusters = byEBGP, nil
		next.prepend(asn, f.observed.kept)
	}
	passes = passes && !f.first.Disabled
	switch {
	case f.observed.any:
		f.export(next, r, internal, policy, passes)
	case passes:
		f.sent = append(f.sent, *next)
	}
	if !internal {
		for i := range f.sent {
			f.sent[i].preference = externalPreference
		}
	}
	return f.sent
}

// export appends to sent what the export policy makes of next; see send.
func (f *flood) export(next, r *route, internal bool, policy int, passes bool) {
	choices := chosen(f.exports, policy, noTerms)
	for i := range choices {
		c := &choices[i]
		if next.to&c.to == 0 {
			continue
		}
		last := len(f.sent)
		f.sent = append(f.sent, *next)
		f.sent[last].to &= c.to
		result, term := c.value.apply(&f.sent[last], r.learned != locally, internal, f.observed)
		switch {
		case result == rejected:
			f.sent = f.sent[:last]
			f.trace.drop(Drop{At: r.at, Peer: next.at, Reason: ByPolicy, Policy: policy, Term: term})
		case result == passed && passes:
			f.addCommunities(f.graph.Vertices[r.at].Adds)
		case result == passed:
			f.sent = f.sent[:last]
		}
	}
}

// addCommunities adds the communities that a node adds, which may differ between destinations, to the last
// route in sent. adds is the Vertex.Adds of the node.
func (f *flood) addCommunities(adds int) {
	choices := chosen(f.communities, adds, noCommunities)
	if len(choices) == 1 && len(choices[0].value) == 0 {
		return
	}
	last := len(f.sent) - 1
	r := f.sent[last]
	f.sent = f.sent[:last]
	for i := range choices {
		one := r
		if one.to &= choices[i].to; one.to != 0 {
			one.add(choices[i].value)
			f.sent = append(f.sent, one)
		}
	}
}

// confined reports whether a well-known community keeps a node from passing a learned
// route on (RFC 1997; BIRD 1.6, proto/bgp/attrs.c).
func (r *route) confined(internal bool) bool {
	return slices.Contains(r.communities, NoAdvertise) ||
		!internal && (slices.Contains(r.communities, NoExport) || slices.Contains(r.communities, NoExportSubconfed))
}

// sentBefore returns the destinations to which the nodes at the other end of an eBGP session already have
// routes that cover r after it is sent over the session. advertise calls it before it
// allocates the path, because most routes in a mesh of AS numbers are covered.
func (f *flood) sentBefore(r *route, s *Session) set {
	if f.observed.any && (s.Policy > 0 || s.PeerPolicy > 0 || f.observed.path > 0 || f.observed.communities) {
		return 0
	}
	return f.covered(s.To, nobody, r.to, func(has *route) bool {
		return has.learned == byEBGP && len(has.clusters) == 0 && subset(has.path, r.path) && (!f.observed.preference || has.preference == externalPreference)
	})
}

// covered returns those of some destinations to which the routes of a vertex that satisfy covers reach all
// vertices but barred: one that bars no other vertex, or two that bar different ones.
func (f *flood) covered(v, barred int32, to set, covers func(has *route) bool) set {
	var out set
	list := f.routes[v]
	for i := range list {
		has := &list[i]
		if has.to&to&^out == 0 || !covers(has) {
			continue
		}
		if has.barred == nobody || has.barred == barred {
			out |= has.to
			continue
		}
		for k := range list[:i] {
			if other := &list[k]; other.barred != has.barred && other.to&has.to != 0 && covers(other) {
				out |= other.to & has.to
			}
		}
	}
	return out & to
}

// exported reports whether a node with the given cluster ID sends the route over a
// session. internal reports that the session is iBGP, client that the peer is a
// client, and asn is the node's AS number on the session.
func (r *route) exported(internal, client bool, asn uint32, cluster int) bool {
	if r.learned != byIBGP || !internal || r.asn != asn {
		return true
	}
	if !r.client && !client {
		return false
	}
	return !client || !slices.Contains(r.clusters, cluster)
}

// receive keeps a route at the nodes at the other end of a session, unless they
// drop it as a loop or their policy rejects it.
func (f *flood) receive(r *route, s *Session) {
	if s.Internal && s.PeerClient && slices.Contains(r.clusters, f.graph.Vertices[r.at].Cluster) {
		return
	}
	if loops(r.path, s.PeerASN) > s.PeerAllowed {
		f.trace.dropImport(r, Drop{Reason: ByASPath, ASN: s.PeerASN, Allowed: s.PeerAllowed})
		return
	}
	if f.trace.wasEverywhere(f, r, s.PeerAllowed) {
		return
	}
	f.accept(r, s.PeerPolicy, ExternalSession{}, s.Internal)
}

// accept keeps a route as the import policy of the nodes that receive it changes it, for the destinations for
// which the policy does not reject it. exit is the session if it is with external peers. accept changes r.
func (f *flood) accept(r *route, policy int, exit ExternalSession, internal bool) {
	if !f.observed.any {
		f.trace.receive(r, exit, internal)
		f.keep(r)
		return
	}
	choices := chosen(f.imports, policy, noTerms)
	for i := range choices {
		c, one := &choices[i], r
		switch r.to & c.to {
		case 0:
			continue
		case r.to: // No other choice has a destination of r.
		default:
			part := *r
			part.to &= c.to
			one = &part
		}
		if result, term := c.value.apply(one, true, internal, f.observed); result == rejected {
			f.trace.dropImport(one, Drop{Reason: ByPolicy, Policy: policy, Term: term})
		} else {
			f.trace.receive(one, exit, internal)
			f.keep(one)
		}
		if one == r {
			return
		}
	}
}

// loops returns how often an AS number is in a path. A node that has an AS number of its
// own finds it only in routes that it already has.
func loops(path []uint32, asn uint32) int {
	if asn == Anonymous {
		return 0
	}
	n := 0
	for _, a := range path {
		if a == asn {
			n++
		}
	}
	return n
}

// transfer sends a route from the external peers to all nodes that peer with one of them.
func (f *flood) transfer(sent *route) {
	for i := range f.graph.Vertices {
		if f.others(int32(i)) < 1 {
			continue
		}
		for _, x := range f.graph.Vertices[i].externalIn(f.reading) {
			if f.first.Tunnelled && f.reading == WithASPaths && !x.Internal {
				continue
			}
			r := *sent
			r.at, r.learned, r.client, r.asn, r.sender, r.direct = int32(i), byEBGP, x.Client, x.ASN, nobody, false
			if x.Internal {
				r.learned = byIBGP
			} else {
				r.preference = externalPreference
			}
			f.trace.transfers(&r, x.Internal)
			if loops(r.path, x.ASN) > x.Allowed {
				f.trace.dropImport(&r, Drop{Reason: ByASPath, ASN: x.ASN, Allowed: x.Allowed})
				continue
			}
			if f.trace.wasEverywhere(f, &r, x.Allowed) {
				continue
			}
			f.accept(&r, x.Policy, x, x.Internal)
		}
	}
}

// keep adds a route to its vertex, for destinations to which no routes of the vertex cover it. It changes r.
func (f *flood) keep(r *route) {
	f.have(r.at, r.to)
	if f.only(r.at) {
		return
	}
	f.findBarred(r)
	r.to &^= f.covered(r.at, r.barred, r.to, func(has *route) bool { return has.covers(r) && f.sameAttributes(has, r) })
	if r.to &^= f.full(f.routes[r.at], r.to); r.to == 0 {
		return
	}
	f.routes[r.at] = append(f.routes[r.at], *r)
	if f.relays[r.at] || f.trace.taps(r.at) {
		f.queue = append(f.queue, kept{r.at, int32(len(f.routes[r.at]) - 1)})
	}
}

// only reports whether it only matters whether the nodes of a vertex have a route: nobody asks for their
// routes.
func (f *flood) only(v int32) bool { return !f.relays[v] && f.shared == nil && f.trace == nil }

// sameAttributes reports whether policies treat two routes alike that are learned alike.
func (f *flood) sameAttributes(a, b *route) bool {
	o := &f.observed
	return f.trace.same(a, b) && (a.external == b.external || o.path == 0 && !o.communities) &&
		slices.Equal(a.order[:min(len(a.order), o.path)], b.order[:min(len(b.order), o.path)]) &&
		(!o.communities || slices.Equal(a.communities, b.communities)) &&
		(!o.preference || a.preference == b.preference)
}

// covers reports whether r reaches at least the same vertices as s, but for the barred one, if
// policies treat both alike.
func (r *route) covers(s *route) bool {
	if r.learned != byEBGP && (r.learned != s.learned || r.client != s.client || r.asn != s.asn) {
		return false
	}
	return subset(r.clusters, s.clusters) && subset(r.path, s.path)
}

// subset reports whether a is a sub-multiset of b. Both are sorted.
func subset[T int | int32 | uint32](a, b []T) bool {
	i := 0
	for _, x := range b {
		if i < len(a) && a[i] == x {
			i++
		}
	}
	return i == len(a)
}

package topology

import (
	"context"
	"slices"
)

// How a node has a route.
type origin uint8

const (
	own      origin = iota
	external        // over eBGP
	internal        // over iBGP
)

// route is one origin node's route as the nodes of a vertex have it. What
// matters is where it may still go (RFC 4271 section 9.1.2, RFC 4456 section 8,
// and BIRD's proto/bgp/packets.c and attrs.c).
type route struct {
	at     int32
	from   origin
	client bool   // iBGP: the half-session that it came by is with a client
	asn    uint32 // the local AS number of that half-session
	// clusters and path are sorted: the cluster list, and the AS numbers that
	// eBGP prepended.
	clusters []int
	path     []uint32
}

// reaches[a*n+b] tells that the nodes of vertex b have the routes of those of
// vertex a, for a == b that each has those of the others.
type reaches []bool

// flood follows the routes of every vertex. With transit, what is outside
// hands every route on to all that peer with it. O(vertices x hops) for the
// usual networks, in which a route is reflected but once or twice.
func (q *quotient) flood(ctx context.Context, transit bool) (reaches, error) {
	n := len(q.vertices)
	out := make(reaches, n*n)
	f := &flooding{quotient: q, withTransit: transit, routes: make([][]route, n), parts: q.connected(transit)}
	for a := range q.vertices {
		if err := f.run(ctx, int32(a), out[a*n:(a+1)*n]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// flooding is the routes of one node of a vertex on their way. The node is told
// apart from the rest of its vertex.
type flooding struct {
	*quotient
	withTransit bool
	source      int32
	got         []bool
	missing     int
	parts       []int     // of each vertex, the part of the network that hops connect
	routes      [][]route // of each vertex; none of one makes another superfluous
	queue       []route
	outside     bool // what is outside has it
}

// run follows the routes of one node of vertex source. The context is asked for
// each route, which is passed on over at most as many hops as there are vertices.
func (f *flooding) run(ctx context.Context, source int32, got []bool) error {
	f.source, f.got, f.outside = source, got, false
	f.queue = f.queue[:0]
	f.missing = 0
	for _, part := range f.parts {
		if part == f.parts[source] {
			f.missing++
		}
	}
	for i := range f.routes {
		f.routes[i] = f.routes[i][:0]
	}
	if f.vertices[source].nodes == 1 {
		f.missing--
	}
	f.send(&route{at: source, from: own})
	for len(f.queue) > 0 && f.missing > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		r := f.queue[0]
		f.queue = f.queue[1:]
		f.send(&r)
	}
	return ctx.Err()
}

// members counts the nodes of a vertex that may have the route: all but the
// one that it is of.
func (f *flooding) members(v int32) int {
	if v == f.source {
		return f.vertices[v].nodes - 1
	}
	return f.vertices[v].nodes
}

// send passes a route on over every session that takes it.
func (f *flooding) send(r *route) {
	v := &f.vertices[r.at]
	reflected := r.clusters // as a reflector passes it on
	if v.cluster >= 0 && !slices.Contains(r.clusters, v.cluster) {
		reflected = slices.Sorted(slices.Values(append(slices.Clone(r.clusters), v.cluster)))
	}
	for i := range v.hops {
		h := &v.hops[i]
		others := f.members(h.to)
		if h.to == r.at && r.from != own {
			others-- // Nobody sends to itself.
		}
		if others < 1 || !r.passes(h.internal, h.outClient, h.outASN, v.cluster) {
			continue
		}
		if !h.internal && f.external(r, h.to) {
			continue
		}
		next := route{at: h.to, from: internal, client: h.inClient, asn: h.inASN, clusters: r.clusters, path: r.path}
		switch {
		case !h.internal:
			next.from, next.clusters = external, nil
			next.path = slices.Sorted(slices.Values(append(slices.Clone(r.path), h.outASN)))
		case r.from == internal && r.asn == h.outASN:
			next.clusters = reflected
		}
		f.receive(&next, h)
	}
	if f.withTransit && !f.outside {
		for _, x := range v.exits {
			if r.passes(x.internal, x.client, x.asn, v.cluster) {
				f.spread()
				return
			}
		}
	}
}

// external reports whether the nodes of vertex v have a route over eBGP already
// that goes wherever r would, passed on to them over eBGP. It is asked before
// the path is made, as most routes in a mesh of AS numbers end here.
func (f *flooding) external(r *route, v int32) bool {
	for i := range f.routes[v] {
		if s := &f.routes[v][i]; s.from == external && len(s.clusters) == 0 && subset(s.path, r.path) {
			return true
		}
	}
	return false
}

// connected numbers the parts of the network between which there is no hop; what
// is outside connects all that have an exit, if it carries routes on.
func (q *quotient) connected(transit bool) []int {
	part := make([]int, len(q.vertices))
	for i := range part {
		part[i] = i
	}
	find := func(i int) int {
		for part[i] != i {
			part[i] = part[part[i]]
			i = part[i]
		}
		return i
	}
	exit := -1
	for i := range q.vertices {
		for _, h := range q.vertices[i].hops {
			part[find(i)] = find(int(h.to))
		}
		if transit && len(q.vertices[i].exits) > 0 {
			if exit >= 0 {
				part[find(i)] = find(exit)
			}
			exit = i
		}
	}
	for i := range part {
		part[i] = find(i)
	}
	return part
}

// passes reports whether a node passes a route on over a half-session.
func (r *route) passes(toInternal, toClient bool, asn uint32, cluster int) bool {
	if r.from != internal || !toInternal || r.asn != asn {
		return true
	}
	if !r.client && !toClient {
		return false
	}
	return !toClient || !slices.Contains(r.clusters, cluster)
}

// receive has the other side of a hop take in a route, unless it drops it.
func (f *flooding) receive(r *route, h *hop) {
	v := &f.vertices[r.at]
	if h.internal && h.inClient && slices.Contains(r.clusters, v.cluster) {
		return
	}
	loops := 0
	for _, asn := range r.path {
		if asn == h.inASN {
			loops++
		}
	}
	if loops > h.inAllow {
		return
	}
	f.keep(r)
}

// spread has all that peer with what is outside take the route from there.
func (f *flooding) spread() {
	f.outside = true
	for i := range f.vertices {
		if f.members(int32(i)) < 1 {
			continue
		}
		for _, x := range f.vertices[i].exits {
			from := external
			if x.internal {
				from = internal
			}
			f.keep(&route{at: int32(i), from: from, client: x.client, asn: x.asn})
		}
	}
}

// maxRoutes bounds the routes of one node that the nodes of a vertex pass on: the
// first, which have come the shortest way. Without it, networks of many AS
// numbers in layers would have as many as there are ways through them. What is
// dropped is not counted on.
const maxRoutes = 16

// keep adds a route to those of its vertex, unless one is there that goes
// wherever it would.
func (f *flooding) keep(r *route) {
	for i := range f.routes[r.at] {
		if f.routes[r.at][i].covers(r) {
			return
		}
	}
	if !f.got[r.at] {
		f.got[r.at] = true
		f.missing--
	}
	if len(f.routes[r.at]) >= maxRoutes {
		return
	}
	f.routes[r.at] = append(f.routes[r.at], *r)
	if f.vertices[r.at].relays {
		f.queue = append(f.queue, *r)
	}
}

func (r *route) covers(s *route) bool {
	if r.from != external && (r.from != s.from || r.client != s.client || r.asn != s.asn) {
		return false
	}
	return subset(r.clusters, s.clusters) && subset(r.path, s.path)
}

// subset reports whether sorted a is contained in sorted b, each as often.
func subset[T int | uint32](a, b []T) bool {
	i := 0
	for _, x := range b {
		if i < len(a) && a[i] == x {
			i++
		}
	}
	return i == len(a)
}

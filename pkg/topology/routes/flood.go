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
	learned learned
	client  bool   // learned over iBGP from a client
	asn     uint32 // the node's own AS number on the session over which it learned the route
	// clusters is the cluster list. path is the AS numbers that eBGP prepended. Both
	// are sorted.
	clusters []int
	path     []uint32
}

// maxRoutes is the maximum number of paths of one route that the nodes of a vertex
// advertise. Compute keeps the first paths, which are the shortest. In networks of
// many AS numbers in layers, the number of paths is otherwise exponential. The bound
// does not change whether a node of the vertex has the route. The result may lack
// routes that other nodes learn only over a dropped path. It never has additional ones.
const maxRoutes = 16

// flood follows the route of one node of the vertex source. The other nodes of that
// vertex are receivers like all others.
type flood struct {
	graph   *Graph
	reading Reading
	parts   []int  // of each vertex, the number of its component
	relays  []bool // of each vertex

	source   int32
	got      []bool    // of each vertex, whether its nodes have the route
	missing  int       // number of vertices of the source's component without the route
	routes   [][]route // of each vertex; keep does not add a route that an earlier one covers
	queue    []route   // routes to advertise
	external bool      // whether the external peers have the route
}

func newFlood(g *Graph, reading Reading) *flood {
	f := &flood{graph: g, reading: reading, parts: g.components(reading), routes: make([][]route, len(g.Vertices)), relays: make([]bool, len(g.Vertices))}
	for i := range f.relays {
		f.relays[i] = g.Vertices[i].relays(reading)
	}
	return f
}

// run sets got for each vertex whose nodes receive the route of a node of the vertex
// source. It sets got for source itself if the other nodes of source receive the
// route. run checks the context before it advertises a path, which is O(vertices).
func (f *flood) run(ctx context.Context, source int32, got []bool) error {
	f.source, f.got, f.external = source, got, false
	f.queue = f.queue[:0]
	f.missing = 0
	for _, part := range f.parts {
		if part == f.parts[source] {
			f.missing++
		}
	}
	if f.graph.Vertices[source].Nodes == 1 {
		f.missing--
	}
	for i := range f.routes {
		f.routes[i] = f.routes[i][:0]
	}
	f.advertise(&route{at: source, learned: locally})
	for len(f.queue) > 0 && f.missing > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		r := f.queue[0]
		f.queue = f.queue[1:]
		f.advertise(&r)
	}
	return ctx.Err()
}

// receivers returns the number of nodes of a vertex that may receive the route: all
// except the node that originates it.
func (f *flood) receivers(v int32) int {
	if v == f.source {
		return f.graph.Vertices[v].Nodes - 1
	}
	return f.graph.Vertices[v].Nodes
}

// advertise sends a route over every session that carries it.
func (f *flood) advertise(r *route) {
	v := &f.graph.Vertices[r.at]
	reflected := r.clusters // the cluster list of the route as v reflects it
	if v.Cluster != NoCluster && !slices.Contains(r.clusters, v.Cluster) {
		reflected = slices.Sorted(slices.Values(append(slices.Clone(r.clusters), v.Cluster)))
	}
	for i := range v.Sessions {
		s := &v.Sessions[i]
		receivers := f.receivers(s.To)
		if s.To == r.at && r.learned != locally {
			receivers-- // A node does not send routes to itself.
		}
		if receivers < 1 || !r.exported(s.Internal, s.Client, s.ASN, v.Cluster) {
			continue
		}
		if !s.Internal && f.covered(r, s.To) {
			continue
		}
		next := route{at: s.To, learned: byIBGP, client: s.PeerClient, asn: s.PeerASN, clusters: r.clusters, path: r.path}
		switch {
		case !s.Internal:
			next.learned, next.clusters = byEBGP, nil
			next.path = slices.Sorted(slices.Values(append(slices.Clone(r.path), s.ASN)))
		case r.learned == byIBGP && r.asn == s.ASN:
			next.clusters = reflected
		}
		f.receive(&next, s)
	}
	if !f.external {
		for _, x := range v.externalIn(f.reading) {
			if r.exported(x.Internal, x.Client, x.ASN, v.Cluster) {
				f.transfer()
				return
			}
		}
	}
}

// covered reports whether the nodes of vertex v already have an eBGP route that
// covers r after r is sent to them over eBGP. advertise calls it before it allocates
// the path, because most routes in a mesh of AS numbers are covered.
func (f *flood) covered(r *route, v int32) bool {
	for i := range f.routes[v] {
		if s := &f.routes[v][i]; s.learned == byEBGP && len(s.clusters) == 0 && subset(s.path, r.path) {
			return true
		}
	}
	return false
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
// drop it as a loop.
func (f *flood) receive(r *route, s *Session) {
	if s.Internal && s.PeerClient && slices.Contains(r.clusters, f.graph.Vertices[r.at].Cluster) {
		return
	}
	loops := 0
	for _, asn := range r.path {
		if asn == s.PeerASN {
			loops++
		}
	}
	if loops > s.PeerAllowed {
		return
	}
	f.keep(r)
}

// transfer sends the route from the external peers to all nodes that peer with one
// of them.
func (f *flood) transfer() {
	f.external = true
	for i := range f.graph.Vertices {
		if f.receivers(int32(i)) < 1 {
			continue
		}
		for _, x := range f.graph.Vertices[i].externalIn(f.reading) {
			r := route{at: int32(i), learned: byEBGP, client: x.Client, asn: x.ASN}
			if x.Internal {
				r.learned = byIBGP
			}
			f.keep(&r)
		}
	}
}

// keep adds a route to its vertex, unless a route of the vertex covers it.
func (f *flood) keep(r *route) {
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
	if f.relays[r.at] {
		f.queue = append(f.queue, *r)
	}
}

// covers reports whether r reaches at least the same vertices as s.
func (r *route) covers(s *route) bool {
	if r.learned != byEBGP && (r.learned != s.learned || r.client != s.client || r.asn != s.asn) {
		return false
	}
	return subset(r.clusters, s.clusters) && subset(r.path, s.path)
}

// subset reports whether a is a sub-multiset of b. Both are sorted.
func subset[T int | uint32](a, b []T) bool {
	i := 0
	for _, x := range b {
		if i < len(a) && a[i] == x {
			i++
		}
	}
	return i == len(a)
}

package routes

import (
	"context"
	"slices"
)

// Leaves returns, for each vertex, whether some session with an external peer in WithTransit carries
// the routes of its nodes to a destination: a session of these nodes, or of nodes that have learned
// the routes. External peers pass nothing on between nodes. It returns an error only if ctx is done.
// O(vertices), and without such sessions of its own O(sessions) for each vertex.
func Leaves(ctx context.Context, g *Graph, d Destination) ([]bool, error) {
	out := make([]bool, len(g.Vertices))
	f := newExportFlood(g, d)
	if f == nil {
		return out, ctx.Err()
	}
	for v := range g.Vertices {
		own := f.own(int32(v))
		if f.leaves(own) {
			out[v] = true
			continue
		}
		if err := f.spread(ctx, own); err != nil {
			return nil, err
		}
		out[v] = slices.ContainsFunc(f.routes, func(list []route) bool {
			return slices.ContainsFunc(list, func(r route) bool { return f.leaves(&r) })
		})
	}
	return out, ctx.Err()
}

// Exports is which sessions with external peers in WithTransit carry the routes to a destination. A
// session is that of one node; a vertex has as many kinds of them as Vertex.External.
type Exports struct {
	starts []int    // of each vertex, the number of the first of its sessions
	own    []bool   // of each session
	others [][]bool // of each vertex, by session
}

// Own reports whether a session of the nodes of vertex v carries the routes that they originate. session
// is an index into Vertex.External.
func (e *Exports) Own(v, session int) bool { return e.own[e.starts[v]+session] }

// Others reports whether a session of the nodes of vertex v carries the routes of the nodes of vertex
// origin. If both are the same vertex, these are other nodes of it.
func (e *Exports) Others(origin, v, session int) bool {
	return e.others[origin][e.starts[v]+session]
}

// FindExports returns the Exports to a destination. External peers pass nothing on between nodes. It
// returns an error only if ctx is done. O(vertices x sessions) if routes are reflected once or twice.
func FindExports(ctx context.Context, g *Graph, d Destination) (*Exports, error) {
	out := &Exports{starts: make([]int, len(g.Vertices)), others: make([][]bool, len(g.Vertices))}
	total := 0
	for v := range g.Vertices {
		out.starts[v] = total
		total += len(g.Vertices[v].externalIn(WithTransit))
	}
	out.own = make([]bool, total)
	f := newExportFlood(g, d)
	if f == nil {
		return out, ctx.Err()
	}
	add := func(r *route, to []bool) {
		for x, one := range g.Vertices[r.at].externalIn(WithTransit) {
			at := &to[out.starts[r.at]+x]
			*at = *at || f.leavesOver(r, &one)
		}
	}
	kernel := make([]bool, total)
	for v := range g.Vertices {
		for x, one := range g.Vertices[v].externalIn(WithTransit) {
			kernel[out.starts[v]+x] = f.sendKernel(new(route), int32(v), &one)
		}
	}
	for v := range g.Vertices {
		own := f.own(int32(v))
		add(own, out.own)
		if err := f.spread(ctx, own); err != nil {
			return nil, err
		}
		out.others[v] = make([]bool, total)
		for _, list := range f.routes {
			for i := range list {
				add(&list[i], out.others[v])
			}
		}
		for w := range g.Vertices {
			for x := range g.Vertices[w].externalIn(WithTransit) {
				at := out.starts[w] + x
				out.others[v][at] = out.others[v][at] || kernel[at] && f.hasKernel(int32(w))
			}
		}
	}
	return out, ctx.Err()
}

// newExportFlood returns a flood in which vertices keep the routes that they learn, nil if there are no
// sessions with external peers.
func newExportFlood(g *Graph, d Destination) *flood {
	if !slices.ContainsFunc(g.Vertices, func(v Vertex) bool { return len(v.externalIn(WithTransit)) > 0 }) {
		return nil
	}
	f := newFlood(g, WithoutTransit, batchOf(&d))
	all := slices.Repeat([]bool{true}, len(g.Vertices))
	f.shared = &Shared{Destination: d, Origins: all, Passes: all}
	return f
}

// spread follows the route of a node to all nodes that receive it.
func (f *flood) spread(ctx context.Context, own *route) error {
	f.start(own.at, len(f.graph.Vertices)+1)
	f.advertise(own)
	return f.drain(ctx)
}

// leaves reports whether the nodes that have a route send it to an external peer.
func (f *flood) leaves(r *route) bool {
	return slices.ContainsFunc(f.graph.Vertices[r.at].externalIn(WithTransit), func(x ExternalSession) bool { return f.leavesOver(r, &x) })
}

// leavesOver reports whether the nodes that have a route send it over a session with an external peer.
func (f *flood) leavesOver(r *route, x *ExternalSession) bool {
	return r.exported(x.Internal, x.Client, x.ASN, f.graph.Vertices[r.at].Cluster) && f.sends(r, x, true)
}

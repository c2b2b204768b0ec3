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
	if !slices.ContainsFunc(g.Vertices, func(v Vertex) bool { return len(v.externalIn(WithTransit)) > 0 }) {
		return out, ctx.Err()
	}
	f := newFlood(g, WithoutTransit, d)
	// Vertices with sessions with external peers keep the routes that they learn.
	all := slices.Repeat([]bool{true}, len(g.Vertices))
	f.shared = &Shared{Destination: d, Origins: all, Passes: all}
	for v := range g.Vertices {
		f.start(int32(v), make([]bool, len(g.Vertices)))
		own := f.own(int32(v))
		if f.leaves(own) {
			out[v] = true
			continue
		}
		f.missing = len(g.Vertices) + 1
		f.advertise(own)
		if err := f.drain(ctx); err != nil {
			return nil, err
		}
		out[v] = slices.ContainsFunc(f.routes, func(list []route) bool {
			return slices.ContainsFunc(list, func(r route) bool { return f.leaves(&r) })
		})
	}
	return out, ctx.Err()
}

// leaves reports whether the nodes that have a route send it to an external peer.
func (f *flood) leaves(r *route) bool {
	v := &f.graph.Vertices[r.at]
	return slices.ContainsFunc(v.externalIn(WithTransit), func(x ExternalSession) bool {
		return r.exported(x.Internal, x.Client, x.ASN, v.Cluster) && f.sends(r, &x, true)
	})
}

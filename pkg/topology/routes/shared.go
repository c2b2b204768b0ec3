package routes

import (
	"context"
	"slices"
)

// Shared is routes to one destination that several nodes originate, for example to a range of
// addresses of Services. A node that originates them prefers its own route.
type Shared struct {
	Destination Destination
	// Origins reports for each vertex whether some of its nodes originate a route.
	Origins []bool
	// Passes reports for each vertex whether nodes that originate none pass learned routes on
	// that no term of an export policy accepts. It is nil if all nodes with sessions with external
	// peers originate a route: no session then carries one of another node.
	Passes []bool
}

// Sent is whether a session with an external peer carries a route: that of a node that
// originates one, and that of a node that does not.
type Sent struct{ Own, Learned bool }

// Of returns Own for 0 and Learned for 1.
func (s Sent) Of(kind int) bool { return kind == 0 && s.Own || kind == 1 && s.Learned }

// Advertise returns, for each vertex and each of its sessions with external peers in WithTransit,
// whether the session carries routes of s. External peers pass nothing on between nodes. Advertise
// returns an error only if ctx is done. O(sessions), times the paths of vertices that pass routes
// on, at most maxRoutes each.
func Advertise(ctx context.Context, g *Graph, s *Shared) ([][]Sent, error) {
	f := newFlood(g, WithoutTransit, batchOf(&s.Destination))
	f.shared = s
	f.start(noSource, len(g.Vertices)+1)
	for v, is := range s.Origins {
		if is && s.Passes != nil {
			f.advertise(f.own(int32(v)))
		}
	}
	if err := f.drain(ctx); err != nil {
		return nil, err
	}
	out := make([][]Sent, len(g.Vertices))
	for v := range g.Vertices {
		list := g.Vertices[v].externalIn(WithTransit)
		out[v] = make([]Sent, len(list))
		for i := range list {
			out[v][i].Own = s.Origins[v] && f.sends(f.own(int32(v)), &list[i], true)
			out[v][i].Learned = slices.ContainsFunc(f.routes[v], func(r route) bool {
				return r.exported(list[i].Internal, list[i].Client, list[i].ASN, g.Vertices[v].Cluster) && f.sends(&r, &list[i], s.Passes[v])
			})
		}
	}
	return out, ctx.Err()
}

// noSource is the source of a flood of routes that several nodes originate.
const noSource = -1

// own returns the route that the nodes of a vertex originate.
func (f *flood) own(v int32) *route {
	return &route{at: v, to: f.all, learned: locally, sender: nobody, barred: nobody, preference: f.graph.Preference}
}

// sends reports whether a node sends a route over a session with an external peer. passes reports
// whether it exports routes that no term accepts.
func (f *flood) sends(r *route, x *ExternalSession, passes bool) bool {
	next := *r
	return len(f.send(&next, r, x.Internal, x.ASN, x.Policy, passes)) > 0
}

// passes reports whether some nodes of its vertex export a route that no term accepts.
func (f *flood) passes(r *route) bool {
	return f.shared == nil || f.shared.Origins[r.at] || f.shared.Passes[r.at]
}

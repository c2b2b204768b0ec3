package routes

import (
	"math/bits"
	"slices"
)

// Origins is nodes of a vertex that originate routes to the same destinations.
type Origins struct {
	Vertex, Nodes int
	// Groups are the groups of destinations to which they originate routes, one bit for each number of
	// Groups. It is 0 for nodes that originate none.
	Groups uint64
}

// MaxGroups is the maximum number of groups of destinations.
const MaxGroups = 16

// Groups returns the number of the group of each destination of results, which Compute returned. The
// destinations of a group are those to which the same nodes have the routes of the same vertices, in every
// reading. It returns nil if all are in one group, or if there are more than MaxGroups.
// O(destinations x groups x vertices squared) at worst.
func Groups(results []*Reachability) []int {
	var firsts []int // of each group
	var out []int
	for i := range results[0].parts {
		g := slices.IndexFunc(firsts, func(first int) bool {
			return !slices.ContainsFunc(results, func(r *Reachability) bool {
				a, b := r.parts[i], r.parts[first]
				return &a[0] != &b[0] && !slices.Equal(a, b)
			})
		})
		if g < 0 {
			g = len(firsts)
			firsts = append(firsts, i)
		}
		if g == MaxGroups {
			return nil
		}
		out = append(out, g)
	}
	if len(firsts) < 2 {
		return nil
	}
	return out
}

// Divide returns r with origins in the place of vertices: every node that has an address is in one of
// them. Entry (a, b) of the result reports whether the nodes of b have the routes of those of a to the
// destinations of all groups of a. Nodes without groups may originate routes to the destinations of any
// group in future: for them, one of these is enough. The result has no dependencies.
// O(origins x (groups x vertices + origins)).
func (r *Reachability) Divide(origins []Origins, groups []int, future uint64) *Reachability {
	n := len(r.graph.Vertices)
	out := &Reachability{graph: &Graph{Vertices: make([]Vertex, len(origins))}, reading: r.reading}
	out.has, out.some = make([]bool, len(origins)*len(origins)), make([]bool, len(origins)*len(origins))
	for i, a := range origins {
		out.graph.Vertices[i].Nodes = a.Nodes
		all, some := slices.Repeat([]bool{true}, n), make([]bool, n)
		of := a.Groups
		if of == 0 {
			of = future
		}
		for ; of != 0; of &= of - 1 {
			part := r.parts[slices.Index(groups, bits.TrailingZeros64(of))][a.Vertex*n:]
			for w := range n {
				all[w], some[w] = all[w] && part[w], some[w] || part[w]
			}
		}
		if a.Groups == 0 {
			all = some
		}
		for k, b := range origins {
			out.has[i*len(origins)+k], out.some[i*len(origins)+k] = all[b.Vertex], some[b.Vertex]
		}
	}
	return out
}

// Nodes returns the number of nodes of a vertex.
func (r *Reachability) Nodes(v int) int { return r.graph.Vertices[v].Nodes }

// Incomplete reports for each vertex whether some of its nodes have no route to or from the nodes of some
// vertex. O(vertices squared).
func (r *Reachability) Incomplete() []bool {
	vertices := r.graph.Vertices
	out := make([]bool, len(vertices))
	for v := range vertices {
		for w := range vertices {
			out[v] = out[v] || (v != w || vertices[v].Nodes > 1) && !r.Mutual(v, w)
		}
	}
	return out
}

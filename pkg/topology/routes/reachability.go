package routes

import (
	"context"
	"slices"
)

// Compute follows the routes of every vertex of g. The caller must not change g
// afterwards. Compute returns a result for each Reading. Readings in which the same external
// peers pass routes on share one. Compute returns an error only if ctx is done. It follows the routes to
// destinations at once as far as policies treat them alike: O(destinations x vertices squared + vertices x sessions)
// for each distinct reading of the usual networks, in which a route is reflected once or twice, and at worst
// O(destinations x vertices x sessions).
func Compute(ctx context.Context, g *Graph) ([]*Reachability, error) { return Recompute(ctx, g, nil) }

// Recompute is Compute that reuses before, the results for another graph. If it has the same sessions between as
// many vertices, which may have other numbers of nodes, Recompute follows no routes to a destination that
// before has too.
func Recompute(ctx context.Context, g *Graph, before []*Reachability) ([]*Reachability, error) {
	out := make([]*Reachability, g.Readings)
	list := g.destinations()
	var known *Reachability // Those before have the same destinations in all readings.
	if len(before) > 0 && g.likeIn(before[0].graph) {
		known = before[0]
	}
	f := &flood{routes: make([][]route, len(g.Vertices))}
	batches := newBatches(list, func(i int) bool { return known.to(&list[i]) == nil })
	for reading := range Reading(g.Readings) {
		for earlier := range reading {
			if out[reading] == nil && g.sameReadings(earlier, reading) {
				out[reading] = out[earlier]
			}
		}
		if out[reading] != nil {
			continue
		}
		var old *Reachability
		if known != nil {
			old = before[reading]
		}
		var err error
		if out[reading], err = compute(ctx, g, reading, old, batches, f); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// compute returns the result for a reading. before may be nil. batches are the destinations that it does
// not have. The memory of f is reused.
func compute(ctx context.Context, g *Graph, reading Reading, before *Reachability, batches []*batch, f *flood) (*Reachability, error) {
	r := &Reachability{graph: g, reading: reading}
	if len(g.Vertices) == 0 {
		return r, nil
	}
	list := g.destinations()
	parts := make([][]bool, len(list))
	for _, b := range batches {
		if err := f.over(g, reading, b).follow(ctx, parts); err != nil {
			return nil, err
		}
	}
	for i := range list {
		if parts[i] == nil {
			parts[i] = before.to(&list[i])
		}
		r.add(parts[i])
	}
	if err := r.findDependencies(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// follow sets the elements of Reachability.parts for the destinations of the flood.
func (f *flood) follow(ctx context.Context, parts [][]bool) error {
	n := len(f.graph.Vertices)
	for _, number := range f.numbers {
		parts[number] = make([]bool, n*n)
	}
	for v := range n {
		if err := f.run(ctx, int32(v)); err != nil {
			return err
		}
		for w, to := range f.got {
			to.each(func(k int) { parts[f.numbers[k]][v*n+w] = true })
		}
	}
	return nil
}

// Reachability is which nodes have the routes of which other nodes, under one reading
// of external peers.
type Reachability struct {
	graph        *Graph
	reading      Reading
	has          []bool       // [a*vertices+b]: the nodes of b have the routes of those of a, to all destinations
	some         []bool       // the same for at least one destination; shares has if both are equal
	parts        [][]bool     // the same for each of Graph.destinations; equal ones share the first
	dependencies []Dependency // of each vertex
}

// add adds the result for the next destination.
func (r *Reachability) add(has []bool) {
	if len(r.parts) == 0 {
		r.has, r.some, r.parts = has, has, [][]bool{has}
		return
	}
	if slices.Equal(has, r.parts[0]) {
		r.parts = append(r.parts, r.parts[0])
		return
	}
	if &r.some[0] == &r.has[0] {
		r.has, r.some = slices.Clone(r.has), slices.Clone(r.has)
	}
	r.parts = append(r.parts, has)
	for k, is := range has {
		r.has[k], r.some[k] = r.has[k] && is, r.some[k] || is
	}
}

// to returns the result for one destination, nil if r is nil or does not have it.
func (r *Reachability) to(d *Destination) []bool {
	if r == nil || len(r.parts) == 0 {
		return nil
	}
	for i, one := range r.graph.destinations() {
		if one.equal(d) {
			return r.parts[i]
		}
	}
	return nil
}

// Has reports whether the nodes of vertex to have the routes of the nodes of vertex
// from, to all destinations. If both are the same vertex, it reports whether each of its nodes has the
// routes of its other nodes.
func (r *Reachability) Has(from, to int) bool { return r.has[from*len(r.graph.Vertices)+to] }

// Mutual reports whether the nodes of two vertices have each other's routes.
func (r *Reachability) Mutual(a, b int) bool { return r.Has(a, b) && r.Has(b, a) }

// Isolated reports whether the nodes of a vertex have no routes of other nodes to any
// destination, and other nodes have no routes of theirs. O(vertices).
func (r *Reachability) Isolated(v int) bool {
	n := len(r.graph.Vertices)
	for w := range n {
		if r.some[v*n+w] || r.some[w*n+v] {
			return false
		}
	}
	return true
}

// Partitions returns the number of partitions, and the number of nodes in the largest
// one. Nodes of a partition are connected by routes in both directions. Partitions
// returns an error only if ctx is done. O(vertices squared).
func (r *Reachability) Partitions(ctx context.Context) (count, largest int, err error) {
	vertices := r.graph.Vertices
	sets := newDisjoint(len(vertices))
	whole := make([]bool, len(vertices)) // the nodes of the vertex are in one partition
	for a := range vertices {
		if err := ctx.Err(); err != nil {
			return 0, 0, err
		}
		for b := range a + 1 {
			if r.Mutual(a, b) {
				whole[a], whole[b] = true, true
				sets.union(a, b)
			}
		}
	}
	sizes := make([]int, len(vertices))
	for v := range vertices {
		if whole[v] {
			sizes[sets.find(v)] += vertices[v].Nodes
		} else { // Each node is a partition.
			count += vertices[v].Nodes
			largest = max(largest, 1)
		}
	}
	for _, nodes := range sizes {
		if nodes > 0 {
			count++
			largest = max(largest, nodes)
		}
	}
	return count, largest, nil
}

// Missing calls visit for every two vertices with pairs of nodes in which at least one
// node has no route to the other. The two vertices may be the same. a is never less
// than b, and pairs is the number of these pairs. Missing returns an error only if ctx
// is done. O(vertices squared).
func (r *Reachability) Missing(ctx context.Context, visit func(a, b, pairs int)) error {
	vertices := r.graph.Vertices
	for a := range vertices {
		if err := ctx.Err(); err != nil {
			return err
		}
		for b := range a + 1 {
			pairs := vertices[a].Nodes * vertices[b].Nodes
			if a == b {
				pairs = vertices[a].Nodes * (vertices[a].Nodes - 1) / 2
			}
			if pairs > 0 && !r.Mutual(a, b) {
				visit(a, b, pairs)
			}
		}
	}
	return nil
}

package routes

import "context"

// Compute follows the routes of every vertex of g, which must not be changed
// afterwards. It returns who has whose routes, by Reading. Readings in which the same
// external peers pass routes on share a result. The only error is that of ctx. O(vertices x sessions) for the usual
// networks, in which a route is reflected once or twice, for each distinct reading.
func Compute(ctx context.Context, g *Graph) ([]*Reachability, error) {
	out := make([]*Reachability, g.Readings)
	for reading := range Reading(g.Readings) {
		for earlier := range reading {
			if out[reading] == nil && g.sameReadings(earlier, reading) {
				out[reading] = out[earlier]
			}
		}
		if out[reading] != nil {
			continue
		}
		var err error
		if out[reading], err = compute(ctx, g, reading); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func compute(ctx context.Context, g *Graph, reading Reading) (*Reachability, error) {
	n := len(g.Vertices)
	r := &Reachability{graph: g, reading: reading, has: make([]bool, n*n)}
	if n == 0 {
		return r, nil
	}
	f := newFlood(g, reading)
	for v := range n {
		if err := f.run(ctx, int32(v), r.has[v*n:(v+1)*n]); err != nil {
			return nil, err
		}
	}
	if err := r.findDependencies(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// Reachability is who has whose routes, in one reading of external peers.
type Reachability struct {
	graph        *Graph
	reading      Reading
	has          []bool       // [a*vertices+b]: the nodes of b have the routes of those of a
	dependencies []Dependency // of each vertex
}

// Has reports whether the nodes of vertex to have the routes of the nodes of
// vertex from; for one vertex, whether each of its nodes has those of the others.
func (r *Reachability) Has(from, to int) bool { return r.has[from*len(r.graph.Vertices)+to] }

// Mutual reports whether the nodes of two vertices have each other's routes.
func (r *Reachability) Mutual(a, b int) bool { return r.Has(a, b) && r.Has(b, a) }

// Isolated reports whether the nodes of a vertex have the routes of no other node
// and no other node has theirs. O(vertices).
func (r *Reachability) Isolated(v int) bool {
	for w := range r.graph.Vertices {
		if r.Has(v, w) || r.Has(w, v) {
			return false
		}
	}
	return true
}

// Partitions counts the sets of nodes that are connected by routes both ways, and
// the nodes of the largest. The only error is that of ctx. O(vertices squared).
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
		} else { // Each node is alone.
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

// Missing calls visit for any two vertices, and for each with itself, that have
// pairs of nodes of which at least one has no route to the other: how many pairs.
// a is never less than b. The only error is that of ctx. O(vertices squared).
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

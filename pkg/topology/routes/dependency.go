package routes

import "context"

// Kind is the kind of a Dependency.
type Kind uint8

// The kinds of a Dependency.
const (
	// None: there is no dependency.
	None Kind = iota
	// OnNode: all sessions are with one node.
	OnNode
	// OnZone: all sessions are with nodes in one zone.
	OnZone
	// OnExternal: all sessions are with external peers. The graph does not contain
	// which ones, or how many.
	OnExternal
)

// Dependency is the node, zone or external peers with which the nodes of a vertex
// have all their sessions. They receive routes of other nodes through it, and are
// isolated without it.
type Dependency struct {
	Kind Kind
	// Vertex is, for OnNode, the vertex of that node. It is another vertex of one node
	// or, for two nodes that peer only with each other, their own vertex.
	Vertex int
	// Zone is, for OnZone, the number of the zone.
	Zone int
}

// Dependency returns the dependency of the nodes of vertex v.
func (r *Reachability) Dependency(v int) Dependency { return r.dependencies[v] }

// findDependencies finds the dependencies of all vertices. O(vertices squared +
// sessions).
func (r *Reachability) findDependencies(ctx context.Context) error {
	n := len(r.graph.Vertices)
	r.dependencies = make([]Dependency, n)
	peers := make([]int, n) // v+1 for the peers of the vertex v that was visited last
	for v := range n {
		if err := ctx.Err(); err != nil {
			return err
		}
		for i := range r.graph.Vertices[v].Sessions {
			peers[r.graph.Vertices[v].Sessions[i].To] = v + 1
		}
		for w := range n {
			if r.some[w*n+v] && peers[w] != v+1 { // A route that the peers do not originate.
				r.dependencies[v] = r.dependency(v)
				break
			}
		}
	}
	return nil
}

// dependency returns the node, zone or external peers with which the nodes of vertex
// v have all their sessions.
func (r *Reachability) dependency(v int) Dependency {
	one := &r.graph.Vertices[v]
	external := len(one.externalIn(r.reading)) > 0
	switch {
	case external && len(one.Sessions) == 0:
		return Dependency{Kind: OnExternal}
	case external, len(one.Sessions) == 0:
		return Dependency{}
	}
	nodes, vertex, zone := 0, v, r.graph.Vertices[one.Sessions[0].To].Zone
	for i := range one.Sessions {
		to := int(one.Sessions[i].To)
		w := &r.graph.Vertices[to]
		nodes += w.Nodes
		if to == v {
			nodes-- // A node does not peer with itself.
		} else {
			vertex = to
		}
		if w.Zone != zone {
			zone = NoZone
		}
	}
	switch {
	case nodes == 1:
		return Dependency{Kind: OnNode, Vertex: vertex}
	case zone != NoZone:
		return Dependency{Kind: OnZone, Zone: zone}
	}
	return Dependency{}
}

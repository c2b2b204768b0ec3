package topology

import (
	"cmp"
	"slices"
	"strings"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/topology/nodes"
	"github.com/bgpguard/bgpguard/pkg/topology/routes"
	"github.com/bgpguard/bgpguard/pkg/topology/sessions"
)

// The kinds of a SinglePoint.
const (
	pointNode     = "node"
	pointZone     = "zone"
	pointExternal = "externalPeer"
)

// point is a node, zone or external peer by its name or address.
type point struct{ kind, name string }

// singlePoints lists the single points of failure, the one with the most nodes
// first. prefix is the start of the names of their sets. O(vertices), and O(nodes +
// external peers) if there is a single point of failure.
func (r *routing) singlePoints(reading routes.Reading, prefix string) []SinglePoint {
	ix, f, name := r.network.Index, r.network.Family, r.names[reading]
	out := []SinglePoint{}
	for p, set := range r.pointSets(reading) {
		out = append(out, SinglePoint{p.kind, p.name, nodeSet(ix, set, "")})
	}
	r.externalPoints(reading, func(o *sessions.ExternalPeer, list nodes.List) {
		if cap(out) == 0 {
			out = make([]SinglePoint, 0, len(r.network.Passing[reading].Externals))
		}
		set := NodeSet{Nodes: list.Len, Sample: o.Sample}
		if list.Len != o.List.Len {
			set = nodeSet(ix, list.Set, "")
		}
		out = append(out, SinglePoint{pointExternal, o.Name, set})
	})
	slices.SortFunc(out, func(a, b SinglePoint) int {
		if a.Nodes != b.Nodes {
			return cmp.Compare(b.Nodes, a.Nodes)
		}
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	nameMembers(out, prefix+"singlePoint/")
	// There may be one point for each node, so find searches the list and no map is made.
	r.measures.addAll(func(members string) measure {
		i := slices.IndexFunc(out, func(p SinglePoint) bool { return p.Members == members })
		if i < 0 {
			return nil
		}
		p := point{out[i].Kind, out[i].Name}
		return nodesIn(f, func(t *Topology) func(int) bool {
			r, reading := t.routings[f].named(name)
			return within(r.pointSet(reading, p))
		})
	})
	return out
}

// nameMembers sets Members of the points. There may be one point for each node, so the
// names are substrings of one string: one allocation.
func nameMembers(points []SinglePoint, prefix string) {
	size := 0
	for i := range points {
		size += len(prefix) + len(points[i].Kind) + len("/") + len(points[i].Name)
	}
	var names strings.Builder
	names.Grow(size)
	for i := range points {
		start := names.Len()
		for _, part := range []string{prefix, points[i].Kind, "/", points[i].Name} {
			names.WriteString(part)
		}
		points[i].Members = names.String()[start:]
	}
}

// pointSet returns the nodes that depend on one point, nil for none.
func (r *routing) pointSet(reading routes.Reading, p point) *bitset.BitSet {
	if p.kind != pointExternal {
		return r.pointSets(reading)[p]
	}
	var out *bitset.BitSet
	r.externalPoints(reading, func(o *sessions.ExternalPeer, nodes nodes.List) {
		if o.Name == p.name {
			out = bitset.New(r.network.Index.Len())
			nodes.AddTo(out)
		}
	})
	return out
}

// pointSets returns, for each node or zone that is a single point of failure, the nodes
// that depend on it. Nodes of a zone do not depend on that zone. O(vertices), and
// O(nodes) if there is a single point of failure.
func (r *routing) pointSets(reading routes.Reading) map[point]*bitset.BitSet {
	m, ix := r.results[reading], r.network.Index
	sets := map[point]*bitset.BitSet{}
	some := false
	for v := range r.vertices {
		kind := m.Dependency(v).Kind
		some = some || kind == routes.OnNode || kind == routes.OnZone
	}
	if !some {
		return sets
	}
	add := func(p point, node int) {
		if sets[p] == nil {
			sets[p] = bitset.New(ix.Len())
		}
		sets[p].Set(uint(node))
	}
	for node, g := range r.network.Classes.Of {
		v := r.vertexOf[g]
		if v < 0 {
			continue
		}
		switch d := m.Dependency(int(v)); d.Kind {
		case routes.OnNode:
			add(point{pointNode, ix.Nodes[r.vertices[d.Vertex].first[0]].Name}, node)
		case routes.OnZone:
			if int(ix.Zones.ID(uint32(node))) != d.Zone {
				add(point{pointZone, ix.Zones.Value(uint32(d.Zone))}, node)
			}
		case routes.None, routes.OnExternal:
		}
	}
	return sets
}

// externalPoints calls visit for each external peer with the nodes whose only sessions
// are with this peer, in order of the peers' names. It skips external peers without such
// nodes. O(vertices), and O(nodes + external peers) if there are such nodes.
func (r *routing) externalPoints(reading routes.Reading, visit func(o *sessions.ExternalPeer, nodes nodes.List)) {
	m := r.results[reading]
	left := r.network.Classes.Union(func(g int) bool {
		v := r.vertexOf[g]
		return v >= 0 && m.Dependency(int(v)).Kind == routes.OnExternal
	})
	if left == nil {
		return
	}
	// External peers that are merged into one element of Counted have no node in common.
	// A node with two external peers is therefore in two elements.
	once := bitset.New(r.network.Index.Len())
	for _, o := range r.network.Passing[reading].Counted {
		left.InPlaceDifference(o.Nodes.Intersection(once))
		once.InPlaceUnion(o.Nodes)
	}
	for _, o := range r.network.Passing[reading].Externals {
		list := o.List
		if list.Some(func(i uint32) bool { return !left.Test(uint(i)) }) {
			list = nodes.NewList(left.Intersection(o.Nodes))
		}
		if list.Len > 0 {
			visit(o, list)
		}
	}
}

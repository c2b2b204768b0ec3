package topology

import (
	"cmp"
	"slices"

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
// first. prefix begins the names of their sets. O(vertices), and O(nodes +
// external peers) where there is a single point.
func (r *routing) singlePoints(transit bool, prefix string) []SinglePoint {
	ix, f := r.network.Index, r.network.Family
	out := []SinglePoint{}
	members := func(p point) string { return prefix + "singlePoint/" + p.kind + "/" + p.name }
	for p, set := range r.pointSets(transit) {
		out = append(out, SinglePoint{p.kind, p.name, nodeSet(ix, set, members(p))})
	}
	r.externalPoints(transit, func(o *sessions.ExternalPeer, nodes *nodes.List) {
		if cap(out) == 0 {
			out = make([]SinglePoint, 0, len(r.network.Externals))
		}
		p := point{pointExternal, o.Name}
		set := NodeSet{nodes.Len, o.Sample, members(p)}
		if nodes.Len != o.List.Len {
			set = nodeSet(ix, nodes.Set, set.Members)
		}
		out = append(out, SinglePoint{p.kind, p.name, set})
	})
	slices.SortFunc(out, func(a, b SinglePoint) int {
		return cmp.Or(cmp.Compare(b.Nodes, a.Nodes), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	// There may be one for each node, so the list itself has the names.
	r.measures.addAll(func(name string) measure {
		i := slices.IndexFunc(out, func(p SinglePoint) bool { return p.Members == name })
		if i < 0 {
			return nil
		}
		p := point{out[i].Kind, out[i].Name}
		return nodesOf(func(t *Topology) func(int) bool { return within(t.routings[f].pointSet(transit, p)) })
	})
	return out
}

// pointSet returns the nodes that depend on one point, nil for none.
func (r *routing) pointSet(transit bool, p point) *bitset.BitSet {
	if p.kind != pointExternal {
		return r.pointSets(transit)[p]
	}
	var out *bitset.BitSet
	r.externalPoints(transit, func(o *sessions.ExternalPeer, nodes *nodes.List) {
		if o.Name == p.name {
			out = bitset.New(r.network.Index.Len())
			nodes.AddTo(out)
		}
	})
	return out
}

// pointSets returns the nodes that depend on each node or zone that is a single
// point. The nodes of a zone are not among those that depend on it. O(vertices),
// and O(nodes) where there is a single point.
func (r *routing) pointSets(transit bool) map[point]*bitset.BitSet {
	m, ix := r.In(transit), r.network.Index
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

// externalPoints calls visit with the nodes whose only sessions are with one and
// the same external peer, in order of the peers' names. O(vertices), and O(nodes +
// external peers) where there are such nodes.
func (r *routing) externalPoints(transit bool, visit func(o *sessions.ExternalPeer, nodes *nodes.List)) {
	m := r.In(transit)
	left := r.network.Classes.Union(func(g int) bool {
		v := r.vertexOf[g]
		return v >= 0 && m.Dependency(int(v)).Kind == routes.OnExternal
	})
	if left == nil {
		return
	}
	externals := r.network.Externals
	once := bitset.New(r.network.Index.Len())
	for _, o := range externals {
		if o.List.Len > nodes.MaxShort {
			left.InPlaceDifference(o.Nodes.Intersection(once))
			once.InPlaceUnion(o.Nodes)
			continue
		}
		for _, i := range o.List.Short {
			if once.Test(uint(i)) {
				left.Clear(uint(i))
			}
			once.Set(uint(i))
		}
	}
	for _, o := range externals {
		list := o.List
		if list.Some(func(i uint32) bool { return !left.Test(uint(i)) }) {
			list = nodes.NewList(left.Intersection(o.Nodes))
		}
		if list.Len > 0 {
			visit(o, &list)
		}
	}
}

package topology

import (
	"cmp"
	"slices"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// The kinds of a SinglePoint.
const (
	pointNode     = "node"
	pointZone     = "zone"
	pointExternal = "externalPeer"
)

// point is what every session of the nodes of a vertex is with.
type point struct{ kind, name string }

// mixed stands for several zones, or one that is not known.
const mixed = -1

// singlePoints lists what the nodes depend on, the one with the most nodes first.
// O(nodes + hops + external peers).
func (r *routing) singlePoints(transit bool) []SinglePoint {
	ix, f := r.network.index, r.network.family
	out := []SinglePoint{}
	for p, set := range r.pointSets(transit) {
		out = append(out, SinglePoint{p.kind, p.name, ix.nodeSet(set, p.members(f, transit))})
	}
	if transit {
		out = slices.Grow(out, len(r.network.outsides))
		r.externalPoints(func(o *outside, nodes *nodeList) {
			p := point{pointExternal, o.name}
			set := NodeSet{nodes.n, o.sample, p.members(f, transit)}
			if nodes.n != o.list.n {
				set = ix.nodeSet(nodes.set, set.Members)
			}
			out = append(out, SinglePoint{p.kind, p.name, set})
		})
	}
	slices.SortFunc(out, func(a, b SinglePoint) int {
		return cmp.Or(cmp.Compare(b.Nodes, a.Nodes), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	return out
}

// pointSet returns the nodes that depend on one point, nil for none.
func (r *routing) pointSet(transit bool, p point) *bitset.BitSet {
	if p.kind != pointExternal {
		return r.pointSets(transit)[p]
	}
	var out *bitset.BitSet
	if transit {
		r.externalPoints(func(o *outside, nodes *nodeList) {
			if o.name == p.name {
				out = bitset.New(r.network.index.Len())
				nodes.addTo(out)
			}
		})
	}
	return out
}

// pointSets finds the nodes whose sessions are all with one other node that
// hands routes on, or in one zone. O(nodes + hops), where there are any; a mesh
// has none.
func (r *routing) pointSets(transit bool) map[point]*bitset.BitSet {
	zones := r.zones()
	sets := map[point]*bitset.BitSet{}
	add := func(p point, node int) {
		if sets[p] == nil {
			sets[p] = bitset.New(uint(len(r.network.groups.of)))
		}
		sets[p].Set(uint(node))
	}
	points := make([]point, len(r.vertices))
	zoneOf := make([]int, len(r.vertices))
	some := false
	for i := range r.vertices {
		points[i], zoneOf[i] = r.point(transit, i, zones)
		some = some || points[i].kind != ""
	}
	if some {
		for node, g := range r.network.groups.of {
			v := r.quotient.of[g]
			if v < 0 || points[v].kind == "" || points[v].kind == pointZone && int(r.network.index.zones.ids[node]) == zoneOf[v] {
				continue
			}
			add(points[v], node)
		}
	}
	return sets
}

// members is the handle of the nodes that depend on the point.
func (p point) members(f calico.Family, transit bool) string {
	return handle(f, assumptionName(transit), pointName+"/"+p.kind+"/"+p.name)
}

// point is what all sessions of the nodes of vertex i are with, if there is
// such a thing and routes of others come that way.
func (r *routing) point(transit bool, i int, zones []int) (point, int) {
	v := &r.vertices[i]
	if len(v.hops) == 0 || transit && len(v.exits) > 0 || !r.beyond(transit, i) {
		return point{}, mixed
	}
	neighbours, zone := 0, zones[v.hops[0].to]
	for _, h := range v.hops {
		w := &r.vertices[h.to]
		neighbours += w.nodes
		if int(h.to) == i {
			neighbours--
		}
		if zones[h.to] != zone {
			zone = mixed
		}
	}
	switch {
	case neighbours == 1:
		one := v.first[0]
		for _, h := range v.hops {
			if int(h.to) != i {
				one = r.vertices[h.to].first[0]
			}
		}
		return point{pointNode, r.network.index.nodes[one].Name}, mixed
	case zone != mixed:
		return point{pointZone, r.network.index.zones.values[zone]}, zone
	}
	return point{}, mixed
}

// beyond reports whether the nodes of vertex i have routes of nodes other than
// those that they have sessions with.
func (r *routing) beyond(transit bool, i int) bool {
	has, n := r.of(transit), len(r.vertices)
	for w := range n {
		if has[w*n+i] && !slices.ContainsFunc(r.vertices[i].hops, func(h hop) bool { return int(h.to) == w }) {
			return true
		}
	}
	return false
}

// zones tells the zone of each vertex's nodes, as a value of the index's
// column. O(nodes).
func (r *routing) zones() []int {
	out := make([]int, len(r.vertices))
	for i := range out {
		out[i] = -2 // none seen yet
	}
	for node, g := range r.network.groups.of {
		v := r.quotient.of[g]
		if v < 0 {
			continue
		}
		zone := int(r.network.index.zones.ids[node])
		if zone == 0 {
			zone = mixed
		}
		switch out[v] {
		case zone:
		case -2:
			out[v] = zone
		default:
			out[v] = mixed
		}
	}
	return out
}

// externalPoints calls visit with the nodes without a session to another node
// that peer with exactly one external peer, in order of the peers' names. O(nodes +
// external peers).
func (r *routing) externalPoints(visit func(o *outside, nodes *nodeList)) {
	outsides := r.network.outsides
	if len(outsides) == 0 {
		return
	}
	lonely := r.network.groups.union(func(g int) bool {
		v := r.quotient.of[g]
		return v >= 0 && len(r.vertices[v].hops) == 0 && len(r.vertices[v].exits) > 0 && r.beyond(true, int(v))
	})
	if lonely == nil {
		return
	}
	once := bitset.New(r.network.index.Len())
	for _, o := range outsides {
		if o.list.n > maxListed {
			lonely.InPlaceDifference(o.nodes.Intersection(once))
			once.InPlaceUnion(o.nodes)
			continue
		}
		for _, i := range o.list.list {
			if once.Test(uint(i)) {
				lonely.Clear(uint(i))
			}
			once.Set(uint(i))
		}
	}
	for _, o := range outsides {
		nodes := o.list
		if nodes.some(func(i uint32) bool { return !lonely.Test(uint(i)) }) {
			nodes = newNodeList(lonely.Intersection(o.nodes))
		}
		if nodes.n > 0 {
			visit(o, &nodes)
		}
	}
}

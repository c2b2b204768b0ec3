package topology

import (
	"cmp"
	"slices"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/topology/routes"
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
// first. prefix begins the names of their sets.
func (r *routing) singlePoints(transit bool, prefix string) []SinglePoint {
	f, sets := r.network.family, r.pointSets(transit)
	out := make([]SinglePoint, 0, len(sets))
	for p, set := range sets {
		members := r.measures.nodes(prefix+"singlePoint/"+p.kind+"/"+p.name, func(t *Topology) func(int) bool {
			return within(t.routings[f].pointSets(transit)[p])
		})
		out = append(out, SinglePoint{p.kind, p.name, r.network.index.nodeSet(set, members)})
	}
	slices.SortFunc(out, func(a, b SinglePoint) int {
		return cmp.Or(cmp.Compare(b.Nodes, a.Nodes), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	return out
}

// pointSets returns the nodes that depend on each single point. The nodes of a
// zone are not among those that depend on it. O(vertices), and O(nodes + sessions
// with external peers) where there is a single point.
func (r *routing) pointSets(transit bool) map[point]*bitset.BitSet {
	m, ix := r.In(transit), r.network.index
	sets := map[point]*bitset.BitSet{}
	some := false
	for v := range r.vertices {
		some = some || m.Dependency(v).Kind != routes.None
	}
	if !some {
		return sets
	}
	add := func(p point, node uint) {
		if sets[p] == nil {
			sets[p] = bitset.New(ix.Len())
		}
		sets[p].Set(node)
	}
	var external *bitset.BitSet // the nodes with sessions with external peers only
	for node := range ix.Len() {
		v := r.vertex(node)
		if v < 0 {
			continue
		}
		switch d := m.Dependency(v); d.Kind {
		case routes.None:
		case routes.OnNode:
			add(point{pointNode, ix.nodes[r.vertices[d.Vertex].first[0]].Name}, node)
		case routes.OnZone:
			if int(ix.zones.ids[node]) != d.Zone {
				add(point{pointZone, ix.zones.values[d.Zone]}, node)
			}
		case routes.OnExternal:
			if external == nil {
				external = bitset.New(ix.Len())
			}
			external.Set(node)
		}
	}
	if external != nil {
		r.externalPoints(external, add)
	}
	return sets
}

// externalPoints adds those of nodes that peer with exactly one external peer.
func (r *routing) externalPoints(nodes *bitset.BitSet, add func(p point, node uint)) {
	peers := make([]int, nodes.Len())
	for _, o := range r.network.outsides {
		o.list.each(func(i uint32) bool {
			peers[i]++
			return true
		})
	}
	for _, o := range r.network.outsides {
		o.list.each(func(i uint32) bool {
			if peers[i] == 1 && nodes.Test(uint(i)) {
				add(point{pointExternal, o.address.String()}, uint(i))
			}
			return true
		})
	}
}

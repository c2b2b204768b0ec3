package topology

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/bgpguard/bgpguard/pkg/topology/nodes"
	"github.com/bgpguard/bgpguard/pkg/topology/routes"
)

// summarize returns the Reach of one reading of external peers. O(kinds squared), and
// O(nodes) if there are single points of failure.
func (r *routing) summarize(ctx context.Context, reading routes.Reading) (*Reach, error) {
	f, m, name := r.network.Family, r.existing(reading), r.names[reading]
	prefix := "routes/" + f.String() + "/" + name + "/"
	out := &Reach{Nodes: r.graph.Nodes(), SinglePoints: r.singlePoints(reading, prefix)}
	var err error
	if out.Partitions, out.LargestPartition, err = m.Partitions(ctx); err != nil {
		return nil, err
	}
	if out.WithoutRoute, err = withoutRoute(ctx, r.network.Index, m, r.firstOf); err != nil {
		return nil, err
	}
	out.WithoutRoute.Members = r.measures.add(prefix+"withoutRoute", pairsWithoutRoute{f, name, false})
	out.NewBlocks = out.WithoutRoute
	if r.division != nil {
		if out.NewBlocks, err = withoutRoute(ctx, r.network.Index, r.results[reading], func(v int) []uint32 { return r.vertices[v].first }); err != nil {
			return nil, err
		}
		out.NewBlocks.Members = r.measures.add(prefix+"newBlocks", pairsWithoutRoute{f, name, true})
	}
	var first []uint32
	for kind := range r.kinds() {
		if r.isolated(reading, kind) {
			out.Isolated.Nodes += m.Nodes(kind)
			first = append(first, r.firstOf(kind)...)
		}
	}
	out.Isolated.Sample = sample(r.network.Index, first)
	out.Isolated.Members = r.measures.add(prefix+"isolated", isolatedNodes{f, name})
	return out, nil
}

// isolated reports whether the nodes of a kind are isolated nodes. The only
// node of a cluster is not isolated.
func (r *routing) isolated(reading routes.Reading, kind int) bool {
	m := r.existing(reading)
	return m.Isolated(kind) && (r.kinds() > 1 || m.Nodes(kind) > 1)
}

// withoutRoute counts the pairs of nodes in which at least one node has no route to the
// other. firstOf returns the first few nodes of a vertex of m.
func withoutRoute(ctx context.Context, ix *nodes.Index, m *routes.Reachability, firstOf func(int) []uint32) (PairSet, error) {
	out := PairSet{Sample: []Pair{}}
	var found [][2]uint32
	last := [2]uint32{math.MaxUint32, math.MaxUint32} // of the first few so far
	err := m.Missing(ctx, func(a, b, pairs int) {
		out.Pairs += pairs
		one, other := firstOf(a), firstOf(b)
		if min(one[0], other[0]) > last[0] {
			return
		}
		for _, i := range one {
			for _, j := range other {
				if p := [2]uint32{min(i, j), max(i, j)}; i != j && comparePairs(p, last) < 0 {
					found = append(found, p)
				}
			}
		}
		if len(found) > maxFound {
			if found = firstPairs(found); len(found) == SampleSize {
				last = found[SampleSize-1]
			}
		}
	})
	for _, p := range firstPairs(found) {
		out.Sample = append(out.Sample, Pair{ix.Nodes[p[0]].Name, ix.Nodes[p[1]].Name})
	}
	return out, err
}

// maxFound is the number of pairs after which withoutRoute drops all but the first
// SampleSize.
const maxFound = 16

// firstPairs returns the first SampleSize pairs of nodes, in order. It sorts found.
func firstPairs(found [][2]uint32) [][2]uint32 {
	slices.SortFunc(found, comparePairs)
	found = slices.Compact(found)
	return found[:min(len(found), SampleSize)]
}

func comparePairs(a, b [2]uint32) int {
	return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1]))
}

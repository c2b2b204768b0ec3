package topology

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/bgpguard/bgpguard/pkg/topology/routes"
)

// summarize returns the Reach of one reading of external peers. O(vertices squared), and
// O(nodes) if there are single points of failure.
func (r *routing) summarize(ctx context.Context, reading routes.Reading) (*Reach, error) {
	f, m, name := r.network.Family, r.results[reading], r.names[reading]
	prefix := "routes/" + f.String() + "/" + name + "/"
	out := &Reach{Nodes: r.graph.Nodes(), SinglePoints: r.singlePoints(reading, prefix)}
	var err error
	if out.Partitions, out.LargestPartition, err = m.Partitions(ctx); err != nil {
		return nil, err
	}
	if out.WithoutRoute, err = r.withoutRoute(ctx, reading); err != nil {
		return nil, err
	}
	out.WithoutRoute.Members = r.measures.add(prefix+"withoutRoute", pairsWithoutRoute{f, name})
	var first []uint32
	for v := range r.vertices {
		if r.isolated(reading, v) {
			out.Isolated.Nodes += r.graph.Vertices[v].Nodes
			first = append(first, r.vertices[v].first...)
		}
	}
	out.Isolated.Sample = sample(r.network.Index, first)
	out.Isolated.Members = r.measures.add(prefix+"isolated", isolatedNodes{f, name})
	return out, nil
}

// isolated reports whether the nodes of a vertex are isolated nodes. The only
// node of a cluster is not isolated.
func (r *routing) isolated(reading routes.Reading, v int) bool {
	return r.results[reading].Isolated(v) && (len(r.vertices) > 1 || r.graph.Vertices[v].Nodes > 1)
}

// withoutRoute counts the pairs of nodes in which at least one node has no route to the
// other.
func (r *routing) withoutRoute(ctx context.Context, reading routes.Reading) (PairSet, error) {
	out := PairSet{Sample: []Pair{}}
	var found [][2]uint32
	last := [2]uint32{math.MaxUint32, math.MaxUint32} // of the first few so far
	err := r.results[reading].Missing(ctx, func(a, b, pairs int) {
		out.Pairs += pairs
		if min(r.vertices[a].first[0], r.vertices[b].first[0]) > last[0] {
			return
		}
		for _, i := range r.vertices[a].first {
			for _, j := range r.vertices[b].first {
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
		out.Sample = append(out.Sample, Pair{r.network.Index.Nodes[p[0]].Name, r.network.Index.Nodes[p[1]].Name})
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

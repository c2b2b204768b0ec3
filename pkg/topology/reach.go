package topology

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// handle names a set of nodes or pairs of the summary; see NodeSet.Members.
func handle(f calico.Family, assumption, set string) string {
	return routesName + "/" + f.String() + "/" + assumption + "/" + set
}

// The assumptions about what is outside, and the sets, in handles.
const (
	routesName         = "routes"
	withTransitName    = "withTransit"
	withoutTransitName = "withoutTransit"
	isolatedName       = "isolated"
	withoutRouteName   = "withoutRoute"
	pointName          = "singlePoint"
)

func assumptionName(transit bool) string {
	if transit {
		return withTransitName
	}
	return withoutTransitName
}

// routing is who has whose routes in one family.
type routing struct {
	*quotient
	withTransit, withoutTransit reaches
}

func newRouting(ctx context.Context, q *quotient) (*routing, error) {
	r := &routing{quotient: q}
	var err error
	if r.withoutTransit, err = q.flood(ctx, false); err != nil {
		return nil, err
	}
	r.withTransit = r.withoutTransit
	if slices.ContainsFunc(q.vertices, func(v vertex) bool { return len(v.exits) > 0 }) {
		r.withTransit, err = q.flood(ctx, true)
	}
	return r, err
}

func (r *routing) of(transit bool) reaches {
	if transit {
		return r.withTransit
	}
	return r.withoutTransit
}

// mutual reports whether nodes of two vertices have each other's routes.
func (q *quotient) mutual(has reaches, a, b int) bool {
	n := len(q.vertices)
	return has[a*n+b] && has[b*n+a]
}

// alone reports whether the nodes of a vertex neither have a route of another
// node nor does one have theirs.
func (q *quotient) alone(has reaches, v int) bool {
	n := len(q.vertices)
	for w := range n {
		if has[v*n+w] || has[w*n+v] {
			return false
		}
	}
	return true
}

// reach sums up one assumption.
func (r *routing) reach(ctx context.Context, transit bool) (*Reach, error) {
	has, f, name := r.of(transit), r.network.family, assumptionName(transit)
	out := &Reach{
		Isolated:     NodeSet{Sample: []string{}, Members: handle(f, name, isolatedName)},
		WithoutRoute: PairSet{Sample: []Pair{}, Members: handle(f, name, withoutRouteName)},
		SinglePoints: r.singlePoints(transit),
	}
	for i := range r.vertices {
		out.Nodes += r.vertices[i].nodes
	}
	if err := r.partitions(ctx, has, out); err != nil {
		return nil, err
	}
	if err := r.pairs(ctx, has, &out.WithoutRoute); err != nil {
		return nil, err
	}
	if out.Nodes < 2 {
		return out, nil
	}
	var first []uint32
	for i := range r.vertices {
		if r.alone(has, i) {
			out.Isolated.Nodes += r.vertices[i].nodes
			first = append(first, r.vertices[i].first...)
		}
	}
	out.Isolated.Sample = r.network.index.sample(first)
	return out, nil
}

// partitions counts the groups of nodes that are connected by routes both ways.
// O(vertices squared).
func (r *routing) partitions(ctx context.Context, has reaches, out *Reach) error {
	parent := make([]int, len(r.vertices))
	for i := range parent {
		parent[i] = i
	}
	find := func(i int) int {
		for parent[i] != i {
			i = parent[i]
		}
		return i
	}
	whole := make([]bool, len(parent)) // the nodes of the vertex are connected
	for a := range parent {
		if err := ctx.Err(); err != nil {
			return err
		}
		for b := range a + 1 {
			if !r.mutual(has, a, b) {
				continue
			}
			whole[a], whole[b] = true, true
			parent[find(a)] = find(b)
		}
	}
	sizes := make([]int, len(parent))
	for i := range parent {
		if v := &r.vertices[i]; whole[i] {
			sizes[find(i)] += v.nodes
		} else {
			out.Partitions += v.nodes
			out.LargestPartition = max(out.LargestPartition, 1)
		}
	}
	for _, n := range sizes {
		if n > 0 {
			out.Partitions++
			out.LargestPartition = max(out.LargestPartition, n)
		}
	}
	return nil
}

// pairs counts the pairs of nodes of which one lacks the other's routes.
func (r *routing) pairs(ctx context.Context, has reaches, out *PairSet) error {
	var found [][2]uint32
	last := [2]uint32{math.MaxUint32, math.MaxUint32} // of the first few so far
	for a := range r.vertices {
		if err := ctx.Err(); err != nil {
			return err
		}
		for b := range a + 1 {
			v, w := &r.vertices[a], &r.vertices[b]
			count := v.nodes * w.nodes
			if a == b {
				count = v.nodes * (v.nodes - 1) / 2
			}
			if count == 0 || r.mutual(has, a, b) {
				continue
			}
			out.Pairs += count
			for _, i := range v.first {
				for _, j := range w.first {
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
		}
	}
	for _, p := range firstPairs(found) {
		out.Sample = append(out.Sample, Pair{r.network.index.nodes[p[0]].Name, r.network.index.nodes[p[1]].Name})
	}
	return nil
}

// maxFound is how many pairs are kept until all but the first few are dropped.
const maxFound = 64

// firstPairs returns the first few of pairs of nodes, in order.
func firstPairs(found [][2]uint32) [][2]uint32 {
	slices.SortFunc(found, comparePairs)
	found = slices.Compact(found)
	return found[:min(len(found), SampleSize)]
}

func comparePairs(a, b [2]uint32) int {
	return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1]))
}

// hasRoute reports whether node b has the routes of node a.
func (r *routing) hasRoute(transit bool, a, b uint) bool {
	v, w := r.vertexOf(a), r.vertexOf(b)
	return v >= 0 && w >= 0 && a != b && r.of(transit)[int(v)*len(r.vertices)+int(w)]
}

// vertexOf is the vertex of a node, -1 for one without an address.
func (r *routing) vertexOf(node uint) int32 { return r.quotient.of[r.network.groups.of[node]] }

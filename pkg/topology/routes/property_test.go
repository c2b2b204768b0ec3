package routes

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// random describes a network of up to six speakers with odd properties.
func random(r *rand.Rand, most int) *network {
	n := &network{}
	for i := range 1 + r.IntN(6) {
		s := speaker{name: string(rune('a' + i)), nodes: 1 + r.IntN(most), asn: 64512 + uint32(r.IntN(3)), zone: r.IntN(3)}
		if r.IntN(3) == 0 {
			s.cluster = string(rune('1' + r.IntN(2)))
		}
		n.speakers = append(n.speakers, s)
	}
	for i, a := range n.speakers {
		for _, b := range n.speakers[:i+1] {
			if r.IntN(5) < 2 {
				l := link{a: a.name, b: b.name, allowed: max(0, r.IntN(4)-2)}
				if r.IntN(6) == 0 && a.name != b.name {
					l.asn = 64512 + uint32(r.IntN(3))
				}
				n.links = append(n.links, l)
			}
		}
		if r.IntN(4) == 0 {
			n.external = append(n.external, external{a.name, 64512 + uint32(r.IntN(4)), r.IntN(2) == 0})
		}
	}
	return n
}

// single gives the graph in which every node is a vertex, and of each vertex of it
// the one that it is of in g.
func (g *Graph) single() (*Graph, []int) {
	out, of := &Graph{Readings: g.Readings}, []int{}
	nodes := make([][]int32, len(g.Vertices))
	for v := range g.Vertices {
		for range g.Vertices[v].Nodes {
			nodes[v] = append(nodes[v], int32(len(of)))
			of = append(of, v)
		}
	}
	for i, v := range of {
		one := g.Vertices[v]
		one.Nodes, one.Sessions = 1, nil
		for _, s := range g.Vertices[v].Sessions {
			for _, to := range nodes[s.To] {
				if int(to) != i {
					s.To = to
					one.Sessions = append(one.Sessions, s)
				}
			}
		}
		out.Vertices = append(out.Vertices, one)
	}
	return out, of
}

// TestAVertexStandsForItsNodes compares a graph with the one in which every node
// is a vertex.
func TestAVertexStandsForItsNodes(t *testing.T) {
	for seed := range uint64(600) {
		g := random(rand.New(rand.NewPCG(seed, 1)), 3).graph()
		single, of := g.single()
		merged, apart := computed(t, g), computed(t, single)
		for reading := range Reading(3) {
			m, a := merged[reading], apart[reading]
			for i, v := range of {
				for j, w := range of {
					if i != j && m.Has(v, w) != a.Has(i, j) {
						t.Fatalf("seed %d, reading %d: node %d of vertex %d to node %d of vertex %d: %v, apart %v\n%v", seed, reading, i, v, j, w, m.Has(v, w), a.Has(i, j), g)
					}
				}
			}
			if got, want := figures(t, m), figures(t, a); got != want {
				t.Fatalf("seed %d, reading %d: %s, apart %s\n%v", seed, reading, got, want, g)
			}
		}
	}
}

func figures(t *testing.T, r *Reachability) string {
	t.Helper()
	count, largest, err := r.Partitions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	missing, isolated := 0, 0
	if err := r.Missing(t.Context(), func(_, _, pairs int) { missing += pairs }); err != nil {
		t.Fatal(err)
	}
	for v := range r.graph.Vertices {
		if r.Isolated(v) {
			isolated += r.graph.Vertices[v].Nodes
		}
	}
	return fmt.Sprintf("%d partitions up to %d nodes, %d pairs missing, %d nodes isolated", count, largest, missing, isolated)
}

// path is a route on one of its ways, as every node has it that keeps them all.
type path struct {
	at       int
	learned  learned
	client   bool
	asn      uint32
	clusters string // sorted
	path     string // sorted
}

// maxPath bounds AS paths: those of nodes with several AS numbers, which do not
// recognise all of their own, grow for ever. Routes in six nodes go no further on
// longer ones.
const maxPath = 8

// exhaustive follows every path of every route, without ever dropping one that
// another covers. All vertices have one node.
func exhaustive(g *Graph, source int, reading Reading) map[int]bool {
	seen, external := map[path]bool{}, false
	queue := []path{{at: source, learned: locally}}
	add := func(p path) {
		if p.at != source && !seen[p] {
			seen[p] = true
			queue = append(queue, p)
		}
	}
	sorted := func(text string, more rune) string {
		list := append([]rune(text), more)
		slices.Sort(list)
		return string(list)
	}
	has := func(text string, one rune) int {
		n := 0
		for _, r := range text {
			if r == one {
				n++
			}
		}
		return n
	}
	id := func(cluster int) rune { return rune('A' + cluster) }
	number := func(asn uint32) rune { return 'a' + rune(asn-64512) }
	for len(queue) > 0 {
		p := queue[0]
		queue = queue[1:]
		v := g.Vertices[p.at]
		sends := func(internal, client bool, asn uint32) bool {
			reflects := p.learned == byIBGP && internal && p.asn == asn
			return !reflects || (client || p.client) && (!client || has(p.clusters, id(v.Cluster)) == 0)
		}
		for _, s := range v.Sessions {
			if !sends(s.Internal, s.Client, s.ASN) {
				continue
			}
			next := path{at: int(s.To), learned: byIBGP, client: s.PeerClient, asn: s.PeerASN, clusters: p.clusters, path: p.path}
			switch {
			case !s.Internal:
				next.learned, next.clusters, next.path = byEBGP, "", sorted(p.path, number(s.ASN))
			case p.learned == byIBGP && p.asn == s.ASN && has(p.clusters, id(v.Cluster)) == 0:
				next.clusters = sorted(p.clusters, id(v.Cluster))
			}
			loop := s.Internal && s.PeerClient && has(next.clusters, id(g.Vertices[s.To].Cluster)) > 0
			if !loop && len(next.path) <= maxPath && has(next.path, number(s.PeerASN)) <= s.PeerAllowed {
				add(next)
			}
		}
		for _, x := range v.externalIn(reading) {
			if !external && sends(x.Internal, x.Client, x.ASN) {
				external = true
				for w := range g.Vertices {
					for _, y := range g.Vertices[w].externalIn(reading) {
						one := path{at: w, learned: byEBGP, client: y.Client, asn: y.ASN}
						if y.Internal {
							one.learned = byIBGP
						}
						add(one)
					}
				}
			}
		}
	}
	out := map[int]bool{}
	for p := range seen {
		out[p.at] = true
	}
	return out
}

// TestNoRouteIsLostToACoveringOne compares with every path followed, in graphs
// small enough for it.
func TestNoRouteIsLostToACoveringOne(t *testing.T) {
	routes := 0
	for seed := range uint64(600) {
		g := random(rand.New(rand.NewPCG(seed, 2)), 1).graph()
		r := computed(t, g)
		for reading := range Reading(3) {
			for v := range g.Vertices {
				want := exhaustive(g, v, reading)
				for w := range g.Vertices {
					if v != w && r[reading].Has(v, w) != want[w] {
						t.Fatalf("seed %d, reading %d: route of %d at %d: %v, with every path followed %v\n%v", seed, reading, v, w, r[reading].Has(v, w), want[w], g)
					}
				}
				routes += len(want)
			}
		}
	}
	if routes < 1000 {
		t.Errorf("%d routes in all: the test does not test much", routes)
	}
}

// TestTransitOnlyAddsRoutes holds for every graph.
func TestTransitOnlyAddsRoutes(t *testing.T) {
	added := 0
	for seed := range uint64(600) {
		g := random(rand.New(rand.NewPCG(seed, 3)), 2).graph()
		r := computed(t, g)
		for v := range g.Vertices {
			for w := range g.Vertices {
				without, some, with := r[WithoutTransit].Has(v, w), r[WithTransit+1].Has(v, w), r[WithTransit].Has(v, w)
				if without && !some || some && !with {
					t.Fatalf("seed %d: the route of %d at %d is lost with more transit\n%v", seed, v, w, g)
				}
				if some && !without {
					added++
				}
			}
		}
	}
	if added == 0 {
		t.Error("transit added nothing")
	}
}

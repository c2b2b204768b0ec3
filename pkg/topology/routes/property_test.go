package routes

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// random returns a random network of up to six speakers. most is the maximum number of
// nodes of a speaker.
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
			n.external = append(n.external, external{a.name, 64512 + uint32(r.IntN(4)), r.IntN(2) == 0, max(0, r.IntN(4)-2)})
		}
	}
	return n
}

// single returns the graph in which every node is a vertex, and for each of its
// vertices the vertex of g that contains the node.
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

// TestAVertexStandsForItsNodes verifies that the result is the same if every node is
// a vertex of its own.
func TestAVertexStandsForItsNodes(t *testing.T) {
	for seed := range uint64(600) {
		g := random(rand.New(rand.NewPCG(seed, 1)), 3).graph()
		single, of := g.single()
		merged, apart := computed(t, g), computed(t, single)
		for reading := range Reading(4) {
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

// path is one path of a route, at one node.
type path struct {
	at, from int // from is the node that sent it, -1 for an external peer
	learned  learned
	client   bool
	asn      uint32
	clusters string // sorted
	path     string // sorted
}

// maxPath is the maximum length of an AS path. Without it, paths grow without end: a
// node with several AS numbers does not recognise all of them as its own. With six
// nodes, a longer path does not reach additional nodes.
const maxPath = 8

// exhaustive returns the vertices that receive the route of source. It follows every
// path and does not drop a path that another covers. No node sends a path back to the node that
// sent it. All vertices must have one node: a session of a vertex with itself connects no nodes.
func exhaustive(g *Graph, source int, reading Reading, tunnelled bool) map[int]bool {
	seen, external := map[path]bool{}, map[string]bool{}
	queue := []path{{at: source, from: -1, learned: locally}}
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
			if int(s.To) == p.from || int(s.To) == p.at || !sends(s.Internal, s.Client, s.ASN) {
				continue
			}
			next := path{at: int(s.To), from: p.at, learned: byIBGP, client: s.PeerClient, asn: s.PeerASN, clusters: p.clusters, path: p.path}
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
			if !sends(x.Internal, x.Client, x.ASN) {
				continue
			}
			kept := ""
			if reading == WithASPaths {
				kept = p.path
				if !x.Internal {
					kept = sorted(kept, number(x.ASN))
				}
			}
			if external[kept] || len(kept) > maxPath {
				continue
			}
			external[kept] = true
			for w := range g.Vertices {
				for _, y := range g.Vertices[w].externalIn(reading) {
					one := path{at: w, from: -1, learned: byEBGP, client: y.Client, asn: y.ASN, path: kept}
					if y.Internal {
						one.learned = byIBGP
					}
					if has(kept, number(y.ASN)) <= y.Allowed && (y.Internal || !tunnelled || reading != WithASPaths) {
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

// TestNoRouteIsLostToACoveringOne compares the result with that of exhaustive, in
// small graphs.
func TestNoRouteIsLostToACoveringOne(t *testing.T) {
	routes := 0
	for seed := range uint64(24000) {
		g := random(rand.New(rand.NewPCG(seed, 2)), 1).graph()
		tunnelled := seed%3 == 0
		g.Destinations = []Destination{{Tunnelled: tunnelled}}
		r := computed(t, g)
		for reading := range Reading(4) {
			for v := range g.Vertices {
				want := exhaustive(g, v, reading, tunnelled)
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
		t.Errorf("only %d routes in total", routes)
	}
}

// TestTransitOnlyAddsRoutes verifies that no route is lost with transit.
func TestTransitOnlyAddsRoutes(t *testing.T) {
	added := 0
	for seed := range uint64(600) {
		g := random(rand.New(rand.NewPCG(seed, 3)), 2).graph()
		r := computed(t, g)
		for v := range g.Vertices {
			for w := range g.Vertices {
				without, some, with := r[WithoutTransit].Has(v, w), r[WithASPaths+1].Has(v, w), r[WithTransit].Has(v, w)
				if kept := r[WithASPaths].Has(v, w); without && !kept || kept && !with {
					t.Fatalf("seed %d: the route of %d at %d is lost with more transit\n%v", seed, v, w, g)
				}
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

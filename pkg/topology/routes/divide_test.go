package routes

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestDivideAgreesWithTheDestinations compares a divided result with those of a graph for each destination.
func TestDivideAgreesWithTheDestinations(t *testing.T) {
	divided := 0
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 6))
		g := random(r, 3).graph()
		for v := range g.Vertices {
			for k := range g.Vertices[v].Sessions {
				g.Vertices[v].Sessions[k].Policy, g.Vertices[v].Sessions[k].PeerPolicy = r.IntN(3), r.IntN(3)
			}
		}
		g.Destinations = []Destination{randomDestination(r), randomDestination(r), randomDestination(r)}
		results := computed(t, g)
		groups := Groups(results)
		var each [][]*Reachability // by destination and reading
		for _, d := range g.Destinations {
			one := *g
			one.Destinations = []Destination{d}
			each = append(each, computed(t, &one))
		}
		for i := range each {
			for k := range each[:i] {
				same := true
				for reading := range each[i] {
					same = same && slices.Equal(each[i][reading].has, each[k][reading].has)
				}
				if len(groups) == 0 && !same || len(groups) > 0 && same != (groups[i] == groups[k]) {
					t.Fatalf("seed %d: groups %v, destinations %d and %d are the same: %t", seed, groups, i, k, same)
				}
			}
		}
		if groups == nil {
			continue
		}
		divided++
		var origins []Origins
		for v := range g.Vertices {
			origins = append(origins, Origins{v, 1, uint64(1+r.IntN(3)) & (1<<slices.Max(groups) | 1)}, Origins{v, 2, 0})
		}
		for reading, one := range results {
			got := one.Divide(origins, groups, 1<<groups[2])
			for a, from := range origins {
				for b, to := range origins {
					all, some := true, false
					for d := range g.Destinations {
						if from.Groups&(1<<groups[d]) != 0 || from.Groups == 0 && groups[d] == groups[2] {
							has := each[d][reading].Has(from.Vertex, to.Vertex)
							all, some = all && has, some || has
						}
					}
					if got.Has(a, b) != all || got.some[a*len(origins)+b] != some {
						t.Fatalf("seed %d, reading %d, %v to %v: got %t and %t, want %t and %t", seed, reading, from, to, got.Has(a, b), got.some[a*len(origins)+b], all, some)
					}
				}
			}
			for v, is := range got.Incomplete() {
				want := false
				for w := range origins {
					want = want || !got.Mutual(v, w) && (v != w || got.Nodes(v) > 1)
				}
				if is != want {
					t.Fatalf("seed %d: %v is incomplete: %t", seed, origins[v], is)
				}
			}
		}
	}
	if divided < 50 {
		t.Errorf("%d graphs have destinations that nodes have different routes to", divided)
	}
}

// Nodes without groups need a route to one of the destinations only.
func TestNodesWithoutGroupsNeedOneDestination(t *testing.T) {
	n := network{speakers: []speaker{{name: "a"}, {name: "b"}}, links: []link{{a: "a", b: "b"}}}
	g := n.graph()
	for v := range g.Vertices {
		g.Vertices[v].Sessions[0].Policy = 1
	}
	reject := Destination{Policies: []Policy{{}, {Export: Terms{{{}}}}}}
	g.Destinations = []Destination{{Policies: []Policy{{}, {}}}, reject}
	one := computed(t, g)[WithoutTransit]
	groups := Groups([]*Reachability{one})
	for _, tt := range []struct {
		groups, future uint64
		want           bool
	}{{1, 3, true}, {2, 3, false}, {3, 3, false}, {0, 3, true}, {0, 2, false}} {
		got := one.Divide([]Origins{{0, 1, tt.groups}, {1, 1, 1}}, groups, tt.future)
		if got.Has(0, 1) != tt.want || !got.Has(1, 0) {
			t.Errorf("%+v: got %t and %t", tt, got.Has(0, 1), got.Has(1, 0))
		}
	}
}

func TestTooManyGroups(t *testing.T) {
	r := &Reachability{}
	for i := range MaxGroups + 1 {
		part := make([]bool, MaxGroups+1)
		part[i] = true
		r.parts = append(r.parts, part)
	}
	if got := Groups([]*Reachability{r}); got != nil {
		t.Errorf("got %v", got)
	}
	if r.parts = r.parts[1:]; len(Groups([]*Reachability{r})) != MaxGroups {
		t.Errorf("got no groups for %d destinations", MaxGroups)
	}
}

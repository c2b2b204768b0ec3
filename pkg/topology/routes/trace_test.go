package routes

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestFollowAgreesWithCompute verifies that a node receives at least one path of a route if, and
// only if, it has the route.
func TestFollowAgreesWithCompute(t *testing.T) {
	routes := 0
	for seed := range uint64(1000) {
		g := random(rand.New(rand.NewPCG(seed, 4)), 3).graph()
		r := computed(t, g)
		for reading := range Reading(4) {
			for w := range int32(len(g.Vertices)) {
				traced, err := Follow(t.Context(), g, reading, Destination{}, Target{Vertex: w})
				if err != nil {
					t.Fatal(err)
				}
				for v := range int32(len(g.Vertices)) {
					got := slices.ContainsFunc(traced.Received, func(one Received) bool { return one.Source == v })
					// A node of a vertex without others has the routes of all the other nodes of its vertex.
					if want := r[reading].Has(int(v), int(w)); got != want && (v != w || g.Vertices[v].Nodes > 1) {
						t.Fatalf("seed %d, reading %d: route of %d at %d: %v, want %v\n%v", seed, reading, v, w, got, want, g)
					}
					if got {
						routes++
					}
				}
			}
		}
	}
	if routes < 1000 {
		t.Errorf("only %d routes in total", routes)
	}
}

// TestFollowNamesWhereARouteIsDropped verifies the drops between nodes that have a route and nodes
// that do not.
func TestFollowNamesWhereARouteIsDropped(t *testing.T) {
	// Vertex 0 peers with 1, and 1 with 2, which is the target.
	g := func() *Graph {
		out := &Graph{Readings: 3}
		for range 3 {
			out.Vertices = append(out.Vertices, Vertex{Nodes: 1, Cluster: NoCluster, Zone: NoZone})
		}
		join := func(a, b int32) {
			x, y := 64512+uint32(a), 64512+uint32(b)
			out.Vertices[a].Sessions = append(out.Vertices[a].Sessions, Session{To: b, ASN: x, PeerASN: y, Policy: int(a) + 1, PeerPolicy: int(b) + 1})
			out.Vertices[b].Sessions = append(out.Vertices[b].Sessions, Session{To: a, ASN: y, PeerASN: x, Policy: int(b) + 1, PeerPolicy: int(a) + 1})
		}
		join(0, 1)
		join(1, 2)
		return out
	}
	reject, none := Terms{{{}}}, Terms(nil)
	confined := []Community{NoAdvertise}
	for name, c := range map[string]struct {
		policies    []Policy // of the vertices
		communities []Community
		want        []Drop
	}{
		"nothing": {policies: []Policy{{none, none}, {none, none}, {none, none}}},
		"the export of the first node": {
			policies: []Policy{{none, reject}, {none, none}, {none, none}},
			want:     []Drop{{Source: 0, At: 0, Peer: 1, Reason: ByPolicy, Policy: 1}},
		},
		"the import of the target": {
			policies: []Policy{{none, none}, {none, none}, {reject, none}},
			want: []Drop{
				{Source: 0, At: 2, Peer: 1, Import: true, Reason: ByPolicy, Policy: 3},
				{Source: 1, At: 2, Peer: 1, Import: true, Reason: ByPolicy, Policy: 3},
			},
		},
		"a community": {
			policies: []Policy{{none, none}, {none, none}, {none, none}}, communities: confined,
			want: []Drop{{Source: 0, At: 1, Peer: 2, Reason: ByCommunity}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := Destination{Policies: append([]Policy{{}}, c.policies...), Communities: [][]Community{c.communities}}
			traced, err := Follow(t.Context(), g(), WithoutTransit, d, Target{Vertex: 2})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(traced.Dropped, c.want) {
				t.Errorf("got %+v, want %+v", traced.Dropped, c.want)
			}
		})
	}
}

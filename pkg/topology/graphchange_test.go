package topology

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// TestGraphChangeHasBothGraphs compares the two sides of a GraphChange with the graphs of
// the two states: the same nodes and the same sessions of each kind.
func TestGraphChangeHasBothGraphs(t *testing.T) {
	forRandomStates(t, 77, seeds/8, func(r *rand.Rand, objects []calico.Object) string {
		before := compute(t, state.New(slices.Clone(objects)...), nil)
		r.Shuffle(len(objects), func(i, j int) { objects[i], objects[j] = objects[j], objects[i] })
		after := compute(t, state.New(objects[min(len(objects), r.IntN(3)):]...), nil)
		c := after.GraphChange(before)
		for _, side := range []struct {
			name  string
			of    *Topology
			group func(GroupChange) *Group
			links func(LinkChange) int
		}{
			{"before", before, func(g GroupChange) *Group { return g.Before }, func(l LinkChange) int { return l.Before }},
			{"after", after, func(g GroupChange) *Group { return g.After }, func(l LinkChange) int { return l.After }},
		} {
			graph := side.of.Graph()
			roles, sessions := map[string]string{}, map[string]int{}
			wantRoles, wantSessions := map[string]string{}, map[string]int{}
			for _, g := range c.Groups {
				if one := side.group(g); one != nil {
					for _, n := range one.Members {
						roles[n] = one.Role
					}
					if len(one.Members) != one.Nodes {
						return fmt.Sprintf("%s: group of %d nodes lists %q", side.name, one.Nodes, one.Members)
					}
				}
			}
			for _, g := range graph.Groups {
				for _, n := range g.Members {
					wantRoles[n] = g.Role
				}
			}
			for _, l := range c.Links {
				sessions[l.Kind] += side.links(l)
			}
			for _, l := range graph.Links {
				wantSessions[l.Kind] += l.Sessions
			}
			maps.DeleteFunc(sessions, func(_ string, n int) bool { return n == 0 })
			if !maps.Equal(roles, wantRoles) || !maps.Equal(sessions, wantSessions) {
				return fmt.Sprintf("%s: got %v %v, want %v %v", side.name, roles, sessions, wantRoles, wantSessions)
			}
		}
		return ""
	})
}

func TestGraphChangeShowsWhatGoes(t *testing.T) {
	peer := func(nodes string) calico.Object {
		return calicotest.BGPPeer(t, "clients", map[string]any{"nodeSelector": nodes, "peerSelector": "has(rr)"})
	}
	objects := []calico.Object{calicotest.Mesh(t, false)}
	for i := range 6 {
		name := fmt.Sprintf("node-%d", i)
		options := []calicotest.Tweak{calicotest.IPv4(fmt.Sprintf("10.0.0.%d/8", i+1)), calicotest.Label("rack", fmt.Sprint(i%2))}
		if i < 2 {
			options = append(options, calicotest.Label("rr", ""), calicotest.RouteReflector("1.0.0.1"))
		}
		objects = append(objects, calicotest.Node(t, name, options...))
	}
	before := compute(t, state.New(append(slices.Clone(objects), peer("!has(rr)"))...), nil)
	after := compute(t, state.New(append(objects, peer("!has(rr) && rack == '0'"))...), nil)
	var got []string
	for _, g := range after.GraphChange(before).Groups {
		got = append(got, fmt.Sprintf("%s %v: %s -> %s", g.After.ID, g.After.Members, g.Before.Role, g.After.Role))
	}
	slices.Sort(got)
	want := []string{
		"group-1 [node-0 node-1]: reflector -> reflector", "group-2 [node-2 node-4]: client -> client", "group-3 [node-3 node-5]: client -> isolated",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	got = nil
	for _, l := range after.GraphChange(before).Links {
		got = append(got, fmt.Sprintf("%s-%s %s: %d -> %d %v", l.From, l.To, l.Kind, l.Before, l.After, l.Sources))
	}
	want = []string{"group-1-group-2 reflector: 4 -> 4 [clients]", "group-1-group-3 reflector: 4 -> 0 [clients]"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

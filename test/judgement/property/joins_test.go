package property

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology"
	"github.com/bgpguard/bgpguard/pkg/topology/topologytest"
)

// TestNodesThatJoinTakeNoRoutes adds nodes to random states, one after the other, as kubelet and calico-node do, or with the
// labels and the cluster ID of a route reflector. No route between the other nodes may go. validate.GroupsOf rests on it: of
// several nodes that join, it considers all or none.
func TestNodesThatJoinTakeNoRoutes(t *testing.T) {
	t.Parallel()
	all := clusters(t)
	gained := 0
	for round := range uint64(share(10)) {
		r := rand.New(rand.NewPCG(*seed+3, round))
		c := all[r.IntN(len(all))]
		s := state.New(c.objects(t)...)
		faults := c.draw(r, r.IntN(maxFaults+1))
		for i, f := range faults {
			s = s.Apply(c.change(t, f.id, faults[:i], faults[:i+1]))
		}
		before := topologytest.Compute(t, s, nil)
		for number := range 1 + r.IntN(3) {
			join := state.Change{After: joining(t, r, 30+number)}
			if !calico.Joins(join.Before, join.After) {
				t.Fatalf("%s does not join", show(join))
			}
			s = s.Apply(join)
			after := topologytest.Compute(t, s, before)
			impact := after.Impact(before)
			for _, family := range calico.Families {
				f := impact.Routes.In(family)
				for reading, routes := range map[string]topology.RoutesDifference{"with": f.WithTransit, "without": f.WithoutTransit} {
					gained += routes.GainedPairs
					if routes.LostPairs > 0 {
						t.Errorf("seed %d, round %d, cluster %q with %s: %d routes go, %s transit, with\n%s", *seed, round, c.name, names(faults), routes.LostPairs, reading, show(join))
					}
				}
			}
			before = after
		}
	}
	if gained == 0 {
		t.Error("no route of another node came: the test checks little")
	}
}

// joining returns a Node that joins.
func joining(t *testing.T, r *rand.Rand, number int) calico.Object {
	tweaks := []calicotest.Tweak{
		calicotest.APIVersion(calico.APIVersionCore), calicotest.Label("rack", fmt.Sprintf("r%d", r.IntN(3))),
		calicotest.Annotation(calico.AnnotationIPv4Address, address(number)+"/24"),
	}
	if r.IntN(3) == 0 {
		tweaks = append(tweaks, calicotest.Annotation(calico.AnnotationIPv6Address, fmt.Sprintf("fd00::%d/64", 10+number)))
	}
	if r.IntN(4) == 0 {
		tweaks = append(tweaks, calicotest.Annotation(calico.AnnotationASNumber, fmt.Sprint(64520+r.IntN(4))))
	}
	if r.IntN(3) == 0 {
		tweaks = append(tweaks, calicotest.Label("rr", "true"))
		if r.IntN(4) > 0 {
			tweaks = append(tweaks, calicotest.Annotation(calico.AnnotationClusterID, fmt.Sprintf("244.0.0.%d", 1+r.IntN(3))))
		}
	}
	return calicotest.Node(t, nodeName(number), tweaks...)
}

package topology

import (
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// own returns a node with an AS number of its own.
func own(t *testing.T, name, address string, asn uint32) calico.Object {
	t.Helper()
	return at(t, name, address, calicotest.ASNumber(asn))
}

// TestRoutesWithoutLinksThatAreNotKnown counts the pairs of nodes without a route if what is not known gives nodes a common
// link, and if not.
func TestRoutesWithoutLinksThatAreNotKnown(t *testing.T) {
	const same = -1 // The sessions are the same.
	old, newer := calicotest.ClusterInformation(t, "v3.32.1"), calicotest.ClusterInformation(t, "v3.33.0")
	hosts := []calico.Object{own(t, "a", "10.0.0.1/32", 65001), own(t, "b", "10.0.0.2/32", 65001), own(t, "c", "10.0.0.3/32", 65002)}
	subnet := []calico.Object{own(t, "a", "10.0.0.1/24", 65001), own(t, "b", "10.0.0.2/24", 65001), own(t, "c", "10.0.0.3/24", 65002)}
	racks := []calico.Object{own(t, "a", "10.0.1.1/24", 65001), own(t, "b", "10.0.1.2/24", 65001), own(t, "c", "10.0.2.3/24", 65002)}
	with := func(list []calico.Object, more ...calico.Object) []calico.Object { return append(more, list...) }
	tests := map[string]struct {
		objects       []calico.Object
		known, shown  int
		isolatedShown int
	}{
		"/32 up to v3.32":                             {objects: with(hosts, old), shown: 2, isolatedShown: 1},
		"/32 since v3.33":                             {objects: with(hosts, newer), shown: same},
		"/32 in an unknown version":                   {objects: hosts, shown: 2, isolatedShown: 1},
		"/24 up to v3.32":                             {objects: with(subnet, old), shown: same},
		"/24 in an unknown version":                   {objects: subnet, shown: same},
		"several /24 up to v3.32":                     {objects: with(racks, old), known: 2, shown: same},
		"several /24 since v3.33":                     {objects: with(racks, newer), shown: same},
		"several /24 in an unknown version":           {objects: racks, shown: 2, isolatedShown: 1},
		"no mask on one node":                         {objects: []calico.Object{old, subnet[0], subnet[1], own(t, "c", "10.0.0.3", 65002)}, shown: 2, isolatedShown: 1},
		"no mask beside a node that passes routes on": {objects: []calico.Object{old, own(t, "a", "10.0.0.1", 65001), subnet[1], subnet[2]}, shown: 0},
		"no mask outside the other's network":         {objects: []calico.Object{old, subnet[0], own(t, "c", "10.0.9.3", 65002)}, known: 1, shown: same},
		"one AS number":                               {objects: []calico.Object{old, at(t, "a", "10.0.0.1"), at(t, "b", "10.0.0.2")}, shown: same},
		"no mesh": {objects: with(hosts, old, noMesh(t), calicotest.Object(t, "BGPPeer", "all", map[string]any{"nodeSelector": "all()", "peerSelector": "all()"})),
			shown: same},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			routes := compute(t, state.New(tc.objects...), nil).Summary().Routes.IPv4
			if got := routes.WithTransit.WithoutRoute.Pairs; got != tc.known {
				t.Errorf("with links: got %d pairs without a route, want %d", got, tc.known)
			}
			pairs, isolated := same, 0
			if r := routes.WithoutLinks; r != nil {
				pairs, isolated = r.WithTransit.WithoutRoute.Pairs, r.WithTransit.Isolated.Nodes
			}
			if pairs != tc.shown || isolated != tc.isolatedShown {
				t.Errorf("without links: got %d pairs without a route and %d isolated nodes, want %d and %d", pairs, isolated, tc.shown, tc.isolatedShown)
			}
		})
	}
}

// TestGainWithoutLinksThatAreNotKnown verifies what the sets of these readings gain if only one of two states has them.
func TestGainWithoutLinksThatAreNotKnown(t *testing.T) {
	version := calicotest.ClusterInformation(t, "v3.32.1")
	before := compute(t, state.New(version, own(t, "a", "10.0.0.1/32", 65001), own(t, "b", "10.0.0.2/32", 65001)), nil)
	after := compute(t, state.New(version, own(t, "a", "10.0.0.1/32", 65001), own(t, "b", "10.0.0.2/32", 65002)), before)
	set := after.Summary().Routes.IPv4.WithoutLinks.WithTransit.Isolated.Members
	for name, tc := range map[string]struct {
		now, before *Topology
		want        int
	}{"one AS number to two": {after, before, 2}, "two to one": {before, after, 0}} {
		t.Run(name, func(t *testing.T) {
			if got, err := tc.now.Gained(tc.before, set); err != nil || got.Members != tc.want {
				t.Errorf("got %d members, %v, want %d", got.Members, err, tc.want)
			}
		})
	}
	if got, err := after.Members(set); err != nil || len(got) != 2 {
		t.Errorf("got the members %v, %v, want a and b", got, err)
	}
}

// TestRoutesWithoutLinksAreReused verifies that a change which decides no session keeps the readings, also by pointer.
func TestRoutesWithoutLinksAreReused(t *testing.T) {
	objects := []calico.Object{calicotest.ClusterInformation(t, "v3.32.1"), own(t, "a", "10.0.0.1/32", 65001), own(t, "b", "10.0.0.2/32", 65002)}
	s := state.New(objects...)
	before := compute(t, s, nil)
	pool := calicotest.Object(t, "IPPool", "pods", map[string]any{"cidr": "10.244.0.0/16", "disableBGPExport": true})
	after := compute(t, s.Apply(state.Change{After: pool}), before)
	a, b := before.Summary().Routes.IPv4.WithoutLinks, after.Summary().Routes.IPv4.WithoutLinks
	if a == nil || b == nil || b.WithTransit.WithoutRoute.Pairs != 1 {
		t.Fatalf("got %v, then %v", a, b)
	}
	label := at(t, "a", "10.0.0.1/32", calicotest.ASNumber(65001), calicotest.Label("rack", "r"))
	again := compute(t, s.Apply(state.Change{Before: objects[1], After: label}), before)
	if again.Summary().Routes != before.Summary().Routes {
		t.Error("a label that nothing reads makes new routes")
	}
}

//go:build system

package bird

import (
	"flag"
	"slices"
	"testing"
	"time"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/plan"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology"
	"github.com/bgpguard/bgpguard/pkg/topology/topologytest"
)

// migrationNodes is the size of the cluster of TestMigration. Each node runs one BIRD.
var migrationNodes = flag.Int("migration.nodes", 30, "nodes of the cluster that TestMigration moves to route reflectors, 5 to 40")

// TestMigration moves a full mesh to route reflectors, with the changes of the design and in their order, and samples the
// routes of every BIRD meanwhile. No change interrupts more nodes, or for longer, than the plan says. It does not run
// beside other tests, whose BIRDs would delay the samples.
func TestMigration(t *testing.T) {
	began := time.Now()
	var objects []calico.Object
	for _, o := range nodes(1, *migrationNodes) {
		objects = append(objects, calicotest.Object(t, o.kind, o.name, o.spec, o.tweaks...))
	}
	now := state.New(objects...)
	before := topologytest.Compute(t, now, nil)
	design, err := plan.Design(plan.RouteReflectors, now, before, plan.DesignOptions{})
	if err != nil || len(design.Changes) != 5 {
		t.Fatalf("got %d changes, %v, want a BGPPeer, 3 route reflectors and the mesh", len(design.Changes), err)
	}
	members, want := predicted(t, now, before)
	c := start(t, members, Options{Recovery: true})
	if err := c.Await(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	t.Logf("%8v  %d nodes in a full mesh: %d sessions", time.Since(began).Round(time.Second), *migrationNodes, before.Summary().Sessions.IPv4.Total)
	for _, change := range design.Changes {
		now = now.Apply(change)
		after := topologytest.Compute(t, now, before)
		says := after.Impact(before).Interruption
		was := members
		if members, want = predicted(t, now, after); slices.EqualFunc(was, members, func(a, b Node) bool { return configOf(t, &a) == configOf(t, &b) }) {
			t.Logf("%8v  %v: changes no configuration; the plan says %d nodes", time.Since(began).Round(time.Second), change.ID(), says.Nodes)
			if says.Nodes != 0 || says.AtWorst != 0 {
				t.Errorf("%s: the plan says that %d nodes are interrupted, and no configuration changes", change.ID(), says.Nodes)
			}
			before = after
			continue
		}
		watch := c.Watch(t.Context())
		err := c.Reconfigure(t.Context(), members)
		if err == nil {
			err = c.Await(t.Context(), want)
		}
		saw, watchErr := watch.Stop()
		if err != nil || watchErr != nil {
			t.Fatalf("%s: %v, %v", change.ID(), err, watchErr)
		}
		silent := 0 // nodes that lost more routes than those to the interrupted nodes
		for _, routes := range saw.Missing {
			if len(routes) > says.Nodes {
				silent++
			}
		}
		t.Logf("%8v  %v: %d nodes without routes, %.1f s at most; the plan says %d nodes for %d to %d s; %d samples, %v apart at most",
			time.Since(began).Round(time.Second), change.ID(), silent, saw.Longest().Seconds(), says.Nodes, says.Seconds, says.AtWorst, saw.Samples, saw.Slowest.Round(time.Millisecond))
		// How long it takes until sessions come back depends on when both ends try again, and on the machine.
		if saw.Longest() > 0 && says.AtWorst == 0 {
			t.Errorf("%s: a route was missing for %v, and the plan says that none is", change.ID(), saw.Longest())
		}
		if silent > says.Nodes {
			t.Errorf("%s: %d nodes lost their routes, and the plan says %d", change.ID(), silent, says.Nodes)
		}
		before = after
	}
	if s := before.Summary(); s.Mesh.Enabled || s.Reflectors.IPv4.Peered != 3 {
		t.Errorf("got %+v, want 3 route reflectors and no mesh", s.Reflectors)
	}
}

// predicted returns the nodes of a state and what their BIRDs will have.
func predicted(t *testing.T, s *state.Snapshot, of *topology.Topology) ([]Node, map[Speaker]View) {
	t.Helper()
	members := Nodes(s, of)
	want, err := Predict(t.Context(), s, of, members)
	if err != nil {
		t.Fatal(err)
	}
	return members, want
}

// configOf returns the IPv4 configuration of a node.
func configOf(t *testing.T, n *Node) string {
	t.Helper()
	config, err := n.Config(calico.IPv4)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

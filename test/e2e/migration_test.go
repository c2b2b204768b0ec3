//go:build system

package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/bgpguard/bgpguard/pkg/calico"
	live "github.com/bgpguard/bgpguard/pkg/cluster"
	"github.com/bgpguard/bgpguard/pkg/plan"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology"
	"github.com/bgpguard/bgpguard/test/env"
)

// TestMigration moves meshes to route reflectors with kubectl, by the changes that the design has for the live cluster.
// The webhook allows each of them, and denies those that come too early.
func TestMigration(t *testing.T) {
	for _, one := range []struct {
		nodes, changes, sessions int // over both families
		recommended              plan.Goal
	}{
		{100, 5, 2 * (3*97 + 3), plan.MeshTimers},
		{800, 5, 2 * (3*797 + 3), plan.RouteReflectors},
		{5000, 12, 2 * (2*4994 + 15), plan.RouteReflectors}, // per zone, with two route reflectors in each
	} {
		t.Run(fmt.Sprintf("%d nodes", one.nodes), func(t *testing.T) {
			began := time.Now()
			c := startMesh(t, one.nodes)
			created := time.Since(began)
			began = time.Now()
			s, before := c.read(t)
			comparison, err := plan.Compare(t.Context(), s, before, plan.DesignOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if got := comparison.Recommendation; got.Goal != one.recommended || comparison.Nodes != one.nodes {
				t.Errorf("got %d nodes and %+v, want %s", comparison.Nodes, got, one.recommended)
			}
			design, err := plan.Design(plan.RouteReflectors, s, before, plan.DesignOptions{})
			if err != nil || len(design.Changes) != one.changes {
				t.Fatalf("got %d changes, %v, want %d: %+v", len(design.Changes), err, one.changes, design.Prerequisites)
			}
			planned := time.Since(began)
			began = time.Now()
			c.tooEarly(t, design)
			for _, change := range design.Changes {
				input, args := kubectlOf(t, change)
				result, err := c.Admin.RunWithInput(t.Context(), input, args...)
				if err != nil {
					t.Fatal(err)
				}
				if err := result.Err(); err != nil {
					t.Fatalf("%s must be allowed: %v", change.ID(), err)
				}
			}
			t.Logf("%d nodes: created in %v, read and planned in %v, %d changes made in %v",
				one.nodes, created.Round(time.Millisecond), planned.Round(time.Millisecond), one.changes, time.Since(began).Round(time.Millisecond))
			_, after := c.read(t)
			got := after.Summary()
			if n := got.Sessions.IPv4.Total + got.Sessions.IPv6.Total; n != one.sessions || got.Mesh.Enabled {
				t.Errorf("got %d sessions, mesh %v, want %d without a mesh", n, got.Mesh.Enabled, one.sessions)
			}
			for _, f := range calico.Families {
				if r := got.Routes.In(f).WithoutTransit; r.Nodes != one.nodes || r.Isolated.Nodes != 0 || r.WithoutRoute.Pairs != 0 || len(r.SinglePoints) != 0 {
					t.Errorf("%s: got %+v, want routes between all nodes and no single point of failure", f, r)
				}
			}
		})
	}
}

// startMesh starts a control plane with a mesh, and then bgpguard, so that no policy denies the mesh.
func startMesh(t *testing.T, nodes int) *cluster {
	t.Helper()
	c := &cluster{Environment: env.StartForTest(t, env.Options{Groups: []env.Group{env.GroupV3}}), group: env.GroupV3}
	if err := c.CreateNodes(t.Context(), env.Nodes(nodes)); err != nil {
		t.Fatal(err)
	}
	c.allowed(t, c.object("IPPool", "pods", "cidr: 10.244.0.0/16, ipipMode: CrossSubnet")+"---\n"+
		c.object("BGPConfiguration", "default", "nodeToNodeMeshEnabled: true, nodeMeshMaxRestartTime: 120s"), "apply -f -")
	if err := c.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	var err error
	if c.webhook, err = c.StartWebhook(t.Context(), env.WebhookOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.webhook.Stop(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// read reads the state of the cluster and computes its topology.
func (c *cluster) read(t *testing.T) (*state.Snapshot, *topology.Topology) {
	t.Helper()
	reading, err := live.Read(t.Context(), c.Config, live.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	computed, err := topology.Compute(t.Context(), reading.State, nil)
	if err != nil {
		t.Fatal(err)
	}
	return reading.State, computed
}

// tooEarly makes the last change, and a route reflector, before the BGPPeers.
func (c *cluster) tooEarly(t *testing.T, design *plan.Target) {
	t.Helper()
	for _, change := range design.Changes {
		var policy string
		switch after := change.After.(type) {
		case *calico.BGPConfiguration:
			policy = "route-reflectors-required"
		case *calico.Node:
			if after.Name != design.Reflectors[0] {
				continue
			}
			policy = "reachability-preserved"
		default:
			continue
		}
		input, args := kubectlOf(t, change)
		result, err := c.Admin.RunWithInput(t.Context(), input, args...)
		if err != nil {
			t.Fatal(err)
		}
		if result.ExitCode != 1 || !strings.Contains(result.Stderr, "["+policy+"] ") {
			t.Errorf("%s too early: exit code %d, %s, want a denial by %s", change.ID(), result.ExitCode, result.Stderr, policy)
		}
	}
}

// kubectlOf returns the arguments of kubectl that make a change: a patch of what differs, or a create.
func kubectlOf(t *testing.T, change state.Change) (input string, args []string) {
	t.Helper()
	after := calico.Manifest(change.After)
	if change.Before == nil {
		return encode(t, after), []string{"create", "-f", "-"}
	}
	before, patch := calico.Manifest(change.Before), map[string]any{}
	if change.ID().Kind == calico.KindNode {
		was, is := before["metadata"].(map[string]any), after["metadata"].(map[string]any)
		patch["metadata"] = map[string]any{"labels": difference(was["labels"], is["labels"]), "annotations": difference(was["annotations"], is["annotations"])}
	} else {
		patch["spec"] = difference(before["spec"], after["spec"])
	}
	return "", []string{"patch", string(change.ID().Kind), change.ID().Name, "--type", "merge", "--patch", encode(t, patch)}
}

// difference is the JSON merge patch from one object without inner objects to another.
func difference(before, after any) map[string]any {
	was, _ := before.(map[string]any)
	is, _ := after.(map[string]any)
	out := maps.Clone(is)
	for key, value := range was {
		switch now, ok := is[key]; {
		case !ok:
			out[key] = nil
		case now == value:
			delete(out, key)
		}
	}
	return out
}

func encode(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

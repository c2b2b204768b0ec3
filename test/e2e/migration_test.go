//go:build system

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bgpguard/bgpguard/pkg/calico"
	live "github.com/bgpguard/bgpguard/pkg/cluster"
	"github.com/bgpguard/bgpguard/pkg/plan"
	"github.com/bgpguard/bgpguard/pkg/topology"
	"github.com/bgpguard/bgpguard/test/env"
)

// TestMigration moves meshes to route reflectors with the commands that "bgpguard plan" writes for the live cluster. The
// webhook allows each of them, and denies those that come too early.
func TestMigration(t *testing.T) {
	t.Parallel()
	for _, one := range []struct {
		nodes, sessions int // sessions over both families
		recommendation  string
	}{
		{100, 2 * (3*97 + 3), "keep the full mesh: 100 nodes, at or below the limit of 100"},
		{800, 2 * (3*797 + 3), "move to route reflectors: the mesh has 800 nodes, above the limit of 100"},
		// Each zone has two route reflectors of its own.
		{5000, 2 * (2*4994 + 15), "move to route reflectors: the mesh has 5,000 nodes, above the limit of 100"},
	} {
		t.Run(fmt.Sprintf("%d nodes", one.nodes), func(t *testing.T) {
			began := time.Now()
			var times []string
			lap := func(what string) {
				times = append(times, fmt.Sprintf("%s in %.1f s", what, time.Since(began).Seconds()))
				began = time.Now()
			}
			c := startMesh(t, one.nodes)
			lap("created")
			if got := c.bgpguard(t); !strings.Contains(got, "Recommendation: "+one.recommendation+"\n") {
				t.Errorf("got\n%s\nwant %q", got, one.recommendation)
			}
			lap("compared")
			dir := filepath.Join(t.TempDir(), "plan")
			c.bgpguard(t, "--to", "route-reflectors", "-o", dir)
			lap("planned")
			c.follow(t, dir)
			lap("followed")
			t.Logf("%d nodes: %s", one.nodes, strings.Join(times, ", "))
			c.verify(t, one.nodes, one.sessions)
		})
	}
}

// startMesh starts a control plane with a mesh, and then bgpguard, so that no policy denies the mesh.
func startMesh(t *testing.T, nodes int) *cluster {
	t.Helper()
	c := &cluster{Environment: startEnvironment(t, env.Options{Groups: []env.Group{env.GroupV3}}), group: env.GroupV3}
	if err := c.CreateNodes(t.Context(), env.Nodes(nodes)); err != nil {
		t.Fatal(err)
	}
	c.allowed(t, c.object("IPPool", "pods", "cidr: 10.244.0.0/16, ipipMode: CrossSubnet")+"---\n"+
		c.object("BGPConfiguration", "default", "nodeToNodeMeshEnabled: true, nodeMeshMaxRestartTime: 120s"), "apply -f -")
	c.deploy(t)
	return c
}

// bgpguard runs "bgpguard plan" on the cluster and returns its output.
func (c *cluster) bgpguard(t *testing.T, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), "../../bin/bgpguard", append([]string{"plan", "--kubeconfig", c.Admin.Kubeconfig}, args...)...)
	var stderr strings.Builder
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", command.Args, err, stderr.String())
	}
	return string(out)
}

// follow makes the steps of a plan. Before, it makes each step too early that policies then deny.
func (c *cluster) follow(t *testing.T, dir string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, plan.File))
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Read(text)
	if err != nil || len(p.Steps) < 5 {
		t.Fatalf("got %+v, %v, want BGPPeers, route reflectors and the mesh", p, err)
	}
	first := func(kind calico.Kind) *plan.Step {
		for i := range p.Steps {
			if p.Steps[i].Edits[0].Kind == string(kind) {
				return &p.Steps[i]
			}
		}
		t.Fatalf("no step changes a %s", kind)
		return nil
	}
	for kind, policy := range map[calico.Kind]string{calico.KindNode: "reachability-preserved", calico.KindBGPConfiguration: "route-reflectors-required"} {
		if out, err := c.shell(t, dir, first(kind).Commands); err == nil || !strings.Contains(out, "["+policy+"] ") {
			t.Errorf("a %s too early: got %v, %s, want a denial by %s", kind, err, out, policy)
		}
	}
	for i := range p.Steps {
		if out, err := c.shell(t, dir, p.Steps[i].Commands); err != nil {
			t.Fatalf("step %d, %s, must be allowed: %v: %s", p.Steps[i].Number, p.Steps[i].Title, err, out)
		}
	}
}

// shell runs the commands of a plan in its directory, with the kubectl of the cluster.
func (c *cluster) shell(t *testing.T, dir string, commands []string) (string, error) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "sh", "-e", "-c", strings.Join(commands, "\n"))
	command.Dir = dir
	command.Env = append(os.Environ(), "PATH="+filepath.Dir(c.Admin.Path)+":"+os.Getenv("PATH"), "KUBECONFIG="+c.Admin.Kubeconfig,
		"KUBECACHEDIR="+filepath.Join(c.Dir, "kubectl-cache"), "KUBERC=off")
	out, err := command.CombinedOutput()
	return string(out), err
}

// verify checks the sessions and routes of the cluster after the plan.
func (c *cluster) verify(t *testing.T, nodes, sessions int) {
	t.Helper()
	reading, err := live.Read(t.Context(), c.Config, live.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	computed, err := topology.Compute(t.Context(), reading.State, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := computed.Summary()
	if n := got.Sessions.IPv4.Total + got.Sessions.IPv6.Total; n != sessions || got.Mesh.Enabled {
		t.Errorf("got %d sessions, mesh %v, want %d without a mesh", n, got.Mesh.Enabled, sessions)
	}
	for _, f := range calico.Families {
		if r := got.Routes.In(f).WithoutTransit; r.Nodes != nodes || r.Isolated.Nodes != 0 || r.WithoutRoute.Pairs != 0 || len(r.SinglePoints) != 0 {
			t.Errorf("%s: got %+v, want routes between all nodes and no single point of failure", f, r)
		}
	}
}

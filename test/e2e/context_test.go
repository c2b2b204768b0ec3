//go:build system

package e2e

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/plan"
	"github.com/bgpguard/bgpguard/test/env"
)

// TestContexts plans for the cluster of a context, follows the plan, and compares clusters.
func TestContexts(t *testing.T) {
	t.Parallel()
	c := start(t, env.GroupV3)
	config := c.contexts(t)
	run := func(code int, args ...string) string {
		t.Helper()
		command := exec.CommandContext(t.Context(), "../../bin/bgpguard", append(args, "--kubeconfig", config)...)
		var out, errs bytes.Buffer
		command.Stdout, command.Stderr = &out, &errs
		err := command.Run()
		got := 0
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			got, err = exit.ExitCode(), nil
		}
		if err != nil || got != code {
			t.Fatalf("%q: error %v, exit code %d, want %d\n%s%s", args, err, got, code, out.String(), errs.String())
		}
		return out.String()
	}
	contains := func(got, want string) {
		t.Helper()
		if !strings.Contains(got, want) {
			t.Errorf("got\n%s\nwant %q", got, want)
		}
	}
	contains(run(0, "plan", "--context", "us"), "Recommendation: move to route reflectors")
	dir, before := filepath.Join(t.TempDir(), "plan"), filepath.Join(t.TempDir(), "before.yaml")
	run(0, "snapshot", "--context", "us", "-o", before)
	run(0, "plan", "--context", "us", "--to", "route-reflectors", "-o", dir)
	contains(run(0, "plan", "verify", dir, "--context", "us"), "cluster us, 0 of ")

	text, err := os.ReadFile(filepath.Join(dir, plan.File))
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Read(text)
	if err != nil || len(p.Steps) < 5 || p.Cluster != "us" {
		t.Fatalf("got %+v, %v", p, err)
	}
	for _, step := range p.Steps[:3] { // The last of them makes a node a route reflector.
		if out, err := c.shell(t, dir, step.Commands); err != nil {
			t.Fatalf("step %s: %v: %s", step.Title, err, out)
		}
	}
	// Nothing runs calico-node here, so no report says that the sessions are established.
	contains(run(1, "plan", "verify", dir, "--context", "us"), "cluster us, 3 of ")

	contains(run(0, "diff", "--context", "eu", "--context", "us"), "eu and us: same sessions, routes and violations")
	contains(run(1, "diff", before, "--context", "us"), "create BGPPeer route-reflectors")
	contains(run(1, "diff", before, "--context", "us", "-o", "json"), `"differs": true`)
	run(2, "diff", before, "--context", "lab")
}

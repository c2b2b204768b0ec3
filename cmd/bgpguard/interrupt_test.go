package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/report"
)

// TestAnInterruptEndsEveryLongCommand sends SIGINT to each command that reads a state, while it
// reads: from a pipe that never ends, and from an API server that never answers. The command
// must end with 130, and write neither a verdict nor half of a report.
func TestAnInterruptEndsEveryLongCommand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"change.yaml": "{apiVersion: projectcalico.org/v3, kind: BGPConfiguration, metadata: {name: default}, spec: {nodeToNodeMeshEnabled: false}}\n",
		"state.yaml":  clusterOf3,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range []string{
		"audit -f -", "check -f change.yaml --state -", "check -f change.yaml --state - --as-set", "check -f change.yaml --state - -o json", "diff state.yaml -",
		"input --state -", "plan -f -", "plan -f - --to route-reflectors", "policy explain --policy mesh-node-limit -f change.yaml --state -", "topology -f -",
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			c := command(t, dir, args)
			stdin, err := c.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			c.interrupted(t, func() error {
				// A pipe holds at most 64 KiB, so the command reads when all of it is written.
				_, err := io.WriteString(stdin, strings.Repeat("# a line of a long file\n", 50_000))
				return err
			})
		})
	}
	for _, args := range []string{
		"audit", "check -f change.yaml --context c", "diff state.yaml --context c", "plan", "snapshot -o -", "topology --context c",
	} {
		t.Run("from a cluster: "+args, func(t *testing.T) {
			t.Parallel()
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = listener.Close() })
			kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
			if err := os.WriteFile(kubeconfig, fmt.Appendf(nil, `apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "http://%s"}}]
users: [{name: u, user: {}}]
`, listener.Addr()), 0o600); err != nil {
				t.Fatal(err)
			}
			command(t, dir, args+" --kubeconfig "+kubeconfig).interrupted(t, func() error {
				connection, err := listener.Accept()
				if err == nil {
					t.Cleanup(func() { _ = connection.Close() })
				}
				return err
			})
		})
	}
}

// longCommand is a run of this program.
type longCommand struct {
	*exec.Cmd

	stdout, stderr bytes.Buffer
}

func command(t *testing.T, dir, args string) *longCommand {
	t.Helper()
	c := &longCommand{Cmd: exec.CommandContext(t.Context(), programName, strings.Fields(args)...)}
	c.Dir, c.Stdout, c.Stderr = dir, &c.stdout, &c.stderr
	return c
}

// interrupted starts the command, waits until it reads, and interrupts it.
func (c *longCommand) interrupted(t *testing.T, reads func() error) {
	t.Helper()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if err := reads(); err != nil {
		t.Fatal(err)
	}
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	err := c.Wait()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.ExitCode() != exitSignal+2 {
		t.Errorf("error %v, want exit code 130", err)
	}
	if c.stdout.Len() > 0 || !strings.Contains(c.stderr.String(), "error: ") {
		t.Errorf("stdout %q, stderr %q", c.stdout.String(), c.stderr.String())
	}
}

// TestAnInterruptEndsServe interrupts a command that ends by itself.
func TestAnInterruptEndsServe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "state.yaml"), []byte(clusterOf3), 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), programName, "serve", "-f", "state.yaml", "--bind-address", "127.0.0.1:0")
	c.Dir = dir
	stderr, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(stderr); lines.Scan() && !strings.Contains(lines.Text(), "Serving"); {
	}
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait() // The exit code says it.
	if code := c.ProcessState.ExitCode(); code != exitSignal+2 {
		t.Errorf("exit code %d, want 130", code)
	}
}

// TestInterruptedTestsHaveNoVerdict runs a scenario that was interrupted.
func TestInterruptedTestsHaveNoVerdict(t *testing.T) {
	t.Chdir(t.TempDir())
	scenario := "apiVersion: policy.bgpguard.io/v1alpha1\nkind: Scenario\nmetadata: {name: s}\nsteps:\n" +
		"- apply: {apiVersion: v1, kind: Node, metadata: {name: a}}\n"
	if err := os.WriteFile("scenario.yaml", []byte(scenario), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var o policyTestOptions
	if err := o.connect(); err != nil {
		t.Fatal(err)
	}
	o.output = report.PolicyTestFormats.Default()
	var out bytes.Buffer
	if err := o.run(ctx, &out, []string{"scenario.yaml"}); err == nil || errors.Is(err, errDenied) || out.Len() > 0 {
		t.Errorf("error %v, output %q", err, &out)
	}
}

//go:build system

package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// KEEP=1 prints commands to try: each does what is printed beside it.
func TestTheCommandsToTry(t *testing.T) {
	t.Chdir("../..")
	g, err := guard(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(g.webhook.Log())
		}
		if err := g.stop(); err != nil {
			t.Error(err)
		}
	})
	variables, err := g.environment()
	if err != nil {
		t.Fatal(err)
	}
	if len(tries) != 5 {
		t.Errorf("%d commands", len(tries))
	}
	for _, try := range tries {
		t.Run(try.command, func(t *testing.T) {
			command := exec.CommandContext(t.Context(), "sh", "-c", "export "+strings.Join(variables, " ")+"\n"+try.command)
			command.Env = append(os.Environ(), "KUBECACHEDIR="+filepath.Join(g.Dir, "cache"), "KUBERC=off")
			out, err := command.CombinedOutput()
			code := 0
			if exit, ended := errors.AsType[*exec.ExitError](err); ended {
				code, err = exit.ExitCode(), nil
			}
			if err != nil || code != try.exit || !strings.Contains(string(out), try.prints) {
				t.Errorf("exit code %d, %v, want %d and %q:\n%s", code, err, try.exit, try.prints, out)
			}
		})
	}
	// All of them leave the cluster healthy.
	audit := g.Admin
	audit.Path = "bin/bgpguard"
	result, err := audit.Run(t.Context(), "audit", "--fail-on", "low")
	if err != nil {
		t.Fatal(err)
	}
	if result.ExitCode != 0 {
		t.Errorf("the cluster is not healthy:\n%s%s", result.Stdout, result.Stderr)
	}
}

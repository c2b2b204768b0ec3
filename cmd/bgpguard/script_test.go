package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"sigs.k8s.io/yaml"

	"github.com/bgpguard/bgpguard/test/golden"
	"github.com/bgpguard/bgpguard/test/tool"
)

// TestMain makes bgpguard a command of the scripts: this very program.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"bgpguard": func() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
	})
}

// TestScripts runs the command as a user does. "exits CODE COMMAND..." is exec with
// the exit code that is wanted.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       golden.Update(),
		Setup:               withTools,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": func(ts *testscript.TestScript, _ bool, args []string) {
				if len(args) < 2 {
					ts.Fatalf("usage: exits code command [argument...]")
				}
				code := 0
				if err := ts.Exec(args[1], args[2:]...); err != nil {
					exit, ok := errors.AsType[*exec.ExitError](err)
					if !ok {
						ts.Check(err)
					}
					code = exit.ExitCode()
				}
				if strconv.Itoa(code) != args[0] {
					ts.Fatalf("exit code %d, want %s", code, args[0])
				}
			},
		},
	})
}

// withTools lets scripts run opa and regal, and read the samples.
func withTools(e *testscript.Env) error {
	root, err := filepath.Abs("../..")
	if err != nil {
		return err
	}
	path := e.Getenv("PATH")
	for _, name := range []string{"opa", "regal"} {
		program, err := tool.Path(name)
		if err != nil {
			return err
		}
		path += string(os.PathListSeparator) + filepath.Dir(program)
	}
	e.Setenv("PATH", path)
	e.Setenv("SAMPLES", filepath.Join(root, "config", "samples"))
	e.Setenv("POLICIES", filepath.Join(root, "policies"))
	e.Setenv("REGAL_DISABLE_VERSION_CHECK", "1")
	return nil
}

// TestPreCommitHooksRun gives the command of each hook arguments as a user does.
func TestPreCommitHooksRun(t *testing.T) {
	t.Chdir("../..")
	text, err := os.ReadFile(".pre-commit-hooks.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var hooks []struct{ ID, Name, Entry, Language string }
	if err := yaml.Unmarshal(text, &hooks); err != nil {
		t.Fatal(err)
	}
	if len(hooks) == 0 {
		t.Fatal("no hook")
	}
	for _, h := range hooks {
		entry := strings.Fields(h.Entry)
		if h.ID == "" || h.Name == "" || h.Language != "golang" || len(entry) == 0 || entry[0] != "bgpguard" {
			t.Fatalf("hook %+v", h)
		}
		var stdout, stderr bytes.Buffer
		args := slices.Concat(entry[1:], []string{"-f", "config/samples/cluster.yaml", "--state", "config/samples/cluster.yaml"})
		if code := run(args, strings.NewReader(""), &stdout, &stderr); code != exitOK {
			t.Errorf("%s: exit code %d\n%s%s", h.ID, code, stdout.String(), stderr.String())
		}
	}
}

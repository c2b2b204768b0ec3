package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"sigs.k8s.io/yaml"

	"github.com/bgpguard/bgpguard/test/golden"
	"github.com/bgpguard/bgpguard/test/tool"
)

// TestMain makes this test program the command bgpguard of the scripts, under each of its names.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		programName:  main,
		pluginName:   main,
		completeName: main,
	})
}

// TestScripts runs the command as a user does. "exits CODE COMMAND..." is "exec" with the
// expected exit code.
//
// The scripts start the command about 300 times, and the race detector makes each start five
// times as long. The race detector therefore runs in the other tests only: with -race, the
// scripts run a program that is built without it.
func TestScripts(t *testing.T) {
	var program string
	if raceEnabled() {
		program = filepath.Join(t.TempDir(), "bgpguard")
		if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
			t.Fatalf("building bgpguard: %v\n%s", err, out)
		}
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       golden.Update(),
		Setup: func(e *testscript.Env) error {
			if program != "" {
				e.Setenv("PATH", filepath.Dir(program)+string(os.PathListSeparator)+e.Getenv("PATH"))
			}
			return addTools(e)
		},
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

// raceEnabled reports whether this program was built with -race.
func raceEnabled() bool {
	info, _ := debug.ReadBuildInfo()
	return slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// addTools lets scripts run opa and regal, and read the samples and the policies.
func addTools(e *testscript.Env) error {
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

// TestPreCommitHooksRun runs the command of each hook with arguments of a user.
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

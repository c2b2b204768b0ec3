package tool

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// module makes a module with a Makefile whose only tool is "fine".
func module(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	makefile := "bin/tools/fine:\n\t@echo program > $@\n\t@echo built >> log\n"
	for name, text := range map[string]string{"go.mod": "module example.com/m\n", "Makefile": makefile} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	sub := filepath.Join(dir, "a", "b")
	if err := os.MkdirAll(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir(sub)
}

func TestPathBuildsAMissingProgramOnce(t *testing.T) {
	module(t)
	for range 2 {
		path, err := Path("fine")
		if err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(path); err != nil || string(text) != "program\n" || !filepath.IsAbs(path) {
			t.Fatalf("%s holds %q (%v)", path, text, err)
		}
	}
	if log, err := os.ReadFile(filepath.Join("..", "..", "log")); err != nil || string(log) != "built\n" {
		t.Errorf("log %q (%v), want one build", log, err)
	}
}

func TestPathSaysWhatMakeSaid(t *testing.T) {
	module(t)
	_, err := Path("unknown")
	if err == nil || !strings.Contains(err.Error(), "make bin/tools/unknown: ") || !strings.Contains(err.Error(), "No rule to make target") {
		t.Errorf("error %v", err)
	}
}

package policies

import (
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
)

// A policy that somebody adds must not be forgotten in the list of FS.
func TestFSHoldsEveryModuleButTheTests(t *testing.T) {
	want := modules(t, os.DirFS("."))
	want = slices.DeleteFunc(want, func(name string) bool {
		return strings.HasSuffix(name, "_test.rego") && !strings.HasPrefix(name, "testing/")
	})
	if got := modules(t, FS); !slices.Equal(got, want) {
		t.Errorf("FS holds %q, want %q", got, want)
	}
}

func modules(t *testing.T, in fs.FS) []string {
	t.Helper()
	var out []string
	err := fs.WalkDir(in, ".", func(name string, _ fs.DirEntry, err error) error {
		if path.Ext(name) == ".rego" {
			out = append(out, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

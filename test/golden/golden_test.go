package golden

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestUpdateWritesWhatCheckThenAccepts(t *testing.T) {
	dir := t.TempDir()
	stale := filepath.Join(dir, "stale.yaml")
	other := filepath.Join(dir, "README.md")
	for _, file := range []string{stale, other} {
		if err := os.WriteFile(file, []byte("old\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]string{"a.yaml": "a: 1\n", "b.yaml": "b: 2\n"}

	*update = true
	CheckDir(t, dir, "*.yaml", want)
	*update = false
	CheckDir(t, dir, "*.yaml", want)

	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, entry := range entries {
		got = append(got, entry.Name())
	}
	if want := []string{"README.md", "a.yaml", "b.yaml"}; !slices.Equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
}

func TestCheckFailsOnADifference(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a.yaml")
	if err := os.WriteFile(file, []byte("a: 1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, check := range map[string]func(*testing.T){
		"other content": func(t *testing.T) { t.Helper(); Check(t, file, []byte("a: 2\n")) },
		"no file":       func(t *testing.T) { t.Helper(); Check(t, filepath.Join(dir, "b.yaml"), nil) },
		"a file that is not generated": func(t *testing.T) {
			t.Helper()
			CheckDir(t, dir, "*.yaml", map[string]string{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			var inner testing.T
			check(&inner)
			if !inner.Failed() {
				t.Error("the check passed")
			}
		})
	}
}

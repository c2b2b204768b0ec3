// Package golden compares what a test produced with a file that is kept in the repository. `make golden` writes all
// of these files; read the difference before you commit it.
package golden

import (
	"bytes"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// Update reports whether the test writes its golden files instead of comparing with them (go test -update). It is
// valid once the test binary has parsed its flags.
func Update() bool { return *update }

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

// Check fails the test if file does not hold exactly got. With -update it writes got to file, and the folders above
// it, instead.
func Check(t *testing.T, file string, got []byte) {
	t.Helper()
	if Update() {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		t.Errorf("%s does not exist; `make golden` writes it\ngot\n%s", file, got)
	case err != nil:
		t.Error(err)
	case !bytes.Equal(got, want):
		t.Errorf("%s differs; if the change is intended, run `make golden`\ngot\n%s\nwant\n%s", file, got, want)
	}
}

// CheckDir fails the test if the files in dir that match pattern (as in filepath.Match) are not exactly those of
// want, which holds their contents by name. With -update it writes want, and removes the others, instead.
func CheckDir(t *testing.T, dir, pattern string, want map[string]string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if _, ok := want[filepath.Base(file)]; ok {
			continue
		}
		if !Update() {
			t.Errorf("%s is not generated any more; `make golden` removes it", file)
		} else if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range want {
		Check(t, filepath.Join(dir, name), []byte(text))
	}
}

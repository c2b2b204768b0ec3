// Package policies embeds the built-in policies, in Rego. Each folder is one policy. The
// folder lib contains the helpers that policies share, schemas the schemas of their input.
package policies

import (
	"embed"
	"io/fs"
	"path"
	"slices"
	"strings"
)

//go:embed */*.rego lib/*/*.rego schemas/*.json
var files embed.FS

// FS holds the Rego modules of all policies and of lib without their tests, the modules
// that tests share (testing), and the schemas of the input of policies that evaluate states
// (schemas/input.json) and changes (schemas/change.json).
var FS = withoutTests{files}

// withoutTests hides tests when a directory is listed.
type withoutTests struct{ embed.FS }

// ReadDir implements fs.ReadDirFS.
func (f withoutTests) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := f.FS.ReadDir(name)
	return slices.DeleteFunc(entries, func(e fs.DirEntry) bool {
		return strings.HasSuffix(e.Name(), "_test.rego") && path.Base(name) != "testing"
	}), err
}

// Package policies holds the policies that come with bgpguard, in Rego. Each
// folder is one policy. lib holds the helpers that policies share, testing the
// input of tests, and schemas the JSON schemas of the input.
package policies

import (
	"embed"
	"io/fs"
	"slices"
	"strings"
)

// FS holds the Rego modules of all policies and of lib without their tests, the
// input of tests (testing), and the schemas of the input of policies that judge
// states (schemas/input.json) and changes (schemas/change.json).
var FS = withoutTests{files}

//go:embed */*.rego lib/*/*.rego schemas/*.json
var files embed.FS

// withoutTests lists no tests of policies, because patterns of go:embed cannot
// exclude files.
type withoutTests struct{ embed.FS }

// ReadDir returns the entries of a directory in order of their names.
func (f withoutTests) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := f.FS.ReadDir(name)
	return slices.DeleteFunc(entries, func(e fs.DirEntry) bool {
		return name != "testing" && strings.HasSuffix(e.Name(), "_test.rego")
	}), err
}

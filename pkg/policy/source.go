package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
)

// Source is Rego modules that are compiled together and apart from all others:
// an error in one source does not reach the next.
type Source struct {
	// Name says in messages where the modules come from: a directory, a bundle.
	Name string
	// Modules holds the texts by file name. Those whose name ends in "_test.rego"
	// are tests.
	Modules map[string]string
	// Data is what the modules see as data, beside the rules; nil for nothing.
	Data map[string]any
}

const (
	extension     = ".rego"
	testExtension = "_test.rego"
)

// SourceFromFS returns a source of all Rego modules below root.
func SourceFromFS(name string, root fs.FS) (Source, error) {
	s := Source{Name: name, Modules: map[string]string{}}
	err := fs.WalkDir(root, ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Ext(file) != extension {
			return err
		}
		text, err := fs.ReadFile(root, file)
		s.Modules[file] = string(text)
		return err
	})
	return s, err
}

// store returns a store of the source's data. Values are read from it as they
// are kept: what a bundle brings along is converted once.
func (s *Source) store() storage.Store {
	data := s.Data
	if data == nil {
		data = map[string]any{}
	}
	return inmem.NewFromObjectWithOpts(data, inmem.OptReturnASTValuesOnRead(true))
}

// isTest reports whether a module is one of tests.
func isTest(file string) bool { return strings.HasSuffix(file, testExtension) }

// digest tells sources with other modules or other data apart.
func (s *Source) digest() string {
	h := sha256.New()
	for _, file := range slices.Sorted(maps.Keys(s.Modules)) {
		fmt.Fprintf(h, "%q %q\n", file, s.Modules[file])
	}
	data, _ := json.Marshal(s.Data) //nolint:errchkjson // It came as JSON or YAML. Maps are written in order of keys.
	h.Write(data)
	return hex.EncodeToString(h.Sum(nil))
}

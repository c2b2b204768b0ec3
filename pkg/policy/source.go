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

// Source is a set of Rego modules that are compiled together. Sources do not affect each
// other: an error in one leaves the others usable.
type Source struct {
	// Name is the origin of the modules in messages, such as a directory or a bundle.
	Name string
	// Modules holds the texts by file name. Names of tests end in "_test.rego".
	Modules map[string]string
	// Data is the value of data beside the rules, nil for none.
	Data map[string]any
}

const (
	extension     = ".rego"
	testExtension = "_test.rego"
)

// sourceFromFS returns a source with all Rego modules below root.
func sourceFromFS(name string, root fs.FS) (Source, error) {
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

// Named returns an error about the source with its name, unless the file that the error begins with contains the name: that of the
// directory.
func (s *Source) Named(err error) error {
	if s.Name == "." || strings.HasPrefix(err.Error(), path.Clean(s.Name)+"/") {
		return err
	}
	return fmt.Errorf("%s: %w", s.Name, err)
}

// store returns a store with the source's data, which is converted to Rego values once.
func (s *Source) store() storage.Store {
	data := s.Data
	if data == nil {
		data = map[string]any{}
	}
	return inmem.NewFromObjectWithOpts(data, inmem.OptReturnASTValuesOnRead(true))
}

// IsTest reports whether a module contains tests.
func IsTest(file string) bool { return strings.HasSuffix(file, testExtension) }

// digest returns a hash of the modules and the data.
func (s *Source) digest() string {
	h := sha256.New()
	for _, file := range slices.Sorted(maps.Keys(s.Modules)) {
		fmt.Fprintf(h, "%q %q\n", file, s.Modules[file])
	}
	data, _ := json.Marshal(s.Data) //nolint:errchkjson // It was read from JSON or YAML. Maps are encoded in the order of their keys.
	h.Write(data)
	return hex.EncodeToString(h.Sum(nil))
}

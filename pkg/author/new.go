package author

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"

	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/policies"
)

//go:embed templates
var templates embed.FS

// shared are the parts of the built-in library that opa and regal need to read another
// library.
var shared = []string{"lib", "schemas", "testing"}

// New writes a policy, its tests and its example into a new folder in dir, and the shared
// parts of the library if they are missing. It does not overwrite files. It returns the
// names of the written files.
func New(dir, name, judges string) ([]string, error) {
	files, err := scaffold(name, judges)
	if err != nil {
		return nil, err
	}
	for _, file := range files.order {
		if path := filepath.Join(dir, file); exists(path) {
			return nil, fmt.Errorf("%s: already exists: choose another name or delete it first", path)
		}
	}
	var written []string
	write := func(path string, text []byte) error {
		if exists(path) {
			return nil
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // All users can read source files.
			return err
		}
		written = append(written, path)
		return os.WriteFile(path, text, 0o644) //nolint:gosec // As above.
	}
	for _, file := range files.order {
		if err := write(filepath.Join(dir, file), files.own[file]); err != nil {
			return written, err
		}
	}
	for _, part := range shared {
		err := fs.WalkDir(policies.FS, part, func(file string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text, err := fs.ReadFile(policies.FS, file)
			if err != nil {
				return err
			}
			path := filepath.Join(dir, filepath.FromSlash(file))
			if schema, ok := strings.CutSuffix(path, ".json"); ok && !exists(path) {
				path = schema + schemaExtension
			} else if ok {
				return nil
			}
			return write(path, text)
		})
		if err != nil {
			return written, err
		}
	}
	if linted(dir) {
		return written, nil
	}
	text, err := fs.ReadFile(templates, "templates/regal.yaml")
	if err != nil {
		return written, err
	}
	return written, write(filepath.Join(dir, regalFolder, "config.yaml"), text)
}

// scaffolded is the files of a policy by their names below the library's folder.
type scaffolded struct {
	own   map[string][]byte
	order []string
}

var validName = regexp.MustCompile(`^[a-z]([a-z0-9-]*[a-z0-9])?$`)

func scaffold(name, judges string) (*scaffolded, error) {
	if judges != policy.JudgesState && judges != policy.JudgesChange {
		return nil, fmt.Errorf("--judges must be %q or %q, is %q", policy.JudgesState, policy.JudgesChange, judges)
	}
	library, err := policy.Embedded()
	if err != nil {
		return nil, err
	}
	switch {
	case !validName.MatchString(name):
		return nil, fmt.Errorf("invalid policy name %q: use lower-case letters, digits and dashes, for example rack-has-reflector", name)
	case name == "lib" || strings.HasSuffix(name, "-test"):
		return nil, fmt.Errorf("invalid policy name %q: the name is reserved for helpers and tests", name)
	case library.Definition(name) != nil:
		return nil, fmt.Errorf("invalid policy name %q: the built-in library has a policy of that name", name)
	}
	title := strings.ReplaceAll(name, "-", " ")
	values := map[string]string{"Name": name, "Package": folder(name), "Title": strings.ToUpper(title[:1]) + title[1:]}
	out := &scaffolded{own: map[string][]byte{}}
	modules := map[string]string{}
	for _, f := range []struct{ template, file string }{
		{judges + ".rego.tmpl", folder(name) + ".rego"},
		{judges + "_test.rego.tmpl", folder(name) + "_test.rego"},
		{judges + ".yaml.tmpl", exampleFile},
	} {
		t, err := template.ParseFS(templates, "templates/"+f.template)
		if err != nil {
			return nil, err
		}
		var text bytes.Buffer
		if err := t.Execute(&text, values); err != nil {
			return nil, err
		}
		file := filepath.Join(folder(name), f.file)
		out.own[file] = text.Bytes()
		out.order = append(out.order, file)
		if filepath.Ext(file) == ".rego" {
			modules[file] = text.String()
		}
	}
	// Keywords such as not and default cannot be package names.
	if _, err := library.With(policy.Source{Name: name, Modules: modules}); err != nil {
		return nil, fmt.Errorf("invalid policy name %q: %w", name, err)
	}
	return out, nil
}

const (
	// opa reads files that end in .json as data, where two schemas would collide. Schemas
	// may have any extension.
	schemaExtension = ".jsonschema"

	exampleFile = "example.yaml"
	regalFolder = ".regal"
)

// linted reports whether dir or one of its parents has a configuration of regal.
func linted(dir string) bool {
	path, err := filepath.Abs(dir)
	if err != nil {
		return false
	}
	for {
		if exists(filepath.Join(path, regalFolder, "config.yaml")) || exists(filepath.Join(path, ".regal.yaml")) {
			return true
		}
		parent := filepath.Dir(path)
		if parent == path {
			return false
		}
		path = parent
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

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

// shared are the parts of the built-in library that a library of one's own needs
// so that opa and regal can read it by themselves.
var shared = []string{"lib", "schemas", "testing"}

// New writes a policy, its tests and its example into a folder of its own in dir,
// and what policies share where dir does not hold it. It overwrites nothing. The
// names of the files that it wrote are returned.
func New(dir, name, judges string) ([]string, error) {
	files, err := scaffold(name, judges)
	if err != nil {
		return nil, err
	}
	for _, file := range files.order {
		if path := filepath.Join(dir, file); exists(path) {
			return nil, fmt.Errorf("%s: is already there; choose another name, or delete it first", path)
		}
	}
	var written []string
	write := func(path string, text []byte) error {
		if exists(path) {
			return nil
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // Source files are for all to read.
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

// scaffolded is the files of a policy, by their names below the library's folder.
type scaffolded struct {
	own   map[string][]byte
	order []string
}

var validName = regexp.MustCompile(`^[a-z]([a-z0-9-]*[a-z0-9])?$`)

func scaffold(name, judges string) (*scaffolded, error) {
	if judges != policy.JudgesState && judges != policy.JudgesChange {
		return nil, fmt.Errorf("a policy judges %q or %q, not %q", policy.JudgesState, policy.JudgesChange, judges)
	}
	library, err := policy.Embedded()
	if err != nil {
		return nil, err
	}
	switch {
	case !validName.MatchString(name):
		return nil, fmt.Errorf("%q cannot be the name of a policy: it must be of lower-case letters, digits and dashes, for example rack-has-reflector", name)
	case name == "lib" || strings.HasSuffix(name, "-test"):
		return nil, fmt.Errorf("%q cannot be the name of a policy: packages of that name are helpers and tests", name)
	case library.Definition(name) != nil:
		return nil, fmt.Errorf("%q is a policy of the built-in library; choose another name", name)
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
	// A name can be no name of a package: not, default.
	if _, err := library.With(policy.Source{Name: name, Modules: modules}); err != nil {
		return nil, fmt.Errorf("%q cannot be the name of a policy: %w", name, err)
	}
	return out, nil
}

const (
	// opa takes files that end in .json for data, and those of two schemas collide;
	// a schema may end in anything.
	schemaExtension = ".jsonschema"

	exampleFile = "example.yaml"
	regalFolder = ".regal"
)

// linted reports whether regal finds a configuration for dir: in it, or in one of
// the folders that it is in.
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

package policy

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/open-policy-agent/opa/v1/loader"

	"github.com/bgpguard/bgpguard/policies"
)

// sourceFromBundle returns the modules and the data of an OPA bundle.
func sourceFromBundle(name string, b *bundle.Bundle) Source {
	s := Source{Name: name, Modules: map[string]string{}, Data: b.Data}
	for _, m := range b.Modules {
		s.Modules[m.Path] = string(m.Raw)
	}
	return s
}

// SourceFromPath reads the modules and the data of a directory, or of a bundle's
// tarball. Errors name file and line.
func SourceFromPath(path string) (Source, error) {
	if _, err := os.Stat(path); err != nil {
		if e, ok := errors.AsType[*fs.PathError](err); ok {
			err = e.Err
		}
		return Source{}, fmt.Errorf("%s: %w", path, err)
	}
	if filepath.Ext(path) == extension {
		return Source{}, fmt.Errorf("%s: must be a directory or a bundle, is one module", path)
	}
	b, err := loader.NewFileLoader().AsBundle(path)
	if err != nil {
		return Source{}, (&Source{Name: path}).Named(plain(err))
	}
	s := sourceFromBundle(path, b)
	if len(s.Modules) == 0 {
		return Source{}, fmt.Errorf("%s: contains no Rego module", path)
	}
	return s, nil
}

// Bundle returns the modules of a source without tests, and its data, as an OPA bundle. The
// bundle is self-contained: it includes the built-in helpers that the modules use and the
// source does not contain. file maps the name of a module to its path in the bundle.
func (s *Source) Bundle(file func(name string) string) (*bundle.Bundle, error) {
	modules, err := parse(s.Modules)
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(modules, func(name string, _ *ast.Module) bool { return IsTest(name) })
	helpers, err := withShared(modules, false)
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(helpers, func(name string, _ *ast.Module) bool { return modules[name] != nil })
	b := &bundle.Bundle{Data: s.Data}
	if b.Data == nil {
		b.Data = map[string]any{}
	}
	roots := map[string]bool{}
	add := func(name string, m *ast.Module, text string) {
		b.Modules = append(b.Modules, bundle.ModuleFile{URL: name, Path: name, Raw: []byte(text), Parsed: m})
		root, _ := m.Package.Path.Ptr()
		roots[root] = true
	}
	for _, name := range slices.Sorted(maps.Keys(modules)) {
		add(file(name), modules[name], s.Modules[name])
	}
	for _, name := range slices.Sorted(maps.Keys(used(modules, helpers))) {
		text, err := policies.FS.ReadFile(name[len(builtIn):])
		if err != nil {
			return nil, err
		}
		add(name, helpers[name], string(text))
	}
	for name := range b.Data {
		roots[name] = true
	}
	paths := outermost(roots)
	b.Manifest.Roots = &paths
	b.Manifest.SetRegoVersion(ast.RegoV1)
	return b, nil
}

// used returns the helpers that modules refer to, directly or through other helpers.
func used(modules, helpers map[string]*ast.Module) map[string]*ast.Module {
	out := map[string]*ast.Module{}
	open := slices.Collect(maps.Values(modules))
	for len(open) > 0 {
		m := open[len(open)-1]
		open = open[:len(open)-1]
		ast.WalkRefs(m, func(ref ast.Ref) bool {
			for name, helper := range helpers {
				if out[name] == nil && ref.HasPrefix(helper.Package.Path) {
					out[name] = helper
					open = append(open, helper)
				}
			}
			return false
		})
	}
	return out
}

// outermost returns the paths that are not below another path, sorted.
func outermost(paths map[string]bool) []string {
	var out []string
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		if !slices.ContainsFunc(out, func(outer string) bool { return strings.HasPrefix(path, outer+"/") }) {
			out = append(out, path)
		}
	}
	return out
}

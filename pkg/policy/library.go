package policy

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Definition is one policy of a library: a Rego package with its METADATA.
type Definition struct {
	// Name is the package's last part with dashes, for example
	// "mesh-node-limit".
	Name        string
	Title       string
	Description string
	Severity    string

	schema *schema
	ref    ast.Ref // data.policies.NAME
}

// library is a set of compiled policies.
type library struct {
	compiler    *ast.Compiler
	definitions map[string]*Definition
}

const (
	packageRoot = "policies" // of all policies and their shared helpers
	packageLib  = "lib"      // below packageRoot: helpers, not policies
	ruleName    = "violation"
	schemaFile  = "schemas/input.json"
)

// loadLibrary parses and compiles all modules in fsys against the input
// schema, strictly and with Capabilities only.
func loadLibrary(fsys fs.FS) (*library, error) {
	modules := map[string]*ast.Module{}
	err := fs.WalkDir(fsys, ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Ext(file) != ".rego" || strings.HasSuffix(file, "_test.rego") {
			return err
		}
		text, err := fs.ReadFile(fsys, file)
		if err != nil {
			return err
		}
		name := path.Join(packageRoot, file)
		modules[name], err = ast.ParseModuleWithOpts(name, string(text), ast.ParserOptions{ProcessAnnotation: true, Capabilities: Capabilities()})
		return err
	})
	if err != nil {
		return nil, err
	}
	schemas := ast.NewSchemaSet()
	text, err := fs.ReadFile(fsys, schemaFile)
	if err != nil {
		return nil, fmt.Errorf("reading the input schema: %w", err)
	}
	input, err := parseJSON(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", schemaFile, err)
	}
	// For all modules, and by the name under which opa check finds the file.
	schemas.Put(ast.SchemaRootRef, input)
	schemas.Put(ast.SchemaRootRef.Append(ast.StringTerm("input")), input)
	c := ast.NewCompiler().WithCapabilities(Capabilities()).WithStrict(true).WithUseTypeCheckAnnotations(true).WithSchemas(schemas)
	c.Compile(modules)
	if c.Failed() {
		return nil, c.Errors
	}
	lib := &library{compiler: c, definitions: map[string]*Definition{}}
	for _, file := range slices.Sorted(maps.Keys(modules)) {
		d, err := define(file, modules[file])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		if d != nil {
			lib.definitions[d.Name] = d
		}
	}
	return lib, nil
}

// define reads the METADATA of a policy's package; nil for helpers.
func define(file string, m *ast.Module) (*Definition, error) {
	ref := m.Package.Path
	if len(ref) < 3 || ref[2].Value.Compare(ast.String(packageLib)) == 0 {
		return nil, nil
	}
	d := &Definition{Name: strings.ReplaceAll(string(ref[len(ref)-1].Value.(ast.String)), "_", "-"), ref: ref}
	// A package in which no rule could be evaluated would pass everything.
	if !slices.ContainsFunc(m.Rules, func(r *ast.Rule) bool {
		return r.Head.Name == ruleName && r.Head.RuleKind() == ast.MultiValue
	}) {
		return nil, fmt.Errorf("package %s has no rule \"%s contains ...\", so it could never find anything", ref, ruleName)
	}
	var meta *ast.Annotations
	for _, a := range m.Annotations {
		if a.Scope == "package" {
			meta = a
		}
	}
	if meta == nil || meta.Title == "" {
		return nil, fmt.Errorf("package %s has no METADATA with a title", ref)
	}
	d.Title, d.Description = meta.Title, meta.Description
	d.Severity, _ = meta.Custom["severity"].(string)
	// The engine compares the violations of two states; a policy that judges
	// changes would need other input.
	if judges := meta.Custom["judges"]; judges != "state" {
		return nil, fmt.Errorf("METADATA custom.judges must be \"state\", is %v", judges)
	}
	var err error
	if d.schema, err = newSchema(file, meta.Custom["parameters"]); err != nil {
		return nil, fmt.Errorf("METADATA custom.parameters: %w", err)
	}
	return d, nil
}

// reads returns the paths into input that the policy's package and the helpers
// refer to, as far as they are constant: its result depends on nothing else.
func (l *library) reads(d *Definition) []ast.Ref {
	var out []ast.Ref
	for _, m := range l.compiler.Modules {
		own := m.Package.Path.Equal(d.ref)
		helper := len(m.Package.Path) > 2 && m.Package.Path[2].Value.Compare(ast.String(packageLib)) == 0
		if !own && !helper {
			continue
		}
		ast.WalkRefs(m, func(r ast.Ref) bool {
			if r[0].Equal(ast.InputRootDocument) {
				out = append(out, r.ConstantPrefix()[1:])
			}
			return false
		})
	}
	slices.SortFunc(out, func(a, b ast.Ref) int { return a.Compare(b) })
	return slices.CompactFunc(out, func(a, b ast.Ref) bool { return a.Equal(b) })
}

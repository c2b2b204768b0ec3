package author

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/bgpguard/bgpguard/pkg/manifest"
	"github.com/bgpguard/bgpguard/pkg/policy"
)

// Severities of findings.
const (
	// Error is a mistake that makes a policy unusable or impossible to understand.
	Error = "error"
	// Warning is a likely mistake, or a construct that slows down every admission request.
	Warning = "warning"
)

// Finding is a mistake in a policy.
type Finding struct {
	// Severity is Error or Warning, Check the name of the check.
	Severity string `json:"severity"`
	Check    string `json:"check"`
	// Policy is the name of the policy, "" if unknown.
	Policy string `json:"policy"`
	File   string `json:"file"`
	// Line and Column start at 1; 0 means the whole file.
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Message string `json:"message"`
}

// The names of the checks, except those of slow.go.
const (
	checkCompile    = "compile"
	checkMetadata   = "metadata"
	checkParameters = "parameters"
	checkTests      = "tests"
	checkExample    = "example"
)

// CheckResult is the result of Check.
type CheckResult struct {
	// Policies are the names of the checked policies.
	Policies []string  `json:"policies"`
	Findings []Finding `json:"findings"`
}

// Count returns the number of findings with the severity.
func (r *CheckResult) Count(severity string) int {
	n := 0
	for _, f := range r.Findings {
		if f.Severity == severity {
			n++
		}
	}
	return n
}

// Check checks the policies of a directory or of the tarball of a bundle. It returns an
// error if path cannot be read, and that of ctx; compiler errors are findings.
func Check(ctx context.Context, path string) (*CheckResult, error) {
	r := &CheckResult{Policies: []string{}, Findings: []Finding{}}
	library, err := policy.Embedded()
	if err != nil {
		return nil, err
	}
	own, err := Load(library, path)
	if e, ok := errors.AsType[*compileError](err); ok {
		err = e.err
	} else if err != nil && !placed(err) {
		return nil, err
	}
	if err != nil {
		r.Findings = compileFindings(err)
		for i := range r.Findings {
			r.Findings[i].File = cmp.Or(r.Findings[i].File, path)
		}
		return r, nil
	}
	modules, err := parse(own.Source.Modules)
	if err != nil {
		return nil, err
	}
	for _, d := range own.Definitions {
		r.Policies = append(r.Policies, d.Name)
		c := checker{library: own.Library, definition: d, modules: modules}
		c.metadata()
		c.parameters()
		c.tests()
		c.example(own.Source)
		r.Findings = append(r.Findings, c.findings...)
	}
	r.Findings = append(r.Findings, slow(modules)...)
	places := map[string]*ast.Location{}
	for _, d := range own.Definitions {
		places[d.Name] = violationPlace(d, modules)
	}
	types := checkTypes(modules, own.Definitions)
	r.Findings = append(r.Findings, types...)
	tried, err := trial(ctx, own, func(d *policy.Definition) *ast.Location { return places[d.Name] })
	if err != nil {
		return nil, err
	}
	for _, f := range tried { // A trial run only repeats what the types show.
		if !slices.ContainsFunc(types, func(other Finding) bool { return other.Policy == f.Policy && other.Severity == Error }) {
			r.Findings = append(r.Findings, f)
		}
	}
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return r, nil
}

// parse parses modules without compiling them.
func parse(texts map[string]string) (map[string]*ast.Module, error) {
	out := map[string]*ast.Module{}
	for _, file := range slices.Sorted(maps.Keys(texts)) {
		m, err := ast.ParseModuleWithOpts(file, texts[file], ast.ParserOptions{ProcessAnnotation: true})
		if err != nil {
			return nil, err
		}
		out[file] = m
	}
	return out, nil
}

// compileFindings converts compiler errors to findings. OPA's errors have a position.
// Other errors contain the position in their text.
func compileFindings(err error) []Finding {
	var out []Finding
	var walk func(error)
	walk = func(err error) {
		switch e := err.(type) { //nolint:errorlint // The tree of errors is walked.
		case *ast.Error:
			f := Finding{Severity: Error, Check: checkCompile, Message: e.Message}
			if e.Location != nil {
				f.File, f.Line, f.Column = e.Location.File, e.Location.Row, e.Location.Col
			}
			if e.Details != nil {
				f.Message += "\n" + strings.Join(e.Details.Lines(), "\n")
			}
			out = append(out, f)
		case ast.Errors:
			for _, each := range e {
				walk(each)
			}
		case interface{ Unwrap() []error }:
			for _, each := range e.Unwrap() {
				walk(each)
			}
		default:
			if placed(err) {
				walk(errors.Unwrap(err))
				return
			}
			out = append(out, plain(err))
		}
	}
	walk(err)
	return out
}

// placed reports whether err wraps an error of OPA, which has a position.
func placed(err error) bool {
	_, list := errors.AsType[ast.Errors](err)
	_, one := errors.AsType[*ast.Error](err)
	return list || one
}

// plain converts an error whose text starts with a file, and possibly line and column.
func plain(err error) Finding {
	f := Finding{Severity: Error, Check: checkCompile, Message: err.Error()}
	file, rest, found := strings.Cut(f.Message, ": ")
	if !found || strings.ContainsAny(file, " \n") {
		return f
	}
	f.Message, f.File = rest, file
	name, position, found := strings.Cut(file, ".rego:")
	if !found {
		return f
	}
	if n, _ := fmt.Sscanf(position, "%d:%d", &f.Line, &f.Column); n > 0 {
		f.File = name + ".rego"
	}
	return f
}

// checker checks one policy.
type checker struct {
	library    *policy.Library
	definition *policy.Definition
	modules    map[string]*ast.Module // of the whole source
	findings   []Finding
}

// add adds a finding at a position in the policy's main module.
func (c *checker) add(severity, check string, at *ast.Location, format string, args ...any) {
	f := Finding{Severity: severity, Check: check, Policy: c.definition.Name, File: c.definition.File, Message: fmt.Sprintf(format, args...)}
	if at != nil {
		f.File, f.Line, f.Column = at.File, at.Row, at.Col
	}
	c.findings = append(c.findings, f)
}

// metadata checks METADATA beyond what the compiler requires.
func (c *checker) metadata() {
	module := c.modules[c.definition.File]
	at := module.Package.Location
	if c.definition.Description == "" {
		c.add(Error, checkMetadata, at, "METADATA has no description: say what is bad, and why")
	}
	if len(c.definition.Related) == 0 {
		c.add(Warning, checkMetadata, at, "METADATA has no related_resources: link the reasons for the policy, for users whose change it denies")
	}
	want := map[string]string{policy.JudgesState: "schema.input", policy.JudgesChange: "schema.change"}[c.definition.Judges]
	for _, a := range module.Annotations {
		if a.Scope != "package" || a.Title == "" {
			continue
		}
		schema := ""
		for _, s := range a.Schemas {
			if s.Path.Equal(ast.InputRootRef) {
				schema = s.Schema.String()
			}
		}
		if schema != want {
			c.add(Error, checkMetadata, a.Location, "METADATA schemas must hold \"- input: %s\", so that the compiler checks what the policy reads of a %s", want, c.definition.Judges)
		}
	}
	if title := c.definition.Title; strings.HasSuffix(title, ".") {
		c.add(Warning, checkMetadata, at, "METADATA title %q must not end with a full stop", title)
	}
}

// parameters checks that each parameter is described and optional.
func (c *checker) parameters() {
	at := c.modules[c.definition.File].Package.Location
	schema, _ := c.definition.Parameters().(map[string]any)
	if schema["type"] != "object" {
		c.add(Error, checkParameters, at, "METADATA custom.parameters must have type: object")
	}
	if schema["additionalProperties"] != false {
		c.add(Error, checkParameters, at, "METADATA custom.parameters must have additionalProperties: false, else a mistyped parameter is ignored")
	}
	properties, _ := schema["properties"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		p, _ := properties[name].(map[string]any)
		description, _ := p["description"].(string)
		if description == "" {
			c.add(Error, checkParameters, at, "METADATA custom.parameters.properties.%s has no description: say what it is for", name)
		}
		if p["type"] == nil {
			c.add(Error, checkParameters, at, "METADATA custom.parameters.properties.%s has no type: say what it can be", name)
		}
		if p["default"] == nil && !optional.MatchString(description) {
			c.add(Warning, checkParameters, at, "METADATA custom.parameters.properties.%s has no default: expressions that read it are undefined without it; "+
				"add one, or describe what happens without it", name)
		}
	}
}

// optional matches a description that documents the effect of an unset parameter.
var optional = regexp.MustCompile(`(?i)without\s+it|left\s+out|unset`)

// tests checks that the policy has tests.
func (c *checker) tests() {
	pkg := c.modules[c.definition.File].Package
	own := pkg.Path.String()
	for _, m := range c.modules {
		if name := m.Package.Path.String(); name != own && name != own+"_test" {
			continue
		}
		for _, r := range m.Rules {
			if strings.HasPrefix(string(r.Head.Name), "test_") || strings.HasPrefix(r.Head.Ref().String(), "test_") {
				return
			}
		}
	}
	c.add(Error, checkTests, pkg.Location, "no tests: add a module of package %s_test with rules whose names start with test_", strings.TrimPrefix(own, "data."))
}

// example checks that the policy has an example, a BGPPolicy that uses it.
func (c *checker) example(source policy.Source) {
	at := c.modules[c.definition.File].Package.Location
	path := filepath.Join(filepath.Dir(c.definition.File), exampleFile)
	if filepath.Ext(source.Name) == ".gz" || filepath.Ext(source.Name) == ".tgz" {
		return // A bundle holds modules and data, and no examples.
	}
	if !exists(path) {
		c.add(Error, checkExample, at, "no %s in its folder: add a BGPPolicy for the policy that explains its parameters", exampleFile)
		return
	}
	docs, err := policy.Load([]string{path})
	if err == nil {
		_, err = c.library.Compile(docs)
	}
	if err != nil {
		f := plain(err)
		f.Check, f.Policy, f.File = checkExample, c.definition.Name, path
		if e, ok := errors.AsType[*manifest.Error](err); ok {
			f.Line, f.Message = e.Line, e.Err.Error()
		}
		c.findings = append(c.findings, f)
		return
	}
	if !slices.ContainsFunc(docs, func(d policy.Document) bool { return d.Spec.Policy == c.definition.Name }) {
		c.findings = append(c.findings, Finding{
			Severity: Error, Check: checkExample, Policy: c.definition.Name, File: path,
			Message: fmt.Sprintf("no BGPPolicy in it has spec.policy: %s", c.definition.Name),
		})
	}
}

package policy

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage"

	"github.com/bgpguard/bgpguard/pkg/violation"
	"github.com/bgpguard/bgpguard/policies"
)

// The values of custom.judges in the METADATA of a policy.
const (
	// JudgesState is a policy that describes a bad state. The engine compares its
	// violations before and after a change.
	JudgesState = "state"
	// JudgesChange is a policy that evaluates the change itself, which is in its input.
	JudgesChange = "change"
)

// Definition is one policy of a library: a Rego package with its METADATA.
type Definition struct {
	// Name is the last part of the package's name with dashes, for example
	// "mesh-node-limit".
	Name        string
	Title       string
	Description string
	// Remediation explains how to fix violations, in Markdown. ExampleMessage is the
	// message of an example violation. Both can be empty.
	Remediation    string
	ExampleMessage string
	// Severity is one of Severities.
	Severity string
	// Judges is JudgesState or JudgesChange.
	Judges string
	// EachBGPPeer reports that no violation depends on BGPPeers with different addresses. The policy is then evaluated
	// only on the BGPPeers that a change affects.
	EachBGPPeer bool
	// Actions are the validation actions that the author recommends.
	Actions []violation.Action
	// Loosens says for parameters which change loosens the policy: "higher" or "lower" numbers
	// and durations, "more" or "fewer" items, the switch "true" or "false", or "unknown".
	Loosens map[string]string
	// Related are links to background information, in order.
	Related []Link
	// Source is the name of the Source. File is the name of the module with the METADATA.
	Source, File string

	schema *schema
	// fields are the paths of the fields that the policy is about, by kind; see Policy.Ignores.
	fields map[string][][]string
	ref    ast.Ref // data.policies.NAME
	unit   *unit
	reads  *reads // of the input
	// otherReads are reads without those of BGPPeers, nil unless EachBGPPeer.
	otherReads *reads
	// data are the parts of data.state that the policy reads, wholeData if it may read any.
	data map[string]bool
}

// wholeData stands for all parts of data.state.
const wholeData = ""

// Link is a related resource.
type Link struct {
	Ref         string `json:"ref"`
	Description string `json:"description"`
}

// Severities lists the severities of policies, worst first.
var Severities = []string{"critical", "high", "medium", "low"}

// Parameters returns the JSON schema of the policy's parameters.
func (d *Definition) Parameters() any { return d.schema.source }

// Defaults returns the default values of the parameters that have one.
func (d *Definition) Defaults() map[string]any { return maps.Clone(d.schema.defaults) }

// Modules returns the texts of the modules of the policy's source, by file name. The map
// must not be changed.
func (d *Definition) Modules() map[string]string { return d.unit.source.Modules }

// unit is a compiled source.
type unit struct {
	source   Source
	digest   string
	compiler *ast.Compiler
	store    storage.Store
}

// Library holds the policies that BGPPolicies can refer to. It is immutable and safe for
// concurrent use. The zero value is an empty library.
type Library struct {
	definitions map[string]*Definition
}

const (
	packageRoot = "policies" // of all policies and their shared helpers
	packageLib  = "lib"      // below packageRoot: helpers, not policies
	ruleName    = "violation"
	// The schemas of the input of policies that evaluate states and changes.
	stateSchema  = "schemas/input.json"
	changeSchema = "schemas/change.json"
)

// embedded is the built-in library; it is compiled once.
var embedded = sync.OnceValues(func() (*Library, error) {
	source, err := sourceFromFS("the library", policies.FS)
	if err != nil {
		return nil, err
	}
	// The tests of the built-in library are known to parse, which takes as long as parsing the rest.
	texts := maps.Clone(source.Modules)
	maps.DeleteFunc(texts, func(file, _ string) bool { return IsTest(file) })
	l := &Library{definitions: map[string]*Definition{}}
	return l, l.add(source, texts)
})

// Embedded returns the built-in library.
func Embedded() (*Library, error) { return embedded() }

// NewLibrary returns the built-in library with the policies of further sources. Errors name
// file and line. NewLibrary joins the errors of all sources.
func NewLibrary(sources ...Source) (*Library, error) {
	base, err := embedded()
	if err != nil || len(sources) == 0 {
		return base, err
	}
	l := &Library{definitions: maps.Clone(base.definitions)}
	var errs []error
	for _, source := range sources {
		if err := l.add(source, source.Modules); err != nil {
			errs = append(errs, source.Named(err))
		}
	}
	return l, errors.Join(errs...)
}

// With returns the library with the policies of a source, which replace policies of the
// same name. It is for the source that an author works on, which may be the source of the
// library. Errors name file and line.
func (l *Library) With(source Source) (*Library, error) {
	definitions, err := compile(source, source.Modules)
	if err != nil {
		return nil, err
	}
	out := &Library{definitions: maps.Clone(l.definitions)}
	for _, d := range definitions {
		out.definitions[d.Name] = d
	}
	return out, nil
}

// Definitions returns the policies of the library, sorted by name.
func (l *Library) Definitions() []*Definition {
	return slices.SortedFunc(maps.Values(l.definitions), func(a, b *Definition) int { return strings.Compare(a.Name, b.Name) })
}

// Names returns the names of the policies of the library, sorted.
func (l *Library) Names() []string { return slices.Sorted(maps.Keys(l.definitions)) }

// Definition returns the policy with the given name, nil if there is no such policy.
func (l *Library) Definition(name string) *Definition { return l.definitions[name] }

func (l *Library) add(source Source, texts map[string]string) error {
	definitions, err := compile(source, texts)
	if err != nil {
		return err
	}
	var errs []error
	for _, d := range definitions {
		if other := l.definitions[d.Name]; other != nil {
			errs = append(errs, fmt.Errorf("%s: policy %s is already defined by %s (%s)", d.File, d.Name, other.Source, other.File))
			continue
		}
		l.definitions[d.Name] = d
	}
	return errors.Join(errs...)
}

// compile parses texts, modules of a source, compiles those that are not tests in strict mode,
// with Capabilities, against the schemas of the input, and returns their policies, sorted by
// name.
func compile(source Source, texts map[string]string) ([]*Definition, error) {
	modules, err := parse(texts)
	if err != nil {
		return nil, err
	}
	u := &unit{source: source, digest: source.digest(), store: source.store()}
	product := maps.Clone(modules)
	maps.DeleteFunc(product, func(file string, _ *ast.Module) bool { return IsTest(file) })
	all, err := withShared(product, false)
	if err != nil {
		return nil, err
	}
	if u.compiler, err = newCompiler(); err != nil {
		return nil, err
	}
	u.compiler.Compile(all)
	if u.compiler.Failed() {
		return nil, plain(u.compiler.Errors)
	}
	var out []*Definition
	var errs []error
	for _, files := range packages(product) {
		d, err := define(files, product)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", files[0], err))
			continue
		}
		d.Source, d.unit = source.Name, u
		if err := d.findReads(); err != nil {
			errs = append(errs, err)
		}
		out = append(out, d)
	}
	if len(out) == 0 && len(errs) == 0 {
		errs = append(errs, fmt.Errorf("contains no policy: a policy is a package %s.NAME", packageRoot))
	}
	return out, errors.Join(errs...)
}

// packages returns the file names of each package that is a policy, sorted by package. All
// packages below policies except policies.lib are policies; packages elsewhere are helpers.
func packages(modules map[string]*ast.Module) [][]string {
	files := map[string][]string{}
	for _, file := range slices.Sorted(maps.Keys(modules)) {
		ref := modules[file].Package.Path
		if len(ref) > 2 && ref[1].Value.Compare(ast.String(packageRoot)) == 0 && ref[2].Value.Compare(ast.String(packageLib)) != 0 {
			files[ref.String()] = append(files[ref.String()], file)
		}
	}
	var out [][]string
	for _, name := range slices.Sorted(maps.Keys(files)) {
		out = append(out, files[name])
	}
	return out
}

func parse(texts map[string]string) (map[string]*ast.Module, error) {
	modules := map[string]*ast.Module{}
	var errs []error
	for _, file := range slices.Sorted(maps.Keys(texts)) {
		m, err := ast.ParseModuleWithOpts(file, texts[file], ast.ParserOptions{ProcessAnnotation: true, Capabilities: Capabilities()})
		if err != nil {
			errs = append(errs, plain(err))
			continue
		}
		if m == nil { // The file contains at most comments.
			errs = append(errs, fmt.Errorf("%s: is empty", file))
			continue
		}
		modules[file] = m
	}
	return modules, errors.Join(errs...)
}

// shared returns the built-in helpers, and the modules that the built-in tests share.
var shared = sync.OnceValues(func() (map[string]*ast.Module, error) {
	source, err := sourceFromFS("the library", policies.FS)
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(source.Modules, func(file, _ string) bool {
		return !strings.HasPrefix(file, packageLib+"/") && !strings.HasPrefix(file, "testing/")
	})
	return parse(source.Modules)
})

// builtIn is the prefix of the file names of built-in helpers.
const builtIn = "bgpguard/"

// withShared returns modules with the built-in helpers whose packages they do not contain.
func withShared(modules map[string]*ast.Module, tests bool) (map[string]*ast.Module, error) {
	helpers, err := shared()
	if err != nil {
		return nil, err
	}
	own := map[string]bool{}
	for _, m := range modules {
		own[m.Package.Path.String()] = true
	}
	out := maps.Clone(modules)
	for file, m := range helpers {
		if own[m.Package.Path.String()] || (IsTest(file) && !tests) {
			continue
		}
		name := builtIn + file
		if out[name] != nil { // One module would replace the other.
			return nil, fmt.Errorf("%s: is the name of a built-in module; rename it", name)
		}
		out[name] = m
	}
	return out, nil
}

// newCompiler returns a compiler that enforces Capabilities and the schemas of the input.
func newCompiler() (*ast.Compiler, error) {
	guardBuiltins()
	schemas, err := inputSchemas()
	if err != nil {
		return nil, err
	}
	return ast.NewCompiler().WithCapabilities(Capabilities()).WithStrict(true).
		WithUseTypeCheckAnnotations(true).WithSchemas(schemas), nil
}

// inputSchemas returns the schemas of the input, under the names that opa check derives from
// their files. The root has the schema of policies that evaluate changes, which is a superset.
// If a policy evaluates states and reads the change, findReads reports it with a clearer
// message than the schema of states would.
var inputSchemas = sync.OnceValues(func() (*ast.SchemaSet, error) {
	schemas := ast.NewSchemaSet()
	for name, file := range map[string]string{"input": stateSchema, "change": changeSchema} {
		text, err := fs.ReadFile(policies.FS, file)
		if err != nil {
			return nil, fmt.Errorf("reading the schema of the input: %w", err)
		}
		schema, err := parseJSON(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		schemas.Put(ast.SchemaRootRef.Append(ast.StringTerm(name)), schema)
		if file == changeSchema {
			schemas.Put(ast.SchemaRootRef, schema)
		}
	}
	return schemas, nil
})

// plain returns OPA's errors joined, without the line that counts them.
func plain(err error) error {
	list, ok := errors.AsType[ast.Errors](err)
	if !ok {
		return err
	}
	var errs []error
	for _, e := range list {
		errs = append(errs, e)
	}
	return errors.Join(errs...)
}

// define reads the METADATA of a policy's package, which consists of files.
func define(files []string, modules map[string]*ast.Module) (*Definition, error) {
	ref := modules[files[0]].Package.Path
	if len(ref) != 3 {
		return nil, fmt.Errorf("package %s must be %s.NAME for a policy, or below %s.%s for helpers",
			packageName(ref), packageRoot, packageRoot, packageLib)
	}
	name := string(ref[2].Value.(ast.String))
	d := &Definition{Name: strings.ReplaceAll(name, "_", "-"), File: files[0], ref: ref}
	finds := false
	var meta *ast.Annotations
	for _, file := range files {
		for _, r := range modules[file].Rules {
			finds = finds || (r.Head.Name == ruleName && r.Head.RuleKind() == ast.MultiValue)
		}
		for _, a := range modules[file].Annotations {
			if a.Scope == "package" && a.Title != "" {
				meta, d.File = a, file
			}
		}
	}
	switch {
	case !finds: // It would allow everything.
		return nil, fmt.Errorf("package %s has no rule \"%s contains ...\", so it can find no violation", packageName(ref), ruleName)
	case meta == nil:
		return nil, fmt.Errorf("package %s has no METADATA with a title", packageName(ref))
	}
	if err := d.readMetadata(meta); err != nil {
		return nil, err
	}
	return d, nil
}

func packageName(ref ast.Ref) string { return strings.TrimPrefix(ref.String(), "data.") }

func (d *Definition) readMetadata(meta *ast.Annotations) error {
	d.Title, d.Description = meta.Title, strings.TrimSpace(meta.Description)
	for name, field := range map[string]*string{"remediation": &d.Remediation, "exampleMessage": &d.ExampleMessage} {
		value, ok := meta.Custom[name]
		if *field, _ = value.(string); ok && *field == "" {
			return fmt.Errorf("METADATA custom.%s must be a string that is not empty, is %v", name, value)
		}
		*field = strings.TrimSpace(*field)
	}
	d.ExampleMessage = strings.Join(strings.Fields(d.ExampleMessage), " ")
	for _, r := range meta.RelatedResources {
		d.Related = append(d.Related, Link{r.Ref.String(), r.Description})
	}
	d.Severity, _ = meta.Custom["severity"].(string)
	if !slices.Contains(Severities, d.Severity) {
		return fmt.Errorf("METADATA custom.severity must be one of %s, is %v", strings.Join(Severities, ", "), meta.Custom["severity"])
	}
	d.Judges, _ = meta.Custom["judges"].(string)
	if d.Judges != JudgesState && d.Judges != JudgesChange {
		return fmt.Errorf("METADATA custom.judges must be %q or %q, is %v", JudgesState, JudgesChange, meta.Custom["judges"])
	}
	if value, ok := meta.Custom["eachBGPPeer"]; ok {
		if d.EachBGPPeer, ok = value.(bool); !ok {
			return fmt.Errorf("METADATA custom.eachBGPPeer must be true or false, is %v", value)
		}
	}
	actions, _ := meta.Custom["validationActions"].([]any)
	for _, v := range actions {
		name, _ := v.(string)
		d.Actions = append(d.Actions, violation.Action(name))
	}
	if problem := checkActions(d.Actions); problem != nil {
		return fmt.Errorf("METADATA custom.%w", problem)
	}
	var err error
	if d.schema, err = newSchema(d.File, meta.Custom["parameters"]); err != nil {
		return fmt.Errorf("METADATA custom.parameters: %w", err)
	}
	if err := d.readLoosens(meta.Custom["loosens"]); err != nil {
		return fmt.Errorf("METADATA custom.loosens: %w", err)
	}
	if err := d.readFields(meta.Custom["fields"]); err != nil {
		return fmt.Errorf("METADATA custom.fields: %w", err)
	}
	return nil
}

// walkData calls visit for each reference in x that starts with data, and for each use of data as a whole, such as an argument of
// a function.
func walkData(x any, visit func(ast.Ref)) {
	ast.NewGenericVisitor(func(x any) bool {
		switch x := x.(type) {
		case ast.Ref:
			if x[0].Equal(ast.DefaultRootDocument) {
				visit(x)
				for _, term := range x[1:] { // Keys can be references too.
					walkData(term, visit)
				}
				return true
			}
		case *ast.Term:
			if v, ok := x.Value.(ast.Var); ok && x.Equal(ast.DefaultRootDocument) {
				visit(ast.Ref{ast.NewTerm(v).SetLocation(x.Location)})
			}
		}
		return false
	}).Walk(x)
}

// findReads finds what the policy's rules and their dependencies read of the input, and the parts of
// data.state that they use. The result of the policy depends on nothing else.
func (d *Definition) findReads() error {
	c := d.unit.compiler
	d.reads, d.data = &reads{}, map[string]bool{}
	of := readers{compiler: c, functions: map[string][]*reads{}}
	// Rules of other packages can add to the policy's: a.violation in the package policies.
	all := c.GetRulesDynamicWithOpts(d.ref, ast.RulesOptions{IncludeHiddenModules: true})
	var forbidden []error
	d.eachRule(all, func(r *ast.Rule) {
		found := of.rule(r)
		d.reads.merge(found.input)
		for _, ref := range found.inputs {
			if d.Judges == JudgesState && len(ref) > 1 && (ref[1].Equal(changeKey) || ref[1].Equal(beforeKey)) {
				forbidden = append(forbidden, fmt.Errorf("%s: a policy that judges states must not read input.%s, because it is also evaluated on "+
					"states without a change; set METADATA custom.judges: change if the policy needs it", ref[0].Location, strings.Trim(ref[1].String(), `"`)))
			}
		}
		walkData(r, func(ref ast.Ref) {
			if len(ref) > 1 && !ref[1].Equal(stateKey) && ast.IsConstant(ref[1].Value) {
				return
			}
			part := wholeData
			if len(ref) > 2 && ref[1].Equal(stateKey) {
				if name, ok := ref[2].Value.(ast.String); ok {
					part = string(name)
				}
			}
			d.data[part] = true
		})
	})
	if d.EachBGPPeer {
		d.otherReads = d.readsBesidesBGPPeers(&of, all)
	}
	slices.SortFunc(forbidden, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	forbidden = slices.CompactFunc(forbidden, func(a, b error) bool { return a.Error() == b.Error() })
	return errors.Join(forbidden...)
}

// eachRule calls visit for rules and their dependencies, once for each.
func (d *Definition) eachRule(open []*ast.Rule, visit func(*ast.Rule)) {
	open = slices.Clone(open)
	seen := map[*ast.Rule]bool{}
	for len(open) > 0 {
		r := open[len(open)-1]
		open = open[:len(open)-1]
		if seen[r] {
			continue
		}
		seen[r] = true
		for next := range d.unit.compiler.Graph.Dependencies(r) {
			if next, ok := next.(*ast.Rule); ok {
				open = append(open, next)
			}
		}
		visit(r)
	}
}

// readsBesidesBGPPeers returns what the rules that read BGPPeers read of the input besides them: the violations of BGPPeers depend on nothing
// else. all are the rules of the policy.
func (d *Definition) readsBesidesBGPPeers(of *readers, all []*ast.Rule) *reads {
	out := &reads{}
	for _, r := range all {
		if r.Head.Name != ruleName {
			continue
		}
		one := &reads{}
		d.eachRule([]*ast.Rule{r}, func(r *ast.Rule) { one.merge(of.rule(r).input) })
		if one.of(partState).of(PartBGPPeers) != nil || one.of(partBefore).of(PartBGPPeers) != nil {
			out.merge(one.withoutBGPPeers())
		}
	}
	return out
}

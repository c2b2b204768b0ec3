package policy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage/inmem"

	"github.com/bgpguard/bgpguard/pkg/api/v1alpha1"
	"github.com/bgpguard/bgpguard/pkg/violation"
	"github.com/bgpguard/bgpguard/policies"
)

// Set is the compiled policies that hold, in order of their names. It is
// immutable and safe for concurrent use.
type Set struct {
	policies []*Policy
}

// Policy is one compiled BGPPolicy.
type Policy struct {
	// Name is that of the BGPPolicy document.
	Name string
	// Action is the strongest of its validation actions.
	Action violation.Action

	parameters *ast.Term
	query      rego.PreparedEvalQuery
	reads      []ast.Ref
}

// embedded is the library that is built in; it is compiled once.
var embedded = sync.OnceValues(func() (*library, error) { return loadLibrary(policies.FS) })

// Definitions returns the policies of the library, in order of their names.
func Definitions() ([]*Definition, error) {
	lib, err := embedded()
	if err != nil {
		return nil, err
	}
	out := slices.Collect(maps.Values(lib.definitions))
	slices.SortFunc(out, func(a, b *Definition) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// Defaults returns one document for each policy of the library, with its
// default parameters and the action Deny.
func Defaults() ([]Document, error) {
	definitions, err := Definitions()
	if err != nil {
		return nil, err
	}
	var docs []Document
	for _, d := range definitions {
		doc := Document{}
		doc.APIVersion, doc.Kind = v1alpha1.GroupVersion, v1alpha1.KindBGPPolicy
		doc.Name = d.Name
		doc.Spec = v1alpha1.BGPPolicySpec{Policy: d.Name, ValidationActions: []violation.Action{violation.Deny}}
		docs = append(docs, doc)
	}
	return docs, nil
}

// CompileFrom is Compile with another library than the one that is built in:
// Rego modules and schemas/input.json in fsys, laid out as in package policies.
func CompileFrom(fsys fs.FS, docs []Document) (*Set, error) {
	lib, err := loadLibrary(fsys)
	if err != nil {
		return nil, err
	}
	return lib.compile(docs)
}

// Compile checks and prepares documents. Errors name file, line and field; all
// that can be found are joined.
func Compile(docs []Document) (*Set, error) {
	lib, err := embedded()
	if err != nil {
		return nil, err
	}
	return lib.compile(docs)
}

func (l *library) compile(docs []Document) (s *Set, err error) {
	defer func() {
		if r := recover(); r != nil { // A set that cannot be used; the one in force stays.
			s, err = nil, fmt.Errorf("compiling the policies panicked: %v", r)
		}
	}()
	s = &Set{}
	var errs []error
	for _, d := range docs {
		p, err := l.prepare(&d)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		i, twice := slices.BinarySearchFunc(s.policies, p.Name, func(p *Policy, name string) int { return strings.Compare(p.Name, name) })
		if twice {
			errs = append(errs, d.errorf("metadata.name", "is the name of two documents"))
			continue
		}
		s.policies = slices.Insert(s.policies, i, p)
	}
	return s, errors.Join(errs...)
}

func (l *library) prepare(d *Document) (*Policy, error) {
	def := l.definitions[d.Spec.Policy]
	if def == nil {
		return nil, d.errorf("spec.policy", "%q is not in the library; known are %s", d.Spec.Policy,
			strings.Join(slices.Sorted(maps.Keys(l.definitions)), ", "))
	}
	parameters, bad := def.schema.fill(d.Spec.Parameters)
	if bad != nil {
		return nil, d.errorf(strings.TrimSuffix("spec.parameters."+bad.field, "."), "%s", bad.message)
	}
	value, err := ast.InterfaceToValue(parameters)
	if err != nil {
		return nil, d.errorf("spec.parameters", "%v", err)
	}
	query := append(slices.Clone(def.ref), ast.StringTerm(ruleName))
	prepared, err := rego.New(
		rego.ParsedQuery(ast.NewBody(ast.NewExpr(ast.NewTerm(query)))),
		rego.Compiler(l.compiler),
		rego.Store(inmem.New()),
		// A builtin that fails would otherwise make its rule undefined, which
		// reads as "nothing wrong".
		rego.StrictBuiltinErrors(true),
	).PrepareForEval(context.Background())
	if err != nil {
		return nil, d.errorf("spec.policy", "%v", err)
	}
	return &Policy{Name: d.Name, Action: d.strongest(), parameters: ast.NewTerm(value), query: prepared, reads: l.reads(def)}, nil
}

// Policies returns the policies in order of their names. The slice must not be
// changed.
func (s *Set) Policies() []*Policy { return s.policies }

// Parameters returns the values in effect, with the defaults of those that the
// BGPPolicy leaves out.
func (p *Policy) Parameters() (map[string]any, error) {
	v, err := ast.JSON(p.parameters.Value)
	if err != nil {
		return nil, err
	}
	return v.(map[string]any), nil // As an object it was made.
}

// Names returns the names of the policies in order.
func (s *Set) Names() []string {
	var out []string
	for _, p := range s.policies {
		out = append(out, p.Name)
	}
	return out
}

// Reads reports whether any policy refers to a part of input.state. What none
// refers to need not be in the input.
func (s *Set) Reads(part string) bool {
	key := ast.InternedTerm(part)
	for _, p := range s.policies {
		for _, ref := range p.reads {
			if len(ref) == 0 || (ref[0].Equal(stateKey) && (len(ref) == 1 || ref[1].Equal(key))) {
				return true
			}
		}
	}
	return false
}

var stateKey = ast.InternedTerm("state")

var parametersKey = ast.InternedTerm("parameters")

// Unaffected reports whether the policy's result is the same for two inputs
// because nothing that it reads of them differs. Parts that are the same
// pointer cost nothing to compare.
func (p *Policy) Unaffected(a, b ast.Object) bool {
	for _, ref := range p.reads {
		if len(ref) > 0 && ref[0].Equal(parametersKey) {
			continue
		}
		if !equalAt(a, b, ref) {
			return false
		}
	}
	return true
}

func equalAt(a, b ast.Value, ref ast.Ref) bool {
	for _, step := range ref {
		if a == b {
			return true
		}
		x, ok := a.(ast.Object)
		y, ok2 := b.(ast.Object)
		if !ok || !ok2 {
			break
		}
		s, t := x.Get(step), y.Get(step)
		if s == nil || t == nil {
			return s == nil && t == nil
		}
		a, b = s.Value, t.Value
	}
	return a == b || a.Compare(b) == 0
}

// Evaluate returns the violations of the policy for input, sorted by id. input
// holds all but the parameters, which the policy adds. An error means that the
// policy could not judge, never that it found something: a failing builtin, a
// result of the wrong shape, or the context's end, which stops the evaluation.
func (p *Policy) Evaluate(ctx context.Context, input ast.Object) (found []violation.Violation, err error) {
	defer func() {
		if r := recover(); r != nil { // An error of this policy, which must hide no other's violations.
			found, err = nil, fmt.Errorf("panicked: %v", r)
		}
	}()
	if ctx.Err() != nil { // A short evaluation would else be over before it notices.
		return nil, fmt.Errorf("not started: %w", context.Cause(ctx))
	}
	full := ast.NewObject([2]*ast.Term{parametersKey, p.parameters})
	input.Foreach(func(k, v *ast.Term) { full.Insert(k, v) })
	results, err := p.query.Eval(ctx, rego.EvalParsedInput(full))
	if err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("stopped before it had finished: %w", context.Cause(ctx))
		}
		return nil, err
	}
	if len(results) != 1 || len(results[0].Expressions) != 1 {
		return nil, fmt.Errorf("gave no result: rule %s is undefined", ruleName)
	}
	list, ok := results[0].Expressions[0].Value.([]any)
	if !ok {
		return nil, fmt.Errorf("rule %s gave a %T, not a set", ruleName, results[0].Expressions[0].Value)
	}
	ids := map[string]bool{}
	for _, item := range list {
		v, err := p.violation(item)
		if err != nil {
			return nil, err
		}
		if ids[v.ID] {
			return nil, fmt.Errorf("two violations have the id %q", v.ID)
		}
		ids[v.ID] = true
		found = append(found, v)
	}
	slices.SortFunc(found, violation.Compare)
	return found, nil
}

package policy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/bgpguard/bgpguard/pkg/api/v1alpha1"
	"github.com/bgpguard/bgpguard/pkg/violation"
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
	// Definition is the policy in Rego.
	Definition *Definition

	fingerprint string
	match       matcher
	parameters  *ast.Term
	values      map[string]any // the parameters
	query       rego.PreparedEvalQuery
	// abandoned counts evaluations that did not end when they were told to.
	abandoned *atomic.Int32
}

// Defaults returns one document for each policy of the library, with its
// default parameters and the actions that its METADATA recommends.
func Defaults() ([]Document, error) {
	l, err := embedded()
	if err != nil {
		return nil, err
	}
	var docs []Document
	for _, d := range l.Definitions() {
		docs = append(docs, Default(d))
	}
	return docs, nil
}

// Default returns a document for a policy, with its default parameters and the
// actions that its METADATA recommends.
func Default(d *Definition) Document {
	doc := Document{}
	doc.APIVersion, doc.Kind = v1alpha1.APIVersion, v1alpha1.KindBGPPolicy
	doc.Name = d.Name
	doc.Spec = v1alpha1.BGPPolicySpec{Policy: d.Name, ValidationActions: slices.Clone(d.Actions)}
	return doc
}

// Compile is Library.Compile with the library that is built in.
func Compile(docs []Document) (*Set, error) {
	l, err := embedded()
	if err != nil {
		return nil, err
	}
	return l.Compile(docs)
}

// Compile prepares documents, whose names must differ. Errors name file, line
// and field; all that can be found are joined.
func (l *Library) Compile(docs []Document) (*Set, error) {
	var prepared []*Policy
	var errs []error
	for _, d := range docs {
		p, err := l.Prepare(&d)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		prepared = append(prepared, p)
	}
	return NewSet(prepared), errors.Join(errs...)
}

// NewSet returns the set of policies, whose names must differ.
func NewSet(prepared []*Policy) *Set {
	s := &Set{policies: slices.Clone(prepared)}
	slices.SortFunc(s.policies, func(a, b *Policy) int { return strings.Compare(a.Name, b.Name) })
	return s
}

// Check is Prepare for a document that nobody has checked yet: it holds what the
// schema of a BGPPolicy holds, and runs the tests of a policy of the document's
// own, which may take as long as limit. Their taking longer is a *LimitError.
func (l *Library) Check(ctx context.Context, d *Document, limit time.Duration) (*Policy, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	p, err := l.Prepare(d)
	if err != nil || d.Spec.Rego == nil {
		return p, err
	}
	if err := p.Test(ctx, limit); err != nil {
		return nil, d.errorf("spec.rego.modules", "%w", err)
	}
	return p, nil
}

// Prepare compiles a document. Errors name file, line and field. The tests of a
// policy of the document's own are not run; see Check.
func (l *Library) Prepare(d *Document) (p *Policy, err error) {
	defer func() {
		if r := recover(); r != nil { // A policy that cannot be used; the one in force stays.
			p, err = nil, d.errorf("", "compiling it panicked: %v", r)
		}
	}()
	def, err := l.definition(d)
	if err != nil {
		return nil, err
	}
	var text []byte
	if d.Spec.Parameters != nil {
		text = d.Spec.Parameters.Raw
	}
	parameters, bad := def.schema.fill(text)
	if bad != nil {
		return nil, d.errorf(strings.TrimSuffix("spec.parameters."+bad.field, "."), "%s", bad.message)
	}
	value, err := ast.InterfaceToValue(parameters)
	if err != nil {
		return nil, d.errorf("spec.parameters", "%v", err)
	}
	p = &Policy{
		Name: d.Name, Action: d.strongest(), Definition: def,
		fingerprint: fingerprint(d, def), match: newMatcher(&d.Spec), parameters: ast.NewTerm(value), values: parameters,
		abandoned: &atomic.Int32{},
	}
	if p.query, err = def.prepare(); err != nil {
		return nil, d.errorf("spec.policy", "%v", err)
	}
	return p, nil
}

// prepare returns the query that asks the policy for its violations.
func (d *Definition) prepare() (rego.PreparedEvalQuery, error) {
	query := append(slices.Clone(d.ref), ast.StringTerm(ruleName))
	return rego.New(
		rego.ParsedQuery(ast.NewBody(ast.NewExpr(ast.NewTerm(query)))),
		rego.Compiler(d.unit.compiler),
		rego.Store(d.unit.store),
		// A builtin that fails would otherwise make its rule undefined, which
		// reads as "nothing wrong".
		rego.StrictBuiltinErrors(true),
	).PrepareForEval(context.Background())
}

// Anew returns the policy as it is when it has just been loaded: nothing that an
// evaluation leaves behind is in it.
func (p *Policy) Anew() (*Policy, error) {
	out := *p
	out.abandoned = &atomic.Int32{}
	var err error
	out.query, err = p.Definition.prepare()
	return &out, err
}

// definition returns the policy that a document names, or brings along.
func (l *Library) definition(d *Document) (*Definition, error) {
	if d.Spec.Rego == nil {
		def := l.definitions[d.Spec.Policy]
		if def == nil {
			return nil, d.errorf("spec.policy", "%q is not in the library; known are %s", d.Spec.Policy,
				strings.Join(l.Names(), ", "))
		}
		return def, nil
	}
	source := Source{Name: v1alpha1.KindBGPPolicy + " " + d.Name, Modules: map[string]string{}}
	for i, m := range d.Spec.Rego.Modules {
		if _, twice := source.Modules[m.Name]; twice {
			return nil, d.errorf(fmt.Sprintf("spec.rego.modules[%d].name", i), "%q is the name of two modules", m.Name)
		}
		source.Modules[m.Name] = m.Text
	}
	definitions, err := compile(source)
	if err != nil {
		return nil, d.errorf("spec.rego.modules", "%w", err)
	}
	if len(definitions) > 1 {
		return nil, d.errorf("spec.rego.modules", "hold %d policies, %s and %s among them; a BGPPolicy is one", len(definitions),
			definitions[0].Name, definitions[1].Name)
	}
	return definitions[0], nil
}

// fingerprint is that of a document, with the policy that it names or brings along.
func fingerprint(d *Document, def *Definition) string {
	of := d.Spec
	of.Match, of.Exempt = nil, nil // They are about changes.
	spec, _ := json.Marshal(&of)   //nolint:errchkjson // It came as JSON.
	sum := sha256.Sum256(slices.Concat([]byte(def.Name+" "+def.unit.digest+" "), spec))
	return hex.EncodeToString(sum[:])
}

// Fingerprint differs between policies that may judge one state differently: by
// other Rego or other data, parameters or actions. Whose changes a policy judges makes
// no difference. It is the same in every process that has the same policy.
func (p *Policy) Fingerprint() string { return p.fingerprint }

// Policies returns the policies in order of their names. The slice must not be
// changed.
func (s *Set) Policies() []*Policy { return s.policies }

// Parameters returns the values in effect, defaults among them. The map must not
// be changed.
func (p *Policy) Parameters() map[string]any { return p.values }

// Names returns the names of the policies in order.
func (s *Set) Names() []string {
	var out []string
	for _, p := range s.policies {
		out = append(out, p.Name)
	}
	return out
}

// Reads reports whether any policy refers to a part of the summary of a state.
// What none refers to need not be in the input.
func (s *Set) Reads(part string) bool {
	key := ast.InternedTerm(part)
	for _, p := range s.policies {
		for _, ref := range p.Definition.reads {
			if len(ref) == 0 || ((ref[0].Equal(stateKey) || ref[0].Equal(beforeKey)) && (len(ref) == 1 || ref[1].Equal(key))) {
				return true
			}
		}
	}
	return false
}

// ReadsTime reports whether what any policy finds in a state may depend on the time.
func (s *Set) ReadsTime() bool {
	for _, p := range s.policies {
		if p.Definition.Judges == JudgesChange {
			continue
		}
		for _, ref := range p.Definition.reads {
			if len(ref) == 0 || ref[0].Equal(nowKey) {
				return true
			}
		}
	}
	return false
}

var (
	nowKey        = ast.InternedTerm("now")
	stateKey      = ast.InternedTerm("state")
	beforeKey     = ast.InternedTerm("before")
	changeKey     = ast.InternedTerm("change")
	parametersKey = ast.InternedTerm("parameters")
)

// ReadsData reports whether the policy refers to data.state.
func (p *Policy) ReadsData() bool { return p.Definition.readsAll }

// Unaffected reports whether the policy's result is the same for two inputs
// because nothing that it reads of them differs, data.state aside. Parts that
// are the same pointer cost nothing to compare.
func (p *Policy) Unaffected(a, b ast.Object) bool {
	for _, ref := range p.Definition.reads {
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

// Input returns the input of the policy: input, which holds all else, and its
// parameters.
func (p *Policy) Input(input ast.Object) ast.Object {
	full := ast.NewObject([2]*ast.Term{parametersKey, p.parameters})
	input.Foreach(func(k, v *ast.Term) { full.Insert(k, v) })
	return full
}

// stateData answers for data.state, which changes with each evaluation, before
// the store is asked, which does not.
type stateData struct{ value ast.Value }

// Get implements topdown.BaseCache.
func (s stateData) Get(ref ast.Ref) ast.Value {
	if len(ref) < 2 || !ref[1].Equal(stateKey) {
		return nil
	}
	v, err := s.value.Find(ref[2:])
	if err != nil { // Not there; nor is it in the store.
		return nil
	}
	return v
}

// Put implements topdown.BaseCache. The store gives values that need no caching.
func (stateData) Put(ast.Ref, ast.Value) {}

// Evaluate returns the violations of the policy for input, sorted by id. input
// holds all but the parameters, which the policy adds; state gives data.state to
// a policy that refers to it. An error means that the
// policy could not judge, never that it found something: a failing builtin, a
// result of the wrong shape, or the context's end, which stops the evaluation.
func (p *Policy) Evaluate(ctx context.Context, input ast.Object, state func() ast.Value) ([]violation.Violation, error) {
	return p.evaluate(ctx, input, state)
}

// Trace is Evaluate that tells a tracer each step.
func (p *Policy) Trace(ctx context.Context, input ast.Object, state func() ast.Value, tracer topdown.QueryTracer) ([]violation.Violation, error) {
	return p.evaluate(ctx, input, state, rego.EvalQueryTracer(tracer))
}

func (p *Policy) evaluate(ctx context.Context, input ast.Object, state func() ast.Value, more ...rego.EvalOption) (found []violation.Violation, err error) {
	defer func() {
		if r := recover(); r != nil { // An error of this policy, which must hide no other's violations.
			found, err = nil, fmt.Errorf("panicked: %v", r)
		}
	}()
	if ctx.Err() != nil { // A short evaluation would else be over before it notices.
		return nil, fmt.Errorf("not started: %w", context.Cause(ctx))
	}
	if p.abandoned.Load() > 0 { // Each request would leave one more behind, until there is no machine left.
		return nil, errors.New("not started: an earlier evaluation was to stop and has not, so a builtin that it calls takes too long; call it with less")
	}
	options := append([]rego.EvalOption{rego.EvalParsedInput(p.Input(input))}, more...)
	if p.ReadsData() {
		options = append(options, rego.EvalBaseCache(stateData{state()}))
	}
	results, ended, err := untilEnd(ctx, func() (rego.ResultSet, error) { return p.query.Eval(ctx, options...) })
	if ended != nil {
		p.abandoned.Add(1)
		go func() {
			<-ended
			p.abandoned.Add(-1)
		}()
	}
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
	slices.SortFunc(found, violation.ByPolicyAndID)
	return found, nil
}

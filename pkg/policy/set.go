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

// Set is a set of compiled policies, sorted by name. It is immutable and safe for concurrent
// use.
type Set struct {
	policies []*Policy
	transit  [][]string
}

// Policy is one compiled BGPPolicy.
type Policy struct {
	// Name is the name of the BGPPolicy.
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
	// abandoned counts the evaluations that still run after their context was done, and evaluations
	// all that began.
	abandoned   *atomic.Int32
	evaluations *atomic.Int64
	quarantine  *quarantine
	reach       *reach
}

// Defaults returns a document for each policy of the library, with its default parameters
// and the actions that its METADATA recommends.
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

// Default returns a document for a policy, with its default parameters and the actions that
// its METADATA recommends.
func Default(d *Definition) Document {
	doc := Document{}
	doc.APIVersion, doc.Kind = v1alpha1.APIVersion, v1alpha1.KindBGPPolicy
	doc.Name = d.Name
	doc.Spec = v1alpha1.BGPPolicySpec{Policy: d.Name, ValidationActions: slices.Clone(d.Actions)}
	return doc
}

// Compile calls Library.Compile on the built-in library.
func Compile(docs []Document) (*Set, error) {
	l, err := embedded()
	if err != nil {
		return nil, err
	}
	return l.Compile(docs)
}

// Compile prepares documents, whose names must differ. Errors name file, line and field, and
// are joined.
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
	for _, p := range s.policies {
		if list := p.transitPeers(); len(list) > 0 && !slices.ContainsFunc(s.transit, func(known []string) bool { return slices.Equal(known, list) }) {
			s.transit = append(s.transit, list)
		}
	}
	return s
}

// transitPeers returns the parameter transitPeers of a policy, nil if it has none or
// another type.
func (p *Policy) transitPeers() []string {
	values, _ := p.values[parameterTransitPeers].([]any)
	out := make([]string, 0, len(values))
	for _, v := range values {
		text, ok := v.(string)
		if !ok {
			return nil
		}
		out = append(out, text)
	}
	return out
}

// parameterTransitPeers is the parameter in which a policy lists the external peers that
// are known to pass routes on between nodes.
const parameterTransitPeers = "transitPeers"

// TransitPeers returns the distinct values of the parameter transitPeers, without empty
// ones. For each of them, policies find a reading in input.state.routes. The lists must not
// be changed.
func (s *Set) TransitPeers() [][]string { return s.transit }

// Check is Prepare for a document that was not validated: it validates what the schema of the
// CRD validates, and runs the tests of a policy in the document, for at most limit. Tests
// that take longer are a *LimitError.
func (l *Library) Check(ctx context.Context, d *Document, limit time.Duration) (*Policy, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	p, err := l.Prepare(d)
	if err != nil || d.Spec.Rego == nil {
		return p, err
	}
	if err := p.Test(ctx, limit); err != nil {
		return nil, d.Errorf("spec.rego.modules", "%w", err)
	}
	return p, nil
}

// Prepare compiles a document. Errors name file, line and field. It does not run the tests of
// a policy in the document; see Check.
func (l *Library) Prepare(d *Document) (p *Policy, err error) {
	defer func() {
		if r := recover(); r != nil {
			p, err = nil, d.Errorf("", "compiling it panicked: %v", r)
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
		return nil, d.Errorf(strings.TrimSuffix("spec.parameters."+bad.field, "."), "%s", bad.message)
	}
	value, err := ast.InterfaceToValue(parameters)
	if err != nil {
		return nil, d.Errorf("spec.parameters", "%v", err)
	}
	p = &Policy{
		Name: d.Name, Action: d.strongest(), Definition: def,
		fingerprint: fingerprint(d, def), match: newMatcher(d.Spec.Match, d.Spec.Exempt), parameters: ast.NewTerm(value), values: parameters,
		abandoned: &atomic.Int32{}, evaluations: &atomic.Int64{}, quarantine: newQuarantine(), reach: &reach{known: map[[2]string]bool{}},
	}
	if p.query, err = def.prepare(); err != nil {
		return nil, d.Errorf("spec.policy", "%v", err)
	}
	return p, nil
}

// query returns the reference to the set of violations.
func (d *Definition) query() ast.Ref {
	return append(slices.Clone(d.ref), ast.StringTerm(ruleName))
}

// prepare returns the query for the policy's violations.
func (d *Definition) prepare() (rego.PreparedEvalQuery, error) {
	return rego.New(
		rego.ParsedQuery(ast.NewBody(ast.NewExpr(ast.NewTerm(d.query())))),
		rego.Compiler(d.unit.compiler),
		rego.Store(d.unit.store),
		// Otherwise a builtin that fails makes its rule undefined, which looks like "no
		// violation".
		rego.StrictBuiltinErrors(true),
	).PrepareForEval(context.Background())
}

// Fresh returns a copy of the policy without the state of earlier evaluations.
func (p *Policy) Fresh() (*Policy, error) {
	out := *p
	out.abandoned, out.evaluations, out.quarantine = &atomic.Int32{}, &atomic.Int64{}, newQuarantine()
	var err error
	out.query, err = p.Definition.prepare()
	return &out, err
}

// definition returns the policy that a document refers to or contains.
func (l *Library) definition(d *Document) (*Definition, error) {
	if d.Spec.Rego == nil {
		def := l.definitions[d.Spec.Policy]
		if def == nil {
			return nil, d.Errorf("spec.policy", "%q is not in the library; known are %s", d.Spec.Policy,
				strings.Join(l.Names(), ", "))
		}
		return def, nil
	}
	source := Source{Name: v1alpha1.KindBGPPolicy + " " + d.Name, Modules: map[string]string{}}
	for i, m := range d.Spec.Rego.Modules {
		if _, twice := source.Modules[m.Name]; twice {
			return nil, d.Errorf(fmt.Sprintf("spec.rego.modules[%d].name", i), "%q is used by two modules", m.Name)
		}
		source.Modules[m.Name] = m.Text
	}
	definitions, err := compile(source, source.Modules)
	if err != nil {
		return nil, d.Errorf("spec.rego.modules", "%w", err)
	}
	if len(definitions) > 1 {
		return nil, d.Errorf("spec.rego.modules", "must contain one policy, contain %d, including %s and %s", len(definitions),
			definitions[0].Name, definitions[1].Name)
	}
	return definitions[0], nil
}

// fingerprint returns a hash of a document and the policy that it refers to or contains.
func fingerprint(d *Document, def *Definition) string {
	of := d.Spec
	of.Match, of.Exempt = nil, nil // They do not affect the evaluation of a state.
	spec, _ := json.Marshal(&of)   //nolint:errchkjson // It was read from JSON.
	sum := sha256.Sum256(slices.Concat([]byte(def.Name+" "+def.unit.digest+" "), spec))
	return hex.EncodeToString(sum[:])
}

// Fingerprint returns a hash of everything that decides the policy's violations in a state:
// Rego, data, parameters and actions, but not match and exempt. It is the same in every
// process.
func (p *Policy) Fingerprint() string { return p.fingerprint }

// Policies returns the policies, sorted by name. The slice must not be changed.
func (s *Set) Policies() []*Policy { return s.policies }

// Parameters returns the parameters in effect, including defaults. The map must not be
// changed.
func (p *Policy) Parameters() map[string]any { return p.values }

// Names returns the names of the policies, sorted.
func (s *Set) Names() []string {
	var out []string
	for _, p := range s.policies {
		out = append(out, p.Name)
	}
	return out
}

// Reads reports whether any policy refers to a part of the summary of a state. Other parts
// can be absent from the input.
func (s *Set) Reads(part string) bool {
	return slices.ContainsFunc(s.policies, func(p *Policy) bool { return p.Reads(part) })
}

// Reads reports whether the policy refers to a part of the summary of a state.
func (p *Policy) Reads(part string) bool {
	r := p.Definition.reads
	return r.of(partState).of(part) != nil || r.of(partBefore).of(part) != nil
}

// ReadsTime reports whether the violations of any policy in a state can depend on the time.
func (s *Set) ReadsTime() bool {
	for _, p := range s.policies {
		if p.Definition.Judges == JudgesChange {
			continue
		}
		if p.Definition.reads.of(partNow) != nil {
			return true
		}
	}
	return false
}

// Parts of the input.
const (
	partNow        = "now"
	partState      = "state"
	partBefore     = "before"
	partChange     = "change"
	partParameters = "parameters"
)

var (
	stateKey      = ast.InternedTerm(partState)
	beforeKey     = ast.InternedTerm(partBefore)
	changeKey     = ast.InternedTerm(partChange)
	parametersKey = ast.InternedTerm(partParameters)
)

// ReadsData reports whether the policy refers to data.state.
func (p *Policy) ReadsData() bool { return len(p.Definition.data) > 0 }

// ReadsDataPart reports whether the policy may refer to a part of data.state. Other parts can be
// absent.
func (p *Policy) ReadsDataPart(part string) bool {
	return p.Definition.data[part] || p.Definition.data[wholeData]
}

// Input returns input with the parameters of the policy.
func (p *Policy) Input(input ast.Object) ast.Object {
	full := ast.NewObject([2]*ast.Term{parametersKey, p.parameters})
	input.Foreach(func(k, v *ast.Term) { full.Insert(k, v) })
	return full
}

// stateData is the value of data.state. It has precedence over the store, because it differs
// between evaluations and the store does not.
type stateData struct{ value ast.Value }

// Get implements topdown.BaseCache.
func (s stateData) Get(ref ast.Ref) ast.Value {
	if len(ref) < 2 || !ref[1].Equal(stateKey) {
		return nil
	}
	v, err := s.value.Find(ref[2:])
	if err != nil { // The path does not exist, and the store does not have it either.
		return nil
	}
	return v
}

// Put implements topdown.BaseCache. Values of the store need no caching.
func (stateData) Put(ast.Ref, ast.Value) {}

// Evaluate returns the violations of the policy for input, sorted by id. input has no
// parameters; the policy adds them. state returns data.state, and is called if the policy
// reads it. An error is an evaluation error and not a violation: a builtin that fails, a
// result of the wrong type, or the end of ctx, which stops the evaluation. A policy whose
// evaluations keep failing is quarantined; see ErrQuarantined.
//
// input is of the state of the cluster, or of a change that a policy evaluates. For the states
// that a change leads to, see EvaluateProposed.
func (p *Policy) Evaluate(ctx context.Context, input ast.Object, state func() ast.Value) ([]violation.Violation, error) {
	if err := p.quarantine.admit(); err != nil {
		return nil, err
	}
	found, used, err := p.evaluate(ctx, input, state)
	return found, p.quarantine.record(ctx, used, err)
}

// EvaluateProposed is Evaluate for a state that the cluster does not have. Its failures never
// quarantine the policy: users who can propose changes could otherwise end its enforcement.
func (p *Policy) EvaluateProposed(ctx context.Context, input ast.Object, state func() ast.Value) ([]violation.Violation, error) {
	if err := p.quarantine.quarantined(); err != nil {
		return nil, err
	}
	found, _, err := p.evaluate(ctx, input, state)
	return found, err
}

// Evaluations returns how many evaluations of the policy's Rego have begun.
func (p *Policy) Evaluations() int64 { return p.evaluations.Load() }

// Trace is like Evaluate and reports each step to a tracer.
func (p *Policy) Trace(ctx context.Context, input ast.Object, state func() ast.Value, tracer topdown.QueryTracer) ([]violation.Violation, error) {
	found, _, err := p.evaluate(ctx, input, state, rego.EvalQueryTracer(tracer))
	return found, err
}

// abandon counts an evaluation that did not stop at its deadline until running is closed. It
// does nothing if running is nil.
func (p *Policy) abandon(running <-chan struct{}) {
	if running == nil {
		return
	}
	p.abandoned.Add(1)
	go func() {
		<-running
		p.abandoned.Add(-1)
	}()
}

// errAbandoned is the error of a policy of which maxAbandoned evaluations run on.
var errAbandoned = fmt.Errorf("stopped: %d earlier evaluations did not stop at their deadline and still run; one of the policy's builtin calls takes too long and needs a smaller argument", maxAbandoned)

// evaluate evaluates the policy and returns the CPU time that this used.
func (p *Policy) evaluate(ctx context.Context, input ast.Object, state func() ast.Value, more ...rego.EvalOption) (found []violation.Violation, used time.Duration, err error) {
	defer func() {
		if r := recover(); r != nil { // A panic must not prevent the evaluation of other policies.
			found, err = nil, recovered(r)
		}
	}()
	if ctx.Err() != nil { // A short evaluation can finish before OPA checks the context.
		return nil, 0, fmt.Errorf("not started: %w", context.Cause(ctx))
	}
	if p.abandoned.Load() >= maxAbandoned {
		return nil, 0, errAbandoned
	}
	options := append([]rego.EvalOption{rego.EvalParsedInput(p.Input(input))}, more...)
	if p.ReadsData() {
		options = append(options, rego.EvalBaseCache(stateData{state()}))
	}
	p.evaluations.Add(1)
	ctx, end := memory.watch(ctx)
	defer end()
	meter := &cpuMeter{}
	results, running, err := untilDone(ctx, func() (rego.ResultSet, error) {
		defer meter.start()()
		return p.query.Eval(ctx, options...)
	})
	p.abandon(running)
	used = meter.used()
	if err != nil {
		if exceeded, ok := errors.AsType[*MemoryError](context.Cause(ctx)); ok {
			return nil, used, exceeded
		}
		if ctx.Err() != nil {
			return nil, used, fmt.Errorf("stopped before it finished: %w", context.Cause(ctx))
		}
		return nil, used, err
	}
	found, err = p.violations(results)
	return found, used, err
}

// violations returns the violations in the result of the query.
func (p *Policy) violations(results rego.ResultSet) ([]violation.Violation, error) {
	if len(results) != 1 || len(results[0].Expressions) != 1 {
		return nil, fmt.Errorf("has no result: rule %s is undefined", ruleName)
	}
	list, ok := results[0].Expressions[0].Value.([]any)
	if !ok {
		return nil, fmt.Errorf("rule %s must be a set, is a %T", ruleName, results[0].Expressions[0].Value)
	}
	var found []violation.Violation
	ids := map[[2]string]bool{} // with the assumption
	for _, item := range list {
		v, err := p.violation(item)
		if err != nil {
			return nil, err
		}
		key := [2]string{v.ID, v.Assumption}
		if ids[key] {
			return nil, fmt.Errorf("two violations have the id %q", v.ID)
		}
		ids[key] = true
		found = append(found, v)
	}
	slices.SortFunc(found, violation.ByPolicyAndID)
	return found, nil
}

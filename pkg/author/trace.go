package author

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/bgpguard/bgpguard/pkg/text"
)

// maxValue is the maximum length of a value in a trace, in bytes.
const maxValue = 72

// RuleTrace is the summary of the evaluations of a rule.
type RuleTrace struct {
	Name string
	// File and Row are the position of the rule.
	File string
	Row  int
	// True and False are the numbers of evaluations that were true and that were not. A
	// partial rule is true once per result.
	True, False int
	// Steps are the evaluated expressions, in the order in which they are written.
	Steps []StepTrace
}

// StepTrace is the summary of the evaluations of an expression.
type StepTrace struct {
	// Expression is the text of the expression, or "" for the head of the rule.
	Expression string
	Row        int
	// Depth is the number of comprehensions around the expression.
	Depth int
	// True and False are the numbers of evaluations that were true and that were not,
	// TrueWith and FalseWith the values of the first of each.
	True, False         int
	TrueWith, FalseWith string
}

// trace summarizes an evaluation. It counts the evaluations of each rule, and counts how
// often each expression was true and false. It keeps the values of the first true and the
// first false evaluation. Its size depends on the policy, not on the length of the evaluation.
type trace struct {
	rules   []*ruleTrace          // evaluated rules, in the order of their first evaluation
	known   map[string]*ruleTrace // all rules, by position
	pending map[uint64]*step      // the last evaluated expression of each query
	depth   map[uint64]int        // the comprehensions around each query
}

// ruleTrace counts the evaluations of a rule.
type ruleTrace struct {
	name          string
	at            *ast.Location
	entered, held int
	steps         []*step // in the order in which they are written
}

// step is an expression in the source.
type step struct {
	expr        *ast.Expr // nil for the head of the rule
	at          *ast.Location
	depth       int // the comprehensions around it
	held, fails int
	values      [2]string // of the first time that it was false, and true
}

// newTrace returns a trace of the rules of a package.
func newTrace(modules map[string]*ast.Module, pkg ast.Ref) *trace {
	t := &trace{known: map[string]*ruleTrace{}, pending: map[uint64]*step{}, depth: map[uint64]int{}}
	for _, file := range slices.Sorted(maps.Keys(modules)) {
		if !modules[file].Package.Path.Equal(pkg) {
			continue
		}
		for _, r := range modules[file].Rules {
			for ; r != nil; r = r.Else {
				out := &ruleTrace{name: r.Head.Ref().String(), at: r.Location}
				out.add(r.Body, 0)
				ast.WalkClosures(r.Head, func(x any) bool {
					out.closure(x, 1)
					return true
				})
				out.steps = append(out.steps, &step{at: r.Head.Location})
				t.known[place(r.Location)] = out
			}
		}
	}
	return t
}

func place(l *ast.Location) string { return fmt.Sprintf("%s:%d:%d", l.File, l.Row, l.Col) }

func (r *ruleTrace) add(body ast.Body, depth int) {
	for _, e := range body {
		if t, ok := e.Terms.(*ast.Term); ok && t.Value.Compare(ast.Boolean(true)) == 0 { // OPA adds the body "true" to a rule without a body.
			continue
		}
		r.steps = append(r.steps, &step{expr: e, at: e.Location, depth: depth})
		ast.WalkClosures(e, func(x any) bool {
			r.closure(x, depth+1)
			return true
		})
	}
}

func (r *ruleTrace) closure(x any, depth int) {
	switch c := x.(type) {
	case *ast.ArrayComprehension:
		r.add(c.Body, depth)
	case *ast.SetComprehension:
		r.add(c.Body, depth)
	case *ast.ObjectComprehension:
		r.add(c.Body, depth)
	case *ast.Every:
		r.add(c.Body, depth)
	}
}

// Enabled implements topdown.QueryTracer.
func (*trace) Enabled() bool { return true }

// Config implements topdown.QueryTracer.
func (*trace) Config() topdown.TraceConfig { return topdown.TraceConfig{PlugLocalVars: true} }

// TraceEvent implements topdown.QueryTracer.
func (t *trace) TraceEvent(e topdown.Event) {
	switch e.Op {
	case topdown.EnterOp, topdown.ExitOp:
		t.settle(&e)
		r, ok := e.Node.(*ast.Rule)
		if !ok {
			t.depth[e.QueryID] = t.depth[e.ParentID] + 1
			return
		}
		t.depth[e.QueryID] = 0
		known := t.known[place(r.Location)]
		switch {
		case known == nil:
		case e.Op == topdown.ExitOp:
			known.held++
		default:
			if known.entered == 0 {
				t.rules = append(t.rules, known)
			}
			known.entered++
		}
	case topdown.EvalOp:
		if s := t.step(&e); s != nil { // If s is nil, the compiler generated the expression from the previous one.
			t.settle(&e)
			t.pending[e.QueryID] = s
		}
	case topdown.FailOp:
		if s := t.step(&e); s != nil {
			s.fails++
			s.note(0, &e)
		}
		delete(t.pending, e.QueryID)
	case topdown.RedoOp:
		delete(t.pending, e.QueryID)
	default: // Other events are not about expressions.
	}
}

// settle counts the last evaluated expression of a query as true, because the query
// continued.
func (t *trace) settle(e *topdown.Event) {
	s := t.pending[e.QueryID]
	if s == nil {
		return
	}
	delete(t.pending, e.QueryID)
	if e.Op == topdown.EvalOp && t.find(e) == s { // The compiler split one expression.
		return
	}
	s.held++
	s.note(1, e)
}

// step returns the expression of an event. It ignores the positive evaluation inside a
// negation.
func (t *trace) step(e *topdown.Event) *step {
	s := t.find(e)
	expr, ok := e.Node.(*ast.Expr)
	if s == nil || (s.expr != nil && s.expr.Negated && (!ok || !expr.Negated)) {
		return nil
	}
	return s
}

// find returns the innermost expression in the source that contains the position of an
// event.
func (t *trace) find(e *topdown.Event) *step {
	at := e.Location
	if at == nil {
		return nil
	}
	var found *step
	for _, r := range t.known {
		if r.at.File != at.File {
			continue
		}
		for _, s := range r.steps {
			within := s.at.Offset <= at.Offset && at.Offset < s.at.Offset+max(1, len(s.at.Text))
			if within && s.depth == t.depth[e.QueryID] && (found == nil || len(s.at.Text) <= len(found.at.Text)) {
				found = s
			}
		}
	}
	return found
}

// note records the values of an expression, once for each result.
func (s *step) note(way int, e *topdown.Event) {
	if s.values[way] != "" || s.expr == nil {
		return
	}
	v := values{locals: map[ast.Var]ast.Value{}, input: e.Input()}
	for generated, meta := range e.LocalMetadata {
		if value := e.Locals.Get(generated); value != nil {
			v.locals[meta.Name] = value
		}
	}
	v.visitor = ast.NewGenericVisitor(v.visit)
	v.visitor.Walk(s.expr)
	const most = 4
	if len(v.texts) > most {
		v.texts = append(v.texts[:most], "...")
	}
	s.values[way] = strings.Join(v.texts, ", ")
}

// values collects the values of the variables and references of an expression.
// Comprehensions are evaluated separately, so it skips them.
type values struct {
	locals  map[ast.Var]ast.Value
	input   *ast.Term
	visitor *ast.GenericVisitor
	texts   []string
}

func (v *values) visit(x any) bool {
	switch x := x.(type) {
	case *ast.ArrayComprehension, *ast.SetComprehension, *ast.ObjectComprehension:
		return true
	case *ast.Every:
		v.visitor.Walk(x.Domain)
		return true
	case *ast.SomeDecl:
		for _, symbol := range x.Symbols {
			if call, ok := symbol.Value.(ast.Call); ok {
				v.walk(call[1 : len(call)-1])
			}
		}
		return true
	case *ast.Expr:
		terms, call := x.Terms.([]*ast.Term)
		switch {
		case !call:
			return false
		case x.IsAssignment(): // The variable has the same value as the other side.
			v.visitor.Walk(terms[1])
		default:
			v.walk(terms[1:])
		}
		return true
	case *ast.Term:
		return v.term(x)
	default:
		return false
	}
}

func (v *values) walk(terms []*ast.Term) {
	for _, t := range terms {
		v.visitor.Walk(t)
	}
}

func (v *values) term(t *ast.Term) bool {
	switch value := t.Value.(type) {
	case ast.Var:
		v.add(string(value), v.locals[value])
	case ast.Ref:
		v.add(value.String(), resolve(value, v.locals, v.input))
		return true
	case ast.Call:
		v.walk(value[1:])
		return true
	}
	return false
}

func (v *values) add(name string, value ast.Value) {
	if value == nil || !ast.NewTerm(value).IsGround() {
		return
	}
	if s := name + " = " + text.Cut(value.String(), maxValue); !slices.Contains(v.texts, s) {
		v.texts = append(v.texts, s)
	}
}

// resolve returns the value of a reference into input or a variable; nil if it is
// undefined or not ground.
func resolve(ref ast.Ref, locals map[ast.Var]ast.Value, input *ast.Term) ast.Value {
	var base ast.Value
	switch head := varOf(ref[0]); {
	case head == varOf(ast.InputRootDocument):
		if input == nil {
			return nil
		}
		base = input.Value
	default:
		base = locals[head]
	}
	if base == nil {
		return nil
	}
	var steps ast.Ref
	for _, t := range ref[1:] {
		if v := varOf(t); v != "" {
			if locals[v] == nil {
				return nil
			}
			t = ast.NewTerm(locals[v])
		}
		steps = append(steps, t)
	}
	if !steps.IsGround() {
		return nil
	}
	v, err := base.Find(steps)
	if err != nil {
		return nil
	}
	return v
}

// traced returns the evaluated rules with the steps that were evaluated. It
// includes the head of a rule only if the head was undefined.
func (t *trace) traced() []RuleTrace {
	out := make([]RuleTrace, len(t.rules))
	for i, r := range t.rules {
		out[i] = RuleTrace{Name: r.name, File: r.at.File, Row: r.at.Row, True: r.held, False: max(0, r.entered-r.held)}
		for _, s := range r.steps {
			if s.held+s.fails == 0 || (s.expr == nil && s.fails == 0) {
				continue
			}
			step := StepTrace{Row: s.at.Row, Depth: s.depth, True: s.held, False: s.fails, FalseWith: s.values[0], TrueWith: s.values[1]}
			if s.expr != nil {
				step.Expression = string(s.at.Text)
			}
			out[i].Steps = append(out[i].Steps, step)
		}
	}
	return out
}

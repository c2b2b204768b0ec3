package author

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// trace is how an evaluation went, folded: for each rule of the policy how often it
// was evaluated, and for each of its expressions how often it was true and false,
// with the values of the first time. However long the evaluation is, it is as long
// as the policy.
type trace struct {
	rules   []*ruleTrace          // as they were first evaluated
	known   map[string]*ruleTrace // all rules, by place
	pending map[uint64]*step      // the expression of each query that was evaluated last
	depth   map[uint64]int        // of each query: 0 for the body of a rule, more within
}

// ruleTrace is what became of a rule.
type ruleTrace struct {
	name          string
	at            *ast.Location
	entered, held int
	steps         []*step // in the order in which they are written
}

// step is one expression, as it is written.
type step struct {
	expr        *ast.Expr // nil for the rule's head
	at          *ast.Location
	depth       int // of comprehensions
	held, fails int
	values      [2]string // of the first time that it failed, and held
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
		if t, ok := e.Terms.(*ast.Term); ok && t.Value.Compare(ast.Boolean(true)) == 0 { // The body of a rule without one.
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
		if s := t.step(&e); s != nil { // Else it is a part of the one before that the compiler made.
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
	default: // What else there is says nothing of an expression.
	}
}

// settle says of the expression that a query evaluated last that it held, as the
// query went on.
func (t *trace) settle(e *topdown.Event) {
	s := t.pending[e.QueryID]
	if s == nil {
		return
	}
	delete(t.pending, e.QueryID)
	if e.Op == topdown.EvalOp && t.find(e) == s { // The compiler made two of one.
		return
	}
	s.held++
	s.note(1, e)
}

// step returns the expression that an event is about. What is within a negation is
// evaluated by itself, and not what is written.
func (t *trace) step(e *topdown.Event) *step {
	s := t.find(e)
	expr, ok := e.Node.(*ast.Expr)
	if s == nil || (s.expr != nil && s.expr.Negated && (!ok || !expr.Negated)) {
		return nil
	}
	return s
}

// find returns the innermost expression as it is written in which a query evaluates
// something.
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

// note remembers the values of an expression, once for each way that it went.
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

// values collects the values of the variables and references of an expression, but
// for those within comprehensions, which are evaluated by themselves.
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
		case x.IsAssignment(): // The other side is the same.
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
	if text := name + " = " + shorten(value.String()); !slices.Contains(v.texts, text) {
		v.texts = append(v.texts, text)
	}
}

// resolve is what a reference into input or a variable's value leads to, nil where
// that is undefined or not plain.
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

// shorten cuts a value to what a line has room for.
func shorten(text string) string {
	const most = 60
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "..."
	}
	return text
}

// text is the trace for people: for each rule, in the order in which they were
// evaluated first, a line about it and those about its expressions.
func (t *trace) text() [][]string {
	var out [][]string
	for _, r := range t.rules {
		lines := []string{fmt.Sprintf("%s (%s:%d): %s", r.name, path.Base(r.at.File), r.at.Row, outcome(r.held, r.entered-r.held, "not true"))}
		for _, s := range r.steps {
			if s.held+s.fails == 0 || (s.expr == nil && s.fails == 0) {
				continue
			}
			text := "the head of the rule, without which there is no result"
			if s.expr != nil {
				text = firstLine(string(s.at.Text))
			}
			indent := strings.Repeat("  ", s.depth)
			lines = append(lines, fmt.Sprintf("  %4d  %s%s: %s", s.at.Row, indent, text, outcome(s.held, s.fails, "false")))
			for way, word := range [2]string{"false with ", "true with "} {
				if s.values[way] == "" {
					continue
				}
				if s.held == 0 || s.fails == 0 {
					word = "with "
				}
				lines = append(lines, "          "+indent+word+s.values[way])
			}
		}
		out = append(out, lines)
	}
	return out
}

// outcome says how often something held and did not.
func outcome(held, not int, word string) string {
	switch {
	case held == 1 && not == 0:
		return "true"
	case held == 0 && not == 1:
		return word
	case not == 0:
		return fmt.Sprintf("true %d times", held)
	case held == 0:
		return fmt.Sprintf("%s %d times", word, not)
	default:
		return fmt.Sprintf("true %d of %d times", held, held+not)
	}
}

// firstLine is the beginning of an expression that may have several lines.
func firstLine(text string) string {
	const most = 100
	line, rest, more := strings.Cut(text, "\n")
	line = strings.TrimSpace(line)
	if more && strings.TrimSpace(rest) != "" {
		line += " ..."
	}
	if runes := []rune(line); len(runes) > most {
		line = string(runes[:most]) + "..."
	}
	return line
}

package author

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// The names of the checks for constructs that slow down every admission request or that
// policies must not contain.
const (
	checkAllNodes = "all-nodes"
	checkSquare   = "square"
	checkPattern  = "pattern"
	checkWalk     = "walk"
	checkRange    = "range"
	checkPrint    = "print"
)

// maxRange is the number of elements above which a range of numbers is reported.
const maxRange = 10_000

// patterns maps each builtin that compiles a pattern to the index of the operand with the
// pattern. OPA compiles each distinct pattern again.
var patterns = map[string]int{
	"regex.match": 0, "regex.find_n": 0, "regex.find_all_string_submatch_n": 0, "regex.split": 0,
	"regex.replace": 1, "regex.template_match": 0, "regex.globs_match": 0, "glob.match": 0,
}

var (
	stateRef  = ast.MustParseRef("input.state")
	beforeRef = ast.MustParseRef("input.before")
	dataRef   = ast.MustParseRef("data.state")
	// large are the collections that grow with a cluster.
	large = []ast.Ref{
		ast.MustParseRef("input.state.bgpPeers"), ast.MustParseRef("input.before.bgpPeers"), ast.MustParseRef("data.state.nodes"),
		ast.MustParseRef("data.state.ipamBlocks.objects"), ast.MustParseRef("data.state.calicoNodeStatuses.objects"),
	}
)

// slow returns findings for constructs in modules other than tests that cost time in each
// admission. It reads each rule separately, in source order, and reports nothing if the
// cost is unknown.
func slow(modules map[string]*ast.Module) []Finding {
	var out []Finding
	for _, file := range slices.Sorted(maps.Keys(modules)) {
		m := modules[file]
		if strings.HasSuffix(file, "_test.rego") {
			continue
		}
		s := &reader{policy: policyOf(m), loops: map[string]bool{}}
		for _, r := range m.Rules { // An iteration in a function is reported where the function is called.
			if len(r.Head.Args) > 0 && s.iteratesOverLarge(r) {
				s.loops[string(r.Head.Name)] = true
			}
		}
		for _, r := range m.Rules {
			s.rule(r)
		}
		out = append(out, s.findings...)
	}
	return out
}

// policyOf returns the name of the policy that a module belongs to, "" if it belongs to none.
func policyOf(m *ast.Module) string {
	path := m.Package.Path
	if len(path) != 3 || path[1].Value.Compare(ast.String("policies")) != 0 {
		return ""
	}
	name, _ := path[2].Value.(ast.String)
	return strings.ReplaceAll(string(name), "_", "-")
}

// reader reads the rules of a module.
type reader struct {
	policy   string
	loops    map[string]bool // functions that iterate over a large collection
	findings []Finding
	quiet    bool
	found    bool            // an iteration over a large collection
	reported map[string]bool // check and row of each finding
}

func (s *reader) add(check string, at *ast.Location, format string, args ...any) {
	key := fmt.Sprint(check, at.Row)
	if s.quiet || s.reported[key] {
		return
	}
	s.reported[key] = true
	s.findings = append(s.findings, Finding{
		Severity: Warning, Check: check, Policy: s.policy, File: at.File, Line: at.Row, Column: at.Col, Message: fmt.Sprintf(format, args...),
	})
}

func (s *reader) iteratesOverLarge(r *ast.Rule) bool {
	quiet := &reader{quiet: true, loops: map[string]bool{}}
	quiet.rule(r)
	return quiet.found
}

func (s *reader) rule(r *ast.Rule) {
	if s.reported == nil {
		s.reported = map[string]bool{}
	}
	for ; r != nil; r = r.Else {
		sc := newScope(nil)
		for _, arg := range r.Head.Args {
			sc.bind(arg)
		}
		s.body(r.Body, sc)
		for _, t := range []*ast.Term{r.Head.Key, r.Head.Value} {
			if t != nil {
				s.walk(t, sc)
			}
		}
	}
}

// scope describes the variables at a position in a body.
type scope struct {
	bound     map[ast.Var]bool    // have a value
	varies    map[ast.Var]bool    // change with each step of an iteration over the state
	alias     map[ast.Var]ast.Ref // are aliases of a document
	outer     []string            // iterations over large collections, outermost first
	iterating bool                // within an iteration
}

func newScope(outer *scope) *scope {
	if outer == nil {
		return &scope{bound: map[ast.Var]bool{}, varies: map[ast.Var]bool{}, alias: map[ast.Var]ast.Ref{}}
	}
	return &scope{maps.Clone(outer.bound), maps.Clone(outer.varies), maps.Clone(outer.alias), slices.Clone(outer.outer), outer.iterating}
}

func (sc *scope) bind(t *ast.Term) {
	ast.WalkVars(t, func(v ast.Var) bool {
		sc.bound[v] = true
		return false
	})
}

// resolve returns the document that a term refers to, nil if it is unknown.
func (sc *scope) resolve(t *ast.Term) ast.Ref {
	switch v := t.Value.(type) {
	case ast.Var:
		if v == ast.InputRootDocument.Value || v == ast.DefaultRootDocument.Value {
			return ast.Ref{t}
		}
		return sc.alias[v]
	case ast.Ref:
		if head := sc.alias[varOf(v[0])]; head != nil {
			return head.Concat(v[1:])
		}
		return v
	default:
		return nil
	}
}

func varOf(t *ast.Term) ast.Var {
	v, _ := t.Value.(ast.Var)
	return v
}

// body reads a body in the order in which it is written.
func (s *reader) body(body ast.Body, sc *scope) {
	for _, e := range body {
		s.expr(e, sc)
	}
}

func (s *reader) expr(e *ast.Expr, sc *scope) {
	switch terms := e.Terms.(type) {
	case *ast.SomeDecl:
		s.some(terms, sc)
	case *ast.Every:
		s.walk(terms.Domain, sc)
		inner := newScope(sc)
		s.iterate(inner, sc.resolve(terms.Domain), terms.Value.Location)
		for _, t := range []*ast.Term{terms.Key, terms.Value} {
			if t != nil {
				inner.bind(t)
				inner.elements(t, terms.Domain)
			}
		}
		s.body(terms.Body, inner)
	case []*ast.Term:
		for _, t := range terms[1:] {
			s.walk(t, sc)
		}
		s.call(terms[0], terms[1:], e.Location, sc)
		if e.IsAssignment() && len(terms) == 3 {
			s.assign(terms[1], terms[2], sc)
		}
	case *ast.Term:
		s.walk(terms, sc)
	}
}

// assign records the document that a variable is an alias of, and whether it varies.
func (s *reader) assign(target, value *ast.Term, sc *scope) {
	if v, ok := target.Value.(ast.Var); ok {
		if ref := sc.resolve(value); ref != nil && ref.IsGround() {
			sc.alias[v] = ref
		}
	}
	if sc.variesIn(value) {
		sc.vary(target)
	}
	sc.bind(target)
}

// some reads "some x in xs" and "some x".
func (s *reader) some(d *ast.SomeDecl, sc *scope) {
	for _, symbol := range d.Symbols {
		call, ok := symbol.Value.(ast.Call)
		if !ok {
			continue // The variable gets its value at its first use.
		}
		domain := call[len(call)-1]
		s.walk(domain, sc)
		s.iterate(sc, sc.resolve(domain), domain.Location)
		for _, t := range call[1 : len(call)-1] {
			sc.bind(t)
			sc.elements(t, domain)
		}
	}
}

// vary records that the variables in t change with each step of an iteration.
func (sc *scope) vary(t *ast.Term) {
	ast.WalkVars(t, func(v ast.Var) bool {
		sc.varies[v] = true
		return false
	})
}

// elements calls vary for t if domain belongs to the state. Parameters have few elements, and
// the arguments of a function are unknown.
func (sc *scope) elements(t, domain *ast.Term) {
	if ofState(sc.resolve(domain)) || sc.variesIn(domain) {
		sc.vary(t)
	}
}

func (sc *scope) variesIn(t *ast.Term) bool {
	found := false
	ast.WalkVars(t, func(v ast.Var) bool {
		found = found || sc.varies[v]
		return found
	})
	return found
}

// iterate records an iteration over a document.
func (s *reader) iterate(sc *scope, over ast.Ref, at *ast.Location) {
	sc.iterating = true
	for _, ref := range large {
		if over.Equal(ref) {
			s.iterateLarge(sc, ref.String(), at)
		}
	}
}

// iterateLarge records an iteration over a large collection and reports one within another.
func (s *reader) iterateLarge(sc *scope, name string, at *ast.Location) {
	s.found = true
	if len(sc.outer) > 0 {
		s.add(checkSquare, at, "iterates over %s within an iteration over %s: the cost grows with the product of their sizes; "+
			"build an object that is keyed by their common value once, and look values up in it", name, sc.outer[0])
	}
	sc.outer = append(sc.outer, name)
}

// walk reads a term: its references, calls and comprehensions.
func (s *reader) walk(t *ast.Term, sc *scope) {
	var visitor *ast.GenericVisitor
	visitor = ast.NewGenericVisitor(func(x any) bool {
		switch x := x.(type) {
		case *ast.ArrayComprehension:
			s.comprehension(x.Body, sc, x.Term)
			return true
		case *ast.SetComprehension:
			s.comprehension(x.Body, sc, x.Term)
			return true
		case *ast.ObjectComprehension:
			s.comprehension(x.Body, sc, x.Key, x.Value)
			return true
		case *ast.Term:
			switch v := x.Value.(type) {
			case ast.Ref:
				s.ref(v, x.Location, sc)
			case ast.Call:
				s.call(v[0], v[1:], x.Location, sc)
				for _, arg := range v[1:] {
					visitor.Walk(arg)
				}
				return true
			}
		}
		return false
	})
	visitor.Walk(t)
}

func (s *reader) comprehension(body ast.Body, sc *scope, heads ...*ast.Term) {
	inner := newScope(sc)
	s.body(body, inner)
	for _, t := range heads {
		s.walk(t, inner)
	}
}

// ref reads a reference, which iterates at each variable without a value.
func (s *reader) ref(ref ast.Ref, at *ast.Location, sc *scope) {
	whole := sc.resolve(ast.NewTerm(ref))
	if whole.HasPrefix(dataRef) && len(whole) > len(dataRef) {
		s.add(checkAllNodes, at, "reads %s, which grows with the nodes of the cluster: most policies need only input.state, "+
			"and are evaluated again only if a part of it that they read changes", whole[:len(dataRef)+1])
	}
	for i, step := range whole {
		v := varOf(step)
		if i == 0 || v == "" || sc.bound[v] || sc.alias[v] != nil {
			continue
		}
		s.iterate(sc, whole[:i], at)
		sc.bound[v] = true
		sc.elements(step, ast.NewTerm(whole[:i]))
	}
}

// call reads the call of a function or builtin.
func (s *reader) call(operator *ast.Term, args []*ast.Term, at *ast.Location, sc *scope) {
	name := operator.String()
	if s.loops[name] {
		s.iterateLarge(newScope(sc), name+" (which iterates over a collection that grows with the cluster)", at)
	}
	if at := patternOf(name, args); at != nil && sc.iterating && sc.variesIn(at) {
		s.add(checkPattern, operator.Location, "builds a pattern for each element, and OPA compiles each of them; "+
			"compare with ==, startswith or object keys, or take the pattern from a parameter")
	}
	switch name {
	case "print":
		s.add(checkPrint, at, "print has no effect in the webhook: use it only in tests")
	case "walk":
		if len(args) > 0 && ofState(sc.resolve(args[0])) {
			s.add(checkWalk, at, "walk visits everything below %s in each evaluation: read the fields that you need instead", args[0])
		}
	case "numbers.range", "numbers.range_step":
		s.numbers(args, at, sc)
	}
}

func patternOf(name string, args []*ast.Term) *ast.Term {
	if i, ok := patterns[name]; ok && i < len(args) {
		return args[i]
	}
	return nil
}

// ofState reports whether a document is or contains a state, or is part of one.
func ofState(ref ast.Ref) bool {
	switch {
	case ref == nil:
		return false
	case len(ref) == 1:
		return ref[0].Equal(ast.InputRootDocument) || ref[0].Equal(ast.DefaultRootDocument)
	default:
		return ref.HasPrefix(stateRef) || ref.HasPrefix(beforeRef) || ref.HasPrefix(dataRef)
	}
}

func (s *reader) numbers(args []*ast.Term, at *ast.Location, sc *scope) {
	if len(args) < 2 {
		return
	}
	var bounds []float64
	for _, a := range args[:2] {
		grows := false
		ast.WalkTerms(a, func(t *ast.Term) bool {
			grows = grows || ofState(sc.resolve(t))
			return grows
		})
		if grows {
			s.add(checkRange, at, "the length of the range depends on %s, which grows with the cluster: iterate over the elements instead", a)
			return
		}
		if n, ok := a.Value.(ast.Number); ok {
			f, _ := n.Float64()
			bounds = append(bounds, f)
		}
	}
	if len(bounds) == 2 && math.Abs(bounds[1]-bounds[0]) > maxRange {
		s.add(checkRange, at, "the range has %.0f numbers, which each evaluation builds: use a shorter range", math.Abs(bounds[1]-bounds[0])+1)
	}
}

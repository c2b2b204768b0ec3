package policy

import (
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// reads is what is read of a value. A result that depends on nothing else is the same for two values that are equal in it.
// If it is empty, only whether there is a value is read.
type reads struct {
	// whole reports that all of the value is read. The other fields are then empty.
	whole bool
	// fields are the reads of the values of constant keys, each with the key as a term.
	fields map[string]*reads
	term   *ast.Term
	// each are the reads of the values of all keys. The keys themselves are then read, too.
	each *reads
}

// step is one step into a value: a constant key, or any key.
type step struct {
	key string
	any bool
}

// add adds what is read of the value at a path.
func (r *reads) add(path []step, of *reads) {
	for _, s := range path {
		if r.whole {
			return
		}
		r = r.next(s)
	}
	r.merge(of)
}

// next returns the reads of the value after one step, and adds them.
func (r *reads) next(s step) *reads {
	if s.any {
		if r.each == nil {
			r.each = &reads{}
		}
		return r.each
	}
	if r.fields == nil {
		r.fields = map[string]*reads{}
	}
	if r.fields[s.key] == nil {
		r.fields[s.key] = &reads{term: ast.InternedTerm(s.key)}
	}
	return r.fields[s.key]
}

// merge adds what other reads of the same value.
func (r *reads) merge(other *reads) {
	switch {
	case r.whole || other == nil:
		return
	case other.whole:
		*r = reads{whole: true, term: r.term}
		return
	}
	for key, of := range other.fields {
		r.next(step{key: key}).merge(of)
	}
	if other.each != nil {
		r.next(step{any: true}).merge(other.each)
	}
}

// PartBGPPeers is the part of a summary with the BGPPeers.
const PartBGPPeers = "bgpPeers"

// withoutBGPPeers returns what is read of an input besides the BGPPeers. A read of all parts of a state includes them.
func (r *reads) withoutBGPPeers() *reads {
	if r.whole {
		return r
	}
	out := &reads{each: r.each, fields: maps.Clone(r.fields)}
	for _, part := range []string{partState, partBefore} {
		if of := out.fields[part]; of != nil && !of.whole {
			rest := *of
			rest.fields = maps.Clone(of.fields)
			delete(rest.fields, PartBGPPeers)
			out.fields[part] = &rest
		}
	}
	return out
}

// of returns what is read of a field, nil if not even its existence is.
func (r *reads) of(field string) *reads {
	switch {
	case r == nil || r.whole:
		return r
	case r.each == nil:
		return r.fields[field]
	}
	out := &reads{}
	out.merge(r.each)
	out.merge(r.fields[field])
	return out
}

// paths returns the paths that are read, sorted: "a.b" for a value, "a.*.b" for a part of each value of a, "a?" if only the existence
// of a value is read, and "" if everything is.
func (r *reads) paths() []string {
	if r.whole {
		return []string{""}
	}
	var out []string
	below := func(key string, of *reads) {
		paths := of.paths()
		if paths == nil {
			out = append(out, key+"?")
		}
		for _, path := range paths {
			out = append(out, strings.TrimSuffix(key+"."+path, "."))
		}
	}
	for key, of := range r.fields {
		below(key, of)
	}
	if r.each != nil {
		below("*", r.each)
	}
	slices.Sort(out)
	return out
}

// readers finds the reads of rules. The Rego is compiled: each variable has a name of its own, and what is called or compared is a
// variable, a reference or a composite of these.
type readers struct {
	compiler *ast.Compiler
	// functions are the reads of the arguments of functions, by their references.
	functions map[string][]*reads
}

// reader finds the reads of one rule.
type reader struct {
	*readers

	// input are the reads of the input, arguments those of the rule's arguments.
	input     *reads
	arguments []*reads
	// inputs are the references to the input.
	inputs []ast.Ref

	// parameters are the numbers of the arguments that are variables.
	parameters map[ast.Var]int
	// uses are the places where a variable, or the input, is read.
	uses []use
	// definitions count the expressions that make a variable equal to a reference.
	definitions map[ast.Var]int
	// origins are the references that define variables.
	origins map[ast.Var]use
}

// use is a place where the value at a path into a variable is read.
type use struct {
	of   ast.Var
	path []step
	// reads is what is read of that value.
	reads *reads
	// defines is the variable that has this value, "" if there is none.
	defines ast.Var
}

var (
	wholeValue = &reads{whole: true}
	inputVar   = ast.InputRootDocument.Value.(ast.Var) //nolint:forcetypeassert // It is a variable.
)

// rule returns the reads of a rule, with its else branches.
func (rs *readers) rule(r *ast.Rule) *reader {
	out := &reader{readers: rs, input: &reads{}, parameters: map[ast.Var]int{}, definitions: map[ast.Var]int{}, origins: map[ast.Var]use{}}
	for ; r != nil; r = r.Else {
		for i, argument := range r.Head.Args {
			if len(out.arguments) <= i {
				out.arguments = append(out.arguments, &reads{})
			}
			if v, ok := argument.Value.(ast.Var); ok {
				if other, twice := out.parameters[v]; twice && other != i { // The two arguments are compared.
					out.arguments[other].merge(wholeValue)
					out.arguments[i].merge(wholeValue)
				}
				out.parameters[v] = i
				continue
			}
			out.arguments[i].merge(wholeValue) // It is compared.
			out.term(argument)
		}
		out.terms(r.Head.Reference[1:]) // The first is the rule's name.
		out.term(r.Head.Key)
		out.term(r.Head.Value)
		out.body(r.Body)
	}
	for _, u := range out.uses {
		out.resolve(u)
	}
	return out
}

// resolve adds what a use reads of the input or of an argument.
func (r *reader) resolve(u use) {
	read, path := u.reads, u.path
	if u.defines != "" && r.compares(u.defines) {
		read = wholeValue
		if i, ok := r.parameters[u.defines]; ok {
			r.arguments[i].merge(wholeValue)
		}
	}
	of := u.of
	for range len(r.origins) + 1 { // Variables that define each other come from a third value.
		if of == inputVar {
			r.input.add(path, read)
			return
		}
		if i, ok := r.parameters[of]; ok {
			r.arguments[i].add(path, read)
			return
		}
		origin, ok := r.origins[of]
		if !ok || r.compares(of) { // The whole value is read where it is compared.
			return
		}
		of, path = origin.of, slices.Concat(origin.path, path)
	}
}

// compares reports whether an equation of the variable and a reference compares: there are several, or the variable is an argument.
func (r *reader) compares(v ast.Var) bool {
	_, parameter := r.parameters[v]
	return r.definitions[v] > 1 || parameter
}

func (r *reader) body(body ast.Body) {
	for _, e := range body {
		r.expr(e)
	}
}

func (r *reader) expr(e *ast.Expr) {
	if len(e.With) > 0 { // What the expression reads is replaced.
		r.read(inputVar, nil, wholeValue)
		for _, w := range e.With {
			r.term(w.Value)
		}
	}
	switch terms := e.Terms.(type) {
	case *ast.Term:
		r.term(terms)
	case *ast.Every:
		r.every(terms)
	case []*ast.Term:
		r.call(terms, !e.Negated)
	case *ast.Not:
		r.body(terms.Body)
	case *ast.LogicalAnd:
		r.body(terms.Lhs)
		r.body(terms.Rhs)
	case *ast.LogicalOr:
		r.body(terms.Lhs)
		r.body(terms.Rhs)
	case *ast.SomeDecl:
	default:
		r.anything()
	}
}

// every finds the reads of "every".
func (r *reader) every(e *ast.Every) {
	if of, path, ok := r.reference(e.Domain); ok {
		path = append(path, step{any: true})
		if v, ok := e.Value.Value.(ast.Var); ok {
			r.define(v, of, path)
		} else {
			r.read(of, path, wholeValue)
			r.term(e.Value)
		}
	} else {
		r.term(e.Domain)
		r.term(e.Value)
	}
	r.term(e.Key)
	r.body(e.Body)
}

// call finds the reads of a call, whose first term is the operator. defines reports whether an equation can define a variable.
func (r *reader) call(terms []*ast.Term, defines bool) {
	operator, ok := terms[0].Value.(ast.Ref)
	if !ok {
		r.terms(terms)
		return
	}
	arguments := terms[1:]
	if defines && operator.Equal(ast.Equality.Ref()) && len(arguments) == 2 {
		for i, side := range arguments {
			v, isVar := side.Value.(ast.Var)
			other := arguments[1-i]
			if _, ref := other.Value.(ast.Ref); !isVar || v == inputVar || !ref {
				continue
			}
			if of, path, ok := r.reference(other); ok {
				r.define(v, of, path)
				return
			}
		}
	}
	if operator.Equal(ast.ObjectGet.Ref()) && len(arguments) >= 3 {
		key, constant := arguments[1].Value.(ast.String)
		if of, path, ok := r.reference(arguments[0]); ok && constant {
			r.read(of, append(path, step{key: string(key)}), wholeValue)
			r.terms(arguments[2:])
			return
		}
	}
	read := r.function(operator)
	for i, argument := range arguments {
		of, path, ok := r.reference(argument)
		switch {
		case !ok || i >= len(read):
			r.term(argument)
		default:
			r.read(of, path, read[i])
		}
	}
}

// function returns the reads of the arguments of a function that rules define; none for a builtin.
func (rs *readers) function(operator ast.Ref) []*reads {
	key := operator.String()
	if known, ok := rs.functions[key]; ok {
		return known
	}
	var out []*reads
	for i, rule := range rs.compiler.GetRulesExact(operator) {
		found := rs.rule(rule).arguments
		if i == 0 {
			out = found
			continue
		}
		for j := range min(len(out), len(found)) {
			out[j].merge(found[j])
		}
	}
	rs.functions[key] = out
	return out
}

// reference returns the variable and the path of a term that is a variable or a reference, and finds the reads of its keys.
func (r *reader) reference(t *ast.Term) (of ast.Var, path []step, ok bool) {
	switch v := t.Value.(type) {
	case ast.Var:
		return v, nil, true
	case ast.Ref:
		head, ok := v[0].Value.(ast.Var)
		if !ok || head.Equal(ast.DefaultRootDocument.Value) {
			return "", nil, false
		}
		if head == inputVar {
			r.inputs = append(r.inputs, v)
		}
		for _, t := range v[1:] {
			if key, ok := t.Value.(ast.String); ok {
				path = append(path, step{key: string(key)})
				continue
			}
			path = append(path, step{any: true})
			r.term(t)
		}
		return head, path, true
	}
	return "", nil, false
}

// define records that a variable equals the value at a path.
func (r *reader) define(v, of ast.Var, path []step) {
	u := use{of: of, path: path, reads: &reads{}, defines: v}
	r.uses = append(r.uses, u)
	r.definitions[v]++
	r.origins[v] = u
}

// read records that something of the value at a path is read.
func (r *reader) read(of ast.Var, path []step, what *reads) {
	r.uses = append(r.uses, use{of: of, path: path, reads: what})
}

func (r *reader) terms(terms []*ast.Term) {
	for _, t := range terms {
		r.term(t)
	}
}

// term finds the reads of a term whose whole value is read. It may be nil.
func (r *reader) term(t *ast.Term) {
	if t == nil {
		return
	}
	if of, path, ok := r.reference(t); ok {
		if path == nil && of == inputVar {
			r.inputs = append(r.inputs, ast.Ref{t})
		}
		r.read(of, path, wholeValue)
		return
	}
	switch v := t.Value.(type) {
	case ast.Ref: // Of a rule, of data, or of a composite.
		r.terms(v)
	case *ast.ArrayComprehension:
		r.term(v.Term)
		r.body(v.Body)
	case *ast.SetComprehension:
		r.term(v.Term)
		r.body(v.Body)
	case *ast.ObjectComprehension:
		r.term(v.Key)
		r.term(v.Value)
		r.body(v.Body)
	case ast.Call:
		r.terms(v[1:])
	case *ast.Array:
		v.Foreach(r.term)
	case ast.Set:
		v.Foreach(r.term)
	case ast.Object:
		v.Foreach(func(key, value *ast.Term) {
			r.term(key)
			r.term(value)
		})
	case ast.Null, ast.Boolean, ast.Number, ast.String:
	default:
		r.anything()
	}
}

// anything records that everything is read, for a kind of Rego that a later OPA adds.
func (r *reader) anything() {
	r.read(inputVar, nil, wholeValue)
	for _, argument := range r.arguments {
		argument.merge(wholeValue)
	}
}

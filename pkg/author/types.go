package author

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/types"

	"github.com/bgpguard/bgpguard/pkg/policy"
)

// The names of the checks of types.
const (
	checkViolation = "violation"
	checkSprintf   = "sprintf"
)

// violationRule is the rule of a policy whose elements are violations.
const violationRule = "violation"

// typed finds what the types of expressions show: parameters that the METADATA lacks, violations
// of the wrong form, and calls of sprintf whose arguments do not match.
//
// The compiler knows the type of a rule, not that of an expression. So typed adds a rule for each
// expression, with the body in which it stands, and reads the type of that rule.
type typed struct {
	findings []Finding
	probes   []probe
}

// probe is an added rule and what to do with the type of its expression.
type probe struct {
	ref   ast.Ref
	check func(types.Type)
}

// checkTypes returns findings for the modules of a source. It changes the modules.
func checkTypes(modules map[string]*ast.Module, definitions []*policy.Definition) []Finding {
	t := &typed{}
	own := map[string][]*ast.Rule{} // the rules as they are written
	for file, m := range modules {
		if !policy.IsTest(file) {
			own[file] = slices.Clone(m.Rules)
		}
	}
	for file, rules := range own {
		for _, r := range rules {
			t.rule(modules[file], r)
		}
	}
	compiler, err := policy.TypeCheck(modules, definitions)
	if err != nil && !onlyTypes(err) {
		// An added rule is invalid where the expression is not. Without these rules, at least
		// the parameters are checked.
		t.probes = nil
		for file, rules := range own {
			modules[file].Rules = rules
		}
		compiler, err = policy.TypeCheck(modules, definitions)
	}
	if err != nil {
		t.typeErrors(err)
		return unique(t.findings)
	}
	for _, p := range t.probes {
		if found := compiler.TypeEnv.GetByRef(p.ref); found != nil {
			p.check(found)
		}
	}
	return unique(t.findings)
}

// unique returns findings without repetitions, which added rules cause.
func unique(findings []Finding) []Finding {
	var out []Finding
	for _, f := range findings {
		if !slices.Contains(out, f) {
			out = append(out, f)
		}
	}
	return out
}

// onlyTypes reports whether a compiler's errors are type errors.
func onlyTypes(err error) bool {
	list, ok := errors.AsType[ast.Errors](err)
	return ok && !slices.ContainsFunc(list, func(e *ast.Error) bool { return e.Code != ast.TypeErr })
}

// typeErrors converts type errors to findings.
func (t *typed) typeErrors(err error) {
	list, _ := errors.AsType[ast.Errors](err)
	for _, e := range list {
		f := compileFindings(e)[0]
		d, ok := e.Details.(*ast.RefErrInvalidDetail)
		if ok && d.Ref.HasPrefix(parametersRef) && d.Pos > 1 {
			f.Check = checkParameters
			f.Message = fmt.Sprintf("%s is not in METADATA custom.parameters, so it is always undefined; %s", d.Ref[:d.Pos+1], known(d.OneOf))
		}
		t.findings = append(t.findings, f)
	}
}

var parametersRef = ast.MustParseRef("input.parameters")

// known lists the accepted names.
func known(values []ast.Value) string {
	var names []string
	for _, v := range values {
		if s, ok := v.(ast.String); ok && s != "" { // See policy.TypeCheck.
			names = append(names, string(s))
		}
	}
	slices.Sort(names)
	if len(names) == 0 {
		return "it has no parameter; declare this one"
	}
	return "correct the name or declare the parameter; known are " + strings.Join(names, ", ")
}

func (t *typed) add(severity, check string, m *ast.Module, at *ast.Location, format string, args ...any) {
	t.findings = append(t.findings, Finding{
		Severity: severity, Check: check, Policy: policyOf(m), File: at.File, Line: at.Row, Column: at.Col, Message: fmt.Sprintf(format, args...),
	})
}

// probe adds a rule to m with the body of r and the value of a term.
func (t *typed) probe(m *ast.Module, r *ast.Rule, value *ast.Term, check func(types.Type)) {
	name := ast.Var(fmt.Sprintf("type_of_expression_%d", len(t.probes)))
	c := r.Copy()
	c.Else, c.Annotations, c.Module = nil, nil, m
	c.Head = ast.VarHead(name, r.Location, nil)
	c.Head.Location, c.Head.Args = r.Head.Location, r.Head.Args.Copy()
	function := len(r.Head.Args) > 0
	if function {
		c.Head.Value, c.Head.Assign = value.Copy(), true
	} else {
		c.Head.Key = value.Copy()
	}
	m.Rules = append(m.Rules, c)
	t.probes = append(t.probes, probe{m.Package.Path.Append(ast.StringTerm(string(name))), func(found types.Type) {
		if f, ok := found.(*types.Function); ok && function {
			check(f.Result())
		} else if s, ok := found.(*types.Set); ok && !function {
			check(s.Of())
		}
	}})
}

// rule reads a rule of a module.
func (t *typed) rule(m *ast.Module, r *ast.Rule) {
	if r.Default {
		return
	}
	if r.Head.Name == violationRule && r.Head.RuleKind() == ast.MultiValue && policyOf(m) != "" {
		t.probe(m, r, r.Head.Key, func(found types.Type) { t.violation(m, r, found) })
		t.sameID(m, r)
	}
	for rule := r; rule != nil; rule = rule.Else {
		t.calls(m, rule, rule == r)
	}
}

// form is an object with known keys.
type form struct {
	name, rule string // of such an object in messages, and what it must have
	keys       []key
}

// key is a key of a form.
type key struct {
	name     string
	required bool
	want     string
	fits     func(types.Type) bool
	// of is the form of the value, or of the elements of an array; nil if it is no object.
	of *form
}

// violationForm is the form of violations, with the required keys first.
var violationForm = &form{"the violation", `a violation is an object with "id", "size" and "msg"`, []key{
	{name: "id", required: true, want: "a string", fits: is[types.String]},
	{name: "size", required: true, want: "a number that grows as the state gets worse", fits: is[types.Number]},
	{name: "msg", required: true, want: "a string", fits: is[types.String]},
	{name: "details", want: "an object", fits: is[*types.Object]},
	{name: "objects", want: `an array of objects with "kind" and "name"`, fits: arrayOf(is[*types.Object]), of: &form{`an element of "objects"`, `it must be an object with "kind" and "name"`, []key{
		{name: "kind", required: true, want: "a string", fits: is[types.String]},
		{name: "name", required: true, want: "a string", fits: is[types.String]},
		{name: "fields", want: "an array of strings", fits: arrayOf(is[types.String])},
	}}},
	{name: "members", want: "an array of strings", fits: arrayOf(is[types.String])},
	{name: "advisory", want: "true or false", fits: is[types.Boolean]},
	{name: "assumption", want: "a string", fits: is[types.String]},
	{name: "setBy", want: `an object with "kind" and "name"`, fits: is[*types.Object], of: &form{`"setBy"`, `it must be an object with "kind" and "name"`, []key{
		{name: "kind", required: true, want: "a string", fits: is[types.String]},
		{name: "name", required: true, want: "a string", fits: is[types.String]},
	}}},
}}

// names lists the keys of the form.
func (f *form) names() []string {
	var out []string
	for i := range f.keys {
		out = append(out, f.keys[i].name)
	}
	return out
}

func is[T types.Type](t types.Type) bool {
	_, ok := t.(T)
	return ok
}

// arrayOf returns a function that reports whether a type is an array whose elements can all fit.
func arrayOf(fits func(types.Type) bool) func(types.Type) bool {
	return func(t types.Type) bool {
		return is[*types.Array](t) && !slices.ContainsFunc(elements(t), func(one types.Type) bool { return !could(one, fits) })
	}
}

// elements returns the types of the elements of an array, none for another type.
func elements(t types.Type) []types.Type {
	array, ok := t.(*types.Array)
	if !ok {
		return nil
	}
	var out []types.Type
	for i := range array.Len() {
		out = append(out, array.Select(i))
	}
	if one := array.Dynamic(); one != nil {
		out = append(out, one)
	}
	return out
}

// could reports whether a value of a type can fit.
func could(t types.Type, fits func(types.Type) bool) bool {
	if r, ok := t.(*types.Recursive); ok {
		t = r.Unwrap()
	}
	if union, ok := t.(types.Any); ok {
		return len(union) == 0 || slices.ContainsFunc(union, func(one types.Type) bool { return could(one, fits) })
	}
	return fits(t)
}

// name describes a type.
func name(t types.Type) string {
	switch t := t.(type) {
	case types.Any:
		var names []string
		for _, one := range t {
			names = append(names, name(one))
		}
		return strings.Join(names, " or ")
	case types.Null:
		return "null"
	case *types.Object:
		return "an object"
	case *types.Array:
		return "an array"
	default:
		return "a " + types.Sprint(t)
	}
}

// withElements describes a type as name does, and the elements of an array.
func withElements(t types.Type) string {
	var names []string
	for _, one := range elements(t) {
		if n := name(one); n != "" && !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	if len(names) == 0 {
		return name(t)
	}
	return name(t) + " of " + strings.Join(names, " and ")
}

// violation checks the type of a violation.
func (t *typed) violation(m *ast.Module, r *ast.Rule, found types.Type) {
	at := cmp.Or(r.Head.Key.Location, r.Location)
	if !could(found, is[*types.Object]) {
		t.add(Error, checkViolation, m, at, "%s is %s: %s", violationForm.name, name(found), violationForm.rule)
		return
	}
	t.form(m, at, r.Head.Key, found, violationForm)
}

// form checks the type of an object with known keys. literal is the object in the source, or nil.
func (t *typed) form(m *ast.Module, at *ast.Location, literal *ast.Term, found types.Type, of *form) {
	object, ok := found.(*types.Object)
	if !ok {
		return // A union or unknown: the trial run shows the rest.
	}
	var known ast.Object
	if literal != nil {
		known, _ = literal.Value.(ast.Object)
	}
	for i := range of.keys {
		key := &of.keys[i]
		value, place := object.Select(key.name), at
		if known != nil {
			if term := known.Get(ast.StringTerm(key.name)); term != nil {
				place = cmp.Or(term.Location, at)
			}
		}
		switch {
		case value == nil && key.required:
			t.add(Error, checkViolation, m, at, "%s has no %q: %s; %q is %s", of.name, key.name, of.rule, key.name, key.want)
		case value == nil:
		case !could(value, key.fits):
			t.add(Error, checkViolation, m, place, "%q is %s, must be %s", key.name, withElements(value), key.want)
		case key.of != nil:
			for _, one := range append(elements(value), value) {
				t.form(m, place, nil, one, key.of)
			}
		}
	}
	for _, property := range object.StaticProperties() {
		key, _ := property.Key.(string)
		if names := of.names(); !slices.Contains(names, key) {
			t.add(Warning, checkViolation, m, at, "the key %q of %s has no effect: known are %s", key, of.name, strings.Join(names, ", "))
		}
	}
}

// sameID reports a violation that is found for each element of a collection and has the same id
// for all of them.
func (t *typed) sameID(m *ast.Module, r *ast.Rule) {
	head, ok := r.Head.Key.Value.(ast.Object)
	if !ok || head.Get(ast.StringTerm("assumption")) != nil { // Violations with other assumptions may have the same id.
		return
	}
	id := head.Get(ast.StringTerm("id"))
	if id == nil {
		return
	}
	if _, ok := id.Value.(ast.String); !ok {
		return
	}
	elements := elementsOf(r.Body)
	var used string
	ast.WalkVars(r.Head.Key, func(v ast.Var) bool {
		if used == "" && elements[v] {
			used = string(v)
		}
		return false
	})
	if used != "" {
		t.add(Warning, checkViolation, m, cmp.Or(id.Location, r.Location),
			"the id %s is the same for each %s, and two violations with one id cannot be evaluated: make %s part of the id, or report all of them in one violation", id, used, used)
	}
}

// elementsOf returns the variables of a body that have a value for each element of a collection in
// the input. What a rule of the policy returns may have one element only.
func elementsOf(body ast.Body) map[ast.Var]bool {
	out := map[ast.Var]bool{}
	add := func(t *ast.Term) {
		ast.WalkVars(t, func(v ast.Var) bool {
			out[v] = !v.IsWildcard()
			return false
		})
	}
	for _, e := range body {
		if decl, ok := e.Terms.(*ast.SomeDecl); ok {
			for _, symbol := range decl.Symbols {
				call, ok := symbol.Value.(ast.Call) // some x in xs, some k, v in xs
				if !ok {
					continue
				}
				last := len(call) - 1
				if domain, ok := call[last].Value.(ast.Ref); ok && domain[0].Equal(ast.InputRootDocument) {
					for _, term := range call[1:last] {
						add(term)
					}
				}
			}
			continue
		}
		terms, ok := e.Terms.([]*ast.Term)
		if !ok || len(terms) != 3 || (terms[0].String() != ast.Assign.Name && terms[0].String() != ast.Equality.Name) {
			continue
		}
		varies := false
		ast.WalkVars(terms[2], func(v ast.Var) bool {
			varies = varies || out[v]
			return false
		})
		if _, ok := terms[1].Value.(ast.Var); ok && varies {
			add(terms[1])
		}
	}
	return out
}

// calls finds the calls of sprintf in a rule. whole is false for the branches of else.
func (t *typed) calls(m *ast.Module, r *ast.Rule, whole bool) {
	nested := 0 // in comprehensions, whose variables the rule does not have
	inner := func(x any) bool {
		switch x := x.(type) {
		case *ast.ArrayComprehension, *ast.SetComprehension, *ast.ObjectComprehension, *ast.Every:
			return true
		case *ast.Expr:
			return x.Negated
		}
		return false
	}
	visit := ast.NewBeforeAfterVisitor(func(x any) bool {
		if inner(x) {
			nested++
		}
		switch x := x.(type) {
		case *ast.Rule:
			return x != r // The branches of else are read by themselves.
		case *ast.Expr:
			if terms, ok := x.Terms.([]*ast.Term); ok {
				t.sprintf(m, r, terms, x.Location, whole && nested == 0)
			}
		case *ast.Term:
			if c, ok := x.Value.(ast.Call); ok {
				t.sprintf(m, r, c, x.Location, whole && nested == 0)
			}
		}
		return false
	}, func(x any) {
		if inner(x) {
			nested--
		}
	})
	visit.Walk(r)
	if r.Head.Key != nil {
		visit.Walk(r.Head.Key) // Walk skips it where the head is a reference, as all heads are.
	}
}

// sprintf checks a call, if it is one of sprintf with a literal format and literal arguments. bound
// reports whether the body of the rule has the variables of the arguments, so that their types can
// be read.
func (t *typed) sprintf(m *ast.Module, r *ast.Rule, terms []*ast.Term, at *ast.Location, bound bool) {
	if len(terms) < 3 || terms[0].String() != ast.Sprintf.Name {
		return
	}
	format, ok := terms[1].Value.(ast.String)
	arguments, ok2 := terms[2].Value.(*ast.Array)
	if !ok || !ok2 {
		return
	}
	verbs, err := verbsOf(string(format), arguments.Len())
	if err != nil {
		t.add(Error, checkSprintf, m, at, "%v", err)
		return
	}
	if !bound || len(verbs) == 0 {
		return
	}
	t.probe(m, r, terms[2], func(found types.Type) {
		array, ok := found.(*types.Array)
		if !ok {
			return
		}
		for _, v := range verbs {
			argument := array.Select(v.argument)
			if want := wants[v.letter]; argument != nil && want.fits != nil && !could(argument, want.fits) {
				t.add(Error, checkSprintf, m, cmp.Or(arguments.Elem(v.argument).Location, at), "sprintf: %s %s, and argument %d, %s, is %s: use %s",
					v.text, want.text, v.argument+1, arguments.Elem(v.argument), name(argument), want.instead)
			}
		}
	})
}

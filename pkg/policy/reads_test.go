package policy

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
)

// regoWriter writes random policies. Most of them compile.
type regoWriter struct {
	*rand.Rand

	// variables are those in scope, values the functions and rules that are defined so far.
	variables, functions, values []string
	names                        int
	depth                        int
}

func (w *regoWriter) pick(options ...string) string { return options[w.IntN(len(options))] }

func (w *regoWriter) fresh() string {
	w.names++
	return fmt.Sprintf("v%d", w.names)
}

// bind returns a new variable that is in scope from now on.
func (w *regoWriter) bind() string {
	v := w.fresh()
	w.variables = append(w.variables, v)
	return v
}

// steps returns steps into a value.
func (w *regoWriter) steps(most int) (out string) {
	for range w.IntN(most + 1) {
		switch w.IntN(8) {
		case 0:
			out += "[_]"
		case 1:
			out += "[0]"
		case 2:
			if len(w.variables) > 0 {
				out += "[" + w.pick(w.variables...) + "]"
			}
		default:
			out += w.pick(".a", ".b", `["c"]`)
		}
	}
	return out
}

// reference returns a reference into the input, a variable or a rule.
func (w *regoWriter) reference() string {
	switch {
	case len(w.variables) > 0 && w.IntN(2) == 0:
		return w.pick(w.variables...) + w.steps(2)
	case len(w.values) > 0 && w.IntN(4) == 0:
		return w.pick(w.values...) + w.steps(2)
	case w.IntN(30) == 0:
		return "input" + w.pick("", ".now")
	default:
		return "input.state" + w.steps(3)
	}
}

// value returns an expression with a value.
func (w *regoWriter) value() string {
	if w.depth > 2 {
		return w.reference()
	}
	w.depth++
	defer func() { w.depth-- }()
	switch w.IntN(20) {
	case 0:
		return w.pick("0", "1", "null", "false", `"a"`, `"b"`, "[]", "{}")
	case 1:
		return "[" + w.value() + ", " + w.reference() + "]"
	case 2:
		return fmt.Sprintf(`{"a": %s, "b": %s}`, w.value(), w.reference())
	case 3:
		return fmt.Sprintf("object.get(%s, %s, %s)", w.reference(), w.pick(`"a"`, `"b"`, `["a", "b"]`, w.reference()), w.value())
	case 4, 5:
		if len(w.functions) > 0 {
			return fmt.Sprintf("%s(%s, %s)", w.pick(w.functions...), w.reference(), w.reference())
		}
	case 6:
		return w.scope(func() string {
			body := w.body(2)
			return w.pick("["+w.reference()+" | "+body+"]", "{"+w.reference()+" | "+body+"}", "count(["+"1 | "+body+"])")
		})
	case 7:
		return fmt.Sprintf("$\"{%s}\"", w.reference())
	case 8:
		return "object.keys(" + w.reference() + ")"
	case 9:
		return "{" + w.value() + ", " + w.reference() + "}"
	case 10:
		return fmt.Sprintf("{json.marshal(%s): %s}", w.reference(), w.reference())
	case 11:
		return w.scope(func() string {
			body := w.body(2)
			return fmt.Sprintf("{json.marshal(%s): %s | %s}", w.reference(), w.reference(), body)
		})
	}
	return w.reference()
}

// scope returns what write returns; the variables that it binds leave the scope.
func (w *regoWriter) scope(write func() string) string {
	outer := slices.Clone(w.variables)
	defer func() { w.variables = outer }()
	return write()
}

// body returns statements in one line. Each variable is used.
func (w *regoWriter) body(most int) string {
	first := len(w.variables)
	var out []string
	for range 1 + w.IntN(most) {
		out = append(out, w.statement())
	}
	for _, v := range w.variables[first:] {
		out = append(out, "_use("+v+")")
	}
	return strings.Join(out, "; ")
}

// block returns a body whose variables leave the scope.
func (w *regoWriter) block() string { return w.scope(func() string { return w.body(2) }) }

func (w *regoWriter) statement() string {
	if w.depth > 2 {
		return w.reference()
	}
	w.depth++
	defer func() { w.depth-- }()
	switch w.IntN(20) {
	case 0, 1, 2:
		value := w.value()
		return w.bind() + " := " + value
	case 3, 4:
		value := w.reference()
		return fmt.Sprintf("some %s in %s", w.bind(), value)
	case 5:
		value := w.reference()
		return fmt.Sprintf("some %s, %s in %s", w.bind(), w.bind(), value)
	case 6:
		value := w.reference()
		v := w.bind()
		return fmt.Sprintf("some %s; %s = %s", v, v, value)
	case 7:
		value := w.reference()
		v := w.bind()
		return fmt.Sprintf("some %s; %s[%s]", v, value, v)
	case 8:
		value := w.reference()
		return w.pick(fmt.Sprintf("[%s, _] = %s", w.fresh(), value), fmt.Sprintf(`{"a": %s} = %s`, w.fresh(), value))
	case 9:
		return w.value() + w.pick(" == ", " = ", " != ", " in ") + w.reference()
	case 10:
		return w.reference() + w.pick(" = ", " == ") + w.reference()
	case 11:
		return "not " + w.value()
	case 12:
		return "not " + w.reference() + " = " + w.reference()
	case 13:
		value := w.pick(w.reference(), "["+w.value()+", "+w.reference()+"]")
		return w.scope(func() string {
			k, v := w.bind(), w.bind()
			return fmt.Sprintf("every %s, %s in %s { _use(%s); _use(%s); %s }", k, v, value, k, v, w.block())
		})
	case 14:
		value := w.reference()
		return fmt.Sprintf("walk(%s, [%s, %s])", value, w.bind(), w.bind())
	case 15:
		return "{" + w.block() + "}" + w.pick(" or ", " and ") + "{" + w.block() + "}"
	case 16:
		return "not {" + w.block() + "}"
	case 17:
		if w.IntN(4) == 0 {
			return w.value() + " with input.state as " + w.value()
		}
	}
	return w.value()
}

// rule returns a function or a rule.
func (w *regoWriter) rule() string {
	name := "_" + w.fresh()
	return w.scope(func() string {
		w.variables = nil
		switch w.IntN(6) {
		case 0, 1:
			defer func() { w.functions = append(w.functions, name) }()
			v, second := w.bind(), w.bind()
			first, use := v, "_use("+v+"); _use("+second+"); "
			switch w.IntN(9) {
			case 0:
				first = w.pick(`{"a": `+v+`}`, "["+v+", _]")
			case 1: // Both are the same.
				w.variables, first, use = []string{second}, second, "_use("+second+"); "
			case 2:
				w.variables, first, use = []string{second}, w.pick("1", "null", "[]"), "_use("+second+"); "
			}
			arguments := w.variables
			body := w.body(1)
			out := fmt.Sprintf("%s(%s, %s) := %s if { %s%s }", name, first, second, w.value(), use, body)
			if w.IntN(3) == 0 {
				w.variables = arguments
				body := w.body(2)
				out += fmt.Sprintf("\n\nelse := %s if { %s%s }", w.value(), use, body)
			}
			if w.IntN(4) == 0 {
				out += "\n\ndefault " + name + "(_, _) := 7"
			}
			if w.IntN(3) == 0 { // Another rule of the same function. The two must not return different values.
				a, b := w.fresh(), w.fresh()
				w.variables = []string{a, b}
				out += fmt.Sprintf("\n\n%s(%s, %s) := %s if { _use(%s); _use(%s); %s }", name, a, b, w.pick("7", w.value()), a, b, w.body(2))
			}
			return out
		case 2:
			defer func() { w.values = append(w.values, name) }()
			body := w.body(1 + w.IntN(2))
			return fmt.Sprintf("%s contains %s if { %s }", name, w.value(), body)
		case 3:
			defer func() { w.values = append(w.values, name) }()
			body := w.body(1 + w.IntN(2))
			return fmt.Sprintf("%s%s[%s] := %s if { %s }", name, w.pick("", ".a"), w.pick(`"a"`, "json.marshal("+w.reference()+")", w.reference()), w.value(), body)
		default:
			defer func() { w.values = append(w.values, name) }()
			body := w.body(1 + w.IntN(2))
			out := fmt.Sprintf("%s := %s if { %s }", name, w.value(), body)
			if w.IntN(3) == 0 {
				w.variables = nil
				body := w.body(2)
				out += fmt.Sprintf("\n\nelse := %s if { %s }", w.value(), body)
			}
			return out
		}
	})
}

// policy returns a policy.
func (w *regoWriter) policy() string {
	var rules []string
	for range w.IntN(3) {
		rules = append(rules, w.rule())
	}
	// One violation that shows one rule, or what one statement finds: what is read elsewhere would hide what the analysis misses,
	// and a condition that seldom holds as well.
	var value string
	body := "true"
	switch {
	case len(w.functions) > 0:
		first := w.reference()
		value = fmt.Sprintf("%s(%s, %s)", w.functions[len(w.functions)-1], first, w.pick(first, w.reference()))
	case len(w.values) > 0:
		value = w.values[len(w.values)-1]
	default:
		body = w.body(1)
		value = w.pick("1", w.value())
	}
	rules = append([]string{
		"import future.keywords.and\nimport future.keywords.not\nimport future.keywords.or",
		fmt.Sprintf(`violation contains {"id": json.marshal(%s), "size": 1, "msg": "m"} if { %s }`, value, body),
		"_use(_) := true",
	}, rules...)
	return "package policies.a\n\n" + strings.Join(rules, "\n\n")
}

// unchecked compiles a policy without the schemas of the input, which would allow few random policies.
func unchecked(text string) (*Policy, error) {
	guardBuiltins()
	module, err := ast.ParseModuleWithOpts("a.rego", text, ast.ParserOptions{Capabilities: Capabilities()})
	if err != nil {
		return nil, err
	}
	c := ast.NewCompiler().WithCapabilities(Capabilities()).WithStrict(true)
	c.Compile(map[string]*ast.Module{"a.rego": module})
	if c.Failed() {
		return nil, c.Errors
	}
	d := &Definition{Judges: JudgesState, ref: module.Package.Path, unit: &unit{compiler: c, store: (&Source{}).store()}}
	if err := d.findReads(); err != nil {
		return nil, err
	}
	p := &Policy{Definition: d, parameters: ast.ObjectTerm(), abandoned: &atomic.Int32{}, evaluations: &atomic.Int64{}, quarantine: newQuarantine()}
	p.query, err = d.prepare()
	return p, err
}

// A part that is read through an argument's or the input's keys must be in the input.
func TestPartsReadByAnyKey(t *testing.T) {
	for body, want := range map[string]string{
		"x if _f(input.state)\n\n_f(s) if {\n\tsome part in s\n\tpart.enabled\n}":                  "mesh",
		"x if {\n\tsome part in [\"mesh\"]\n\tinput.state[part].enabled\n}":                        "mesh",
		"x if _f(input)\n\n_f(i) if {\n\tsome part in i\n\tpart.mesh.enabled\n}":                   "mesh time",
		"x if _f(input)\n\n_f(i) if {\n\tsome part in i\n\tsome field in part\n\tfield.enabled\n}": "mesh time",
		"x if _f(input.state)\n\n_f(s) if s.nodes.total > 1":                                       "",
	} {
		t.Run(body, func(t *testing.T) {
			p, err := unchecked("package policies.a\n\nviolation contains {\"id\": \"x\", \"size\": 1, \"msg\": \"m\"} if x\n\n" + body)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			if p.Reads("mesh") {
				got = append(got, "mesh")
			}
			if NewSet([]*Policy{p}).ReadsTime() {
				got = append(got, "time")
			}
			if text := strings.Join(got, " "); text != want {
				t.Errorf("reads %q, want %q", text, want)
			}
			if p.ReadsOnlyStates() == slices.Contains(got, "time") {
				t.Errorf("ReadsOnlyStates is %v", p.ReadsOnlyStates())
			}
		})
	}
}

// A rule of the package policies can add violations to the policy a.
func TestReadsOfRulesInOtherPackages(t *testing.T) {
	for _, rule := range []string{
		"a.violation contains {\"id\": \"y\", \"size\": 1, \"msg\": \"m\"} if input.state.mesh.enabled",
		"a[x] contains {\"id\": \"y\", \"size\": 1, \"msg\": \"m\"} if {\n\tsome x in [\"violation\"]\n\tinput.state.mesh.enabled\n}",
	} {
		p, err := prepare(t, inline("a.rego", a(always+" if input.state.nodes.total > 100"), "b.rego", "package policies\n\n"+rule))
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Definition.reads.paths(); !slices.Equal(got, []string{"state.mesh.enabled", "state.nodes.total"}) {
			t.Errorf("%s: reads %q", rule, got)
		}
	}
}

// randomValue returns a value of JSON.
func randomValue(r *rand.Rand, depth int) ast.Value {
	if depth == 0 || r.IntN(6) == 0 {
		return ast.MustParseTerm([]string{"1", "1.0", "false", "null", `"a"`, "[]", "{}"}[r.IntN(7)]).Value
	}
	if r.IntN(5) == 0 {
		var terms []*ast.Term
		for range r.IntN(3) {
			terms = append(terms, ast.NewTerm(randomValue(r, depth-1)))
		}
		return ast.NewArray(terms...)
	}
	out := ast.NewObject()
	for _, key := range []string{"a", "b", "c"} {
		if r.IntN(6) > 0 {
			out.Insert(ast.StringTerm(key), ast.NewTerm(randomValue(r, depth-1)))
		}
	}
	return out
}

// changed returns a value with one random change.
func changed(r *rand.Rand, v ast.Value, depth int) ast.Value {
	switch x := v.(type) {
	case ast.Object:
		if x.Len() == 0 || r.IntN(5) == 0 {
			break
		}
		out, at, i := ast.NewObject(), r.IntN(x.Len()), 0
		x.Foreach(func(key, value *ast.Term) {
			switch {
			case i != at:
				out.Insert(key, value)
			case r.IntN(6) > 0:
				out.Insert(key, ast.NewTerm(changed(r, value.Value, depth-1)))
			}
			i++
		})
		return out
	case *ast.Array:
		if x.Len() == 0 || r.IntN(5) == 0 {
			break
		}
		at, i := r.IntN(x.Len()), 0
		out := ast.NewArray()
		x.Foreach(func(element *ast.Term) {
			if i == at {
				element = ast.NewTerm(changed(r, element.Value, depth-1))
			}
			out = out.Append(element)
			i++
		})
		return out
	}
	return randomValue(r, max(depth, 0))
}

// checkReads checks that a random policy has the same result for two random inputs of which it reads the same, and for an input
// without the parts that it does not read. It returns whether the policy compiles and how often the result had to be the same.
func checkReads(t *testing.T, r *rand.Rand) (compiles bool, unaffected int) {
	t.Helper()
	w := &regoWriter{Rand: r}
	text := w.policy()
	p, err := unchecked(text)
	if err != nil {
		return false, 0
	}
	document := func(state ast.Value, now int) ast.Object {
		return ast.NewObject([2]*ast.Term{ast.InternedTerm(partState), ast.NewTerm(state)}, [2]*ast.Term{ast.InternedTerm(partNow), ast.IntNumberTerm(now)})
	}
	result := func(input ast.Object) (string, bool) {
		p.quarantine = newQuarantine()
		found, err := p.Evaluate(t.Context(), input, nil)
		var ids []string
		for _, v := range found {
			ids = append(ids, v.ID)
		}
		return fmt.Sprint(ids, err), err == nil
	}
	for range 4 {
		state := ast.NewObject()
		for _, part := range []string{"a", "b", "c"} {
			state.Insert(ast.StringTerm(part), ast.NewTerm(randomValue(r, 3)))
		}
		before := document(state, 1)
		want, ok := result(before)
		if !ok { // The policy is then evaluated on every state.
			continue
		}
		parts := ast.NewObject()
		state.Foreach(func(key, value *ast.Term) {
			if p.Reads(string(key.Value.(ast.String))) {
				parts.Insert(key, value)
			}
		})
		afters := []ast.Object{document(state, 2)}
		for range 12 {
			afters = append(afters, document(changed(r, state, 3), 1))
		}
		if got, _ := result(document(parts, 1)); got != want {
			t.Fatalf("%s\nreads %q\nfor %v\nit returns %s, without the parts it does not read %s", text, p.Definition.reads.paths(), before, want, got)
		}
		for _, after := range afters {
			if !NewDifference(before, after).Unaffected(p) {
				continue
			}
			unaffected++
			if got, _ := result(after); got != want {
				t.Fatalf("%s\nreads %q\nfor %v\nit returns %s, for %v\n%s", text, p.Definition.reads.paths(), before, want, after, got)
			}
		}
	}
	return true, unaffected
}

func TestReadsOfRandomPolicies(t *testing.T) {
	compiled, same := 0, 0
	const policies = 1000
	for seed := range uint64(policies) {
		compiles, unaffected := checkReads(t, rand.New(rand.NewPCG(seed, 1)))
		if compiles {
			compiled++
		}
		same += unaffected
	}
	if compiled < policies/3 || same < policies {
		t.Errorf("%d of %d policies compile and %d results are the same: the test does not test much", compiled, policies, same)
	}
}

// FuzzReads is TestReadsOfRandomPolicies with other seeds.
func FuzzReads(f *testing.F) {
	f.Add(uint64(0))
	f.Fuzz(func(t *testing.T, seed uint64) { checkReads(t, rand.New(rand.NewPCG(seed, 2))) })
}

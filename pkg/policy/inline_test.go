package policy

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bgpguard/bgpguard/pkg/api/v1alpha1"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// inline returns a BGPPolicy "own" that contains modules. The arguments are names and texts
// in turn.
func inline(modules ...string) *Document {
	d := &Document{}
	d.Name = "own"
	d.Spec.ValidationActions = []violation.Action{violation.Deny}
	d.Spec.Rego = &v1alpha1.Rego{}
	for i := 0; i < len(modules); i += 2 {
		d.Spec.Rego.Modules = append(d.Spec.Rego.Modules, v1alpha1.Module{Name: modules[i], Text: modules[i+1]})
	}
	return d
}

func prepare(t *testing.T, d *Document) (*Policy, error) {
	t.Helper()
	l, err := Embedded()
	if err != nil {
		t.Fatal(err)
	}
	return l.Prepare(d)
}

// usesHelpers finds a violation in every state. Its message is from the built-in helpers.
const usesHelpers = `import data.policies.lib.text

violation contains {"id": "x", "size": 1, "msg": text.counted(input.state.nodes.total, "node")}`

func TestInlinePolicyUsesHelpersAndRunsItsTests(t *testing.T) {
	const test = `package policies.a_test

import data.policies.a
import data.policies.testing_test as testing

test_ten_nodes if {
	some v in a.violation with input as testing.input_with({}, {})
	v.msg == "10 nodes"
}
`
	p, err := prepare(t, inline("a.rego", a(usesHelpers), "a_test.rego", test))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Test(t.Context(), time.Minute); err != nil {
		t.Errorf("its tests: %v", err)
	}
	found, err := p.Evaluate(t.Context(), sample(t), nil)
	if err != nil || len(found) != 1 || found[0].Message != "6 nodes" || found[0].Policy != "own" {
		t.Errorf("found %+v, %v", found, err)
	}

	for name, c := range map[string]struct{ from, to, want string }{
		"a test that fails":        {"10 nodes", "11 nodes", "a_test.rego:6: test policies.a_test.test_ten_nodes fails"},
		"a test that cannot run":   {`v.msg == "10 nodes"`, `to_number(v.msg) == 10`, "a_test.rego:6: test policies.a_test.test_ten_nodes could not be run: "},
		"a test that does not end": {`v.msg == "10 nodes"`, "some i, j, k in numbers.range(1, 100000)\n\ti + j + k < 0", "the tests did not finish within 200ms"},
		"a test of an undefined policy": {`data.policies.a`, `data.policies.b as a`,
			`a_test.rego:6: test policies.a_test.test_ten_nodes fails`},
	} {
		t.Run(name, func(t *testing.T) {
			limit := time.Minute
			if strings.Contains(c.want, "200ms") {
				limit = 200 * time.Millisecond
				c.to = "some i in numbers.range(1, 100000)\n\tsome j in numbers.range(1, 100000)\n\ti * j < 0"
			}
			p, err := prepare(t, inline("a.rego", a(usesHelpers), "a_test.rego", strings.Replace(test, c.from, c.to, 1)))
			if err != nil {
				t.Error(err)
				return
			}
			if err := p.Test(t.Context(), limit); err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("got %v, want %s...", err, c.want)
			}
		})
	}
}

func TestInvalidInlinePolicies(t *testing.T) {
	for name, c := range map[string]struct {
		modules []string
		want    string
	}{
		"Rego that does not parse": {
			[]string{"a.rego", a("violation contains {")},
			"BGPPolicy own: spec.rego.modules: a.rego:18: rego_parse_error: ",
		},
		"Rego that does not compile": {
			[]string{"a.rego", a(always + " if nothing.of_this_name")},
			"BGPPolicy own: spec.rego.modules: a.rego:17: rego_unsafe_var_error: var nothing is unsafe",
		},
		"a test that does not parse": {
			[]string{"a.rego", a(always), "a_test.rego", "package policies.a_test\n\ntest_x if"},
			"BGPPolicy own: spec.rego.modules: a_test.rego:3: rego_parse_error: ",
		},
		"no policy": {
			[]string{"a.rego", "package mesh\n\nx := 1"},
			"BGPPolicy own: spec.rego.modules: contains no policy: a policy is a package policies.NAME",
		},
		"two policies": {
			[]string{"a.rego", a(always), "b.rego", strings.Replace(a(always), "policies.a", "policies.b", 1)},
			"BGPPolicy own: spec.rego.modules: must contain one policy, contain 2, including a and b",
		},
		"two modules of one name": {
			[]string{"a.rego", a(always), "a.rego", a(always)},
			`BGPPolicy own: spec.rego.modules[1].name: "a.rego" is used by two modules`,
		},
		"an empty module": {
			[]string{"a.rego", "# only this\n"},
			"BGPPolicy own: spec.rego.modules: a.rego:0: rego_parse_error: empty module",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := prepare(t, inline(c.modules...))
			if err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("got %v\nwant %s...", err, c.want)
			}
		})
	}
}

func TestPackageOfSeveralFiles(t *testing.T) {
	p, err := prepare(t, inline("a.rego", a("limit := 7"), "more.rego", "package policies.a\n\nviolation contains {\"id\": \"x\", \"size\": limit, \"msg\": \"m\"}\n"))
	if err != nil {
		t.Fatal(err)
	}
	found, err := p.Evaluate(t.Context(), sample(t), nil)
	if err != nil || len(found) != 1 || found[0].Size != 7 {
		t.Errorf("found %+v, %v", found, err)
	}
}

func TestNewLibraryRejectsDuplicateNames(t *testing.T) {
	taken := strings.Replace(a(always), "policies.a", "policies.mesh_node_limit", 1)
	_, err := NewLibrary(Source{Name: "dir", Modules: map[string]string{"m.rego": taken}})
	const want = "dir: m.rego: policy mesh-node-limit is already defined by the library (mesh_node_limit/mesh_node_limit.rego)"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestLibraryIsUnchangedByAnInvalidSource(t *testing.T) {
	l, err := NewLibrary(Source{Name: "good", Modules: map[string]string{"a.rego": a(always)}}, Source{Name: "bad", Modules: map[string]string{"b.rego": "x"}})
	if err == nil || !strings.HasPrefix(err.Error(), "bad: b.rego:1: rego_parse_error: ") {
		t.Errorf("got %v", err)
	}
	if l.Definition("a") == nil || l.Definition("mesh-node-limit") == nil {
		t.Error("the good policies are gone")
	}
}

func TestRegoReadsTheDataOfItsSource(t *testing.T) {
	body := "violation contains {\"id\": \"x\", \"size\": count(data.state.nodes) + data.limits.most, \"msg\": \"m\"}"
	l, err := NewLibrary(Source{Name: "s", Modules: map[string]string{"a.rego": a(body)}, Data: map[string]any{"limits": map[string]any{"most": 40}}})
	if err != nil {
		t.Fatal(err)
	}
	d := &Document{}
	d.Name, d.Spec.Policy, d.Spec.ValidationActions = "own", "a", []violation.Action{violation.Deny}
	p, err := l.Prepare(d)
	if err != nil {
		t.Fatal(err)
	}
	found, err := p.Evaluate(t.Context(), sample(t), func() ast.Value { return ast.MustParseTerm(`{"nodes": {"n1": {}, "n2": {}}}`).Value })
	if err != nil || len(found) != 1 || found[0].Size != 42 {
		t.Errorf("found %+v, %v", found, err)
	}
}

func TestMatchesAndExempts(t *testing.T) {
	change := Request{
		Kind: "BGPPeer", Name: "rack-1", Operation: "UPDATE", User: "alice", Groups: []string{"net", "all"},
		Labels: [2]map[string]string{{"tier": "old"}, {"tier": "new"}},
	}
	create := change
	create.Labels[0] = nil
	for name, c := range map[string]struct {
		match   *v1alpha1.Match
		request Request
		want    bool
	}{
		"without a match every request matches": {nil, change, true},
		"an empty match selects every request":  {&v1alpha1.Match{}, change, true},
		"its kind":                              {&v1alpha1.Match{Kinds: []string{"Node", "BGPPeer"}}, change, true},
		"another kind":                          {&v1alpha1.Match{Kinds: []string{"Node"}}, change, false},
		"its operation":                         {&v1alpha1.Match{Operations: []string{"UPDATE"}}, change, true},
		"another operation":                     {&v1alpha1.Match{Operations: []string{"CREATE", "DELETE"}}, change, false},
		"its name":                              {&v1alpha1.Match{Names: []string{"x", "rack-1"}}, change, true},
		"a pattern of its name":                 {&v1alpha1.Match{Names: []string{"rack-*"}}, change, true},
		"a dot stands for itself":               {&v1alpha1.Match{Names: []string{"rack.1"}}, change, false},
		"a prefix of its name":                  {&v1alpha1.Match{Names: []string{"rack"}}, change, false},
		"all of a name must match":              {&v1alpha1.Match{Names: []string{"rack", "1"}}, change, false},
		"its labels after":                      {&v1alpha1.Match{LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"tier": "new"}}}, change, true},
		"its labels before":                     {&v1alpha1.Match{LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"tier": "old"}}}, change, true},
		"labels of neither":                     {&v1alpha1.Match{LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"tier": "x"}}}, change, false},
		"an absent object matches no selector":  {&v1alpha1.Match{LabelSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "tier", Operator: "DoesNotExist"}}}}, create, false},
		"all fields must match":                 {&v1alpha1.Match{Kinds: []string{"BGPPeer"}, Operations: []string{"DELETE"}}, change, false},
	} {
		t.Run("matches: "+name, func(t *testing.T) {
			d := inline("a.rego", a(always))
			d.Spec.Match = c.match
			p, err := prepare(t, d)
			if err != nil {
				t.Fatal(err)
			}
			if got := p.Matches(&c.request); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
	for name, c := range map[string]struct {
		exempt *v1alpha1.Exempt
		user   string
		want   bool
	}{
		"nobody":              {nil, "alice", false},
		"the user":            {&v1alpha1.Exempt{Users: []string{"bob", "alice"}}, "alice", true},
		"another user":        {&v1alpha1.Exempt{Users: []string{"bob"}}, "alice", false},
		"a group of the user": {&v1alpha1.Exempt{Groups: []string{"net"}}, "alice", true},
		"another group":       {&v1alpha1.Exempt{Groups: []string{"alice"}}, "alice", false},
		"a service account":   {&v1alpha1.Exempt{ServiceAccounts: []v1alpha1.ServiceAccount{{Namespace: "n", Name: "a"}}}, "system:serviceaccount:n:a", true},
		"no user":             {&v1alpha1.Exempt{Users: []string{"bob"}}, "", false},
	} {
		t.Run("exempts: "+name, func(t *testing.T) {
			d := inline("a.rego", a(always))
			d.Spec.Exempt = c.exempt
			p, err := prepare(t, d)
			if err != nil {
				t.Fatal(err)
			}
			if got := p.Exempts(&Request{User: c.user, Groups: change.Groups}); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestTestsEndWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := Source{Name: "s", Modules: map[string]string{"a_test.rego": "package policies.a_test\n\ntest_x if true\n"}}
	if _, err := s.Test(ctx, TestOptions{Limit: time.Minute}); err == nil {
		t.Error("no error")
	}
}

func TestSourceFromPathReadsData(t *testing.T) {
	dir := t.TempDir()
	for file, text := range map[string]string{
		"a.rego":          metadata + "package policies.a\n\nviolation contains {\"id\": data.teams.names[0], \"size\": 1, \"msg\": \"m\"}\n",
		"teams/data.yaml": "names: [network]\n", "example.yaml": "is: no data\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, file)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	source, err := SourceFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string]any{"teams": map[string]any{"names": []any{"network"}}}; !reflect.DeepEqual(source.Data, want) {
		t.Errorf("data %v, want %v", source.Data, want)
	}
}

// A policy is evaluated only if a part that it reads has changed, and its input contains only
// parts that policies read. If findReads missed an expression that reads the input, the policy
// would miss changes.
func TestReadsOfEveryKindOfExpression(t *testing.T) {
	const all = "(all)"
	for name, c := range map[string]struct {
		body  string
		reads string
		data  bool
	}{
		"a path":                          {"x if input.state.mesh.enabled", "state.mesh.enabled", false},
		"a variable":                      {"x if {\n\ti := input\n\ti.state.mesh.enabled\n}", "state.mesh.enabled", false},
		"an argument":                     {"x if _f(input)\n\n_f(i) if i.state.mesh.enabled", "state.mesh.enabled", false},
		"a part of the input as argument": {"x if _f(input.state)\n\n_f(s) if s.mesh.enabled", "state.mesh.enabled", false},
		"an argument of two functions":    {"x if _f(input.state)\n\n_f(s) if _g(s.mesh, s.nodes)\n\n_g(m, n) if m.nodes > n.total", "state.mesh.nodes state.nodes.total", false},
		"an argument of two rules":        {"x if _f(input.state)\n\n_f(s) if s.mesh.enabled\n\n_f(s) if s.nodes.total > 5", "state.mesh.enabled state.nodes.total", false},
		"an argument with an else":        {"x if _f(input.state) > 1\n\n_f(s) := 1 if s.mesh.enabled\n\nelse := s.nodes.total", "state.mesh.enabled state.nodes.total", false},
		"an argument that is returned":    {"x if _f(input.state.mesh).enabled\n\n_f(m) := m", "state.mesh", false},
		"an argument that is compared":    {"x if _f(input.state.mesh, input.state.nodes)\n\n_f(m, n) if m == n.total", "state.mesh state.nodes.total", false},
		"an argument that occurs twice":   {"x if _f(input.state.mesh, input.state.nodes)\n\n_f(v, v) := true", "state.mesh state.nodes", false},
		"each part of an argument":        {"x if _f(input.state)\n\n_f(s) if {\n\tsome part in s\n\tpart.enabled\n}", "state.*.enabled", false},
		"or":                              {"import future.keywords.or\n\nx if {\n\tinput.state.mesh.enabled or input.state.nodes.total > 5\n}", "state.mesh.enabled state.nodes.total", false},
		"and":                             {"import future.keywords.and\n\nx if {\n\tinput.state.mesh.enabled and input.state.nodes.total > 5\n}", "state.mesh.enabled state.nodes.total", false},
		"a negated body":                  {"import future.keywords.not\n\nx if not {\n\tm := input.state.mesh\n\tm.enabled\n}", "state.mesh.enabled", false},
		"an argument with a pattern":      {"x if _f(input.state.timers.restartTime)\n\n_f([a, _]) if a.seconds > 1", "state.timers.restartTime", false},
		"an argument that is not read":    {"x if _f(input.state.mesh)\n\n_f(_) := true", "state.mesh?", false},
		"an argument of a rule's result":  {"x if _f(_meshes[_])\n\n_meshes contains input.state.mesh\n\n_f(m) if m.enabled", "state.mesh", false},
		"each object":                     {"x if {\n\tsome p in input.state.bgpPeers\n\tp.sessions > 5\n}", "state.bgpPeers.*.sessions", false},
		"each object in a comprehension":  {"x if count([p.name | some p in input.state.bgpPeers; p.sessions > 5]) > 1", "state.bgpPeers.*.name state.bgpPeers.*.sessions", false},
		"each object as a whole":          {"x if count({p | some p in input.state.bgpPeers}) > 1", "state.bgpPeers.*", false},
		"the keys of objects":             {"x if {\n\tsome name, _ in input.state.bgpPeers\n\tname == \"a\"\n}", "state.bgpPeers.*?", false},
		"the keys of objects, negated":    {"x if not input.state.bgpPeers.a", "state.bgpPeers.a", false},
		"the number of objects":           {"x if count(input.state.bgpPeers) > 1", "state.bgpPeers", false},
		"every object":                    {"x if every p in input.state.bgpPeers { p.sessions > 5 }", "state.bgpPeers.*.sessions", false},
		"every key":                       {"x if every name, _ in input.state.bgpPeers { name != \"a\" }", "state.bgpPeers.*?", false},
		"every in every":                  {"x if every p in input.state.bgpPeers { every o in p.objects { o.name == \"a\" } }", "state.bgpPeers.*.objects.*.name", false},
		"an object by the key of another": {"x if {\n\tsome name, _ in input.state.bgpPeers\n\tinput.state.ipPools[name].sessions > 5\n}", "state.bgpPeers.*? state.ipPools.*.sessions", false},
		"a field of a variable's field":   {"x if {\n\tsome p in input.state.bgpPeers\n\ts := p.spec\n\ts.node == \"a\"\n}", "state.bgpPeers.*.spec.node", false},
		"two references that are equal":   {"x if {\n\ta := input.state.sessions.IPv4\n\ta == input.state.sessions.IPv6\n\ta.external > 1\n}", "state.sessions.IPv4 state.sessions.IPv6", false},
		"a value that both sides have":    {"x if {\n\tsome w\n\tinput.state.sessions.IPv4 = w\n\tinput.state.sessions.IPv6 = w\n\t1 < w.external\n}", "state.sessions.IPv4 state.sessions.IPv6", false},
		"a value in a composite":          {"x if {\n\tm := input.state.mesh\n\t[m.enabled, m] == [true, input.state.mesh]\n}", "state.mesh", false},
		"a destructured value":            {"x if {\n\t[a, _] := input.state.timers.restartTime\n\ta.seconds > 1\n}", "state.timers.restartTime", false},
		"a variable as a key":             {"x if {\n\tk := input.state.mesh\n\tdata.limits[k.source]\n}", "state.mesh.source", false},
		"object.get":                      {"x if {\n\tsome p in input.state.bgpPeers\n\tobject.get(p.spec, \"node\", \"\") == \"a\"\n}", "state.bgpPeers.*.spec.node", false},
		"object.get with a path":          {"x if object.get(input.state, [\"mesh\", \"enabled\"], false)", "state", false},
		"object.get with a default":       {"x if object.get(input.state.mesh, \"a\", input.state.nodes.total) == 1", "state.mesh.a state.nodes.total", false},
		"a text":                          {"x if {\n\tm := input.state.mesh\n\t$\"{m.enabled}\" == \"true\"\n}", "state.mesh.enabled", false},
		"a builtin's argument":            {"x if object.get(input, [\"state\", \"mesh\", \"enabled\"], false)", all, false},
		"a walk":                          {"x if {\n\tsome p, v\n\twalk(input, [p, v])\n\tv == 3\n}", all, false},
		"a computed key":                  {"x if input.state[input.parameters.name].enabled", "parameters.name state.*.enabled", false},
		"a computed part":                 {"x if {\n\tsome part in [\"state\"]\n\tinput[part].mesh\n}", "*.mesh", false},
		"with":                            {"x if _g with input as {\"a\": 1}\n\n_g if input.a", all + " a", false},
		"an else":                         {"x if _h == 2\n\n_h := 1 if input.state.mesh.enabled\n\nelse := 2 if input.state.nodes.total > 1", "state.mesh.enabled state.nodes.total", false},
		"nodes":                           {"x if count(data.state.nodes) > 1", "", true},
		"nodes by another name":           {"import data.state as st\n\nx if count(st.nodes) > 1", "", true},
		"nodes by a key":                  {"x if {\n\tsome k in [\"state\"]\n\tcount(data[k].nodes) > 1\n}", "", true},
		"IPAMBlocks":                      {"x if count(data.state.ipamBlocks.objects) > 1", "", true},
		"nodes of an input's name":        {"x if data.state.nodes[input.parameters.name].notReady", "parameters.name", true},
		"data of the policy's source":     {"x if data.limits.most > 1", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			body, rule := c.body, "violation contains {\"id\": \"x\", \"size\": 1, \"msg\": \"m\"} if x"
			if i := strings.Index(body, "\n\nx if"); strings.HasPrefix(body, "import") && i > 0 { // Imports must precede rules.
				rule = body[:i] + "\n\n" + rule
				body = body[i+2:]
			}
			text := strings.Replace(a(rule+"\n\n"+body), "# schemas:\n#   - input: schema.input\n", "", 1)
			if name == "with" {
				text = strings.Replace(text, "input.a", "object.get(input, \"a\", 0) == 1", 1)
				c.reads = all
			}
			p, err := prepare(t, inline("a.rego", text))
			if err != nil {
				t.Error(err)
				return
			}
			got := p.Definition.reads.paths()
			if slices.Equal(got, []string{""}) {
				got = []string{all}
			}
			if text := strings.Join(got, " "); text != c.reads || p.ReadsData() != c.data {
				t.Errorf("reads %q, data %v; want %q, %v", text, p.ReadsData(), c.reads, c.data)
			}
		})
	}
}

func TestReadsDataPart(t *testing.T) {
	for body, want := range map[string]string{
		"x if count(data.state.nodes) > 1":                                        "nodes",
		"x if data.state.ipamBlocks.known":                                        "ipamBlocks",
		"x if {\n\tcount(data.state.nodes) > 1\n\tdata.state.ipamBlocks.known\n}": "ipamBlocks nodes",
		"import data.state as st\n\nx if count(st.nodes) > 1":                     "nodes",
		"x if {\n\ts := data.state\n\tcount(s.nodes) > 1\n}":                      "ipamBlocks nodes other",
		"x if {\n\tsome k in [\"nodes\"]\n\tcount(data.state[k]) > 1\n}":          "ipamBlocks nodes other",
		"x if count(_all.nodes) > 1\n\n_all := data.state":                        "ipamBlocks nodes other",
		"x if input.state.mesh.enabled":                                           "",
	} {
		t.Run(body, func(t *testing.T) {
			rule := "violation contains {\"id\": \"x\", \"size\": 1, \"msg\": \"m\"} if x"
			imports, rest, found := strings.Cut(body, "\n\nx if")
			if found && strings.HasPrefix(imports, "import") {
				body = imports + "\n\n" + rule + "\n\nx if" + rest
			} else {
				body = rule + "\n\n" + body
			}
			p, err := prepare(t, inline("a.rego", strings.Replace(a(body), "# schemas:\n#   - input: schema.input\n", "", 1)))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, part := range []string{"ipamBlocks", "nodes", "other"} {
				if p.ReadsDataPart(part) {
					got = append(got, part)
				}
			}
			if text := strings.Join(got, " "); text != want {
				t.Errorf("reads %q, want %q", text, want)
			}
		})
	}
}

func TestFingerprint(t *testing.T) {
	const module = "# METADATA\n# title: x\n# custom:\n#   severity: low\n#   judges: state\n#   validationActions: [Deny]\npackage policies.x\n\nviolation contains {\"id\": \"x\", \"size\": 1, \"msg\": \"m\"}\n"
	with := func(text, action string, data, more map[string]any) string {
		l, err := NewLibrary(Source{Name: "s", Modules: map[string]string{"x.rego": text}, Data: data})
		if err != nil {
			t.Fatal(err)
		}
		spec := map[string]any{"policy": "x", "validationActions": []any{action}}
		maps.Copy(spec, more)
		d, err := Decode(map[string]any{
			"apiVersion": "policy.bgpguard.io/v1alpha1", "kind": "BGPPolicy", "metadata": map[string]any{"name": "x"},
			"spec": spec,
		})
		if err != nil {
			t.Fatal(err)
		}
		p, err := l.Prepare(&d)
		if err != nil {
			t.Fatal(err)
		}
		return p.Fingerprint()
	}
	of := func(text, action string, data map[string]any) string { return with(text, action, data, nil) }
	one := of(module, "Deny", nil)
	if of(module, "Deny", nil) != one {
		t.Error("the same policy, compiled again, has another fingerprint")
	}
	for name, other := range map[string]string{
		"an exemption": with(module, "Deny", nil, map[string]any{"exempt": map[string]any{"users": []any{"jane"}}}),
		"a match":      with(module, "Deny", nil, map[string]any{"match": map[string]any{"kinds": []any{"BGPPeer"}}}),
	} {
		t.Run(name, func(t *testing.T) {
			if other != one {
				t.Error("got another fingerprint, though states are evaluated alike")
			}
		})
	}
	for name, other := range map[string]string{
		"another rule":   of(strings.ReplaceAll(module, "\"m\"", "\"n\""), "Deny", nil),
		"another action": of(module, "Warn", nil),
		"data":           of(module, "Deny", map[string]any{"limits": map[string]any{"a": 1}}),
	} {
		t.Run(name, func(t *testing.T) {
			if other == one {
				t.Error("got the same fingerprint")
			}
		})
	}
}

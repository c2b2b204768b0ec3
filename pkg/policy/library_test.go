package policy

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

const metadata = `# METADATA
# title: A test
# schemas:
#   - input: schema.input
# custom:
#   severity: low
#   judges: state
#   validationActions: [Deny]
#   parameters:
#     type: object
#     additionalProperties: false
#     properties:
#       limit: {type: integer, default: 3, minimum: 1}
#       name: {type: string}
`

// a returns the module of a library policy "a" with the given body.
func a(body string) string { return metadata + "package policies.a\n\n" + body + "\n" }

// always finds one violation for any input.
const always = `violation contains {"id": "x", "size": 1, "msg": "m", "details": {}, "objects": []}`

func libraryOf(t *testing.T, modules map[string]string) (*Library, error) {
	t.Helper()
	l := &Library{definitions: map[string]*Definition{}}
	err := l.add(Source{Name: "test", Modules: modules}, modules)
	return l, err
}

func TestForbiddenBuiltins(t *testing.T) {
	for builtin, call := range map[string]string{
		"graph.reachable_paths": `graph.reachable_paths({"a": ["b"]}, {"a"})`,
		"http.send":             `http.send({"method": "get", "url": "http://localhost"})`,
		"net.lookup_ip_addr":    `net.lookup_ip_addr("localhost")`,
		"opa.runtime":           `opa.runtime()`,
		"time.now_ns":           `time.now_ns()`,
		"rand.intn":             `rand.intn("x", 2)`,
		"uuid.rfc4122":          `uuid.rfc4122("x")`,
		"io.jwt.decode_verify":  `io.jwt.decode_verify("x", {"secret": "s"})`,
	} {
		t.Run(builtin, func(t *testing.T) {
			for _, b := range Capabilities().Builtins {
				if b.Name == builtin {
					t.Error("it is allowed")
				}
			}
			_, err := libraryOf(t, map[string]string{"a/a.rego": a(fmt.Sprintf("violation contains {\"id\": \"x\", \"size\": 1, \"msg\": \"m\"} if %s", call))})
			if want := "undefined function " + builtin; err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got error %v, want %q", err, want)
			}
		})
	}
	if c := Capabilities(); c.AllowNet == nil || len(c.AllowNet) > 0 {
		t.Errorf("hosts that may be reached: %q, want an empty list, for nil means all", c.AllowNet)
	}
}

func TestLoadLibraryRejects(t *testing.T) {
	for name, c := range map[string]struct{ file, text, want string }{
		"a package without a violation rule": {
			"a/a.rego", a(`deny contains "x"`),
			`a/a.rego: package policies.a has no rule "violation contains ...", so it can find no violation`,
		},
		"a violation rule that is no set": {
			"a/a.rego", a(`violation := true`),
			`a/a.rego: package policies.a has no rule "violation contains ...", so it can find no violation`,
		},
		"a typo in an input path": {
			"a/a.rego", a(always + " if input.state.mesh.enabeld"),
			"a/a.rego:17: rego_type_error: undefined ref: input.state.mesh.enabeld\n" +
				"\tinput.state.mesh.enabeld\n\t                 ^\n\t                 have: \"enabeld\"\n" +
				"\t                 want (one of): [\"enabled\" \"nodes\" \"notReady\" \"sessions\" \"sessionsPerNode\" \"source\"]",
		},
		"a variable that is not used": {
			"a/a.rego", a(always + " if {\n\tx := 1\n}"),
			"a/a.rego:18: rego_compile_error: assigned var x unused",
		},
		"METADATA without a title": {
			"a/a.rego", strings.Replace(a(always), "# title: A test\n", "", 1),
			"a/a.rego: package policies.a has no METADATA with a title",
		},
		"no METADATA at all": {
			"a/a.rego", "package policies.a\n\n" + always,
			"a/a.rego: package policies.a has no METADATA with a title",
		},
		"a policy that judges something else than states": {
			"a/a.rego", strings.Replace(a(always), "judges: state", "judges: nothing", 1),
			`a/a.rego: METADATA custom.judges must be "state" or "change", is nothing`,
		},
		"a policy that is evaluated for each BGPPeer, or not": {
			"a/a.rego", strings.Replace(a(always), "judges: state", "judges: state\n#   eachBGPPeer: maybe", 1),
			"a/a.rego: METADATA custom.eachBGPPeer must be true or false, is maybe",
		},
		"a policy that judges states and reads the change": {
			"a/a.rego", strings.Replace(a(always+" if input.change.user == `root`"), "# schemas:\n#   - input: schema.input\n", "", 1),
			"a/a.rego:15: a policy that judges states must not read input.change, because it is also evaluated on states without a change; " +
				"set METADATA custom.judges: change if the policy needs it",
		},
		"a severity that is none": {
			"a/a.rego", strings.Replace(a(always), "severity: low", "severity: dire", 1),
			"a/a.rego: METADATA custom.severity must be one of critical, high, medium, low, is dire",
		},
		"no action": {
			"a/a.rego", strings.Replace(a(always), "[Deny]", "[]", 1),
			"a/a.rego: METADATA custom.validationActions: must have at least one of Deny, Warn, Audit",
		},
		"a policy that does not say what it judges": {
			"a/a.rego", strings.Replace(a(always), "#   judges: state\n", "", 1),
			`a/a.rego: METADATA custom.judges must be "state" or "change", is <nil>`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := libraryOf(t, map[string]string{c.file: c.text})
			if err == nil || err.Error() != c.want {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestLoadLibraryRejectsInvalidParameterSchemas(t *testing.T) {
	for name, c := range map[string]struct{ from, to, want string }{
		"a default that does not fit": {"default: 3", "default: 0", "a/a.rego: METADATA custom.parameters: the defaults do not match the schema: "},
		"an unknown type":             {"type: integer", "type: whole", "a/a.rego: METADATA custom.parameters: "},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := libraryOf(t, map[string]string{"a/a.rego": strings.Replace(a(always), c.from, c.to, 1)})
			// The rest of the message is from package jsonschema.
			if err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("got %v\nwant %s...", err, c.want)
			}
		})
	}
}

func TestTestsAndHelpersAreNoPolicies(t *testing.T) {
	lib, err := libraryOf(t, map[string]string{
		"a/a.rego":       a(always),
		"a/a_test.rego":  "package policies.a_test\n\ntest_x if true",
		"lib/x/x.rego":   "package policies.lib.x\n\none := 1",
		"top_level.rego": "package policies\n\ntwo := 2",
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(lib.definitions) != 1 || lib.definitions["a"] == nil {
		t.Errorf("policies %v, want a alone", lib.definitions)
	}
}

// A policy is skipped if nothing that it reads has changed. If a path were missing, the policy
// would miss changes of that path.
func TestReadsContainsEveryInputPath(t *testing.T) {
	lib, err := libraryOf(t, map[string]string{
		"a/a.rego": a(`import data.policies.lib.x
import input.state.podTraffic as traffic

violation contains {"id": peer.name, "size": input.parameters.limit, "msg": "m"} if {
	some peer in input.state.bgpPeers
	x.many
	_helper(input.state.mesh)
	traffic.IPv4.needsBGP
	count([level | some level in input.state.reflectors[_].levels]) > 0
}

_helper(mesh) if mesh.enabled`),
		"b/b.rego":     strings.Replace(a(always+" if input.state.timers.restartTime[0].seconds > 1"), "package policies.a", "package policies.b", 1),
		"lib/x/x.rego": "package policies.lib.x\n\nmany if input.state.nodes.total > 5",
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]string{
		"a": {
			"parameters.limit", "state.bgpPeers.*.name", "state.mesh.enabled", "state.nodes.total", "state.podTraffic.IPv4.needsBGP", "state.reflectors.*.levels.*",
		},
		"b": {"state.timers.restartTime.*.seconds"},
	} {
		t.Run(name, func(t *testing.T) {
			got := lib.definitions[name].reads.paths()
			if !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestLoadAndCompileNameFileLineAndField(t *testing.T) {
	const good = `apiVersion: policy.bgpguard.io/v1alpha1
kind: BGPPolicy
metadata:
  name: mesh
spec:
  policy: mesh-node-limit
  parameters:
    maxNodes: 50
  validationActions:
  - Deny
`
	replaced := func(from, to string) string { return strings.Replace(good, from, to, 1) }
	for name, c := range map[string]struct{ text, want string }{
		"nothing wrong":               {good, "<nil>"},
		"a kind that is no BGPPolicy": {replaced("kind: BGPPolicy", "kind: Policy"), "p.yaml:2: kind: must be BGPPolicy of policy.bgpguard.io/v1alpha1, is Policy of policy.bgpguard.io/v1alpha1"},
		"another group":               {replaced("policy.bgpguard.io/v1alpha1", "v1"), "p.yaml:2: kind: must be BGPPolicy of policy.bgpguard.io/v1alpha1, is BGPPolicy of v1"},
		"no document":                 {"# none\n", "p.yaml: no BGPPolicy document, so nothing would be enforced"},
		"no name":                     {replaced("  name: mesh", "  labels: {}"), "p.yaml:3: metadata.name: is missing"},
		"a field that is none":        {replaced("  parameters:", "  params:"), "p.yaml:7: BGPPolicy mesh: spec.params: is not a field of a BGPPolicy"},
		"a field of a wrong type":     {replaced("policy: mesh-node-limit", "policy: 7"), "p.yaml:6: BGPPolicy mesh: spec.policy: must be a string, is a number"},
		"no actions":                  {replaced("  validationActions:\n  - Deny\n", ""), "p.yaml:5: BGPPolicy mesh: spec.validationActions: must have at least one of Deny, Warn, Audit"},
		"an unknown action":           {replaced("- Deny", "- Audit\n  - deny"), `p.yaml:11: BGPPolicy mesh: spec.validationActions[1]: must be Deny, Warn or Audit, is "deny"`},
		"an action twice":             {replaced("- Deny", "- Deny\n  - Audit\n  - Deny"), "p.yaml:12: BGPPolicy mesh: spec.validationActions[2]: repeats Deny"},
		"Deny with Warn":              {replaced("- Deny", "- Warn\n  - Deny"), "p.yaml:9: BGPPolicy mesh: spec.validationActions: must not have both Deny and Warn: a denial already shows the message to the user"},
		"Warn with Audit":             {replaced("- Deny", "- Warn\n  - Audit"), "<nil>"},
		"an unknown policy":           {replaced("mesh-node-limit", "mesh"), `p.yaml:6: BGPPolicy mesh: spec.policy: "mesh" is not in the library; known are ` + libraryNames(t)},
		"an unknown parameter":        {replaced("maxNodes", "maxNode"), "p.yaml:7: BGPPolicy mesh: spec.parameters: additional properties 'maxNode' not allowed; known are maxNodes"},
		"a parameter of a wrong type": {replaced("50", "fifty"), "p.yaml:8: BGPPolicy mesh: spec.parameters.maxNodes: got string, want integer"},
		"a time zone that is none": {
			replaced("mesh-node-limit\n  parameters:\n    maxNodes: 50", "change-window\n  parameters:\n    windows:\n    - {schedule: 0 22 * * *, duration: 6h, timeZone: Europe/Nowhere}"),
			"p.yaml:9: BGPPolicy mesh: spec.parameters.windows.0.timeZone: 'Europe/Nowhere' is not valid time-zone: unknown time zone Europe/Nowhere",
		},
		"the time zone of the process": {
			replaced("mesh-node-limit\n  parameters:\n    maxNodes: 50", "change-window\n  parameters:\n    windows:\n    - {schedule: 0 22 * * *, duration: 6h, timeZone: Local}"),
			"p.yaml:9: BGPPolicy mesh: spec.parameters.windows.0.timeZone: 'Local' is not valid time-zone: must be the name of a time zone, for example Europe/Berlin",
		},
		"a pattern that is none": {
			replaced("mesh-node-limit\n  parameters:\n    maxNodes: 50", "change-window\n  parameters:\n    approval: {annotation: a, pattern: (}"),
			"p.yaml:8: BGPPolicy mesh: spec.parameters.approval.pattern: '(' is not valid regex: error parsing regexp: missing closing ): `(`",
		},
		"a parameter out of bounds":       {replaced("50", "0"), "p.yaml:8: BGPPolicy mesh: spec.parameters.maxNodes: minimum: got 0, want 1"},
		"two documents of one name":       {good + "---\n" + good, "p.yaml:15: BGPPolicy mesh: metadata.name: is used by two documents"},
		"all that is wrong, in one error": {replaced("- Deny", "- deny") + "---\n" + replaced("kind: BGPPolicy", "kind: X"), "p.yaml:10: BGPPolicy mesh: spec.validationActions[0]: must be Deny, Warn or Audit, is \"deny\"\np.yaml:13: kind: must be BGPPolicy of policy.bgpguard.io/v1alpha1, is X of policy.bgpguard.io/v1alpha1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			if err := os.WriteFile("p.yaml", []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			docs, err := Load([]string{"p.yaml"})
			if err == nil {
				_, err = Compile(docs)
			}
			if got := fmt.Sprint(err); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// libraryNames lists the built-in policies, in order.
func libraryNames(t *testing.T) string {
	t.Helper()
	l, err := Embedded()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(l.Names(), ", ")
}

func TestCompileOrdersByNameAndFillsDefaults(t *testing.T) {
	lib, err := libraryOf(t, map[string]string{"a/a.rego": a(always)})
	if err != nil {
		t.Fatal(err)
	}
	var docs []Document
	for _, name := range []string{"z", "b", "m"} {
		d := Document{}
		d.Name, d.Spec.Policy = name, "a"
		docs = append(docs, d)
	}
	docs[1].Spec.Parameters = &apiextensionsv1.JSON{Raw: []byte(`{"name": "n", "limit": 9}`)}
	set, err := lib.Compile(docs)
	if err != nil {
		t.Fatal(err)
	}
	if got := set.Names(); !slices.Equal(got, []string{"b", "m", "z"}) {
		t.Errorf("order %q", got)
	}
	for i, want := range []string{`{"limit": 9, "name": "n"}`, `{"limit": 3}`, `{"limit": 3}`} {
		if got := set.Policies()[i].parameters.String(); got != want {
			t.Errorf("parameters of %s: %s, want %s", set.Names()[i], got, want)
		}
	}
}

func TestValueEqualsItsJSONForm(t *testing.T) {
	type embedded struct {
		Name string `json:"name"`
	}
	type all struct {
		embedded
		Flag  bool               `json:"flag,omitempty"`
		Int   int                `json:"int"`
		Long  int64              `json:"long"`
		Float float64            `json:"float"`
		List  []string           `json:"list"`
		Deep  []map[string][]int `json:"deep"`
		Any   any                `json:"any"`
		Pair  [2]string          `json:"pair"`
		To    *embedded          `json:"to"`
		Nil   *embedded          `json:"nil"`

		unexported string
	}
	for name, v := range map[string]any{
		"null":                         nil,
		"a text":                       "ü \"x\"\n",
		"an integer":                   int64(-4294967295),
		"a huge number":                1e300,
		"a fraction":                   0.1,
		"a whole float":                64512.0,
		"a decoded JSON value":         map[string]any{"a": []any{nil, true, 1.5, int64(2), "x", map[string]any{}}, "b": map[string]any{"c": []any{}}},
		"a zero struct with its lists": all{List: []string{}, Deep: []map[string][]int{}},
		"a struct": all{embedded{"n"}, true, 1, 1 << 40, 2.25, []string{"a", ""}, []map[string][]int{{"b": {1, 2}, "a": {}}, {}},
			map[string]any{"k": int64(1)}, [2]string{"c", "d"}, &embedded{"m"}, nil, "x"},
		"pointers in a map": map[string]*embedded{"z": {"1"}, "a": nil},
	} {
		t.Run(name, func(t *testing.T) {
			if a, ok := v.(all); ok && !a.Flag {
				v = struct { // omitempty leaves the field out of the JSON form; Value never does.
					all
					Flag bool `json:"flag"`
				}{all: a}
			}
			text, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			var decoded any
			if err := json.Unmarshal(text, &decoded); err != nil {
				t.Fatal(err)
			}
			want, err := ast.InterfaceToValue(decoded)
			if err != nil {
				t.Fatal(err)
			}
			if got := Value(v); got.Compare(want) != 0 {
				t.Errorf("%s:\n got %v\nwant %v", reflect.TypeOf(v), got, want)
			}
		})
	}
}

// ValueLike returns the same value as Value, and shares the values of what did not change.
func TestValueLikeSharesWhatIsEqual(t *testing.T) {
	type item struct {
		Name   string `json:"name"`
		Number int    `json:"number"`
	}
	type part struct {
		Names []string `json:"names"`
		Items []item   `json:"items"`
		Deep  *item    `json:"deep"`
	}
	of := func(names string, deep int, items ...int) *part {
		out := &part{Names: strings.Fields(names), Items: []item{}, Deep: &item{"deep", deep}}
		for _, n := range items {
			out.Items = append(out.Items, item{fmt.Sprint("item-", n), n})
		}
		return out
	}
	old := of("a b c", 1, 1, 2, 3, 4)
	known, _ := Value(old).(ast.Object)
	shared := func(v ast.Value) (names, items int) {
		for i, list := range []string{"names", "items"} {
			found := map[*ast.Term]bool{}
			known.Get(ast.StringTerm(list)).Value.(*ast.Array).Foreach(func(term *ast.Term) { found[term] = true })
			v.(ast.Object).Get(ast.StringTerm(list)).Value.(*ast.Array).Foreach(func(term *ast.Term) {
				if found[term] {
					*[]*int{&names, &items}[i]++
				}
			})
		}
		return names, items
	}
	for name, test := range map[string]struct {
		now          *part
		names, items int
	}{
		"equal":              {of("a b c", 1, 1, 2, 3, 4), 3, 4},
		"added in front":     {of("x a b c", 1, 0, 1, 2, 3, 4), 3, 4},
		"added in between":   {of("a x b c", 1, 1, 2, 9, 3, 4), 3, 4},
		"removed":            {of("a c", 1, 1, 2, 4), 2, 3},
		"another one":        {of("a b x", 2, 1, 9, 3, 4), 2, 3},
		"nothing is left":    {of("", 1), 0, 0},
		"two with one value": {of("c b c", 1, 1, 1, 2, 3, 4), 2, 4},
	} {
		t.Run(name, func(t *testing.T) {
			got, want := ValueLike(test.now, old, known), Value(test.now)
			if got.Compare(want) != 0 || !identical(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
			if names, items := shared(got); names < test.names || items < test.items {
				t.Errorf("%d names and %d items are shared, want %d and %d", names, items, test.names, test.items)
			}
		})
	}
	if got, want := ValueLike(old, nil, nil), Value(old); got.Compare(want) != 0 {
		t.Errorf("without a known value: got %v, want %v", got, want)
	}
}

func TestValueHasEveryField(t *testing.T) {
	v := struct {
		List  []string       `json:"list"`
		Map   map[string]any `json:"map"`
		Ready ast.Value      `json:"ready"`
	}{Ready: ast.String("as it is")}
	if got, want := Value(v).String(), `{"list": [], "map": {}, "ready": "as it is"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestPoliciesAreNotReadFromStandardInput(t *testing.T) {
	_, err := Load([]string{"-"})
	if want := "- (standard input) cannot be read here: use a file or a directory"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestActionsMustBeAList(t *testing.T) {
	file := filepath.Join(t.TempDir(), "p.yaml")
	text := "apiVersion: policy.bgpguard.io/v1alpha1\nkind: BGPPolicy\nmetadata: {name: x}\nspec:\n  policy: mesh-node-limit\n  validationActions: Deny\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load([]string{file})
	if want := file + ":6: BGPPolicy x: spec.validationActions: must be a list, is a string"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestEveryPolicyHasAnExample(t *testing.T) {
	l, err := Embedded()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range l.Definitions() {
		t.Run(d.Name, func(t *testing.T) {
			file := filepath.Join("..", "..", "policies", filepath.Dir(d.File), "example.yaml")
			docs, err := Load([]string{file})
			if err != nil {
				t.Error(err)
				return
			}
			for _, doc := range docs {
				if doc.Spec.Policy != d.Name {
					t.Errorf("%s is an example of %s", file, doc.Spec.Policy)
				}
			}
			if _, err := l.Compile(docs); err != nil {
				t.Error(err)
			}
			if len(d.Related) == 0 || d.Description == "" {
				t.Error("it has no description, or no related resource to link to")
			}
		})
	}
}

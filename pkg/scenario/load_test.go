package scenario

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/bgpguard/bgpguard/pkg/manifest"
	"github.com/bgpguard/bgpguard/pkg/policy"
)

const good = `apiVersion: policy.bgpguard.io/v1alpha1
kind: Scenario
metadata:
  name: small
state:
- nodes: {count: 2, prefix: w, ipv4: 10.0.0.0/24}
steps:
- name: a node more
  apply:
    apiVersion: v1
    kind: Node
    metadata: {name: x, annotations: {projectcalico.org/IPv4Address: 10.0.0.9/24}}
  expect:
    allowed: true
`

func load(t *testing.T, text string) ([]*Scenario, error) {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := os.WriteFile("s.yaml", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load([]string{"s.yaml"})
}

func TestLoadNamesFileLineAndField(t *testing.T) {
	replaced := func(from, to string) string { return strings.Replace(good, from, to, 1) }
	before, _, _ := strings.Cut(good, "steps:")
	for name, c := range map[string]struct{ text, want string }{
		"nothing wrong":                 {good, "<nil>"},
		"another kind":                  {replaced("kind: Scenario", "kind: Test"), "s.yaml:2: kind: must be Scenario of policy.bgpguard.io/v1alpha1, is Test of policy.bgpguard.io/v1alpha1"},
		"no name":                       {replaced("  name: small", "  name: ''"), "s.yaml:4: metadata.name: is missing"},
		"an unknown field":              {replaced("  expect:", "  expects: {}\n  expect:"), "s.yaml:13: steps[0].expects: is not a field of a Scenario"},
		"a field of a wrong type":       {replaced("    allowed: true", "    allowed: maybe"), "s.yaml:7: steps.expect.allowed: must be true or false, is a string"},
		"no expectation":                {replaced("    allowed: true", "    noWarnings: true"), "s.yaml:13: steps[0].expect.allowed: is missing: true or false"},
		"no step":                       {before + "steps: []\n", "s.yaml:7: steps: is empty, so the scenario tests nothing"},
		"a step without a name":         {replaced("name: a node more", "name: ''"), "s.yaml:8: steps[0].name: is missing"},
		"a step without a change":       {replaced("  apply:", "  delete: {kind: Node, name: w1}\n  apply:"), "s.yaml:8: steps[0]: must have exactly one of apply, patch and delete"},
		"a message of what is allowed":  {replaced("allowed: true", "allowed: true\n    message: [x]"), "s.yaml:13: steps[0].expect: must not have policies or message if allowed is true; expect warnings instead"},
		"a cascade that is none":        {replaced("  apply:", "  delete: {kind: Node, name: w1, cascade: orphan}\n  apply:"), "s.yaml:8: steps[0]: must have exactly one of apply, patch and delete\ns.yaml:9: steps[0].delete.cascade: must be foreground, is \"orphan\""},
		"no nodes to apply":             {replaced("  expect:", "  expect: {allowed: true}\n- name: more\n  apply: {nodes: {count: 0}}\n  expect:"), "s.yaml:15: steps[1].apply.nodes: count must be from 1 to 100000, is 0"},
		"a file to apply is gone":       {replaced("  expect:", "  expect: {allowed: true}\n- name: more\n  apply: {file: gone}\n  expect:"), "s.yaml:15: gone: no such file or directory"},
		"terminating for no reason":     {replaced("- nodes:", "- {apiVersion: v1, kind: Node, metadata: {name: z, deletionTimestamp: \"2026-01-02T03:04:05Z\"}}\n- nodes:"), "s.yaml:6: state[0]: Node z has a deletionTimestamp and no finalizers: an API server does not keep such an object"},
		"groups of nobody":              {replaced("  expect:", "  groups: [g]\n  expect:"), "s.yaml:8: steps[0].user: is missing: groups need a user"},
		"warnings and none":             {replaced("allowed: true", "allowed: true\n    noWarnings: true\n    warnings: [x]"), "s.yaml:15: steps[0].expect.noWarnings: must not be true if there are warnings"},
		"a time that is none":           {replaced("state:", "now: noon\nstate:"), `s.yaml:5: now: must be a time such as 2026-01-31T22:00:00Z, is "noon"`},
		"an object that does not parse": {replaced("kind: Node", "kind: Nod"), "s.yaml:9: steps[0].apply: Nod of v1 does not decide BGP; known are Node of v1 and "},
		"too many nodes":                {replaced("count: 2", "count: 300"), "s.yaml:6: state[0].nodes: 10.0.0.0/24 has no address for node 256 of 300"},
		"no nodes":                      {replaced("count: 2", "count: 0"), "s.yaml:6: state[0].nodes: count must be from 1 to 100000, is 0"},
		"a network that is none":        {replaced("10.0.0.0/24}", "fd00::/64}"), `s.yaml:6: state[0].nodes: ipv4 must be a network such as 10.0.0.0/16, is "fd00::/64"`},
		"a file that is not there":      {replaced("- nodes:", "- file: gone.yaml\n- nodes:"), "s.yaml:6: gone.yaml: no such file or directory"},
		"policies that are none":        {replaced("state:", "policies: [{kind: Policy}]\nstate:"), "s.yaml:5: policies[0]: must be {file: PATH}, {library: true} or a BGPPolicy of policy.bgpguard.io/v1alpha1"},
		"a policy of no version":        {replaced("state:", "policies: [{kind: BGPPolicy}]\nstate:"), "s.yaml:5: policies[0]: kind: must be BGPPolicy of policy.bgpguard.io/v1alpha1, is BGPPolicy of nothing"},
		"a policy's unknown field": {
			replaced("state:", "policies:\n- apiVersion: policy.bgpguard.io/v1alpha1\n  kind: BGPPolicy\n  metadata: {name: x}\n  spec:\n    policies: y\nstate:"),
			"s.yaml:10: policies[0]: BGPPolicy x: spec.policies: is not a field of a BGPPolicy",
		},
		"a file beside something else": {replaced("- nodes:", "- {file: x.yaml, kind: Node}\n- nodes:"), "s.yaml:6: state[0].kind: is not a field of a reference to a file"},
		"a file without a name":        {replaced("- nodes:", "- file: ''\n- nodes:"), "s.yaml:6: state[0].file: must be a path"},
		"a file that is a number":      {replaced("- nodes:", "- file: 7\n- nodes:"), "s.yaml:6: state[0].file: must be a string, is a number"},
		"nodes of an unknown field":    {replaced("count: 2", "number: 2"), "s.yaml:6: state[0].nodes.number: is not a field of a group of nodes"},
		"library: false":               {replaced("state:", "policies: [{library: false}]\nstate:"), "s.yaml:5: policies[0].library: must be true and the only field"},
		"broken YAML":                  {replaced("metadata:", "metadata: ["), "s.yaml:"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, c.text)
			if got := "<nil>"; err == nil && got != c.want || err != nil && !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("got  %v\nwant %s...", err, c.want)
			}
		})
	}
}

func TestRunSaysWhatIsNotAsExpected(t *testing.T) {
	for name, c := range map[string]struct{ from, to, want string }{
		"allowed for denied": {"allowed: true", "allowed: false\n    policies: [mesh-node-limit]\n    message: [too many]", `FAIL: scenario small (1 step)
  FAIL: s.yaml:8: a node more
    the change is allowed, want denied
    the change is denied by no policy, want mesh-node-limit
    the message does not contain "too many"
`},
		"a warning that does not come": {"allowed: true", "allowed: true\n    warnings: [x]", `FAIL: scenario small (1 step)
  FAIL: s.yaml:8: a node more
    no warning contains "x"
`},
		"warnings that come": {"10.0.0.9/24}}", "10.0.0.9/24, projectcalico.org/ASNumber: x}}\n  user: u", ""},
		"as expected":        {"allowed: true", "allowed: true\n    noWarnings: true", "PASS: scenario small (1 step)\n"},
	} {
		t.Run(name, func(t *testing.T) {
			scenarios, err := load(t, strings.Replace(good, c.from, c.to, 1))
			if err != nil {
				t.Fatal(err)
			}
			library, err := policy.Embedded()
			if err != nil {
				t.Fatal(err)
			}
			if name == "warnings that come" {
				scenarios[0].Steps[0].Expect.NoWarnings = true
			}
			r, err := Run(t.Context(), scenarios[0], library)
			if err != nil {
				t.Fatal(err)
			}
			var text bytes.Buffer
			if err := WriteText(&text, []*Result{r}); err != nil {
				t.Fatal(err)
			}
			if name == "warnings that come" {
				if got := text.String(); !strings.Contains(got, "got 1 warning, want none\n    warning: Node x: ") {
					t.Errorf("got\n%s", got)
				}
				return
			}
			if got := text.String(); got != c.want {
				t.Errorf("got\n%swant\n%s", got, c.want)
			}
		})
	}
}

func TestAStepOnWhatIsNotThereCannotBeRun(t *testing.T) {
	library, err := policy.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	apply := good[strings.Index(good, "  apply:"):strings.Index(good, "  expect:")]
	for change, want := range map[string]string{
		"  delete: {kind: Node, name: gone}\n":                                   "s.yaml:9: steps[0].delete: the state has no Node gone",
		"  patch: {kind: BGPPeer, name: x, merge: {}}\n":                         "s.yaml:9: steps[0].patch: the state has no BGPPeer x",
		"  patch: {kind: Node, name: w1, merge: {metadata: {name: other}}}\n":    "s.yaml:9: steps[0].patch.merge: must not change the kind or the name, gives Node other",
		"  patch: {kind: Node, name: w1, merge: {metadata: {labels: {a: [1]}}}}": "s.yaml:9: steps[0].patch.merge.metadata.labels.a: must be a string, is a list",
	} {
		t.Run(want, func(t *testing.T) {
			scenarios, err := load(t, strings.Replace(good, apply, change+"\n", 1))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Run(t.Context(), scenarios[0], library); err == nil || err.Error() != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
		})
	}
}

// properties collects the names of the properties that a schema defines.
func properties(schema any) []string {
	m, _ := schema.(map[string]any)
	p, _ := m["properties"].(map[string]any)
	var out []string
	for name := range p {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

func fields(t reflect.Type) []string {
	var out []string
	for _, f := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

func TestSchemaMatchesTheTypes(t *testing.T) {
	text, err := os.ReadFile("scenario.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	definitions := document.(map[string]any)["definitions"].(map[string]any)
	for name, c := range map[string]struct {
		schema any
		t      reflect.Type
	}{
		"Scenario": {document, reflect.TypeFor[Scenario]()},
		"Step":     {definitions["step"], reflect.TypeFor[Step]()},
		"Expect":   {definitions["expect"], reflect.TypeFor[Expect]()},
		"Nodes":    {definitions["nodes"], reflect.TypeFor[Nodes]()},
		"Patch":    {definitions["patch"], reflect.TypeFor[Patch]()},
		"Deletion": {definitions["deletion"], reflect.TypeFor[Deletion]()},
	} {
		t.Run(name, func(t *testing.T) {
			if got, want := properties(c.schema), fields(c.t); !slices.Equal(got, want) {
				t.Errorf("the schema has %q, the type %q", got, want)
			}
		})
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("mem:///s", document); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("mem:///s")
	if err != nil {
		t.Fatal(err)
	}
	docs, err := manifest.Read([]string{filepath.Join("..", "..", "test", "scenarios"), filepath.Join("..", "..", "test", "judgement")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range docs {
		text, err := json.Marshal(d.Object)
		if err != nil {
			t.Fatal(err)
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(v); err != nil {
			t.Errorf("%s: %v", d.File, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(good)
	f.Add(strings.Replace(good, "- nodes:", "- apiVersion: v1\n  kind: Node\n  metadata: {name: y}\n- nodes:", 1))
	f.Add("apiVersion: policy.bgpguard.io/v1alpha1\nkind: Scenario\nsteps: [{patch: {merge: 1}}]\n")
	f.Fuzz(func(t *testing.T, text string) {
		docs, err := manifest.Parse("s.yaml", []byte(text))
		if err != nil {
			return
		}
		for _, d := range docs {
			s, err := read(d)
			if err == nil && (s.Metadata.Name == "" || len(s.Steps) == 0) {
				t.Errorf("taken: %+v", s)
			}
		}
	})
}

// TestAServiceAccountIsInItsGroups runs a step of a ServiceAccount that is exempt because of a
// group that the API server adds.
func TestAServiceAccountIsInItsGroups(t *testing.T) {
	const scenario = `apiVersion: policy.bgpguard.io/v1alpha1
kind: Scenario
metadata: {name: exempt}
policies:
- apiVersion: policy.bgpguard.io/v1alpha1
  kind: BGPPolicy
  metadata: {name: mesh}
  spec:
    policy: mesh-node-limit
    parameters: {maxNodes: 1}
    validationActions: [Deny]
    exempt: {groups: ["system:serviceaccounts:flux"]}
state:
- nodes: {count: 2, prefix: w, ipv4: 10.0.0.0/24}
- {apiVersion: projectcalico.org/v3, kind: BGPConfiguration, metadata: {name: default}, spec: {nodeToNodeMeshEnabled: false}}
steps:
- name: of another namespace
  user: system:serviceaccount:other:sync
  patch: {kind: BGPConfiguration, name: default, merge: {spec: {nodeToNodeMeshEnabled: true}}}
  expect: {allowed: false, policies: [mesh]}
- name: exempt
  user: system:serviceaccount:flux:sync
  patch: {kind: BGPConfiguration, name: default, merge: {spec: {nodeToNodeMeshEnabled: true}}}
  expect: {allowed: true, warnings: ["[mesh] "]}
`
	scenarios, err := load(t, scenario)
	if err != nil {
		t.Fatal(err)
	}
	library, err := policy.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	r, err := Run(t.Context(), scenarios[0], library)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := WriteText(&text, []*Result{r}); err != nil || text.String() != "PASS: scenario exempt (2 steps)\n" {
		t.Errorf("error %v\n%s", err, text.String())
	}
}

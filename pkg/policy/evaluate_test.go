package policy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/manifest"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology/topologytest"
	"github.com/bgpguard/bgpguard/pkg/violation"
	"github.com/bgpguard/bgpguard/policies"
)

// one compiles a library with the policy "a", and a document "doc" that refers to it.
func one(t *testing.T, body string) *Policy {
	t.Helper()
	lib, err := libraryOf(t, map[string]string{"a/a.rego": a(body)})
	if err != nil {
		t.Fatal(err)
	}
	d := Document{}
	d.Name, d.Spec.Policy, d.Spec.ValidationActions = "doc", "a", []violation.Action{violation.Audit, violation.Warn}
	set, err := lib.Compile([]Document{d})
	if err != nil {
		t.Fatal(err)
	}
	return set.Policies()[0]
}

// sample returns input.state for the files of a real cluster.
func sample(t *testing.T) ast.Object {
	t.Helper()
	docs, err := manifest.Read([]string{"../../config/samples/cluster.yaml"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var objects []calico.Object
	for _, d := range docs {
		objects = append(objects, calicotest.Decode(t, d.Object))
	}
	summary := topologytest.Compute(t, state.New(objects...), nil).Summary()
	return ast.NewObject(
		[2]*ast.Term{ast.StringTerm("state"), ast.NewTerm(Value(summary))},
		[2]*ast.Term{ast.StringTerm("now"), ast.NewTerm(ast.IntNumberTerm(1).Value)},
	)
}

func TestEvaluate(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		want string // the violations as JSON, or the error
	}{
		"finds nothing": {
			always + " if input.state.nodes.total > 1000", `null`,
		},
		"sorts by id, fills what is left out and names document and action": {
			`violation contains {"id": id, "size": 0.5, "msg": "m"} if some id in ["z", "b"]`,
			`[{"policy":"doc","id":"b","size":0.5,"action":"Warn","message":"m","details":{},"objects":[]},` +
				`{"policy":"doc","id":"z","size":0.5,"action":"Warn","message":"m","details":{},"objects":[]}]`,
		},
		"sees state and parameters": {
			`violation contains {"id": "x", "size": input.state.nodes.total - input.parameters.limit, "msg": "m", "details": {"n": 1}, "objects": [{"kind": "Node", "name": "n"}]}`,
			`[{"policy":"doc","id":"x","size":3,"action":"Warn","message":"m","details":{"n":1},"objects":[{"kind":"Node","name":"n"}]}]`,
		},
		"an element that is no object": {`violation contains "x"`, `rule violation contains a string, must contain objects`},
		"no id":                        {`violation contains {"size": 1, "msg": "m"}`, `a violation has no "id", which must be a string`},
		"an id that is no string":      {`violation contains {"id": 1, "size": 1, "msg": "m"}`, `a violation has no "id", which must be a string`},
		"an empty id":                  {`violation contains {"id": "", "size": 1, "msg": "m"}`, `a violation has no "id", which must be a string`},
		"no message":                   {`violation contains {"id": "x", "size": 1}`, `violation "x" has no "msg", which must be a string`},
		"no size":                      {`violation contains {"id": "x", "msg": "m"}`, `violation "x" has no "size", which must be a number`},
		"a size that is no number":     {`violation contains {"id": "x", "size": "1", "msg": "m"}`, `violation "x" has no "size", which must be a number`},
		"details that are no object":   {`violation contains {"id": "x", "size": 1, "msg": "m", "details": 1}`, `violation "x": "details" must be an object`},
		"objects that are no list":     {`violation contains {"id": "x", "size": 1, "msg": "m", "objects": {"kind": "Node"}}`, `violation "x": "objects" must be a list`},
		"an object without a name":     {`violation contains {"id": "x", "size": 1, "msg": "m", "objects": [{"kind": "Node"}]}`, `violation "x": "objects" must contain {"kind", "name"}`},
		"an object that is a text":     {`violation contains {"id": "x", "size": 1, "msg": "m", "objects": ["Node n"]}`, `violation "x": "objects" must contain {"kind", "name"}`},
		"objects with fields": {
			`violation contains {"id": "x", "size": 1, "msg": "m", "objects": [{"kind": "Node", "name": "n", "fields": ["metadata.labels.rack"]}, {"kind": "Node", "name": "m", "fields": []}]}`,
			`[{"policy":"doc","id":"x","size":1,"action":"Warn","message":"m","details":{},"objects":[{"kind":"Node","name":"n","fields":["metadata.labels.rack"]},{"kind":"Node","name":"m"}]}]`,
		},
		"fields that are no list":         {`violation contains {"id": "x", "size": 1, "msg": "m", "objects": [{"kind": "Node", "name": "n", "fields": "spec.a"}]}`, `violation "x": "fields" of Node n must be a list`},
		"a field that is no path":         {`violation contains {"id": "x", "size": 1, "msg": "m", "objects": [{"kind": "Node", "name": "n", "fields": ["rack"]}]}`, `violation "x": "fields" of Node n must contain paths such as "spec.peerSelector" or "metadata.labels.rack", found rack`},
		"a field that is a number":        {`violation contains {"id": "x", "size": 1, "msg": "m", "objects": [{"kind": "Node", "name": "n", "fields": [1]}]}`, `violation "x": "fields" of Node n must contain paths such as "spec.peerSelector" or "metadata.labels.rack", found 1`},
		"members that are no list":        {`violation contains {"id": "x", "size": 1, "msg": "m", "members": "all"}`, `violation "x": "members" must be a list`},
		"members that are no strings":     {`violation contains {"id": "x", "size": 1, "msg": "m", "members": ["a", 1]}`, `violation "x": "members" must contain strings`},
		"two violations of one id":        {`violation contains {"id": "x", "size": n, "msg": "m"} if some n in [1, 2]`, `two violations have the id "x"`},
		"a builtin that fails":            {`violation contains {"id": "x", "size": to_number(input.state.mesh.source), "msg": "m"} if input.state.nodes.total > 0`, `a/a.rego:17: eval_builtin_error: to_number: strconv.ParseFloat: parsing "set": invalid syntax`},
		"a complete rule with two values": {always + " if _x > 0\n\n_x := n if some n in [1, 2]", "a/a.rego:19: eval_conflict_error: rule data.policies.a._x produced conflicting values:\n  1 at a/a.rego:19\n  2 at a/a.rego:19"},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := one(t, c.body).Evaluate(t.Context(), sample(t), nil)
			text, _ := json.Marshal(found)
			got := string(text)
			if err != nil {
				got = err.Error()
				if found != nil {
					t.Errorf("violations %v beside an error", found)
				}
			}
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestMembersAreReadAndKeptOutOfWhatIsPrinted(t *testing.T) {
	found, err := one(t, `violation contains {"id": "x", "size": 1, "msg": "m", "members": ["b", "a"]}`).Evaluate(t.Context(), sample(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 1 || !slices.Equal(found[0].Members, []string{"b", "a"}) {
		t.Errorf("found %+v, want one with the members b and a", found)
	}
	text, err := json.Marshal(found)
	if want := `[{"policy":"doc","id":"x","size":1,"action":"Warn","message":"m","details":{},"objects":[]}]`; err != nil || string(text) != want {
		t.Errorf("got  %s, %v\nwant %s", text, err, want)
	}
}

func TestEvaluateStopsWithItsContext(t *testing.T) {
	// Ten thousand million steps do not end within the time of a test.
	p := one(t, always+` if {
	some i in numbers.range(1, 100000)
	some j in numbers.range(1, 100000)
	i * j == input.state.nodes.total - 1000
}`)
	in := sample(t) // Before the clock starts: on a busy machine it takes longer than the timeout.
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	found, err := p.Evaluate(ctx, in, nil)
	if want := "stopped before it finished: context deadline exceeded"; fmt.Sprint(err) != want || found != nil {
		t.Errorf("%v and error %v, want %s", found, err, want)
	}
}

func TestEvaluateLeavesItsInputAlone(t *testing.T) {
	in := sample(t)
	before := in.String()
	if _, err := one(t, always).Evaluate(t.Context(), in, nil); err != nil {
		t.Fatal(err)
	}
	if in.String() != before {
		t.Errorf("the input became %s", in)
	}
}

func TestUnaffected(t *testing.T) {
	p := one(t, always+" if {\n\tinput.state.mesh.enabled\n\tinput.state.bgpPeers.p.sessions > input.parameters.limit\n}")
	value := func(text string) ast.Object { return ast.MustParseTerm(text).Value.(ast.Object) }
	base := `{"state": {"mesh": {"enabled": true, "nodes": 1}, "bgpPeers": {"p": {"sessions": 1}}}, "now": 1}`
	for name, c := range map[string]struct {
		from, to string
		want     bool
	}{
		"nothing changed":          {"", "", true},
		"an unread part":           {`"nodes": 1`, `"nodes": 2`, true},
		"the time":                 {`"now": 1`, `"now": 2`, true},
		"a read part":              {`true`, `false`, false},
		"a deleted part":           {`"p": {"sessions": 1}`, ``, false},
		"a part of another object": {`"p": {`, `"q": {"sessions": 7}, "p": {`, true},
		"a part of another type":   {`{"p": {"sessions": 1}}`, `[]`, false},
		"the text of a number":     {`"sessions": 1`, `"sessions": 1.0`, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := NewDifference(value(base), value(strings.Replace(base, c.from, c.to, 1))).Unaffected(p); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// What a policy reads of each object is compared, and which objects there are.
func TestUnaffectedByOtherFieldsOfObjects(t *testing.T) {
	p := one(t, always+` if {
	some name, peer in input.state.bgpPeers
	peer.sessions > input.parameters.limit
	some selector in peer.selectors
	selector.field == "nodeSelector"
}`)
	value := func(text string) ast.Object { return ast.MustParseTerm(text).Value.(ast.Object) }
	base := `{"state": {"bgpPeers": {"p": {"sessions": 1, "selectors": [{"field": "a", "text": "x"}], "spec": {}}, "q": {"sessions": 2}}}}`
	for name, c := range map[string]struct {
		from, to string
		want     bool
	}{
		"an unread field":            {`"spec": {}`, `"spec": {"node": "a"}`, true},
		"a read field":               {`"sessions": 2`, `"sessions": 3`, false},
		"an unread field of a list":  {`"x"`, `"y"`, true},
		"a read field of a list":     {`"a"`, `"b"`, false},
		"another element":            {`[{`, `[{"field": "a"}, {`, false},
		"an object for a list":       {`[{"field": "a", "text": "x"}]`, `{"0": {"field": "a", "text": "x"}}`, false},
		"another key":                {`"q"`, `"r"`, false},
		"another object":             {`"q"`, `"r": {"sessions": 0}, "q"`, false},
		"an object of another type":  {`{"sessions": 2}`, `[]`, false},
		"a field that is absent now": {`"sessions": 2`, ``, false},
		"the text of a number":       {`"sessions": 2`, `"sessions": 2.0`, false},
	} {
		t.Run(name, func(t *testing.T) {
			changed := strings.Replace(base, c.from, c.to, 1)
			if changed == base {
				t.Fatal("nothing is changed")
			}
			if got := NewDifference(value(base), value(changed)).Unaffected(p); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// The values of a collection are compared once, for all policies and paths.
func TestADifferenceIsComputedOnce(t *testing.T) {
	value := func(text string) ast.Object { return ast.MustParseTerm(text).Value.(ast.Object) }
	d := NewDifference(value(`{"state": {"bgpPeers": {"p": {"sessions": 1}, "q": {"sessions": 2}}}}`), value(`{"state": {"bgpPeers": {"p": {"sessions": 1}, "q": {"sessions": 3}}}}`))
	for range 2 {
		if d.Unaffected(one(t, always+" if {\n\tsome peer in input.state.bgpPeers\n\tpeer.sessions > 5\n}")) || !d.Unaffected(one(t, always+" if {\n\tsome peer in input.state.bgpPeers\n\tpeer.localNodes > 5\n}")) {
			t.Error("wrong answer")
		}
	}
	if len(d.changed) != 1 {
		t.Errorf("%d collections were compared, want 1", len(d.changed))
	}
}

func TestTheInputSchemaHoldsForARealSummary(t *testing.T) {
	text, err := fs.ReadFile(policies.FS, stateSchema)
	if err != nil {
		t.Fatal(err)
	}
	document, err := parseJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("mem:///input.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("mem:///input.json")
	if err != nil {
		t.Fatal(err)
	}
	in := sample(t)
	in.Insert(parametersKey, ast.NewTerm(ast.NewObject()))
	good, err := ast.JSON(in)
	if err != nil {
		t.Fatal(err)
	}
	validate := func(v any) error {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		fresh, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		return schema.Validate(fresh)
	}
	if err := validate(good); err != nil {
		t.Fatalf("a real input does not fit: %v", err)
	}
	// Where the schema fixes the keys of an object, it requires all of them and allows no others.
	for _, path := range []string{"", "state", "state.nodes", "state.mesh", "state.reflectors", "state.reflectors.IPv4", "state.sessions",
		"state.sessions.IPv4", "state.sessions.IPv4.frozen", "state.routes.IPv6", "state.routes.IPv4.withTransit", "state.routes.IPv4.withoutTransit.withoutRoute",
		"state.convergence", "state.convergence.start", "state.podTraffic.IPv6",
		"state.timers", "state.timers.nodeMeshMaxRestartTime", "state.bgpPeers.workers", "state.bgpConfigurations.default", "state.ipPools.default-ipv4-ippool"} {
		part := good.(map[string]any)
		for _, step := range strings.FieldsFunc(path, func(r rune) bool { return r == '.' }) {
			part = part[step].(map[string]any)
		}
		for field, value := range part {
			delete(part, field)
			if validate(good) == nil {
				t.Errorf("fits without %s.%s", path, field)
			}
			part[field] = value
		}
		part["surplus"] = "x"
		if validate(good) == nil {
			t.Errorf("fits with a surplus field in %s", path)
		}
		delete(part, "surplus")
	}
}

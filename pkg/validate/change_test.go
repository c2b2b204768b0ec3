package validate

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// own returns a set with one BGPPolicy "own", which contains its Rego. extra holds further
// fields of its spec, as JSON.
func own(t testing.TB, judges, rule, extra string) *policy.Set {
	t.Helper()
	module, err := json.Marshal("# METADATA\n# title: x\n# custom:\n#   severity: low\n#   judges: " + judges +
		"\n#   validationActions: [Deny]\npackage policies.x\n\n" + rule + "\n")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "own.yaml")
	text := `{"apiVersion": "policy.bgpguard.io/v1alpha1", "kind": "BGPPolicy", "metadata": {"name": "own"}, "spec": {` +
		`"rego": {"modules": [{"name": "x.rego", "text": ` + string(module) + `}]}, "validationActions": ["Deny"]` + extra + `}}`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	docs, err := policy.Load([]string{file})
	if err != nil {
		t.Fatal(err)
	}
	set, err := policy.Compile(docs)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// messageOf returns a rule with one violation, whose message is x as JSON.
func messageOf(x string) string {
	return "violation contains {\"id\": \"x\", \"size\": 1, \"msg\": json.marshal(x)} if x := " + x
}

// only returns the message of the only violation of a decision, decoded from JSON.
func only(t *testing.T, d *Decision) any {
	t.Helper()
	if len(worseOf(d)) != 1 || len(d.Failures) > 0 {
		t.Fatalf("got %+v", d)
	}
	var v any
	if err := json.Unmarshal([]byte(worseOf(d)[0].Message), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestAPolicyThatJudgesChangesSeesTheChange(t *testing.T) {
	set := own(t, "change", messageOf("input.change"), "")
	before := peer(t, "workers", "has(rr)", "has(rr)")
	after, err := calico.Decode(map[string]any{
		"apiVersion": "crd.projectcalico.org/v1", "kind": "BGPPeer",
		"metadata": map[string]any{
			"name": "workers", "uid": "u", "managedFields": []any{},
			"annotations": map[string]any{"projectcalico.org/metadata": `{"labels":{"l":"v"},"annotations":{"approved-by":"CHG-1"}}`},
		},
		"spec":   map[string]any{"peerSelector": "all()", "newField": int64(4294967295)},
		"status": map[string]any{"s": true},
	})
	if err != nil {
		t.Fatal(err)
	}
	s := state.New(before)
	got := only(t, NewEngine(set).Decide(t.Context(), s, Request{
		Change: state.Change{Before: before, After: after}, User: "alice", Groups: []string{"g"}, DryRun: true,
	}))
	want := map[string]any{
		"operation": "UPDATE", "kind": "BGPPeer", "name": "workers", "user": "alice", "groups": []any{"g"}, "dryRun": true,
		"object": map[string]any{
			"apiVersion": "crd.projectcalico.org/v1", "kind": "BGPPeer",
			"metadata": map[string]any{
				"name": "workers", "uid": "u", "labels": map[string]any{"l": "v"}, "annotations": map[string]any{"approved-by": "CHG-1"},
			},
			"spec": map[string]any{"peerSelector": "all()", "newField": 4294967295.0}, "status": map[string]any{"s": true},
		},
		"installation": nil,
	}
	old, _ := got.(map[string]any)["oldObject"].(map[string]any)
	if spec, _ := old["spec"].(map[string]any); spec["peerSelector"] != "has(rr)" {
		t.Errorf("oldObject is %v", old)
	}
	delete(got.(map[string]any), "oldObject")
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}

	created := only(t, NewEngine(set).Decide(t.Context(), nil, Request{Change: state.Change{After: after}}))
	if old, there := created.(map[string]any)["oldObject"]; !there || old != nil {
		t.Errorf("oldObject of a create is %v, want null", old)
	}
}

func TestANodeWithoutItsJSONIsReconstructed(t *testing.T) {
	set := own(t, "change", messageOf("input.change.oldObject.metadata"), "")
	n := node(t, 7, true)
	sent := only(t, NewEngine(set).Decide(t.Context(), state.New(n), Request{Change: state.Change{Before: n}}))
	annotations := sent.(map[string]any)["annotations"].(map[string]any)
	if annotations[calico.AnnotationIPv4Address] == nil || annotations[calico.AnnotationClusterID] == nil {
		t.Errorf("metadata %v", sent)
	}
}

func TestAPolicyThatJudgesChangesSeesTheStateBeforeAndAfter(t *testing.T) {
	set := own(t, "change", messageOf("[input.before.nodes.total, input.state.nodes.total]"), "")
	d := NewEngine(set).Decide(t.Context(), state.New(nodes(t, 5, 0)...), Request{Change: state.Change{After: node(t, 200, false)}})
	if got := only(t, d); !reflect.DeepEqual(got, []any{5.0, 6.0}) {
		t.Errorf("nodes before and after: %v", got)
	}
	if d.Allowed {
		t.Error("allowed")
	}
}

func TestEvaluateSkipsPoliciesThatJudgeChanges(t *testing.T) {
	e := NewEngine(own(t, "change", messageOf("input.change"), ""))
	if j := e.Evaluate(t.Context(), state.New(nodes(t, 3, 0)...)); len(j.Violations()) > 0 || len(j.Failures()) > 0 {
		t.Errorf("found %v, %v", j.Violations(), j.Failures())
	}
}

func TestAPolicyCanReadAllNodes(t *testing.T) {
	e := NewEngine(own(t, "state", messageOf(`[n | some n in data.state.nodes; n.routeReflectorClusterID != null]`), ""))
	s := state.New(nodes(t, 3, 0)...)
	if j := e.Evaluate(t.Context(), s); len(j.Violations()) != 1 || j.Violations()[0].Message != "[]" || len(j.Failures()) > 0 {
		t.Errorf("before: %v, %v", j.Violations(), j.Failures())
	}
	d := e.Decide(t.Context(), s, Request{Change: state.Change{After: node(t, 9, true)}})
	if !d.Allowed { // The violation existed before, with another message.
		t.Fatalf("denied: %s", d.Message())
	}
	found := e.Evaluate(t.Context(), s.Apply(state.Change{After: node(t, 9, true)})).Violations()
	if len(found) != 1 || !strings.Contains(found[0].Message, `"routeReflectorClusterID":"`) || !strings.Contains(found[0].Message, `"asNumber":null`) {
		t.Errorf("after: %v", found)
	}
}

// A part of data.state is built once for the states that share its objects, and only for a policy that
// reads it.
func TestPartsOfDataAreBuiltForThePoliciesThatReadThem(t *testing.T) {
	block := func(name, cidr string, pods bool) calico.Object {
		spec := map[string]any{"cidr": cidr, "affinity": "host:node-00001"}
		if pods {
			spec["allocations"] = []any{0}
		}
		return calicotest.Object(t, calico.KindIPAMBlock, name, spec)
	}
	status := func(established int) calico.Object {
		return calicotest.Object(t, calico.KindCalicoNodeStatus, "s", map[string]any{"node": "node-00001", "classes": []any{"BGP"}},
			calicotest.Status(map[string]any{"bgp": map[string]any{"numberEstablishedV4": established}}))
	}
	s := state.New(append(nodes(t, 3, 0), block("b", "10.244.0.0/26", true), status(2))...)
	next := s.Apply(state.Change{After: block("c", "10.244.0.64/26", false)})
	for body, want := range map[string][2]string{
		`[b.spec.affinity | some b in data.state.ipamBlocks.objects]`:                                    {`["host:node-00001"]`, `["host:node-00001","host:node-00001"]`},
		`[b.pods | some b in data.state.ipamBlocks.objects]`:                                             {`[true]`, `[true,false]`},
		`[n | some s in data.state.calicoNodeStatuses.objects; n := s.status.families.IPv4.established]`: {`[2]`, `[2]`},
		`count(data.state.nodes)`: {`3`, `3`},
	} {
		t.Run(body, func(t *testing.T) {
			e := NewEngine(own(t, "state", messageOf(body), ""))
			before := e.Evaluate(t.Context(), s)
			after := e.evaluate(t.Context(), next, before.Policies, before)
			for i, v := range []*Evaluation{before, after} {
				if found := v.Violations(); len(found) != 1 || found[0].Message != want[i] {
					t.Errorf("found %v, %v, want %s", found, v.Failures(), want[i])
				}
			}
			p := e.Policies().Policies()[0]
			for i, part := range dataParts {
				if p.ReadsDataPart(part.name) {
					continue
				}
				after.data.parts[i] = func() ast.Value {
					t.Errorf("built %s", part.name)
					return ast.NullValue
				}
			}
			if _, err := run(t.Context(), p, (*policy.Policy).Evaluate, after.document, after.data); err != nil {
				t.Error(err)
			}
		})
	}
	// What does not change is not built again.
	e := NewEngine(own(t, "state", messageOf(`count(data.state.nodes)`), ""))
	before := e.Evaluate(t.Context(), s)
	if again := e.evaluate(t.Context(), s.Apply(state.Change{After: peer(t, "p", "all()", "all()")}), before.Policies, before); again.data != before.data {
		t.Error("a BGPPeer changes data.state")
	}
	if built := before.data.parts[0](); built != e.evaluate(t.Context(), next, before.Policies, before).data.parts[0]() {
		t.Error("an IPAMBlock changes the nodes in data.state")
	}
}

func TestMatchLimitsAdmissionAndNotAudits(t *testing.T) {
	rule := "violation contains {\"id\": \"x\", \"size\": input.state.nodes.total, \"msg\": \"m\"}"
	e := NewEngine(own(t, "state", rule, `, "match": {"operations": ["DELETE"]}`))
	s := state.New(nodes(t, 3, 0)...)
	if d := e.Decide(t.Context(), s, Request{Change: state.Change{After: node(t, 9, false)}}); !d.Allowed || len(worseOf(d)) > 0 {
		t.Errorf("got %+v", d)
	}
	if found := e.Evaluate(t.Context(), s).Violations(); len(found) != 1 {
		t.Errorf("audit found %v", found)
	}
}

func TestAnExemptUserIsWarnedAndNotDenied(t *testing.T) {
	rule := "violation contains {\"id\": \"x\", \"size\": input.state.nodes.total, \"msg\": \"too many\"}"
	e := NewEngine(own(t, "state", rule, `, "exempt": {"groups": ["breakers"]}`))
	s, c := state.New(nodes(t, 3, 0)...), state.Change{After: node(t, 9, false)}
	if d := e.Decide(t.Context(), s, Request{Change: c, User: "u", Groups: []string{"others"}}); d.Allowed {
		t.Error("another is allowed")
	}
	d := e.Decide(t.Context(), s, Request{Change: c, User: "u", Groups: []string{"breakers"}})
	if !d.Allowed || !d.Evaluated() || !slices.Equal(d.Exempted(), []string{"own"}) ||
		!slices.Equal(d.Warnings(), []string{"[own] too many (not enforced: you are exempt from this policy)"}) ||
		len(worseOf(d)) != 1 || worseOf(d)[0].Action != violation.Audit {
		t.Errorf("got %+v", d)
	}

	fails := NewEngine(own(t, "change", "violation contains {\"id\": \"x\", \"size\": 1, \"msg\": \"m\"} if to_number(input.change.name) > 0", `, "exempt": {"users": ["u"]}`))
	d = fails.Decide(t.Context(), s, Request{Change: c, User: "u"})
	if !d.Allowed || len(d.Failures) != 1 || len(d.Warnings()) != 1 || !slices.Equal(d.Exempted(), []string{"own"}) {
		t.Errorf("a policy that fails: %+v", d)
	}
	if d = fails.Decide(t.Context(), s, Request{Change: c}); d.Allowed || d.Evaluated() {
		t.Errorf("a policy that fails, without exemption: %+v", d)
	}
}

func TestNoChangeIsAllowed(t *testing.T) {
	if d := NewEngine(defaults(t)).Decide(t.Context(), nil, Request{}); !d.Allowed || len(d.Warnings()) > 0 {
		t.Errorf("got %+v", d)
	}
}

func TestAPolicyCanBeTriedBeforeItIsInForce(t *testing.T) {
	e := NewEngine(defaults(t))
	s := state.New(nodes(t, 3, 0)...)
	if err := e.Warm(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	try := func(judges, rule string) ([]violation.Violation, error) {
		p := own(t, judges, rule, "").Policies()[0]
		return e.Try(t.Context(), s, p, p.Evaluate)
	}
	if found, err := try("state", messageOf("input.state.nodes.total")); err != nil || len(found) != 1 || found[0].Message != "3" {
		t.Errorf("found %v, %v", found, err)
	}
	if _, err := try("state", `violation contains {"id": "x", "size": 1, "msg": "m"} if to_number(input.state.mesh.source) > 0`); err == nil {
		t.Error("a policy that fails gives no error")
	}
	if found, err := try("change", messageOf("input.change")); len(found) > 0 || err != nil {
		t.Errorf("one that judges changes: %v, %v", found, err)
	}
	if found := e.Evaluate(t.Context(), s).Violations(); len(found) > 0 {
		t.Errorf("the policies in force find %v", found)
	}
}

// The policy selects the remedy by the text of the reason.
func TestWhatBIRDRejectsComesWithARemedy(t *testing.T) {
	for name, after := range map[string]calico.Object{
		"a masked cluster ID":            calicotest.NumberedNode(t, 0, calicotest.RouteReflector("244.0.0.0/8")),
		"AS 0 of a node":                 calicotest.Node(t, "n", calicotest.IPv4("10.9.9.9/24"), calicotest.ASNumber(0)),
		"an address of two nodes":        calicotest.Node(t, "n", calicotest.IPv4("10.0.0.1/24")),
		"a BGPPeer without an AS number": calicotest.BGPPeer(t, "tor", calicotest.Spec{"peerIP": "192.0.2.1"}),
	} {
		t.Run(name, func(t *testing.T) {
			d := decide(t, compiled(t, document("bird", "bird-accepts", "Deny", "")), append(nodes(t, 4, 0), peer(t, "all", "all()", "all()")), state.Change{After: after})
			if d.Allowed || strings.Contains(d.Message(), "mend that first") {
				t.Errorf("allowed %t, %s", d.Allowed, d.Message())
			}
		})
	}
}

func TestChangeIsNotBlamedForElapsedTime(t *testing.T) {
	at := time.Unix(1000, 0)
	engine := NewEngine(own(t, policy.JudgesState, `violation contains {"id": "late", "size": 1, "msg": "it is late"} if input.now > 1005000000000`, ""))
	engine.SetClock(func() time.Time { return at })
	s := state.New(nodes(t, 3, 1)...)
	for _, step := range []struct {
		second     int64
		violations int
	}{{1000, 0}, {1005, 0}, {1006, 1}, {1007, 1}} {
		at = time.Unix(step.second, 0)
		d := engine.Decide(t.Context(), s, Request{Change: state.Change{After: peer(t, "a", "all()", "has(rr)")}})
		if len(worseOf(d)) > 0 {
			t.Errorf("at %d: the change is blamed: %v", step.second, worseOf(d))
		}
		if got := engine.Evaluate(t.Context(), s).Violations(); len(got) != step.violations {
			t.Errorf("at %d: found %v", step.second, got)
		}
	}
}

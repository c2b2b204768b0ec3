package validate

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

func node(t testing.TB, i int, reflector bool) calico.Object {
	t.Helper()
	tweaks := []calicotest.Tweak{calicotest.Label("rack", fmt.Sprintf("r%d", i%16))}
	if reflector {
		tweaks = append(tweaks, calicotest.RouteReflector("244.0.0.1"), calicotest.Label("rr", "true"))
	}
	return calicotest.NumberedNode(t, i, tweaks...)
}

func nodes(t testing.TB, n, reflectors int) []calico.Object {
	var out []calico.Object
	for i := range n {
		out = append(out, node(t, i, i < reflectors))
	}
	return out
}

func peer(t testing.TB, name, local, remote string, more ...any) calico.Object {
	spec := map[string]any{"nodeSelector": local, "peerSelector": remote}
	for i := 0; i < len(more); i += 2 {
		spec[more[i].(string)] = more[i+1]
	}
	return calicotest.Object(t, "BGPPeer", name, spec)
}

// compiled compiles BGPPolicy documents written as YAML.
func compiled(t testing.TB, documents string) *policy.Set {
	t.Helper()
	file := filepath.Join(t.TempDir(), "policies.yaml")
	if err := os.WriteFile(file, []byte(documents), 0o600); err != nil {
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

func document(name, library, action, parameters string) string {
	return fmt.Sprintf("---\napiVersion: policy.bgpguard.io/v1alpha1\nkind: BGPPolicy\nmetadata: {name: %s}\nspec: {policy: %s, parameters: {%s}, validationActions: [%s]}\n",
		name, library, parameters, action)
}

// defaults returns the policies of the library with the given names, or all policies if no
// name is given.
func defaults(t testing.TB, names ...string) *policy.Set {
	t.Helper()
	docs, err := policy.Defaults()
	if err != nil {
		t.Fatal(err)
	}
	if len(names) > 0 {
		docs = slices.DeleteFunc(docs, func(d policy.Document) bool { return !slices.Contains(names, d.Name) })
	}
	set, err := policy.Compile(docs)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func decide(t testing.TB, set *policy.Set, before []calico.Object, c state.Change) *Decision {
	t.Helper()
	s := state.New(before...)
	return NewEngine(set).Decide(t.Context(), s, Request{Change: known(s, c)})
}

// worseOf lists the violations that a change makes worse, with the text and the action of the
// verdict.
func worseOf(d *Decision) []violation.Violation {
	var out []violation.Violation
	for v := range d.Worse() {
		one := v.Violation
		one.Message, one.Action = v.Text(), v.Applied()
		out = append(out, one)
	}
	return out
}

// known sets the object before a change to the one in s.
func known(s *state.Snapshot, c state.Change) state.Change {
	c.Before = s.Get(c.ID())
	return c
}

// aboutSessions names the policies about sessions and routes.
var aboutSessions = []string{"mesh-node-limit", "reachability-preserved", "route-reflectors-required", "timers-consistent"}

func TestDecisions(t *testing.T) {
	peers := []calico.Object{peer(t, "workers", "!has(rr)", "has(rr)"), peer(t, "reflectors", "has(rr)", "has(rr)")}
	reflected := func(more ...calico.Object) []calico.Object {
		return slices.Concat(nodes(t, 120, 3), peers, more)
	}
	// covered has n nodes for the mesh, which is off.
	covered := func(n int) []calico.Object {
		return slices.Concat(nodes(t, n+3, 3), peers, []calico.Object{calicotest.Mesh(t, false)})
	}
	pool := calicotest.Object(t, "IPPool", "pool", map[string]any{"cidr": "10.0.0.0/16", "vxlanMode": "Always"})
	for name, c := range map[string]struct {
		before []calico.Object
		change state.Change
		deny   string // the policies that deny
		warn   string // a part of the first warning
	}{
		"the mesh may stay on with 100 nodes":      {covered(100), state.Change{After: calicotest.Mesh(t, true)}, "", ""},
		"the mesh may not go on with 101":          {covered(101), state.Change{After: calicotest.Mesh(t, true)}, "mesh-node-limit", ""},
		"it may where the pods' pool needs no BGP": {append(nodes(t, 101, 0), calicotest.Mesh(t, false), pool), state.Change{After: calicotest.Mesh(t, true)}, "", ""},
		"a mesh field left out means on": {covered(101),
			state.Change{After: calicotest.Object(t, "BGPConfiguration", "default", nil)}, "mesh-node-limit", ""},
		"deleting the configuration that had the mesh off puts it on": {covered(101), state.Change{Before: calicotest.Mesh(t, false)}, "mesh-node-limit", ""},
		"a create that leaves a mesh on is no worse, and a warning": {nodes(t, 120, 0),
			state.Change{After: calicotest.Object(t, "BGPConfiguration", "default", nil)}, "", "[mesh-node-limit] the node-to-node mesh is too large"},
		"the mesh may not go off without reflectors": {append(nodes(t, 50, 0), calicotest.Mesh(t, true)), state.Change{After: calicotest.Mesh(t, false)}, "reachability-preserved,route-reflectors-required", ""},
		"it may where the pods' pool is VXLAN":       {append(nodes(t, 50, 0), calicotest.Mesh(t, true), pool), state.Change{After: calicotest.Mesh(t, false)}, "", ""},
		"it may with covered reflectors":             {reflected(), state.Change{After: calicotest.Mesh(t, false)}, "", ""},
		"the last BGPPeer of the workers may not go": {reflected(calicotest.Mesh(t, false)), state.Change{Before: peer(t, "workers", "", "")}, "reachability-preserved,route-reflectors-required", ""},
		"a node's address may not go": {reflected(calicotest.Mesh(t, false)), state.Change{After: calicotest.Object(t, "Node", "node-00050", map[string]any{"bgp": map[string]any{}})},
			"reachability-preserved", ""},
		"it may where the pods' pool is VXLAN as well": {append(reflected(calicotest.Mesh(t, false)), pool),
			state.Change{After: calicotest.Object(t, "Node", "node-00050", map[string]any{"bgp": map[string]any{}})}, "", ""},
		"it may while the mesh carries them":      {append(reflected(calicotest.Mesh(t, true))[20:], calicotest.Mesh(t, true)), state.Change{Before: peer(t, "workers", "", "")}, "", ""},
		"a selector that loses its nodes may not": {reflected(calicotest.Mesh(t, false)), state.Change{After: peer(t, "workers", "has(gone)", "has(rr)")}, "reachability-preserved,route-reflectors-required", "BGPPeer workers: spec: selects no local node out of 120"},
		"a BGPPeer that a violation was about before is a warning": {append(nodes(t, 20, 2), peer(t, "workers", "has(lost)", "has(rr)"), calicotest.Mesh(t, false)),
			state.Change{After: peer(t, "workers", "has(gone)", "has(rr)")}, "", "[reachability-preserved] isolated nodes: 20 of 20 nodes"},
		"another field of it is none": {append(nodes(t, 20, 2), peer(t, "workers", "has(lost)", "has(rr)"), calicotest.Mesh(t, false)),
			state.Change{After: peer(t, "workers", "has(lost)", "has(rr)", "keepOriginalNextHop", true)}, "", "BGPPeer workers: spec: selects no local node out of 20"},
		"a BGPPeer that is not at fault is none": {append(nodes(t, 20, 1), peer(t, "workers", "!has(rr)", "has(rr)"), calicotest.Mesh(t, false)),
			state.Change{After: peer(t, "workers", "!has(rr)", "has(rr)", "keepOriginalNextHop", true)}, "", ""},
		"a selector that does not parse matches no node": {reflected(calicotest.Mesh(t, false)), state.Change{After: peer(t, "workers", "has(", "has(rr)")}, "reachability-preserved,route-reflectors-required", `BGPPeer workers: spec.nodeSelector: "has(" does not parse`},
		"a restart time unlike the others' is a warning": {reflected(calicotest.Mesh(t, false)), state.Change{After: peer(t, "reflectors", "has(rr)", "has(rr)", "maxRestartTime", "300s")}, "", "[timers-consistent] different restart times between nodes: 120s for 351 sessions"},
		"nodeMeshMaxRestartTime may change before the BGPPeers": {append(nodes(t, 5, 0), peer(t, "p", "all()", "all()")),
			state.Change{After: calicotest.Object(t, "BGPConfiguration", "default", map[string]any{"nodeMeshMaxRestartTime": "180s"})}, "", "[timers-consistent] BGPPeer p has a different restart time"},
		"the same duration in another form may": {reflected(calicotest.Mesh(t, false)), state.Change{After: peer(t, "reflectors", "has(rr)", "has(rr)", "maxRestartTime", "2m")}, "", ""},
		"an external peer's restart time is its own affair": {reflected(calicotest.Mesh(t, false)),
			state.Change{After: calicotest.Object(t, "BGPPeer", "tor", map[string]any{"peerIP": "172.16.0.1", "asNumber": int64(64900), "maxRestartTime": "300s"})}, "", ""},
		"a peer unlike nodeMeshMaxRestartTime may not": {append(nodes(t, 5, 0), calicotest.Object(t, "BGPConfiguration", "default", map[string]any{"nodeMeshMaxRestartTime": "180s"})),
			state.Change{After: peer(t, "p", "all()", "all()")}, "timers-consistent", ""},
		"it may where it connects nodes that were isolated": {append(nodes(t, 5, 2), calicotest.Object(t, "BGPConfiguration", "default", map[string]any{"nodeMeshMaxRestartTime": "180s"})),
			state.Change{After: peer(t, "p", "has(rr)", "all()")}, "", "[timers-consistent] BGPPeer p has a different restart time: 120s by default (maxRestartTime is unset), expected 180s"},
	} {
		t.Run(name, func(t *testing.T) {
			d := decide(t, defaults(t, aboutSessions...), c.before, c.change)
			var denied []string
			for _, v := range worseOf(d) {
				if v.Action == violation.Deny {
					denied = append(denied, v.Policy)
				}
			}
			if got := strings.Join(denied, ","); got != c.deny || d.Allowed != (c.deny == "") || len(d.Failures) > 0 {
				t.Errorf("denied by %q, want %q\n%s %v", got, c.deny, d.Message(), d.Failures)
			}
			warning := strings.Join(d.Warnings(), "\n")
			if !strings.HasPrefix(warning, c.warn) || (c.warn == "" && warning != "") {
				t.Errorf("warnings %q, want %q", warning, c.warn)
			}
		})
	}
}

func TestActions(t *testing.T) {
	before := append(nodes(t, 101, 0), calicotest.Mesh(t, false))
	c := state.Change{After: calicotest.Mesh(t, true)}
	for action, want := range map[string]struct{ allowed, warned bool }{
		"Deny": {false, false}, "Warn": {true, true}, "Audit": {true, false}, "Deny, Audit": {false, false}, "Warn, Audit": {true, true},
	} {
		t.Run(action, func(t *testing.T) {
			d := decide(t, compiled(t, document("limit", "mesh-node-limit", action, "")), before, c)
			if d.Allowed != want.allowed || (len(d.Warnings()) > 0) != want.warned || len(worseOf(d)) != 1 || (d.Message() == "") != d.Allowed {
				t.Errorf("%+v", d)
			}
		})
	}
}

// misbehaving returns a set of policies that fail, loop, or always find a violation.
func misbehaving(t testing.TB, documents ...string) *policy.Set {
	t.Helper()
	meta := "# METADATA\n# title: x\n# custom:\n#   severity: low\n#   judges: state\n#   validationActions: [Deny]\npackage policies."
	module := func(name, rule string) string { return meta + name + "\n\nviolation contains " + rule + "\n" }
	found := `{"id": "x", "size": input.state.nodes.total, "msg": "m", "details": {}, "objects": []}`
	source := policy.Source{Name: "test", Modules: map[string]string{
		"fails/fails.rego": module("fails", found+" if time.parse_duration_ns(\"soon\") > 0"),
		"loops/loops.rego": module("loops", found+" if {\n\tsome i in numbers.range(1, 100000)\n\tsome j in numbers.range(1, 100000)\n\ti * j < 0\n}"),
		"finds/finds.rego": module("finds", found+" if input.state.nodes.total > 101"),
	}}
	file := filepath.Join(t.TempDir(), "policies.yaml")
	if err := os.WriteFile(file, []byte(strings.Join(documents, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	docs, err := policy.Load([]string{file})
	if err != nil {
		t.Fatal(err)
	}
	lib, err := policy.NewLibrary(source)
	if err != nil {
		t.Fatal(err)
	}
	set, err := lib.Compile(docs)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestAPolicyThatFailsDeniesAsAnErrorAndHidesNoOther(t *testing.T) {
	before, c := nodes(t, 101, 0), state.Change{After: node(t, 200, false)}
	d := decide(t, misbehaving(t, document("broken", "fails", "Deny", "")), before, c)
	if d.Allowed || d.Evaluated() || len(d.Failures) != 1 || !strings.HasPrefix(d.Message(), "[broken] evaluation error: ") {
		t.Errorf("alone: %+v %s", d, d.Message())
	}
	d = decide(t, misbehaving(t, document("broken", "fails", "Deny", ""), document("limit", "finds", "Deny", "")), before, c)
	if d.Allowed || !d.Evaluated() || len(d.Failures) != 1 || len(worseOf(d)) != 1 {
		t.Errorf("beside another: %+v", d)
	}
	d = decide(t, misbehaving(t, document("broken", "fails", "Warn", "")), before, c)
	if !d.Allowed || len(d.Warnings()) != 1 {
		t.Errorf("with Warn: %+v", d)
	}
}

func TestAPolicyThatDoesNotEndTakesNoTimeFromTheOthers(t *testing.T) {
	e := NewEngine(misbehaving(t, document("a-loop", "loops", "Audit", ""), document("limit", "finds", "Deny", "")))
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	d := e.Decide(ctx, state.New(nodes(t, 101, 0)...), Request{Change: state.Change{After: node(t, 200, false)}})
	if d.Allowed || !d.Evaluated() || len(worseOf(d)) != 1 || len(d.Failures) != 1 || d.Failures[0].Policy != "a-loop" {
		t.Errorf("got %+v", d)
	}
}

func TestADecisionDoesNotWaitForOneThatDoesNotEnd(t *testing.T) {
	e := NewEngine(misbehaving(t, document("loop", "loops", "Deny", "")))
	s := state.New(nodes(t, 2, 0)...)
	e.configured.busy <- struct{}{} // As if a Warm were still running.
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if d := e.Decide(ctx, s, Request{Change: state.Change{After: node(t, 200, false)}}); d.Allowed || d.Evaluated() {
		t.Errorf("got %+v", d)
	}
}

func TestACancelledEvaluationIsAnErrorAndNotKept(t *testing.T) {
	e := NewEngine(defaults(t))
	s := state.New(append(nodes(t, 120, 0), calicotest.Mesh(t, true))...)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := known(s, state.Change{After: calicotest.Mesh(t, false)})
	if d := e.Decide(ctx, s, Request{Change: c}); d.Allowed || len(d.Failures) == 0 {
		t.Errorf("cancelled: %+v", d)
	}
	if d := e.Decide(t.Context(), s, Request{Change: c}); d.Allowed || len(d.Failures) > 0 || len(worseOf(d)) != 2 {
		t.Errorf("afterwards: %+v", d)
	}
}

func randomObject(t testing.TB, r *rand.Rand) calico.Object {
	selectors := []string{"has(rr)", "!has(rr)", "all()", "rack == 'r1'", "broken ="}
	switch r.IntN(4) {
	case 0:
		return node(t, r.IntN(8), r.IntN(3) == 0)
	case 1:
		return calicotest.Mesh(t, r.IntN(2) == 0)
	default:
		p := peer(t, fmt.Sprintf("p%d", r.IntN(4)), selectors[r.IntN(5)], selectors[r.IntN(5)])
		if r.IntN(2) == 0 {
			p = peer(t, p.ID().Name, selectors[r.IntN(5)], selectors[r.IntN(5)], "maxRestartTime", []string{"90s", "120s", "3m"}[r.IntN(3)])
		}
		return p
	}
}

// TestNoWorse checks these properties of the engine on random changes. If a change is denied,
// a violation is new or larger, not only by nodes that joined, and none of a higher severity is resolved or smaller. A change that does not alter the state is never denied. The
// cached evaluation, the order of policies and the order of objects do not affect the result.
func TestNoWorse(t *testing.T) {
	text := []string{
		document("a-mesh", "mesh-node-limit", "Deny", "maxNodes: 3"),
		document("b-reflectors", "route-reflectors-required", "Deny", "minReflectors: 1"),
		document("c-timers", "timers-consistent", "Deny", ""),
		document("d-timers", "timers-consistent", "Deny", "restartTime: 120s"),
	}
	set := compiled(t, strings.Join(text, ""))
	slices.Reverse(text)
	reversed := NewEngine(compiled(t, strings.Join(text, "")))
	r := rand.New(rand.NewPCG(7, 7))
	kept := NewEngine(set)
	s := state.New().WithTypha(state.TyphaAbsent) // Otherwise the reading with Typha is compared, too.
	denied := 0
	for step := range 600 {
		c := state.Change{After: randomObject(t, r)}
		c.Before = s.Get(c.After.ID())
		if c.Before != nil && r.IntN(4) == 0 {
			c.After = nil
		}
		d := kept.Decide(t.Context(), s, Request{Change: c})
		if len(d.Failures) > 0 {
			t.Fatalf("step %d: %+v", step, d.Failures)
		}
		next := s.Apply(c)
		before := NewEngine(set).Evaluate(t.Context(), s).Violations()
		after := NewEngine(set).Evaluate(t.Context(), next).Violations()
		joined := slices.ContainsFunc(d.Verdicts, func(v Verdict) bool { return v.Relation == Joined })
		if worse := worse(before, after); d.Allowed == worse && !(d.Allowed && joined) {
			t.Fatalf("step %d: allowed %v, worse %v\nbefore %v\nafter %v\n%s", step, d.Allowed, worse, before, after, d.Message())
		}
		if other := reversed.Decide(t.Context(), s, Request{Change: c}); !reflect.DeepEqual(worseOf(d), worseOf(other)) || !slices.Equal(d.Warnings(), other.Warnings()) {
			t.Fatalf("step %d: the order of policies matters:\n%+v\n%+v", step, d, other)
		}
		if c.After != nil {
			if again := kept.Decide(t.Context(), next, Request{Change: state.Change{Before: c.After, After: c.After}}); !again.Allowed {
				t.Fatalf("step %d: a change of nothing is denied: %s", step, again.Message())
			}
		}
		if !d.Allowed {
			denied++
		}
		if d.Allowed || r.IntN(2) == 0 { // so that bad states occur, too
			s = next
		}
	}
	if denied < 50 || denied > 550 {
		t.Errorf("%d of 600 changes were denied: the test does not test much", denied)
	}
}

// worse reports whether a change that leads from the violations before to those after is
// denied: the worst severity of what is new or larger is at least that of what is resolved
// or smaller.
func worse(before, after []violation.Violation) bool {
	grown := func(from, to []violation.Violation) int {
		worst := -1
		for _, v := range to {
			if v.Advisory {
				continue
			}
			i := slices.IndexFunc(from, func(w violation.Violation) bool { return violation.ByPolicyAndID(v, w) == 0 })
			if i < 0 || v.Size > from[i].Size {
				worst = max(worst, len(policy.Severities)-slices.Index(policy.Severities, v.Severity))
			}
		}
		return worst
	}
	harm := grown(before, after)
	return harm >= 0 && harm >= grown(after, before)
}

func TestPoliciesThatReadNothingThatChangedAreNotEvaluated(t *testing.T) {
	e := NewEngine(defaults(t, aboutSessions...))
	configuration := func(level string) calico.Object {
		return calicotest.Object(t, "BGPConfiguration", "default", map[string]any{"nodeToNodeMeshEnabled": false, "logSeverityScreen": level})
	}
	s := state.New(append(nodes(t, 20, 3), configuration("Info"), peer(t, "workers", "!has(rr)", "has(rr)"))...)
	base := e.Evaluate(t.Context(), s)
	next := e.evaluate(t.Context(), s.Apply(state.Change{After: configuration("Debug")}), base.Policies, base)
	a, b := base.document, next.document
	for _, p := range base.Policies.Policies() {
		if !policy.NewDifference(a, b).Unaffected(p) {
			t.Errorf("%s is affected by a field that no session depends on", p.Name)
		}
	}
	changed := e.evaluate(t.Context(), s.Apply(state.Change{Before: peer(t, "workers", "", "")}), base.Policies, base)
	c := changed.document
	for _, p := range base.Policies.Policies() {
		if policy.NewDifference(a, c).Unaffected(p) != (p.Name == "mesh-node-limit") {
			t.Errorf("%s: Unaffected = %v by the loss of a BGPPeer", p.Name, policy.NewDifference(a, c).Unaffected(p))
		}
	}
}

func TestAMessageIsCapped(t *testing.T) {
	d := &Decision{}
	for i := range 25 {
		d.Verdicts = append(d.Verdicts, Verdict{Violation: violation.Violation{Policy: "p", ID: fmt.Sprint(i), Action: violation.Deny, Message: "m"}, Relation: New})
	}
	lines := strings.Split(d.Message(), "\n")
	if len(lines) != maxLines+1 || lines[maxLines] != "and 5 more" {
		t.Errorf("got %d lines, the last %q", len(lines), lines[len(lines)-1])
	}
}

func TestAProblemIsAWarningUnlessAViolationNamesItsField(t *testing.T) {
	const problem = "spec.peerSelector: selects no node out of 5"
	lost, found := peer(t, "p", "all()", "has(lost)"), peer(t, "p", "all()", "all()")
	for name, c := range map[string]struct {
		action string
		before calico.Object
		want   bool // a warning about the problem
	}{
		"a policy that denies names the field":     {"Deny", found, false},
		"so does one that warns":                   {"Warn", found, false},
		"and one whose violation was there before": {"Deny", lost, false},
		"one that only records does not":           {"Audit", found, true},
		"nor does one that is about another field": {"", found, true},
	} {
		t.Run(name, func(t *testing.T) {
			set := defaults(t, "mesh-node-limit")
			if c.action != "" {
				set = compiled(t, document("p", "selector-hygiene", c.action, ""))
			}
			change := state.Change{After: calicotest.Object(t, "BGPPeer", "p", map[string]any{"nodeSelector": "all()", "peerSelector": "has(lost)", "keepaliveTime": "9s"})}
			d := decide(t, set, append(nodes(t, 5, 0), calicotest.Mesh(t, true), c.before), change)
			named := slices.ContainsFunc(d.Problems, func(p calico.Problem) bool { return p.String() == problem })
			if warned := slices.Contains(d.Warnings(), "BGPPeer p: "+problem); named != c.want || warned != c.want {
				t.Errorf("problems %q, warnings %q", d.Problems, d.Warnings())
			}
			standing := slices.Collect(d.Standing())
			if is := len(standing) == 1 && standing[0].Violation.Policy == "p"; is != (c.before == lost) {
				t.Errorf("violations that were there before: %+v", standing)
			}
		})
	}
}

func TestAVerdictHoldsTheViolationBefore(t *testing.T) {
	set := compiled(t, document("m", "mesh-node-limit", "Deny", "maxNodes: 1"))
	d := decide(t, set, append(nodes(t, 3, 0), calicotest.Mesh(t, true)), state.Change{After: node(t, 3, false)})
	if len(d.Verdicts) != 1 || d.Verdicts[0].Relation != Larger || d.Verdicts[0].Violation.Size != 3 || d.Verdicts[0].Before.Size != 2 || d.Verdicts[0].Before.ID != d.Verdicts[0].Violation.ID {
		t.Errorf("verdicts %+v", d.Verdicts)
	}
	d = decide(t, set, append(nodes(t, 3, 0), calicotest.Mesh(t, false)), state.Change{After: calicotest.Mesh(t, true)})
	if len(d.Verdicts) != 1 || d.Verdicts[0].Relation != New || d.Verdicts[0].Before != nil {
		t.Errorf("verdicts %+v", d.Verdicts)
	}
	d = decide(t, set, append(nodes(t, 3, 0), calicotest.Mesh(t, true)), state.Change{After: calicotest.Mesh(t, false)})
	if len(d.Verdicts) != 1 || d.Verdicts[0].Relation != Gone || d.Verdicts[0].Violation.Size != 2 {
		t.Errorf("verdicts %+v", d.Verdicts)
	}
}

func TestTheOldObjectOfTheRequestWins(t *testing.T) {
	e := NewEngine(defaults(t))
	workers, reflectors := peer(t, "workers", "!has(rr)", "has(rr)"), peer(t, "reflectors", "has(rr)", "has(rr)")
	// The snapshot does not know the BGPPeer yet, but the API server deletes it.
	lagging := state.New(append(nodes(t, 20, 3), calicotest.Mesh(t, false), reflectors)...)
	if d := e.Decide(t.Context(), lagging, Request{Change: state.Change{Before: workers}}); d.Allowed {
		t.Error("the delete of a BGPPeer that the snapshot lacks is allowed")
	}
	// The snapshot still has the deleted BGPPeer.
	lagging = state.New(append(nodes(t, 20, 3), calicotest.Mesh(t, false), reflectors, workers)...)
	if d := e.Decide(t.Context(), lagging, Request{Change: state.Change{After: peer(t, "workers", "has(gone)", "has(rr)")}}); !d.Allowed {
		t.Errorf("a create that makes nothing worse is denied: %s", d.Message())
	}
}

// A change that fixes isolated nodes and isolates others is denied. A change that fixes only
// some of them is allowed.
func TestFixingOneNodeDoesNotOutweighIsolatingAnother(t *testing.T) {
	before := append(nodes(t, 12, 2), calicotest.Mesh(t, false), peer(t, "reflectors", "has(rr)", "has(rr)"), peer(t, "workers", "rack == 'r3'", "has(rr)"))
	for name, c := range map[string]struct {
		selector, deny, message string
	}{
		"the one node for another": {"rack == 'r4'", "reachability-preserved,route-reflectors-required", "; new among them: node-00003\n"},
		"the one node and another": {"rack in {'r3', 'r4'}", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := decide(t, defaults(t), before, state.Change{After: peer(t, "workers", c.selector, "has(rr)")})
			var denied []string
			for _, v := range worseOf(d) {
				if v.Action == violation.Deny {
					denied = append(denied, v.Policy)
				}
			}
			if got := strings.Join(denied, ","); got != c.deny || !strings.Contains(d.Message(), c.message) {
				t.Errorf("denied by %q, want %q with %q\n%s", got, c.deny, c.message, d.Message())
			}
		})
	}
}

// CalicoNodeStatuses change thousands of times an hour and do not affect BGP. In this test
// each evaluated policy fails, because the deadline is over.
func TestAChangeToACalicoNodeStatusEvaluatesNothing(t *testing.T) {
	status := func(name string, established int64) calico.Object {
		return calicotest.Object(t, calico.KindCalicoNodeStatus, name, nil, calicotest.Status(map[string]any{"bgp": map[string]any{"numberEstablishedV4": established}}))
	}
	set := defaults(t)
	objects := append(nodes(t, 12, 3), calicotest.Mesh(t, false), peer(t, "workers", "!has(rr)", "has(rr)"), status("a", 1))
	s := state.New(objects...)
	engine := NewEngine(set)
	base := engine.evaluate(t.Context(), s, set, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	failed := func(j *Evaluation) (out []string) {
		for i, r := range j.results {
			if r.err != nil {
				out = append(out, set.Policies()[i].Name)
			}
		}
		return out
	}
	if got := failed(engine.evaluate(ctx, s, set, nil)); len(got) < 10 {
		t.Fatalf("without time, only %q fail", got)
	}
	for name, next := range map[string]*state.Snapshot{
		"a status changes":                              s.Apply(state.Change{Before: status("a", 1), After: status("a", 2)}),
		"a status is made":                              s.Apply(state.Change{After: status("b", 2)}),
		"the last status goes":                          s.Apply(state.Change{Before: status("a", 1)}),
		"all are read again, and many statuses are new": state.New(append(slices.Clone(objects), status("a", 3), status("b", 3))...).Sharing(s),
	} {
		t.Run(name, func(t *testing.T) {
			after := engine.evaluate(ctx, next, set, base)
			if got := failed(after); len(got) > 0 {
				t.Errorf("evaluated again: %q", got)
			}
			if after.Topology.Summary() != base.Topology.Summary() || after.input != base.input || after.Snapshot != next {
				t.Error("something was computed again")
			}
		})
	}
}

func TestTheChangedObjectIsAnObjectOfWhatItMakesWorse(t *testing.T) {
	workers := violation.Object{Kind: "BGPPeer", Name: "workers"}
	e := NewEngine(defaults(t, aboutSessions...))
	s := state.New(append(nodes(t, 20, 3), peer(t, "workers", "!has(rr)", "has(rr)"), peer(t, "reflectors", "has(rr)", "has(rr)"), calicotest.Mesh(t, false))...)
	r := Request{Change: known(s, state.Change{Before: peer(t, "workers", "", "")})}
	for range 2 { // The violations of both decisions are the same cached ones.
		found := 0
		for v := range e.Decide(t.Context(), s, r).Worse() {
			found++
			about := v.Violation.Objects
			if about[0].Object != workers || slices.ContainsFunc(about[1:], func(o violation.Subject) bool { return o.Object == workers }) {
				t.Errorf("%s is about %+v, want %s first and once", v.Violation.Policy, about, workers)
			}
		}
		if found != 2 {
			t.Fatalf("%d violations are worse, want 2", found)
		}
	}
	for _, v := range e.Evaluate(t.Context(), s.Apply(r.Change)).Violations() {
		if v.Concerns(workers) {
			t.Errorf("%s is about a BGPPeer that is not in the state: %+v", v.Policy, v.Objects)
		}
	}
}

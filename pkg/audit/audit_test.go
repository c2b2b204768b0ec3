package audit

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
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
	"github.com/bgpguard/bgpguard/pkg/validate"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

var start = time.Date(2026, 3, 14, 19, 0, 0, 0, time.UTC)

// policies compiles BGPPolicies. Each spec is the name of a policy of the library, followed by
// further fields of the BGPPolicy's spec.
func policies(t testing.TB, specs ...string) *policy.Set {
	t.Helper()
	if len(specs) == 0 {
		return policy.NewSet(nil)
	}
	var text strings.Builder
	for _, spec := range specs {
		name, rest, _ := strings.Cut(spec, " ")
		fmt.Fprintf(&text, "---\napiVersion: policy.bgpguard.io/v1alpha1\nkind: BGPPolicy\nmetadata: {name: %s}\nspec: {policy: %[1]s, %s}\n", name, rest)
	}
	file := filepath.Join(t.TempDir(), "policies.yaml")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
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

const (
	deny3 = "mesh-node-limit parameters: {maxNodes: 3}, validationActions: [Deny]"
	warn3 = "mesh-node-limit parameters: {maxNodes: 3}, validationActions: [Warn]"
)

func run(t testing.TB, set *policy.Set, s *state.Snapshot, minute int) *Audit {
	t.Helper()
	a, err := Run(t.Context(), validate.NewEngine(set), s, Options{Cluster: "c", Time: start.Add(time.Duration(minute) * time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// follow audits s at the given minute, and returns the audit and the next trail.
func follow(t testing.TB, trail *Trail, set *policy.Set, s *state.Snapshot, minute int, step Step) (*Audit, *Trail) {
	t.Helper()
	a := run(t, set, s, minute)
	next, err := trail.Follow(t.Context(), a, validate.NewEngine(set), step)
	if err != nil {
		t.Fatal(err)
	}
	return a, next
}

// failing returns a policy that cannot be evaluated on a state with four nodes.
func failing(t testing.TB) *policy.Set {
	t.Helper()
	module := "# METADATA\n# title: x\n# custom:\n#   severity: low\n#   judges: state\n#   validationActions: [Deny]\npackage policies.x\n\n" +
		"violation contains {\"id\": \"x\", \"size\": 1, \"msg\": sprintf(\"%v\", [1 / (4 - input.state.nodes.total)])}\n"
	text, err := json.Marshal(map[string]any{
		"apiVersion": "policy.bgpguard.io/v1alpha1", "kind": "BGPPolicy", "metadata": map[string]any{"name": "x"},
		"spec": map[string]any{"rego": map[string]any{"modules": []any{map[string]any{"name": "x.rego", "text": module}}}, "validationActions": []string{"Deny"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "x.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
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

func TestAnAuditListsTheViolationsOfEachPolicy(t *testing.T) {
	set := policies(t, deny3, "selector-hygiene validationActions: [Warn]", "change-window validationActions: [Deny]")
	s := state.New(append(calicotest.Nodes(t, 4), calicotest.Object(t, "BGPPeer", "p", map[string]any{"nodeSelector": "has(nothing)", "peerSelector": "all()"}))...)
	a := run(t, set, s, 0)
	var got []string
	for _, v := range a.Violations {
		got = append(got, v.Severity+" "+v.Policy)
		if !v.FirstSeen.Equal(start) || !v.LastSeen.Equal(start) || v.Origin != "" {
			t.Errorf("%s: seen from %s to %s, origin %q", v.Policy, v.FirstSeen, v.LastSeen, v.Origin)
		}
	}
	if want := []string{"high mesh-node-limit", "medium selector-hygiene"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	counts := map[string]int{}
	for _, p := range a.Policies {
		counts[p.Name+" "+p.Judges] = p.Violations
	}
	if want := map[string]int{"change-window change": 0, "mesh-node-limit state": 1, "selector-hygiene state": 1}; !reflect.DeepEqual(counts, want) {
		t.Errorf("policies %v, want %v", counts, want)
	}
	if a.Worst() != "high" || a.Count()["medium"] != 1 || a.Count()["critical"] != 0 {
		t.Errorf("worst %q, counts %v", a.Worst(), a.Count())
	}
	if a.Topology == nil || a.Summary.Nodes.BGP != 4 {
		t.Errorf("summary %+v", a.Summary)
	}
}

func TestAPolicyThatFailsIsNoViolation(t *testing.T) {
	a := run(t, failing(t), state.New(calicotest.Nodes(t, 4)...), 0)
	if len(a.Violations) > 0 || len(a.Failures) != 1 || a.Failures[0].Policy != "x" || !strings.Contains(a.Failures[0].Message, "divide by zero") {
		t.Errorf("got %+v, %+v", a.Violations, a.Failures)
	}
}

func TestAViolationIsFollowedUntilItIsGone(t *testing.T) {
	set := policies(t, deny3)
	bad, good := state.New(calicotest.Nodes(t, 4)...), state.New(calicotest.Nodes(t, 3)...)
	first, trail := follow(t, nil, set, bad, 0, Step{})
	if v := first.Violations[0]; v.Origin != Standing || v.Cause != "" {
		t.Errorf("the first audit: %s, %s", v.Origin, v.Cause)
	}
	second, trail := follow(t, trail, set, bad, 1, Step{Before: bad})
	if v := second.Violations[0]; v.Origin != Standing || !v.FirstSeen.Equal(start) || !v.LastSeen.Equal(start.Add(time.Minute)) {
		t.Errorf("the second: %s, from %s to %s", v.Origin, v.FirstSeen, v.LastSeen)
	}
	third, trail := follow(t, trail, set, good, 2, Step{Before: bad})
	if len(third.Violations) > 0 || len(third.Resolved) != 1 {
		t.Fatalf("the third: %+v, resolved %+v", third.Violations, third.Resolved)
	}
	if v := third.Resolved[0]; v.Policy != "mesh-node-limit" || v.Severity != "high" || v.Cause != "" || !v.FirstSeen.Equal(start) || !v.LastSeen.Equal(start.Add(time.Minute)) ||
		len(v.Objects) != 1 || v.Objects[0].Object != first.Violations[0].Objects[0].Object {
		t.Errorf("resolved %+v", v)
	}
	if fourth, _ := follow(t, trail, set, good, 3, Step{Before: good}); len(fourth.Resolved) > 0 {
		t.Errorf("resolved twice: %+v", fourth.Resolved)
	}
}

func TestTheTrailOutlivesItsProcess(t *testing.T) {
	set := policies(t, deny3)
	bad := state.New(calicotest.Nodes(t, 4)...)
	_, trail := follow(t, nil, set, bad, 0, Step{})
	text, err := json.Marshal(trail)
	if err != nil {
		t.Fatal(err)
	}
	var read Trail
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	// As after a start, the policies are compiled again.
	a, _ := follow(t, &read, policies(t, deny3), bad, 5, Step{})
	if v := a.Violations[0]; v.Origin != Standing || !v.FirstSeen.Equal(start) {
		t.Errorf("%s since %s", v.Origin, v.FirstSeen)
	}
}

func TestRecall(t *testing.T) {
	set := policies(t, deny3, "selector-hygiene validationActions: [Warn]")
	bad := state.New(calicotest.Nodes(t, 4)...)
	_, trail := follow(t, nil, set, bad, 0, Step{})
	a := run(t, set, bad.Apply(state.Change{After: calicotest.Object(t, "BGPPeer", "p", map[string]any{"nodeSelector": "has(nothing)", "peerSelector": "all()"})}), 5)
	trail.Recall(a)
	if known, fresh := a.Violations[0], a.Violations[1]; !known.FirstSeen.Equal(start) || known.Origin != Standing || !fresh.FirstSeen.Equal(a.Time) || fresh.Origin != "" {
		t.Errorf("known since %s, %s; new since %s, %s", known.FirstSeen, known.Origin, fresh.FirstSeen, fresh.Origin)
	}
	(*Trail)(nil).Recall(a)
}

func TestOrigins(t *testing.T) {
	three, four := state.New(append(calicotest.Nodes(t, 3), calicotest.Mesh(t, true))...), state.New(append(calicotest.Nodes(t, 4), calicotest.Mesh(t, true))...)
	off := state.New(append(calicotest.Nodes(t, 4), calicotest.Mesh(t, false))...)
	labelled := func(s *state.Snapshot, n int) *state.Snapshot {
		for i := range n {
			s = s.Apply(state.Change{After: calicotest.NumberedNode(t, i%4, calicotest.Label("n", fmt.Sprint(i)))})
			if i >= 4 {
				s = s.Apply(state.Change{After: calicotest.Object(t, "BGPPeer", fmt.Sprint("p", i), map[string]any{"peerIP": "192.0.2.1", "asNumber": int64(64512)})})
			}
		}
		return s
	}
	exempt := func(_ context.Context, policy string, o violation.Object) (Exemption, bool) {
		return Exemption{User: "jane"}, policy == "mesh-node-limit" && o.String() == "BGPConfiguration default"
	}
	excepted := func(context.Context, string, violation.Object) (Exemption, bool) {
		return Exemption{User: "jane", Exception: "incident"}, true
	}
	notReady := func() *state.Snapshot {
		n := *four.Nodes()[0]
		n.NotReady = true
		return off.Apply(state.Change{After: &n})
	}
	booting := func() *state.Snapshot {
		n := *four.Nodes()[3]
		n.Address, n.Labels = [2]netip.Prefix{}, map[string]string{"fresh": ""}
		return four.Apply(state.Change{After: &n})
	}
	for name, c := range map[string]struct {
		policies string
		before   *state.Snapshot
		after    *state.Snapshot
		exempted func(context.Context, string, violation.Object) (Exemption, bool)
		want     Origin
		cause    string
	}{
		"a policy that warns lets it come":         {warn3, off, four, nil, Allowed, ""},
		"a node joins":                             {deny3, three, four, nil, Unreviewed, "does not review"},
		"calico-node starts on a new node":         {deny3, booting(), four, nil, Unreviewed, "does not review"},
		"a node joins, and another gets a label":   {deny3, three, labelled(four, 1), nil, Unreviewed, "does not review"},
		"the mesh is turned on":                    {deny3, off, four, nil, PastAdmission, "BGPConfiguration default"},
		"and a node is no longer ready":            {deny3, notReady(), four, nil, PastAdmission, "BGPConfiguration default"},
		"and a node gets a label":                  {deny3, off, labelled(four, 1), nil, PastAdmission, "a change to BGPConfiguration default that the policy denies: it bypassed the webhook"},
		"by one who is exempt":                     {deny3, off, four, exempt, Exempt, "BGPConfiguration default by jane, who is exempt from the policy"},
		"with an exception":                        {deny3, off, four, excepted, Exempt, "BGPConfiguration default by jane, which BGPException incident allowed"},
		"by one who is exempt from something else": {deny3, off, four, func(context.Context, string, violation.Object) (Exemption, bool) { return Exemption{}, false }, PastAdmission, "BGPConfiguration default"},
		"by one whom the policy does not match":    {"mesh-node-limit parameters: {maxNodes: 3}, validationActions: [Deny], match: {kinds: [Node]}", off, four, nil, Allowed, "BGPConfiguration default, which the policy does not match"},
		"the mesh is turned on and a node gets a label, and the policy matches neither": {
			"mesh-node-limit parameters: {maxNodes: 3}, validationActions: [Deny], match: {kinds: [BGPPeer]}", off, labelled(four, 1), nil, Together,
			"each of which is allowed by itself: Node node-00000, BGPConfiguration default",
		},
		"with more changes than are tried": {deny3, off, labelled(four, 60), nil, Together, "61 changes at once"},
		"while no audit ran":               {deny3, nil, four, nil, Unwatched, "after 2026-03-14T19:00:00Z, while no audit ran"},
	} {
		t.Run(name, func(t *testing.T) {
			set := policies(t, c.policies)
			_, trail := follow(t, nil, set, off, 0, Step{})
			a, _ := follow(t, trail, set, c.after, 1, Step{Before: c.before, Exempted: c.exempted})
			if len(a.Violations) != 1 {
				t.Fatalf("got %+v", a.Violations)
			}
			if v := a.Violations[0]; v.Origin != c.want || !strings.Contains(v.Cause, c.cause) || (c.cause == "") != (v.Cause == "") {
				t.Errorf("got %s, %q; want %s, %q", v.Origin, v.Cause, c.want, c.cause)
			}
		})
	}
}

func TestDrift(t *testing.T) {
	for origin, want := range map[Origin]bool{
		Standing: false, Allowed: false, Unreviewed: false, Exempt: true, PastAdmission: true, Together: true, Unwatched: true, "": false,
	} {
		t.Run(cmp.Or(string(origin), "no origin"), func(t *testing.T) {
			if origin.Drift() != want {
				t.Errorf("got %t, want %t", !want, want)
			}
		})
	}
}

func TestAViolationThatGrowsHasANewOrigin(t *testing.T) {
	set := policies(t, deny3)
	on, off := state.New(append(calicotest.Nodes(t, 4), calicotest.Mesh(t, true))...), state.New(append(calicotest.Nodes(t, 5), calicotest.Mesh(t, false))...)
	_, trail := follow(t, nil, set, on, 0, Step{})
	five := off.Apply(state.Change{After: calicotest.Mesh(t, true)})
	a, trail := follow(t, trail, set, five, 1, Step{Before: on})
	if v := a.Violations[0]; v.Origin != Unreviewed || !v.FirstSeen.Equal(start) {
		t.Errorf("larger: %s since %s", v.Origin, v.FirstSeen)
	}
	a, _ = follow(t, trail, set, on, 2, Step{Before: five})
	if v := a.Violations[0]; v.Origin != Unreviewed {
		t.Errorf("smaller: %s", v.Origin)
	}
}

func TestDriftThatGrowsStaysDrift(t *testing.T) {
	set := policies(t, deny3)
	off, on := state.New(append(calicotest.Nodes(t, 4), calicotest.Mesh(t, false))...), state.New(append(calicotest.Nodes(t, 4), calicotest.Mesh(t, true))...)
	five := state.New(append(calicotest.Nodes(t, 5), calicotest.Mesh(t, true))...)
	_, trail := follow(t, nil, set, off, 0, Step{})
	_, trail = follow(t, trail, set, on, 1, Step{Before: off})
	a, _ := follow(t, trail, set, five, 2, Step{Before: on})
	if v := a.Violations[0]; v.Origin != PastAdmission || !strings.Contains(v.Cause, "BGPConfiguration default") {
		t.Errorf("a node joined, and it is %s: %s", v.Origin, v.Cause)
	}
}

func TestAViolationThatSpreadsIsDrift(t *testing.T) {
	set, warn := policies(t, "reachability-preserved validationActions: [Deny]"), policies(t, "reachability-preserved validationActions: [Warn]")
	peers := calicotest.Object(t, "BGPPeer", "p", map[string]any{"nodeSelector": "in == 'yes'", "peerSelector": "in == 'yes'"})
	isolated := func(out ...int) *state.Snapshot {
		objects := []calico.Object{calicotest.Mesh(t, false), peers, calicotest.Object(t, "IPPool", "pool", map[string]any{"cidr": "10.244.0.0/16", "ipipMode": "Always"})}
		for i := range 6 {
			var tweaks []calicotest.Tweak
			if !slices.Contains(out, i) {
				tweaks = append(tweaks, calicotest.Label("in", "yes"))
			}
			objects = append(objects, calicotest.NumberedNode(t, i, tweaks...))
		}
		return state.New(objects...)
	}
	for name, c := range map[string]struct {
		after  *state.Snapshot
		origin Origin
	}{
		"the same nodes": {isolated(5), Standing},
		"another node":   {isolated(4), PastAdmission},
		"no node less":   {isolated(4, 5), PastAdmission},
		"a node joins":   {isolated(5).Apply(state.Change{After: calicotest.NumberedNode(t, 6, calicotest.Label("in", "yes"))}), Allowed},
		"a node leaves":  {isolated(5).Apply(state.Change{Before: calicotest.NumberedNode(t, 0)}), Standing},
	} {
		t.Run(name, func(t *testing.T) {
			before := isolated(5)
			was, trail := follow(t, nil, set, before, 0, Step{})
			a, _ := follow(t, trail, set, c.after, 1, Step{Before: before})
			if len(was.Violations) != len(a.Violations) || len(a.Violations) == 0 {
				t.Fatalf("before %+v, after %+v", was.Violations, a.Violations)
			}
			if v := a.Violations[0]; v.Origin != c.origin || !v.FirstSeen.Equal(start) || (v.Origin == PastAdmission) != strings.Contains(v.Cause, "Node node-00004") {
				t.Errorf("%s since %s: %s (size %v, was %v)", v.Origin, v.FirstSeen, v.Cause, v.Size, was.Violations[0].Size)
			}

			want := Standing
			if a.Violations[0].Size > was.Violations[0].Size {
				want = Allowed
			}
			_, trail = follow(t, nil, warn, before, 0, Step{})
			a, _ = follow(t, trail, warn, c.after, 1, Step{Before: before})
			if v := a.Violations[0]; v.Origin != want || (v.Cause != "") != (name == "a node joins") {
				t.Errorf("of a policy that only warns: %s: %s, want %s", v.Origin, v.Cause, want)
			}
		})
	}
}

// The policy fails on four nodes and finds a violation on three.
func TestAViolationThatAppearsWhileItsPolicyFailsIsUnwatched(t *testing.T) {
	set := failing(t)
	three, four := state.New(calicotest.Nodes(t, 3)...), state.New(calicotest.Nodes(t, 4)...)
	_, trail := follow(t, nil, set, three, 0, Step{})
	trail.Violations = nil // It found nothing while it could be evaluated.
	_, trail = follow(t, trail, set, four, 1, Step{Before: three})
	a, trail := follow(t, trail, set, three, 2, Step{Before: four})
	if v := a.Violations[0]; v.Origin != Unwatched || v.Cause != "introduced while its policy could not be evaluated" {
		t.Errorf("got %s: %s", v.Origin, v.Cause)
	}
	trail.Violations = nil
	a, _ = follow(t, trail, set, three, 3, Step{Before: three})
	if v := a.Violations[0]; v.Origin != Unreviewed {
		t.Errorf("once it could be evaluated again: %s", v.Origin)
	}
}

// The origin of a violation that needs no evaluation is found even after the deadline.
func TestANodeThatJoinsIsNoDriftWhenTheTimeIsUp(t *testing.T) {
	set := policies(t, deny3)
	three, four := state.New(append(calicotest.Nodes(t, 3), calicotest.Mesh(t, true))...), state.New(append(calicotest.Nodes(t, 4), calicotest.Mesh(t, true))...)
	_, trail := follow(t, nil, set, three, 0, Step{})
	a := run(t, set, four, 1)
	out, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := trail.Follow(out, a, validate.NewEngine(set), Step{Before: three}); err != nil {
		t.Fatal(err)
	}
	if v := a.Violations[0]; v.Origin != Unreviewed {
		t.Errorf("got %s: %s", v.Origin, v.Cause)
	}
}

func TestViolationsOfANewPolicyAreStanding(t *testing.T) {
	s := state.New(calicotest.Nodes(t, 4)...)
	looser := policies(t, "mesh-node-limit parameters: {maxNodes: 10}, validationActions: [Deny]")
	for name, before := range map[string]*policy.Set{"it was not there": policies(t), "it had another parameter": looser} {
		t.Run(name, func(t *testing.T) {
			_, trail := follow(t, nil, before, s, 0, Step{})
			a, _ := follow(t, trail, policies(t, deny3), s, 1, Step{Before: s})
			if v := a.Violations[0]; v.Origin != Standing {
				t.Error(v.Origin)
			}
		})
	}
}

// In an emergency an administrator exempts a user, who makes the change before the next audit.
func TestAChangeThatComesWithItsExemptionIsDrift(t *testing.T) {
	off, on := state.New(append(calicotest.Nodes(t, 4), calicotest.Mesh(t, false))...), state.New(append(calicotest.Nodes(t, 4), calicotest.Mesh(t, true))...)
	_, trail := follow(t, nil, policies(t, deny3), off, 0, Step{})
	jane := func(context.Context, string, violation.Object) (Exemption, bool) {
		return Exemption{User: "jane"}, true
	}
	a, _ := follow(t, trail, policies(t, deny3+", exempt: {users: [jane]}"), on, 1, Step{Before: off, Exempted: jane})
	if v := a.Violations[0]; v.Origin != Exempt {
		t.Errorf("got %s: %s", v.Origin, v.Cause)
	}
}

func TestViolationsOfARemovedPolicyAreResolved(t *testing.T) {
	s := state.New(calicotest.Nodes(t, 4)...)
	_, trail := follow(t, nil, policies(t, deny3), s, 0, Step{})
	a, _ := follow(t, trail, policies(t), s, 1, Step{Before: s})
	if len(a.Resolved) != 1 || a.Resolved[0].Cause != "its policy is no longer in force" {
		t.Errorf("resolved %+v", a.Resolved)
	}
}

func TestViolationsOfAPolicyThatFailsAreNotGone(t *testing.T) {
	set := failing(t)
	three, four := state.New(calicotest.Nodes(t, 3)...), state.New(calicotest.Nodes(t, 4)...)
	_, trail := follow(t, nil, set, three, 0, Step{})
	a, trail := follow(t, trail, set, four, 1, Step{Before: three})
	if len(a.Violations) > 0 || len(a.Resolved) > 0 || len(a.Failures) != 1 {
		t.Fatalf("got %+v, resolved %+v, failures %+v", a.Violations, a.Resolved, a.Failures)
	}
	a, _ = follow(t, trail, set, three, 2, Step{Before: four})
	if v := a.Violations[0]; v.Origin != Standing || !v.FirstSeen.Equal(start) {
		t.Errorf("afterwards: %s since %s", v.Origin, v.FirstSeen)
	}
}

func TestATrailIsBounded(t *testing.T) {
	trail := &Trail{}
	for i := range maxSeen + 5 {
		severity := "low"
		if i >= maxSeen {
			severity = "critical"
		}
		trail.Violations = append(trail.Violations, Seen{Policy: "p", ID: fmt.Sprintf("%05d", i), Severity: severity})
	}
	trail.bound()
	if len(trail.Violations) != maxSeen || trail.Violations[maxSeen-1].Severity != "critical" {
		t.Errorf("%d are kept, the last is %+v", len(trail.Violations), trail.Violations[len(trail.Violations)-1])
	}
}

func TestCompare(t *testing.T) {
	set := policies(t, deny3, "selector-hygiene validationActions: [Warn]")
	dangling := calicotest.Object(t, "BGPPeer", "p", map[string]any{"nodeSelector": "has(nothing)", "peerSelector": "all()"})
	four, five := state.New(calicotest.Nodes(t, 4)...), state.New(calicotest.Nodes(t, 5)...)
	for name, c := range map[string]struct {
		before, after *state.Snapshot
		want          string
		resolved      int
	}{
		"the same":   {four, four, "mesh-node-limit Known", 0},
		"larger":     {four, five, "mesh-node-limit Worse", 0},
		"smaller":    {five, four, "mesh-node-limit Known", 0},
		"new beside": {four, four.Apply(state.Change{After: dangling}), "mesh-node-limit Known, selector-hygiene New", 0},
		"gone":       {four.Apply(state.Change{After: dangling}), four, "mesh-node-limit Known", 1},
	} {
		t.Run(name, func(t *testing.T) {
			earlier, a := run(t, set, c.before, 0), run(t, set, c.after, 1)
			a.Compare(earlier)
			var got []string
			for _, v := range a.Violations {
				got = append(got, v.Policy+" "+string(v.Compared))
				if since := start; v.Compared != New && !v.FirstSeen.Equal(since) {
					t.Errorf("%s first seen %s", v.Policy, v.FirstSeen)
				}
			}
			if strings.Join(got, ", ") != c.want || len(a.Resolved) != c.resolved {
				t.Errorf("%q, %d resolved; want %q, %d", got, len(a.Resolved), c.want, c.resolved)
			}
		})
	}
}

// A violation of the same size that reaches other nodes is worse. An audit that was read
// back from JSON does not hold the nodes.
func TestAViolationThatReachesOthersIsWorse(t *testing.T) {
	set := policies(t, "reachability-preserved validationActions: [Deny]")
	without := func(names string) *state.Snapshot {
		peered := "name not in {" + names + "}"
		objects := []calico.Object{calicotest.Mesh(t, false), calicotest.Object(t, "BGPPeer", "p", map[string]any{"nodeSelector": peered, "peerSelector": peered})}
		for i, name := range []string{"a", "b", "c", "d", "e"} {
			objects = append(objects, calicotest.NumberedNode(t, i, calicotest.Label("name", name)))
		}
		return state.New(objects...)
	}
	for name, c := range map[string]struct {
		before, after *state.Snapshot
		want          Comparison
	}{
		"the same node":   {without("'d'"), without("'d'"), Known},
		"another node":    {without("'d'"), without("'a'"), Worse},
		"others, fewer":   {without("'d', 'e'"), without("'a'"), Worse},
		"one fewer of it": {without("'a', 'b'"), without("'a'"), Known},
	} {
		t.Run(name, func(t *testing.T) {
			earlier, a := run(t, set, c.before, 0), run(t, set, c.after, 1)
			a.Compare(earlier)
			if len(a.Violations) != 1 || a.Violations[0].Compared != c.want {
				t.Errorf("%+v, want %s", a.Violations, c.want)
			}
		})
	}
	earlier, a := run(t, set, without("'d'"), 0), run(t, set, without("'a'"), 1)
	earlier.Topology = nil
	a.Compare(earlier)
	if a.Violations[0].Compared != Known {
		t.Errorf("without the topology before: %s", a.Violations[0].Compared)
	}
}

func TestAReportIsReadBack(t *testing.T) {
	a := run(t, policies(t, deny3), state.New(calicotest.Nodes(t, 4)...), 0)
	a.AddTrend(run(t, policies(t, deny3), state.New(calicotest.Nodes(t, 3)...), -5))
	text, err := json.Marshal(&Report{Version: "v1", Clusters: []*Audit{a}})
	if err != nil {
		t.Fatal(err)
	}
	r, err := Read(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(text, again) {
		t.Errorf("got  %s\nwant %s", again, text)
	}
	if got := r.Of("c"); !reflect.DeepEqual(got.Point(), a.Point()) {
		t.Errorf("point %+v, want %+v", got.Point(), a.Point())
	}
	for name, text := range map[string]string{
		"no JSON": "x", "no object": "[]", "no clusters": "{}", "null": `{"clusters":[null]}`, "another document": `{"clusters":[{"name":"x"}]}`,
		"a summary with holes": `{"clusters":[{"time":"2026-03-14T19:00:00Z","summary":{}}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Read(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), "not a report of bgpguard audit -o json") {
				t.Error(err)
			}
		})
	}
}

func TestTrendContainsEarlierAudits(t *testing.T) {
	set, s := policies(t, deny3), state.New(calicotest.Nodes(t, 4)...)
	before, between, now, later := run(t, set, s, -9), run(t, set, s, -5), run(t, set, s, 0), run(t, set, s, 3)
	between.AddTrend(before)
	now.AddTrend(later, between, before, now)
	var minutes []float64
	for _, p := range now.Trend {
		minutes = append(minutes, p.Time.Sub(start).Minutes())
		if p.Violations["high"] != 1 || p.Nodes != 4 || p.Sessions != 6 || p.StartSeconds == 0 {
			t.Errorf("point %+v", p)
		}
	}
	if !slices.Equal(minutes, []float64{-9, -5}) {
		t.Errorf("got %v", minutes)
	}
}

func TestAClusterIsFoundByName(t *testing.T) {
	a, b := &Audit{Cluster: "a"}, &Audit{Cluster: "b"}
	two, nameless := &Report{Clusters: []*Audit{a, b}}, &Report{Clusters: []*Audit{{}}}
	if two.Of("b") != b || two.Of("c") != nil || two.Of("") != nil {
		t.Error("of two")
	}
	if one := (&Report{Clusters: []*Audit{a}}); one.Of("") != a || one.Of("b") != nil {
		t.Error("of one")
	}
	if nameless.Of("b") != nameless.Clusters[0] {
		t.Error("of one without a name")
	}
}

func FuzzRead(f *testing.F) {
	f.Add(`{"version":"v","clusters":[{"cluster":"c","time":"2026-03-14T19:00:00Z","violations":[{"policy":"p","id":"i","size":1}],"summary":{"nodes":{},"sessions":{},"convergence":{}}}]}`)
	f.Fuzz(func(_ *testing.T, text string) {
		r, err := Read(strings.NewReader(text))
		if err != nil {
			return
		}
		for _, a := range r.Clusters { // Compare accepts every audit that Read returns.
			a.Point()
			now := &Audit{Time: a.Time.Add(time.Hour)}
			now.Compare(a)
			now.AddTrend(a)
		}
	})
}

// Unknown members are an error of the policy: the violation counts neither as known nor as
// worse, and the trail keeps it.
func TestUnknownMembersAreAFailure(t *testing.T) {
	bad := func(snapshot *state.Snapshot, minute int) *Audit {
		a := run(t, policies(t, deny3), snapshot, minute)
		for i := range a.Violations {
			a.Violations[i].Members = []string{"lost"}
		}
		return a
	}
	four, five := state.New(calicotest.Nodes(t, 4)...), state.New(calicotest.Nodes(t, 5)...)
	a := bad(five, 1)
	a.Compare(bad(four, 0))
	if v := a.Violations[0]; v.Compared != "" || !v.FirstSeen.Equal(start) || !v.Fails("low") || len(a.Resolved) > 0 {
		t.Errorf("got %+v, resolved %+v", v, a.Resolved)
	}
	failed := func(a *Audit) bool {
		return len(a.Failures) == 1 && a.Failures[0].Policy == "mesh-node-limit" && a.Failures[0].Severity == "high" &&
			strings.HasPrefix(a.Failures[0].Message, `evaluation error: violation "`) && strings.Contains(a.Failures[0].Message, `members "lost"`)
	}
	if !failed(a) {
		t.Errorf("failures %+v", a.Failures)
	}

	first, second := bad(four, 0), bad(five, 1)
	engine := validate.NewEngine(policies(t, deny3))
	trail, err := (*Trail)(nil).Follow(t.Context(), first, engine, Step{})
	if err != nil || len(first.Failures) > 0 {
		t.Fatalf("failures %+v, %v", first.Failures, err)
	}
	trail, err = trail.Follow(t.Context(), second, engine, Step{Before: four})
	if err != nil || !failed(second) || !slices.Equal(trail.Failed, []string{"mesh-node-limit"}) || len(trail.Violations) != 1 || trail.Violations[0].Origin != Standing {
		t.Errorf("failures %+v, trail %+v, %v", second.Failures, trail, err)
	}
}

func TestFollowNeedsTheTopologyBefore(t *testing.T) {
	set := policies(t, "reachability-preserved validationActions: [Deny]")
	objects := append(calicotest.Nodes(t, 3), calicotest.Mesh(t, false))
	before := state.New(objects...)
	_, trail := follow(t, nil, set, before, 0, Step{})
	a := run(t, set, before.Apply(state.Change{After: calicotest.NumberedNode(t, 7)}), 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := trail.Follow(ctx, a, validate.NewEngine(set), Step{Before: before}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestFailuresAreSortedByPolicy(t *testing.T) {
	a := &Audit{Failures: []Failure{{Policy: "m"}}}
	a.AddFailures(Failure{Policy: "z"}, Failure{Policy: "a"})
	if want := []Failure{{Policy: "a"}, {Policy: "m"}, {Policy: "z"}}; !slices.Equal(a.Failures, want) {
		t.Errorf("got %+v, want %+v", a.Failures, want)
	}
}

func TestTheAgeOfStatusesInFilesIsMeasuredFromTheNewest(t *testing.T) {
	now := time.Date(2026, 3, 16, 8, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		updated []time.Duration // before now
		want    time.Duration
	}{
		"the newest":           {[]time.Duration{72 * time.Hour, 48 * time.Hour, 50 * time.Hour}, 48 * time.Hour},
		"one from the future":  {[]time.Duration{72 * time.Hour, -time.Hour}, 72 * time.Hour},
		"none":                 {nil, -1},
		"only from the future": {[]time.Duration{-time.Hour}, -1},
	} {
		t.Run(name, func(t *testing.T) {
			var objects []calico.Object
			for i, d := range c.updated {
				objects = append(objects, &calico.NodeStatus{Name: string(rune('a' + i)), LastUpdated: now.Add(-d)})
			}
			read, note := ReadTime(state.New(objects...), now)
			want := now.Add(-c.want)
			if c.want < 0 {
				want = time.Time{}
			}
			if !read.Equal(want) || (note == "") != want.IsZero() {
				t.Errorf("got %s and the note %q, want %s", read, note, want)
			}
		})
	}
}

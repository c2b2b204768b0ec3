package validate

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology"
	"github.com/bgpguard/bgpguard/pkg/topology/topologytest"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// connected is the topology of a cluster in which the nodes of a rack, and no others,
// have sessions to the route reflectors.
func connected(t *testing.T, racks ...string) *topology.Topology {
	t.Helper()
	objects := append(nodes(t, 12, 2), calicotest.Mesh(t, false), peer(t, "reflectors", "has(rr)", "has(rr)"))
	for _, rack := range racks {
		objects = append(objects, peer(t, rack, "rack == '"+rack+"'", "has(rr)"))
	}
	return topologytest.Compute(t, state.New(objects...), nil)
}

func TestCompare(t *testing.T) {
	isolated := connected(t).Summary().Routes.IPv4.WithoutTransit.Isolated.Members
	if isolated == "" {
		t.Fatal("the set of isolated nodes has no name")
	}
	found := func(id string, size float64, members ...string) violation.Violation {
		return violation.Violation{Policy: "p", ID: id, Size: size, Action: violation.Deny, Message: id, Members: members}
	}
	of := func(t *topology.Topology, violations ...violation.Violation) Found {
		return Found{Violations: violations, Topology: t}
	}
	some, others, all := connected(t, "r3"), connected(t, "r4"), connected(t, "r3", "r4")
	for name, c := range map[string]struct {
		before, after Found
		want          string // relation id size before gained: text
		failed        string
	}{
		"nothing":                  {of(some), of(some), "", ""},
		"new":                      {of(some), of(others, found("a", 2)), "New a: a", ""},
		"gone":                     {of(some, found("a", 2)), of(others), "Gone a, before 2: a", ""},
		"larger":                   {of(some, found("a", 2)), of(others, found("a", 3)), "Larger a, before 2: a", ""},
		"smaller":                  {of(some, found("a", 2)), of(others, found("a", 1)), "Smaller a, before 2: a", ""},
		"standing":                 {of(some, found("a", 2)), of(others, found("a", 2)), "Standing a, before 2: a", ""},
		"moved to another node":    {of(some, found("a", 2, isolated)), of(others, found("a", 2, isolated)), "Spread a, before 2, gained 1 [node-00003]: a; new among them: node-00003", ""},
		"smaller and moved":        {of(some, found("a", 2, isolated)), of(others, found("a", 1, isolated)), "Spread a, before 2, gained 1 [node-00003]: a; new among them: node-00003", ""},
		"larger and spread":        {of(all, found("a", 2, isolated)), of(others, found("a", 3, isolated)), "Larger a, before 2, gained 1 [node-00003]: a; new among them: node-00003", ""},
		"fixed for one of two":     {of(some, found("a", 2, isolated)), of(all, found("a", 1, isolated)), "Smaller a, before 2: a", ""},
		"no topology before":       {of(nil, found("a", 2, isolated)), of(others, found("a", 2, isolated)), "Standing a, before 2: a", ""},
		"no topology after":        {of(some, found("a", 2, isolated)), of(nil, found("a", 2, isolated)), "Standing a, before 2: a", ""},
		"members that are unknown": {of(some, found("a", 2, "lost"), found("b", 2, "lost")), of(others, found("a", 2, "lost"), found("b", 3, "lost"), found("c", 1)), "New c: c", `p: violation "a": members "lost"`},
		"in any order": {
			of(some, found("d", 1), found("b", 1), found("a", 1)), of(others, found("c", 1), found("d", 2), found("a", 1)),
			"Standing a, before 1: a\nGone b, before 1: b\nNew c: c\nLarger d, before 1: d", "",
		},
		"a policy that failed after":  {of(some, found("a", 1)), Found{Failed: []string{"p"}, Topology: others}, "", ""},
		"a policy that failed before": {Found{Failed: []string{"p"}, Topology: some}, of(others, found("a", 1)), "New a: a", ""},
	} {
		t.Run(name, func(t *testing.T) {
			verdicts, failures := Compare(c.before, c.after)
			var lines []string
			for _, v := range verdicts {
				line := fmt.Sprintf("%s %s", v.Relation, v.Violation.ID)
				if v.Before != nil {
					line += fmt.Sprintf(", before %v", v.Before.Size)
				}
				if v.Gained > 0 {
					line += fmt.Sprintf(", gained %d %v", v.Gained, v.Sample)
				}
				lines = append(lines, line+": "+v.Text())
			}
			if got := strings.Join(lines, "\n"); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
			failed := ""
			for _, f := range failures {
				failed += f.Policy + ": " + f.Err.Error()
			}
			if !strings.HasPrefix(failed, c.failed) || (failed == "") != (c.failed == "") {
				t.Errorf("failed: %q, want %q", failed, c.failed)
			}
		})
	}
}

func TestWorse(t *testing.T) {
	for relation, want := range map[Relation]bool{New: true, Larger: true, Spread: true, Standing: false, Smaller: false, Gone: false, Joined: false} {
		t.Run(string(relation), func(t *testing.T) {
			if relation.Worse() != want {
				t.Errorf("got %t, want %t", !want, want)
			}
		})
	}
}

// Unknown members are an error of the policy.
func TestUnknownMembersAreAFailure(t *testing.T) {
	set := own(t, "state", `violation contains {"id": "x", "size": 1, "msg": "m", "members": ["lost"]}`, "")
	d := decide(t, set, nodes(t, 3, 0), state.Change{After: node(t, 9, false)})
	if d.Allowed || d.Evaluated() || len(d.Verdicts) > 0 || len(d.Failures) != 1 || !strings.Contains(d.Message(), `[own] evaluation error: violation "x": members "lost"`) {
		t.Errorf("got %+v: %s", d, d.Message())
	}
}

func TestTheTextOfADecision(t *testing.T) {
	about := violation.Object{Kind: "BGPPeer", Name: "p"}
	verdict := func(policy string, action violation.Action, relation Relation, objects ...violation.Object) Verdict {
		return Verdict{Violation: violation.Violation{Policy: policy, Action: action, Message: policy + " is wrong", Link: "https://example.com/" + policy, Objects: violation.Subjects(objects...)}, Relation: relation}
	}
	exempt := func(v Verdict) Verdict {
		v.Exempt = true
		return v
	}
	impact := func(causes ...string) *topology.Impact {
		return &topology.Impact{Removed: topology.Kinds{Mesh: 2}, Nodes: 3, Causes: causes}
	}
	failure := func(policy string, action violation.Action, exempt bool) Failure {
		return Failure{Policy: policy, Action: action, Exempt: exempt, Err: errors.New("boom")}
	}
	for name, c := range map[string]struct {
		decision Decision
		message  []string
		warnings []string
		notice   string
		see      string
		exempted []string
	}{
		"nothing to say": {
			Decision{Allowed: true, Verdicts: []Verdict{
				verdict("audit", violation.Audit, New), verdict("gone", violation.Deny, Gone, about), verdict("other", violation.Deny, Standing),
				exempt(verdict("quiet", violation.Audit, New)),
			}, Impact: impact("a session goes")},
			nil, nil, "what the change does: removes 2 mesh sessions (on 3 nodes); no route is lost or interrupted", "", nil,
		},
		"warnings, in order of policies": {
			Decision{Allowed: true, Verdicts: []Verdict{
				verdict("a", violation.Warn, New), exempt(verdict("c", violation.Deny, Larger)), verdict("d", violation.Audit, Standing, about), verdict("e", violation.Deny, Smaller, about),
			}, Failures: []Failure{failure("b", violation.Warn, false), failure("f", violation.Deny, true), failure("g", violation.Audit, false)},
				Impact: impact("a session goes", "another comes"), Problems: []calico.Problem{{Field: "spec", Message: "is odd"}}},
			nil,
			[]string{
				"[a] a is wrong", "[b] evaluation error: boom", "[c] c is wrong (not enforced: you are exempt from this policy)",
				"[d] d is wrong (already so before this change)", "[e] e is wrong (already so before this change)",
				"[f] evaluation error: boom (not enforced: you are exempt from this policy)",
				"BGPPeer p: spec: is odd",
			},
			"what the change does: a session goes; another comes; removes 2 mesh sessions (on 3 nodes); no route is lost or interrupted",
			"See https://example.com/a, https://example.com/c, https://example.com/d and https://example.com/e", []string{"c", "f"},
		},
		"a denial": {
			Decision{Verdicts: []Verdict{
				verdict("a", violation.Warn, New), verdict("b", violation.Deny, New), verdict("b", violation.Deny, Spread), verdict("c", violation.Deny, Larger),
			}, Failures: []Failure{failure("a", violation.Deny, false)}, Impact: impact("1", "2", "3", "4", "5")},
			[]string{"[b] b is wrong", "[b] b is wrong", "[c] c is wrong", "[a] evaluation error: boom", "what the change does: 1; 2; 3; 4; and 1 more; removes 2 mesh sessions (on 3 nodes); no route is lost or interrupted"},
			[]string{"[a] a is wrong"}, "",
			"See https://example.com/b, https://example.com/c and https://example.com/a", nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := &c.decision
			d.Objects = []violation.Object{about}
			if got := d.Message(); got != strings.Join(c.message, "\n") {
				t.Errorf("message\n%s\nwant\n%s", got, strings.Join(c.message, "\n"))
			}
			if got := d.Warnings(); !slices.Equal(got, c.warnings) {
				t.Errorf("warnings %q\nwant %q", got, c.warnings)
			}
			if got := d.Notice(); got != c.notice {
				t.Errorf("notice %q, want %q", got, c.notice)
			}
			if got := d.See(); got != c.see {
				t.Errorf("got %q, want %q", got, c.see)
			}
			if got := d.Exempted(); !slices.Equal(got, c.exempted) {
				t.Errorf("exempted %q, want %q", got, c.exempted)
			}
		})
	}
}

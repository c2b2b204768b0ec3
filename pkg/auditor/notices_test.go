package auditor

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bgpguard/bgpguard/pkg/audit"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

func gzipped(t testing.TB, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// found returns an audit with n violations of each of the policies. Each violation has two
// objects.
func found(n int, policies ...string) *audit.Audit {
	a := &audit.Audit{Time: began}
	for _, p := range policies {
		a.Policies = append(a.Policies, audit.Policy{Name: p})
		for i := range n {
			a.Violations = append(a.Violations, audit.Violation{
				Violation: violation.Violation{Policy: p, ID: fmt.Sprintf("%s-%05d", p, i), Size: 1, Message: "m", Objects: violation.Subjects(violation.Object{Kind: "Node", Name: "a"}, violation.Object{Kind: "Node", Name: "b"})},
				Severity:  policy.Severities[0], FirstSeen: began, LastSeen: began, Origin: audit.Standing,
			})
		}
	}
	return a
}

func TestTenThousandViolationsAreFewEvents(t *testing.T) {
	a := found(10_000, "p", "q")
	a.Resolved = found(60, "r").Violations
	server := newAPIServer()
	r := start(t, server, policies(t, deny3), nil)
	notices := noticesOf(a, nil, false)
	if len(notices) != 20_060 {
		t.Fatalf("%d notices", len(notices))
	}
	if _, err := r.events.send(t.Context(), boundNotices(notices), began); err != nil {
		t.Fatal(err)
	}
	var more []string
	for line := range strings.SplitSeq(server.eventLines(), "\n") {
		if strings.Contains(line, " BGPPolicy ") {
			more = append(more, line)
		}
	}
	want := []string{
		"19:00:00 ViolationFound BGPPolicy p: [p] 9,975 more violations found",
		"19:00:00 ViolationFound BGPPolicy q: [q] 10,000 more violations found",
		"19:00:00 ViolationResolved BGPPolicy r: [r] 35 more violations resolved",
	}
	if strings.Join(more, "\n") != strings.Join(want, "\n") || len(server.events) != 2*maxEvents+len(want) {
		t.Errorf("%d Events, of these\n%s", len(server.events), strings.Join(more, "\n"))
	}
	r.logNotices(notices)
	if n := strings.Count(r.log.String(), "\n"); n != maxLogged+1 || !strings.Contains(r.log.String(), `msg="More violations found or resolved" count=20010`) {
		t.Errorf("%d lines in the log", n)
	}
}

func TestNotices(t *testing.T) {
	long := found(1, "p")
	long.Violations[0].Message = strings.Repeat("ü", 1000)
	secret := found(1, "p")
	secret.Violations[0].Objects = violation.Subjects(violation.Object{Kind: "Secret", Name: "s"})
	gone := &audit.Audit{Time: began, Resolved: []audit.Violation{{Violation: violation.Violation{Policy: "p", ID: "x"}, FirstSeen: began.Add(-time.Hour), Cause: "its policy is no longer in force"}}}
	for name, test := range map[string]struct {
		a    *audit.Audit
		want string
	}{
		"each object of a violation has an Event":         {found(1, "p"), "19:00:00 ViolationFound Node a: [p] m\n19:00:00 ViolationFound Node b: [p] m"},
		"a long message is cut between characters":        {long, "19:00:00 ViolationFound Node a: [p] " + strings.Repeat("ü", 508) + "...\n19:00:00 ViolationFound Node b: [p] " + strings.Repeat("ü", 508) + "..."},
		"one about an object that Events cannot be about": {secret, "19:00:00 ViolationFound BGPPolicy p: [p] m"},
		"one whose policy is gone is not resolved":        {gone, "19:00:00 ViolationResolved BGPPolicy p: [p] no longer checked, its policy is no longer in force: x, first seen at 2026-03-14T18:00:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			server := newAPIServer()
			r := start(t, server, policies(t, deny3), nil)
			if _, err := r.events.send(t.Context(), noticesOf(test.a, nil, false), began); err != nil {
				t.Fatal(err)
			}
			if got := server.eventLines(); got != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

func TestAViolationThatDriftMakesLargerIsReported(t *testing.T) {
	before := &audit.Trail{Violations: []audit.Seen{{Policy: "p", ID: "p-00000", Size: 1, Origin: audit.Standing}}}
	a := found(1, "p")
	v := &a.Violations[0]
	check := func(want int, why string) {
		t.Helper()
		if got := noticesOf(a, before, false); len(got) != want {
			t.Errorf("%s: %v", why, got)
		}
	}
	check(0, "as before")
	v.Size = 2
	check(0, "larger")
	v.Origin, v.Cause = audit.PastAdmission, "x"
	check(1, "larger by drift")
	before.Violations[0].Origin, before.Violations[0].Cause = audit.PastAdmission, "x"
	check(0, "larger by the same drift")
	v.Cause = "y"
	check(1, "larger by other drift")
}

// It is not known whether a violation that is not in an incomplete trail is new.
func TestAnIncompleteTrailReportsNoNewViolations(t *testing.T) {
	a := found(2, "p")
	a.Resolved = found(1, "q").Violations
	got := noticesOf(a, &audit.Trail{}, true)
	if len(got) != 1 || got[0].Policy != "q" {
		t.Errorf("got %v", got)
	}
}

func TestThePastIsRememberedForAWhile(t *testing.T) {
	var states []*state.Snapshot
	for i := range 100 {
		states = append(states, cluster(t, i%3+1, false))
	}
	var p past
	minute := func(n int) time.Time { return began.Add(time.Duration(n) * time.Minute) }
	if p.at(began) != nil {
		t.Error("there is a past before the first look")
	}
	p.add(began, states[0])
	p.add(minute(10), states[0])
	if p.at(minute(-1)) != nil || p.at(began) != states[0] || p.at(minute(7)) != states[0] {
		t.Error("the state between two looks is another one")
	}
	for i, s := range states[1:] {
		p.add(minute(10).Add(time.Duration(i)*2*time.Second), s)
	}
	last := minute(10).Add(98 * 2 * time.Second)
	if p.at(last) != states[99] || p.at(last.Add(-time.Second)) != states[98] || p.at(last.Add(-pastLimit)) != states[39] || p.at(began) != nil {
		t.Error("it is not the state then")
	}
	if len(p) > 64 {
		t.Errorf("%d states are remembered", len(p))
	}
}

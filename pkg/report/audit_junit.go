package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/audit"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/report/junit"
)

// writeAuditJUnit writes one suite per cluster with one test case per policy that
// evaluates states. A test case fails if a violation counts as a failure, is skipped if
// there are only other violations, and is in error if the policy could not be
// evaluated. An unusable BGPPolicy, an unread cluster and a cluster without policies
// are test cases in error.
func writeAuditJUnit(w io.Writer, a *Audit) error {
	suites := make([]junit.Suite, 0, len(a.Unread)+len(a.Clusters))
	for _, u := range a.Unread {
		suite := junit.Suite{Name: suiteName(u.Cluster)}
		suite.Add(junit.Case{Class: suite.Name, Name: "read the cluster", Error: &junit.Result{Type: "not read", Message: clean(u.Message), Text: clean(u.Message)}})
		suites = append(suites, suite)
	}
	for _, one := range a.Clusters {
		suite := junit.Suite{Name: suiteName(one.Cluster)}
		for _, p := range one.Policies {
			if p.Judges == policy.JudgesState {
				suite.Add(a.junitCase(suite.Name, one, &p))
			}
		}
		for _, f := range one.Failures {
			if !one.InForce(f.Policy) {
				suite.Add(notEvaluated(suite.Name, f.Policy, f.Message))
			}
		}
		if one.Judging() == 0 {
			suite.Add(notEvaluated(suite.Name, "evaluate the state", nothingChecked))
		}
		suites = append(suites, suite)
	}
	return junit.Write(w, suites...)
}

func suiteName(cluster string) string { return strings.TrimSpace("bgpguard audit " + clean(cluster)) }

// notEvaluated returns a test case in error.
func notEvaluated(suite, name, message string) junit.Case {
	return junit.Case{Class: suite, Name: clean(name), Error: &junit.Result{Type: "not evaluated", Message: clean(message), Text: clean(message)}}
}

func (a *Audit) junitCase(suite string, one *audit.Audit, p *audit.Policy) junit.Case {
	for _, f := range one.Failures {
		if f.Policy == p.Name {
			return notEvaluated(suite, p.Name, f.Message)
		}
	}
	out := junit.Case{Class: suite, Name: clean(p.Name)}
	var lines []string
	var first *audit.Violation // the first that fails, else the first of all
	fails := false
	for i := range one.Violations {
		v := &one.Violations[i]
		if v.Policy != p.Name {
			continue
		}
		if first == nil || !fails && v.Fails(a.FailOn) {
			first = v
		}
		fails = fails || v.Fails(a.FailOn)
		line := v.Severity + ": " + clean(v.Text())
		if h := history(one, v); h != "" {
			line += " (" + h + ")"
		}
		lines = append(lines, line)
		if line := nodesText(v.Message, v.Nodes, true); line != "" {
			lines = append(lines, line)
		}
	}
	if first == nil {
		return out
	}
	s, line := a.source(&first.Violation)
	out.File, out.Line = clean(s.File), line
	result := &junit.Result{Type: first.Severity, Message: fmt.Sprintf("%s: %s", first.Severity, clean(first.Message)), Text: strings.Join(lines, "\n")}
	if fails {
		out.Failure = result
	} else {
		out.Skipped = result
	}
	return out
}

package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/audit"
	"github.com/bgpguard/bgpguard/pkg/junit"
	"github.com/bgpguard/bgpguard/pkg/policy"
)

// writeAuditJUnit writes a suite for each cluster and in it a test case for each
// policy that judges states: it fails where a violation counts as a failure, is
// skipped where there are others only, and in error where the policy could not
// judge. A cluster that could not be read is a suite of one case in error.
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
		suites = append(suites, suite)
	}
	return junit.Write(w, suites...)
}

func suiteName(cluster string) string { return strings.TrimSpace("bgpguard audit " + clean(cluster)) }

func (a *Audit) junitCase(suite string, one *audit.Audit, p *audit.Policy) junit.Case {
	out := junit.Case{Class: suite, Name: clean(p.Name)}
	for _, f := range one.Failures {
		if f.Policy == p.Name {
			out.Error = &junit.Result{Type: "not judged", Message: clean(f.Message), Text: clean(f.Message)}
			return out
		}
	}
	var lines []string
	var first *audit.Violation
	fails := false
	for i := range one.Violations {
		v := &one.Violations[i]
		if v.Policy != p.Name {
			continue
		}
		if first == nil {
			first = v
		}
		fails = fails || v.Fails(a.FailOn)
		line := v.Severity + ": " + clean(v.Text())
		if h := history(one, v); h != "" {
			line += " (" + h + ")"
		}
		lines = append(lines, line)
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

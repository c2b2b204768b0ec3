package report

import (
	"io"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/report/junit"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// writeCheckJUnit writes one test case per change and policy. It fails if the policy
// denies the change, is in error if a Deny policy could not be evaluated, and is skipped
// if the policy warns or audits. Settings that Calico would ignore are an
// additional test case. The output of the first test case of a change says what an allowed
// change does.
func writeCheckJUnit(w io.Writer, c *Check) error {
	suite := junit.Suite{Name: "bgpguard check"}
	for i := range c.Changes {
		change := &c.Changes[i]
		byRule := map[string][]finding{}
		for _, f := range c.findings(change) {
			byRule[f.rule] = append(byRule[f.rule], f)
		}
		output := clean(change.notice())
		for _, name := range c.ruleNames() {
			found := byRule[name]
			if name == problemRule && len(found) == 0 {
				continue
			}
			one := junitTest(change, name, found)
			one.Output, output = output, ""
			suite.Add(one)
		}
	}
	return junit.Write(w, suite)
}

func junitTest(c *Checked, rule string, found []finding) junit.Case {
	out := junit.Case{Class: c.what(), Name: clean(rule), File: clean(c.Source.File), Line: c.Source.line("")}
	var lines []string
	denies, failed := false, false
	for _, f := range found {
		lines = append(lines, string(f.action)+": "+c.message(&f))
		if line := nodesText(f.message, f.nodes, true); line != "" {
			lines = append(lines, line)
		}
		denies = denies || (f.action == violation.Deny && !f.failed)
		failed = failed || (f.action == violation.Deny && f.failed)
	}
	if len(found) == 0 {
		return out
	}
	if see := see(found); see != "" {
		lines = append(lines, see)
	}
	out.Line = c.line(&found[0])
	result := &junit.Result{Message: string(found[0].action) + ": " + clean(found[0].message), Text: strings.Join(lines, "\n")}
	switch {
	case denies:
		result.Type = "denied"
		out.Failure = result
	case failed:
		result.Type = "not evaluated"
		out.Error = result
	default:
		out.Skipped = result
	}
	return out
}

// ruleNames lists the names of the policies in force, and problemRule.
func (c *Check) ruleNames() []string {
	var out []string
	for _, p := range c.Policies {
		out = append(out, p.Name)
	}
	return append(out, problemRule)
}

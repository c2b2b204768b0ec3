package report

import (
	"encoding/xml"
	"io"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/violation"
)

type junitSuites struct {
	XMLName xml.Name     `xml:"testsuites"`
	Suites  []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Errors   int         `xml:"errors,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string       `xml:"classname,attr"`
	Name    string       `xml:"name,attr"`
	File    string       `xml:"file,attr,omitempty"`
	Line    int          `xml:"line,attr,omitempty"`
	Failure *junitResult `xml:"failure"`
	Error   *junitResult `xml:"error"`
	Skipped *junitResult `xml:"skipped"`
}

type junitResult struct {
	Type    string `xml:"type,attr,omitempty"`
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// writeJUnit writes a test case for each change and policy: it fails where the
// policy denies the change, is in error where it could not judge, and skipped
// where it warns or only records. A last one for what Calico would ignore is there
// where there is such.
func writeJUnit(w io.Writer, c *Check) error {
	suite := junitSuite{Name: "bgpguard check"}
	for i := range c.Changes {
		change := &c.Changes[i]
		byRule := map[string][]finding{}
		for _, f := range c.findings(change) {
			byRule[f.rule] = append(byRule[f.rule], f)
		}
		for _, name := range c.ruleNames() {
			found := byRule[name]
			if name == problemRule && len(found) == 0 {
				continue
			}
			suite.add(junitTest(change, name, found))
		}
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(junitSuites{Suites: []junitSuite{suite}}); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func (s *junitSuite) add(c junitCase) {
	s.Tests++
	switch {
	case c.Failure != nil:
		s.Failures++
	case c.Error != nil:
		s.Errors++
	case c.Skipped != nil:
		s.Skipped++
	}
	s.Cases = append(s.Cases, c)
}

func junitTest(c *Checked, rule string, found []finding) junitCase {
	out := junitCase{Class: c.what(), Name: clean(rule), File: clean(c.Source.File), Line: c.Source.line("")}
	var lines []string
	denies, failed := false, false
	for _, f := range found {
		lines = append(lines, string(f.action)+": "+c.text(&f))
		denies = denies || (f.action == violation.Deny && !f.failed)
		failed = failed || (f.action == violation.Deny && f.failed)
	}
	if len(found) == 0 {
		return out
	}
	out.Line = c.line(&found[0])
	result := &junitResult{Message: string(found[0].action) + ": " + clean(found[0].message), Text: strings.Join(lines, "\n")}
	switch {
	case denies:
		result.Type = "denied"
		out.Failure = result
	case failed:
		result.Type = "not judged"
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

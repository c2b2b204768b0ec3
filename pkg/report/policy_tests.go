package report

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/open-policy-agent/opa/v1/tester"

	"github.com/bgpguard/bgpguard/pkg/author"
	"github.com/bgpguard/bgpguard/pkg/report/junit"
	"github.com/bgpguard/bgpguard/pkg/scenario"
	"github.com/bgpguard/bgpguard/pkg/text"
)

// writePolicyTestText writes failed tests and scenarios as opa test does, then totals
// and the coverage.
func writePolicyTestText(w io.Writer, t *author.TestResult) error {
	var b bytes.Buffer
	if len(t.Rego) > 0 {
		if err := pretty(&b, t.Rego...); err != nil {
			return err
		}
	}
	passed, ran := 0, 0
	for _, r := range t.Scenarios {
		if r.Skipped != "" {
			fmt.Fprintf(&b, "SKIPPED: scenario %s: %s\n", r.Name, r.Skipped)
			continue
		}
		ran++
		if r.Err != nil {
			fmt.Fprintf(&b, "ERROR: scenario %s: %v\n", r.Name, r.Err)
			continue
		}
		if r.Passed() {
			passed++
			continue
		}
		if err := scenario.WriteText(&b, []*scenario.Result{r.Result}); err != nil {
			return err
		}
	}
	if len(t.Scenarios) > 0 {
		fmt.Fprintf(&b, "SCENARIOS: %d/%d\n", passed, ran)
	}
	if t.Coverage != nil {
		b.WriteString("\nCoverage by Rego tests:\n")
		table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		for _, c := range t.Coverage {
			missed := ""
			if len(c.Missed) > 0 {
				missed = "missed: " + strings.Join(c.Missed, ", ")
			}
			fmt.Fprintf(table, "  %s\t%.1f%%\t%s\n", c.File, c.Percent, missed)
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	_, err := b.WriteTo(w)
	return err
}

// pretty writes results as opa test does. For each failed test it shows the failing
// expression with its values.
func pretty(w io.Writer, results ...*tester.Result) error {
	c := make(chan *tester.Result, len(results))
	for _, r := range results {
		c <- r
	}
	close(c)
	return tester.PrettyReporter{Output: w, FailureLine: true, LocalVars: true}.Report(c)
}

// testCase is the JSON form of a test or a scenario.
type testCase struct {
	Name string `json:"name"`
	File string `json:"file"`
	Line int    `json:"line"`
	// Result is pass, fail, error or skip.
	Result  string  `json:"result"`
	Seconds float64 `json:"seconds"`
	// Message says why the test failed or was skipped. Output is what it printed.
	Message string `json:"message,omitempty"`
	Output  string `json:"output,omitempty"`
	// Steps are those of a scenario.
	Steps []scenario.StepResult `json:"steps,omitempty"`
}

// The results of a testCase.
const (
	passed  = "pass"
	failed  = "fail"
	errored = "error"
	skipped = "skip"
)

// testCases returns the Rego tests and the scenarios of t.
func testCases(t *author.TestResult) (rego, scenarios []testCase, err error) {
	rego, scenarios = []testCase{}, []testCase{}
	for _, r := range t.Rego {
		c := testCase{
			Name: r.Package + "." + r.Name, File: r.Location.File, Line: r.Location.Row, Result: passed,
			Seconds: r.Duration.Seconds(), Output: string(r.Output),
		}
		switch {
		case r.Error != nil:
			c.Result, c.Message = errored, r.Error.Error()
		case r.Skip:
			c.Result = skipped
		case r.Fail:
			c.Result = failed
			var b bytes.Buffer
			if err := pretty(&b, r); err != nil {
				return nil, nil, err
			}
			c.Message = failureOf(b.String())
		}
		rego = append(rego, c)
	}
	for _, r := range t.Scenarios {
		c := testCase{Name: r.Name, File: r.File, Line: r.Line, Result: passed, Seconds: r.Duration.Seconds(), Steps: r.Steps}
		switch {
		case r.Skipped != "":
			c.Result, c.Message = skipped, r.Skipped
		case r.Err != nil:
			c.Result, c.Message = errored, r.Err.Error()
		case !r.Passed():
			c.Result = failed
			var b bytes.Buffer
			if err := scenario.WriteText(&b, []*scenario.Result{r.Result}); err != nil {
				return nil, nil, err
			}
			c.Message = strings.TrimSpace(b.String())
		}
		scenarios = append(scenarios, c)
	}
	return rego, scenarios, nil
}

// failureOf returns the part of opa's report that shows the failing expression.
func failureOf(report string) string {
	const heading = "FAILURES\n"
	_, text, _ := strings.Cut(report, heading)
	var lines []string
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "---") && !strings.HasPrefix(line, "FAIL:") && strings.TrimSpace(line) != "" {
			lines = append(lines, strings.TrimRight(line, "\n"))
		}
	}
	return strings.Join(lines, "\n")
}

func writePolicyTestJSON(w io.Writer, t *author.TestResult) error {
	rego, scenarios, err := testCases(t)
	if err != nil {
		return err
	}
	return text.JSON(w, struct {
		Failed    int                   `json:"failed"`
		Rego      []testCase            `json:"rego"`
		Scenarios []testCase            `json:"scenarios"`
		Coverage  []author.FileCoverage `json:"coverage,omitempty"`
	}{t.Failed(), rego, scenarios, t.Coverage})
}

func writePolicyTestJUnit(w io.Writer, t *author.TestResult) error {
	rego, scenarios, err := testCases(t)
	if err != nil {
		return err
	}
	var out []junit.Suite
	for _, s := range []struct {
		name  string
		cases []testCase
	}{{"rego", rego}, {"scenarios", scenarios}} {
		if len(s.cases) == 0 {
			continue
		}
		suite := junit.Suite{Name: s.name}
		total := 0.0
		for _, c := range s.cases {
			suite.Add(c.junit(s.name))
			total += c.Seconds
		}
		suite.Time = seconds(total)
		out = append(out, suite)
	}
	return junit.Write(w, out...)
}

// junit returns the test as a JUnit test case. Its class is the package in its name,
// else class.
func (c *testCase) junit(class string) junit.Case {
	out := junit.Case{Class: class, Name: c.Name, File: c.File, Line: c.Line, Time: seconds(c.Seconds), Output: c.Output}
	if i := strings.LastIndex(c.Name, "."); i > 0 {
		out.Class, out.Name = c.Name[:i], c.Name[i+1:]
	}
	first, _, _ := strings.Cut(c.Message, "\n")
	result := &junit.Result{Message: first, Text: c.Message}
	switch c.Result {
	case failed:
		out.Failure = result
	case errored:
		out.Error = result
	case skipped:
		out.Skipped = result
	}
	return out
}

func seconds(s float64) string { return junit.Seconds(time.Duration(s * float64(time.Second))) }

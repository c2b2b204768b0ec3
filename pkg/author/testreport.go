package author

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/open-policy-agent/opa/v1/tester"

	"github.com/bgpguard/bgpguard/pkg/scenario"
)

// JUnit is the format that CI systems read.
const JUnit = "junit"

// WriteTested writes what became of tests as Text, JSON or JUnit.
func WriteTested(w io.Writer, format string, t *Tested) error {
	switch format {
	case JSON:
		return t.writeJSON(w)
	case JUnit:
		return t.writeJUnit(w)
	default:
		return t.writeText(w)
	}
}

func (t *Tested) writeText(w io.Writer) error {
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
		if err := scenario.WriteText(&b, []*scenario.Result{r.Result}, false); err != nil {
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

// pretty writes results as opa test does, with the failing expression of each test
// that fails and the values in it.
func pretty(w io.Writer, results ...*tester.Result) error {
	c := make(chan *tester.Result, len(results))
	for _, r := range results {
		c <- r
	}
	close(c)
	return tester.PrettyReporter{Output: w, FailureLine: true, LocalVars: true}.Report(c)
}

// testCase is a test or a scenario in JSON.
type testCase struct {
	Name string `json:"name"`
	File string `json:"file"`
	Line int    `json:"line"`
	// Result is pass, fail, error or skip.
	Result  string  `json:"result"`
	Seconds float64 `json:"seconds"`
	// Message says why it did not pass or was passed over, Output is what it printed.
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

func (t *Tested) cases() (rego, scenarios []testCase, err error) {
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
			if err := scenario.WriteText(&b, []*scenario.Result{r.Result}, false); err != nil {
				return nil, nil, err
			}
			c.Message = strings.TrimSpace(b.String())
		}
		scenarios = append(scenarios, c)
	}
	return rego, scenarios, nil
}

// failureOf is the part of opa's report that shows the failing expression.
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

func (t *Tested) writeJSON(w io.Writer) error {
	rego, scenarios, err := t.cases()
	if err != nil {
		return err
	}
	return writeJSON(w, struct {
		Failed    int            `json:"failed"`
		Rego      []testCase     `json:"rego"`
		Scenarios []testCase     `json:"scenarios"`
		Coverage  []FileCoverage `json:"coverage,omitempty"`
	}{t.Failed(), rego, scenarios, t.Coverage})
}

// The document that CI systems read.
type (
	junitSuites struct {
		XMLName xml.Name     `xml:"testsuites"`
		Suites  []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Errors   int         `xml:"errors,attr"`
		Skipped  int         `xml:"skipped,attr"`
		Time     string      `xml:"time,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Name    string        `xml:"name,attr"`
		Class   string        `xml:"classname,attr"`
		File    string        `xml:"file,attr"`
		Line    int           `xml:"line,attr"`
		Time    string        `xml:"time,attr"`
		Failure *junitFailure `xml:"failure"`
		Error   *junitFailure `xml:"error"`
		Skipped *struct{}     `xml:"skipped"`
		Output  string        `xml:"system-out,omitempty"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

func (t *Tested) writeJUnit(w io.Writer) error {
	rego, scenarios, err := t.cases()
	if err != nil {
		return err
	}
	var out junitSuites
	for _, s := range []struct {
		name  string
		cases []testCase
	}{{"rego", rego}, {"scenarios", scenarios}} {
		if len(s.cases) == 0 {
			continue
		}
		suite := junitSuite{Name: s.name, Tests: len(s.cases)}
		total := 0.0
		for _, c := range s.cases {
			j := junitCase{Name: c.Name, Class: s.name, File: c.File, Line: c.Line, Time: seconds(c.Seconds), Output: c.Output}
			if i := strings.LastIndex(c.Name, "."); i > 0 {
				j.Class, j.Name = c.Name[:i], c.Name[i+1:]
			}
			first, _, _ := strings.Cut(c.Message, "\n")
			switch c.Result {
			case failed:
				j.Failure = &junitFailure{first, c.Message}
				suite.Failures++
			case errored:
				j.Error = &junitFailure{first, c.Message}
				suite.Errors++
			case skipped:
				j.Skipped = &struct{}{}
				suite.Skipped++
			}
			total += c.Seconds
			suite.Cases = append(suite.Cases, j)
		}
		suite.Time = seconds(total)
		out.Suites = append(out.Suites, suite)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(out); err != nil {
		return err
	}
	_, err = io.WriteString(w, "\n")
	return err
}

func seconds(s float64) string {
	return fmt.Sprintf("%.3f", time.Duration(s*float64(time.Second)).Seconds())
}

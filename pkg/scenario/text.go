package scenario

import (
	"fmt"
	"io"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/text"
)

// WriteText writes results as opa test writes those of Rego tests: a line for
// each scenario, and below one that failed, what it got. With verbose there is a
// line for each step too.
func WriteText(w io.Writer, results []*Result, verbose bool) error {
	var b strings.Builder
	for _, r := range results {
		word := "PASS"
		if !r.Passed() {
			word = "FAIL"
		}
		fmt.Fprintf(&b, "%s: scenario %s (%s)\n", word, r.Name, text.Count(len(r.Steps), "step"))
		for _, s := range r.Steps {
			s.text(&b, r.File, verbose)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (s *StepResult) text(b *strings.Builder, file string, verbose bool) {
	if len(s.Failures) == 0 {
		if verbose {
			fmt.Fprintf(b, "  PASS: %s:%d: %s\n", file, s.Line, s.Name)
		}
		return
	}
	fmt.Fprintf(b, "  FAIL: %s:%d: %s\n", file, s.Line, s.Name)
	for _, f := range s.Failures {
		fmt.Fprintf(b, "    %s\n", f)
	}
	if s.Message != "" {
		fmt.Fprintf(b, "    message: %s\n", strings.ReplaceAll(s.Message, "\n", "\n      "))
	}
	for _, warning := range s.Warnings {
		fmt.Fprintf(b, "    warning: %s\n", warning)
	}
}

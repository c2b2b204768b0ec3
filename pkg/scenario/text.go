package scenario

import (
	"fmt"
	"io"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/text"
)

// WriteText writes results in the style of "opa test": a line for each scenario, followed by
// its failed steps. It returns the error of w, if any.
func WriteText(w io.Writer, results []*Result) error {
	var b strings.Builder
	for _, r := range results {
		word := "PASS"
		if !r.Passed() {
			word = "FAIL"
		}
		fmt.Fprintf(&b, "%s: scenario %s (%s)\n", word, r.Name, text.Count(len(r.Steps), "step"))
		for i := range r.Steps {
			r.Steps[i].writeFailures(&b, r.File)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeFailures writes the expectations that a step did not meet, and the actual decision.
func (s *StepResult) writeFailures(b *strings.Builder, file string) {
	if len(s.Failures) == 0 {
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

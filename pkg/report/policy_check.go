package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/author"
)

// writePolicyCheckText writes one line per finding, as compilers do, then totals.
func writePolicyCheckText(w io.Writer, r *author.CheckResult) error {
	var b strings.Builder
	for _, f := range r.Findings {
		b.WriteString(f.File)
		if f.Line > 0 {
			fmt.Fprintf(&b, ":%d", f.Line)
		}
		if f.Column > 0 {
			fmt.Fprintf(&b, ":%d", f.Column)
		}
		if f.File != "" {
			b.WriteString(": ")
		}
		message, source, _ := strings.Cut(f.Message, "\n")
		fmt.Fprintf(&b, "%s: %s [%s]\n", f.Severity, message, f.Check)
		for line := range strings.Lines(source) {
			fmt.Fprintf(&b, "    %s\n", strings.TrimRight(line, "\n"))
		}
	}
	fmt.Fprintf(&b, "%s checked: %s, %s\n", Count(len(r.Policies), "policy", "policies"),
		Count(r.Count(author.Error), author.Error), Count(r.Count(author.Warning), author.Warning))
	_, err := io.WriteString(w, b.String())
	return err
}

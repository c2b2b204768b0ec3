package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/state"
)

var verbs = map[state.Operation]string{state.Create: "create", state.Update: "update", state.Delete: "delete"}

func writeText(w io.Writer, checked []Checked) error {
	var b strings.Builder
	denied := 0
	for _, c := range checked {
		what := verbs[c.Change.Operation()] + " " + clean(c.Change.ID().String())
		switch d := c.Decision; {
		case d.Allowed:
			fmt.Fprintf(&b, "%s: allowed\n", what)
		case d.Judged():
			fmt.Fprintf(&b, "%s: denied\n", what)
			denied++
		default:
			fmt.Fprintf(&b, "%s: could not be judged\n", what)
			denied++
		}
		if text := c.Decision.Message(); text != "" {
			for line := range strings.SplitSeq(text, "\n") {
				fmt.Fprintf(&b, "  %s\n", clean(line))
			}
		}
		for _, warning := range c.Decision.Warnings {
			fmt.Fprintf(&b, "  Warning: %s\n", clean(warning))
		}
	}
	if len(checked) > 1 {
		fmt.Fprintf(&b, "%d changes: %d allowed, %d denied\n", len(checked), len(checked)-denied, denied)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

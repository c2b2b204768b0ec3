package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// painter colors text for a terminal if it is true.
type painter bool

// The terminal colors of results.
const (
	bold   = "1"
	red    = "31"
	green  = "32"
	yellow = "33"
)

func (p painter) paint(color, text string) string {
	if !p {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

func writeCheckText(w io.Writer, c *Check) error {
	var b strings.Builder
	for i := range c.Changes {
		c.textChange(&b, &c.Changes[i])
	}
	if n := len(c.Changes); n > 1 && !c.Quiet {
		fmt.Fprintf(&b, "%d changes: %d allowed, %d denied\n", n, n-c.denied(), c.denied())
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (c *Check) textChange(b *strings.Builder, change *Checked) {
	p, d, found := painter(c.Color), change.Decision, c.findings(change)
	if c.Quiet && len(found) == 0 {
		return
	}
	color := green
	if !d.Allowed {
		color = red
	}
	fmt.Fprintf(b, "%s: %s\n", change.what(), p.paint(color, change.verdict()))
	change.textFields(b, found, p)
	if text := d.Message(); text != "" {
		for line := range strings.SplitSeq(text, "\n") {
			fmt.Fprintf(b, "  %s\n", clean(line))
		}
	}
	for _, warning := range d.Warnings() {
		fmt.Fprintf(b, "  %s %s\n", p.paint(yellow, "Warning:"), clean(warning))
	}
	for _, f := range found {
		if f.action == violation.Audit && !f.exempt { // All other findings are in d.Warnings.
			fmt.Fprintf(b, "  Audit: [%s] %s\n", clean(f.rule), clean(f.message))
		}
	}
	for _, f := range found {
		if line := nodesText(f.message, f.nodes, c.All); line != "" {
			fmt.Fprintf(b, "  [%s] %s\n", clean(f.rule), line)
		}
	}
	if line := change.notice(); line != "" && !c.together {
		fmt.Fprintf(b, "  %s\n", clean(line))
	}
	if see := see(found); see != "" {
		fmt.Fprintf(b, "  %s\n", see)
	}
	if !c.Explain {
		return
	}
	for v := range d.Worse() {
		of := rendered(v)
		textExplanation(b, &of, c.explain(v))
	}
	if d.Impact != nil && len(d.Impact.Causes) > 0 {
		b.WriteString("  What the change does:\n")
		for _, cause := range d.Impact.Causes {
			fmt.Fprintf(b, "    %s\n", clean(cause))
		}
		fmt.Fprintf(b, "    %s\n", clean(d.Impact.String()))
	}
}

// textFields writes the fields that an update changes and those that a finding names,
// each with its marks.
func (c *Checked) textFields(b *strings.Builder, found []finding, p painter) {
	about := c.marks(found)
	var lines []string
	for _, f := range c.fields() {
		changes := f.differs() && c.Change.Operation() == state.Update
		if !changes && len(about[f.Field]) == 0 {
			continue
		}
		mark := ""
		if by := about[f.Field]; len(by) > 0 {
			mark = p.paint(yellow, "  <- "+clean(strings.Join(by, ", ")))
		}
		line := func(color, sign, value, mark string) {
			text := sign + " " + clean(f.Field) + ": " + clean(value)
			if color != "" {
				text = p.paint(color, text)
			}
			lines = append(lines, "    "+text+mark)
		}
		before, after := shorten(compact(f.Before), compact(f.After))
		switch {
		case f.After == nil:
			line(red, "-", before, mark)
		case f.Before == nil:
			line(green, "+", after, mark)
		case !changes:
			line("", " ", cut(compact(f.After), 0), mark)
		default:
			line(red, "-", before, "")
			line(green, "+", after, mark)
		}
	}
	if len(lines) == 0 {
		return
	}
	if c.Source.File != "" {
		var first finding // The zero value selects the line of the change.
		if len(found) > 0 {
			first = found[0]
		}
		fmt.Fprintf(b, "  %s:%d\n", clean(c.Source.File), c.line(&first))
	}
	for _, line := range lines {
		fmt.Fprintln(b, line)
	}
}

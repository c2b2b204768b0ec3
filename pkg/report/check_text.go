package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/validate"
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
	if c.Set != nil {
		c.textSet(&b)
	}
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
	for _, note := range change.Notes {
		fmt.Fprintf(b, "  Note: %s\n", clean(note))
	}
	if c.Explain {
		c.textCauses(b, d)
	}
}

// textCauses writes the causes of what a decision says.
func (c *Check) textCauses(b *strings.Builder, d *validate.Decision) {
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

// textSet writes the decision on all changes together, and the order of the changes.
func (c *Check) textSet(b *strings.Builder) {
	p, d := painter(c.Color), c.Set.Together
	color, verdict := green, "allowed"
	switch {
	case d.Allowed:
	case d.Evaluated():
		color, verdict = red, "denied"
	default:
		color, verdict = red, "could not be evaluated"
	}
	fmt.Fprintf(b, "all changes together: %s\n", p.paint(color, verdict))
	for line := range strings.SplitSeq(d.Message(), "\n") {
		if line != "" {
			fmt.Fprintf(b, "  %s\n", clean(line))
		}
	}
	for _, warning := range c.Set.warnings() {
		fmt.Fprintf(b, "  %s %s\n", p.paint(yellow, "Warning:"), clean(warning))
	}
	if line := d.Notice(); line != "" {
		fmt.Fprintf(b, "  %s\n", clean(line))
	}
	for _, note := range c.Set.Notes {
		fmt.Fprintf(b, "  Note: %s\n", clean(note))
	}
	if k := c.Set.Knot; k != nil {
		c.textKnot(b, k)
		return
	}
	switch first := c.Set.First; {
	case !d.Allowed:
	case first == nil:
		b.WriteString("in the given order, in which \"kubectl apply\" sends them, each change is allowed:\n")
	default:
		fmt.Fprintf(b, "in the given order, in which \"kubectl apply\" sends them: %s\n", p.paint(red, "denied at "+first.what()))
		c.textDenial(b, first)
		b.WriteString("in this order, each change is allowed:\n")
	}
}

// textKnot writes why there is no order.
func (c *Check) textKnot(b *strings.Builder, k *Knot) {
	p := painter(c.Color)
	if k.Incomplete {
		b.WriteString(p.paint(red, "no order was found in which each change is allowed") + "; the search ended before it tried all orders\n")
	} else {
		b.WriteString(p.paint(red, "there is no order in which each change is allowed") + "\n")
	}
	if len(k.After) > 0 {
		names := make([]string, len(k.After))
		for i := range k.After {
			names[i] = k.After[i].what()
		}
		fmt.Fprintf(b, "after %s, each of these is denied:\n", strings.Join(names, ", "))
	} else {
		b.WriteString("each of these is denied before the others:\n")
	}
	for i := range k.Changes {
		fmt.Fprintf(b, "  %s\n", k.Changes[i].what())
		c.textDenial(b, &k.Changes[i])
	}
}

// textDenial writes why a change is denied.
func (c *Check) textDenial(b *strings.Builder, change *Checked) {
	for line := range strings.SplitSeq(change.Decision.Message(), "\n") {
		if line != "" {
			fmt.Fprintf(b, "    %s\n", clean(line))
		}
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

package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/violation"
)

// painter colours text for a terminal, or leaves it as it is.
type painter bool

// The colours of a terminal that mean something in a change.
const (
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

func writeText(w io.Writer, c *Check) error {
	var b strings.Builder
	for i := range c.Changes {
		textChange(&b, &c.Changes[i], painter(c.Color))
	}
	if n := len(c.Changes); n > 1 {
		fmt.Fprintf(&b, "%d changes: %d allowed, %d denied\n", n, n-c.denied(), c.denied())
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func textChange(b *strings.Builder, c *Checked, p painter) {
	color := green
	if !c.Decision.Allowed {
		color = red
	}
	fmt.Fprintf(b, "%s: %s\n", c.what(), p.paint(color, c.verdict()))
	textFields(b, c, p)
	if text := c.Decision.Message(); text != "" {
		for line := range strings.SplitSeq(text, "\n") {
			fmt.Fprintf(b, "  %s\n", clean(line))
		}
	}
	for _, warning := range c.Decision.Warnings {
		fmt.Fprintf(b, "  %s %s\n", p.paint(yellow, "Warning:"), clean(warning))
	}
	for _, f := range c.findings() {
		if f.action == violation.Audit {
			fmt.Fprintf(b, "  Audit: [%s] %s\n", clean(f.rule), clean(f.message))
		}
	}
	for i, e := range c.Explanations {
		textExplanation(b, &c.Decision.Violations[i], &e)
	}
	if effects := c.Decision.Effects; len(c.Explanations) > 0 && len(effects) > 0 {
		b.WriteString("  All that the change does:\n")
		for _, effect := range effects {
			fmt.Fprintf(b, "    %s\n", clean(effect))
		}
	}
}

// textFields shows the fields that an update changes, and those of any change
// that a warning names; behind each, what is about it.
func textFields(b *strings.Builder, c *Checked, p painter) {
	found, changed := c.findings(), changedFields(c.Change)
	about := marks(found, changed)
	mark := func(field string) string {
		if len(about[field]) == 0 {
			return ""
		}
		return p.paint(yellow, "  <- "+clean(strings.Join(about[field], ", ")))
	}
	shown := map[string]bool{}
	var lines []string
	add := func(color, sign, field, value, mark string) {
		lines = append(lines, "    "+p.paint(color, sign+" "+clean(field)+": "+clean(value))+mark)
	}
	for _, f := range changed {
		shown[f.Field] = true
		before, after := shorten(compact(f.Before), compact(f.After))
		switch {
		case f.After == nil:
			add(red, "-", f.Field, before, mark(f.Field))
		case f.Before == nil:
			add(green, "+", f.Field, after, mark(f.Field))
		default:
			add(red, "-", f.Field, before, "")
			add(green, "+", f.Field, after, mark(f.Field))
		}
	}
	if c.Change.After != nil {
		values := fieldsOf(c.Change.After)
		for _, f := range found {
			if v, there := values[f.field]; there && !shown[f.field] {
				shown[f.field] = true
				lines = append(lines, fmt.Sprintf("      %s: %s%s", clean(f.field), clean(cut(compact(v), 0)), mark(f.field)))
			}
		}
	}
	if len(lines) == 0 {
		return
	}
	if place := c.where(found, changed); place != "" {
		fmt.Fprintf(b, "  %s\n", place)
	}
	for _, line := range lines {
		fmt.Fprintln(b, line)
	}
}

// where gives "file:line" of the first finding, or of the object; "" where it is
// in no file.
func (c *Checked) where(found []finding, changed []changedField) string {
	if c.Source.File == "" {
		return ""
	}
	var first finding
	if len(found) > 0 {
		first = found[0]
	}
	return fmt.Sprintf("%s:%d", clean(c.Source.File), c.place(first, changed))
}

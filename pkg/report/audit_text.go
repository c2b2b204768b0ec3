package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/bgpguard/bgpguard/pkg/audit"
)

// severityColors are the terminal colors of severities.
var severityColors = map[string]string{"critical": red, "high": red, "medium": yellow}

func writeAuditText(w io.Writer, a *Audit) error {
	var b strings.Builder
	if len(a.Clusters)+len(a.Unread) > 1 {
		t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, strings.ToUpper(strings.Join(auditColumns(), "\t")))
		for _, row := range auditTotals(a.Report) {
			fmt.Fprintln(t, strings.Join(row, "\t"))
		}
		_ = t.Flush() // A strings.Builder returns no errors.
		b.WriteString("\n")
	}
	for _, u := range a.Unread {
		fmt.Fprintf(&b, "cluster %s: %s %s\n\n", clean(u.Cluster), painter(a.Color).paint(red, "not read:"), clean(u.Message))
	}
	for i, one := range a.Clusters {
		if i > 0 {
			b.WriteString("\n")
		}
		a.textOne(&b, one)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (a *Audit) textOne(b *strings.Builder, one *audit.Audit) {
	p := painter(a.Color)
	color := green
	if len(one.Violations) > 0 || one.Judging() == 0 {
		color = yellow
		if c := severityColors[one.Worst()]; c != "" {
			color = c
		}
	}
	if len(one.Failures) > 0 {
		color = red
	}
	fmt.Fprintf(b, "%s: %s\n", auditOf(one), p.paint(color, auditVerdict(one)))
	for _, line := range []string{comparedText(one), auditFigures(one)} {
		if line != "" {
			fmt.Fprintf(b, "  %s\n", line)
		}
	}
	a.textChanges(b, one)
	if h := bgpHealth(one); h != "" {
		fmt.Fprintf(b, "  BGP: %s\n", h)
	}
	for _, note := range one.Notes {
		fmt.Fprintf(b, "  %s %s\n", p.paint(yellow, "Note:"), clean(note))
	}
	for _, f := range one.Failures {
		fmt.Fprintf(b, "  %s [%s] %s\n", p.paint(red, "Error:"), clean(f.Policy), clean(f.Message))
	}
	for i := range one.Violations {
		v := &one.Violations[i]
		fmt.Fprintf(b, "\n%s [%s] %s\n", p.paint(severityColors[v.Severity], v.Severity+":"), clean(v.Policy), clean(v.Text()))
		if len(v.Objects) > 0 {
			fmt.Fprintf(b, "  about %s", objects(&v.Violation))
			if s, line := a.source(&v.Violation); s.File != "" {
				fmt.Fprintf(b, " (%s:%d)", clean(s.File), line)
			}
			b.WriteString("\n")
		}
		if line := nodesText(v.Message, v.Nodes, a.All); line != "" {
			fmt.Fprintf(b, "  %s\n", line)
		}
		if h := history(one, v); h != "" {
			fmt.Fprintf(b, "  %s\n", h)
		}
	}
	if len(one.Resolved) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s\n", p.paint(green, Count(len(one.Resolved), "violation is resolved", "violations are resolved")+":"))
	for i := range one.Resolved {
		v := &one.Resolved[i]
		fmt.Fprintf(b, "  [%s] %s%s\n", clean(v.Policy), clean(v.ID), gone(v))
	}
}

// textChanges writes what the change is, its decision, and what it does.
func (a *Audit) textChanges(b *strings.Builder, one *audit.Audit) {
	i := slices.Index(a.Clusters, one)
	if one.Before == nil || one.Topology == nil || i < 0 || i >= len(a.Changes) {
		return
	}
	var p printer
	p.changes(a.Changes[i], auditTopology(one), a.Color)
	for line := range strings.Lines(strings.TrimPrefix(p.String(), "\n")) {
		b.WriteString("  " + line)
	}
}

// gone returns the objects and the cause of a resolved violation, as the last part of a
// line.
func gone(v *audit.Violation) string {
	out := ""
	if len(v.Objects) > 0 {
		out += ", about " + objects(&v.Violation)
	}
	if v.Cause != "" {
		out += ": " + clean(v.Cause)
	}
	return out
}

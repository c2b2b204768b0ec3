package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/plan"
)

// Plan is the result of "bgpguard plan --to".
type Plan struct {
	*plan.Plan

	Color bool
}

// PlanStatus is the result of "bgpguard plan verify".
type PlanStatus struct {
	*plan.Verification

	Color bool
}

// planFigures returns the rows of a table: a name, the value before and after.
func planFigures(p *plan.Plan) [][]string {
	row := func(name string, of func(*plan.Figures) string) []string {
		return []string{name, of(&p.Before), of(&p.After)}
	}
	return [][]string{
		row("sessions between nodes", func(f *plan.Figures) string { return number(f.Sessions) }),
		row("sessions to external peers", func(f *plan.Figures) string { return number(f.External) }),
		row("most on a node, one family", func(f *plan.Figures) string {
			if f.Most == 0 {
				return "0"
			}
			return number(f.Most) + " (" + f.MostNode + ")"
		}),
		row("isolated nodes", func(f *plan.Figures) string {
			if !f.NeedsBGP {
				return "pod traffic needs no BGP"
			}
			return number(f.Isolated)
		}),
	}
}

// subject names the cluster of a plan.
func subject(cluster string) string {
	if cluster == "" {
		return "the files of -f"
	}
	return "cluster " + cluster
}

// lines writes a list with a heading, nothing for an empty list.
func lines(b *strings.Builder, heading string, list []string, bullet string) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s\n", heading)
	for _, line := range list {
		fmt.Fprintf(b, "%s%s\n", bullet, clean(line))
	}
}

func writePlanText(w io.Writer, p *Plan) error {
	var b strings.Builder
	paint := painter(p.Color)
	fmt.Fprintf(&b, "%s: %s, %s, allowed by the policies one after the other\n", clean(p.Title), clean(subject(p.Cluster)), Count(len(p.Steps), "step"))
	rows := planFigures(p.Plan)
	for _, r := range rows {
		fmt.Fprintf(&b, "  %-27s %s -> %s\n", r[0], clean(r[1]), clean(r[2]))
	}
	for _, r := range p.Reflectors {
		zone := ""
		if r.Zone != "" {
			zone = " in zone " + clean(r.Zone)
		}
		fmt.Fprintf(&b, "  route reflector %s%s, cluster ID %s, %s\n", clean(r.Node), zone, r.ClusterID, Count(r.Sessions, "session"))
	}
	lines(&b, "Choices:", p.Choices, "  - ")
	for i := range p.Steps {
		s := &p.Steps[i]
		fmt.Fprintf(&b, "\n%s %s\n", paint.paint(bold, fmt.Sprintf("%d.", s.Number)), clean(s.Title))
		fmt.Fprintf(&b, "   %s\n", clean(s.Why))
		for _, c := range s.Commands {
			fmt.Fprintf(&b, "     %s\n", clean(c))
		}
		if s.Effect != "" {
			fmt.Fprintf(&b, "   effect: %s\n", clean(s.Effect))
		}
		for _, warning := range s.Warnings {
			fmt.Fprintf(&b, "   %s %s\n", paint.paint(yellow, "warning:"), clean(warning))
		}
		fmt.Fprintf(&b, "   wait: %s\n", clean(s.Wait.Text))
		if s.Wait.Sessions > 0 {
			fmt.Fprintf(&b, "         %s\n", waitSessions(s))
		}
		for _, c := range s.Back {
			fmt.Fprintf(&b, "   back: %s\n", clean(c))
		}
		if s.BackDenied != "" {
			fmt.Fprintf(&b, "   %s\n", paint.paint(yellow, "the policies deny going back: ")+clean(s.BackDenied))
		}
	}
	lines(&b, "Notes:", p.Notes, "  - ")
	_, err := io.WriteString(w, b.String())
	return err
}

func waitSessions(s *plan.Step) string {
	return fmt.Sprintf("%s on %s", Count(s.Wait.Sessions, "half-session"), nodes(len(s.Wait.Nodes), s.Wait.Nodes[:min(len(s.Wait.Nodes), 3)]))
}

func writePlanStatusText(w io.Writer, v *PlanStatus) error {
	var b strings.Builder
	paint := painter(v.Color)
	fmt.Fprintf(&b, "%s: %s, %s of %s made\n", clean(v.Title), clean(subject(v.Cluster)), number(v.Made), Count(len(v.Steps), "step"))
	colors := map[plan.Progress]string{plan.Done: green, plan.Partly: yellow, plan.Drifted: red}
	for _, s := range v.Steps {
		status := fmt.Sprintf("%-7s", string(s.Status))
		if c := colors[s.Status]; c != "" {
			status = paint.paint(c, status)
		}
		fmt.Fprintf(&b, "  %s %d. %s\n", status, s.Number, clean(s.Title))
	}
	fmt.Fprintf(&b, "\nwait: %s: %s\n", v.Wait, clean(v.WaitText))
	for _, d := range v.WaitDetails {
		fmt.Fprintf(&b, "  - %s\n", clean(d))
	}
	lines(&b, "Drift from the plan:", v.Drift, "  - ")
	switch {
	case v.Next == 0:
		b.WriteString("\nAll steps are made.\n")
	case v.NextDenied != "":
		fmt.Fprintf(&b, "\nStep %d is denied in the present state:\n%s\n", v.Next, v.NextDenied)
	case len(v.NextCommands) == 0:
		fmt.Fprintf(&b, "\nStep %d must wait.\n", v.Next)
	default:
		lines(&b, fmt.Sprintf("Next, step %d:", v.Next), v.NextCommands, "  ")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

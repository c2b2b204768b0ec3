package report

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/bgpguard/bgpguard/pkg/plan"
)

func writePlanMarkdown(w io.Writer, p *Plan) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n", markdown(p.Title))
	fmt.Fprintf(&b, "A plan of %s for %s, made %s.", Count(len(p.Steps), "step"), markdown(subject(p.Cluster)), p.Created.Format(time.RFC3339))
	b.WriteString(" The policies of the cluster allow each step after those before it. bgpguard changes nothing itself.\n")
	b.WriteString("\nMake the steps in order, in this directory. After each step, wait as it says.\n" +
		"`bgpguard plan verify .` says at which step the cluster is. `bgpguard policy test " + plan.ScenarioFile + "` replays the plan.\n")
	markdownRow(&b, []string{"", "before", "after"}, true)
	for _, row := range planFigures(p.Plan) {
		markdownRow(&b, row, false)
	}
	if len(p.Reflectors) > 0 {
		markdownRow(&b, []string{"route reflector", "zone", "cluster ID", "sessions"}, true)
		for _, r := range p.Reflectors {
			markdownRow(&b, []string{r.Node, r.Zone, r.ClusterID, number(r.Sessions)}, false)
		}
	}
	markdownItems(&b, "Choices", p.Choices)
	markdownItems(&b, "Notes", p.Notes)
	for i := range p.Steps {
		markdownStep(&b, &p.Steps[i])
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func markdownStep(b *strings.Builder, s *plan.Step) {
	fmt.Fprintf(b, "\n## %d. %s\n\n%s\n", s.Number, markdown(s.Title), markdown(s.Why))
	commands(b, s.Commands)
	if s.Effect != "" {
		fmt.Fprintf(b, "\n**Effect:** %s\n", markdown(s.Effect))
	}
	if len(s.Warnings) > 0 {
		b.WriteString("\nkubectl shows these warnings:\n\n")
		for _, warning := range s.Warnings {
			fmt.Fprintf(b, "- %s\n", markdown(warning))
		}
	}
	fmt.Fprintf(b, "\n**Wait:** %s", markdown(s.Wait.Text))
	if s.Wait.Sessions > 0 {
		fmt.Fprintf(b, " These are %s.", markdown(waitSessions(s)))
	}
	b.WriteString("\n")
	commands(b, s.Wait.Commands)
	b.WriteString("\n**Back:**\n")
	commands(b, s.Back)
	if s.BackDenied != "" {
		fmt.Fprintf(b, "\nThe policies deny going back. Change the policy first, or have its user exempt:\n\n")
		for line := range strings.SplitSeq(s.BackDenied, "\n") {
			fmt.Fprintf(b, "- %s\n", markdown(line))
		}
	}
}

// commands writes a block of shell commands, nothing for none.
func commands(b *strings.Builder, list []string) {
	if len(list) == 0 {
		return
	}
	b.WriteString("\n```sh\n")
	for _, c := range list {
		b.WriteString(strings.ReplaceAll(clean(c), "```", "'''") + "\n")
	}
	b.WriteString("```\n")
}

func markdownItems(b *strings.Builder, heading string, list []string) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintf(b, "\n## %s\n\n", heading)
	for _, line := range list {
		fmt.Fprintf(b, "- %s\n", markdown(line))
	}
}

func writePlanStatusMarkdown(w io.Writer, v *PlanStatus) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n%s: %s of %s made.\n", markdown(v.Title), markdown(subject(v.Cluster)), number(v.Made), Count(len(v.Steps), "step"))
	markdownRow(&b, []string{"step", "", "status"}, true)
	for _, s := range v.Steps {
		markdownRow(&b, []string{number(s.Number), s.Title, string(s.Status)}, false)
	}
	fmt.Fprintf(&b, "\n**Wait:** %s: %s\n\n", v.Wait, markdown(v.WaitText))
	for _, d := range v.WaitDetails {
		fmt.Fprintf(&b, "- %s\n", markdown(d))
	}
	markdownItems(&b, "Drift from the plan", v.Drift)
	switch {
	case v.Next == 0:
		b.WriteString("\nAll steps are made.\n")
	case v.NextDenied != "":
		fmt.Fprintf(&b, "\nStep %d is denied in the present state:\n\n", v.Next)
		for line := range strings.SplitSeq(v.NextDenied, "\n") {
			fmt.Fprintf(&b, "- %s\n", markdown(line))
		}
	case len(v.NextCommands) == 0:
		fmt.Fprintf(&b, "\nStep %d must wait.\n", v.Next)
	default:
		fmt.Fprintf(&b, "\nNext, step %d:\n", v.Next)
		commands(&b, v.NextCommands)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

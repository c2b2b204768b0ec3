package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/plan"
)

// writeDesignsMarkdown writes the same as writeDesignsText for issues and wikis.
func writeDesignsMarkdown(w io.Writer, c *plan.Comparison) error {
	var b strings.Builder
	b.WriteString("# Designs of BGP\n")
	for _, line := range designHeadings(c) {
		fmt.Fprintf(&b, "\n%s\n", markdown(line))
	}
	fmt.Fprintf(&b, "\n**Recommendation: %s**\n\n", markdown(c.Recommendation.Summary))
	for _, reason := range c.Recommendation.Reasons {
		fmt.Fprintf(&b, "- %s\n", markdown(reason))
	}
	if len(c.Recommendation.Others) > 0 {
		b.WriteString("\nThe other designs:\n\n")
		for _, other := range c.Recommendation.Others {
			fmt.Fprintf(&b, "- %s\n", markdown(other))
		}
	}
	for i, row := range designTable(c) {
		markdownRow(&b, row, i == 0)
	}
	for _, line := range designLegend(c) {
		fmt.Fprintf(&b, "\n%s\n", markdown(line))
	}
	for _, d := range c.Designs {
		fmt.Fprintf(&b, "\n## %s\n\n", markdown(d.Title))
		if d.Possible {
			fmt.Fprintf(&b, "- objects that change: %s\n", markdown(objectsText(d)))
			fmt.Fprintf(&b, "- interruption: %s\n", markdown(d.Interruption.Text))
			if d.Changes > 0 {
				fmt.Fprintf(&b, "- steps: %s\n", codeSpan("bgpguard plan --to "+string(d.Goal)))
			}
		}
		b.WriteString("\nRequires:\n\n")
		for _, r := range d.Prerequisites {
			fmt.Fprintf(&b, "- **%s**: %s\n", markdown(string(r.Status)), markdown(r.Text))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

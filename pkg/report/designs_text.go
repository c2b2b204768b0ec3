package report

import (
	"fmt"
	"io"

	"github.com/bgpguard/bgpguard/pkg/plan"
	"github.com/bgpguard/bgpguard/pkg/text"
)

// designWidth is the number of columns of the comparison.
const designWidth = 100

// writeDesignsText writes the recommendation, the table, and then each design.
func writeDesignsText(w io.Writer, c *plan.Comparison) error {
	p := &printer{}
	for _, line := range designHeadings(c) {
		p.wrapped("", line)
	}
	p.line(0)
	p.wrapped("", "Recommendation: "+c.Recommendation.Summary)
	for _, reason := range c.Recommendation.Reasons {
		p.wrapped("  - ", reason)
	}
	if len(c.Recommendation.Others) > 0 {
		p.wrapped("", "The other designs:")
		for _, other := range c.Recommendation.Others {
			p.wrapped("  - ", other)
		}
	}
	p.line(0)
	p.table(0, designTable(c))
	for _, line := range designLegend(c) {
		p.wrapped("", line)
	}
	for _, d := range c.Designs {
		p.line(0)
		p.design(d)
	}
	_, err := io.WriteString(w, p.String())
	return err
}

func (p *printer) design(d *plan.Option) {
	p.wrapped("", fmt.Sprintf("%s (%s)", d.Title, d.Goal))
	if d.Possible {
		p.wrapped("  ", "objects that change: "+objectsText(d))
		p.wrapped("  ", "interruption: "+d.Interruption.Text)
		if d.Changes > 0 {
			p.wrapped("  ", "steps: bgpguard plan --to "+string(d.Goal))
		}
	}
	p.line(1, "requires:")
	for _, r := range d.Prerequisites {
		p.wrapped(fmt.Sprintf("    %-9s", r.Status), r.Text)
	}
}

// wrapped writes s in lines of at most designWidth columns, the first after prefix and the
// others indented as far.
func (p *printer) wrapped(prefix, s string) {
	for i, line := range text.Wrap(clean(s), designWidth-len(prefix)) {
		if i > 0 {
			prefix = fmt.Sprintf("%*s", len(prefix), "")
		}
		p.line(0, prefix, line)
	}
}

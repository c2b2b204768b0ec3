package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/plan"
)

// planPage is the data of plan.html: a plan, or the comparison of designs.
type planPage struct {
	shell

	Verdict verdict
	Tiles   []tile
	Figure  *figure // nil without a picture
	Tables  []cells
	Lists   []titledList
	Steps   []stepPart
}

type titledList struct {
	Title string
	Items []string
}

// stepPart is a step of a plan, or a design.
type stepPart struct {
	ID, Title, Why string
	Badges         []badge
	Facts          []fact
	Warnings       []string
	Commands, Back []string
	Requires       []string
}

// writePlanHTML writes a plan as one page without external resources.
func writePlanHTML(w io.Writer, p *Plan) error {
	title := "BGP plan"
	if p.Cluster != "" {
		title += " of " + clean(p.Cluster)
	}
	subtitle := moment(p.Created) + " · bgpguard " + clean(p.Version)
	page := planPage{
		shell: newShell(title, subtitle, `Run "bgpguard plan --to `+clean(p.Target)+` -o json" for the same data in JSON, and with a directory for the files of the steps.`),
		Verdict: verdict{Tone: good, Icon: good, Text: clean(p.Title) + ": " + Count(len(p.Steps), "step"), More: []string{
			"The policies of the cluster allow the steps one after the other.",
		}},
	}
	if len(p.Steps) == 0 {
		page.Verdict.Text, page.Verdict.More = clean(p.Title)+": nothing to do", nil
	}
	figures := cells{Title: "Before and after the plan", Header: heads("Figure", "Before", "After")}
	for _, row := range planFigures(p.Plan) {
		figures.Rows = append(figures.Rows, textRow(row...))
	}
	steps := cells{Title: "Steps", Header: append(heads("Step", "What"), columnHead{Text: "What it does"}, columnHead{Text: "Wait"})}
	worst := 0
	for i := range p.Steps {
		s := &p.Steps[i]
		part := newStepPart(s)
		page.Steps = append(page.Steps, part)
		steps.Rows = append(steps.Rows, cellRow{Cells: []cell{{Text: number(s.Number), Link: "#" + part.ID}, {Text: clean(s.Title)}, {Text: clean(s.Effect)}, {Text: clean(s.Wait.Text)}}})
		if s.Impact != nil {
			worst = max(worst, s.Impact.Interruption.AtWorst)
		}
	}
	page.Tiles = []tile{
		{"Steps", number(len(p.Steps)), "each allowed by the policies"},
		{"Sessions between nodes", number(p.After.Sessions), number(p.Before.Sessions) + " before"},
		{"Most on one node", number(p.After.Most), number(p.Before.Most) + " before, in one address family"},
		{"Without routes", number(worst) + " s", "worst case of a step"},
	}
	if p.Start != nil && p.End != nil {
		figure, err := newFigure(&Topology{Change: p.End.GraphChange(p.Start)}, "c1")
		if err != nil {
			return err
		}
		page.Figure = figure
	}
	page.Tables = []cells{steps, figures}
	if len(p.Reflectors) > 0 {
		c := cells{Title: "Route reflectors", Sortable: true, Header: append(heads("Node", "Zone", "Cluster ID"), numberHead("Sessions"))}
		for _, r := range p.Reflectors {
			c.Rows = append(c.Rows, cellRow{Cells: []cell{{Text: clean(r.Node)}, {Text: zoneText(r.Zone)}, {Text: clean(r.ClusterID)}, numberCell(r.Sessions)}})
		}
		c.cut()
		page.Tables = append(page.Tables, c)
	}
	page.Lists = lists(titledList{"Choices", cleaned(p.Choices)}, titledList{"Notes", cleaned(p.Notes)})
	return execute(w, "plan.html", page)
}

func newStepPart(s *plan.Step) stepPart {
	part := stepPart{
		ID: fmt.Sprintf("step-%d", s.Number), Title: fmt.Sprintf("%d. %s", s.Number, clean(s.Title)), Why: clean(s.Why),
		Warnings: cleaned(s.Warnings), Commands: cleaned(s.Commands), Back: cleaned(s.Back),
	}
	if s.Effect != "" {
		part.Facts = append(part.Facts, fact{"What it does", clean(s.Effect)})
	}
	wait := clean(s.Wait.Text)
	if s.Wait.Sessions > 0 {
		wait += " (" + clean(waitSessions(s)) + ")"
	}
	part.Facts = append(part.Facts, fact{"Wait", wait})
	if s.File != "" {
		part.Facts = append(part.Facts, fact{"File", clean(s.File)})
	}
	if len(s.Warnings) > 0 {
		part.Badges = append(part.Badges, badge{odd, odd, Count(len(s.Warnings), "warning")})
	}
	if s.BackDenied != "" {
		part.Facts = append(part.Facts, fact{"The policies deny going back", clean(s.BackDenied)})
	}
	return part
}

// writeDesignsHTML writes the comparison of designs as one page without external
// resources.
func writeDesignsHTML(w io.Writer, c *plan.Comparison) error {
	title := "BGP designs"
	if c.Cluster != "" {
		title += " for " + clean(c.Cluster)
	}
	calico := "unknown Calico version"
	if c.CalicoVersion != "" {
		calico = "Calico " + clean(c.CalicoVersion)
	}
	page := planPage{
		shell:   newShell(title, Count(c.Nodes, "node")+" · "+calico, `Run "bgpguard plan -o json" for the same data in JSON.`),
		Verdict: verdict{Tone: "low", Icon: "low", Text: capital(clean(c.Recommendation.Summary)), More: cleaned(c.Recommendation.Reasons)},
	}
	page.Tiles = []tile{
		{"Nodes", number(c.Nodes), Count(c.Zones, "zone")},
		{"Sessions now", number(c.Now.Sessions), "between nodes"},
		{"Fullest node now", number(c.Now.Fullest), strings.TrimPrefix(clean(c.Now.FullestNode)+", in one address family", ", ")},
		{"Isolated nodes now", number(c.Now.Isolated), ""},
	}
	rows := designTable(c)
	table := cells{Class: "compared", Title: "Designs", Header: heads(rows[0]...)}
	table.Header[0].Text = "Figure"
	for _, row := range rows[1:] {
		table.Rows = append(table.Rows, textRow(row...))
	}
	page.Tables = []cells{table}
	for _, d := range c.Designs {
		part := stepPart{ID: "design-" + string(d.Goal), Title: clean(d.Title)}
		if d.Goal == c.Recommendation.Goal {
			part.Badges = append(part.Badges, badge{good, good, "recommended"})
		}
		if !d.Possible {
			part.Badges = append(part.Badges, badge{unsure, unsure, "not possible"})
		} else {
			part.Facts = append(part.Facts, fact{"Objects that change", clean(objectsText(d))}, fact{"Interruption", clean(d.Interruption.Text)})
			if d.Changes > 0 {
				part.Commands = []string{"bgpguard plan --to " + string(d.Goal)}
			}
		}
		for _, r := range d.Prerequisites {
			part.Requires = append(part.Requires, clean(string(r.Status)+": "+r.Text))
		}
		page.Steps = append(page.Steps, part)
	}
	page.Lists = lists(titledList{"How to read the table", cleaned(designLegend(c))}, titledList{"Why not the others", cleaned(c.Recommendation.Others)})
	return execute(w, "plan.html", page)
}

// textRow is a row of texts.
func textRow(texts ...string) cellRow {
	var row cellRow
	for _, t := range texts {
		row.Cells = append(row.Cells, cell{Text: clean(t)})
	}
	return row
}

// cleaned returns the texts without control characters.
func cleaned(list []string) []string {
	var out []string
	for _, s := range list {
		out = append(out, strings.TrimSpace(clean(s)))
	}
	return out
}

// lists returns those that are not empty.
func lists(all ...titledList) []titledList {
	var out []titledList
	for _, l := range all {
		if len(l.Items) > 0 {
			out = append(out, l)
		}
	}
	return out
}

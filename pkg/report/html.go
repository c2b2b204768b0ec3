package report

import (
	"embed"
	"html/template"
	"iter"

	"github.com/bgpguard/bgpguard/pkg/report/picture"
	"github.com/bgpguard/bgpguard/pkg/topology"
)

// rowsShown is the number of rows of a table that a page shows before it counts the
// rest.
const rowsShown = 50

// The pages and their shared parts. The style is not a template.
//
//go:embed *.html
var pages embed.FS

//go:embed page.css
var pageStyle string

var pageTemplates = template.Must(template.ParseFS(pages, "*.html"))

// figure is a picture with a description.
type figure struct {
	Title, Text string
	SVG         template.HTML
}

type routes struct {
	Title    string
	Findings []string
}

// table is the first few rows of a list of Total; Rest counts the others.
type table struct {
	Title  string
	Total  string
	Header []string
	Rows   [][]string
	Rest   string
}

// factsTable returns facts as a table.
func factsTable(title string, header []string, facts []fact) table {
	t := table{Title: title, Header: header}
	for _, f := range facts {
		t.Rows = append(t.Rows, []string{f.Name, f.Value})
	}
	return t
}

// comparisonTable compares the states before and after the change of t; nil if there
// is no change.
func comparisonTable(t *Topology) *table {
	if t.Before == nil {
		return nil
	}
	out := &table{Title: "Before and after the change", Header: []string{"Figure", "Before", "After"}}
	for _, r := range comparison(t.Before, t) {
		out.Rows = append(out.Rows, []string{r.Name, r.Before, r.After})
	}
	return out
}

func tableOf[T any](title string, header []string, seq iter.Seq[T], total int, cells func(T) []string) table {
	list, total := first(seq, rowsShown, total)
	out := table{Title: title, Total: number(total), Header: header}
	for _, v := range list {
		row := cells(v)
		for i, cell := range row {
			row[i] = clean(cell)
		}
		out.Rows = append(out.Rows, row)
	}
	if rest := total - len(list); rest > 0 {
		out.Rest = "and " + number(rest) + " more"
	}
	return out
}

// figures draws the topology before the change, if there is one, and the topology. of
// makes the names of pictures unique on a page with several topologies.
func figures(t *Topology, of string) ([]figure, error) {
	if t.Before == nil {
		f, err := newFigure("Topology", of, t.Graph)
		return []figure{f}, err
	}
	before, err := newFigure("Before the change", of, t.Before.Graph)
	if err != nil {
		return nil, err
	}
	after, err := newFigure("After the change", of, t.Graph)
	return []figure{before, after}, err
}

func newFigure(title, of string, g *topology.Graph) (figure, error) {
	p := picture.New(g)
	svg, err := p.Fold().SVG(title + of)
	return figure{title, p.Text(), template.HTML(svg)}, err //nolint:gosec // D2 escapes the text in what it draws.
}

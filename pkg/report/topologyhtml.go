package report

import (
	"bytes"
	_ "embed" // the page
	"html/template"
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology"
)

// rowsShown is how many rows of a table the page shows before it counts the rest.
const rowsShown = 50

//go:embed topology.html
var topologyPage string

var topologyTemplate = template.Must(template.New("topology").Parse(topologyPage))

// page is what the template shows.
type page struct {
	Figures     []figure
	Facts       []fact
	Comparison  []row // where there is a change
	Routes      []routes
	Convergence []fact
	Tables      []table
}

type figure struct {
	Title, Text string
	SVG         template.HTML
}

type routes struct {
	Title    string
	Findings []string
}

// table is the first few rows of a list; Rest tells of those left out.
type table struct {
	Title  string
	Header []string
	Rows   [][]string
	Rest   string
}

// writeTopologyHTML writes t as one page that loads nothing and runs nothing.
func writeTopologyHTML(w io.Writer, t *Topology) error {
	figures, err := figures(t)
	if err != nil {
		return err
	}
	p := page{Figures: figures, Facts: facts(t.Summary), Convergence: delays(t.Summary.Convergence)}
	for _, f := range calico.Families {
		if findings := routeFindings(t, f); len(findings) > 0 {
			p.Routes = append(p.Routes, routes{f.String() + assumption(t, f), findings})
		}
	}
	if t.Before != nil {
		p.Comparison = comparison(t.Before, t)
		p.Tables = append(p.Tables, differencesTable(t))
	}
	broken, ambiguous := t.totals()
	p.Tables = append(p.Tables,
		tableOf("Half-sessions on which no session can come up", []string{"Node", "Family", "Protocol", "Reason", "Message", "From"}, t.Broken, broken,
			func(b topology.BrokenSession) []string {
				return []string{b.Node, b.Family, b.Protocol, string(b.Reason), b.Message, names(b.Sources, len(b.Sources))}
			}),
		tableOf("Half-sessions that depend on the order in which Calico visits BGPPeers", []string{"Node", "Family", "Peer", "BGPPeers", "Differ in"}, t.Ambiguous, ambiguous,
			func(a topology.AmbiguousSession) []string {
				return []string{a.Node, a.Family, a.PeerIP, names(a.Sources, len(a.Sources)), names(a.Differs, len(a.Differs))}
			}),
		tableOf("Nodes whose BIRD refuses its configuration", []string{"Node", "Family", "Reasons"}, slices.Values(t.Frozen), len(t.Frozen),
			func(n topology.FrozenNode) []string { return []string{n.Node, n.Family, strings.Join(n.Reasons, "; ")} }),
		tableOf("What Calico ignores or refuses in objects", []string{"Kind", "Name", "Message"}, slices.Values(t.Ignored), len(t.Ignored),
			func(i topology.Ignored) []string { return []string{i.Kind, i.Name, i.Message} }),
		singlePoints(t),
		shapes(newPicture(t.Graph)),
		links(newPicture(t.Graph)),
	)
	var b bytes.Buffer
	if err := topologyTemplate.Execute(&b, p); err != nil {
		return err
	}
	_, err = w.Write(b.Bytes())
	return err
}

// figures draws the topology, and before it that before the change.
func figures(t *Topology) ([]figure, error) {
	if t.Before == nil {
		f, err := newFigure("Topology", t.Graph)
		return []figure{f}, err
	}
	before, err := newFigure("Before the change", t.Before.Graph)
	if err != nil {
		return nil, err
	}
	after, err := newFigure("After the change", t.Graph)
	return []figure{before, after}, err
}

func newFigure(title string, g *topology.Graph) (figure, error) {
	p := newPicture(g)
	svg, err := draw(p.folded(), title)
	return figure{title, p.text(), template.HTML(svg)}, err //nolint:gosec // D2 escapes the text in what it draws.
}

func tableOf[T any](title string, header []string, seq iter.Seq[T], total int, cells func(T) []string) table {
	list, total := first(seq, rowsShown, total)
	out := table{Title: title, Header: header}
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

func differencesTable(t *Topology) table {
	return tableOf("Half-sessions that the change adds, removes or alters", []string{"Change", "Node", "Family", "Protocol", "From"}, t.changes(), unknown,
		func(d difference) []string {
			verb, h := "altered", d.After
			switch {
			case d.Before == nil:
				verb = "added"
			case d.After == nil:
				verb, h = "removed", d.Before
			}
			return []string{verb, h.Node, h.Family, h.Protocol, names(h.Sources, len(h.Sources))}
		})
}

func singlePoints(t *Topology) table {
	type point struct {
		family string
		topology.SinglePoint
	}
	var points []point
	for _, f := range calico.Families {
		for _, s := range t.reach(t.Summary.Routes.In(f)).SinglePoints {
			points = append(points, point{f.String(), s})
		}
	}
	return tableOf("Single points: what cuts nodes off when it is lost", []string{"Family", "Kind", "Name", "Nodes cut off"}, slices.Values(points), len(points),
		func(p point) []string {
			return []string{p.family, singlePointKinds[p.Kind], p.Name, nodes(p.Nodes, p.Sample)}
		})
}

func shapes(p *picture) table {
	return tableOf("The groups of nodes and the peers outside", []string{"Group", "Nodes or peers", "Members", "AS"}, slices.Values(p.shapes), len(p.shapes),
		func(s shape) []string {
			return []string{lookOf(roles, s.role).many, number(s.size), names(s.names, s.size), s.last}
		})
}

func links(p *picture) table {
	called := map[string]string{}
	for _, s := range p.shapes {
		called[s.id] = s.called()
	}
	return tableOf("The sessions between them", []string{"Between", "And", "What", "Objects"}, slices.Values(p.links), len(p.links),
		func(l topology.Link) []string {
			return []string{called[l.From], called[l.To], linkText(l), linkSources(l)}
		})
}

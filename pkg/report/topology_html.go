package report

import (
	"bytes"
	"html/template"
	"io"
	"slices"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/report/picture"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/topology"
)

// topologyPage is the data of topology.html.
type topologyPage struct {
	Style       template.CSS
	Figures     []figure
	Facts       table
	Comparison  *table // nil without a change
	Routes      []routes
	Convergence table
	Tables      []table
}

// writeTopologyHTML writes t as one page without scripts and external resources.
func writeTopologyHTML(w io.Writer, t *Topology) error {
	figures, err := figures(t, "")
	if err != nil {
		return err
	}
	p := topologyPage{
		Style:   template.CSS(pageStyle), //nolint:gosec // It is a file of this package.
		Figures: figures, Facts: factsTable("Summary", []string{"Figure", "Value"}, facts(t.Summary, versionHint)),
		Comparison: comparisonTable(t), Routes: routesOf(t),
		Convergence: factsTable("Convergence, worst case", []string{"Event", "Estimate from BIRD's timers"}, delays(t.Summary.Convergence)),
	}
	if t.Before != nil {
		p.Tables = append(p.Tables, differencesTable(t))
	}
	p.Tables = append(p.Tables, faultTables(t)...)
	p.Tables = append(p.Tables, pictureTables(t)...)
	return execute(w, "topology.html", p)
}

// execute executes a template and writes the page; on an error it writes nothing.
func execute(w io.Writer, name string, data any) error {
	var b bytes.Buffer
	if err := pageTemplates.ExecuteTemplate(&b, name, data); err != nil {
		return err
	}
	_, err := w.Write(b.Bytes())
	return err
}

// routesOf returns the findings on the routes of each family in use.
func routesOf(t *Topology) []routes {
	var out []routes
	for _, f := range calico.Families {
		if findings := routeFindings(t, f); len(findings) > 0 {
			out = append(out, routes{f.String() + assumption(t, f), findings})
		}
	}
	return out
}

// faultTables list broken and ambiguous half-sessions, rejected configuration, ignored
// settings and single points of failure.
func faultTables(t *Topology) []table {
	broken, ambiguous := t.totals()
	return []table{
		tableOf("Half-sessions that cannot come up", []string{"Node", "Family", "Protocol", "Reason", "Message", "From"}, t.Broken, broken,
			func(b topology.BrokenSession) []string {
				return []string{b.Node, b.Family, b.Protocol, string(b.Reason), b.Message, names(b.Sources, len(b.Sources))}
			}),
		tableOf("Half-sessions that depend on the order in which Calico processes BGPPeers", []string{"Node", "Family", "Peer", "BGPPeers", "Differ in"}, t.Ambiguous, ambiguous,
			func(a topology.AmbiguousSession) []string {
				return []string{a.Node, a.Family, a.PeerIP, names(a.Sources, len(a.Sources)), names(a.Differs, len(a.Differs))}
			}),
		tableOf("Nodes whose BIRD rejects its configuration", []string{"Node", "Family", "Reasons"}, slices.Values(t.Frozen), len(t.Frozen),
			func(n topology.FrozenNode) []string { return []string{n.Node, n.Family, strings.Join(n.Reasons, "; ")} }),
		tableOf("Settings that Calico ignores or rejects", []string{"Kind", "Name", "Message"}, slices.Values(t.Ignored), len(t.Ignored),
			func(i topology.Ignored) []string { return []string{i.Kind, i.Name, i.Message} }),
		singlePoints(t),
	}
}

// pictureTables list the shapes and links of the picture of t.
func pictureTables(t *Topology) []table {
	p := picture.New(t.Graph)
	return []table{shapes(p), links(p)}
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
	return tableOf("Single points of failure, and the nodes that would be isolated", []string{"Family", "Kind", "Name", "Isolated nodes"}, slices.Values(points), len(points),
		func(p point) []string {
			return []string{p.family, singlePointKinds[p.Kind], p.Name, nodes(p.Nodes, p.Sample)}
		})
}

func shapes(p *picture.Picture) table {
	return tableOf("Groups of nodes and external peers", []string{"Group", "Nodes or peers", "Members", "AS"}, slices.Values(p.Shapes), len(p.Shapes),
		func(s picture.Shape) []string {
			return []string{s.RoleName(), number(s.Size), text.Names(s.Names, s.Size), s.Detail}
		})
}

func links(p *picture.Picture) table {
	names := map[string]string{}
	for _, s := range p.Shapes {
		names[s.ID] = s.String()
	}
	return tableOf("Sessions between the groups", []string{"Between", "And", "Sessions", "Objects"}, slices.Values(p.Links), len(p.Links),
		func(l topology.Link) []string {
			return []string{names[l.From], names[l.To], picture.LinkText(l), picture.LinkSources(l)}
		})
}

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
	Pictures    []picture
	Facts       []fact
	Comparison  []row // where there is a change
	Routes      []routes
	Convergence []fact
	Tables      []table
}

type picture struct {
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
	pictures, err := pictures(t)
	if err != nil {
		return err
	}
	p := page{Pictures: pictures, Facts: facts(t.Summary), Convergence: delays(t.Summary.Convergence)}
	for _, f := range calico.Families {
		if findings := routeFindings(t, f); len(findings) > 0 {
			p.Routes = append(p.Routes, routes{f.String() + assumption(t, f), findings})
		}
	}
	if t.Before != nil {
		p.Comparison = comparison(t.Before, t)
		p.Tables = append(p.Tables, differencesTable(t))
	}
	p.Tables = append(p.Tables,
		tableOf("Half-sessions on which no session can come up", []string{"Node", "Family", "Protocol", "Reason", "Message", "From"}, t.Broken,
			func(b topology.BrokenSession) []string {
				return []string{b.Node, b.Family, b.Protocol, string(b.Reason), b.Message, names(b.Sources, len(b.Sources))}
			}),
		tableOf("Half-sessions that depend on the order in which Calico visits BGPPeers", []string{"Node", "Family", "Peer", "BGPPeers", "Differ in"}, t.Ambiguous,
			func(a topology.AmbiguousSession) []string {
				return []string{a.Node, a.Family, a.PeerIP, names(a.Sources, len(a.Sources)), names(a.Differs, len(a.Differs))}
			}),
		tableOf("Nodes whose BIRD refuses its configuration", []string{"Node", "Family", "Reasons"}, slices.Values(t.Frozen),
			func(n topology.FrozenNode) []string { return []string{n.Node, n.Family, strings.Join(n.Reasons, "; ")} }),
		tableOf("What Calico ignores or refuses in objects", []string{"Kind", "Name", "Message"}, slices.Values(t.Ignored),
			func(i topology.Ignored) []string { return []string{i.Kind, i.Name, i.Message} }),
		singlePoints(t),
		groups(t.Graph),
		links(t.Graph),
	)
	var b bytes.Buffer
	if err := topologyTemplate.Execute(&b, p); err != nil {
		return err
	}
	_, err = w.Write(b.Bytes())
	return err
}

// pictures draws the topology, and before it that before the change.
func pictures(t *Topology) ([]picture, error) {
	if t.Before == nil {
		p, err := newPicture("Topology", t.Graph)
		return []picture{p}, err
	}
	before, err := newPicture("Before the change", t.Before.Graph)
	if err != nil {
		return nil, err
	}
	after, err := newPicture("After the change", t.Graph)
	return []picture{before, after}, err
}

func newPicture(title string, g *topology.Graph) (picture, error) {
	svg, err := draw(g, title)
	return picture{title, pictureText(g), template.HTML(svg)}, err //nolint:gosec // D2 escapes the text in what it draws.
}

// pictureText says in words what the picture of g shows.
func pictureText(g *topology.Graph) string {
	var parts []string
	for _, group := range g.Groups {
		role := lookOf(roles, group.Role)
		parts = append(parts, Count(group.Nodes, role.one, role.many))
	}
	if n := len(g.Externals); n > 0 {
		outside := lookOf(roles, roleOutside)
		parts = append(parts, Count(n, outside.one, outside.many))
	}
	return strings.Join(parts, ", ")
}

func tableOf[T any](title string, header []string, seq iter.Seq[T], cells func(T) []string) table {
	list, total := first(seq, rowsShown)
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
	return tableOf("Half-sessions that the change adds, removes or alters", []string{"Change", "Node", "Family", "Protocol", "From"}, t.changes(),
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
	return tableOf("Single points: what cuts nodes off when it is lost", []string{"Family", "Kind", "Name", "Nodes cut off"}, slices.Values(points),
		func(p point) []string {
			return []string{p.family, singlePointKinds[p.Kind], p.Name, nodes(p.Nodes, p.Sample)}
		})
}

func groups(g *topology.Graph) table {
	return tableOf("The groups in the picture", []string{"Group", "Nodes", "Members", "AS", "Cluster ID"}, slices.Values(g.Groups),
		func(group topology.Group) []string {
			return []string{lookOf(roles, group.Role).many, number(group.Nodes), names(group.Sample, group.Nodes), asn(group.ASN), group.ClusterID}
		})
}

func links(g *topology.Graph) table {
	called := map[string]string{}
	for _, group := range g.Groups {
		called[group.ID] = lookOf(roles, group.Role).many + " " + names(group.Sample, group.Nodes)
	}
	for _, o := range g.Externals {
		called[o.ID] = o.PeerIP
	}
	return tableOf("The lines in the picture", []string{"Between", "And", "Kind", "Count", "Families", "From"}, slices.Values(g.Links),
		func(l topology.Link) []string {
			return []string{called[l.From], called[l.To], lookOf(kinds, l.Kind).many, number(l.Sessions), strings.Join(l.Families, ", "), linkSources(l)}
		})
}

package report

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology"
)

// topologyPage is the data of topology.html.
type topologyPage struct {
	shell

	Verdict     verdict
	Tiles       []tile
	Change      *changePart // nil without a change
	Figure      *figure
	Facts       table
	Routes      []routes
	Convergence table
	Tables      []table
}

// writeTopologyHTML writes t as one page without external resources.
func writeTopologyHTML(w io.Writer, t *Topology) error {
	title := "BGP topology"
	if len(t.Changes) > 0 || t.Before != nil {
		title = "Change of the BGP topology"
	}
	if t.Cluster != "" {
		title += " of " + clean(t.Cluster)
	}
	var subtitle []string
	if !t.Time.IsZero() {
		subtitle = append(subtitle, moment(t.Time))
	}
	subtitle = append(subtitle, strings.TrimSpace("bgpguard "+clean(t.Version)), "Calico "+cmp.Or(clean(string(t.Summary.CalicoVersion)), "of unknown version"))
	if t.Origin != "" {
		subtitle = append(subtitle, "state from "+clean(t.Origin))
	}
	figure, err := newFigure(t, "c1")
	if err != nil {
		return err
	}
	p := topologyPage{
		shell:   newShell(title, strings.Join(subtitle, " · "), `Run "bgpguard topology -o json" for every half-session in JSON.`),
		Verdict: changeVerdict(t.Changes, t), Tiles: tiles(t, nil), Change: newChangePart(t.Changes, t, "c1"),
		Figure: figure, Facts: factsTable("Summary", []string{"Figure", "Value"}, facts(t.Summary, versionHint)), Routes: routesOf(t),
		Convergence: factsTable("Convergence, worst case", []string{"Event", "Estimate from BIRD's timers"}, delays(t)),
		Tables:      slices.DeleteFunc(faultTables(t), func(f table) bool { return len(f.Rows) == 0 }),
	}
	return execute(w, "topology.html", p)
}

// topologyVerdict describes the routes and the sessions of t in one sentence.
func topologyVerdict(t *Topology) verdict {
	v := verdict{Tone: good, Icon: good, Text: "Each node has routes to the pods of all others"}
	worst := func(tone, text string) {
		if v.Tone == good {
			v.Tone, v.Icon, v.Text = tone, tone, text
			return
		}
		v.More = append(v.More, text+".")
	}
	if n := t.isolated(); n.Nodes > 0 {
		worst("critical", nodes(n.Nodes, n.Sample)+either(n.Nodes, " is", " are")+" isolated: no routes to or from any other")
	}
	for _, f := range calico.Families {
		r := t.reach(t.Summary.Routes.In(f))
		if n := r.WithoutRoute.Pairs; n > 0 && r.Partitions > 1 {
			worst("high", fmt.Sprintf("%s of nodes without a route, in %s, %s", Count(n, "pair"), Count(r.Partitions, "partition"), f))
		}
	}
	broken, ambiguous := 0, 0
	for _, f := range calico.Families {
		s := t.Summary.Sessions.In(f)
		broken, ambiguous = broken+s.Broken, ambiguous+s.Ambiguous.HalfSessions
	}
	if broken > 0 {
		worst(odd, Count(broken, "half-session")+" cannot come up")
	}
	if ambiguous > 0 {
		worst(odd, Count(ambiguous, "half-session")+either(ambiguous, " depends", " depend")+" on the order in which Calico processes BGPPeers")
	}
	return v
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
		tableOf("Nodes whose BIRD rejects its configuration", []string{"Node", "Family", "Rejected"}, slices.Values(t.Frozen), len(t.Frozen),
			func(n topology.FrozenNode) []string { return []string{n.Node, n.Family, rejectedValues(n)} }),
		tableOf("Settings that Calico ignores or rejects", []string{"Kind", "Name", "Message"}, slices.Values(t.Ignored), len(t.Ignored),
			func(i topology.Ignored) []string { return []string{i.Kind, i.Name, i.Message} }),
		singlePoints(t),
	}
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

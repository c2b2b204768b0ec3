package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"github.com/bgpguard/bgpguard/pkg/audit"
	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology"
)

// cells is a table with badges, bars and links. The first cell of a row is its head.
type cells struct {
	// Class is the class of the element, "" for none.
	Class    string
	Title    string
	Sortable bool
	Header   []columnHead
	Rows     []cellRow
	Rest     string
}

// columnHead is the head of a column. Class "plain" excludes it from sorting.
type columnHead struct{ Text, Class string }

// cellRow is a row. Odd rows are highlighted.
type cellRow struct {
	Odd   bool
	Cells []cell
	// Groups are the IDs of the groups of the picture that the row is about, separated by
	// spaces; "" for a row about all.
	Groups string
}

// cell is a badge, a bar or a link, and a text. Value is the sort key; "" for the text.
type cell struct {
	Text, Class, Value, Link string
	Badge                    *badge
	Bar                      *bar
}

// bar is a bar with a width in percent.
type bar struct{ Tone, Width string }

func newBar(n, most int, tone string) bar {
	return bar{tone, strconv.FormatFloat(100*float64(n)/float64(max(most, 1)), 'f', 1, 64)}
}

// loadBar is the bar of n sessions of a limit, which is greater than 0.
func loadBar(n, limit int) bar {
	tone := ""
	if n > limit {
		tone = "high"
	}
	return newBar(min(n, limit), limit, tone)
}

func heads(texts ...string) []columnHead {
	out := make([]columnHead, len(texts))
	for i, t := range texts {
		out[i].Text = t
	}
	return out
}

func numberHead(text string) columnHead { return columnHead{text, "number"} }

func numberCell(n int) cell { return cell{Text: number(n), Class: "number"} }

// cut keeps the first rowsShown rows of t and counts the rest.
func (t *cells) cut() { t.limit(rowsShown) }

// limit keeps the first n rows of t and counts the rest.
func (t *cells) limit(n int) {
	if rest := len(t.Rows) - n; rest > 0 {
		t.Rows, t.Rest = t.Rows[:n], "and "+number(rest)+" more"
	}
}

// Reflectors returns the route reflectors of s that speak BGP, in order of names, with
// their load in t, the topology of s. O(sessions of the reflectors).
func Reflectors(s *state.Snapshot, t *topology.Topology) []Reflector {
	var out []Reflector
	for _, n := range s.Nodes() {
		if !n.RouteReflector() || !speaksBGP(n) {
			continue
		}
		r := Reflector{Node: n.Name, ClusterID: n.ClusterID}
		for h := range t.HalfSessions(n.Name) {
			if h.Status != topology.Broken {
				r.Sessions++
			}
		}
		out = append(out, r)
	}
	return out
}

func speaksBGP(n *calico.Node) bool { return slices.ContainsFunc(calico.Families[:], n.SpeaksBGP) }

// zoneText names a zone; "" stands for nodes without a zone label.
func zoneText(zone string) string { return cmp.Or(clean(zone), "no zone") }

// reflectorCells returns a table of route reflectors, most sessions first, and a table
// of zones. It omits empty tables. limit is the maximum number of sessions of a route
// reflector, 0 for none.
func reflectorCells(s *state.Snapshot, t *Topology, limit int) []cells {
	var out []cells
	zones := map[string]string{}
	for _, n := range s.Nodes() {
		zones[n.Name] = n.Labels[corev1.LabelTopologyZone]
	}
	if len(t.Reflectors) > 0 {
		list := slices.SortedStableFunc(slices.Values(t.Reflectors), func(a, b Reflector) int { return cmp.Compare(b.Sessions, a.Sessions) })
		c := cells{Title: "Route reflectors", Sortable: true, Header: append(heads("Node", "Zone", "Cluster ID"), numberHead("Sessions"))}
		if limit > 0 {
			c.Header = append(c.Header, columnHead{"Load of the limit of " + number(limit), "plain"})
		}
		for _, r := range list {
			row := []cell{{Text: clean(r.Node)}, {Text: zoneText(zones[r.Node])}, {Text: clean(r.ClusterID)}, numberCell(r.Sessions)}
			if limit > 0 {
				load := loadBar(r.Sessions, limit)
				row = append(row, cell{Bar: &load, Text: percent(r.Sessions, limit), Class: "load"})
			}
			c.Rows = append(c.Rows, cellRow{Cells: row})
		}
		c.cut()
		out = append(out, c)
	}
	if c := zoneCells(s, t); len(c.Rows) > 0 {
		out = append(out, c)
	}
	return out
}

// zoneCells returns for each zone the numbers of nodes and route reflectors, and the
// nodes that would be isolated without it. It is empty if no node has a zone.
func zoneCells(s *state.Snapshot, t *Topology) cells {
	type zone struct{ nodes, reflectors int }
	zones := map[string]*zone{}
	for _, n := range s.Nodes() {
		if !speaksBGP(n) {
			continue
		}
		name := n.Labels[corev1.LabelTopologyZone]
		if zones[name] == nil {
			zones[name] = &zone{}
		}
		zones[name].nodes++
		if n.RouteReflector() {
			zones[name].reflectors++
		}
	}
	c := cells{Title: "Zones", Sortable: true, Header: append(heads("Zone"), numberHead("Nodes"), numberHead("Route reflectors"), columnHead{Text: "If the zone is lost"})}
	if zones[""] != nil && len(zones) == 1 {
		return c
	}
	for _, name := range slices.Sorted(maps.Keys(zones)) {
		z := zones[name]
		row := cellRow{Cells: []cell{{Text: zoneText(name)}, numberCell(z.nodes), numberCell(z.reflectors)}}
		lost := cell{Text: "no other node would be isolated", Value: "0"}
		if n := t.isolated().Nodes; n > 0 {
			lost.Text = fmt.Sprintf("no node in addition to the %s isolated now", Count(n, "node that is", "nodes that are"))
		}
		for _, f := range calico.Families {
			for _, p := range t.reach(t.Summary.Routes.In(f)).SinglePoints {
				if p.Kind == "zone" && p.Name == name && !row.Odd {
					row.Odd = true
					lost = cell{Text: nodes(p.Nodes, p.Sample) + " would be isolated, " + f.String(), Value: strconv.Itoa(p.Nodes), Badge: &badge{odd, odd, "single point of failure"}}
				}
			}
		}
		row.Cells = append(row.Cells, lost)
		c.Rows = append(c.Rows, row)
	}
	c.cut()
	return c
}

// timerCells lists the values of the timers and marks unusual ones. It is nil if there
// are no sessions.
func timerCells(s *topology.Summary) *cells {
	t := s.Timers
	c := &cells{Title: "Timer values and the objects that set them", Header: append(heads("Timer", "Where", "Value", "Mark"), numberHead("Sessions"), columnHead{Text: "Set by"})}
	add := func(name string, groups []topology.TimerGroup, set topology.OptionalSeconds, byDefault int) {
		for _, scope := range []string{"nodes", "external"} {
			in := slices.DeleteFunc(slices.Clone(groups), func(g topology.TimerGroup) bool { return g.Scope != scope })
			usual := usualSeconds(in, s.BGPPeers, byDefault)
			if set.Set && scope == "nodes" {
				usual = *set.Seconds
			}
			for _, g := range in {
				row := cellRow{Odd: g.Seconds != usual}
				mark := cell{Badge: &badge{good, good, "usual"}}
				if row.Odd {
					mark = cell{Badge: &badge{odd, odd, "unusual"}}
				}
				count := cell{Text: "unknown", Class: "number"} // The state does not contain external sessions.
				if scope == "nodes" {
					count = numberCell(g.Sessions)
				}
				row.Cells = []cell{{Text: name}, {Text: scopes[scope]}, {Text: number(g.Seconds) + " s"}, mark, count, {Text: holders(g.Objects)}}
				c.Rows = append(c.Rows, row)
			}
		}
	}
	add("Graceful restart time", t.RestartTime, t.MeshRestartTime, int(calico.DefaultRestartTime.Seconds()))
	add("Keepalive time", t.KeepaliveTime, topology.OptionalSeconds{}, int(calico.DefaultKeepaliveTime.Seconds()))
	if len(c.Rows) == 0 {
		return nil
	}
	c.cut()
	return c
}

var scopes = map[string]string{"nodes": "between nodes", "external": "to external peers"}

// usualSeconds returns the value of most sessions. The state has no numbers of external
// sessions, so for these it returns the value of the BGPPeers that select the most nodes.
// In a tie it prefers BIRD's default.
func usualSeconds(groups []topology.TimerGroup, peers map[string]*topology.BGPPeer, byDefault int) int {
	if len(groups) == 0 {
		return byDefault
	}
	weigh := func(g topology.TimerGroup) (sessions, nodes, isDefault int) {
		for _, o := range g.Objects {
			if p := peers[o.Name]; p != nil && o.Kind == string(calico.KindBGPPeer) {
				nodes += p.LocalNodes
			}
		}
		if g.Seconds == byDefault {
			isDefault = 1
		}
		return g.Sessions, nodes, isDefault
	}
	return slices.MaxFunc(groups, func(a, b topology.TimerGroup) int {
		sa, na, da := weigh(a)
		sb, nb, db := weigh(b)
		return cmp.Or(cmp.Compare(sa, sb), cmp.Compare(na, nb), cmp.Compare(da, db))
	}).Seconds
}

// holders names the objects that set a timer.
func holders(list []topology.TimerObject) string {
	sample := make([]string, 0, topology.SampleSize)
	for _, o := range list[:min(len(list), topology.SampleSize)] {
		text := o.Kind + " " + o.Name
		if !o.Set {
			text += " (unset)"
		}
		sample = append(sample, text)
	}
	return names(sample, len(list))
}

// policyCells lists the policies in force with their results.
func policyCells(a *audit.Audit) cells {
	c := cells{Title: "Policies in force", Sortable: true, Header: heads("Policy", "Title", "Severity", "Action", "Result")}
	failed := map[string]bool{}
	for _, f := range a.Failures {
		failed[f.Policy] = true
	}
	for _, p := range a.Policies {
		result := cell{Badge: &badge{good, good, "no violations"}, Value: "0"}
		switch {
		case failed[p.Name]:
			result = cell{Badge: &badge{unsure, unsure, "evaluation error"}, Value: "-1"}
		case p.Violations > 0:
			result = cell{Badge: &badge{tone(p.Severity), tone(p.Severity), Count(p.Violations, "violation")}, Value: strconv.Itoa(p.Violations)}
		case p.Judges != policy.JudgesState:
			result = cell{Text: "evaluates changes only", Value: "-2"}
		}
		c.Rows = append(c.Rows, cellRow{Cells: []cell{
			{Text: clean(p.Name), Link: webLink(p.Link)}, {Text: clean(p.Title)}, {Text: clean(p.Severity), Value: strconv.Itoa(audit.Rank(p.Severity))}, {Text: clean(string(p.Action))}, result,
		}})
	}
	c.cut()
	return c
}

package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/plan"
)

// designTable compares the designs: a header, then one row per fact with one cell per design.
func designTable(c *plan.Comparison) [][]string {
	header := []string{""}
	for _, d := range c.Designs {
		header = append(header, string(d.Goal))
	}
	out := [][]string{header}
	row := func(name string, cell func(*plan.Facts) string) {
		line, some := []string{name}, false
		for _, d := range c.Designs {
			text := "-"
			if d.Facts != nil {
				if text = cell(d.Facts); text == "" {
					text = "-"
				} else {
					some = true
				}
			}
			line = append(line, text)
		}
		if some {
			out = append(out, line)
		}
	}
	possible := []string{"possible"}
	for _, d := range c.Designs {
		possible = append(possible, map[bool]string{true: "yes", false: "no"}[d.Possible])
	}
	out = append(out, possible)
	row("sessions between nodes", func(f *plan.Facts) string { return number(f.Sessions) })
	row("sessions, fullest node", func(f *plan.Facts) string { return number(f.Fullest) })
	row("sessions, most nodes", func(f *plan.Facts) string { return number(f.Usual) })
	if slices.ContainsFunc(c.Designs, func(d *plan.Option) bool { return d.Facts != nil && d.Facts.External > 0 }) {
		row("external half-sessions", func(f *plan.Facts) string { return number(f.External) })
	}
	for _, one := range []struct{ name, when string }{
		{"start, all up", plan.AllUp}, {"start, a node is down", plan.NodeDown}, {"start, a reflector down", plan.ReflectorDown},
		{"start, a router is down", plan.RouterDown},
	} {
		row(one.name, func(f *plan.Facts) string { return startText(c, f, one.when) })
	}
	for _, one := range []struct{ name, kind string }{
		{"a reflector is lost", plan.LossReflector}, {"a zone is lost", plan.LossZone}, {"a router is lost", plan.LossRouter},
	} {
		row(one.name, func(f *plan.Facts) string { return lossText(f, one.kind) })
	}
	changed := []string{"changes"}
	for _, d := range c.Designs {
		text := "-"
		if d.Possible {
			text = number(d.Changes)
		}
		changed = append(changed, text)
	}
	return append(out, changed)
}

// startText is the delay of a start, with the nodes concerned if they are not all.
func startText(c *plan.Comparison, f *plan.Facts, when string) string {
	for _, s := range f.Start {
		switch {
		case s.When != when:
		case s.Seconds == 0:
			return "0 s"
		case s.Nodes > 0 && s.Nodes < c.Nodes:
			return fmt.Sprintf("%d s on %s", s.Seconds, number(s.Nodes))
		default:
			return fmt.Sprintf("%d s", s.Seconds)
		}
	}
	return ""
}

// lossText is what a loss isolates.
func lossText(f *plan.Facts, kind string) string {
	for _, l := range f.Losses {
		switch {
		case l.Kind != kind:
		case l.Isolated > 0:
			return number(l.Isolated) + " isolated"
		case l.Pairs > 0:
			return number(l.Pairs) + " pairs"
		default:
			return "no routes lost"
		}
	}
	return ""
}

// designLegend explains the rows of designTable.
func designLegend(c *plan.Comparison) []string {
	out := []string{
		"sessions of a node include those with external peers; most nodes: the number that most nodes have that are no route reflector.",
		"start: how long pods of a node have no routes after a start of calico-node; \"240 s on 3\": on the 3 nodes that have a session to the peer that is down, all others start as if all are up.",
		"lost: nodes without routes, or pairs of nodes without a route, among those that are left, in the worst case.",
	}
	if c.DualStack {
		out = append(out, "sessions are counted over both address families, those of a node in one.")
	}
	return out
}

// designHeadings are the first lines: the cluster, and the design that it has.
func designHeadings(c *plan.Comparison) []string {
	cluster := Count(c.Nodes, "node")
	if c.Zones > 0 {
		cluster += " in " + Count(c.Zones, "zone")
	}
	if c.CalicoVersion != "" {
		cluster += ", Calico v" + clean(c.CalicoVersion)
	}
	if c.Cluster != "" {
		cluster = "Cluster " + clean(c.Cluster) + ": " + cluster
	}
	now := "Now: none of the designs"
	if c.Current != "" {
		now = "Now: " + plainTitle(c)
	}
	now += fmt.Sprintf(": %s between nodes, %s on the fullest", Count(c.Now.Sessions, "session"), number(c.Now.Fullest))
	if c.Now.NeedsBGP && c.Now.Isolated > 0 {
		now += fmt.Sprintf("; %s no route to any other node", Count(c.Now.Isolated, "node has", "nodes have"))
	}
	pools := "IPPools that need BGP: none"
	if c.IPPools == 0 {
		pools = "IPPools: none in the state, so pod traffic between nodes counts as needing BGP"
	}
	if len(c.Pools) > 0 {
		pools = "IPPools that need BGP: " + names(c.Pools[:min(len(c.Pools), shown)], len(c.Pools))
	}
	return []string{cluster, now, pools}
}

// plainTitle is the title of the design that the cluster has.
func plainTitle(c *plan.Comparison) string {
	if c.Current == plan.MeshTimers {
		return "full mesh"
	}
	return c.Current.Title()
}

// objectsText lists the numbers of objects by kind: "1 BGPConfiguration, 3 Nodes".
func objectsText(d *plan.Option) string {
	if len(d.Objects) == 0 {
		return "none"
	}
	parts := make([]string, len(d.Objects))
	for i, o := range d.Objects {
		parts[i] = Count(o.Number, clean(o.Kind))
	}
	return strings.Join(parts, ", ")
}

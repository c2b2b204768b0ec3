package report

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology"
)

// noValue is a cell of a table without a value.
const noValue = "-"

// writeRoutesText writes the tables of each family. With a change, the first column marks the rows
// that it adds and removes.
func writeRoutesText(w io.Writer, r *Routes) error {
	p := &printer{}
	subject := "External peer " + clean(r.Peer)
	if r.Node != "" {
		subject = "Node " + clean(r.Node)
	}
	for _, f := range calico.Families {
		before, after := routeTable(r.Before, f.String()), routeTable(r.Tables, f.String())
		if before.Address == "" && after.Address == "" {
			continue
		}
		if p.Len() > 0 {
			p.line(0)
		}
		p.line(0, subject, routesTitle(r, before, after))
		p.marked(r, "Routes to pods", routeHeader,
			rows(compared(before.Routes, after.Routes, (*topology.RouteGroup).Key), routeCells))
		p.marked(r, "Dropped", dropHeader,
			rows(compared(before.Dropped, after.Dropped, (*topology.DroppedRoutes).Key), dropCells))
		p.marked(r, "Missing", []string{"PREFIXES", "ORIGINS"},
			rows(compared(before.Missing, after.Missing, (*topology.MissingRoutes).Key), func(m *topology.MissingRoutes) []string {
				return []string{prefixesText(m.Prefixes), nodes(m.Origins.Nodes, m.Origins.Sample)}
			}))
		services, cells := []string{"RANGE", "FIELD", "ROUTES TO", "FROM", "PARTLY FROM", "NOT FROM"}, serviceCells
		if r.Node != "" {
			services, cells = append(services, "ADVERTISED"), serviceCellsOfNode
		}
		p.marked(r, "Addresses of Services", services, rows(compared(before.Services, after.Services, (*topology.ServiceRoutes).Key), cells))
		p.marked(r, "Routes to Services", routeHeader,
			rows(compared(serviceRoutes(before), serviceRoutes(after), (*topology.RouteGroup).Key), routeCells))
		p.marked(r, "Dropped routes to Services", dropHeader,
			rows(compared(serviceDrops(before), serviceDrops(after), (*topology.DroppedRoutes).Key), dropCells))
		p.notes(after)
	}
	if p.Len() == 0 {
		p.line(0, subject, ": no address, so no sessions")
	}
	_, err := io.WriteString(w, p.String())
	return err
}

// The columns of routeCells and dropCells.
var (
	routeHeader = []string{"PREFIXES", "ORIGINS", "FROM", "TYPE", "NEXT HOP", "AS PATH", "COMMUNITIES"}
	dropHeader  = []string{"PREFIXES", "ORIGINS", "BY", "DIRECTION", "PEER", "REASON"}
)

// serviceRoutes returns the routes to addresses of Services in a table.
func serviceRoutes(t *topology.RouteTable) []topology.RouteGroup {
	var out []topology.RouteGroup
	for i := range t.Services {
		out = append(out, t.Services[i].Routes...)
	}
	return out
}

// serviceDrops returns the dropped routes to addresses of Services in a table.
func serviceDrops(t *topology.RouteTable) []topology.DroppedRoutes {
	var out []topology.DroppedRoutes
	for i := range t.Services {
		out = append(out, t.Services[i].Dropped...)
	}
	return out
}

// routesTitle describes the sessions of a table.
func routesTitle(r *Routes, before, after *topology.RouteTable) string {
	address := after.Address
	if address == "" {
		address = before.Address
	}
	out := ", " + after.Family
	if r.Node != "" {
		out += " " + address
	}
	out += ": " + Count(after.Sessions, "session")
	if r.Changed && before.Sessions != after.Sessions {
		out += ", " + number(before.Sessions) + " before the change"
	}
	switch {
	case r.Node == "":
		return out
	case r.Transit:
		return out + "; external peers pass routes on and keep AS paths"
	}
	return out + "; external peers pass no routes on"
}

// rows returns the cells of each row, the first one its mark.
func rows[T any](list []marked[T], cells func(*T) []string) [][]string {
	var out [][]string
	for i := range list {
		out = append(out, append([]string{list[i].mark}, cells(&list[i].value)...))
	}
	return out
}

// marked writes a table with a title. It writes the marks only if there is a change.
func (p *printer) marked(r *Routes, title string, header []string, list [][]string) {
	if len(list) == 0 {
		if title == "Routes to pods" {
			p.section("Routes to pods: none")
		}
		return
	}
	all := append([][]string{append([]string{" "}, header...)}, list...)
	if !r.Changed {
		for i := range all {
			all[i] = all[i][1:]
		}
	}
	p.section(title, ":")
	p.table(1, all)
}

// notes writes what a table does not contain.
func (p *printer) notes(t *topology.RouteTable) {
	if len(t.NotExported) > 0 {
		p.section("No node advertises routes to the pods of ", either(len(t.NotExported), "IPPool ", "IPPools "),
			names(t.NotExported, len(t.NotExported)), ": disableBGPExport applies to them, and no BGPFilter accepts them")
	}
	if len(t.NotUnderstood) > 0 {
		p.section("Not all rules of the BGPFilters of ", either(len(t.NotUnderstood), "BGPPeer ", "BGPPeers "), names(t.NotUnderstood, len(t.NotUnderstood)),
			" are known or understood: they are assumed to match no route to pods")
	}
	if !t.Complete {
		p.section("Not complete: BGPFilters and prefixAdvertisements distinguish too many prefixes, or routes have too many paths")
	}
}

func serviceCells(s *topology.ServiceRoutes) []string {
	what := "the range"
	if s.Single {
		what = "single addresses"
	}
	return []string{s.CIDR, s.Field, what, nodesOrNone(&s.Nodes), nodesOrNone(&s.Partial), nodesOrNone(&s.Others)}
}

// serviceCellsOfNode are serviceCells and whether the node advertises the range itself.
func serviceCellsOfNode(s *topology.ServiceRoutes) []string {
	own := "no"
	if s.Advertised {
		own = "yes"
	}
	return append(serviceCells(s), own)
}

func nodesOrNone(g *topology.NodeGroup) string {
	if g.Nodes == 0 {
		return noValue
	}
	return nodes(g.Nodes, g.Sample)
}

func routeCells(g *topology.RouteGroup) []string {
	return []string{
		prefixesText(g.Prefixes), nodes(g.Origins.Nodes, g.Origins.Sample), senderText(&g.From), g.Type, nextHopText(g), pathText(g), listText(g.Communities),
	}
}

func dropCells(d *topology.DroppedRoutes) []string {
	return []string{prefixesText(d.Prefixes), nodes(d.Origins.Nodes, d.Origins.Sample), nodes(d.Nodes.Nodes, d.Nodes.Sample), d.Direction, senderText(&d.Peer), dropText(d)}
}

// prefixesText lists ranges of prefixes: "10.244.0.0/16 except 10.244.8.0/24 (/26, 12 in use)", or "10.96.0.0/12"
// for that prefix alone.
func prefixesText(list []topology.PrefixRange) string {
	if len(list) == 0 {
		return "all"
	}
	texts := make([]string, len(list))
	for i, r := range list {
		texts[i] = r.CIDR
		if len(r.Except) > 0 {
			texts[i] += " except " + strings.Join(r.Except, ", ")
		}
		var about []string
		if length := fmt.Sprintf("/%d", r.Length); !strings.HasSuffix(r.CIDR, length) {
			about = append(about, length)
		}
		switch {
		case r.Routes == nil:
		case *r.Routes == 0:
			about = append(about, "none in use")
		default:
			about = append(about, number(*r.Routes)+" in use")
		}
		if len(about) > 0 {
			texts[i] += " (" + strings.Join(about, ", ") + ")"
		}
	}
	return strings.Join(texts, "; ")
}

func senderText(s *topology.RouteSender) string {
	switch s.Kind {
	case topology.FromOrigin:
		return "the origin"
	case topology.FromNodes:
		return names(s.Nodes.Sample, s.Nodes.Nodes)
	}
	if len(s.Addresses) == 0 {
		return "external peers"
	}
	return "external " + names(s.Addresses[:min(len(s.Addresses), topology.SampleSize)], len(s.Addresses))
}

// nextHopText is the next hop of a group. It is an address if the group has only one.
func nextHopText(g *topology.RouteGroup) string {
	out := map[string]string{
		topology.NextHopOrigin: "of the origin", topology.NextHopSender: "of the sender", topology.NextHopNode: "of a node in between",
		topology.NextHopUnknown: "set by external peers",
	}[g.NextHop.Kind]
	if len(g.NextHop.Addresses) == 1 {
		out = g.NextHop.Addresses[0]
	}
	switch {
	case g.ServiceRange != "":
		out += ", unusable in " + clean(string(g.ServiceRange))
	case g.NextHop.Unusable > 0 && len(g.NextHop.Addresses) == 1:
		out += ", unusable"
	case g.NextHop.Unusable > 0:
		out += ", " + number(g.NextHop.Unusable) + " unusable"
	}
	return out
}

// pathText is an AS path, the nearest AS number first. "own" is the AS number of a node of the
// group, "..." AS numbers of external peers.
func pathText(g *topology.RouteGroup) string {
	var out []string
	if g.ThroughExternalPeers {
		out = append(out, "...")
	}
	for _, asn := range g.ASPath {
		if asn == nil {
			out = append(out, "own")
			continue
		}
		out = append(out, strconv.FormatUint(uint64(*asn), 10))
	}
	if len(out) == 0 {
		return noValue
	}
	return strings.Join(out, " ")
}

func listText(list []string) string {
	if len(list) == 0 {
		return noValue
	}
	return strings.Join(list, " ")
}

// dropText is why nodes drop routes.
func dropText(d *topology.DroppedRoutes) string {
	switch d.Reason {
	case topology.DroppedByFilter:
		return fmt.Sprintf("BGPFilter %s, %s", clean(string(d.BGPFilter)), d.Field)
	case topology.DroppedByASPath:
		return fmt.Sprintf("AS %d is in the AS path, numAllowedLocalASNumbers is %d", *d.ASNumber, *d.Allowed)
	}
	return "a well-known community, such as no-export"
}

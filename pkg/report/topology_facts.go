package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology"
)

// fact is a line of text or a row of a table: a name and a value.
type fact struct{ Name, Value string }

// facts returns the totals of a state. hint describes how to set an unknown Calico version
// without a ClusterInformation; it can be "".
func facts(s *topology.Summary, hint string) []fact {
	n := s.Nodes
	total := number(n.Total) + ", all with BGP"
	if n.BGP < n.Total {
		total = fmt.Sprintf("%s, %s of them with BGP", number(n.Total), number(n.BGP))
	}
	if n.Reflectors > 0 {
		total += ", " + Count(n.Reflectors, "route reflector")
	}
	if n.NotReady.Nodes > 0 {
		total += fmt.Sprintf("; not ready: %s", nodes(n.NotReady.Nodes, n.NotReady.Sample))
	}
	out := []fact{{"Nodes", total}, {"Mesh", mesh(s.Mesh)}}
	for _, f := range calico.Families {
		out = append(out, fact{"Sessions " + f.String(), sessions(s.Sessions.In(f))})
	}
	for _, f := range calico.Families {
		if r := s.Reflectors.In(f); r.Total > 0 && r.Nodes > 0 {
			out = append(out, fact{"Route reflectors per node, " + f.String(), levels(r)})
		}
	}
	version := string(s.CalicoVersion)
	if version == "" {
		version = "unknown; " + hint + "add the ClusterInformation"
	}
	return append(out, fact{"Calico", version})
}

func mesh(m *topology.Mesh) string {
	switch {
	case m.Enabled && m.Source == "set":
		return fmt.Sprintf("on, %s between %s", Count(m.Sessions, "session"), Count(m.Nodes, "node"))
	case m.Enabled:
		return fmt.Sprintf("on by default, %s between %s", Count(m.Sessions, "session"), Count(m.Nodes, "node"))
	default:
		return "off"
	}
}

func sessions(s *topology.Sessions) string {
	if s.Total+s.External+s.Broken == 0 {
		return "none"
	}
	parts := []string{number(s.Total) + " between nodes"}
	if s.External > 0 {
		parts = append(parts, number(s.External)+" with external peers")
	}
	if s.Broken > 0 {
		parts = append(parts, Count(s.Broken, "broken half-session"))
	}
	if s.Most > 0 {
		parts = append(parts, fmt.Sprintf("at most %s on one node (%s)", number(s.Most), clean(string(s.MostNode))))
	}
	return strings.Join(parts, ", ")
}

// levels describes how many nodes have sessions to how many route reflectors.
func levels(r *topology.Reflectors) string {
	parts := make([]string, 0, len(r.Levels))
	for _, l := range r.Levels {
		what := number(l.Reflectors)
		switch l.Reflectors {
		case 0:
			what = "none"
		case topology.MaxLevel:
			what += " or more"
		}
		parts = append(parts, fmt.Sprintf("%s on %s", what, nodes(l.Nodes, l.Sample)))
	}
	return strings.Join(parts, "; ")
}

// assumption describes the reading of external peers for which the routes of a family
// are computed. It returns "" if the family has no external peers.
func assumption(t *Topology, f calico.Family) string {
	switch {
	case t.Summary.Sessions.In(f).External == 0:
		return ""
	case t.WithTransit:
		return ", with transit through external peers"
	default:
		return ", without transit through external peers"
	}
}

// withoutRoute counts pairs of nodes without a route under a condition, "" for none.
func withoutRoute(set *topology.PairSet, condition string) string {
	pairs := make([]string, len(set.Sample))
	for i, pair := range set.Sample {
		pairs[i] = pair[0] + " and " + pair[1]
	}
	return Count(set.Pairs, "pair") + " of nodes without a route" + condition + ": " + names(pairs, set.Pairs)
}

// routeFindings returns the faults in the routes of a family, or one line if there are none.
// It is empty if the family is not in use.
func routeFindings(t *Topology, f calico.Family) []string {
	routes := t.Summary.Routes.In(f)
	r := t.reach(routes)
	if r.Nodes == 0 {
		return nil
	}
	var out []string
	if r.Isolated.Nodes > 0 {
		out = append(out, nodes(r.Isolated.Nodes, r.Isolated.Sample)+either(r.Isolated.Nodes, " is", " are")+" isolated: no routes to or from any other")
	}
	if r.Partitions > 1 {
		out = append(out, fmt.Sprintf("%s partitions without routes between them, the largest with %s of %s",
			number(r.Partitions), number(r.LargestPartition), Count(r.Nodes, "node")))
	}
	if r.WithoutRoute.Pairs > 0 {
		out = append(out, withoutRoute(&r.WithoutRoute, ""))
	}
	if len(out) == 0 {
		out = append(out, either(r.Nodes, "the only node needs no routes", fmt.Sprintf("each of %s has routes to the pods of all others", Count(r.Nodes, "node"))))
	}
	if w := t.withoutLinks(routes); w.WithoutRoute.Pairs > r.WithoutRoute.Pairs {
		out = append(out, withoutRoute(&w.WithoutRoute, " if mesh sessions between AS numbers need a common link, and nodes with /32 or /128 addresses are on none"))
	}
	for i, s := range r.SinglePoints {
		if i == shown {
			out = append(out, fmt.Sprintf("and %s more", Count(len(r.SinglePoints)-shown, "single point of failure", "single points of failure")))
			break
		}
		out = append(out, singlePoint(s))
	}
	if len(routes.NotExported) > 0 {
		out = append(out, fmt.Sprintf("no routes to the pods of %s %s: disableBGPExport applies, and no BGPFilter accepts them",
			either(len(routes.NotExported), "IPPool", "IPPools"), names(routes.NotExported, len(routes.NotExported))))
	}
	if len(routes.Filtered) > 0 {
		out = append(out, "not all rules of the BGPFilters of "+either(len(routes.Filtered), "BGPPeer ", "BGPPeers ")+names(routes.Filtered, len(routes.Filtered))+" are known or understood: they are assumed to match no route to pods")
	}
	out = append(out, subnetFindings(t.Summary, f)...)
	switch traffic := t.Summary.PodTraffic.In(f); {
	case !traffic.NeedsBGP:
		out = append(out, fmt.Sprintf("pod traffic between nodes does not need them: no %s IPPool depends on BGP", f))
	case len(traffic.Pools) > 0:
		out = append(out, fmt.Sprintf("pod traffic of %s %s needs these routes", either(len(traffic.Pools), "IPPool", "IPPools"), names(traffic.Pools, len(traffic.Pools))))
	}
	return out
}

// subnetFindings describes between which nodes the encapsulation of IPPools depends on subnets.
func subnetFindings(s *topology.Summary, f calico.Family) []string {
	subnets := &s.Addresses.In(f).Subnets
	pairs := subnets.Same + subnets.Different + subnets.Uneven
	if subnets.Different+subnets.Uneven == 0 {
		return nil
	}
	var crossing, plain []string
	for name, p := range s.IPPools {
		if p.Family == f.String() && (p.Spec["ipipMode"] == crossSubnet || p.Spec["vxlanMode"] == crossSubnet) {
			crossing = append(crossing, name)
		}
		if p.Family == f.String() && slices.Contains(s.ClusterRoutes.NoEncap.Pools, name) {
			plain = append(plain, name)
		}
	}
	var out []string
	if len(crossing) > 0 {
		slices.Sort(crossing)
		line := fmt.Sprintf("%s %s with CrossSubnet: a tunnel between the nodes of %s of %s",
			either(len(crossing), "IPPool", "IPPools"), names(crossing, len(crossing)), number(subnets.Different), Count(pairs, "pair"))
		if subnets.Uneven > 0 {
			line += fmt.Sprintf(", and in one direction of %s, because the subnet of %s contains nodes with a narrower one",
				number(subnets.Uneven), nodes(subnets.Wider.Nodes, subnets.Wider.Sample))
		}
		out = append(out, line)
	}
	if len(plain) > 0 {
		slices.Sort(plain)
		out = append(out, fmt.Sprintf("%s %s without encapsulation: the nodes of %s of %s are in different subnets and need routers that know the addresses of pods",
			either(len(plain), "IPPool", "IPPools"), names(plain, len(plain)), number(subnets.Different+subnets.Uneven), Count(pairs, "pair")))
	}
	return out
}

// crossSubnet is the value of ipipMode and vxlanMode with which only packets to other subnets have a
// tunnel.
const crossSubnet = "CrossSubnet"

// singlePointKinds are the names of the kinds of single points of failure.
var singlePointKinds = map[string]string{"node": "node", "zone": "zone", "externalPeer": "external peer"}

func singlePoint(s topology.SinglePoint) string {
	return fmt.Sprintf("single point of failure: without %s %s, %s would be isolated", singlePointKinds[s.Kind], clean(s.Name), nodes(s.Nodes, s.Sample))
}

// event is a start or a loss and the estimated duration of its effect.
type event struct {
	name, reason string
	seconds      int
}

// events returns the estimates of t.
func events(t *Topology) []event {
	c := t.Summary.Convergence
	of := func(name string, d topology.Delay) event { return event{name, clean(d.Reason), d.Seconds} }
	start := of("routes missing after a start of calico-node", c.Start)
	if c.Waiting.Nodes > 0 {
		start.reason += "; this happens on " + nodes(c.Waiting.Nodes, c.Waiting.Sample)
	}
	if n := t.isolated(); n.Nodes > 0 {
		start.reason += "; " + either(n.Nodes, "the isolated node never gets", "the "+Count(n.Nodes, "isolated node")+" never get") + " routes"
	}
	out := []event{start}
	if c.ReflectorSilence.Seconds > 0 { // There are route reflectors.
		out = append(out,
			of("routes kept after the crash of a node's last route reflector", c.ReflectorCrash),
			of("routes kept after its graceful stop", c.ReflectorStop),
			of("routes kept after it stops responding", c.ReflectorSilence))
	}
	return out
}

// delays returns the estimates of t as text.
func delays(t *Topology) []fact {
	var out []fact
	for _, e := range events(t) {
		out = append(out, fact{e.name, Count(e.seconds, "second") + ": " + e.reason})
	}
	return out
}

// row compares one figure before and after a change.
type row struct{ Name, Before, After string }

// comparison compares the totals before and after a change. It omits those that are
// 0 both times.
func comparison(before, after *Topology) []row {
	compare := func(name string, of func(*Topology) int) row { return row{name, number(of(before)), number(of(after))} }
	out := []row{compare("nodes with BGP", func(t *Topology) int { return t.Summary.Nodes.BGP })}
	for _, f := range calico.Families {
		in := func(t *Topology) *topology.Sessions { return t.Summary.Sessions.In(f) }
		reach := func(t *Topology) *topology.Reach { return t.reach(t.Summary.Routes.In(f)) }
		for _, r := range []row{
			compare("sessions between nodes, "+f.String(), func(t *Topology) int { return in(t).Total }),
			compare("external half-sessions, "+f.String(), func(t *Topology) int { return in(t).External }),
			compare("broken half-sessions, "+f.String(), func(t *Topology) int { return in(t).Broken }),
			compare("most on one node, "+f.String(), func(t *Topology) int { return in(t).Most }),
			compare("isolated nodes, "+f.String(), func(t *Topology) int { return reach(t).Isolated.Nodes }),
			compare("pairs without a route, "+f.String(), func(t *Topology) int { return reach(t).WithoutRoute.Pairs }),
		} {
			if r.Before != "0" || r.After != "0" {
				out = append(out, r)
			}
		}
	}
	return out
}

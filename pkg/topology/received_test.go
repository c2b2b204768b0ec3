package topology

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// flatRoute is one route of a RouteTable. sender is the name of a node, "external" for external
// peers.
type flatRoute struct {
	origin, sender, kind, hop string
	path, communities         []string
	outside                   bool
}

// TestRouteTablesAgreeWithTheNaiveModel compares the routes of a node and of external peers. With
// transit, the table does not know which of its external peers a node has a route from, so it assumes
// that the node sends it to all of them: it may contain routes with communities that a node only
// adds on the way back, and of each kind of session that an ambiguous one may be.
func TestRouteTablesAgreeWithTheNaiveModel(t *testing.T) {
	forRandomStates(t, 12, seeds/2, func(r *rand.Rand, objects []calico.Object) string { return tablesDiffer(t, r, objects) })
}

// tablesDiffer compares the tables of a node and of external peers with the naive model.
func tablesDiffer(t *testing.T, r *rand.Rand, objects []calico.Object) string {
	t.Helper()
	s := state.New(objects...)
	q, err := NewRouteQuery(t.Context(), s)
	if err != nil {
		return err.Error()
	}
	m := newNaive(s)
	name, transit := nodeName(r.IntN(maxNodes)), r.IntN(2) == 0
	tables, err := q.Node(t.Context(), name, transit)
	if err != nil {
		return err.Error()
	}
	for i := range tables {
		one := &tables[i]
		f := familyNamed(one.Family)
		exact := !transit || !m.reads("") && !slices.ContainsFunc(m.slots, func(s *naiveSlot) bool { return s.ambiguous() && s.status == External })
		if fault := tableDiffers(m, f, name, exact, one, func(origin *calico.Node, block netip.Prefix) []flatRoute {
			return m.receivedBy(q, f, origin, block, name, transit, false)
		}); fault != "" {
			return fmt.Sprintf("%s of %s, transit %v: %s", f, name, transit, fault)
		}
		if got, want := serviceRoutesOf(one), m.servicesAt(f, name, transit); exact && got != want {
			return fmt.Sprintf("%s of %s, transit %v: Services: got %s, want %s", f, name, transit, got, want)
		}
		if fault := servicesDiffer(m, f, one, func(origin *calico.Node, p netip.Prefix) []flatRoute {
			return m.receivedBy(q, f, origin, p, name, transit, true)
		}); exact && fault != "" {
			return fmt.Sprintf("%s of %s, transit %v: Services: %s", f, name, transit, fault)
		}
	}
	for _, address := range []string{"192.0.2.1", "192.0.2.2", "2001:db8::1"} {
		peer := netip.MustParseAddr(address)
		one, err := q.Peer(t.Context(), peer)
		if err != nil {
			return err.Error()
		}
		f := calico.FamilyOf(peer)
		if (one != nil) != slices.ContainsFunc(m.slots, func(s *naiveSlot) bool { return s.peer == peer }) {
			return fmt.Sprintf("%s: known as a peer: %v", address, one != nil)
		}
		if one == nil {
			continue
		}
		if fault := tableDiffers(m, f, "", true, one, func(origin *calico.Node, block netip.Prefix) []flatRoute {
			return m.sentTo(q, f, origin, block, peer, false)
		}); fault != "" {
			return fmt.Sprintf("%s: %s", address, fault)
		}
		if fault := servicesDiffer(m, f, one, func(origin *calico.Node, p netip.Prefix) []flatRoute {
			return m.sentTo(q, f, origin, p, peer, true)
		}); fault != "" {
			return fmt.Sprintf("%s: Services: %s", address, fault)
		}
	}
	return ""
}

func familyNamed(text string) calico.Family {
	return calico.Families[slices.IndexFunc(calico.Families[:], func(f calico.Family) bool { return f.String() == text })]
}

// tableDiffers compares a table with the routes of every origin to every block. name is that of the
// node whose table it is, "" for an external peer. Unless the table is exact, it compares only whether
// there are routes.
func tableDiffers(m *naive, f calico.Family, name string, exact bool, table *RouteTable, want func(origin *calico.Node, block netip.Prefix) []flatRoute) string {
	blocks := []netip.Prefix{}
	for _, one := range m.allBlocks(f) {
		if m.mayExport(f, one.prefix) {
			blocks = append(blocks, one.prefix)
		}
	}
	for p := range m.originated(f) {
		if m.mayExport(f, p) && len(m.allBlocks(f)) > 0 && slices.ContainsFunc(m.state.IPPools(), func(pool *calico.IPPool) bool { return contains(pool.CIDR, p) }) {
			blocks = append(blocks, p)
		}
	}
	if len(m.allBlocks(f)) == 0 {
		blocks = append(blocks, netip.Prefix{})
	}
	for _, block := range blocks {
		got := map[string][]flatRoute{}
		for i := range table.Routes {
			if holds(table.Routes[i].Prefixes, block) {
				for _, one := range flat(&table.Routes[i]) {
					got[one.origin] = append(got[one.origin], one)
				}
			}
		}
		for _, origin := range m.nodes {
			if len(m.state.IPAMBlocks()) > 0 && len(m.allBlocks(f)) > 0 && !m.originates(f, origin, block) {
				// It is in the table only with other prefixes that sessions treat alike.
				for _, ranges := range rangesWith(table, origin.Name, block) {
					if !m.mayOriginate(f, origin, ranges) {
						return fmt.Sprintf("routes of %s to %v: it originates none", origin.Name, ranges)
					}
				}
				continue
			}
			wanted := shortest(want(origin, block))
			missing := slices.ContainsFunc(table.Missing, func(one MissingRoutes) bool {
				return holds(one.Prefixes, block) && slices.Contains(one.Origins.names, origin.Name)
			})
			g, w := lines(shortest(got[origin.Name])), lines(wanted)
			if known := exact || len(g) == 0 || len(w) == 0; known && !slices.Equal(g, w) {
				return fmt.Sprintf("routes of %s to %s:\ngot  %s\nwant %s", origin.Name, block, strings.Join(g, "\n     "), strings.Join(w, "\n     "))
			}
			if missing != (len(w) == 0 && origin.SpeaksBGP(f) && origin.Name != name) {
				return fmt.Sprintf("routes of %s to %s: missing %v, routes %d", origin.Name, block, missing, len(w))
			}
		}
	}
	return ""
}

// originated returns the prefixes of pods with their nodes, "" for one that is not known, by the IPAMBlocks.
func (m *naive) originated(f calico.Family) iter.Seq2[netip.Prefix, string] {
	return func(yield func(netip.Prefix, string) bool) {
		for _, b := range m.state.IPAMBlocks() {
			if calico.FamilyOf(b.CIDR.Addr()) != f {
				continue
			}
			if b.Own && !yield(b.CIDR, b.Node) {
				return
			}
			for _, one := range b.Borrowed {
				if !yield(netip.PrefixFrom(one.Address, one.Address.BitLen()), one.Node) {
					return
				}
			}
		}
	}
}

func (m *naive) originates(f calico.Family, n *calico.Node, p netip.Prefix) bool {
	for one, node := range m.originated(f) {
		if one == p && (node == n.Name || node == "") {
			return true
		}
	}
	return false
}

// originatesIn reports whether a node originates a route in some ranges.
func (m *naive) originatesIn(f calico.Family, n *calico.Node, ranges []PrefixRange) bool {
	for p, node := range m.originated(f) {
		if holds(ranges, p) && (node == n.Name || node == "") {
			return true
		}
	}
	return false
}

// mayOriginate reports whether a node originates a route in some ranges, or nobody does.
func (m *naive) mayOriginate(f calico.Family, n *calico.Node, ranges []PrefixRange) bool {
	for p := range m.originated(f) {
		if holds(ranges, p) {
			return m.originatesIn(f, n, ranges)
		}
	}
	return true
}

// rangesWith returns the prefixes of the rows of a table that contain a prefix and an origin.
func rangesWith(table *RouteTable, origin string, p netip.Prefix) [][]PrefixRange {
	var out [][]PrefixRange
	add := func(ranges []PrefixRange, origins *NodeGroup) {
		if holds(ranges, p) && slices.Contains(origins.names, origin) {
			out = append(out, ranges)
		}
	}
	for i := range table.Routes {
		add(table.Routes[i].Prefixes, &table.Routes[i].Origins)
	}
	for i := range table.Dropped {
		add(table.Dropped[i].Prefixes, &table.Dropped[i].Origins)
	}
	for i := range table.Missing {
		add(table.Missing[i].Prefixes, &table.Missing[i].Origins)
	}
	return out
}

// servicesDiffer compares the routes to each prefix in ranges of addresses of Services.
func servicesDiffer(m *naive, f calico.Family, table *RouteTable, want func(origin *calico.Node, p netip.Prefix) []flatRoute) string {
	for _, one := range m.ranges(f) {
		k := slices.IndexFunc(table.Services, func(s ServiceRoutes) bool { return s.Field == one.field && s.CIDR == one.cidr.String() })
		for _, p := range one.prefixes() {
			var got, wanted []flatRoute
			for i := range table.Services[k].Routes {
				if g := &table.Services[k].Routes[i]; holds(g.Prefixes, p) {
					got = append(got, flat(g)...)
				}
			}
			for _, origin := range m.nodes {
				if origin.SpeaksBGP(f) && !excluded(origin) {
					wanted = append(wanted, want(origin, p)...)
				}
			}
			if g, w := lines(shortest(got)), lines(shortest(wanted)); !slices.Equal(g, w) {
				return fmt.Sprintf("routes to %s:\ngot  %s\nwant %s", p, strings.Join(g, "\n     "), strings.Join(w, "\n     "))
			}
		}
	}
	return ""
}

// holds reports whether ranges contain a block; without ranges, all routes are the same.
func holds(ranges []PrefixRange, block netip.Prefix) bool {
	return len(ranges) == 0 || slices.ContainsFunc(ranges, func(r PrefixRange) bool {
		return netip.MustParsePrefix(r.CIDR).Contains(block.Addr()) && r.Length == block.Bits() &&
			!slices.ContainsFunc(r.Except, func(c string) bool { return netip.MustParsePrefix(c).Contains(block.Addr()) })
	})
}

// flat returns the routes of a group.
func flat(g *RouteGroup) []flatRoute {
	var out []flatRoute
	for _, origin := range g.Origins.names {
		one := flatRoute{origin: origin, kind: g.Type, hop: g.NextHop.Kind, communities: slices.Sorted(slices.Values(g.Communities)), outside: g.ThroughExternalPeers}
		for _, asn := range g.ASPath {
			text := "own"
			if asn != nil {
				text = fmt.Sprint(*asn)
			}
			one.path = append(one.path, text)
		}
		switch g.From.Kind {
		case FromOrigin:
			one.sender = origin
			out = append(out, one)
		case FromExternalPeers:
			one.sender = "external"
			out = append(out, one)
		default:
			for _, sender := range g.From.Nodes.names {
				if sender != origin {
					one.sender = sender
					out = append(out, one)
				}
			}
		}
	}
	return out
}

// shortest returns the routes whose path does not contain all AS numbers of another one with the
// same other attributes.
func shortest(list []flatRoute) []flatRoute {
	var out []flatRoute
	rest := func(r flatRoute) string { r.path = nil; return fmt.Sprint(r) }
	inside := func(a, b []string) bool {
		count := map[string]int{}
		for _, asn := range b {
			count[asn]++
		}
		for _, asn := range a {
			count[asn]--
			if count[asn] < 0 {
				return false
			}
		}
		return true
	}
	for _, r := range list {
		if !slices.ContainsFunc(list, func(s flatRoute) bool {
			return rest(r) == rest(s) && len(s.path) < len(r.path) && inside(s.path, r.path)
		}) {
			out = append(out, r)
		}
	}
	return out
}

func lines(list []flatRoute) []string {
	var out []string
	for _, r := range list {
		out = append(out, fmt.Sprintf("%+v", r))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// receivedBy returns the routes of a node to a block that another node has.
func (m *naive) receivedBy(q *RouteQuery, f calico.Family, origin *calico.Node, block netip.Prefix, name string, transit, services bool) []flatRoute {
	var out []flatRoute
	if origin.Name == name || !origin.SpeaksBGP(f) {
		return nil
	}
	reading := m.reading(false)
	if transit {
		reading = m.withASPaths()
	}
	w := &naiveFlood{model: m, family: f, block: block, services: services, reading: reading, all: true, silent: name}
	w.run(origin, func(r naiveRoute) {
		if r.at.Name == name {
			one := m.flatten(q, f, origin, r)
			one.sender, one.kind = "external", sessionType(r.in.internal())
			switch {
			case r.in.status == Paired:
				one.sender = m.owner(f, r.in.peer).Name
				one.hop = hopKind(r.hop, origin.Name, one.sender)
			case r.in.internal():
				one.hop = NextHopUnknown
			default:
				one.hop = NextHopSender
			}
			out = append(out, one)
		}
	})
	return out
}

// sentTo returns the routes of a node to a block that nodes send to an external peer.
func (m *naive) sentTo(q *RouteQuery, f calico.Family, origin *calico.Node, block netip.Prefix, peer netip.Addr, services bool) (out []flatRoute) {
	if !origin.SpeaksBGP(f) {
		return nil
	}
	w := &naiveFlood{model: m, family: f, block: block, services: services, reading: m.reading(false), all: true}
	has := map[*calico.Node][]naiveRoute{}
	defer func() {
		for _, s := range m.slots {
			if s.family != f || services || !block.IsValid() || s.peer != peer || s.status != External || !w.carriesKernel(s, origin, has) {
				continue
			}
			next, _ := w.kernelRoute(s)
			one := m.flatten(q, f, origin, next)
			one.sender, one.kind, one.hop = s.node.Name, sessionType(false), hopKind(next.hop, origin.Name, s.node.Name)
			out = append(out, one)
		}
	}()
	w.run(origin, func(r naiveRoute) {
		has[r.at] = append(has[r.at], r)
		if services && r.in != nil && !excluded(r.at) {
			return // It prefers its own route.
		}
		for _, s := range m.slots {
			if s.node != r.at || s.peer != peer || s.status != External || !s.exports(r) {
				continue
			}
			if next, ok := w.sent(r, s); ok {
				one := m.flatten(q, f, origin, next)
				one.sender, one.kind, one.hop = s.node.Name, sessionType(s.internal()), hopKind(next.hop, origin.Name, s.node.Name)
				out = append(out, one)
			}
		}
	})
	return out
}

func hopKind(hop *calico.Node, origin, sender string) string {
	switch {
	case hop == nil:
		return NextHopUnknown
	case hop.Name == origin:
		return NextHopOrigin
	case hop.Name == sender:
		return NextHopSender
	}
	return NextHopNode
}

// flatten returns the attributes of a route. Of the AS numbers that only one node has, those of
// nodes that have the same sessions are not distinguished.
func (m *naive) flatten(q *RouteQuery, f calico.Family, origin *calico.Node, r naiveRoute) flatRoute {
	one := flatRoute{origin: origin.Name, outside: r.outside, communities: slices.Clone(r.communities)}
	slices.Sort(one.communities)
	routing := q.t.routings[f]
	for _, asn := range slices.Backward(r.path) {
		text := fmt.Sprint(asn)
		if routing.asn[asn] {
			i, _ := q.t.index.Find(m.nodes[slices.IndexFunc(m.nodes, func(n *calico.Node) bool { return m.asnOf(n) == asn })].Name)
			if routing.graph.Vertices[routing.vertex(i)].Nodes > 1 {
				text = "own"
			}
		}
		one.path = append(one.path, text)
	}
	return one
}

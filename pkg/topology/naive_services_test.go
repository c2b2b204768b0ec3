package topology

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"sort"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// naiveRange is an entry of a list of ranges of addresses of Services.
type naiveRange struct {
	field string
	cidr  netip.Prefix
	route bool // every node has a route to the whole range
}

// prefixes returns those to which nodes advertise routes.
func (r naiveRange) prefixes() []netip.Prefix {
	if r.route {
		return []netip.Prefix{r.cidr}
	}
	var out []netip.Prefix
	for a := r.cidr.Addr(); r.cidr.Contains(a); a = a.Next() {
		out = append(out, netip.PrefixFrom(a, a.BitLen()))
	}
	return out
}

var naiveServiceFields = []string{"serviceClusterIPs", "serviceExternalIPs", "serviceLoadBalancerIPs"}

// ranges returns the ranges of addresses of Services in a family.
func (m *naive) ranges(f calico.Family) []naiveRange {
	var out []naiveRange
	c := m.state.BGPConfiguration(calico.Default)
	if c == nil {
		return nil
	}
fields:
	for _, field := range naiveServiceFields {
		var list []naiveRange
		entries, _ := c.Spec[field].([]any)
		for _, entry := range entries {
			cidr, err := netip.ParsePrefix(entry.(map[string]any)["cidr"].(string))
			if err != nil {
				continue fields
			}
			one := naiveRange{field, cidr.Masked(), true}
			switch {
			case field == "serviceClusterIPs":
			case cidr.Bits() == cidr.Addr().BitLen(), field == "serviceLoadBalancerIPs" && m.atLeast(3, 31, 0) && c.Spec["serviceLoadBalancerAggregation"] == "Disabled":
				one.route = false
			}
			if calico.FamilyOf(cidr.Addr()) == f && !slices.Contains(list, one) {
				list = append(list, one)
			}
		}
		out = append(out, list...)
	}
	return out
}

// excluded reports whether a node advertises no addresses of Services.
func excluded(n *calico.Node) bool {
	return n.Labels["node.kubernetes.io/exclude-from-external-load-balancers"] == "true"
}

// exportsService reports whether a node exports a route to addresses of Services that no rule of a
// BGPFilter accepts.
func (w *naiveFlood) exportsService(n *calico.Node) bool {
	inside := func(cidr netip.Prefix) bool { return cidr.Bits() <= w.block.Bits() && cidr.Contains(w.block.Addr()) }
	pool := false
	for _, p := range w.model.state.IPPools() {
		if p.CIDR.IsValid() && inside(p.CIDR) {
			pool = true
		}
	}
	if !excluded(n) || pool {
		return true
	}
	for _, one := range w.model.ranges(w.family) {
		if n.ClusterID != "" && inside(one.cidr) && (one.field == "serviceLoadBalancerIPs" || one.field == "serviceExternalIPs" && w.model.atLeast(3, 33, 0)) {
			return true
		}
	}
	return false
}

// serviceRanges is the part of the summary about a family as text.
func (m *naive) serviceRanges(f calico.Family) string {
	var out []string
	nodes := 0
	for _, n := range m.nodes {
		if n.SpeaksBGP(f) && !excluded(n) {
			nodes++
		}
	}
	for _, one := range m.ranges(f) {
		prefixes := one.prefixes()
		carried, without := map[*naiveSlot]int{}, 0.0
		for _, p := range prefixes {
			list := m.carrying(f, p)
			for _, s := range list {
				carried[s]++
			}
			if len(list) == 0 {
				without += math.Pow(2, float64(one.cidr.Addr().BitLen()-p.Bits()))
			}
		}
		sessions := 0
		for _, times := range carried {
			if times == len(prefixes) {
				sessions++
			}
		}
		var hops []string
		for _, n := range m.nodes {
			if one.route && slices.ContainsFunc(m.nodes, func(at *calico.Node) bool { return at != n && m.takes(f, at, n.Address[f].Addr(), one.cidr) }) {
				hops = append(hops, n.Name)
			}
		}
		out = append(out, fmt.Sprintf("%s %s: %d nodes, %d sessions%s%s%s; ", one.field, one.cidr, nodes, sessions, partText(sessions, len(carried), without), hopsText(len(hops), hops), poolsText(m.poolsInside(f, one))))
	}
	sort.Strings(out)
	return fmt.Sprint(out)
}

// partText describes the sessions that carry a part of a range, and the addresses that none carries.
func partText(sessions, part int, without float64) string {
	if sessions == part {
		return ""
	}
	return fmt.Sprintf(", %d carry a part, %.0f addresses on none", part, without)
}

// poolsInside returns the parts of pools that need BGP with blocks in a range, of which no node programs
// routes.
func (m *naive) poolsInside(f calico.Family, one naiveRange) []PoolPart {
	var out []PoolPart
	for _, b := range m.allBlocks(f) {
		rejected := one.route && one.cidr.Bits() <= b.prefix.Bits() && one.cidr.Contains(b.prefix.Addr())
		part := PoolPart{b.pool.Name, b.pool.CIDR.String()}
		if one.cidr.Bits() > b.pool.CIDR.Bits() {
			part.CIDR = one.cidr.String()
		}
		if rejected && b.pool.Spec["vxlanMode"] != "Always" && !slices.Contains(out, part) {
			out = append(out, part)
		}
	}
	return out
}

// poolsText names parts of pools in a range.
func poolsText(parts []PoolPart) string {
	if len(parts) == 0 {
		return ""
	}
	return fmt.Sprintf(", pools %v", parts)
}

// hopsText names nodes whose addresses other nodes resolve through a route to a range.
func hopsText(n int, names []string) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(", %d next hops %v", n, names[:min(len(names), SampleSize)])
}

// takes reports whether the longest prefix with an address in the table of a node is its route to
// a range, and not the network of its own address.
func (m *naive) takes(f calico.Family, at *calico.Node, address netip.Addr, cidr netip.Prefix) bool {
	own := at.Address[f]
	advertised := slices.ContainsFunc(m.nodes, func(n *calico.Node) bool { return n.SpeaksBGP(f) && !excluded(n) })
	if !at.SpeaksBGP(f) || !advertised || own.IsSingleIP() || !cidr.Contains(address) {
		return false
	}
	longest := cidr
	if network := own.Masked(); network.Contains(address) && network.Bits() >= cidr.Bits() {
		longest = network
	}
	return longest != own.Masked()
}

// carrying returns the half-sessions with external peers that carry a route to a prefix of addresses
// of Services.
func (m *naive) carrying(f calico.Family, p netip.Prefix) []*naiveSlot {
	w := &naiveFlood{model: m, family: f, block: p, services: true, reading: m.reading(false)}
	for _, n := range m.nodes {
		if n.SpeaksBGP(f) && !excluded(n) {
			w.fresh = append(w.fresh, m.own(n, f))
		}
	}
	has := map[*calico.Node][]naiveRoute{}
	for len(w.fresh) > 0 {
		r := w.fresh[0]
		w.fresh = w.fresh[1:]
		if r.in == nil || excluded(r.at) { // Other nodes prefer their own route.
			has[r.at] = append(has[r.at], r)
		}
		w.spread(r)
	}
	var out []*naiveSlot
	for _, s := range m.slots {
		if s.family != f || s.workload() || s.status != External || !m.reading(true).passes(s) {
			continue
		}
		if !slices.ContainsFunc(s.candidates, func(h HalfSession) bool { return !w.carries(s, h, has[s.node]) }) {
			out = append(out, s)
		}
	}
	return out
}

// servicesAt returns, as text, which nodes' routes to ranges of addresses of Services a node has.
func (m *naive) servicesAt(f calico.Family, name string, transit bool) string {
	reading := m.reading(false)
	if transit {
		reading = m.withASPaths()
	}
	var out []string
	for _, one := range m.ranges(f) {
		prefixes := one.prefixes()
		var with, part, without []string
		advertised := false
		for _, origin := range m.nodes {
			if !origin.SpeaksBGP(f) || excluded(origin) {
				continue
			}
			if origin.Name == name {
				advertised = true
				continue
			}
			has := 0
			for _, p := range prefixes {
				w := &naiveFlood{model: m, family: f, block: p, services: true, reading: reading, silent: name}
				got := false
				w.run(origin, func(r naiveRoute) { got = got || r.at.Name == name })
				if got {
					has++
				}
			}
			switch has {
			case len(prefixes):
				with = append(with, origin.Name)
			case 0:
				without = append(without, origin.Name)
			default:
				part = append(part, origin.Name)
			}
		}
		out = append(out, fmt.Sprintln(one.field, one.cidr, one.route, advertised, with, part, without))
	}
	sort.Strings(out)
	return fmt.Sprint(out)
}

// serviceRoutesOf returns the ranges in the table of a node as text.
func serviceRoutesOf(table *RouteTable) string {
	out := []string{}
	for _, one := range table.Services {
		out = append(out, fmt.Sprintln(one.Field, one.CIDR, !one.Single, one.Advertised, one.Nodes.names, one.Partial.names, one.Others.names))
	}
	sort.Strings(out)
	return fmt.Sprint(out)
}

// carries reports whether a half-session whose AS numbers are those of a candidate carries one of
// some routes.
func (w *naiveFlood) carries(s *naiveSlot, h HalfSession, list []naiveRoute) bool {
	one := *s
	one.candidates = slices.Clone(s.candidates)
	for i := range one.candidates {
		one.candidates[i].LocalASN, one.candidates[i].PeerASN = h.LocalASN, h.PeerASN
	}
	return slices.ContainsFunc(list, func(r naiveRoute) bool {
		if !one.exports(r) {
			return false
		}
		_, ok := w.sent(r, &one)
		return ok
	})
}

func serviceRangesOf(list []ServiceRange) string {
	out := []string{}
	for _, one := range list {
		sessions, part := -1, ""
		if one.Sessions != nil {
			sessions, part = *one.Sessions, partText(*one.Sessions, *one.PartSessions, one.Unadvertised.Addresses)
		}
		out = append(out, fmt.Sprintf("%s %s: %d nodes, %d sessions%s%s%s; ", one.Field, one.CIDR, one.Nodes, sessions, part, hopsText(one.NextHops.Nodes, one.NextHops.Sample), poolsText(one.IPPools)))
	}
	sort.Strings(out)
	return fmt.Sprint(out)
}

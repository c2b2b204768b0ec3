package topology

import (
	"fmt"
	"math"
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// blocks returns every block of the pools that need BGP and that some node may export. It returns
// the zero Prefix if there are none, or if nothing in the state distinguishes blocks.
func (m *naive) blocks(f calico.Family) []netip.Prefix {
	if !m.reads("") {
		return []netip.Prefix{{}}
	}
	var out []netip.Prefix
	for _, one := range m.allBlocks(f) {
		if one.pool.Spec["vxlanMode"] != "Always" && m.mayExport(f, one.prefix) {
			out = append(out, one.prefix)
		}
	}
	if out == nil {
		out = m.allocated(f, nil)
	}
	if out == nil {
		return []netip.Prefix{{}}
	}
	return out
}

// allocated returns the prefixes that need BGP and that a node originates because its pods have addresses, by the
// IPAMBlocks; those of all nodes for nil. It returns none if nothing in the state distinguishes prefixes.
func (m *naive) allocated(f calico.Family, n *calico.Node) []netip.Prefix {
	var out []netip.Prefix
	add := func(p netip.Prefix, node string) {
		if n != nil && node != n.Name && node != "" || !m.reads("") || !m.mayExport(f, p) {
			return
		}
		for _, pool := range m.state.IPPools() {
			if pool.CIDR.Overlaps(p) && pool.CIDR.Bits() <= p.Bits() && pool.Spec["vxlanMode"] != "Always" {
				out = append(out, p)
				return
			}
		}
	}
	for _, b := range m.state.IPAMBlocks() {
		if calico.FamilyOf(b.CIDR.Addr()) != f {
			continue
		}
		if b.Own {
			add(b.CIDR, b.Node)
		}
		for _, one := range b.Borrowed {
			add(netip.PrefixFrom(one.Address, one.Address.BitLen()), one.Node)
		}
	}
	return out
}

// naiveBlock is a block of a pool.
type naiveBlock struct {
	prefix netip.Prefix
	pool   *calico.IPPool
}

// allBlocks returns every block of the pools.
func (m *naive) allBlocks(f calico.Family) []naiveBlock {
	var out []naiveBlock
	for _, p := range m.state.IPPools() {
		cidr, err := netip.ParsePrefix(fmt.Sprint(p.Spec["cidr"]))
		if err != nil || calico.FamilyOf(cidr.Addr()) != f {
			continue
		}
		size := map[calico.Family]int{calico.IPv4: 26, calico.IPv6: 122}[f]
		if n, ok := p.Spec["blockSize"].(int64); ok {
			size = int(n)
		}
		for a := cidr.Masked().Addr(); cidr.Contains(a); {
			block := netip.PrefixFrom(a, size)
			out = append(out, naiveBlock{block, p})
			for block.Contains(a) {
				a = a.Next()
			}
		}
	}
	return out
}

// unexported reports whether a pool with disableBGPExport contains a prefix.
func (m *naive) unexported(block netip.Prefix) bool {
	for _, p := range m.state.IPPools() {
		cidr, err := netip.ParsePrefix(fmt.Sprint(p.Spec["cidr"]))
		if err == nil && p.Spec["disableBGPExport"] == true && cidr.Bits() <= block.Bits() && cidr.Contains(block.Addr()) {
			return true
		}
	}
	return false
}

// mayExport reports whether some node may export a block: no pool with disableBGPExport contains it, or
// a rule on a session with a node or router accepts it.
func (m *naive) mayExport(f calico.Family, block netip.Prefix) bool {
	if !m.unexported(block) {
		return true
	}
	all := m.reading(true)
	for _, s := range m.slots {
		if s.family != f || s.workload() || s.status != Paired && (s.status != External || !all.passes(s)) {
			continue
		}
		for _, h := range s.candidates {
			for _, filter := range m.state.BGPFilters() {
				rules, _ := filter.Spec[naiveField("export", f)].([]any)
				if !slices.Contains(h.Filters, filter.Name) {
					continue
				}
				for _, one := range rules {
					rule := one.(map[string]any)
					name, limited := rule["interface"].(string)
					if rule["action"] == "Accept" && naiveInside(rule, block) && (!limited || name == "*" || name == "eth0") {
						return true
					}
				}
			}
		}
	}
	return false
}

// reads reports whether a rule of a BGPFilter has a field, and for "" whether there are
// BGPFilters or prefixAdvertisements.
func (m *naive) reads(field string) bool {
	out, ok := m.fields[field]
	if !ok {
		for _, c := range m.state.BGPConfigurations() {
			out = out || field == "" && c.Spec["prefixAdvertisements"] != nil
		}
		for _, filter := range m.state.BGPFilters() {
			out = out || strings.Contains(fmt.Sprint(filter.Spec), field)
		}
		m.fields[field] = out
	}
	return out
}

// kernelInterface returns the interface of the routes that Felix programs to a block of another node, "" for none: that of
// the smallest pool around it.
func (m *naive) kernelInterface(f calico.Family, block netip.Prefix) string {
	bits, out := -1, ""
	for _, b := range m.allBlocks(f) {
		if !b.pool.CIDR.Overlaps(block) || b.pool.CIDR.Bits() > block.Bits() || b.pool.CIDR.Bits() <= bits {
			continue
		}
		bits, out = b.pool.CIDR.Bits(), ""
		if b.pool.Spec["vxlanMode"] == "Always" {
			out = map[calico.Family]string{calico.IPv4: "vxlan.calico", calico.IPv6: "vxlan-v6.calico"}[f]
		}
	}
	return out
}

// kernelRoute returns the route to a block that a node has from Felix, as it sends it over a session with an external peer,
// and false if it sends none.
func (w *naiveFlood) kernelRoute(s *naiveSlot) (naiveRoute, bool) {
	one := *w
	one.kernel = w.model.kernelInterface(w.family, w.block)
	next := w.model.own(s.node, w.family)
	if one.kernel == "" || s.internal() {
		return next, false
	}
	if next.path = []uint32{s.localASN()}; s.candidates[0].NextHopMode == "Keep" {
		next.hop = nil
	}
	switch one.filter("export", s, &next, false) {
	case "Reject":
		return next, false
	case "":
		for _, c := range w.model.advertised(s.node, w.block) {
			next.communities = withText(next.communities, c)
		}
		return next, !w.model.unexported(w.block)
	}
	return next, true
}

// priority is that of the routes that nodes originate.
func (m *naive) priority(f calico.Family) int64 {
	if c := m.state.BGPConfiguration(calico.Default); c != nil {
		if n, ok := c.Spec[map[calico.Family]string{calico.IPv4: "ipv4NormalRoutePriority", calico.IPv6: "ipv6NormalRoutePriority"}[f]].(int64); ok && n >= 0 && n <= math.MaxInt32 {
			return n
		}
	}
	return 1024
}

// advertised returns the communities of the prefixAdvertisements of a node that contain a block.
func (m *naive) advertised(n *calico.Node, block netip.Prefix) []string {
	var list []any
	for _, name := range []string{calico.Default, "node." + n.Name} {
		if c := m.state.BGPConfiguration(name); c != nil && c.Spec["prefixAdvertisements"] != nil {
			list = c.Spec["prefixAdvertisements"].([]any)
		}
	}
	var out []string
	for _, one := range list {
		entry := one.(map[string]any)
		cidr, err := netip.ParsePrefix(entry["cidr"].(string))
		if err == nil && cidr.Bits() <= block.Bits() && cidr.Contains(block.Addr()) {
			for _, c := range entry["communities"].([]any) {
				out = append(out, c.(string))
			}
		}
	}
	return out
}

func withText(list []string, text string) []string {
	out := append(slices.Clone(list), text)
	slices.Sort(out)
	return slices.Compact(out)
}

func naiveField(direction string, f calico.Family) string {
	return direction + map[calico.Family]string{calico.IPv4: "V4", calico.IPv6: "V6"}[f]
}

// filter returns the action of the BGPFilters of a slot on a route, "" if no rule matches. If
// it is not known which BGPFilters apply, all must let the route pass, and the first decide
// its attributes.
func (w *naiveFlood) filter(direction string, s *naiveSlot, r *naiveRoute, learned bool) string {
	var lists []string
	for _, h := range s.candidates {
		lists = withText(lists, strings.Join(h.Filters, ","))
	}
	out := "Accept"
	for i, names := range lists {
		copied := *r
		action := w.act(direction, strings.Split(names, ","), s, &copied, learned)
		switch {
		case action == "Reject":
			return action
		case action == "":
			out = ""
		}
		if i == 0 {
			*r = copied
		}
	}
	return out
}

// act returns the action of the first rule of some BGPFilters that matches a route, and changes
// the route as this rule says.
func (w *naiveFlood) act(direction string, names []string, s *naiveSlot, r *naiveRoute, learned bool) string {
	for _, name := range names {
		for _, filter := range w.model.state.BGPFilters() {
			rules, _ := filter.Spec[naiveField(direction, w.family)].([]any)
			if filter.Name != name {
				continue
			}
			for _, one := range rules {
				rule := one.(map[string]any)
				matches := w.matches(rule, s, r, learned)
				action := rule["action"].(string)
				if matches == "no" || matches == "perhaps" && action == "Accept" {
					continue
				}
				if action == "Accept" && w.model.atLeast(3, 32, 0) {
					operate(rule, r)
				}
				return action
			}
		}
	}
	return ""
}

func operate(rule map[string]any, r *naiveRoute) {
	list, _ := rule["operations"].([]any)
	for _, one := range list {
		operation := one.(map[string]any)
		if o, ok := operation["addCommunity"].(map[string]any); ok {
			r.communities = withText(r.communities, o["value"].(string))
		}
		if o, ok := operation["prependASPath"].(map[string]any); ok {
			for _, asn := range slices.Backward(o["prefix"].([]any)) {
				r.path = append(slices.Clone(r.path), uint32(asn.(int64)))
			}
		}
		if o, ok := operation["setPriority"].(map[string]any); ok {
			r.preference = math.MaxInt32 - o["value"].(int64)
		}
	}
}

// matches reports whether a rule matches: "yes", "no" or "perhaps".
func (w *naiveFlood) matches(rule map[string]any, s *naiveSlot, r *naiveRoute, learned bool) string {
	if !naiveInside(rule, w.block) {
		return "no"
	}
	if rule["source"] == "RemotePeers" && !learned {
		return "no"
	}
	out := "yes"
	if pattern, ok := rule["interface"].(string); ok {
		matched, _ := path.Match(pattern, "")
		// The interface towards a node is not known, but none of Calico's.
		byKernel, _ := path.Match(pattern, w.kernel)
		switch {
		case w.kernel != "" && !byKernel:
			return "no"
		case pattern == "*", w.kernel != "":
		case !learned && !matched, pattern == "vxlan.calico", pattern == "cali*":
			return "no"
		default:
			out = "perhaps"
		}
	}
	if !w.model.atLeast(3, 32, 0) {
		return out
	}
	internal := s.internal()
	if rule["peerType"] == "eBGP" && internal || rule["peerType"] == "iBGP" && !internal {
		return "no"
	}
	if n, ok := rule["priority"].(int64); ok && r.preference != math.MaxInt32-n {
		return "no"
	}
	if c, ok := rule["communities"].(map[string]any); ok && !slices.Contains(r.communities, c["values"].([]any)[0].(string)) {
		if !r.outside {
			return "no"
		}
		out = "perhaps"
	}
	prefix, _ := rule["asPathPrefix"].([]any)
	for i, asn := range prefix {
		if k := len(r.path) - 1 - i; k < 0 || int64(r.path[k]) != asn.(int64) {
			if !r.outside {
				return "no"
			}
			out = "perhaps"
		}
	}
	return out
}

// naiveInside reports whether the condition on the prefix holds.
func naiveInside(rule map[string]any, block netip.Prefix) bool {
	text, ok := rule["cidr"].(string)
	if !ok {
		return true
	}
	cidr := netip.MustParsePrefix(text)
	lengths, limited := rule["prefixLength"].(map[string]any)
	operator := rule["matchOperator"].(string)
	var matches bool
	if strings.HasSuffix(operator, "In") {
		low, high := int64(cidr.Bits()), int64(128)
		if n, ok := lengths["min"].(int64); ok {
			low = max(low, n)
		}
		if n, ok := lengths["max"].(int64); ok {
			high = n
		}
		matches = cidr.Contains(block.Addr()) && int64(block.Bits()) >= low && int64(block.Bits()) <= high
	} else {
		matches = !limited && cidr == block
	}
	return matches != strings.HasPrefix(operator, "Not")
}

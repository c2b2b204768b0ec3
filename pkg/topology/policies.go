package topology

import (
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/bits-and-blooms/bitset"
	v3 "github.com/projectcalico/api/pkg/apis/projectcalico/v3"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology/routes"
	"github.com/bgpguard/bgpguard/pkg/topology/sessions"
	"github.com/bgpguard/bgpguard/pkg/topology/sessions/bgpfilter"
)

// podPrefixes is the prefixes that a cluster needs routes to in one family: the blocks of the
// IPPools whose pods need BGP.
type podPrefixes struct {
	pools []podPool
	// priority is that of the routes that nodes originate.
	priority uint32
	exports  exports
	key      string // equal for equal podPrefixes, but for blocks
	// blocks are the blocks with addresses of pods, nil if they are not known.
	blocks *podBlocks
}

// podPool is the name and CIDR of an IPPool and the length of its blocks. tunnelled reports that BIRD
// sends all packets to its pods through IPIP: the kernel filter sets a tunnel, and BIRD routes through
// it to the next hop (bird_ipam.cfg.template; Calico's BIRD, sysdep/linux/netlink.c, nl_send_route).
// With CrossSubnet, it does so only for next hops in other subnets.
type podPool struct {
	name      string
	cidr      netip.Prefix
	blockSize int
	tunnelled bool
	// kernel is the interface of the routes that Felix programs on every node to the pods on others: "" if Felix
	// programs none, unknownInterface if it is not always the same.
	kernel string
}

// unknownInterface is the interface of routes of which some leave by a tunnel and others not.
const unknownInterface = "?"

// kernelInterface returns podPool.kernel of an IPPool. BIRD learns these routes from the kernel (protocol kernel in
// bird.cfg.template), and rejects them only towards iBGP peers if they leave by an interface of Calico (bird_ipam.cfg.template;
// bgp_processor.go, processIPPools).
func (n *needs) kernelInterface(p *calico.IPPool) string {
	switch {
	case p.VXLANMode == string(v3.VXLANModeAlways):
		return map[calico.Family]string{calico.IPv4: "vxlan.calico", calico.IPv6: "vxlan-v6.calico"}[p.Family]
	case p.VXLANMode != string(v3.VXLANModeNever):
		return unknownInterface
	case p.IPIPMode == string(v3.IPIPModeNever) || n.ipip:
		return ""
	case p.IPIPMode == string(v3.IPIPModeAlways):
		return "tunl0"
	}
	return unknownInterface
}

// podPrefixes returns the prefixes that need BGP in a family. O(IPPools).
func (t *Topology) podPrefixes(f calico.Family, needs func(*calico.IPPool) bool) podPrefixes {
	out := podPrefixes{priority: t.snapshot.BGPConfiguration(calico.Default).NormalPriority(f), exports: t.exports(f)}
	out.key = strconv.FormatUint(uint64(out.priority), 10) + out.exports.key
	if t.allocations.summary.Known {
		out.blocks = t.allocations.blocks
	}
	for _, p := range t.snapshot.IPPools() {
		if p.Family == f && p.CIDR.IsValid() && t.allocations.mayRoute(p) != AllocationsNone && needs(p) {
			tunnelled := t.needs.tunnels && f == calico.IPv4 && p.IPIPMode == string(v3.IPIPModeAlways)
			out.pools = append(out.pools, podPool{p.Name, p.CIDR, p.BlockSize(), tunnelled, t.felix.kernelInterface(p)})
			out.key += fmt.Sprint(" ", p.Name, p.CIDR, p.BlockSize(), tunnelled)
		}
	}
	return out
}

// kernelOf returns podPool.kernel of the smallest IPPool that contains a prefix: Felix finds the IPPool of a block by its
// longest prefix (felix/calc/l3_route_resolver.go).
func (p *podPrefixes) kernelOf(prefix netip.Prefix) string {
	bits, out := -1, ""
	for i := range p.pools {
		if one := &p.pools[i]; one.cidr.Bits() > bits && contains(one.cidr, prefix) {
			bits, out = one.cidr.Bits(), one.kernel
		}
	}
	return out
}

// policies numbers the lists of BGPFilters of half-sessions. Number 0 is no BGPFilter.
type policies struct {
	numbers map[string]int
	// lists are, of each number but 0, the alternatives of an ambiguous half-session.
	lists [][]filterList
}

// filterList is a list of BGPFilters, separated by commas, and its rules by direction.
type filterList struct {
	names string
	rules [2]bgpfilter.Rules
}

// number returns the number of some lists of BGPFilters, of which one applies.
func (r *routing) number(lists ...string) int {
	if len(lists) == 1 && lists[0] == "" {
		return 0
	}
	slices.Sort(lists)
	key, p := strings.Join(lists, "|"), &r.policies
	n, ok := p.numbers[key]
	if !ok {
		if p.numbers == nil {
			p.numbers = map[string]int{}
		}
		list := make([]filterList, len(lists))
		for i, names := range lists {
			list[i] = filterList{names, r.network.FilterRules(names)}
		}
		p.lists = append(p.lists, list)
		n = len(p.lists)
		p.numbers[key] = n
	}
	return n
}

// equal reports whether the same numbers have the same lists of BGPFilters with the same rules.
func (p *policies) equal(q *policies) bool {
	return slices.EqualFunc(p.lists, q.lists, func(a, b []filterList) bool {
		return slices.EqualFunc(a, b, func(a, b filterList) bool {
			return a.names == b.names && a.rules[bgpfilter.Import].Text() == b.rules[bgpfilter.Import].Text() && a.rules[bgpfilter.Export].Text() == b.rules[bgpfilter.Export].Text()
		})
	})
}

// refilter replaces the rules by those of a network, and reports whether they are the same.
func (p *policies) refilter(n *network) bool {
	same, lists := true, make([][]filterList, len(p.lists))
	for i, list := range p.lists {
		lists[i] = make([]filterList, len(list))
		for k := range list {
			lists[i][k] = filterList{list[k].names, n.FilterRules(list[k].names)}
			for d := range list[k].rules {
				same = same && lists[i][k].rules[d].Text() == list[k].rules[d].Text()
			}
		}
	}
	p.lists = lists
	return same
}

// evaluates reports whether routes to different prefixes may pass different sessions.
func (r *routing) evaluates() bool {
	return r.tunnels() || len(r.policies.lists) > 0 || slices.ContainsFunc(r.network.Advertised, func(a sessions.Advertised) bool { return len(a.List) > 0 })
}

// tunnels reports whether it matters that packets to some pods go through a tunnel: external peers
// may pass routes to them on.
func (r *routing) tunnels() bool {
	return len(r.network.Passing[routes.WithASPaths].Exits) > 0 && slices.ContainsFunc(r.pods.pools, func(p podPool) bool { return p.tunnelled })
}

// destinations returns the kinds of prefixes of pods that sessions treat differently, nil if
// they treat all alike. It sets partial if there are too many.
func (r *routing) destinations() []routes.Destination {
	if !r.evaluates() {
		return nil
	}
	var out []routes.Destination
	for i := range r.classes {
		out = append(out, r.classes[i].destination)
	}
	return out
}

// prefixClass is the prefixes of pods that all rules and prefixAdvertisements treat alike, all or none
// of which are tunnelled, and whose podPool.kernel is the same. prefix is one of them.
type prefixClass struct {
	prefix    netip.Prefix
	tunnelled bool
	kernel    string
	parts     []poolPart
	// future reports that IPAM can allocate new blocks in one of the parts.
	future bool
	// destination is what the sessions do with the routes; see findClasses.
	destination routes.Destination
}

// poolPart is the prefixes of one length in a part of an IPPool.
type poolPart struct {
	pool   *podPool
	length int
	bgpfilter.Region
}

// prefixClasses divides the prefixes of pods into classes that r and each of some other routings
// treats alike. Besides the blocks of each IPPool, these are the routes of other lengths that nodes originate:
// single addresses that they borrowed from a block, and blocks from before the IPPool had its block size. It
// returns false if there are too many. O(IPPools x CIDRs of rules squared + blocks) at worst.
func (r *routing) prefixClasses(others ...*routing) (classes []prefixClass, all bool) {
	by := append([]*routing{r}, others...)
	var rules []bgpfilter.Rules
	var advertised []netip.Prefix
	for _, one := range by {
		networks, list := one.distinguishing()
		advertised, rules = append(advertised, networks...), append(rules, list...)
	}
	if slices.ContainsFunc(r.pods.pools, func(p podPool) bool { return p.kernel != "" }) {
		for _, p := range r.pods.pools {
			advertised = append(advertised, p.cidr)
		}
	}
	known := map[string]int{}
	all = true
	add := func(pool *podPool, length int, used bool) {
		regions, complete := bgpfilter.Regions(pool.cidr, length, advertised, rules...)
		all = all && complete
		for _, region := range regions {
			if used && !r.pods.blocks.originates(region, length) {
				continue
			}
			var key strings.Builder
			for _, one := range by {
				key.WriteString(one.matches(region.Prefix, false) + "|")
			}
			kernel := r.pods.kernelOf(region.Prefix)
			key.WriteString(strconv.FormatBool(pool.tunnelled) + kernel)
			k, ok := known[key.String()]
			if !ok {
				k = len(classes)
				known[key.String()] = k
				classes = append(classes, prefixClass{prefix: region.Prefix, tunnelled: pool.tunnelled, kernel: kernel})
			}
			classes[k].parts = append(classes[k].parts, poolPart{pool, length, region})
			classes[k].future = classes[k].future || !used
		}
	}
	for i := range r.pods.pools {
		add(&r.pods.pools[i], r.pods.pools[i].blockSize, false)
	}
	for i := range r.pods.pools {
		pool := &r.pods.pools[i]
		for _, length := range r.pods.blocks.lengths(pool.cidr) {
			if length != pool.blockSize {
				add(pool, length, true)
			}
		}
	}
	return classes, all
}

// distinguishing returns the CIDRs of prefixAdvertisements, of IPPools with disableBGPExport and of the
// ranges of addresses of Services that distinguish prefixes, and the rules of BGPFilters.
func (r *routing) distinguishing() ([]netip.Prefix, []bgpfilter.Rules) {
	var rules []bgpfilter.Rules
	for _, list := range r.policies.lists {
		for i := range list {
			rules = append(rules, list[i].rules[:]...)
		}
	}
	advertised := slices.Concat(r.pods.exports.disabled(), r.serviceRanges)
	for _, a := range r.network.Advertised {
		for _, one := range a.List {
			advertised = append(advertised, one.Network)
		}
	}
	return advertised, rules
}

// matches returns a text that is equal for prefixes whose destinations are equal. accepts is that of
// destination.
func (r *routing) matches(p netip.Prefix, accepts bool) string {
	_, disabled := r.pods.exports.of(p)
	key := strconv.AppendBool(nil, disabled)
	for _, cidr := range r.serviceRanges {
		key = strconv.AppendBool(key, contains(cidr, p))
	}
	adds := false
	for _, a := range r.network.Advertised {
		for _, one := range a.List {
			contains := contains(one.Network, p)
			key = strconv.AppendBool(key, contains)
			adds = adds || contains
		}
	}
	for _, list := range r.policies.lists {
		for i := range list {
			key = list[i].rules[bgpfilter.Import].AppendMatches(key, p, false)
			key = list[i].rules[bgpfilter.Export].AppendMatches(key, p, accepts || adds || disabled)
		}
	}
	return string(key)
}

// maxDestinations bounds the kinds of prefixes that are followed. The summary names the BGPPeers
// with BGPFilters if there are more.
const maxDestinations = 64

// destination returns what the policies of the sessions do with routes to a prefix. accepts
// reports that it matters whether a term accepts a route to export.
func (r *routing) destination(p netip.Prefix, accepts bool) routes.Destination {
	d := routes.Destination{Policies: make([]routes.Policy, 1+len(r.policies.lists))}
	_, d.Disabled = r.pods.exports.of(p)
	adds := false
	for _, a := range r.network.Advertised {
		d.Communities = append(d.Communities, communitiesOf(a.List, p))
		adds = adds || len(d.Communities[len(d.Communities)-1]) > 0
	}
	for i, list := range r.policies.lists {
		one := &d.Policies[i+1]
		for k := range list {
			one.Import = append(one.Import, deciding(terms(list[k].rules[bgpfilter.Import], p)))
			export := terms(list[k].rules[bgpfilter.Export], p)
			if !adds && !accepts && !d.Disabled {
				export = deciding(export)
			}
			one.Export = append(one.Export, export)
		}
	}
	return d
}

// deciding returns the terms without those at the end that only accept routes. These pass without
// them too: nodes import all routes, and export those to pods. Nodes add communities to exported
// routes that no term accepts.
func deciding(list []routes.Term) []routes.Term {
	for len(list) > 0 {
		last := &list[len(list)-1]
		if !last.Accept || len(last.Add) > 0 || len(last.Prepend) > 0 || last.Set != nil {
			break
		}
		list = list[:len(list)-1]
	}
	return list
}

// contains reports whether a network contains a prefix.
func contains(network, p netip.Prefix) bool {
	return network.Bits() <= p.Bits() && network.Contains(p.Addr())
}

// communitiesOf returns the communities that nodes add to routes to a prefix: those of every
// network that contains it.
func communitiesOf(list []calico.Advertisement, p netip.Prefix) []routes.Community {
	var out []routes.Community
	for _, a := range list {
		if contains(a.Network, p) {
			out = append(out, communities(a.Communities)...)
		}
	}
	return out
}

// effects returns the effects of rules on routes to a prefix.
func effects(rules bgpfilter.Rules, p netip.Prefix) []bgpfilter.Effect {
	return slices.DeleteFunc(rules.For(p), func(e bgpfilter.Effect) bool { return e.Interface != "" && calicoInterface(e.Interface) })
}

// terms returns what rules do with routes to a prefix, a term for each of effects.
func terms(rules bgpfilter.Rules, p netip.Prefix) []routes.Term {
	out := []routes.Term{}
	for _, e := range effects(rules, p) {
		t := termOf(&e)
		if e.Interface != "" {
			// Own routes have no interface. That of learned ones is not in any object.
			t.Learned, t.Uncertain = true, true
		}
		out = append(out, t)
	}
	return out
}

// kernelTerms returns what the export policies do with routes that nodes have from Felix to a prefix, nil if they have
// none. kernel is podPool.kernel.
func (r *routing) kernelTerms(p netip.Prefix, kernel string) []routes.Terms {
	if kernel == "" {
		return nil
	}
	out := make([]routes.Terms, 1+len(r.policies.lists))
	for i, list := range r.policies.lists {
		for k := range list {
			terms := []routes.Term{}
			for _, e := range list[k].rules[bgpfilter.Export].For(p) {
				matched, err := path.Match(e.Interface, kernel)
				if e.Learned || e.Interface != "" && kernel != unknownInterface && (err != nil || !matched) {
					continue
				}
				t := termOf(&e)
				t.Uncertain = e.Interface != "" && kernel == unknownInterface
				terms = append(terms, t)
			}
			out[i+1] = append(out[i+1], terms)
		}
	}
	return out
}

// termOf returns what an effect does, without its Interface.
func termOf(e *bgpfilter.Effect) routes.Term {
	t := routes.Term{Learned: e.Learned, EBGP: e.EBGP, IBGP: e.IBGP, Path: e.Path, Accept: e.Accept, Add: communities(e.Add), Prepend: e.Prepend}
	if e.Community != "" {
		t.Community = &communities([]string{e.Community})[0]
	}
	if e.Priority != nil {
		t.Preference = new(routes.MaxPreference - *e.Priority)
	}
	if e.Set != nil {
		t.Set = new(routes.MaxPreference - *e.Set)
	}
	return t
}

// calicoInterface reports whether a pattern matches only interfaces that Calico makes. Routes
// from BGP peers never go over them: the next hop is an address of a node.
func calicoInterface(pattern string) bool {
	return pattern == "tunl0" || strings.HasPrefix(pattern, "cali") || strings.HasPrefix(pattern, "bpf") ||
		strings.HasSuffix(pattern, ".calico") || strings.HasSuffix(pattern, ".cali")
}

// communities parses communities of Calico's form.
func communities(list []string) []routes.Community {
	var out []routes.Community
	for _, text := range list {
		c := routes.Community{Large: strings.Count(text, ":") == 2}
		for i, part := range strings.SplitN(text, ":", len(c.Parts)) {
			n, _ := strconv.ParseUint(part, 10, 32) // BIRD rejects other communities.
			c.Parts[i] = uint32(n)
		}
		out = append(out, c)
	}
	return out
}

// understands reports whether the meaning of all rules of the BGPFilters of a BGPPeer is known,
// and all kinds of prefixes are followed.
func (r *routing) understands(p *calico.BGPPeer) bool {
	if len(p.Filters) == 0 {
		return true
	}
	names := r.network.Filters(p)
	if names == "" || r.partial {
		return names == ""
	}
	for _, list := range r.policies.lists {
		for i := range list {
			if list[i].names == names {
				return list[i].understood()
			}
		}
	}
	// No session has them.
	return (&filterList{names, r.network.FilterRules(names)}).understood()
}

func (l *filterList) understood() bool {
	return l.rules[bgpfilter.Import].Understood() && l.rules[bgpfilter.Export].Understood()
}

// asNumbers is the AS numbers that routes.Anonymous replaces.
type asNumbers map[uint32]bool

// of returns the AS number that the graph has for one of a node.
func (a asNumbers) of(asn uint32) uint32 {
	if a[asn] {
		return routes.Anonymous
	}
	return asn
}

// anonymousNumbers returns the AS numbers that one node has and that no object names: routes
// cannot distinguish such nodes. O(classes).
func (n *network) anonymousNumbers() asNumbers {
	classes := map[uint32]int{}
	for i := range n.Classes.List {
		if g := &n.Classes.List[i]; g.OwnASN {
			classes[g.ASN] += g.Nodes
		}
	}
	out := asNumbers{}
	for asn, nodes := range classes {
		if nodes == 1 && asn != 0 && !n.Named[asn] {
			out[asn] = true
		}
	}
	return out
}

// addSeveral adds to asn and several the AS numbers of several nodes that no object names, if these nodes are one class, have sessions
// with other nodes by the mesh only, and no BGPFilters. All of them have the same eBGP sessions, so each receives a route
// by eBGP whenever another one does, except the route of another one of them: that one sends it to them
// by iBGP. So it makes no difference to which nodes have a route if they do not recognize their AS number, and if
// their sessions with each other are eBGP. It makes one to the attributes of routes. O(classes).
func (r *routing) addSeveral() {
	n := r.network
	if n.DirectMesh() {
		return // Classes with different AS numbers have different sessions.
	}
	filtered := bitset.New(0)
	for _, passing := range n.Passing {
		for exit, set := range passing.Exits {
			if exit.Filters != "" {
				filtered.InPlaceUnion(set)
			}
		}
	}
	classes := map[uint32]int{}
	for i := range n.Classes.List {
		classes[n.Classes.List[i].ASN]++
	}
	for i := range n.Classes.List {
		g := &n.Classes.List[i]
		if g.OwnASN && g.Nodes > 1 && classes[g.ASN] == 1 && g.ASN != 0 && !n.Named[g.ASN] &&
			n.InMesh(uint32(i)) && len(n.LinksFrom(uint32(i))) == 0 && !filtered.Test(uint(g.First[0])) {
			r.asn[g.ASN], r.several[g.ASN] = true, true
		}
	}
}

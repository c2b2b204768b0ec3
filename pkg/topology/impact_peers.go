package topology

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/topology/routes"
	"github.com/bgpguard/bgpguard/pkg/topology/sessions"
)

// PeersImpact is the routes that external peers lose and gain. It assumes that external peers have
// half-sessions back, and contains no routes that they receive from each other.
type PeersImpact struct {
	// Losing and Gaining count the external peers that lose and gain routes.
	Losing  int `json:"losing"`
	Gaining int `json:"gaining"`
	// Groups are external peers that lose and gain routes to the same prefixes: at most maxNames, those
	// that lose routes first.
	Groups []PeerGroupImpact `json:"groups"`
	// Complete is false if there are so many kinds of prefixes that some are not compared.
	Complete bool `json:"complete"`
}

// PeerGroupImpact is the routes that some external peers lose and gain.
type PeerGroupImpact struct {
	Family string `json:"family"`
	// Peers is the number of external peers, Sample the first few addresses.
	Peers  int            `json:"peers"`
	Sample []string       `json:"sample"`
	Lost   []PrefixImpact `json:"lost"`
	Gained []PrefixImpact `json:"gained"`
}

// PrefixImpact is the routes to prefixes that all sessions treat alike, before and after a change.
type PrefixImpact struct {
	// Prefixes are those of pods in IPPools that exist before and after the change, or of addresses of
	// Services. They are empty for all pods if there are no IPPools.
	Prefixes []PrefixRange `json:"prefixes"`
	// Field is the field of the range of addresses of Services: serviceClusterIPs, serviceExternalIPs or
	// serviceLoadBalancerIPs. It is "" for pods.
	Field Optional `json:"field"`
	// Nodes counts the nodes whose routes are lost or gained, of those that exist before and after the
	// change. It is 0 for addresses of Services, to which several nodes advertise the same route.
	Nodes int `json:"nodes"`
}

// peersComparison compares the routes that the external peers of one family receive.
type peersComparison struct {
	*comparison
	family calico.Family
	sides  [2]peerSide // before, now
	// peers are the external peers of both sides.
	peers []comparedPeer
	// sizes counts the nodes in both, by their vertices before and now.
	sizes map[vertexKind]int
}

// peerSide is the sessions with external peers of one topology.
type peerSide struct {
	*Topology
	routing *routing
	// taps are the kinds of sessions: those of the nodes of a vertex that exchange routes alike.
	taps    []outletKey
	numbers map[string]int
	exports map[string]*routes.Exports // by kind of prefixes
	sent    map[string][][]routes.Sent
	// origins and outlets are those of the services; nil until they are needed.
	origins []bool
	outlets []outlet
}

// outletKey is the vertex and the sessions of an outlet.
type outletKey struct {
	vertex   int
	sessions []int
}

// comparedPeer is external peers with the same result: their number and the first few addresses. The
// sessions are those of the first one.
type comparedPeer struct {
	count  int
	sample []string
	peers  [2]*sessions.ExternalPeer // before and now, nil for none
	taps   [2]peerTaps

	lost, gained []PrefixImpact
}

// peerTaps is the sessions of one external peer. kinds are in order.
type peerTaps struct {
	kinds, nodes []int      // indexes into peerSide.taps, and the number of nodes of each
	of           []nodeKind // in order of nodes, by their numbers now
}

// nodeKind is a node and the index of its tap.
type nodeKind struct {
	node int32 // -1 for a node that is gone
	kind int
}

// peerRoutes returns the routes that external peers lose and gain. O(external peers + their half-sessions)
// for each kind of prefixes, and the cost of routes.FindExports for each.
func (c *comparison) peerRoutes() PeersImpact {
	out := PeersImpact{Groups: []PeerGroupImpact{}, Complete: true}
	for _, f := range calico.Families {
		p, complete := c.comparePeers(f)
		out.Complete = out.Complete && complete
		p.group(&out)
	}
	slices.SortStableFunc(out.Groups, func(a, b PeerGroupImpact) int {
		return cmp.Or(cmp.Compare(min(1, len(b.Lost)), min(1, len(a.Lost))), cmp.Compare(b.Peers, a.Peers))
	})
	out.Groups = out.Groups[:min(len(out.Groups), maxNames)]
	return out
}

// comparePeers compares the routes that the external peers of a family receive. complete is false if there
// are too many kinds of prefixes.
func (c *comparison) comparePeers(f calico.Family) (p *peersComparison, complete bool) {
	p = &peersComparison{comparison: c, family: f}
	for i, t := range []*Topology{c.before, c.now} {
		p.sides[i] = peerSide{Topology: t, routing: t.routings[f], numbers: map[string]int{}, exports: map[string]*routes.Exports{}, sent: map[string][][]routes.Sent{}}
	}
	pods := c.now.networks[f] != c.before.networks[f] || c.now.routings[f] != c.before.routings[f]
	services := c.now.services[f] != c.before.services[f]
	if !pods && !services {
		return p, true
	}
	p.findPeers()
	complete = true
	if pods && len(p.peers) > 0 {
		complete = p.comparePods()
	}
	if services && len(p.peers) > 0 {
		complete = p.compareServices() && complete
	}
	return p, complete
}

// sendsAlike reports whether nodes send the same routes before and now to each external peer of which no session
// differs, because of BGPPeers only settings differ that no route depends on. False does not prove the opposite. The
// cost is that of sameGraph.
func (c *comparison) sendsAlike(f calico.Family) bool {
	return state.SameConfigurationBut(c.before.snapshot, c.now.snapshot, calico.KindBGPPeer) && c.sameGraph(f)
}

// findPeers sets peers and sizes. It skips external peers that receive the same routes; see sendsAlike. Those whose one node has the same session before and now are one
// element. O(external peers + half-sessions).
func (p *peersComparison) findPeers() {
	was, is := p.sides[0].routing.network, p.sides[1].routing.network
	regular, alike := was.regular() && is.regular(), p.sendsAlike(p.family)
	known := map[singlePeer]int{}
	last, lastIsSingle := singlePeer{}, false // the key of the last of peers
	a, b := was.Passing[routes.WithTransit].Externals, is.Passing[routes.WithTransit].Externals
	for len(a) > 0 || len(b) > 0 {
		one := comparedPeer{}
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].Name < b[0].Name:
			one.peers[0], a = a[0], a[1:]
		case len(a) == 0 || b[0].Name < a[0].Name:
			one.peers[1], b = b[0], b[1:]
		default:
			one.peers, a, b = [2]*sessions.ExternalPeer{a[0], b[0]}, a[1:], b[1:]
		}
		if alike && one.peers[0] == one.peers[1] {
			continue
		}
		key, single := p.single(&one, regular)
		k, ok := len(p.peers)-1, single && lastIsSingle && key == last
		if !ok && single {
			k, ok = known[key]
		}
		if !ok {
			k = len(p.peers)
			p.peers = append(p.peers, one)
			p.findTaps(&p.peers[k])
			last, lastIsSingle = key, single
			if single {
				known[key] = k
			}
		}
		p.peers[k].count++
		if list := &p.peers[k].sample; len(*list) < SampleSize {
			*list = append(*list, cmp.Or(one.peers[0], one.peers[1]).Name)
		}
	}
	p.sizes = p.vertexKinds(p.family)
}

// singlePeer is what decides which routes an external peer loses and gains that has sessions with one node.
type singlePeer struct {
	vertices [2]int
	exits    [2]sessions.Exit
	excluded [2]bool
}

// single returns the singlePeer of an external peer, and false if it has several nodes or changes. regular
// reports that both networks are.
func (p *peersComparison) single(o *comparedPeer, regular bool) (singlePeer, bool) {
	var out singlePeer
	if !regular || o.peers[0] != o.peers[1] || !simple(o.peers[0]) || o.peers[0].List.Len != 1 || !p.sameNodes {
		return out, false
	}
	node := uint(o.peers[0].List.Short[0])
	for side := range p.sides {
		r, s := p.sides[side].routing, p.sides[side].services[p.family]
		out.vertices[side], out.exits[side] = r.vertex(node), r.network.ExitOf(&o.peers[side].Protocols[0].Variants[0])
		out.excluded[side] = s.excluded != nil && s.excluded.Test(node)
	}
	return out, true
}

// findTaps sets the taps of an external peer.
func (p *peersComparison) findTaps(o *comparedPeer) {
	for side, peer := range o.peers {
		if peer == nil {
			continue
		}
		o.taps[side] = p.sides[side].tapsOf(peer, func(i uint) int32 {
			if side == 0 {
				return int32(p.numberIs(int(i)))
			}
			return int32(i)
		})
	}
}

// tapsOf returns the sessions of an external peer. now returns the number of a node now.
func (s *peerSide) tapsOf(o *sessions.ExternalPeer, now func(uint) int32) peerTaps {
	r := s.routing
	out, nodes := peerTaps{}, map[int]int{}
	r.network.EachExit([]*sessions.ExternalPeer{o}, func(exits []sessions.Exit, set *bitset.BitSet) {
		key := fmt.Sprint(exits)
		known := map[int]int{} // of each vertex
		for i, ok := set.NextSet(0); ok; i, ok = set.NextSet(i + 1) {
			v := r.vertex(i)
			if v < 0 {
				continue
			}
			kind, ok := known[v]
			if !ok {
				kind = s.tap(key, exits, v)
				known[v] = kind
			}
			if kind >= 0 {
				nodes[kind]++
				out.of = append(out.of, nodeKind{now(i), kind})
			}
		}
	})
	for _, kind := range sortedKeys(nodes) {
		out.kinds, out.nodes = append(out.kinds, kind), append(out.nodes, nodes[kind])
	}
	slices.SortFunc(out.of, func(a, b nodeKind) int { return cmp.Compare(a.node, b.node) })
	return out
}

// tap returns the number of the sessions of a vertex with exits, -1 if BIRD rejects one of them.
func (s *peerSide) tap(key string, exits []sessions.Exit, v int) int {
	key = fmt.Sprint(v, " ", key)
	k, known := s.numbers[key]
	if !known {
		k = -1
		if list := s.routing.externalSessions(exits, v); list != nil {
			k = len(s.taps)
			s.taps = append(s.taps, outletKey{v, list})
		}
		s.numbers[key] = k
	}
	return k
}

// exportsTo returns the exports of routes to a prefix.
func (s *peerSide) exportsTo(r *routing, class *prefixClass) *routes.Exports {
	key, d := "", routes.Destination{}
	if class.prefix.IsValid() {
		key, d = r.matches(class.prefix, false)+class.kernel, r.destination(class.prefix, false)
		d.Kernel = r.kernelTerms(class.prefix, class.kernel)
	}
	if s.exports[key] == nil {
		out, err := routes.FindExports(context.Background(), &r.graph, d)
		if err != nil {
			panic(err) // The context is never done.
		}
		s.exports[key] = out
	}
	return s.exports[key]
}

// comparePods compares the routes to pods. It returns false if there are too many kinds of prefixes.
func (p *peersComparison) comparePods() bool {
	var divided [2]*routing
	for side := range p.sides {
		r := *p.sides[side].routing
		r.pods = p.sides[side].podPrefixes(p.family, func(*calico.IPPool) bool { return true })
		divided[side] = &r
	}
	classes, complete := []prefixClass{{}}, true
	if len(divided[0].pods.pools)+len(divided[1].pods.pools) > 0 {
		divided[1].pods.pools = slices.DeleteFunc(divided[1].pods.pools, func(pool podPool) bool {
			return !slices.ContainsFunc(divided[0].pods.pools, func(was podPool) bool {
				return was.name == pool.name && was.cidr == pool.cidr && was.blockSize == pool.blockSize
			})
		})
		classes, complete = divided[1].prefixClasses(divided[0])
		complete = complete && len(classes) <= maxDestinations
		classes = classes[:min(len(classes), maxDestinations)]
	}
	blocks := divided[1].pods.blocks
	var find func(string) (uint, bool)
	if blocks != nil {
		find = numbersOf(p.now.index)
	}
	for i := range classes {
		sizes, originate, ranges := p.sizes, (*bitset.BitSet)(nil), rangesOf(classes[i].parts, nil)
		if blocks != nil && classes[i].prefix.IsValid() {
			var counts []int
			originate, counts = blocks.origins(classes[i].parts, p.now.index, find)
			if slices.Max(counts) == 0 {
				continue // No pod has an address there, so there are no routes.
			}
			sizes, ranges = p.sizesOf(originate), rangesOf(classes[i].parts, counts)
		}
		var table [2]reception
		for side := range p.sides {
			table[side] = p.sides[side].receptionOf(p.sides[side].exportsTo(divided[side], &classes[i]))
		}
		p.addPods(table, ranges, sizes, originate)
	}
	return complete
}

// sizesOf returns sizes for a set of nodes of now.
func (p *peersComparison) sizesOf(set *bitset.BitSet) map[vertexKind]int {
	out := map[vertexKind]int{}
	for i, ok := set.NextSet(0); ok; i, ok = set.NextSet(i + 1) {
		if p.numberWas(int(i)) >= 0 {
			out[p.vertices(int(i))]++
		}
	}
	return out
}

// vertices returns the vertices of a node of now that existed before, before and now.
func (p *peersComparison) vertices(node int) vertexKind {
	x := &p.cells[p.cellOf[node]]
	return vertexKind{p.sides[0].routing.vertexOf[x.was], p.sides[1].routing.vertexOf[x.is]}
}

// reception is which routes to some prefixes arrive over the taps of one side.
type reception struct {
	own    []bool   // of each tap: the routes that its nodes originate
	others [][]bool // of each tap, by vertex: those of other nodes
}

func (s *peerSide) receptionOf(e *routes.Exports) reception {
	out := reception{own: make([]bool, len(s.taps)), others: make([][]bool, len(s.taps))}
	for k, t := range s.taps {
		out.own[k] = !slices.ContainsFunc(t.sessions, func(x int) bool { return !e.Own(t.vertex, x) })
		out.others[k] = make([]bool, len(s.routing.vertices))
		for v := range out.others[k] {
			out.others[k][v] = !slices.ContainsFunc(t.sessions, func(x int) bool { return !e.Others(v, t.vertex, x) })
		}
	}
	return out
}

// of reports whether an external peer receives the routes of a node of vertex v. kind is that of the
// node's own session with it, -1 for none.
func (r *reception) of(taps *peerTaps, v int32, kind int) bool {
	if v < 0 {
		return false
	}
	if kind >= 0 && r.own[kind] {
		return true
	}
	for i, k := range taps.kinds {
		if r.others[k][v] && (k != kind || taps.nodes[i] > 1) {
			return true
		}
	}
	return false
}

// addPods adds the routes to pods that the external peers lose and gain. sizes counts the nodes that originate them,
// as peersComparison.sizes does, and originate is these nodes, nil for all.
func (p *peersComparison) addPods(table [2]reception, ranges []PrefixRange, sizes map[vertexKind]int, originate *bitset.BitSet) {
	type change struct{ lost, gained int }
	known := map[string]change{}
	for k := range p.peers {
		o := &p.peers[k]
		differs := func(vertices vertexKind, kinds [2]int) (lost, gained int) {
			had, has := table[0].of(&o.taps[0], vertices.was, kinds[0]), table[1].of(&o.taps[1], vertices.is, kinds[1])
			switch {
			case had && !has:
				return 1, 0
			case has && !had:
				return 0, 1
			}
			return 0, 0
		}
		// First as if no node had a session of its own, then corrected for those that have one.
		key := fmt.Sprint(o.taps[0].kinds, o.taps[1].kinds)
		sum, ok := known[key]
		if !ok {
			for vertices, nodes := range sizes {
				lost, gained := differs(vertices, [2]int{-1, -1})
				sum.lost, sum.gained = sum.lost+nodes*lost, sum.gained+nodes*gained
			}
			known[key] = sum
		}
		p.eachTap(o, func(node int, kinds [2]int) {
			if originate != nil && !originate.Test(uint(node)) {
				return
			}
			vertices := p.vertices(node)
			lost, gained := differs(vertices, [2]int{-1, -1})
			sum.lost, sum.gained = sum.lost-lost, sum.gained-gained
			lost, gained = differs(vertices, kinds)
			sum.lost, sum.gained = sum.lost+lost, sum.gained+gained
		})
		if sum.lost > 0 {
			o.lost = append(o.lost, PrefixImpact{Prefixes: ranges, Nodes: sum.lost})
		}
		if sum.gained > 0 {
			o.gained = append(o.gained, PrefixImpact{Prefixes: ranges, Nodes: sum.gained})
		}
	}
}

// eachTap calls visit with the nodes in both topologies that have a session with an external peer in at
// least one: with their numbers now, and the kinds of their sessions, -1 for none.
func (p *peersComparison) eachTap(o *comparedPeer, visit func(node int, kinds [2]int)) {
	was, is := o.taps[0].of, o.taps[1].of
	for len(was) > 0 || len(is) > 0 {
		kinds := [2]int{-1, -1}
		var node int32
		if len(is) == 0 || len(was) > 0 && was[0].node <= is[0].node {
			node = was[0].node
		} else {
			node = is[0].node
		}
		if len(was) > 0 && was[0].node == node {
			kinds[0], was = was[0].kind, was[1:]
		}
		if len(is) > 0 && is[0].node == node {
			kinds[1], is = is[0].kind, is[1:]
		}
		if node < 0 || p.numberWas(int(node)) < 0 {
			continue
		}
		visit(int(node), kinds)
	}
}

// compareServices compares the routes to ranges of addresses of Services. It returns false if there are
// too many kinds of prefixes.
func (p *peersComparison) compareServices() bool {
	list := slices.Clone(p.now.services[p.family].list)
	for _, one := range p.before.services[p.family].list {
		if !slices.Contains(list, one) {
			list = append(list, one)
		}
	}
	if len(list) == 0 {
		return true
	}
	w := newTabulation(&RouteQuery{t: p.now, other: &RouteQuery{t: p.before}}, p.family)
	complete := true
	for _, one := range list {
		classes, divided := w.serviceClasses(one)
		complete = complete && divided
		for i := range classes {
			var sent [2][][]routes.Sent
			known := true
			for side := range p.sides {
				s := p.sides[side].services[p.family]
				if slices.Contains(s.list, one) {
					sent[side] = p.sides[side].sentTo(s, &classes[i])
					known = known && sent[side] != nil
				}
			}
			if !known {
				complete = false
				break
			}
			p.addServices(sent, PrefixImpact{Prefixes: rangesOf(classes[i].parts, nil), Field: Optional(one.Field)})
		}
	}
	return complete
}

// sentTo returns which sessions carry routes to a prefix of addresses of Services, nil if there are too
// many kinds of prefixes.
func (s *peerSide) sentTo(all *services, class *prefixClass) [][]routes.Sent {
	key := all.kind(class.prefix)
	if s.sent[key] == nil && len(s.sent) < maxDestinations {
		if s.origins == nil {
			s.origins, s.outlets = all.origins(), all.outlets()
		}
		out, err := all.sent(context.Background(), class.prefix, s.origins, s.outlets)
		if err != nil {
			panic(err) // The context is never done.
		}
		s.sent[key] = out
	}
	return s.sent[key]
}

// addServices adds the routes to addresses of Services that the external peers lose and gain. An element
// of sent is nil if no node advertises them.
func (p *peersComparison) addServices(sent [2][][]routes.Sent, impact PrefixImpact) {
	for k := range p.peers {
		o := &p.peers[k]
		var receives [2]bool
		for side := range p.sides {
			receives[side] = sent[side] != nil && o.peers[side] != nil && p.sides[side].services[p.family].carriers(sent[side], o.peers[side]).Any()
		}
		switch {
		case receives[0] && !receives[1]:
			o.lost = append(o.lost, impact)
		case receives[1] && !receives[0]:
			o.gained = append(o.gained, impact)
		}
	}
}

// group adds the external peers that lose or gain routes.
func (p *peersComparison) group(out *PeersImpact) {
	known := map[string]int{}
	for k := range p.peers {
		o := &p.peers[k]
		if len(o.lost)+len(o.gained) == 0 {
			continue
		}
		if len(o.lost) > 0 {
			out.Losing += o.count
		}
		if len(o.gained) > 0 {
			out.Gaining += o.count
		}
		key := fmt.Sprint(o.lost, o.gained)
		i, ok := known[key]
		if !ok {
			i = len(out.Groups)
			known[key] = i
			out.Groups = append(out.Groups, PeerGroupImpact{Family: p.family.String(), Sample: []string{}, Lost: append([]PrefixImpact{}, o.lost...), Gained: append([]PrefixImpact{}, o.gained...)})
		}
		g := &out.Groups[i]
		g.Peers += o.count
		g.Sample = append(g.Sample, o.sample...)
		slices.SortFunc(g.Sample, compareAddresses)
		g.Sample = g.Sample[:min(len(g.Sample), SampleSize)]
	}
}

// compareAddresses orders addresses that are texts.
func compareAddresses(a, b string) int { return netip.MustParseAddr(a).Compare(netip.MustParseAddr(b)) }

// maxPeerGroups and maxPrefixImpacts bound what String names.
const (
	maxPeerGroups    = 2
	maxPrefixImpacts = 3
)

// sentences returns the routes that external peers lose and gain.
func (i *PeersImpact) sentences() []string {
	var out []string
	for _, one := range []struct {
		verb  string
		total int
		of    func(*PeerGroupImpact) []PrefixImpact
	}{
		{"lose", i.Losing, func(g *PeerGroupImpact) []PrefixImpact { return g.Lost }},
		{"gain", i.Gaining, func(g *PeerGroupImpact) []PrefixImpact { return g.Gained }},
	} {
		named, left := 0, one.total
		for k := range i.Groups {
			g := &i.Groups[k]
			list := one.of(g)
			if len(list) == 0 || named == maxPeerGroups {
				continue
			}
			named++
			left -= g.Peers
			out = append(out, fmt.Sprintf("%s (%s) %s routes to %s", text.Count(g.Peers, "external peer"), text.SomeOf(g.Sample, g.Peers), text.Either(g.Peers, one.verb+"s", one.verb), prefixesText(list)))
		}
		if left > 0 {
			out = append(out, fmt.Sprintf("%s %s other routes", text.Count(left, "more external peer"), text.Either(left, one.verb+"s", one.verb)))
		}
	}
	return out
}

func prefixesText(list []PrefixImpact) string {
	var parts []string
	for i := range list[:min(len(list), maxPrefixImpacts)] {
		parts = append(parts, list[i].String())
	}
	if more := len(list) - len(parts); more > 0 {
		parts = append(parts, text.Count(more, "more kind of prefixes", "more kinds of prefixes"))
	}
	return strings.Join(parts, ", ")
}

// String returns the prefixes and the nodes or the field: "10.244.0.0/16 of 3 nodes".
func (i *PrefixImpact) String() string {
	var parts []string
	for _, r := range i.Prefixes[:min(len(i.Prefixes), maxPrefixImpacts)] {
		one := r.CIDR
		if len(r.Except) > 0 {
			one += " except " + text.SomeOf(r.Except[:min(len(r.Except), SampleSize)], len(r.Except))
		}
		parts = append(parts, one)
	}
	if more := len(i.Prefixes) - len(parts); more > 0 {
		parts = append(parts, text.Count(more, "more range"))
	}
	out := cmp.Or(strings.Join(parts, " and "), "pods")
	if i.Field != "" {
		return fmt.Sprintf("%s (%s)", out, i.Field)
	}
	return fmt.Sprintf("%s of %s", out, text.Count(i.Nodes, "node"))
}

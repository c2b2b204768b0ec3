package topology

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology/nodes"
)

// externalPeer is one address that nodes peer with and that is no node's. All that
// is known of it is the nodes' halves.
type externalPeer struct {
	address      netip.Addr
	name         string                // address as text
	halfSessions []externalHalfSession // in order of names
	// makeNodes makes all that have one, and leave the connection to the first.
	nodes *bitset.BitSet
	list  nodes.List // the same
	// sample names the first few of them.
	sample []string
}

// externalHalfSession is the half-session of some nodes towards an external address.
type externalHalfSession struct {
	halfSession // without its ways, which differ between nodes
	variants    []variant
	nodes       *bitset.BitSet
	// idle are those that have another half-session with the address, which
	// comes first.
	idle *bitset.BitSet
}

// variant is settings, the BGPPeers that give them, and to which nodes.
type variant struct {
	settings settings
	sources  []*peering
	nodes    *bitset.BitSet
}

// findExternals collects what the BGPPeers with a peerIP that is no node's give,
// in order of their names. before, or nil, are the external peers of the same nodes
// under the peerings was, and are reused where nothing changes. O(BGPPeers x set
// operations), and O(BGPPeers) with a very small constant where few change.
func findExternals(f calico.Family, ix *nodes.Index, peerings []*peering, before []*externalPeer, was []*peering) []*externalPeer {
	changed := map[netip.Addr][]*peering{} // all peerings of each address that is to be made
	add := func(p *peering) {
		if p.scope == scopeExternal && p.forward[f] {
			changed[p.peer.PeerAddress] = nil
		}
	}
	if before != nil {
		eachDifference(was, peerings, add)
		if len(changed) == 0 {
			return before
		}
	}
	for _, p := range peerings {
		if p.scope == scopeExternal && p.forward[f] {
			if list, ok := changed[p.peer.PeerAddress]; ok || before == nil {
				changed[p.peer.PeerAddress] = append(list, p)
			}
		}
	}
	out := make([]*externalPeer, 0, max(len(before), len(changed)))
	if before != nil {
		for _, o := range before {
			if _, ok := changed[o.address]; !ok {
				out = append(out, o)
			}
		}
	}
	unchanged := len(out)
	for address, list := range changed {
		if o := newExternalPeer(address, ix, f, list); o != nil {
			out = append(out, o)
		}
	}
	byName := func(a, b *externalPeer) int { return cmp.Compare(a.name, b.name) }
	if fresh := out[unchanged:]; len(fresh) > nodes.MaxShort {
		slices.SortFunc(out, byName)
	} else {
		fresh = slices.Clone(fresh)
		out = out[:unchanged]
		for _, o := range fresh {
			i, _ := slices.BinarySearchFunc(out, o, byName)
			out = slices.Insert(out, i, o)
		}
	}
	return out
}

// eachDifference calls visit with the peerings that only one of two lists, which
// are in order of names, has.
func eachDifference(a, b []*peering, visit func(*peering)) {
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(a) > 0 && len(b) > 0 && a[0] == b[0]:
			a, b = a[1:], b[1:]
		case len(b) == 0 || len(a) > 0 && a[0].peer.Name <= b[0].peer.Name:
			visit(a[0])
			a = a[1:]
		default:
			visit(b[0])
			b = b[1:]
		}
	}
}

// newExternalPeer returns the external peer at an address, nil where no node has a
// half-session with it.
func newExternalPeer(address netip.Addr, ix *nodes.Index, f calico.Family, peerings []*peering) *externalPeer {
	byPort := map[uint16][]*peering{}
	for _, p := range peerings {
		byPort[portOr179(p.port)] = append(byPort[portOr179(p.port)], p)
	}
	o := &externalPeer{address: address, name: address.String()}
	for _, list := range byPort {
		if h := newExternalHalfSession(ix.BGP[f], list); h.nodes.Any() {
			o.halfSessions = append(o.halfSessions, h)
		}
	}
	if len(o.halfSessions) == 0 {
		return nil
	}
	slices.SortFunc(o.halfSessions, func(a, b externalHalfSession) int { return compareHalfSessions(a.halfSession, b.halfSession) })
	o.nodes = o.halfSessions[0].nodes
	o.halfSessions[0].idle = none
	for i := range o.halfSessions[1:] {
		h := &o.halfSessions[i+1]
		h.idle = h.nodes.Intersection(o.nodes)
		o.nodes = o.nodes.Union(h.nodes)
	}
	o.list, o.sample = nodes.NewList(o.nodes), nodeSet(ix, o.nodes, "").Sample
	return o
}

// none is an empty set. It must not be changed.
var none = bitset.New(0)

// maxLayers is how many merged external peers of one kind each new one is
// compared with, to find one that has no node in common with it.
const maxLayers = 8

// mergeExternals returns external peers to be counted in place of all. Each stands for all
// that exchange routes in the same way and have no node in common, so that one
// router per node counts as one router of all nodes; what depends on the address
// is not found in them. own are the AS numbers of the nodes. O(external peers +
// their nodes).
func mergeExternals(all []*externalPeer, nodes uint, own map[uint32]bool) []*externalPeer {
	out := []*externalPeer{}
	layers := map[exit][]*externalPeer{}
	var last exit
	var list []*externalPeer // the layers of last
	for _, one := range all {
		if len(one.halfSessions) > 1 || len(one.halfSessions[0].variants) > 1 || linkLocal(one.address) {
			out = append(out, one)
			continue
		}
		v := &one.halfSessions[0].variants[0]
		kind := newExit(&v.settings, own)
		if kind != last || list == nil {
			last, list = kind, layers[kind]
		}
		i := slices.IndexFunc(list, func(l *externalPeer) bool { return !one.list.Meets(l.nodes) })
		if i < 0 {
			l := &externalPeer{address: one.address, nodes: bitset.New(nodes)}
			h := externalHalfSession{halfSession: one.halfSessions[0].halfSession, nodes: l.nodes, idle: none}
			h.variants = []variant{{settings: v.settings, nodes: l.nodes}}
			l.halfSessions = []externalHalfSession{h}
			out = append(out, l)
			if list = append(list, l); len(list) > maxLayers {
				list = list[1:]
			}
			layers[kind] = list
			i = len(list) - 1
		}
		one.list.AddTo(list[i].nodes)
		sum := &list[i].halfSessions[0].variants[0]
		sum.sources = append(sum.sources, v.sources...)
	}
	return out
}

// newExternalHalfSession sums up the BGPPeers of one key of Calico's table: the global
// ones hold for all nodes, and only without one do those of the nodes. BGPPeers
// that name the port 179 and ones that leave it out meet in one key.
func newExternalHalfSession(speakers *bitset.BitSet, list []*peering) externalHalfSession {
	if i := slices.IndexFunc(list, (*peering).global); i >= 0 {
		list = slices.DeleteFunc(slices.Clone(list), func(p *peering) bool { return !p.global() })
	}
	h := externalHalfSession{halfSession: halfSession{prefix: prefixNode, port: list[0].port}, nodes: none}
	if list[0].global() {
		h.prefix = prefixGlobal
	}
	for _, p := range list {
		nodes := p.local
		if nodes.DifferenceCardinality(speakers) > 0 {
			nodes = nodes.Intersection(speakers)
		}
		if nodes.None() {
			continue
		}
		s := p.externalSettings()
		h.port = min(h.port, s.port)
		i := slices.IndexFunc(h.variants, func(v variant) bool { return v.settings == s })
		if i < 0 {
			h.variants = append(h.variants, variant{settings: s, sources: []*peering{p}, nodes: nodes})
			continue
		}
		v := &h.variants[i]
		v.sources = append(v.sources, p)
		v.nodes = v.nodes.Union(nodes)
	}
	for i, v := range h.variants {
		if i == 0 {
			h.nodes = v.nodes
		} else {
			h.nodes = h.nodes.Union(v.nodes)
		}
	}
	return h
}

// waysAt returns what node i may get; what does not show in its bird.cfg makes
// no difference.
func (n *network) waysAt(h *externalHalfSession, i uint) []way {
	merged := halfSession{}
	for _, v := range h.variants {
		if !v.nodes.Test(i) {
			continue
		}
		s := v.settings
		s.normalise(&n.classes.List[n.classes.Of[i]])
		for _, p := range v.sourcesAt(i) {
			merged.add(s, only(p))
		}
	}
	return merged.ways
}

// ambiguousAt returns the nodes that get different settings by several
// BGPPeers, and adds the fields that differ.
func (n *network) ambiguousAt(h *externalHalfSession, fields map[string]bool) *bitset.BitSet {
	out := bitset.New(0)
	if h.disjoint() {
		return out
	}
	for k, v := range h.variants {
		for _, w := range h.variants[:k] {
			both := v.nodes.Intersection(w.nodes)
			if both.None() {
				continue
			}
			if differ := n.classes.Union(func(g int) bool {
				a, b := v.settings, w.settings
				a.normalise(&n.classes.List[g])
				b.normalise(&n.classes.List[g])
				return a != b
			}); differ != nil {
				both.InPlaceIntersection(differ)
				out.InPlaceUnion(both)
				n.externalDifferences(h, &v.settings, &w.settings, both, fields)
			}
		}
	}
	return out
}

// externalDifferences adds the fields in which two settings differ on some nodes.
func (n *network) externalDifferences(h *externalHalfSession, v, w *settings, nodes *bitset.BitSet, fields map[string]bool) {
	seen := make([]bool, len(n.classes.List))
	for i, ok := nodes.NextSet(0); ok; i, ok = nodes.NextSet(i + 1) {
		g := n.classes.Of[i]
		if seen[g] {
			continue
		}
		seen[g] = true
		a, b := *v, *w
		a.normalise(&n.classes.List[g])
		b.normalise(&n.classes.List[g])
		addDifferences(fields, &n.classes.List[g], h.prefix, &a, &b)
	}
}

// disjoint reports whether no node has two variants, as where each has a BGPPeer
// of its own.
func (h *externalHalfSession) disjoint() bool {
	seen := bitset.New(0)
	for _, v := range h.variants {
		if seen.IntersectionCardinality(v.nodes) > 0 {
			return false
		}
		seen.InPlaceUnion(v.nodes)
	}
	return true
}

// sourcesAt are the BGPPeers that give it to node i.
func (v *variant) sourcesAt(i uint) []*peering {
	var out []*peering
	for _, p := range v.sources {
		if p.local.Test(i) {
			out = append(out, p)
		}
	}
	return out
}

// exit is how nodes exchange routes with external peers; those that do so
// alike need not be told apart.
type exit struct {
	localASN uint32 // 0 for the node's own
	peerASN  uint32 // 0 where foreign
	// foreign reports that no node can have the peer's AS number for its own.
	foreign bool
}

// newExit returns the exit by a half-session with the given settings; own are
// the AS numbers of the nodes.
func newExit(s *settings, own map[uint32]bool) exit {
	if s.peerASN != 0 && s.peerASN != s.localASN && !own[s.peerASN] {
		return exit{localASN: s.localASN, foreign: true}
	}
	return exit{localASN: s.localASN, peerASN: s.peerASN}
}

// exits returns the nodes by how they exchange routes with external peers. A
// BGPPeer with an AS number of 0 gives none, as BIRD may refuse it, nor does a node
// have one whose address, in shared, is another's too.
func exits(externals []*externalPeer, shared *bitset.BitSet, own map[uint32]bool) map[exit]*bitset.BitSet {
	out := map[exit]*bitset.BitSet{}
	for _, o := range externals {
		for i := range o.halfSessions {
			h := &o.halfSessions[i]
			zero := bitset.New(0)
			for _, v := range h.variants {
				if v.settings.peerASN == 0 {
					zero.InPlaceUnion(v.nodes)
				}
			}
			for _, v := range h.variants {
				if v.settings.peerASN == 0 {
					continue
				}
				k := newExit(&v.settings, own)
				if out[k] == nil {
					out[k] = bitset.New(0)
				}
				out[k].InPlaceUnion(v.nodes.Difference(h.idle).Difference(shared).Difference(zero))
			}
		}
	}
	return out
}

func sortedExits(m map[exit]*bitset.BitSet) []exit {
	out := make([]exit, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b exit) int {
		if a.foreign != b.foreign {
			return map[bool]int{true: 1, false: -1}[a.foreign]
		}
		return cmp.Or(cmp.Compare(a.peerASN, b.peerASN), cmp.Compare(a.localASN, b.localASN))
	})
	return out
}

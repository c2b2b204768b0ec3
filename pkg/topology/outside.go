package topology

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// outside is one address that nodes peer with and that is no node's. All that
// is known of it is the nodes' halves.
type outside struct {
	address netip.Addr
	halves  []outsideHalf // in order of names
	// nodes are all that have one, and leave the connection to the first.
	nodes *bitset.BitSet
}

// outsideHalf is the half-session of some nodes towards an outside address.
type outsideHalf struct {
	half     // without its ways, which differ between nodes
	variants []variant
	nodes    *bitset.BitSet
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

// findOutsides collects what the BGPPeers with a peerIP that is no node's give,
// by address. O(BGPPeers x set operations).
func findOutsides(f calico.Family, ix *index, peerings []*peering) []outside {
	type key struct {
		address netip.Addr
		port    uint16 // 0 is 179
	}
	table := map[key][]*peering{}
	for _, p := range peerings {
		if p.scope == scopeExternal && p.forward[f] {
			k := key{p.peer.PeerAddress, portOr179(p.port)}
			table[k] = append(table[k], p)
		}
	}
	byAddress := map[netip.Addr][]outsideHalf{}
	for k, list := range table {
		if h := newOutsideHalf(ix.bgp[f], list); h.nodes.Any() {
			byAddress[k.address] = append(byAddress[k.address], h)
		}
	}
	out := make([]outside, 0, len(byAddress))
	for address, halves := range byAddress {
		slices.SortFunc(halves, func(a, b outsideHalf) int { return compareHalves(a.half, b.half) })
		o := outside{address: address, halves: halves, nodes: bitset.New(ix.Len())}
		for i := range o.halves {
			h := &o.halves[i]
			h.idle = h.nodes.Intersection(o.nodes)
			o.nodes.InPlaceUnion(h.nodes)
		}
		out = append(out, o)
	}
	slices.SortFunc(out, func(a, b outside) int { return a.address.Compare(b.address) })
	return out
}

// newOutsideHalf sums up the BGPPeers of one key of Calico's table: the global
// ones hold for all nodes, and only without one do those of the nodes. BGPPeers
// that name the port 179 and ones that leave it out meet in one key.
func newOutsideHalf(speakers *bitset.BitSet, list []*peering) outsideHalf {
	if i := slices.IndexFunc(list, (*peering).global); i >= 0 {
		list = slices.DeleteFunc(slices.Clone(list), func(p *peering) bool { return !p.global() })
	}
	h := outsideHalf{half: half{prefix: prefixNode, port: list[0].port}, nodes: bitset.New(0)}
	if list[0].global() {
		h.prefix = prefixGlobal
	}
	for _, p := range list {
		nodes := p.local.Intersection(speakers)
		if nodes.None() {
			continue
		}
		s := p.outside()
		h.port = min(h.port, s.port)
		i := slices.IndexFunc(h.variants, func(v variant) bool { return v.settings == s })
		if i < 0 {
			h.variants = append(h.variants, variant{settings: s, nodes: bitset.New(0)})
			i = len(h.variants) - 1
		}
		v := &h.variants[i]
		v.sources = append(v.sources, p)
		v.nodes.InPlaceUnion(nodes)
	}
	for _, v := range h.variants {
		h.nodes.InPlaceUnion(v.nodes)
	}
	return h
}

// waysAt returns what node i may get; what does not show in its bird.cfg makes
// no difference.
func (n *network) waysAt(h *outsideHalf, i uint) []way {
	merged := half{}
	for _, v := range h.variants {
		if !v.nodes.Test(i) {
			continue
		}
		s := v.settings
		s.normalise(&n.sides[n.groups.of[i]])
		for _, p := range v.sourcesAt(i) {
			merged.add(s, p)
		}
	}
	return merged.ways
}

// ambiguousAt returns the nodes that get different settings by several
// BGPPeers, and adds the fields that differ.
func (n *network) ambiguousAt(h *outsideHalf, fields map[string]bool) *bitset.BitSet {
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
			if differ := n.groups.union(func(g int) bool {
				a, b := v.settings, w.settings
				a.normalise(&n.sides[g])
				b.normalise(&n.sides[g])
				return a != b
			}); differ != nil {
				both.InPlaceIntersection(differ)
				out.InPlaceUnion(both)
				n.outsideDifferences(h, &v.settings, &w.settings, both, fields)
			}
		}
	}
	return out
}

// outsideDifferences adds the fields in which two settings differ on some nodes.
func (n *network) outsideDifferences(h *outsideHalf, v, w *settings, nodes *bitset.BitSet, fields map[string]bool) {
	seen := make([]bool, len(n.sides))
	for i, ok := nodes.NextSet(0); ok; i, ok = nodes.NextSet(i + 1) {
		g := n.groups.of[i]
		if seen[g] {
			continue
		}
		seen[g] = true
		a, b := *v, *w
		a.normalise(&n.sides[g])
		b.normalise(&n.sides[g])
		a.differences(&b, h.prefix, &n.sides[g], fields)
	}
}

// disjoint reports whether no node has two variants, as where each has a BGPPeer
// of its own.
func (h *outsideHalf) disjoint() bool {
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

// exit is how nodes exchange routes with what is outside; those that do so
// alike need not be told apart.
type exit struct {
	peerASN, localASN uint32
}

// exits returns the nodes by how they exchange routes with what is outside. A
// BGPPeer with an AS number of 0 gives none, as BIRD may refuse it, nor does a node
// have one whose address, in shared, is another's too.
func exits(outsides []outside, shared *bitset.BitSet) map[exit]*bitset.BitSet {
	out := map[exit]*bitset.BitSet{}
	for _, o := range outsides {
		for _, h := range o.halves {
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
				k := exit{v.settings.peerASN, v.settings.localASN}
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
		return cmp.Or(cmp.Compare(a.peerASN, b.peerASN), cmp.Compare(a.localASN, b.localASN))
	})
	return out
}

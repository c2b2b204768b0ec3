package sessions

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology/nodes"
)

// ExternalPeer is one address that nodes peer with and that is no node's. All that
// is known of it is the nodes' halves.
type ExternalPeer struct {
	Address   netip.Addr
	Name      string             // address as text
	Protocols []ExternalProtocol // in order of names
	// makeNodes makes all that have one, and leave the connection to the first.
	Nodes *bitset.BitSet
	List  nodes.List // the same
	// sample names the first few of them.
	Sample []string
}

// ExternalProtocol is the half-session of some nodes towards an external address.
type ExternalProtocol struct {
	Protocol // without its ways, which differ between nodes
	Variants []Variant
	Nodes    *bitset.BitSet
	// idle are those that have another half-session with the address, which
	// comes first.
	Idle *bitset.BitSet
}

// Variant is settings, the BGPPeers that give them, and to which nodes.
type Variant struct {
	Settings Settings
	Sources  []*Peering
	Nodes    *bitset.BitSet
}

// findExternals collects what the BGPPeers with a peerIP that is no node's give,
// in order of their names. before, or nil, are the external peers of the same nodes
// under the peerings was, and are reused where nothing changes. O(BGPPeers x set
// operations), and O(BGPPeers) with a very small constant where few change.
func findExternals(f calico.Family, ix *nodes.Index, peerings []*Peering, before []*ExternalPeer, was []*Peering) []*ExternalPeer {
	changed := map[netip.Addr][]*Peering{} // all peerings of each address that is to be made
	add := func(p *Peering) {
		if p.Scope == ScopeExternal && p.Forward[f] {
			changed[p.Peer.PeerAddress] = nil
		}
	}
	if before != nil {
		eachDifference(was, peerings, add)
		if len(changed) == 0 {
			return before
		}
	}
	for _, p := range peerings {
		if p.Scope == ScopeExternal && p.Forward[f] {
			if list, ok := changed[p.Peer.PeerAddress]; ok || before == nil {
				changed[p.Peer.PeerAddress] = append(list, p)
			}
		}
	}
	out := make([]*ExternalPeer, 0, max(len(before), len(changed)))
	for _, o := range before {
		if _, ok := changed[o.Address]; !ok {
			out = append(out, o)
		}
	}
	unchanged := len(out)
	for address, list := range changed {
		if o := newExternalPeer(address, ix, f, list); o != nil {
			out = append(out, o)
		}
	}
	byName := func(a, b *ExternalPeer) int { return cmp.Compare(a.Name, b.Name) }
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
func eachDifference(a, b []*Peering, visit func(*Peering)) {
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(a) > 0 && len(b) > 0 && a[0] == b[0]:
			a, b = a[1:], b[1:]
		case len(b) == 0 || len(a) > 0 && a[0].Peer.Name <= b[0].Peer.Name:
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
func newExternalPeer(address netip.Addr, ix *nodes.Index, f calico.Family, peerings []*Peering) *ExternalPeer {
	byPort := map[uint16][]*Peering{}
	for _, p := range peerings {
		byPort[portOr179(p.port)] = append(byPort[portOr179(p.port)], p)
	}
	o := &ExternalPeer{Address: address, Name: address.String()}
	for _, list := range byPort {
		if h := newExternalHalfSession(ix.BGP[f], list); h.Nodes.Any() {
			o.Protocols = append(o.Protocols, h)
		}
	}
	if len(o.Protocols) == 0 {
		return nil
	}
	slices.SortFunc(o.Protocols, func(a, b ExternalProtocol) int { return compareProtocols(a.Protocol, b.Protocol) })
	o.Nodes = o.Protocols[0].Nodes
	o.Protocols[0].Idle = none
	for i := range o.Protocols[1:] {
		h := &o.Protocols[i+1]
		h.Idle = h.Nodes.Intersection(o.Nodes)
		o.Nodes = o.Nodes.Union(h.Nodes)
	}
	o.List, o.Sample = nodes.NewList(o.Nodes), ix.Names(o.Nodes, sampleSize)
	return o
}

// sampleSize is how many nodes of an external peer are named.
const sampleSize = 3

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
func mergeExternals(all []*ExternalPeer, nodes uint, own map[uint32]bool) []*ExternalPeer {
	out := []*ExternalPeer{}
	layers := map[Exit][]*ExternalPeer{}
	var last Exit
	var list []*ExternalPeer // the layers of last
	for _, one := range all {
		if len(one.Protocols) > 1 || len(one.Protocols[0].Variants) > 1 || linkLocal(one.Address) {
			out = append(out, one)
			continue
		}
		v := &one.Protocols[0].Variants[0]
		kind := newExit(&v.Settings, own)
		if kind != last || list == nil {
			last, list = kind, layers[kind]
		}
		i := slices.IndexFunc(list, func(l *ExternalPeer) bool { return !one.List.Meets(l.Nodes) })
		if i < 0 {
			l := &ExternalPeer{Address: one.Address, Nodes: bitset.New(nodes)}
			h := ExternalProtocol{Protocol: one.Protocols[0].Protocol, Nodes: l.Nodes, Idle: none}
			h.Variants = []Variant{{Settings: v.Settings, Nodes: l.Nodes}}
			l.Protocols = []ExternalProtocol{h}
			out = append(out, l)
			if list = append(list, l); len(list) > maxLayers {
				list = list[1:]
			}
			layers[kind] = list
			i = len(list) - 1
		}
		one.List.AddTo(list[i].Nodes)
		sum := &list[i].Protocols[0].Variants[0]
		if len(sum.Sources) == cap(sum.Sources) {
			sum.Sources = slices.Grow(sum.Sources, len(sum.Sources)+len(v.Sources))
		}
		sum.Sources = append(sum.Sources, v.Sources...)
	}
	return out
}

// newExternalHalfSession sums up the BGPPeers of one key of Calico's table: the global
// ones hold for all nodes, and only without one do those of the nodes. BGPPeers
// that name the port 179 and ones that leave it out meet in one key.
func newExternalHalfSession(speakers *bitset.BitSet, list []*Peering) ExternalProtocol {
	if i := slices.IndexFunc(list, (*Peering).global); i >= 0 {
		list = slices.DeleteFunc(slices.Clone(list), func(p *Peering) bool { return !p.global() })
	}
	h := ExternalProtocol{Protocol: Protocol{Prefix: PrefixNode, port: list[0].port}, Nodes: none}
	if list[0].global() {
		h.Prefix = PrefixGlobal
	}
	for _, p := range list {
		nodes := p.Local
		if nodes.DifferenceCardinality(speakers) > 0 {
			nodes = nodes.Intersection(speakers)
		}
		if nodes.None() {
			continue
		}
		s := p.externalSettings()
		h.port = min(h.port, s.port)
		i := slices.IndexFunc(h.Variants, func(v Variant) bool { return v.Settings == s })
		if i < 0 {
			h.Variants = append(h.Variants, Variant{Settings: s, Sources: []*Peering{p}, Nodes: nodes})
			continue
		}
		v := &h.Variants[i]
		v.Sources = append(v.Sources, p)
		v.Nodes = v.Nodes.Union(nodes)
	}
	for i, v := range h.Variants {
		if i == 0 {
			h.Nodes = v.Nodes
		} else {
			h.Nodes = h.Nodes.Union(v.Nodes)
		}
	}
	return h
}

// waysAt returns what node i may get; what does not show in its bird.cfg makes
// no difference.
func (n *Network) waysAt(h *ExternalProtocol, i uint) []Way {
	merged := Protocol{}
	for _, v := range h.Variants {
		if !v.Nodes.Test(i) {
			continue
		}
		s := v.Settings
		s.normalise(&n.Classes.List[n.Classes.Of[i]])
		for _, p := range v.SourcesAt(i) {
			merged.add(s, only(p))
		}
	}
	return merged.Ways
}

// AmbiguousAt returns the nodes that get different settings by several
// BGPPeers, and adds the fields that differ.
func (n *Network) AmbiguousAt(h *ExternalProtocol, fields map[string]bool) *bitset.BitSet {
	out := bitset.New(0)
	if h.disjoint() {
		return out
	}
	for k, v := range h.Variants {
		for _, w := range h.Variants[:k] {
			both := v.Nodes.Intersection(w.Nodes)
			if both.None() {
				continue
			}
			if differ := n.Classes.Union(func(g int) bool {
				a, b := v.Settings, w.Settings
				a.normalise(&n.Classes.List[g])
				b.normalise(&n.Classes.List[g])
				return a != b
			}); differ != nil {
				both.InPlaceIntersection(differ)
				out.InPlaceUnion(both)
				n.externalDifferences(h, &v.Settings, &w.Settings, both, fields)
			}
		}
	}
	return out
}

// externalDifferences adds the fields in which two settings differ on some nodes.
func (n *Network) externalDifferences(h *ExternalProtocol, v, w *Settings, nodes *bitset.BitSet, fields map[string]bool) {
	seen := make([]bool, len(n.Classes.List))
	for i, ok := nodes.NextSet(0); ok; i, ok = nodes.NextSet(i + 1) {
		g := n.Classes.Of[i]
		if seen[g] {
			continue
		}
		seen[g] = true
		a, b := *v, *w
		a.normalise(&n.Classes.List[g])
		b.normalise(&n.Classes.List[g])
		AddDifferences(fields, &n.Classes.List[g], h.Prefix, &a, &b)
	}
}

// disjoint reports whether no node has two variants, as where each has a BGPPeer
// of its own.
func (h *ExternalProtocol) disjoint() bool {
	seen := bitset.New(0)
	for _, v := range h.Variants {
		if seen.IntersectionCardinality(v.Nodes) > 0 {
			return false
		}
		seen.InPlaceUnion(v.Nodes)
	}
	return true
}

// SourcesAt are the BGPPeers that give it to node i.
func (v *Variant) SourcesAt(i uint) []*Peering {
	var out []*Peering
	for _, p := range v.Sources {
		if p.Local.Test(i) {
			out = append(out, p)
		}
	}
	return out
}

// Exit is how nodes exchange routes with external peers; those that do so
// alike are not distinguished.
type Exit struct {
	LocalASN uint32 // 0 for the node's own
	PeerASN  uint32 // 0 where foreign
	// foreign reports that no node can have the peer's AS number for its own.
	Foreign bool
}

// newExit returns the exit by a half-session with the given settings; own are
// the AS numbers of the nodes.
func newExit(s *Settings, own map[uint32]bool) Exit {
	if s.PeerASN != 0 && s.PeerASN != s.localASN && !own[s.PeerASN] {
		return Exit{LocalASN: s.localASN, Foreign: true}
	}
	return Exit{LocalASN: s.localASN, PeerASN: s.PeerASN}
}

// exits returns the nodes by how they exchange routes with external peers. A
// BGPPeer with an AS number of 0 gives none, as BIRD may reject it, nor does a node
// have one whose address, in shared, is another's too.
func exits(externals []*ExternalPeer, shared *bitset.BitSet, own map[uint32]bool) map[Exit]*bitset.BitSet {
	out := map[Exit]*bitset.BitSet{}
	for _, o := range externals {
		for i := range o.Protocols {
			h := &o.Protocols[i]
			zero := bitset.New(0)
			for _, v := range h.Variants {
				if v.Settings.PeerASN == 0 {
					zero.InPlaceUnion(v.Nodes)
				}
			}
			for _, v := range h.Variants {
				if v.Settings.PeerASN == 0 {
					continue
				}
				k := newExit(&v.Settings, own)
				if out[k] == nil {
					out[k] = bitset.New(0)
				}
				out[k].InPlaceUnion(v.Nodes.Difference(h.Idle).Difference(shared).Difference(zero))
			}
		}
	}
	return out
}

func SortedExits(m map[Exit]*bitset.BitSet) []Exit {
	out := make([]Exit, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b Exit) int {
		if a.Foreign != b.Foreign {
			return map[bool]int{true: 1, false: -1}[a.Foreign]
		}
		return cmp.Or(cmp.Compare(a.PeerASN, b.PeerASN), cmp.Compare(a.LocalASN, b.LocalASN))
	})
	return out
}

// ZeroASN returns those of nodes for which an AS number of 0 is in it.
func (n *Network) ZeroASN(v *Variant, nodes *bitset.BitSet) *bitset.BitSet {
	if v.Settings.PeerASN == 0 {
		return nodes
	}
	if v.Settings.localASN != 0 {
		return bitset.New(0)
	}
	zero := n.Classes.Union(func(g int) bool { return n.Classes.List[g].ASN == 0 })
	if zero == nil {
		return bitset.New(0)
	}
	return zero.Intersection(nodes)
}

// Working returns the nodes whose half-session with an external peer BIRD takes.
func (n *Network) Working(h *ExternalProtocol) *bitset.BitSet {
	out := h.Nodes.Difference(h.Idle).Difference(n.Index.Shared(n.Family))
	for i := range h.Variants {
		out.InPlaceDifference(n.ZeroASN(&h.Variants[i], h.Variants[i].Nodes))
	}
	return out
}

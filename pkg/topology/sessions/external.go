package sessions

import (
	"cmp"
	"math"
	"net/netip"
	"slices"
	"strings"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology/nodes"
)

// ExternalPeer is an address that nodes peer with and that no node has. Only the
// half-sessions of the nodes are known. It is immutable.
type ExternalPeer struct {
	Address netip.Addr
	Name    string // Address as text
	// Protocols are the half-sessions with the peer, in order of names: one for each
	// port. BIRD gives a connection to the first.
	Protocols []ExternalProtocol
	// Nodes and List are the nodes that have a half-session with the peer.
	Nodes *bitset.BitSet
	List  nodes.List
	// Sample names the first few of the nodes.
	Sample []string
}

// ExternalProtocol is the half-sessions of some nodes with one port of an external
// peer.
type ExternalProtocol struct {
	Protocol // without Ways, which differ between nodes
	Variants []Variant
	Nodes    *bitset.BitSet
	// Idle are the nodes with another half-session with the address, to which BIRD
	// gives the connection.
	Idle *bitset.BitSet
}

// Variant is half-sessions with the same settings: the BGPPeers that configure them,
// and the nodes that have them.
type Variant struct {
	Settings Settings
	Sources  []*Peering
	Nodes    *bitset.BitSet
}

// findExternals returns the external peers of the peerings, in order of their names.
// before is nil or the external peers of the earlier peerings was over the same nodes;
// findExternals reuses those that did not change. O(BGPPeers x set operations), and
// O(BGPPeers) with a very small constant if few of them change.
func findExternals(f calico.Family, ix *nodes.Index, peerings []*Peering, before []*ExternalPeer, was []*Peering) []*ExternalPeer {
	changed := map[netip.Addr][]*Peering{} // the peerings of each external peer to make
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

// eachDifference calls visit with the peerings that are in only one of two lists. The
// lists are in order of names.
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

// newExternalPeer returns the external peer at an address, nil if no node has a
// half-session with it.
func newExternalPeer(address netip.Addr, ix *nodes.Index, f calico.Family, peerings []*Peering) *ExternalPeer {
	byPort := map[uint16][]*Peering{}
	for _, p := range peerings {
		byPort[portOr179(p.port)] = append(byPort[portOr179(p.port)], p)
	}
	o := &ExternalPeer{Address: address, Name: address.String()}
	for _, list := range byPort {
		if h := newExternalProtocol(ix.BGP[f], list); h.Nodes.Any() {
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

// sampleSize is the maximum length of ExternalPeer.Sample.
const sampleSize = 3

// none is the empty set. It must not be changed.
var none = bitset.New(0)

// maxLayers is the number of merged external peers of one exit to which
// mergeExternals compares the next external peer.
const maxLayers = 8

// mergeExternals merges external peers that have the same exit and no node in common.
// The result is for counting: one router per node counts like one router of all nodes.
// A merged peer has the address and settings of its first external peer; only the
// settings in the exit hold for all. mergeExternals does not merge an external peer with
// several ports, ambiguous settings, idle half-sessions or a link-local address.
// O(external peers + their nodes).
func (n *Network) mergeExternals(all []*ExternalPeer) []*ExternalPeer {
	out, nodes := []*ExternalPeer{}, n.Index.Len()
	layers := map[Exit][]*ExternalPeer{}
	var last Exit
	var list []*ExternalPeer // the layers of last
	for _, one := range all {
		if len(one.Protocols) > 1 || len(one.Protocols[0].Variants) > 1 || one.Protocols[0].Idle.Any() || linkLocal(one.Address) {
			out = append(out, one)
			continue
		}
		v := &one.Protocols[0].Variants[0]
		kind := n.exit(&v.Settings)
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

// newExternalProtocol returns the half-sessions with one port of an external peer.
// list holds its BGPPeers. If some of them are global, Calico ignores the others. No
// port and port 179 are the same port.
func newExternalProtocol(speakers *bitset.BitSet, list []*Peering) ExternalProtocol {
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

// waysAt returns the ways of the half-session of node i.
func (n *Network) waysAt(h *ExternalProtocol, i uint) []Way {
	merged := Protocol{}
	for _, v := range h.Variants {
		if !v.Nodes.Test(i) {
			continue
		}
		s := v.Settings
		n.normalise(&s, &n.Classes.List[n.Classes.Of[i]])
		for _, p := range v.sourcesAt(i) {
			merged.add(s, only(p))
		}
	}
	return merged.Ways
}

// AmbiguousAt returns the nodes whose half-session is ambiguous, and those among them whose
// settings conflict. It adds what differs to fields and conflicts; see AddDifferences.
// O(variants squared x set operations), and O(variants) if no node has two variants.
func (n *Network) AmbiguousAt(h *ExternalProtocol, fields, conflicts map[string]bool) (all, conflicting *bitset.BitSet) {
	out, conflicting := bitset.New(0), bitset.New(0)
	if h.disjoint() {
		return out, conflicting
	}
	for k, v := range h.Variants {
		for _, w := range h.Variants[:k] {
			both := v.Nodes.Intersection(w.Nodes)
			if both.None() {
				continue
			}
			if differ := n.Classes.Union(func(g int) bool {
				a, b := v.Settings, w.Settings
				n.normalise(&a, &n.Classes.List[g])
				n.normalise(&b, &n.Classes.List[g])
				return a != b
			}); differ != nil {
				both.InPlaceIntersection(differ)
				out.InPlaceUnion(both)
				conflicting.InPlaceUnion(n.externalDifferences(h, &v.Settings, &w.Settings, both, fields, conflicts))
			}
		}
	}
	return out, conflicting
}

// externalDifferences adds to fields and conflicts what differs between two settings on
// some nodes. It returns the nodes on which they conflict.
func (n *Network) externalDifferences(h *ExternalProtocol, v, w *Settings, nodes *bitset.BitSet, fields, conflicts map[string]bool) *bitset.BitSet {
	out := bitset.New(0)
	seen, conflicting := make([]bool, len(n.Classes.List)), make([]bool, len(n.Classes.List))
	for i, ok := nodes.NextSet(0); ok; i, ok = nodes.NextSet(i + 1) {
		g := n.Classes.Of[i]
		if !seen[g] {
			a, b := *v, *w
			n.normalise(&a, &n.Classes.List[g])
			n.normalise(&b, &n.Classes.List[g])
			seen[g], conflicting[g] = true, n.AddDifferences(fields, conflicts, g, h.Prefix, &a, &b)
		}
		if conflicting[g] {
			out.Set(i)
		}
	}
	return out
}

// zero reports whether some half-sessions have the remote AS number 0.
func (h *ExternalProtocol) zero() bool {
	return slices.ContainsFunc(h.Variants, func(v Variant) bool { return v.Settings.PeerASN == 0 })
}

// disjoint reports whether no node has two variants.
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

// sourcesAt returns the BGPPeers that configure the half-session of node i.
func (v *Variant) sourcesAt(i uint) []*Peering {
	var out []*Peering
	for _, p := range v.Sources {
		if p.Local.Test(i) {
			out = append(out, p)
		}
	}
	return out
}

// Exit is the settings that decide which routes pass a session with an external peer.
type Exit struct {
	LocalASN uint32 // 0 for the node's own
	PeerASN  uint32 // 0 if Foreign
	// Foreign reports that no node has the AS number of the peer: the session is eBGP.
	Foreign bool
	// Allowed is how often the nodes accept their own AS number in the path of a route.
	Allowed int
	// Filters are the BGPFilters; see Lists.
	Filters string
}

// exit returns the exit of a half-session with settings s.
func (n *Network) exit(s *Settings) Exit {
	out := Exit{LocalASN: s.localASN, PeerASN: s.PeerASN, Allowed: s.allow, Filters: n.filters.in(n.Family, s.filters)}
	if s.PeerASN != 0 && s.PeerASN != s.localASN && !n.own[s.PeerASN] {
		out.PeerASN, out.Foreign = 0, true
	}
	return out
}

// ExitOf returns the exit of the half-sessions of a variant.
func (n *Network) ExitOf(v *Variant) Exit { return n.exit(&v.Settings) }

// exits returns the nodes of each exit.
func (n *Network) exits(externals []*ExternalPeer) map[Exit]*bitset.BitSet {
	out := map[Exit]*bitset.BitSet{}
	n.EachExit(externals, func(list []Exit, nodes *bitset.BitSet) {
		for _, k := range list {
			if out[k] == nil {
				out[k] = bitset.New(0)
			}
			out[k].InPlaceUnion(nodes)
		}
	})
	return out
}

// EachExit calls visit with the exits of half-sessions that can come up with external peers, and the
// nodes that have them. It skips BGPPeers with AS number 0, which BIRD may reject, and nodes
// whose address another node has too. A half-session has several exits if it is ambiguous.
// visit must not keep nodes. O(external peers x set operations), and O(nodes) for those with an
// ambiguous half-session.
func (n *Network) EachExit(externals []*ExternalPeer, visit func(exits []Exit, nodes *bitset.BitSet)) {
	shared := n.Index.Shared(n.Family)
	for _, o := range externals {
		for i := range o.Protocols {
			h := &o.Protocols[i]
			zero := bitset.New(0)
			for _, v := range h.Variants {
				if v.Settings.PeerASN == 0 {
					zero.InPlaceUnion(v.Nodes)
				}
			}
			working := h.Nodes.Difference(h.Idle).Difference(shared).Difference(zero)
			if h.disjoint() {
				for _, v := range h.Variants {
					if v.Settings.PeerASN != 0 {
						visit([]Exit{n.exit(&v.Settings)}, v.Nodes.Intersection(working))
					}
				}
				continue
			}
			for i, ok := working.NextSet(0); ok; i, ok = working.NextSet(i + 1) {
				visit(n.ambiguousExits(h, i), bitset.New(0).Set(i))
			}
		}
	}
}

// ambiguousExits returns the exits of the half-session of node i. It is not known which of its
// ways Calico chooses, so each of them has the least number of own AS numbers and all lists of
// BGPFilters.
func (n *Network) ambiguousExits(h *ExternalProtocol, i uint) []Exit {
	var out []Exit
	var filters []string
	allowed := math.MaxInt
	for _, v := range h.Variants {
		if v.Nodes.Test(i) {
			k := n.exit(&v.Settings)
			allowed = min(allowed, k.Allowed)
			if !slices.Contains(filters, k.Filters) {
				filters = append(filters, k.Filters)
			}
			out = append(out, k)
		}
	}
	slices.Sort(filters)
	for x := range out {
		out[x].Allowed, out[x].Filters = allowed, strings.Join(filters, alternative)
	}
	return slices.Compact(out)
}

// ExternalTerms are the terms of one node on its session with an external peer.
type ExternalTerms struct {
	Exit
	// NextHopMode is the mode in effect.
	NextHopMode string
	// Peers are the BGPPeers that configure the half-session.
	Peers []*calico.BGPPeer
}

// TermsWith returns the terms of node i on its session with an external peer, and false if it has
// none that can come up. If it is not known which settings Calico chooses, it returns those with
// which the fewest routes are exchanged: iBGP, the least number of own AS numbers, and all lists of
// BGPFilters.
// O(BGPPeers of the external peer).
func (n *Network) TermsWith(o *ExternalPeer, i uint) (ExternalTerms, bool) {
	g := n.Classes.Of[i]
	for x := range o.Protocols {
		h := &o.Protocols[x]
		if !h.Nodes.Test(i) || h.Idle.Test(i) || n.SharesAddress(g) {
			continue
		}
		var out ExternalTerms
		for _, v := range h.Variants {
			if !v.Nodes.Test(i) {
				continue
			}
			if v.Settings.PeerASN == 0 || v.Settings.Local(&n.Classes.List[g]) == 0 {
				return ExternalTerms{}, false
			}
			if len(out.Peers) == 0 {
				out.NextHopMode = v.Settings.nextHop(&n.Classes.List[g])
			}
			for _, p := range v.sourcesAt(i) {
				out.Peers = append(out.Peers, p.Peer)
			}
		}
		exits := n.ambiguousExits(h, i)
		internal := slices.IndexFunc(exits, func(k Exit) bool { return !k.Foreign && k.PeerASN == cmp.Or(k.LocalASN, n.Classes.List[g].ASN) })
		out.Exit = exits[max(internal, 0)]
		return out, true
	}
	return ExternalTerms{}, false
}

// alternative separates the lists of BGPFilters of an ambiguous half-session in an Exit.
const alternative = "|"

// Lists returns the lists of BGPFilters of which one applies, as Network.Filters returns them.
func (k *Exit) Lists() []string { return strings.Split(k.Filters, alternative) }

// SortedExits returns the keys of m in a fixed order.
func SortedExits(m map[Exit]*bitset.BitSet) []Exit {
	out := make([]Exit, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b Exit) int {
		if a.Foreign != b.Foreign {
			return map[bool]int{true: 1, false: -1}[a.Foreign]
		}
		return cmp.Or(
			cmp.Compare(a.PeerASN, b.PeerASN), cmp.Compare(a.LocalASN, b.LocalASN),
			cmp.Compare(a.Allowed, b.Allowed), cmp.Compare(a.Filters, b.Filters),
		)
	})
	return out
}

// ZeroASN returns the elements of nodes on which the variant has AS number 0 on at
// least one side. BIRD rejects this number.
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

// Working returns the nodes on which the session can come up, if the external peer
// has a half-session back.
func (n *Network) Working(h *ExternalProtocol) *bitset.BitSet {
	out := h.Nodes.Difference(h.Idle).Difference(n.Index.Shared(n.Family))
	for i := range h.Variants {
		out.InPlaceDifference(n.ZeroASN(&h.Variants[i], h.Variants[i].Nodes))
	}
	return out
}

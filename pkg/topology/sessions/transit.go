package sessions

import (
	"net/netip"
	"slices"
	"strconv"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology/nodes"
)

// TransitPeers are the external peers that are known to pass routes on between nodes. It
// is immutable.
type TransitPeers struct {
	entries   []string
	names     map[string]bool
	numbers   map[uint32]bool
	addresses map[netip.Addr]bool
	prefixes  map[netip.Prefix]bool
	lengths   []int // the distinct lengths of the prefixes
}

// NewTransitPeers returns the external peers that any of the entries names. An entry is,
// in this order, an AS number, an address, a CIDR, or else the name of a BGPPeer.
func NewTransitPeers(entries []string) *TransitPeers {
	p := &TransitPeers{
		entries: slices.Clone(entries), names: map[string]bool{}, numbers: map[uint32]bool{},
		addresses: map[netip.Addr]bool{}, prefixes: map[netip.Prefix]bool{},
	}
	for _, e := range entries {
		if n, err := strconv.ParseUint(e, 10, 32); err == nil {
			p.numbers[uint32(n)] = true
		} else if a, err := netip.ParseAddr(e); err == nil {
			p.addresses[a.Unmap()] = true
		} else if one, err := netip.ParsePrefix(e); err == nil {
			p.prefixes[one.Masked()] = true
			if !slices.Contains(p.lengths, one.Bits()) {
				p.lengths = append(p.lengths, one.Bits())
			}
		} else {
			p.names[e] = true
		}
	}
	return p
}

// Entries returns the entries. They must not be changed.
func (p *TransitPeers) Entries() []string { return p.entries }

// has reports whether an entry names the peer of a BGPPeer.
func (p *TransitPeers) has(peer *calico.BGPPeer) bool {
	return p.names[peer.Name] || peer.ASNumber != 0 && p.numbers[peer.ASNumber] || p.hasAddress(peer.PeerAddress)
}

func (p *TransitPeers) hasAddress(a netip.Addr) bool {
	if p.addresses[a] {
		return true
	}
	for _, bits := range p.lengths {
		if prefix, err := a.Prefix(bits); err == nil && p.prefixes[prefix] {
			return true
		}
	}
	return false
}

// SameTransit reports whether two lists of TransitPeers have the same entries.
func SameTransit(a, b []*TransitPeers) bool {
	return slices.EqualFunc(a, b, func(p, q *TransitPeers) bool { return p == q || slices.Equal(p.entries, q.entries) })
}

// Passing are the external peers that pass routes on between nodes in one reading.
type Passing struct {
	// Externals and Counted are as in Network, with only the nodes whose half-sessions
	// are with such peers.
	Externals, Counted []*ExternalPeer
	// Exits holds the nodes that exchange routes with them, by how they do.
	Exits map[Exit]*bitset.BitSet
}

// findPassing sets the readings of a network: no external peer passes routes on; all do
// that can; the same again, for the reading in which they keep AS paths; and for each list
// the peers in it that can. It returns those that can, in order. O(external peers + their nodes) for each reading.
func (n *Network) findPassing(lists []*TransitPeers) []*ExternalPeer {
	all := Passing{Externals: n.Externals, Counted: n.Counted}
	if never := func(o *ExternalPeer) bool { return n.neverPasses(o.Address) }; slices.ContainsFunc(n.Externals, never) {
		all.Externals = slices.DeleteFunc(slices.Clone(n.Externals), never)
		all.Counted = n.mergeExternals(all.Externals)
	}
	all.Exits = n.exits(all.Counted)
	n.Passing = append(make([]Passing, 0, 3+len(lists)), Passing{}, all, all)
	for _, list := range lists {
		some := Passing{}
		for _, o := range all.Externals {
			if o = o.among(list, n.Index); o != nil {
				some.Externals = append(some.Externals, o)
			}
		}
		if slices.Equal(some.Externals, all.Externals) {
			n.Passing = append(n.Passing, all)
			continue
		}
		some.Counted = n.mergeExternals(some.Externals)
		some.Exits = n.exits(some.Counted)
		n.Passing = append(n.Passing, some)
	}
	return all.Externals
}

// neverPasses reports whether nothing at an address can pass routes on: it is no unicast
// address of another machine, or it belongs to a node, whose own sessions are known.
func (n *Network) neverPasses(a netip.Addr) bool {
	return unusableKind(a) != "" || n.Index.Owns(a)
}

// among returns the external peer with only the nodes that have a half-session with it by a
// BGPPeer whose peer is in the list; the external peer itself if these are all of its nodes,
// and nil if there are none.
func (o *ExternalPeer) among(list *TransitPeers, ix *nodes.Index) *ExternalPeer {
	if list.hasAddress(o.Address) {
		return o
	}
	same, some := true, false
	for i := range o.Protocols {
		for _, v := range o.Protocols[i].Variants {
			for _, p := range v.Sources {
				has := list.has(p.Peer)
				same, some = same && has, some || has
			}
		}
	}
	switch {
	case same:
		return o
	case !some:
		return nil
	}
	out := &ExternalPeer{Address: o.Address, Name: o.Name, Nodes: bitset.New(ix.Len())}
	for i := range o.Protocols {
		if h := o.Protocols[i].among(list); h.Nodes.Any() {
			out.Protocols = append(out.Protocols, h)
			out.Nodes.InPlaceUnion(h.Nodes)
		}
	}
	if len(out.Protocols) == 0 {
		return nil
	}
	out.List, out.Sample = nodes.NewList(out.Nodes), ix.Names(out.Nodes, sampleSize)
	return out
}

// among returns the half-sessions of the nodes that have one by a BGPPeer whose peer is in
// the list.
func (h *ExternalProtocol) among(list *TransitPeers) ExternalProtocol {
	out := *h
	out.Nodes, out.Variants = bitset.New(h.Nodes.Len()), nil
	for _, v := range h.Variants {
		for _, p := range v.Sources {
			if list.has(p.Peer) {
				out.Nodes.InPlaceUnion(v.Nodes.Intersection(p.Local))
			}
		}
	}
	for _, v := range h.Variants {
		if v.Nodes = v.Nodes.Intersection(out.Nodes); v.Nodes.Any() {
			out.Variants = append(out.Variants, v)
		}
	}
	return out
}

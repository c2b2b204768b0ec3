package nodes

import (
	"net/netip"
	"slices"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// Link is the place of a node's address among the networks of all nodes. Nodes with equal Links reach the
// same nodes without a router, and the same nodes reach them.
type Link struct {
	// network is the network of the address, the zero Prefix if it is not known: the address has no mask,
	// or one of all bits. calico-node writes such a mask if the interface has it, as on Google Cloud. It also writes it
	// for an IP without a mask that no interface has, and for an IP6 without a mask, and keeps addresses that others
	// write (node/pkg/lifecycle/startup/startup.go, configureIPsAndSubnets).
	network netip.Prefix
	// inner is the smallest network of any node that contains the address, the zero Prefix for none.
	inner netip.Prefix
}

// Known reports whether the network of the address is known.
func (l Link) Known() bool { return l.network.IsValid() }

// Covers reports whether a node with Link l has the address of a node with Link o in its network. It is
// true if the network is not known.
func (l Link) Covers(o Link) bool { return !l.Known() || l.Shows(o) }

// Shows is Covers, but false if the network is not known.
func (l Link) Shows(o Link) bool {
	return l.Known() && o.inner.IsValid() && l.network.Bits() <= o.inner.Bits() && l.network.Contains(o.inner.Addr())
}

// Links returns the Link of each node in a family, the zero Link for a node without an address.
// O(nodes x distinct lengths of masks).
func (ix *Index) Links(f calico.Family) []Link {
	out := make([]Link, len(ix.Nodes))
	known, lengths := map[netip.Prefix]bool{}, []int{}
	for i, ok := ix.BGP[f].NextSet(0); ok; i, ok = ix.BGP[f].NextSet(i + 1) {
		if a := ix.Nodes[i].Address[f]; !a.IsSingleIP() {
			out[i].network = a.Masked()
			known[out[i].network] = true
			if !slices.Contains(lengths, a.Bits()) {
				lengths = append(lengths, a.Bits())
			}
		}
	}
	slices.Sort(lengths)
	for i, ok := ix.BGP[f].NextSet(0); ok; i, ok = ix.BGP[f].NextSet(i + 1) {
		for _, bits := range slices.Backward(lengths) {
			if p := netip.PrefixFrom(ix.Nodes[i].Address[f].Addr(), bits).Masked(); known[p] {
				out[i].inner = p
				break
			}
		}
	}
	return out
}

// Places counts nodes by their Links.
type Places struct {
	index    *Index
	networks map[netip.Prefix]int
	unknown  int // nodes whose network is not known
	lengths  []int
}

// NewPlaces returns Places without nodes.
func NewPlaces(ix *Index) *Places { return &Places{index: ix, networks: map[netip.Prefix]int{}} }

// Add adds a number of nodes with a Link.
func (p *Places) Add(l Link, nodes int) {
	if !l.Known() {
		p.unknown += nodes
		return
	}
	p.networks[l.network] += nodes
	if !slices.Contains(p.lengths, l.network.Bits()) {
		p.lengths = append(p.lengths, l.network.Bits())
	}
}

// Alone reports whether a node with a Link has the address of no other node in its network, and no node that
// was added has its address. O(distinct lengths of masks + log nodes).
func (p *Places) Alone(l Link) bool {
	if !l.Known() || p.unknown > 0 || len(p.index.Inside(l.network)) > 1 {
		return false
	}
	around := 0
	for _, bits := range p.lengths {
		if bits <= l.inner.Bits() {
			around += p.networks[netip.PrefixFrom(l.inner.Addr(), bits).Masked()]
		}
	}
	return around <= 1
}

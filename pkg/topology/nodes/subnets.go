package nodes

import (
	"net/netip"
	"slices"
	"sort"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// Subnets returns the networks of the nodes' addresses in a family, by the masks in the Nodes, in
// order. It skips networks inside others. Nodes in one of these networks reach each other without a
// router. The network of an address without a mask, or with one of all bits, is that address alone.
// The list must not be changed. O(1).
func (ix *Index) Subnets(f calico.Family) []netip.Prefix { return ix.addresses.subnets[f] }

// SubnetPairs returns the pairs of nodes in a family. It must not be changed. O(1).
func (ix *Index) SubnetPairs(f calico.Family) *SubnetPairs { return &ix.addresses.pairs[f] }

// SubnetPairs counts pairs of nodes by whether each node has the address of the other in the
// network of its own address. A node whose address has no mask, or one of all bits, has no other
// address in its network. Calico sends packets between pods of the nodes of a pair without a tunnel if
// the encapsulation is CrossSubnet and the sending node has the other address in its network
// (felix/calc/l3_route_resolver.go; confd's bird_ipam.cfg.template).
type SubnetPairs struct {
	// Same counts the pairs in which both do, Different those in which none does, and Uneven those in
	// which only one does: the masks of the two differ.
	Same, Different, Uneven int
	// Wider are the nodes with the address of the other in Uneven.
	Wider *bitset.BitSet
}

// subnet is the nodes with one network, in order of addresses.
type subnet struct {
	network netip.Prefix
	nodes   []uint32
	wide    bool // widen was called
	from    int  // the place in addresses.nodes from which on nodes is a part of it, as long as the nodes follow one another there
}

// findSubnets sets subnets and pairs. O(nodes + networks x log nodes x networks around a network).
func (a *addresses) findSubnets(nodes []*calico.Node) {
	for _, f := range calico.Families {
		all := a.subnetsOf(f)
		for _, s := range all {
			if list := a.subnets[f]; len(list) == 0 || !list[len(list)-1].Overlaps(s.network) {
				a.subnets[f] = append(list, s.network)
			}
		}
		a.pairs[f] = pairsOf(nodes, f, all)
	}
}

// subnetsOf returns the networks of the addresses in a family, in order: a network comes before
// those inside it.
func (a *addresses) subnetsOf(f calico.Family) []subnet {
	var out []subnet
	known := map[netip.Prefix]int{}
	last := -1
	for k, i := range a.nodes {
		if calico.FamilyOf(a.list[k]) != f {
			continue
		}
		// Neighbors usually share a network.
		if bits := int(a.bits[k]); last < 0 || bits != out[last].network.Bits() || !out[last].network.Contains(a.list[k]) {
			network := netip.PrefixFrom(a.list[k], bits).Masked()
			at, ok := known[network]
			if !ok {
				at = len(out)
				known[network] = at
				out = append(out, subnet{network: network, from: k})
			}
			last = at
		}
		if s := &out[last]; s.from+len(s.nodes) == k {
			s.nodes = a.nodes[s.from : k+1 : k+1]
		} else { // append copies the part.
			s.from, s.nodes = -1, append(s.nodes, i)
		}
	}
	slices.SortFunc(out, func(a, b subnet) int { return a.network.Compare(b.network) })
	return out
}

// pairsOf counts the pairs of nodes of networks, which are in order.
func pairsOf(nodes []*calico.Node, f calico.Family, all []subnet) SubnetPairs {
	out := SubnetPairs{Wider: bitset.New(uint(len(nodes)))}
	total := 0
	var around []subnet // of the current network, the outermost first
	for _, s := range all {
		n := len(s.nodes)
		total += n
		for len(around) > 0 && !around[len(around)-1].network.Overlaps(s.network) {
			around = around[:len(around)-1]
		}
		if s.network.IsSingleIP() {
			for i := range around {
				out.Uneven += n * len(around[i].nodes)
				around[i].widen(out.Wider)
			}
			continue
		}
		out.Same += n * (n - 1) / 2
		for i := range around {
			outer := &around[i]
			from, to := outer.within(nodes, f, s.network)
			out.Same += n * (to - from)
			out.Uneven += n * (len(outer.nodes) - (to - from))
			for _, list := range [][]uint32{outer.nodes[:from], outer.nodes[to:]} {
				for _, i := range list {
					out.Wider.Set(uint(i))
				}
			}
		}
		around = append(around, s)
	}
	out.Different = total*(total-1)/2 - out.Same - out.Uneven
	return out
}

// widen adds all nodes to wider. It does so once, because there may be as many addresses inside the
// network as nodes.
func (s *subnet) widen(wider *bitset.BitSet) {
	if s.wide {
		return
	}
	s.wide = true
	for _, i := range s.nodes {
		wider.Set(uint(i))
	}
}

// within returns the range of the nodes whose address is in a network.
func (s *subnet) within(nodes []*calico.Node, f calico.Family, network netip.Prefix) (from, to int) {
	address := func(k int) netip.Addr { return nodes[s.nodes[k]].Address[f].Addr() }
	from = sort.Search(len(s.nodes), func(k int) bool { return address(k).Compare(network.Addr()) >= 0 })
	to = from + sort.Search(len(s.nodes)-from, func(k int) bool { return !network.Contains(address(from + k)) })
	return from, to
}

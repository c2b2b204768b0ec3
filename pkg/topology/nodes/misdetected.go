package nodes

import (
	"net/netip"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// bridges are the networks that container engines and hypervisors give their bridges by
// default: Docker (172.17.0.0/16 to 172.31.0.0/16), Podman and libvirt. The bridge of such a
// network has its first address, on each machine the same one.
var bridges = func() map[netip.Prefix]bool {
	out := map[netip.Prefix]bool{netip.MustParsePrefix("10.88.0.1/16"): true, netip.MustParsePrefix("192.168.122.1/24"): true}
	for b := byte(17); b <= 31; b++ {
		out[netip.PrefixFrom(netip.AddrFrom4([4]byte{172, b, 0, 1}), 16)] = true
	}
	return out
}()

// misdetected returns, by family, the nodes whose BGP address calico-node probably detected
// on the wrong interface: the status of the Node does not contain the address, the status
// has an InternalIP in the family or the address is one of bridges, and no node with another
// address has its address in the same subnet. An address without a subnet was configured
// and not detected, unless it is that of a bridge. A single node has no peer that could not
// reach it. O(nodes) with a very small constant; O(nodes log nodes) for unlisted addresses.
func (ix *Index) misdetected() [2]*bitset.BitSet {
	out := [2]*bitset.BitSet{bitset.New(ix.Len()), bitset.New(ix.Len())}
	for _, f := range calico.Families {
		if ix.BGP[f].Count() < 2 {
			continue
		}
		var all subnets
		for i, n := range ix.Nodes {
			p := n.Address[f]
			if !p.IsValid() || n.Listed[f] || (p.IsSingleIP() || !n.InternalIP[f].IsValid()) && !bridges[p] || ix.addresses.othersIn(p) {
				continue
			}
			if all == nil {
				all = newSubnets(ix.Nodes, f)
			}
			if !all.holdOthers(p.Addr()) {
				out[f].Set(uint(i))
			}
		}
	}
	return out
}

// othersIn reports whether the subnet of p contains a BGP address other than that of p.
// O(log nodes).
func (a *addresses) othersIn(p netip.Prefix) bool {
	from, to := a.find(p.Addr())
	return from > 0 && p.Contains(a.list[from-1]) || to < len(a.list) && p.Contains(a.list[to])
}

// subnets holds, by the length of the prefix, the subnets of nodes with the addresses that
// nodes have them from.
type subnets map[int]map[netip.Prefix]owners

// owners are nodes with the same subnet: the address of the first, and whether another one
// has another address.
type owners struct {
	address netip.Addr
	several bool
}

func newSubnets(nodes []*calico.Node, f calico.Family) subnets {
	out := subnets{}
	for _, n := range nodes {
		p := n.Address[f]
		if !p.IsValid() || p.IsSingleIP() {
			continue
		}
		if out[p.Bits()] == nil {
			out[p.Bits()] = map[netip.Prefix]owners{}
		}
		subnet, known := p.Masked(), out[p.Bits()]
		one, ok := known[subnet]
		switch {
		case !ok:
			known[subnet] = owners{address: p.Addr()}
		case one.address != p.Addr():
			known[subnet] = owners{one.address, true}
		}
	}
	return out
}

// holdOthers reports whether an address is in the subnet of a node with another address.
// O(distinct lengths of prefixes).
func (s subnets) holdOthers(a netip.Addr) bool {
	for bits, known := range s {
		p, err := a.Prefix(bits)
		if err != nil {
			continue
		}
		if one, ok := known[p]; ok && (one.several || one.address != a) {
			return true
		}
	}
	return false
}

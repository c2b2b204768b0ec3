package nodes

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// addresses holds the BGP addresses of all nodes, sorted. list[i] is an address of node
// nodes[i], and bits[i] the length of its mask.
type addresses struct {
	list  []netip.Addr
	nodes []uint32
	bits  []uint8
	// shared are, by family, the nodes whose address another node has too.
	shared [2]*bitset.BitSet
	// subnets are the networks of the addresses, by family; see Index.Subnets. pairs are the pairs of
	// nodes by these.
	subnets [2][]netip.Prefix
	pairs   [2]SubnetPairs
}

type located struct {
	address netip.Addr
	node    uint32
	bits    uint8
}

func newAddresses(nodes []*calico.Node) *addresses {
	list := make([]located, 0, len(nodes))
	for i, n := range nodes {
		list = appendLocated(list, n, i)
	}
	slices.SortFunc(list, func(a, b located) int {
		return cmp.Or(a.address.Compare(b.address), cmp.Compare(a.node, b.node))
	})
	a := newRoom(len(list))
	for _, l := range list {
		a.add(l)
	}
	a.findShared()
	a.findSubnets(nodes)
	return a
}

// newRoom returns no addresses, with room for some.
func newRoom(n int) *addresses {
	return &addresses{list: make([]netip.Addr, 0, n), nodes: make([]uint32, 0, n), bits: make([]uint8, 0, n)}
}

// add adds an address that is not less than those in the list.
func (a *addresses) add(l located) {
	a.list, a.nodes, a.bits = append(a.list, l.address), append(a.nodes, l.node), append(a.bits, l.bits)
}

func appendLocated(list []located, n *calico.Node, i int) []located {
	for _, f := range calico.Families {
		if n.SpeaksBGP(f) {
			list = append(list, located{n.Address[f].Addr(), uint32(i), uint8(n.Address[f].Bits())})
		}
	}
	return list
}

// edited returns the addresses after an edit.
func (a *addresses) edited(nodes []*calico.Node, e *edit) *addresses {
	out := newRoom(len(a.list) + 2*e.added)
	for k, node := range a.nodes {
		switch i := int(node); {
		case i < e.at:
			out.add(located{a.list[k], node, a.bits[k]})
		case i >= e.at+e.removed:
			out.add(located{a.list[k], uint32(i - e.removed + e.added), a.bits[k]})
		}
	}
	var fresh []located
	for i := e.at; i < e.at+e.added; i++ {
		fresh = appendLocated(fresh, nodes[i], i)
	}
	for _, l := range fresh {
		from, to := out.find(l.address)
		for from < to && out.nodes[from] < l.node {
			from++
		}
		out.list, out.nodes, out.bits = slices.Insert(out.list, from, l.address), slices.Insert(out.nodes, from, l.node), slices.Insert(out.bits, from, l.bits)
	}
	out.findShared()
	out.findSubnets(nodes)
	return out
}

func (a *addresses) findShared() {
	a.shared = [2]*bitset.BitSet{{}, {}}
	for i := 1; i < len(a.list); i++ {
		if a.list[i-1] == a.list[i] {
			a.shared[calico.FamilyOf(a.list[i])].Set(uint(a.nodes[i-1])).Set(uint(a.nodes[i]))
		}
	}
}

// isShared reports whether another node has one of the addresses of node i.
func (a *addresses) isShared(i uint32) bool {
	return a.shared[calico.IPv4].Test(uint(i)) || a.shared[calico.IPv6].Test(uint(i))
}

func (a *addresses) anyShared() bool {
	return a.shared[calico.IPv4].Any() || a.shared[calico.IPv6].Any()
}

// find returns the range of an address in the list.
func (a *addresses) find(address netip.Addr) (from, to int) {
	from, _ = slices.BinarySearchFunc(a.list, address, netip.Addr.Compare)
	to = from
	for to < len(a.list) && a.list[to] == address {
		to++
	}
	return from, to
}

// at returns the nodes that have the address, in order.
func (a *addresses) at(address netip.Addr) []uint32 {
	from, to := a.find(address)
	return a.nodes[from:to]
}

// Inside returns the nodes that have an address in a network, in order of these addresses.
// O(log nodes). The list must not be changed.
func (ix *Index) Inside(network netip.Prefix) []uint32 {
	a := ix.addresses
	from, _ := slices.BinarySearchFunc(a.list, network.Masked().Addr(), netip.Addr.Compare)
	to, _ := slices.BinarySearchFunc(a.list[from:], network, func(one netip.Addr, network netip.Prefix) int {
		if network.Contains(one) {
			return -1
		}
		return 1
	})
	return a.nodes[from : from+to]
}

// others are the addresses of all nodes that are not for BGP, sorted. Several nodes may
// have one.
type others struct{ list []netip.Addr }

func newOthers(nodes []*calico.Node) *others {
	o := &others{}
	for _, n := range nodes {
		o.list = append(o.list, n.Others...)
	}
	slices.SortFunc(o.list, netip.Addr.Compare)
	return o
}

// edited returns the addresses after some nodes were replaced by others, o itself if they
// are the same. O(addresses) for each node with other addresses.
func (o *others) edited(removed, added []*calico.Node) *others {
	same := func(a, b *calico.Node) bool { return slices.Equal(a.Others, b.Others) }
	some := func(n *calico.Node) bool { return len(n.Others) > 0 }
	if slices.EqualFunc(removed, added, same) || !slices.ContainsFunc(removed, some) && !slices.ContainsFunc(added, some) {
		return o
	}
	out := &others{list: slices.Clone(o.list)}
	for _, n := range removed {
		for _, a := range n.Others {
			if i, ok := slices.BinarySearchFunc(out.list, a, netip.Addr.Compare); ok {
				out.list = slices.Delete(out.list, i, i+1)
			}
		}
	}
	for _, n := range added {
		for _, a := range n.Others {
			i, _ := slices.BinarySearchFunc(out.list, a, netip.Addr.Compare)
			out.list = slices.Insert(out.list, i, a)
		}
	}
	return out
}

func (o *others) has(address netip.Addr) bool {
	_, ok := slices.BinarySearchFunc(o.list, address, netip.Addr.Compare)
	return ok
}

package nodes

import (
	"net/netip"
	"slices"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// Subnets returns the networks of the nodes' addresses in a family, by the masks in the Nodes, in
// order. It skips networks inside others, and addresses without a mask, whose network is not
// known. Nodes in one of these networks reach each other without a router. The list must not be
// changed. O(1).
func (ix *Index) Subnets(f calico.Family) []netip.Prefix { return ix.addresses.subnets[f] }

// findSubnets sets subnets. O(nodes).
func (a *addresses) findSubnets(nodes []*calico.Node) {
	for _, f := range calico.Families {
		a.subnets[f] = a.subnetsOf(nodes, f)
	}
}

func (a *addresses) subnetsOf(nodes []*calico.Node, f calico.Family) []netip.Prefix {
	var all []netip.Prefix
	var last netip.Prefix
	for _, i := range a.nodes { // In order of addresses, so neighbors share networks.
		a := nodes[i].Address[f]
		if !a.IsValid() || a.IsSingleIP() || a.Bits() == last.Bits() && last.Contains(a.Addr()) {
			continue
		}
		last = a.Masked()
		all = append(all, last)
	}
	slices.SortFunc(all, netip.Prefix.Compare) // A network comes before those inside it.
	out := all[:0]
	for _, p := range all {
		if len(out) == 0 || !out[len(out)-1].Overlaps(p) {
			out = append(out, p)
		}
	}
	return out
}

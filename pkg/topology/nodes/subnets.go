package nodes

import (
	"net/netip"
	"slices"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// Subnets returns the networks of the nodes' addresses in a family, by the masks in the Nodes, in
// order. It skips networks inside others, and addresses without a mask, whose network is not
// known. Nodes in one of these networks reach each other without a router. O(nodes).
func (ix *Index) Subnets(f calico.Family) []netip.Prefix {
	var all []netip.Prefix
	var last netip.Prefix
	for _, i := range ix.addresses.nodes { // In order of addresses, so neighbors share networks.
		a := ix.Nodes[i].Address[f]
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

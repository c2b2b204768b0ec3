package topology

import (
	"net/netip"
	"slices"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/topology/routes"
)

// drops reports whether the node drops packets over a next hop; see serviceRanges.
func (w *tabulation) drops(hop netip.Addr) bool {
	if w.node < 0 {
		return false
	}
	network := w.t.index.Nodes[w.node].Address[w.family].Masked()
	return !network.IsSingleIP() && slices.ContainsFunc(w.services, func(r ServiceRoutes) bool {
		cidr := netip.MustParsePrefix(r.CIDR)
		return !r.Single && (r.Advertised || r.Nodes.Nodes > 0) && cidr.Contains(hop) && (cidr.Bits() > network.Bits() || !network.Contains(hop))
	})
}

// serviceRange returns the first range of addresses of Services that contains a prefix and keeps the node
// from programming routes to it, "" for none.
func (w *tabulation) serviceRange(p netip.Prefix) Optional {
	i := slices.IndexFunc(w.routing.serviceRanges, func(cidr netip.Prefix) bool { return contains(cidr, p) })
	if w.node < 0 || !p.IsValid() || i < 0 {
		return ""
	}
	return Optional(w.routing.serviceRanges[i].String())
}

// nextHop returns the next hop of a group of routes.
func (w *tabulation) nextHop(first *routes.Received, origins, senders *bitset.BitSet, externals []string) RouteNextHop {
	hop := func(kind string, set *bitset.BitSet) RouteNextHop {
		out := RouteNextHop{Kind: kind, Addresses: []string{}}
		for i, ok := set.NextSet(0); ok; i, ok = set.NextSet(i + 1) {
			address := w.t.index.Nodes[i].Address[w.family].Addr()
			if len(out.Addresses) < SampleSize {
				out.Addresses = append(out.Addresses, address.String())
			}
			if w.drops(address) {
				out.Unusable++
			}
		}
		return out
	}
	switch first.NextHop.Kind {
	case routes.OfOrigin:
		return hop(NextHopOrigin, origins)
	case routes.OfSender:
		if first.Sender == routes.External {
			return RouteNextHop{Kind: NextHopSender, Addresses: externals}
		}
		return hop(NextHopSender, senders)
	case routes.OfNode:
		return hop(NextHopNode, w.vertex(first.NextHop.Vertex))
	case routes.OfUnknown:
	}
	return RouteNextHop{Kind: NextHopUnknown, Addresses: []string{}}
}

package topology

import (
	"net/netip"
	"slices"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// BIRD resolves the next hop of every route that it has by BGP through its own table ("gateway
// recursive", node/filesystem/etc/calico/confd/templates/bird.cfg.template), by the longest prefix
// (BIRD 1.6, nest/rt-table.c, rt_update_hostentry). The table has the networks of the interfaces, the
// routes of the host, a blackhole route to each range of addresses of Services that the node
// advertises, and those that it learned. If a route to a range is the longest prefix with a next hop,
// the node drops packets over it: its routes are blackholes too or, through a learned route,
// unreachable. Of two routes to one prefix, BIRD prefers that of the interface.

// serviceRanges returns the part of the summary about ranges of addresses of Services.
// O(ranges x (log nodes + IPPools)), and O(nodes) for each range with addresses of nodes.
func (t *Topology) serviceRanges(f calico.Family) []ServiceRange {
	out := slices.Clone(t.services[f].summary)
	for i := range out {
		r := calico.ServiceRange{Field: out[i].Field, CIDR: netip.MustParsePrefix(out[i].CIDR), Route: true}
		members := t.measures.add("serviceRanges/"+f.String()+"/"+r.Field+"/"+out[i].CIDR+"/nextHops", nodesIn(f, func(t *Topology) func(int) bool {
			return within(t.unusableNextHops(f, r))
		}))
		out[i].NextHops = nodeSet(t.index, t.unusableNextHops(f, r), members)
		out[i].IPPools = []PoolPart{}
		if slices.Contains(t.services[f].list, r) {
			out[i].IPPools = t.routings[f].pods.inside(r.CIDR)
		}
	}
	return out
}

// unusableNextHops returns the nodes whose address some other node resolves, as a next hop, through the
// route to a range, nil for none, and if there is no such range with a route. It assumes that excluded
// nodes learn the range from those that advertise it, and skips nodes whose network is not known.
// O(log nodes), and O(nodes) if the range contains addresses of nodes.
func (t *Topology) unusableNextHops(f calico.Family, r calico.ServiceRange) *bitset.BitSet {
	s, cidr := t.services[f], r.CIDR
	if !slices.Contains(s.list, r) {
		return nil
	}
	inside := t.index.Inside(cidr)
	if len(inside) == 0 || t.index.BGP[f].DifferenceCardinality(s.excluded) == 0 {
		return nil
	}
	// The network that is inside all others, and the number of nodes whose network is larger than the
	// range. If networks are disjoint, each address is outside the network of some node.
	var narrowest netip.Prefix
	larger, disjoint := 0, false
	for i, ok := t.index.BGP[f].NextSet(0); ok; i, ok = t.index.BGP[f].NextSet(i + 1) {
		network := t.index.Nodes[i].Address[f].Masked()
		if network.IsSingleIP() {
			continue
		}
		if network.Bits() < cidr.Bits() {
			larger++
		}
		disjoint = disjoint || narrowest.IsValid() && !narrowest.Overlaps(network)
		if !narrowest.IsValid() || network.Bits() > narrowest.Bits() {
			narrowest = network
		}
	}
	if !narrowest.IsValid() {
		return nil
	}
	out := bitset.New(t.index.Len())
	for _, i := range inside {
		address := t.index.Nodes[i].Address[f]
		others := larger
		if !address.IsSingleIP() && address.Bits() < cidr.Bits() {
			others-- // The node itself.
		}
		if disjoint || others > 0 || !narrowest.Contains(address.Addr()) {
			out.Set(uint(i))
		}
	}
	return out
}

// inside returns the parts of IPPools with blocks in a range. O(IPPools).
func (p *podPrefixes) inside(cidr netip.Prefix) []PoolPart {
	out := []PoolPart{}
	for _, pool := range p.pools {
		if cidr.Overlaps(pool.cidr) && cidr.Bits() <= pool.blockSize {
			part := pool.cidr
			if cidr.Bits() > part.Bits() {
				part = cidr
			}
			out = append(out, PoolPart{pool.name, part.String()})
		}
	}
	return out
}

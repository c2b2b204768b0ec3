package topology

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// Values of IPPool.Allocations.
const (
	AllocationsSome    = "some"
	AllocationsNone    = "none"
	AllocationsUnknown = "unknown"
)

// allocations is where pods have addresses, by the IPAMBlocks of a state. It depends only on
// the IPAMBlocks and IPPools.
type allocations struct {
	// blocks are the IPAMBlocks with addresses of pods, sorted by address. Blocks do not
	// overlap.
	blocks  []netip.Prefix
	pools   []*calico.IPPool
	summary *PodAddresses
}

// newAllocations returns the allocations of a snapshot. It returns those of before, the
// topology of an earlier snapshot or nil, if neither IPAMBlocks nor IPPools changed.
// O(blocks x log blocks + pools x log pools), and O(blocks) if only IPPools changed.
func newAllocations(s *state.Snapshot, before *Topology) *allocations {
	a := &allocations{pools: s.IPPools()}
	switch {
	case before == nil || !state.SameIPAMBlocks(s, before.snapshot):
		a.blocks = podBlocks(s.IPAMBlocks())
	case slices.Equal(a.pools, before.allocations.pools):
		return before.allocations
	default:
		a.blocks = before.allocations.blocks
	}
	// Without Calico's IPAM, for example with host-local, there are no blocks at all.
	a.summary = &PodAddresses{Known: s.ReadAll(calico.KindIPAMBlock) && len(s.IPAMBlocks()) > 0}
	for _, f := range calico.Families {
		a.summary.WithoutPool.In(f).Sample = []string{}
	}
	a.findWithoutPool()
	return a
}

// podBlocks returns the CIDRs of the blocks with addresses of pods, sorted.
func podBlocks(blocks []*calico.IPAMBlock) []netip.Prefix {
	var out []netip.Prefix
	for _, b := range blocks {
		if b.Pods {
			out = append(out, b.CIDR)
		}
	}
	slices.SortFunc(out, byFirstAddress)
	return out
}

// byFirstAddress orders prefixes by their first address, and a larger one before those inside it.
func byFirstAddress(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}

// findWithoutPool sets summary.WithoutPool. Sorted IPPools and sorted blocks are compared in
// one pass, in which an IPPool inside another one adds nothing.
func (a *allocations) findWithoutPool() {
	var pools []netip.Prefix
	for _, p := range a.pools {
		if p.Routed && p.CIDR.IsValid() {
			pools = append(pools, p.CIDR)
		}
	}
	slices.SortFunc(pools, byFirstAddress)
	var last netip.Prefix // The largest pool that starts before the block.
	for _, block := range a.blocks {
		for len(pools) > 0 && byFirstAddress(pools[0], block) <= 0 {
			if !last.IsValid() || !last.Overlaps(pools[0]) {
				last = pools[0]
			}
			pools = pools[1:]
		}
		if last.IsValid() && last.Bits() <= block.Bits() && last.Contains(block.Addr()) {
			continue
		}
		f := calico.IPv4
		if block.Addr().Is6() {
			f = calico.IPv6
		}
		out := a.summary.WithoutPool.In(f)
		out.Blocks++
		if len(out.Sample) < SampleSize {
			out.Sample = append(out.Sample, block.String())
		}
	}
}

// of returns whether pods have addresses of an IPPool: AllocationsSome, AllocationsNone or
// AllocationsUnknown. O(log blocks).
func (a *allocations) of(p *calico.IPPool) string {
	switch {
	case !a.summary.Known && p.Unused:
		return AllocationsNone
	case !a.summary.Known:
		return AllocationsUnknown
	case !p.CIDR.IsValid():
		return AllocationsNone // Calico ignores the pool.
	}
	i, _ := slices.BinarySearchFunc(a.blocks, p.CIDR.Addr(), func(b netip.Prefix, first netip.Addr) int { return b.Addr().Compare(first) })
	if i < len(a.blocks) && p.CIDR.Contains(a.blocks[i].Addr()) || i > 0 && a.blocks[i-1].Contains(p.CIDR.Addr()) {
		return AllocationsSome
	}
	return AllocationsNone
}

// mayRoute returns whether the cluster needs routes to pods of an IPPool. AllocationsSome
// includes an IPPool from which pods can get addresses at any time, AllocationsUnknown is a
// disabled IPPool whose pods, if there are any, keep their addresses.
func (a *allocations) mayRoute(p *calico.IPPool) string {
	has := a.of(p)
	switch {
	case has == AllocationsNone && p.Workload && !p.Disabled:
		return AllocationsSome
	case has == AllocationsUnknown && !p.Workload:
		return AllocationsNone
	case has == AllocationsUnknown && !p.Disabled:
		return AllocationsSome
	}
	return has
}

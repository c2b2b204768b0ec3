package topology

import (
	"cmp"
	"iter"
	"net/netip"
	"slices"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology/sessions/bgpfilter"
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
	blocks  *podBlocks
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
		a.blocks = newPodBlocks(s.IPAMBlocks())
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

// podBlocks are the IPAMBlocks with addresses of pods, sorted by address. Blocks do not overlap.
type podBlocks struct{ list []*calico.IPAMBlock }

// newPodBlocks returns those of blocks with addresses of pods.
func newPodBlocks(blocks []*calico.IPAMBlock) *podBlocks {
	out := &podBlocks{}
	for _, b := range blocks {
		if b.Pods() {
			out.list = append(out.list, b)
		}
	}
	slices.SortFunc(out.list, func(a, b *calico.IPAMBlock) int { return byFirstAddress(a.CIDR, b.CIDR) })
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
	for _, one := range a.blocks.list {
		block := one.CIDR
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
	for range a.blocks.in(p.CIDR) {
		return AllocationsSome
	}
	return AllocationsNone
}

// in returns the blocks that overlap a prefix. O(log blocks), and O(1) for each of them.
func (b *podBlocks) in(p netip.Prefix) iter.Seq[*calico.IPAMBlock] {
	return func(yield func(*calico.IPAMBlock) bool) {
		i, _ := slices.BinarySearchFunc(b.list, p.Addr(), func(one *calico.IPAMBlock, first netip.Addr) int { return one.CIDR.Addr().Compare(first) })
		if i > 0 && b.list[i-1].CIDR.Contains(p.Addr()) {
			i--
		}
		for _, one := range b.list[i:] {
			if !one.CIDR.Overlaps(p) || !yield(one) {
				return
			}
		}
	}
}

// originated returns the name of the node of each route to pods that is inside a region and has a length,
// "" for one that is not known. The node of a block originates the block, and other nodes originate the
// addresses that they borrowed from it.
func (b *podBlocks) originated(r bgpfilter.Region, length int) iter.Seq[string] {
	return func(yield func(string) bool) {
		for one := range b.in(r.CIDR) {
			if one.Own && one.CIDR.Bits() == length && inRegion(r, one.CIDR) && !yield(one.Node) {
				return
			}
			if length != one.CIDR.Addr().BitLen() {
				continue
			}
			for _, borrowed := range one.Borrowed {
				if inRegion(r, netip.PrefixFrom(borrowed.Address, length)) && !yield(borrowed.Node) {
					return
				}
			}
		}
	}
}

// inRegion reports whether a region contains a prefix. O(log exceptions).
func inRegion(r bgpfilter.Region, p netip.Prefix) bool {
	i, found := slices.BinarySearchFunc(r.Except, p.Addr(), func(c netip.Prefix, first netip.Addr) int { return c.Addr().Compare(first) })
	if !found {
		i--
	}
	return contains(r.CIDR, p) && (i < 0 || !contains(r.Except[i], p))
}

// originates reports whether originated returns a route.
func (b *podBlocks) originates(r bgpfilter.Region, length int) bool {
	for range b.originated(r, length) {
		return true
	}
	return false
}

// lengths returns the lengths of routes to pods inside a prefix, in order; none for nil. O(blocks).
func (b *podBlocks) lengths(p netip.Prefix) []int {
	var out []int
	if b == nil {
		return nil
	}
	add := func(length int) {
		if length >= p.Bits() && !slices.Contains(out, length) {
			out = append(out, length)
		}
	}
	for one := range b.in(p) {
		if one.Own {
			add(one.CIDR.Bits())
		}
		if slices.ContainsFunc(one.Borrowed, func(b calico.Borrowed) bool { return p.Contains(b.Address) }) {
			add(p.Addr().BitLen())
		}
	}
	slices.Sort(out)
	return out
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

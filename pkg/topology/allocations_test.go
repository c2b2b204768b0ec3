package topology

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/state"
)

func ipamBlock(cidr string, pods bool) *calico.IPAMBlock {
	return &calico.IPAMBlock{Name: cidr, CIDR: netip.MustParsePrefix(cidr), Own: pods}
}

// Disabled IPPools need BGP if their pods have addresses, and an IPPool in use needs it
// whatever its uses are.
func TestPodTrafficWithIPAMBlocks(t *testing.T) {
	for name, test := range map[string]struct {
		spec        calicotest.Spec
		blocks      []*calico.IPAMBlock
		allocations string
		pools       string
	}{
		"no IPAMBlock at all":             {calicotest.Spec{}, nil, AllocationsUnknown, "needs [p], may need []"},
		"disabled, no IPAMBlock at all":   {calicotest.Spec{"disabled": true}, nil, AllocationsUnknown, "needs [], may need [p]"},
		"pods in another IPPool":          {calicotest.Spec{}, []*calico.IPAMBlock{ipamBlock("10.2.0.0/26", true)}, AllocationsNone, "needs [p], may need []"},
		"disabled, pods in another one":   {calicotest.Spec{"disabled": true}, []*calico.IPAMBlock{ipamBlock("10.2.0.0/26", true)}, AllocationsNone, "needs [], may need []"},
		"disabled, its pods are gone":     {calicotest.Spec{"disabled": true}, []*calico.IPAMBlock{ipamBlock("10.1.0.0/26", false)}, AllocationsNone, "needs [], may need []"},
		"disabled with pods":              {calicotest.Spec{"disabled": true}, []*calico.IPAMBlock{ipamBlock("10.1.255.192/26", true)}, AllocationsSome, "needs [p], may need []"},
		"for tunnels with pods":           {calicotest.Spec{"allowedUses": []any{"Tunnel"}}, []*calico.IPAMBlock{ipamBlock("10.1.0.0/26", true)}, AllocationsSome, "needs [p], may need []"},
		"for tunnels without pods":        {calicotest.Spec{"allowedUses": []any{"Tunnel"}}, []*calico.IPAMBlock{ipamBlock("10.1.0.0/26", false)}, AllocationsNone, "needs [], may need []"},
		"a block that contains it":        {calicotest.Spec{"disabled": true, "cidr": "10.1.0.128/25"}, []*calico.IPAMBlock{ipamBlock("10.1.0.0/24", true)}, AllocationsSome, "needs [p], may need []"},
		"a CIDR that does not parse":      {calicotest.Spec{"disabled": true, "cidr": "10.1.0.0"}, []*calico.IPAMBlock{ipamBlock("10.1.0.0/26", true)}, AllocationsNone, "needs [], may need []"},
		"IPv6 blocks of another IPPool":   {calicotest.Spec{"disabled": true}, []*calico.IPAMBlock{ipamBlock("fd00::/122", true)}, AllocationsNone, "needs [], may need []"},
		"blocks before and after":         {calicotest.Spec{"disabled": true}, []*calico.IPAMBlock{ipamBlock("10.0.255.192/26", true), ipamBlock("10.2.0.0/26", true)}, AllocationsNone, "needs [], may need []"},
		"blocks before, within and after": {calicotest.Spec{"disabled": true}, []*calico.IPAMBlock{ipamBlock("10.0.0.0/26", true), ipamBlock("10.1.3.0/26", true), ipamBlock("10.2.0.0/26", true)}, AllocationsSome, "needs [p], may need []"},
	} {
		t.Run(name, func(t *testing.T) {
			if test.spec["cidr"] == nil {
				test.spec["cidr"] = "10.1.0.0/16"
			}
			objects := []calico.Object{calicotest.IPPool(t, "p", test.spec)}
			for _, b := range test.blocks {
				objects = append(objects, b)
			}
			s := compute(t, state.New(objects...).Knowing(calico.KindIPAMBlock), nil).Summary()
			if got := s.IPPools["p"].Allocations; got != test.allocations {
				t.Errorf("allocations %s, want %s", got, test.allocations)
			}
			if got := fmt.Sprintf("needs %v, may need %v", s.PodTraffic.IPv4.Pools, s.PodTraffic.IPv4.DisabledPools); got != test.pools {
				t.Errorf("%s, want %s", got, test.pools)
			}
			if known := s.PodAddresses.Known; known != (len(test.blocks) > 0) {
				t.Errorf("known: %t", known)
			}
		})
	}
}

// The allocations equal those of a comparison of every block with every IPPool, for random
// nested IPPools, and also if they are computed from those of an earlier snapshot.
func TestAllocationsOfRandomPools(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 1))
		var s *state.Snapshot
		var before *Topology
		for range 6 {
			for range 4 {
				s = s.Apply(state.Change{After: randomAllocation(t, random)})
			}
			s = s.Knowing(calico.KindIPAMBlock)
			topology := compute(t, s, before)
			if got, want := fmt.Sprint(allocationsOf(topology.Summary())), fmt.Sprint(naiveAllocations(s)); got != want {
				t.Fatalf("seed %d: got %s\nwant %s", seed, got, want)
			}
			if again := compute(t, s, nil); fmt.Sprint(again.Summary().PodAddresses) != fmt.Sprint(topology.Summary().PodAddresses) {
				t.Fatalf("seed %d: got %v\nwithout the earlier topology %v", seed, topology.Summary().PodAddresses, again.Summary().PodAddresses)
			}
			before = topology
		}
	}
}

func randomAllocation(t *testing.T, random *rand.Rand) calico.Object {
	t.Helper()
	if random.IntN(2) == 0 {
		prefix := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(random.IntN(2)), byte(random.IntN(4) << 6)}), 20+random.IntN(5)*2)
		if random.IntN(4) == 0 {
			prefix = netip.PrefixFrom(netip.MustParseAddr("fd00::"), 100+random.IntN(22))
		}
		spec := calicotest.Spec{"cidr": prefix.Masked().String()}
		if random.IntN(5) == 0 {
			spec["allowedUses"] = []any{"LoadBalancer"}
		}
		return calicotest.IPPool(t, fmt.Sprint("p", random.IntN(4)), spec)
	}
	cidr := fmt.Sprintf("10.%d.%d.%d/26", random.IntN(2), random.IntN(4)<<6, random.IntN(4)<<6)
	if random.IntN(4) == 0 {
		cidr = fmt.Sprintf("fd00::%x/122", random.IntN(16)<<6)
	}
	return ipamBlock(cidr, random.IntN(3) > 0)
}

func allocationsOf(s *Summary) (out []any) {
	for _, name := range sortedKeys(s.IPPools) {
		out = append(out, name, s.IPPools[name].Allocations)
	}
	return append(out, s.PodAddresses.WithoutPool.IPv4.Blocks, s.PodAddresses.WithoutPool.IPv6.Blocks)
}

func naiveAllocations(s *state.Snapshot) (out []any) {
	outside := [2]int{}
	for _, p := range s.IPPools() {
		has := AllocationsNone
		if len(s.IPAMBlocks()) == 0 {
			has = AllocationsUnknown
		}
		for _, b := range s.IPAMBlocks() {
			if b.Pods() && b.CIDR.Overlaps(p.CIDR) {
				has = AllocationsSome
			}
		}
		out = append(out, p.Name, has)
	}
	for _, b := range s.IPAMBlocks() {
		covered := false
		for _, p := range s.IPPools() {
			covered = covered || p.Routed && p.CIDR.Overlaps(b.CIDR) && p.CIDR.Bits() <= b.CIDR.Bits()
		}
		if b.Pods() && !covered && b.CIDR.Addr().Is4() {
			outside[0]++
		} else if b.Pods() && !covered {
			outside[1]++
		}
	}
	return append(out, outside[0], outside[1])
}

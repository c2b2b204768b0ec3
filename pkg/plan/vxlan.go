package plan

import (
	"net/netip"

	v3 "github.com/projectcalico/api/pkg/apis/projectcalico/v3"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/topology"
)

// vxlan moves every IPPool that needs BGP to VXLAN, whose routes Felix programs, and then
// turns the mesh off.
func (b *designer) vxlan() error {
	pools, disabled := 0, 0
	for _, p := range b.s.IPPools() {
		if !p.Routed || p.VXLANMode != string(v3.VXLANModeNever) {
			continue
		}
		if !b.summary.IPPools[p.Name].NeedsBGP && b.summary.IPPools[p.Name].Allocations == topology.AllocationsNone {
			continue
		}
		pools++
		if p.Disabled {
			disabled++
		}
		o, err := b.withSpec(calico.KindIPPool, p.Name, map[string]any{"vxlanMode": string(v3.VXLANModeCrossSubnet), "ipipMode": string(v3.IPIPModeNever)})
		if err != nil {
			return err
		}
		b.change(o)
	}
	switch {
	case len(b.s.IPPools()) == 0:
		b.add(Unmet, "an IPPool: the state has none, so it is not known which routes pods need")
	case pools == 0:
		b.add(Met, "no IPPool needs BGP for pod traffic between nodes")
	case disabled > 0:
		b.add(Met, "%s to change, %s of them disabled: pods may still have addresses of them", text.Count(pools, "IPPool"), text.Number(disabled))
	default:
		b.add(Met, "%s to change: after that no IPPool needs BGP for pod traffic between nodes", text.Count(pools, "IPPool"))
	}
	for _, f := range calico.Families {
		if w := b.summary.PodAddresses.WithoutPool.In(f); w.Blocks > 0 {
			b.add(Unmet, "every pod address in an IPPool: %s (%s) %s in none, and Felix programs no routes to them", text.Count(w.Blocks, "block"), text.Names(w.Sample, w.Blocks), text.Either(w.Blocks, "is", "are"))
		}
	}
	b.subnets()
	b.add(Unknown, "UDP port 4789 open between all nodes")
	b.add(Unknown, "room for 50 bytes of VXLAN in the MTU of pods (70 for IPv6): pods that run keep the old MTU until they restart")
	if b.hasFamily(calico.IPv6) {
		b.needVersion(3, 23, "VXLAN of IPv6 pools")
	}
	if external := b.external(); external > 0 {
		b.add(Unknown, "%s to external peers stay: they still need BGP for addresses of pods and services", text.Count(external, "half-session"))
	}
	return b.meshOff()
}

func (b *designer) external() int {
	return b.summary.Sessions.IPv4.External + b.summary.Sessions.IPv6.External
}

// subnets counts the networks of the nodes: traffic within one is not encapsulated.
func (b *designer) subnets() {
	for _, f := range calico.Families {
		networks, unknown := map[netip.Prefix]bool{}, 0
		for _, n := range b.s.Nodes() {
			switch p := n.Address[f]; {
			case !p.IsValid():
			case p.IsSingleIP():
				unknown++
			default:
				networks[p.Masked()] = true
			}
		}
		switch {
		case unknown > 0:
			b.add(Unknown, "%s subnets of nodes: %s without a prefix length, whose traffic is always encapsulated", f, text.Count(unknown, "address", "addresses"))
		case len(networks) == 1:
			b.add(Met, "%s subnets of nodes: 1, so no traffic is encapsulated; its nodes must reach each other without a router", f)
		case len(networks) > 1:
			b.add(Met, "%s subnets of nodes: %s; traffic between them is encapsulated", f, text.Number(len(networks)))
		}
	}
}

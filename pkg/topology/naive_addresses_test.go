package topology

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

func addressesOf(a *Addresses) string {
	return fmt.Sprintf("shared %s %v, misdetected %s %v, subnets %d %v, pairs %d %d %d, wider %s, unadvertised %v", nodeSetOf(a.Shared), a.SharedAddresses, nodeSetOf(a.Misdetected), a.MisdetectedAddresses,
		a.Subnets.Subnets, a.Subnets.Sample, a.Subnets.Same, a.Subnets.Different, a.Subnets.Uneven, nodeSetOf(a.Subnets.Wider), a.Subnets.Unadvertised)
}

// addresses compares each pair of nodes.
func (m *naive) addresses(f calico.Family) string {
	out := &Addresses{}
	shared, misdetected := &naiveSet{}, &naiveSet{}
	by := map[netip.Addr]*naiveSet{}
	for _, n := range m.nodes {
		if !n.SpeaksBGP(f) {
			continue
		}
		p, twice, others, near := n.Address[f], false, false, false
		for _, o := range m.nodes {
			if o == n || !o.SpeaksBGP(f) {
				continue
			}
			q := o.Address[f]
			others = true
			twice = twice || q.Addr() == p.Addr()
			near = near || q.Addr() != p.Addr() && (p.Masked().Contains(q.Addr()) || q.Masked().Contains(p.Addr()))
		}
		if twice {
			shared.add(n, 0, nil)
			if by[p.Addr()] == nil {
				by[p.Addr()] = &naiveSet{}
			}
			by[p.Addr()].add(n, 0, nil)
		}
		// The addresses of bridges in random states.
		bridge := slices.Contains([]string{"172.17.0.1/16", "172.18.0.1/16"}, p.String())
		if others && !near && !n.Listed[f] && (bridge || n.InternalIP[f].IsValid() && p.Bits() < p.Addr().BitLen()) {
			misdetected.add(n, 0, nil)
			if len(out.MisdetectedAddresses) < SampleSize {
				a := NodeAddress{Node: n.Name, Address: p.Addr().String()}
				if n.InternalIP[f].IsValid() {
					a.InternalIP = Optional(n.InternalIP[f].String())
				}
				out.MisdetectedAddresses = append(out.MisdetectedAddresses, a)
			}
		}
	}
	out.Subnets = m.subnets(f)
	out.Shared, out.Misdetected = shared.nodeSet(), misdetected.nodeSet()
	addresses := make([]netip.Addr, 0, len(by))
	for a := range by {
		addresses = append(addresses, a)
	}
	slices.SortFunc(addresses, netip.Addr.Compare)
	for _, a := range addresses {
		set := by[a].nodeSet()
		out.SharedAddresses = append(out.SharedAddresses, SharedAddress{a.String(), set.Nodes, set.Sample})
	}
	return addressesOf(out)
}

// otherASNumbers visits each BGPPeer and each node with its address.
func (m *naive) otherASNumbers(f calico.Family) string {
	out := OtherASNumbers{Groups: []OtherASNumber{}}
	ends := &naiveSet{}
	for _, p := range m.state.BGPPeers() {
		actual := uint32(0)
		for _, n := range m.nodes {
			if p.LocalWorkloadSelector == "" && p.PeerSelector == "" && p.ASNumber != 0 && n.SpeaksBGP(f) && n.Address[f].Addr() == p.PeerAddress &&
				p.Canonical() && m.asnOf(n) != p.ASNumber {
				actual = m.asnOf(n)
			}
		}
		if actual == 0 {
			continue
		}
		for _, n := range m.nodes {
			if n.SpeaksBGP(f) && (slices.Contains(m.locals(p), n) || n.Address[f].Addr() == p.PeerAddress) {
				ends.add(n, 0, nil)
			}
		}
		i := slices.IndexFunc(out.Groups, func(g OtherASNumber) bool {
			return g.ASNumber == int(p.ASNumber) && g.NodeASNumber == int(actual)
		})
		if i < 0 {
			i = len(out.Groups)
			out.Groups = append(out.Groups, OtherASNumber{ASNumber: int(p.ASNumber), NodeASNumber: int(actual)})
		}
		out.Groups[i].BGPPeers++
		out.Groups[i].Sample = append(out.Groups[i].Sample, p.Name)
	}
	slices.SortFunc(out.Groups, func(a, b OtherASNumber) int {
		return 2*(a.ASNumber-b.ASNumber) + min(1, max(-1, a.NodeASNumber-b.NodeASNumber))
	})
	out.Nodes = ends.nodeSet().Nodes
	return fmt.Sprint(out)
}

// unusable reports whether the nodes of a BGPPeer cannot have a session with its peer.
func (m *naive) unusable(p *calico.BGPPeer) bool {
	if p.LocalWorkloadSelector != "" {
		c := m.state.BGPConfiguration(calico.Default)
		return c == nil || c.Spec["localWorkloadPeeringIPV4"] == nil
	}
	if p.PeerSelector != "" || !p.PeerAddress.IsValid() {
		return false
	}
	// The addresses of random states at which no machine can be.
	if slices.Contains([]string{"127.0.0.1", "224.0.0.5", "0.0.0.0", "::"}, p.PeerAddress.String()) {
		return true
	}
	locals := m.locals(p)
	if len(locals) > 0 && locals[0].Address[0].IsValid() { // Random states have networks of 24 bits or of one address.
		if network := locals[0].Address[0]; network.Bits() == 24 && network.Contains(p.PeerAddress) && p.PeerAddress.AsSlice()[3] == 255 {
			return true
		}
	}
	if len(locals) != 1 {
		return false
	}
	own := append([]netip.Addr{locals[0].Address[0].Addr(), locals[0].Address[1].Addr()}, locals[0].Others...)
	return slices.Contains(own, p.PeerAddress)
}

// subnets returns the networks of nodes that are inside no network of another node.
func (m *naive) subnets(f calico.Family) Subnets {
	found := map[netip.Prefix]bool{}
	for _, n := range m.nodes {
		p := n.Address[f]
		if !p.IsValid() {
			continue
		}
		inside := false
		for _, o := range m.nodes {
			q := o.Address[f]
			inside = inside || q.IsValid() && q.Bits() < p.Bits() && q.Masked().Contains(p.Addr())
		}
		if !inside {
			found[p.Masked()] = true
		}
	}
	all := slices.SortedFunc(maps.Keys(found), netip.Prefix.Compare)
	out := Subnets{Subnets: len(all)}
	for _, p := range all[:min(len(all), SampleSize)] {
		out.Sample = append(out.Sample, p.String())
	}
	wider := &naiveSet{}
	for i, a := range m.nodes {
		sends := false
		for k, b := range m.nodes {
			p, q := a.Address[f], b.Address[f]
			if i == k || !p.IsValid() || !q.IsValid() {
				continue
			}
			there, back := !p.IsSingleIP() && p.Masked().Contains(q.Addr()), !q.IsSingleIP() && q.Masked().Contains(p.Addr())
			sends = sends || there && !back
			switch {
			case i < k:
			case there && back:
				out.Same++
			case there || back:
				out.Uneven++
			default:
				out.Different++
			}
		}
		if sends {
			wider.add(a, 0, nil)
		}
	}
	out.Wider = wider.nodeSet()
	if out.Different+out.Uneven > 0 {
		out.Unadvertised = m.unadvertised(f)
	}
	return out
}

// unadvertised visits each block of each IPPool without encapsulation, and each node.
func (m *naive) unadvertised(f calico.Family) []UnadvertisedPool {
	var out []UnadvertisedPool
	for _, p := range m.state.IPPools() {
		mode := func(field string) string { text, _ := p.Spec[field].(string); return text }
		if p.Family != f || !p.CIDR.IsValid() || slices.Contains([]string{"Always", "CrossSubnet"}, mode("ipipMode")) || slices.Contains([]string{"Always", "CrossSubnet"}, mode("vxlanMode")) {
			continue
		}
		without := &naiveSet{}
		for _, n := range m.nodes {
			if n.SpeaksBGP(f) && (p.Spec["disableBGPExport"] == true || !m.leaves(f, n, p.CIDR)) {
				without.add(n, 0, nil)
			}
		}
		if set := without.nodeSet(); set.Nodes > 0 {
			out = append(out, UnadvertisedPool{p.Name, set.Nodes, set.Sample})
		}
	}
	return out
}

// leaves reports whether external peers receive the routes of a node to all blocks inside a prefix.
func (m *naive) leaves(f calico.Family, origin *calico.Node, cidr netip.Prefix) bool {
	size := map[calico.Family]int{calico.IPv4: 26, calico.IPv6: 122}[f]
	for a := cidr.Addr(); cidr.Contains(a); {
		block := netip.PrefixFrom(a, size)
		w := &naiveFlood{model: m, family: f, block: block, reading: m.reading(false)}
		left := false
		w.run(origin, func(r naiveRoute) {
			for _, s := range m.slots {
				if s.node == r.at && s.family == f && !s.workload() && s.status == External && m.reading(true).passes(s) && s.exports(r) {
					_, ok := w.sent(r, s)
					left = left || ok
				}
			}
		})
		if !left {
			return false
		}
		for block.Contains(a) {
			a = a.Next()
		}
	}
	return true
}

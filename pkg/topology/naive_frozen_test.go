package topology

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// frozen reports whether BIRD rejects the configuration that Calico would write for a
// node and family, or may reject it, depending on the order of BGPPeers.
func (m *naive) frozen(n *calico.Node, f calico.Family) bool { return len(m.rejections(n, f)) > 0 }

// naiveRejections are the objects with values that BIRD rejects, by rule.
type naiveRejections map[*calico.Rule][]Subject

func (r naiveRejections) add(rule *calico.Rule, field, kind string, names ...string) {
	r[rule] = append(r[rule], []Subject{}...)
	for _, name := range names {
		r[rule] = append(r[rule], Subject{kind, name, field})
	}
}

func (r naiveRejections) addPeers(rule *calico.Rule, names []string) {
	r.add(rule, rule.Field, "BGPPeer", names...)
}

// rejections returns the values in the configuration of a node and family that BIRD rejects.
func (m *naive) rejections(n *calico.Node, f calico.Family) naiveRejections {
	out := naiveRejections{}
	m.rejectRouterID(out, n, f)
	if !n.SpeaksBGP(f) {
		return out
	}
	address := [...]string{"metadata.annotations[projectcalico.org/IPv4Address]", "metadata.annotations[projectcalico.org/IPv6Address]"}[f]
	meshNames := map[string][]string{}
	slots := 0
	for _, s := range m.slots {
		if s.node != n || s.family != f {
			continue
		}
		slots++
		for _, h := range s.candidates {
			m.rejectHalf(out, n, s, h, address)
			if s.mesh() {
				meshNames[h.Protocol] = append(meshNames[h.Protocol], h.PeerNode)
			}
		}
	}
	for _, names := range meshNames {
		if len(names) > 1 {
			out.add(calico.RejectSharedAddress, address, "Node", names...)
		}
	}
	m.rejectGateways(out, n, f)
	m.rejectWritten(out, n, f, slots > 0)
	return out
}

// rejectHalf adds what BIRD rejects in one half-session.
func (m *naive) rejectHalf(out naiveRejections, n *calico.Node, s *naiveSlot, h HalfSession, address string) {
	peers := s.peersOf(h)
	if h.LocalASN == 0 {
		m.rejectZero(out, n)
	}
	if h.PeerASN == 0 {
		peer := slices.IndexFunc(m.nodes, func(p *calico.Node) bool { return p.Name == h.PeerNode && m.asnOf(p) == 0 })
		switch {
		case peer >= 0:
			m.rejectZero(out, m.nodes[peer])
		case !s.mesh():
			out.addPeers(calico.RejectPeerASNumber, peers)
		}
	}
	if strings.ContainsAny(h.ClusterID, "/:") {
		out.add(calico.RejectClusterID, "metadata.annotations[projectcalico.org/RouteReflectorClusterID]", "Node", n.Name)
	}
	if s.peer.IsValid() && (s.peer.IsUnspecified() || s.peer.Is6() && s.peer.IsLinkLocalUnicast()) {
		if h.PeerNode != "" {
			out.add(calico.RejectNodeAddress, address, "Node", h.PeerNode)
		} else {
			out.addPeers(calico.RejectPeerIP, peers)
		}
	}
	if strings.HasPrefix(h.SourceAddress, "fe80:") {
		out.add(calico.RejectNodeAddress, address, "Node", n.Name)
	}
	for rule, seconds := range map[*calico.Rule]*int{calico.RejectRestartTime: h.GracefulRestartTime, calico.RejectKeepaliveTime: h.KeepaliveTime} {
		switch {
		case seconds == nil || *seconds >= 0 && *seconds <= 4294967295:
		case s.mesh():
			out.add(calico.RejectMeshRestartTime, "spec.nodeMeshMaxRestartTime", "BGPConfiguration", "default")
		default:
			out.addPeers(rule, peers)
		}
	}
	for _, secret := range m.state.Secrets() {
		for _, key := range secret.Rejected {
			if h.Password == secret.Name+"/"+key {
				out.add(calico.RejectPassword, "data["+key+"]", "Secret", secret.Name)
			}
		}
	}
}

func (m *naive) rejectZero(out naiveRejections, n *calico.Node) {
	if n.ASNumber == nil {
		out.add(calico.RejectClusterASNumber, "spec.asNumber", "BGPConfiguration", "default")
	} else {
		out.add(calico.RejectNodeASNumber, "metadata.annotations[projectcalico.org/ASNumber]", "Node", n.Name)
	}
}

func (m *naive) rejectRouterID(out naiveRejections, n *calico.Node, f calico.Family) {
	four := slices.ContainsFunc(m.nodes, func(p *calico.Node) bool { return p.SpeaksBGP(calico.IPv4) })
	empty, zero := !n.SpeaksBGP(calico.IPv4), n.Address[calico.IPv4].IsValid() && n.Address[calico.IPv4].Addr().IsUnspecified()
	if four && n.SpeaksBGP(calico.IPv6) && (empty || f == calico.IPv6 && zero) {
		out.add(calico.RejectRouterID, "metadata.annotations[projectcalico.org/IPv4Address]", "Node", n.Name)
	}
}

// rejectGateways adds the values of reachableBy. Calico writes them for all entries of its table,
// also for the node's own address.
func (m *naive) rejectGateways(out naiveRejections, n *calico.Node, f calico.Family) {
	for key, peerings := range m.table() {
		if key.scope != allNodes && key.scope != n.Name || calico.FamilyOf(key.address) != f {
			continue
		}
		for _, p := range peerings {
			gateway, err := netip.ParseAddr(p.peer.ReachableBy)
			if p.peer.ReachableBy != "" && (err != nil || calico.FamilyOf(gateway) != f) {
				out.addPeers(calico.RejectReachableBy, []string{p.peer.Name})
			}
		}
	}
}

// rejectWritten adds the values of BGPFilters and BGPConfigurations.
func (m *naive) rejectWritten(out naiveRejections, n *calico.Node, f calico.Family, peering bool) {
	add := func(o calico.Object, list []calico.Rejected) {
		for _, r := range list {
			replaced := r.On == calico.OnAdvertising && o.ID().Name == "default" && slices.ContainsFunc(m.state.BGPConfigurations(), func(c *calico.BGPConfiguration) bool {
				return c.Name == "node."+n.Name && c.Spec["prefixAdvertisements"] != nil
			})
			if r.On == calico.OnAll || r.On == calico.OnAdvertising && !replaced || r.On == calico.OnReflectors && n.RouteReflector() || r.On == calico.OnPeering && peering {
				out.add(r.Rule, r.Field, string(o.ID().Kind), o.ID().Name)
			}
		}
	}
	for _, one := range m.state.BGPFilters() {
		add(one, one.Rejected(f))
	}
	for _, one := range m.state.BGPConfigurations() {
		if one.Name == "default" || one.Name == "node."+n.Name {
			add(one, one.Rejected(f))
		}
	}
}

func (s *naiveSlot) mesh() bool { return strings.HasPrefix(s.candidates[0].Protocol, "Mesh_") }

// peersOf returns the names of the BGPPeers that configure the candidates, nil for a
// half-session of the mesh.
func (s *naiveSlot) peersOf(candidates ...HalfSession) []string {
	if s.mesh() {
		return nil
	}
	return sourcesOf(candidates)
}

// naiveSet is a NodeSet or HalfGroup of the naive model: nodes in order, half-sessions,
// and the BGPPeers that configure them.
type naiveSet struct {
	halves       int
	nodes, peers []string
}

func (n *naiveSet) add(node *calico.Node, halves int, peers []string) {
	n.halves += halves
	if !slices.Contains(n.nodes, node.Name) {
		n.nodes = append(n.nodes, node.Name)
	}
	n.peers = append(n.peers, peers...)
}

func (n *naiveSet) nodeSet() NodeSet {
	return NodeSet{Nodes: len(n.nodes), Sample: n.nodes[:min(len(n.nodes), SampleSize)]}
}

func (n *naiveSet) names() []string {
	slices.Sort(n.peers)
	out := slices.Compact(n.peers)
	return out[:min(len(out), maxNames)]
}

func (n *naiveSet) halfGroup() HalfGroup { return HalfGroup{n.halves, n.nodeSet(), n.names()} }

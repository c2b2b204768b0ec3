package topology

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// bad lists the reasons, the worst one last.
var bad = []Reason{"", ASNumberMismatch, NobodyDials, TTLSecurityMismatch, PasswordMismatch, NotOnLink, NoReturn, Overlapping, AddressShared, ASNumberZero}

// worse returns the worse of two reasons.
func worse(a, b Reason) Reason { return bad[max(slices.Index(bad, a), slices.Index(bad, b))] }

// judge sets the status and the reason of a slot. With several candidates, a session
// comes up only if it comes up with each of them.
func (m *naive) judge(s *naiveSlot) {
	s.status = Paired
	if s.workload() || m.owner(s.family, s.peer) == nil {
		s.status = External
	}
	for _, own := range s.candidates {
		s.reason = worse(s.reason, m.fault(s, own))
	}
	if s.reason != "" {
		s.status = Broken
	}
}

// back returns the operative slot of the neighbor for the peer s.node, nil if there is
// none.
func (m *naive) back(s *naiveSlot) *naiveSlot {
	if s.workload() {
		return nil
	}
	return m.operative[naiveNeighbour{m.owner(s.family, s.peer), s.node.Address[s.family].Addr()}]
}

// fault returns the worst reason why no session comes up on a candidate of s, "" if one
// comes up.
func (m *naive) fault(s *naiveSlot, own HalfSession) Reason {
	switch {
	case s.workload():
		return ""
	case own.PeerASN == 0 || own.LocalASN == 0:
		return ASNumberZero
	case m.shared(s.family, s.peer) || m.shared(s.family, s.node.Address[s.family].Addr()):
		return AddressShared
	case m.operative[naiveNeighbour{s.node, s.peer}] != s:
		return Overlapping
	}
	far := m.owner(s.family, s.peer)
	if far == nil {
		return ""
	}
	back := m.back(s)
	if back == nil {
		return NoReturn
	}
	reason := Reason("")
	for _, other := range back.candidates {
		reason = worse(reason, m.mismatch(s.node, far, own, other))
	}
	return reason
}

func (m *naive) mismatch(near, far *calico.Node, own, other HalfSession) Reason {
	dials := func(h HalfSession, to *calico.Node) bool {
		return !h.Passive && h.PeerPort == naivePort(m.listenPort(to))
	}
	switch {
	case m.offLink(near, far, own), m.offLink(far, near, other):
		return NotOnLink
	case own.PeerASN != other.LocalASN || other.PeerASN != own.LocalASN:
		return ASNumberMismatch
	case own.Password != other.Password:
		return PasswordMismatch
	case (own.TTLSecurity > 0) != (other.TTLSecurity > 0):
		return TTLSecurityMismatch
	case !dials(own, far) && !dials(other, near):
		return NobodyDials
	}
	return ""
}

// direct reports whether a half-session is one of the mesh over eBGP that BIRD configures only on a link.
func (m *naive) direct(h HalfSession) bool {
	c := m.state.ClusterInformation()
	unknown := c == nil || c.Version == nil
	return strings.HasPrefix(h.Protocol, "Mesh_") && h.PeerASN != h.LocalASN && (!m.atLeast(3, 33, 0) || unknown && m.doubtful)
}

// offLink reports whether the address of the peer is not in the network of a node that needs it there.
func (m *naive) offLink(near, far *calico.Node, h HalfSession) bool {
	f := calico.FamilyOf(netip.MustParseAddr(h.PeerIP))
	network := near.Address[f]
	return m.direct(h) && (m.doubtful || !network.IsSingleIP()) && !network.Masked().Contains(far.Address[f].Addr())
}

// shared reports whether several nodes have an address.
func (m *naive) shared(f calico.Family, a netip.Addr) bool {
	count := 0
	for _, n := range m.nodes {
		if n.SpeaksBGP(f) && n.Address[f].Addr() == a {
			count++
		}
	}
	return count > 1
}

package topology

import (
	"net/netip"
	"slices"

	"github.com/bgpguard/bgpguard/pkg/topology/nodes"
)

// pair finds out on which links sessions stand.
func (n *network) pair() {
	for i := range n.links {
		l := &n.links[i]
		l.reason = n.reasonFor(l, n.link(l.to, l.from))
	}
}

// reasonFor returns why no session stands on the first half of l, whose other side is
// m, nil where the other nodes have no half-session back. Where a side is
// ambiguous, a session has to stand whichever way Calico goes.
func (n *network) reasonFor(l, m *link) Reason {
	a, b := &n.classes.List[l.from], &n.classes.List[l.to]
	for _, w := range l.halfSessions[0].ways {
		if w.settings.peerASN == 0 || w.settings.local(a) == 0 {
			return ASNumberZero
		}
	}
	switch {
	case n.sharesAddress(l.from), n.sharesAddress(l.to):
		return AddressShared
	case m == nil:
		return NoReturn
	}
	for _, w := range l.halfSessions[0].ways {
		for _, v := range m.halfSessions[0].ways {
			if reason := n.mismatch(l, m, a, b, &w.settings, &v.settings); reason != "" {
				return reason
			}
		}
	}
	return ""
}

func (n *network) mismatch(l, m *link, a, b *nodes.Class, s, t *settings) Reason {
	switch {
	case s.peerASN != t.local(b), t.peerASN != s.local(a):
		return ASNumberMismatch
	case s.password != t.password:
		return PasswordMismatch
	case (s.ttl > 0) != (t.ttl > 0):
		return TTLSecurityMismatch
	case l.halfSessions[0].prefix == prefixMesh && m.halfSessions[0].prefix == prefixMesh:
		return "" // Exactly one of any two nodes dials, and knows the port.
	case !n.dials(l, s) && !n.dials(m, t):
		return NobodyDials
	}
	return ""
}

// dials reports whether the first half of l, with settings s, dials its peer
// where that listens. Which end of the mesh is passive depends on the nodes;
// where it matters here the other end is a peerIP, thus one node, and groups are
// divided so that all nodes of l.from fare alike with it.
func (n *network) dials(l *link, s *settings) bool {
	h := &l.halfSessions[0]
	own, peer := "", ""
	if h.prefix == prefixMesh {
		own, peer = n.address(l.from).String(), n.address(l.to).String()
	}
	if h.passive(s, own, peer) {
		return false
	}
	return portOr179(s.port) == portOr179(n.classes.List[l.to].Port)
}

// address is that of the first node of a group.
func (n *network) address(g uint32) netip.Addr { return n.addressOf(n.classes.List[g].First[0]) }

func (n *network) addressOf(node uint32) netip.Addr {
	return n.index.Nodes[node].Address[n.family].Addr()
}

// established reports whether there are sessions on a link.
func (l *link) established() bool { return l.reason == "" }

// anyWay reports whether a property holds for any way of the first half.
func (l *link) anyWay(holds func(*settings) bool) bool {
	return slices.ContainsFunc(l.halfSessions[0].ways, func(w way) bool { return holds(&w.settings) })
}

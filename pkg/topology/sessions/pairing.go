package sessions

import (
	"net/netip"
	"slices"

	"github.com/bgpguard/bgpguard/pkg/topology/nodes"
)

// pair finds out on which links sessions stand.
func (n *Network) pair() {
	for i := range n.Links {
		l := &n.Links[i]
		l.Reason = n.reasonFor(l, n.Link(l.To, l.From))
	}
}

// reasonFor returns why no session comes up on the first half-session of l, whose other side is
// m, nil where the other nodes have no half-session back. Where a side is
// ambiguous, a session has to stand whichever way Calico goes.
func (n *Network) reasonFor(l, m *Link) Reason {
	a, b := &n.Classes.List[l.From], &n.Classes.List[l.To]
	for _, w := range l.Protocols[0].Ways {
		if w.Settings.PeerASN == 0 || w.Settings.Local(a) == 0 {
			return ASNumberZero
		}
	}
	switch {
	case n.SharesAddress(l.From), n.SharesAddress(l.To):
		return AddressShared
	case m == nil:
		return NoReturn
	}
	for _, w := range l.Protocols[0].Ways {
		for _, v := range m.Protocols[0].Ways {
			if reason := n.mismatch(l, m, a, b, &w.Settings, &v.Settings); reason != "" {
				return reason
			}
		}
	}
	return ""
}

func (n *Network) mismatch(l, m *Link, a, b *nodes.Class, s, t *Settings) Reason {
	switch {
	case s.PeerASN != t.Local(b), t.PeerASN != s.Local(a):
		return ASNumberMismatch
	case s.password != t.password:
		return PasswordMismatch
	case (s.ttl > 0) != (t.ttl > 0):
		return TTLSecurityMismatch
	case l.Protocols[0].Prefix == PrefixMesh && m.Protocols[0].Prefix == PrefixMesh:
		return "" // Exactly one of any two nodes dials, and knows the port.
	case !n.dials(l, s) && !n.dials(m, t):
		return NobodyDials
	}
	return ""
}

// dials reports whether the first half of l, with settings s, dials its peer
// where that listens. Which end of the mesh is passive depends on the nodes;
// where it matters here the other end is a peerIP, thus one node, and classes are
// divided so that all nodes of l.from fare alike with it.
func (n *Network) dials(l *Link, s *Settings) bool {
	h := &l.Protocols[0]
	own, peer := "", ""
	if h.Prefix == PrefixMesh {
		own, peer = n.address(l.From).String(), n.address(l.To).String()
	}
	if h.passive(s, own, peer) {
		return false
	}
	return portOr179(s.port) == portOr179(n.Classes.List[l.To].Port)
}

// address is that of the first node of a class.
func (n *Network) address(g uint32) netip.Addr { return n.addressOf(n.Classes.List[g].First[0]) }

func (n *Network) addressOf(node uint32) netip.Addr {
	return n.Index.Nodes[node].Address[n.Family].Addr()
}

// Established reports whether there are sessions on a link.
func (l *Link) Established() bool { return l.Reason == "" }

// AnyWay reports whether a property holds for any way of the first half.
func (l *Link) AnyWay(holds func(*Settings) bool) bool {
	return slices.ContainsFunc(l.Protocols[0].Ways, func(w Way) bool { return holds(&w.Settings) })
}

// LaterReason is why a half-session that is not the first stays idle.
func (n *Network) LaterReason(l *Link, h *Protocol) Reason {
	a := &n.Classes.List[l.From]
	if s := &h.Ways[0].Settings; s.PeerASN == 0 || s.Local(a) == 0 {
		return ASNumberZero
	}
	if n.SharesAddress(l.From) || n.SharesAddress(l.To) {
		return AddressShared
	}
	return Overlapping
}

// Allowed is how often the nodes of l.from accept a route with their own AS number
// in its path.
func (l *Link) Allowed() int {
	least := l.Protocols[0].Ways[0].Settings.allow
	for _, w := range l.Protocols[0].Ways {
		least = min(least, w.Settings.allow)
	}
	return least
}

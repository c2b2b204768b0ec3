package sessions

import (
	"net/netip"
	"slices"

	"github.com/bgpguard/bgpguard/pkg/topology/nodes"
)

// pair sets Reason of the links.
func (n *Network) pair() {
	for i := range n.Links {
		l := &n.Links[i]
		l.Reason = n.reasonFor(l, n.Link(l.To, l.From))
	}
}

// reasonFor returns why no session comes up on the first half-session of l, "" if one
// comes up. m is the link back, nil if the other nodes have no half-session back. If a
// side is ambiguous, the session must come up with each of its ways. The reason is then
// the worst reason of all ways, so it does not depend on their order.
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
	worst := Reason("")
	for i := range l.Protocols[0].Ways {
		for k := range m.Protocols[0].Ways {
			reason := n.mismatch(l, m, a, b, &l.Protocols[0].Ways[i].Settings, &m.Protocols[0].Ways[k].Settings)
			if severity(reason) > severity(worst) {
				worst = reason
			}
		}
	}
	return worst
}

// severity orders the reasons of a mismatch. ASNumberMismatch is the lowest, because a
// starting BIRD does not wait for such a half-session.
func severity(reason Reason) int {
	return slices.Index([]Reason{"", ASNumberMismatch, NobodyDials, TTLSecurityMismatch, PasswordMismatch, NotOnLink}, reason)
}

// wayBack returns the way of link m that explains the Reason of link l: the first one
// with this mismatch. m is the link back. wayBack returns nil if m is nil.
func (n *Network) wayBack(l, m *Link) *Way {
	if m == nil {
		return nil
	}
	ways := m.Protocols[0].Ways
	if len(ways) == 1 {
		return &ways[0]
	}
	i := slices.IndexFunc(ways, func(v Way) bool {
		return n.mismatch(l, m, &n.Classes.List[l.From], &n.Classes.List[l.To], &l.Protocols[0].Ways[0].Settings, &v.Settings) == l.Reason
	})
	return &ways[max(i, 0)]
}

// mismatch returns why no session comes up between half-sessions of l with settings s
// and half-sessions of m with settings t, "" if one comes up. a and b are l.From and
// l.To.
func (n *Network) mismatch(l, m *Link, a, b *nodes.Class, s, t *Settings) Reason {
	switch {
	case n.offLink(l, s), n.offLink(m, t):
		return NotOnLink
	case s.PeerASN != t.Local(b), t.PeerASN != s.Local(a):
		return ASNumberMismatch
	case s.password != t.password:
		return PasswordMismatch
	case (s.ttl > 0) != (t.ttl > 0):
		return TTLSecurityMismatch
	case l.Protocols[0].Prefix == PrefixMesh && m.Protocols[0].Prefix == PrefixMesh:
		return "" // Exactly one of two nodes connects, and to the port on which the other listens.
	case !n.dials(l, s) && !n.dials(m, t):
		return NobodyDials
	}
	return ""
}

// dials reports whether the first half-session of l, with settings s, connects to the
// port on which the peer listens. The addresses of the two nodes decide which side of a
// mesh session is passive. If only one half-session is of the mesh, the other is of a
// BGPPeer with a peerIP. The class of this address is one node, and Peering.below divides
// the classes so that the comparison with it is the same for all nodes of a class.
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

// address returns the address of the first node of class g.
func (n *Network) address(g uint32) netip.Addr { return n.addressOf(n.Classes.List[g].First[0]) }

func (n *Network) addressOf(node uint32) netip.Addr {
	return n.Index.Nodes[node].Address[n.Family].Addr()
}

// Established reports whether sessions come up on the link.
func (l *Link) Established() bool { return l.Reason == "" }

// Terms is the settings of the nodes of one side of a link that decide how routes are
// exchanged.
type Terms struct {
	// ASN is the AS number that the nodes send. Internal reports that the session is iBGP.
	ASN      uint32
	Internal bool
	// Client reports that the peer is a client of the nodes, whichever way Calico
	// chooses.
	Client bool
	// Allowed is how often the nodes accept their own AS number in the path of a route,
	// whichever way Calico chooses.
	Allowed int
	// Filters are the BGPFilters, as Network.Filters returns them, of each way that Calico
	// may choose.
	Filters []string
	// NextHopMode is the mode in effect, that of the first way if Calico may choose several. See DirectMesh for that
	// of the mesh.
	NextHopMode string
}

// Terms returns the terms of the nodes of class l.From. O(ways).
func (n *Network) Terms(l *Link) Terms {
	g, h := &n.Classes.List[l.From], &l.Protocols[0]
	first := &h.Ways[0].Settings
	t := Terms{ASN: first.Local(g), Internal: first.internal(g), Client: true, Allowed: first.allow, NextHopMode: first.nextHop(g)}
	if n.meshDirect(l.From, h.Prefix, first) {
		t.NextHopMode = keep
	}
	for i := range h.Ways {
		s := &h.Ways[i].Settings
		t.Client, t.Allowed = t.Client && s.client(g, h.Prefix), min(t.Allowed, s.allow)
		if !slices.Contains(t.Filters, s.filters) {
			t.Filters = append(t.Filters, s.filters)
		}
	}
	return t
}

// LaterReason returns why no session comes up on a half-session of l that is not the
// first.
func (n *Network) LaterReason(l *Link, h *Protocol) Reason {
	a := &n.Classes.List[l.From]
	if slices.ContainsFunc(h.Ways, func(w Way) bool { return w.Settings.PeerASN == 0 || w.Settings.Local(a) == 0 }) {
		return ASNumberZero
	}
	if n.SharesAddress(l.From) || n.SharesAddress(l.To) {
		return AddressShared
	}
	return Overlapping
}

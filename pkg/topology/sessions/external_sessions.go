package sessions

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/bits-and-blooms/bitset"
)

// ExternalSessions returns the number of half-sessions of a BGPPeer with its external peer on which a
// session comes up if the external peer has a half-session back. A half-session that several BGPPeers
// configure counts for the first of them, by name. It returns 0 for peers that are nodes or pods.
// O(log external peers + BGPPeers with the address x set operations).
func (n *Network) ExternalSessions(p *Peering) int {
	if p.Scope != ScopeExternal || p.Unusable != "" || !p.Forward[n.Family] {
		return 0
	}
	i, ok := slices.BinarySearchFunc(n.Externals, p.Peer.PeerAddress.String(), func(o *ExternalPeer, name string) int { return cmp.Compare(o.Name, name) })
	if !ok {
		return 0
	}
	out := 0
	for k := range n.Externals[i].Protocols {
		h := &n.Externals[i].Protocols[k]
		switch {
		case !h.configuredBy(p):
		case h.simple() && !n.kills(): // The usual case, without a copy of a set.
			out += int(h.Nodes.Count())
		default:
			out += int(n.Working(h).Difference(h.before(p)).IntersectionCardinality(p.Local))
		}
	}
	return out
}

// configuredBy reports whether a BGPPeer configures some of the half-sessions.
func (h *ExternalProtocol) configuredBy(p *Peering) bool {
	return slices.ContainsFunc(h.Variants, func(v Variant) bool {
		return slices.ContainsFunc(v.Sources, func(s *Peering) bool { return s.Peer.Name == p.Peer.Name })
	})
}

// simple reports whether one BGPPeer configures all of the half-sessions, and none of them is idle or
// has the remote AS number 0.
func (h *ExternalProtocol) simple() bool {
	return len(h.Variants) == 1 && len(h.Variants[0].Sources) == 1 && h.Idle.None() && !h.zero()
}

// before returns the nodes of which BGPPeers before p, by name, configure the half-session.
func (h *ExternalProtocol) before(p *Peering) *bitset.BitSet {
	out := none
	for i := range h.Variants {
		for _, other := range h.Variants[i].Sources {
			if other.Peer.Name < p.Peer.Name {
				out = out.Union(other.Local)
			}
		}
	}
	return out
}

// ExternalsDiffer returns a function that reports whether ExternalSessions may differ for a BGPPeer
// between two networks whose nodes have the same addresses. O(external peers) with a very small
// constant.
func (n *Network) ExternalsDiffer(before *Network) func(*Peering) bool {
	if n == before {
		return func(*Peering) bool { return false }
	}
	if n.kills() || before.kills() {
		return func(*Peering) bool { return true }
	}
	changed := map[netip.Addr]bool{}
	a, b := before.Externals, n.Externals
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(a) > 0 && len(b) > 0 && a[0] == b[0]:
			a, b = a[1:], b[1:]
		case len(b) == 0 || len(a) > 0 && a[0].Name <= b[0].Name:
			changed[a[0].Address] = true
			a = a[1:]
		default:
			changed[b[0].Address] = true
			b = b[1:]
		}
	}
	return func(p *Peering) bool { return changed[p.Peer.PeerAddress] }
}

// kills reports whether nodes have no sessions because of what they are: they share an address, or
// have AS number 0.
func (n *Network) kills() bool {
	return n.Index.Shared(n.Family).Any() || n.own[0]
}

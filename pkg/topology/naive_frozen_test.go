package topology

import (
	"slices"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology/sessions"
)

// frozen tells whether BIRD refuses what Calico would write for a node and
// family, or may refuse it where the order of BGPPeers decides.
func (m *naive) frozen(n *calico.Node, f calico.Family) bool { return len(m.refusals(n, f)) > 0 }

// refusals tells what BIRD refuses of a node and family, with the BGPPeers that
// give the half-sessions with it.
func (m *naive) refusals(n *calico.Node, f calico.Family) map[string][]string {
	out := map[string][]string{}
	names := map[string]bool{}
	for _, s := range m.slots {
		if s.node != n || s.family != f {
			continue
		}
		for _, h := range s.candidates {
			// Of several nodes with one address, the mesh's is one each.
			peerZero := h.PeerASN == 0 && slices.ContainsFunc(m.nodes, func(p *calico.Node) bool { return p.Name == h.PeerNode && m.asnOf(p) == 0 })
			for reason, refused := range map[string]bool{
				sessions.RefusesOwnZero: h.LocalASN == 0, sessions.RefusesPeerZero: peerZero, sessions.RefusesRemoteZero: h.PeerASN == 0 && !peerZero && !s.mesh(),
				sessions.RefusesMask: strings.Contains(h.ClusterID, "/"), sessions.RefusesLinkLocal: f == calico.IPv6 && s.peer.IsLinkLocalUnicast(),
			} {
				if refused {
					out[reason] = append(out[reason], s.peersOf(h)...)
				}
			}
		}
		if names[s.protocol()] {
			out[sessions.RefusesTwice] = append(out[sessions.RefusesTwice], []string{}...)
		}
		names[s.protocol()] = true
	}
	return out
}

func (s *naiveSlot) mesh() bool { return strings.HasPrefix(s.candidates[0].Protocol, "Mesh_") }

// peersOf names the BGPPeers that give a half-session; what is not the mesh's comes
// from them.
func (s *naiveSlot) peersOf(candidates ...HalfSession) []string {
	if s.mesh() {
		return nil
	}
	return sourcesOf(candidates)
}

// naiveSet is nodes in order, and the BGPPeers behind something of theirs.
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

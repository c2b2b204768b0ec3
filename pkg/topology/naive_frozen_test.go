package topology

import (
	"slices"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology/sessions"
)

// frozen reports whether BIRD rejects the configuration that Calico would write for a
// node and family, or may reject it, depending on the order of BGPPeers.
func (m *naive) frozen(n *calico.Node, f calico.Family) bool { return len(m.refusals(n, f)) > 0 }

// refusals returns the parts of the configuration of a node and family that BIRD
// rejects, each with the BGPPeers that configure them.
func (m *naive) refusals(n *calico.Node, f calico.Family) map[string][]string {
	out := map[string][]string{}
	names := map[string]bool{}
	for _, s := range m.slots {
		if s.node != n || s.family != f {
			continue
		}
		for _, h := range s.candidates {
			// For nodes that share an address, the mesh has one half-session for each node.
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

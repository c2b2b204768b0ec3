package topology

import (
	"strings"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// frozen tells whether BIRD refuses what Calico would write for a node and
// family, or may refuse it where the order of BGPPeers decides.
func (m *naive) frozen(n *calico.Node, f calico.Family) bool {
	names := map[string]bool{}
	for _, s := range m.slots {
		if s.node != n || s.family != f {
			continue
		}
		for _, h := range s.candidates {
			if h.PeerASN == 0 || h.LocalASN == 0 || strings.Contains(h.ClusterID, "/") {
				return true
			}
		}
		if names[s.protocol()] || f == calico.IPv6 && s.peer.IsLinkLocalUnicast() {
			return true
		}
		names[s.protocol()] = true
	}
	return false
}

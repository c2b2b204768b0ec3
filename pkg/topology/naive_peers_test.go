package topology

import (
	"maps"
	"net/netip"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// naive is a second implementation of the topology, to check the first against.
// It goes node by node and pair by pair, as Calico's own confd does, knows
// nothing of sets of nodes, and is as slow as it is plain.
type naive struct {
	state *state.Snapshot
	nodes []*calico.Node
	// slots are the protocol blocks of all nodes, sorted.
	slots []*naiveSlot
	// operative is the slot of each node that takes the connection of a
	// neighbour's address.
	operative map[naiveNeighbour]*naiveSlot
}

// naiveNeighbour is an address as one node sees it.
type naiveNeighbour struct {
	node    *calico.Node
	address netip.Addr
}

func newNaive(s *state.Snapshot) *naive {
	m := &naive{state: s, nodes: s.Nodes(), operative: map[naiveNeighbour]*naiveSlot{}}
	m.fill()
	return m
}

// allNodes is the scope of a peering that all nodes have.
const allNodes = ""

// naiveKey is the key of confd's table of peers. Port 0 stands for 179 too.
type naiveKey struct {
	scope   string // allNodes, or a node's name
	address netip.Addr
	port    uint16
}

// naivePeering is a value of that table: a peer as one BGPPeer describes it.
type naivePeering struct {
	peer    *calico.BGPPeer
	address netip.Addr
	port    uint16 // 0 for none
	asn     uint32
	// clusterID is the peer's where Calico knows it.
	clusterID string
	// byIP tells a peer that peerIP describes from one made from a Node.
	byIP bool
	// calicoNode tells that peerIP's text is a node's address.
	calicoNode bool
}

// table goes through the BGPPeers three times as confd does
// (confd/pkg/backends/calico/client.go, updatePeersV1): those of all nodes, the
// others, and the way back. What is taken stays. Within one pass Calico visits
// BGPPeers in any order, and the nodes that a selector matches too, so that each
// of several may win: all are kept.
func (m *naive) table() map[naiveKey][]naivePeering {
	table := map[naiveKey][]naivePeering{}
	for _, pass := range []func(emit func(string, naivePeering)){m.globalPass, m.nodePass, m.reversePass} {
		found := map[naiveKey][]naivePeering{}
		pass(func(scope string, p naivePeering) {
			key := naiveKey{scope, p.address, naivePort(p.port)}
			if table[key] != nil || table[naiveKey{allNodes, key.address, key.port}] != nil {
				return
			}
			found[key] = append(found[key], p)
		})
		maps.Copy(table, found)
	}
	return table
}

func (m *naive) globalPass(emit func(string, naivePeering)) {
	for _, p := range m.state.BGPPeers() {
		if p.LocalWorkloadSelector == "" && p.Node == "" && p.NodeSelector == "" {
			for _, forward := range m.forward(p) {
				emit(allNodes, forward)
			}
		}
	}
}

func (m *naive) nodePass(emit func(string, naivePeering)) {
	for _, p := range m.state.BGPPeers() {
		if p.LocalWorkloadSelector == "" && (p.Node != "" || p.NodeSelector != "") {
			for _, forward := range m.forward(p) {
				for _, n := range m.locals(p) {
					emit(n.Name, forward)
				}
			}
		}
	}
}

func (m *naive) reversePass(emit func(string, naivePeering)) {
	for _, p := range m.state.BGPPeers() {
		if p.ReverseManual || p.LocalWorkloadSelector != "" {
			continue
		}
		families := calico.Families[:]
		var near []*calico.Node
		if p.PeerSelector != "" {
			near = m.selected(p.Remote())
		} else {
			host, port := hostAndPort(p)
			near = m.nodesAt(host, port, p.ASNumber)
			families = []calico.Family{calico.IPv4} // Also of the empty text.
			if p.PeerAddress.Is6() {
				families = []calico.Family{calico.IPv6}
			}
		}
		for _, n := range near {
			for _, far := range m.locals(p) {
				for _, back := range m.madeFrom(far, p, families) {
					emit(n.Name, back)
				}
			}
		}
	}
}

// locals returns the nodes that a BGPPeer is for.
func (m *naive) locals(p *calico.BGPPeer) []*calico.Node {
	switch {
	case p.NodeSelector != "":
		return m.selected(p.Local())
	case p.Node == "":
		return m.nodes
	}
	for _, n := range m.nodes {
		if n.Name == p.Node {
			return []*calico.Node{n}
		}
	}
	return nil
}

// selected returns the nodes that s matches; one that does not parse is nil and
// matches none.
func (m *naive) selected(s *calico.Selector) []*calico.Node {
	var out []*calico.Node
	for _, n := range m.nodes {
		if s != nil && s.Matches(n.Labels) {
			out = append(out, n)
		}
	}
	return out
}

// forward returns the peers that a BGPPeer names.
func (m *naive) forward(p *calico.BGPPeer) []naivePeering {
	if p.PeerSelector != "" {
		var out []naivePeering
		for _, n := range m.selected(p.Remote()) {
			out = append(out, m.madeFrom(n, p, calico.Families[:])...)
		}
		return out
	}
	if !p.PeerAddress.IsValid() {
		return nil
	}
	host, port := hostAndPort(p)
	if port == 0 {
		if at := m.nodesAt(host, 0, p.ASNumber); len(at) > 0 {
			port = m.listenPort(at[0])
		}
	}
	calicoNode := false
	for _, n := range m.nodes {
		calicoNode = calicoNode || addressText(n, calico.IPv4) == host || addressText(n, calico.IPv6) == host
	}
	return []naivePeering{{peer: p, address: p.PeerAddress, port: port, asn: p.ASNumber, byIP: true, calicoNode: calicoNode}}
}

// madeFrom makes a peer of each of a node's addresses.
func (m *naive) madeFrom(n *calico.Node, p *calico.BGPPeer, families []calico.Family) []naivePeering {
	var out []naivePeering
	for _, f := range families {
		if n.SpeaksBGP(f) {
			out = append(out, naivePeering{peer: p, address: n.Address[f].Addr(), port: m.listenPort(n), asn: m.asnOf(n), clusterID: n.ClusterID})
		}
	}
	return out
}

// nodesAt returns the nodes that Calico takes for the peer of a peerIP. An
// empty host is the address of each node that has none in one family.
func (m *naive) nodesAt(host string, port uint16, asn uint32) []*calico.Node {
	if asn == 0 {
		asn = m.globalASN()
	}
	var out []*calico.Node
	for _, n := range m.nodes {
		if addressText(n, calico.IPv4) != host && addressText(n, calico.IPv6) != host || m.asnOf(n) != asn {
			continue
		}
		own, everywhere := m.ownListenPort(n), m.defaultListenPort()
		if port != 0 && (own != 0 && own != port || everywhere != 0 && everywhere != port) {
			continue
		}
		out = append(out, n)
	}
	return out
}

// hostAndPort splits peerIP; the host stays as it was written.
func hostAndPort(p *calico.BGPPeer) (string, uint16) {
	if ap, err := netip.ParseAddrPort(p.PeerIP); err == nil {
		text := p.PeerIP
		for text[len(text)-1] != ':' {
			text = text[:len(text)-1]
		}
		text = text[:len(text)-1]
		if text[0] == '[' {
			text = text[1 : len(text)-1]
		}
		return text, ap.Port()
	}
	return p.PeerIP, 0
}

func addressText(n *calico.Node, f calico.Family) string {
	if !n.SpeaksBGP(f) {
		return ""
	}
	return n.Address[f].Addr().String()
}

func (m *naive) globalASN() uint32 {
	if c := m.state.BGPConfiguration(calico.Default); c != nil && c.ASNumber != nil {
		return *c.ASNumber
	}
	return 64512
}

func (m *naive) asnOf(n *calico.Node) uint32 {
	if n.ASNumber != nil {
		return *n.ASNumber
	}
	return m.globalASN()
}

// ownListenPort, defaultListenPort and listenPort are 0 where none is set.
func (m *naive) ownListenPort(n *calico.Node) uint16 {
	if c := m.state.BGPConfiguration("node." + n.Name); c != nil {
		return c.ListenPort
	}
	return 0
}

func (m *naive) defaultListenPort() uint16 {
	if c := m.state.BGPConfiguration(calico.Default); c != nil {
		return c.ListenPort
	}
	return 0
}

func (m *naive) listenPort(n *calico.Node) uint16 {
	if own := m.ownListenPort(n); own != 0 {
		return own
	}
	return m.defaultListenPort()
}

// naivePort gives BGP's port where none is set.
func naivePort(port uint16) uint16 {
	if port == 0 {
		return 179
	}
	return port
}

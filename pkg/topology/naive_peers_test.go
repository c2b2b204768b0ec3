package topology

import (
	"maps"
	"net/netip"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// naive is a second, simple and slow implementation of the topology. The tests compare
// the topology with it. It visits every node and every pair of nodes, like Calico's
// confd, and does not use sets of nodes.
type naive struct {
	state *state.Snapshot
	nodes []*calico.Node
	// slots are the protocol blocks of all nodes, sorted.
	slots []*naiveSlot
	// operative is, for each node and neighbor's address, the slot to which BIRD gives
	// the connection.
	operative map[naiveNeighbour]*naiveSlot
	// followed are the nodes that receive a route.
	followed map[naiveFollowed]map[*calico.Node]bool
	// fields are the fields that rules of BGPFilters have or not; see reads.
	fields map[string]bool
	// doubtful means that what is not known gives nodes no common link: neither the version of Calico nor an address
	// whose network is not known.
	doubtful bool
}

// naiveFollowed is a route: that of a node to a block, in a reading of external peers.
type naiveFollowed struct {
	family  calico.Family
	origin  *calico.Node
	block   netip.Prefix
	reading string
}

// naiveNeighbour is the address of a neighbor of a node.
type naiveNeighbour struct {
	node    *calico.Node
	address netip.Addr
}

func newNaive(s *state.Snapshot) *naive { return newNaiveOf(s, false) }

func newNaiveOf(s *state.Snapshot, doubtful bool) *naive {
	m := &naive{
		state: s, nodes: s.Nodes(), operative: map[naiveNeighbour]*naiveSlot{}, followed: map[naiveFollowed]map[*calico.Node]bool{},
		fields: map[string]bool{}, doubtful: doubtful,
	}
	m.fill()
	return m
}

// allNodes is the scope of a peering for all nodes.
const allNodes = ""

// naiveKey is the key of confd's table of peers.
type naiveKey struct {
	scope   string // allNodes, or a node's name
	address netip.Addr
	port    uint16
}

// naivePeering is a value of confd's table: a peer as one BGPPeer configures it.
type naivePeering struct {
	peer    *calico.BGPPeer
	address netip.Addr
	port    uint16 // 0 for none
	asn     uint32
	// clusterID is the peer's, "" if Calico does not know it.
	clusterID string
	// byIP reports that the peer is from peerIP and not from a Node.
	byIP bool
	// calicoNode reports that the text of peerIP is the text of a node's address.
	calicoNode bool
}

// table returns confd's table of peers. Like confd
// (confd/pkg/backends/calico/client.go, updatePeersV1), it makes three passes over the
// BGPPeers: global ones, others, and reverse peering. A later pass does not replace
// entries of an earlier one. Within a pass, Calico visits BGPPeers and selected nodes in
// an undefined order, so table keeps all values of a key.
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
			families = []calico.Family{calico.IPv4} // The family of an empty peerIP too.
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

// locals returns the nodes to which a BGPPeer applies.
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

// selected returns the nodes that s matches. s is nil for a selector that does not
// parse, which matches no nodes.
func (m *naive) selected(s *calico.Selector) []*calico.Node {
	var out []*calico.Node
	for _, n := range m.nodes {
		if s != nil && s.Matches(n.Labels) {
			out = append(out, n)
		}
	}
	return out
}

// forward returns the peers of the local nodes of a BGPPeer.
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
	if p.ReachableBy != "" {
		if gateway, err := netip.ParseAddr(p.ReachableBy); err != nil || gateway.Unmap().Is4() != p.PeerAddress.Is4() {
			return nil
		}
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

// madeFrom returns one peer for each address of a node.
func (m *naive) madeFrom(n *calico.Node, p *calico.BGPPeer, families []calico.Family) []naivePeering {
	var out []naivePeering
	for _, f := range families {
		if n.SpeaksBGP(f) {
			out = append(out, naivePeering{peer: p, address: n.Address[f].Addr(), port: m.listenPort(n), asn: m.asnOf(n), clusterID: n.ClusterID})
		}
	}
	return out
}

// nodesAt returns the nodes that Calico matches with a peerIP. An empty host matches
// each node without an address in one family.
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

// ports are the texts of ports that the generator writes, as Calico reads them. Calico does not
// accept others.
var ports = map[string]uint16{"179": 179, "1790": 1790, "1791": 1791, "0263": 179, "0xb3": 179, "1_79": 179, "0": 0}

// hostAndPort splits peerIP at its last colon. It does not change the text of the host.
func hostAndPort(p *calico.BGPPeer) (string, uint16) {
	i := strings.LastIndexByte(p.PeerIP, ':')
	if i < 0 {
		return p.PeerIP, 0
	}
	host, text := p.PeerIP[:i], p.PeerIP[i+1:]
	bracketed := strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]")
	if strings.Contains(host, ":") && !bracketed {
		return p.PeerIP, 0
	}
	port, ok := ports[text]
	if !ok {
		return p.PeerIP, 0
	}
	return strings.Trim(host, "[]"), port
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

// ownListenPort, defaultListenPort and listenPort return 0 if no port is set.
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

// naivePort returns port, or BGP's port for 0.
func naivePort(port uint16) uint16 {
	if port == 0 {
		return 179
	}
	return port
}

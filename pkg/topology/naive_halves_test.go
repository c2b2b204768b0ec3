package topology

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// naiveSlot is one protocol block of one node. It has one candidate, or several
// different ones if the order in which Calico visits BGPPeers selects one of them.
type naiveSlot struct {
	node       *calico.Node
	family     calico.Family
	peer       netip.Addr // the zero Addr for local workloads
	candidates []HalfSession

	// reason is why no session comes up on it, whichever candidate Calico chooses.
	status Status
	reason Reason
}

func (s *naiveSlot) workload() bool { return !s.peer.IsValid() }

func (s *naiveSlot) ambiguous() bool { return len(s.candidates) > 1 }

// protocol returns the name of the block: the first of the candidates' names.
func (s *naiveSlot) protocol() string {
	name := s.candidates[0].Protocol
	for _, c := range s.candidates {
		name = min(name, c.Protocol)
	}
	return name
}

// fill makes the slots of all nodes and finds the operative ones.
func (m *naive) fill() {
	table := m.table()
	for _, n := range m.nodes {
		for _, f := range calico.Families {
			if n.SpeaksBGP(f) {
				m.fillMesh(n, f)
				m.fillPeers(n, f, table)
				m.fillWorkloads(n, f)
			}
		}
	}
	slices.SortStableFunc(m.slots, func(a, b *naiveSlot) int {
		return cmp.Or(cmp.Compare(a.node.Name, b.node.Name), cmp.Compare(a.family, b.family), cmp.Compare(a.protocol(), b.protocol()))
	})
	for _, s := range m.slots {
		key := naiveNeighbour{s.node, s.peer}
		if m.operative[key] == nil && !s.workload() {
			m.operative[key] = s
		}
	}
	for _, s := range m.slots {
		m.judge(s)
	}
}

func (m *naive) fillMesh(n *calico.Node, f calico.Family) {
	c := m.state.BGPConfiguration(calico.Default)
	if c != nil && c.NodeToNodeMeshEnabled != nil && !*c.NodeToNodeMeshEnabled || n.ClusterID != "" {
		return
	}
	for _, p := range m.nodes {
		if p == n || p.ClusterID != "" || !p.SpeaksBGP(f) || addressText(p, f) == addressText(n, f) {
			continue
		}
		h := HalfSession{
			Node: n.Name, Family: f.String(), Protocol: "Mesh_" + underscores(p.Address[f].Addr()),
			PeerIP: addressText(p, f), PeerPort: naivePort(m.listenPort(p)), PeerNode: p.Name,
			PeerASN: m.meshASN(n, p), LocalASN: m.asnOf(n),
			Passive: addressText(p, f) > addressText(n, f), SourceAddress: addressText(n, f), Sources: []string{},
		}
		if c != nil {
			h.GracefulRestartTime, h.Password, h.Sources = wholeSeconds(c.NodeMeshMaxRestartTime), c.NodeMeshPassword, []string{c.Name}
		}
		m.slots = append(m.slots, &naiveSlot{node: n, family: f, peer: p.Address[f].Addr(), candidates: []HalfSession{h}})
	}
}

// meshASN returns the AS number that n expects of p in the mesh. If p has no AS number
// of its own, this is the cluster's up to Calico v3.31, and n's own since v3.32.
func (m *naive) meshASN(n, p *calico.Node) uint32 {
	if p.ASNumber != nil {
		return *p.ASNumber
	}
	if !m.atLeast(3, 32, 0) {
		return m.globalASN()
	}
	return m.asnOf(n)
}

// atLeast reports whether Calico has at least a version, or an unknown one.
func (m *naive) atLeast(want ...uint) bool {
	c := m.state.ClusterInformation()
	if c == nil || c.Version == nil {
		return true
	}
	return slices.Compare([]uint{c.Version.Major(), c.Version.Minor(), c.Version.Patch()}, want) >= 0
}

func (m *naive) fillPeers(n *calico.Node, f calico.Family, table map[naiveKey][]naivePeering) {
	for key, peerings := range table {
		if key.scope != allNodes && key.scope != n.Name || calico.FamilyOf(key.address) != f || key.address == n.Address[f].Addr() {
			continue
		}
		var halves []HalfSession
		for _, p := range peerings {
			halves = append(halves, m.render(n, f, key.scope, p))
		}
		m.slots = append(m.slots, &naiveSlot{node: n, family: f, peer: key.address, candidates: joined(halves)})
	}
}

// joined merges equal half-sessions into one. Otherwise it returns the half-sessions
// without duplicates, which a BGPPeer configures for two nodes that share an address.
func joined(halves []HalfSession) []HalfSession {
	one := halves[0]
	one.Sources = sourcesOf(halves)
	if len(differing(halves)) == 0 {
		return []HalfSession{one}
	}
	var out []HalfSession
	for _, h := range halves {
		if !slices.ContainsFunc(out, func(o HalfSession) bool { return reflect.DeepEqual(o, h) }) {
			out = append(out, h)
		}
	}
	return out
}

func sourcesOf(halves []HalfSession) []string {
	var out []string
	for _, h := range halves {
		out = append(out, h.Sources...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// differing returns the JSON names of the fields in which half-sessions differ.
func differing(halves []HalfSession) []string {
	var out []string
	fields := reflect.TypeFor[HalfSession]()
	for i := range fields.NumField() {
		name, _, _ := strings.Cut(fields.Field(i).Tag.Get("json"), ",")
		for _, h := range halves[1:] {
			if name != "sources" && !reflect.DeepEqual(reflect.ValueOf(h).Field(i).Interface(), reflect.ValueOf(halves[0]).Field(i).Interface()) {
				out = append(out, name)
				break
			}
		}
	}
	slices.Sort(out)
	return out
}

// render returns the half-session of a peer in the bird.cfg of node n.
func (m *naive) render(n *calico.Node, f calico.Family, scope string, p naivePeering) HalfSession {
	kind := "Node_"
	if scope == allNodes {
		kind = "Global_"
	}
	h := m.settings(n, f, p.peer)
	h.Protocol = kind + underscores(p.address)
	if p.port != 0 {
		h.Protocol += fmt.Sprintf("_port_%d", p.port)
	}
	h.PeerIP, h.PeerPort, h.PeerASN = p.address.String(), naivePort(p.port), p.asn
	if owner := m.owner(f, p.address); owner != nil {
		h.PeerNode = owner.Name
	}
	if p.byIP {
		h.NumAllowedLocalASNumbers = p.peer.NumAllowedLocalASNumbers
		if p.peer.LocalASNumber != 0 {
			h.LocalASN = p.peer.LocalASNumber
		}
	}
	if p.peer.KeepOriginalNextHop && (p.byIP || m.atLeast(3, 30, 2)) && h.PeerASN != h.LocalASN {
		h.NextHopMode = "Keep"
	}
	h.Passive = scope == allNodes && p.calicoNode && h.PeerIP > addressText(n, f)
	if !p.peer.SourceAddressNone {
		h.SourceAddress = addressText(n, f)
	}
	m.reflects(n, &h, p.clusterID)
	return h
}

// settings returns a half-session with the settings of its BGPPeer that do not depend
// on the peer.
func (m *naive) settings(n *calico.Node, f calico.Family, p *calico.BGPPeer) HalfSession {
	h := HalfSession{
		Node: n.Name, Family: f.String(), LocalASN: m.asnOf(n), PeerPort: 179,
		GracefulRestartTime: wholeSeconds(p.MaxRestartTime), KeepaliveTime: wholeSeconds(p.KeepaliveTime),
		NextHopMode: p.NextHopMode, TTLSecurity: p.TTLSecurity, Password: p.Password, ReachableBy: p.ReachableBy,
		Filters: m.filtersOf(p, f), Sources: []string{p.Name},
	}
	if h.KeepaliveTime != nil && *h.KeepaliveTime == 0 {
		h.KeepaliveTime = nil // BIRD reads 0 as unset.
	}
	return h
}

// filtersOf returns the BGPFilters of a BGPPeer that have rules for a family, and those that are
// not known.
func (m *naive) filtersOf(p *calico.BGPPeer, f calico.Family) []string {
	var out []string
	for _, name := range p.Filters {
		exists, rules := false, 0
		for _, filter := range m.state.BGPFilters() {
			if filter.Name == name {
				exists = true
				for _, field := range []string{"importV4", "exportV4", "importV6", "exportV6"} {
					list, _ := filter.Spec[field].([]any)
					if strings.HasSuffix(f.String(), field[len(field)-1:]) {
						rules += len(list)
					}
				}
			}
		}
		if exists && rules > 0 || !exists && !m.state.Knows(calico.KindBGPFilter) {
			out = append(out, name)
		}
	}
	return out
}

// reflects makes the neighbor a client if n is a route reflector.
func (m *naive) reflects(n *calico.Node, h *HalfSession, peerClusterID string) {
	if n.ClusterID != "" && h.PeerASN == h.LocalASN && peerClusterID != n.ClusterID {
		h.RouteReflectorClient, h.ClusterID = true, n.ClusterID
	}
}

// fillWorkloads makes one slot for the pods of n that a BGPPeer selects. Their
// addresses are unknown.
func (m *naive) fillWorkloads(n *calico.Node, f calico.Family) {
	for _, p := range m.state.BGPPeers() {
		if p.LocalWorkloadSelector == "" || !slices.Contains(m.locals(p), n) {
			continue
		}
		h := HalfSession{
			Node: n.Name, Family: f.String(), Protocol: "Local_Workload_" + p.Name, PeerPort: 179, PeerASN: p.ASNumber, LocalASN: m.asnOf(n),
			Passive: true, Filters: m.filtersOf(p, f), Sources: []string{p.Name},
		}
		if p.LocalASNumber != 0 {
			h.LocalASN = p.LocalASNumber
		}
		m.reflects(n, &h, "")
		m.slots = append(m.slots, &naiveSlot{node: n, family: f, candidates: []HalfSession{h}})
	}
}

// owner returns the first node with an address, nil if there is none.
func (m *naive) owner(f calico.Family, a netip.Addr) *calico.Node {
	for _, n := range m.nodes {
		if n.SpeaksBGP(f) && n.Address[f].Addr() == a {
			return n
		}
	}
	return nil
}

func underscores(a netip.Addr) string {
	return strings.NewReplacer(".", "_", ":", "_").Replace(a.String())
}

// wholeSeconds rounds as Calico does.
func wholeSeconds(d *time.Duration) *int {
	if d == nil {
		return nil
	}
	n := int(math.Round(d.Seconds()))
	return &n
}

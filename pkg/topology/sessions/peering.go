package sessions

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"unique"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology/nodes"
)

// The scopes of a BGPPeer, by the kind of its peers.
const (
	ScopeNodes     = "nodes"     // nodes of the state
	ScopeWorkloads = "workloads" // pods on the node itself
	ScopeExternal  = "external"  // an address that no node has
)

// Peering is a BGPPeer with the nodes that it selects, by the rules of
// confd/pkg/backends/calico/client.go (updatePeersV1). Calico configures a half-session
// from every local node to every remote node. By reverse peering, it configures a
// half-session from every node in back to every local node.
type Peering struct {
	Peer  *calico.BGPPeer
	Scope string

	Local, Remote, back *bitset.BitSet
	// Forward and Reverse report, for each family, whether there are half-sessions
	// from the local nodes, and back to them.
	Forward, Reverse [2]bool
	// port is the port of a peerIP: the one in the spec or, for a node, its listen
	// port.
	port uint16
	// below are the nodes whose address is less than peerIP, compared as text. It is set
	// for a global BGPPeer with the address of a node, and nil for others. If known is
	// true, Calico makes the half-sessions of these nodes passive.
	below *bitset.BitSet
	// known reports that the text of peerIP is the text of a node's address.
	known bool
	// nodeASN is the AS number of the node with the address peerIP if it differs from
	// asNumber, and 0 for all others.
	nodeASN uint32
	// Unusable is why the nodes cannot have a session with the peer, "" if they can. It is
	// one of Problems.
	Unusable Optional
	// Problems are what Calico ignores in the spec because of other objects.
	Problems []calico.Problem
	// Selectors are the selectors that are set.
	Selectors []Selector

	// keepsForNodes reports that keepOriginalNextHop applies to peers that are nodes.
	keepsForNodes bool

	kind                    unique.Handle[peerKind] // zero for a peer that is no node
	localNodes, remoteNodes nodes.List
	alone                   *PeerGroup // this peering alone, without its number
}

// resolve returns the peering of a BGPPeer.
func resolve(p *calico.BGPPeer, ix *nodes.Index, s *state.Snapshot) *Peering {
	r := &Peering{Peer: p, Scope: ScopeNodes, Selectors: selectors(p, ix), keepsForNodes: keepsForNodes(s)}
	switch {
	case p.NodeSelector != "":
		r.Local = ix.Select(p.NodeSelector, p.Local())
	case p.Node != "":
		r.Local = ix.Named(p.Node)
	default:
		r.Local = ix.Select("", everything)
	}
	switch {
	case p.LocalWorkloadSelector != "":
		r.Scope, r.Remote = ScopeWorkloads, ix.None()
		if !workloadPeering(s) {
			r.unusable("spec.localWorkloadSelector", "pods have no address to peer with: localWorkloadPeeringIPV4 and localWorkloadPeeringIPV6 of BGPConfiguration default are unset")
		}
	case p.PeerSelector != "":
		r.Remote = ix.Select(p.PeerSelector, p.Remote())
		r.back = r.Remote
		r.Forward = [2]bool{true, true}
		r.Reverse = r.Forward
	case p.PeerHost != "":
		r.byAddress(ix, s)
	default:
		r.withoutPeer(ix, s)
	}
	if r.back == nil {
		r.back = ix.None()
	}
	if p.ReverseManual {
		r.Reverse = [2]bool{}
	}
	r.localNodes, r.remoteNodes = nodes.NewList(r.Local), nodes.NewList(r.Remote)
	if r.Scope == ScopeNodes {
		r.kind = newPeerKind(r)
	}
	r.alone = &PeerGroup{Peering: r, Members: []*Peering{r}}
	return r
}

// workloadPeering reports whether pods have an address to peer with.
func workloadPeering(s *state.Snapshot) bool {
	c := s.BGPConfiguration(calico.Default)
	return c != nil && c.WorkloadPeering
}

// sameSelections reports whether the selectors of the BGPPeer match the same nodes in an index as in old, from which it was
// edited.
func (r *Peering) sameSelections(ix, old *nodes.Index) bool {
	p := r.Peer
	return ix == old || ix.SameSelection(old, p.NodeSelector, p.Local()) && ix.SameSelection(old, p.PeerSelector, p.Remote())
}

// selectors returns the selectors of a BGPPeer that are set.
func selectors(p *calico.BGPPeer, ix *nodes.Index) []Selector {
	out := []Selector{}
	add := func(field, text string, s *calico.Selector) {
		switch {
		case text == "":
		case s == nil:
			_, err := calico.ParseSelector(text)
			out = append(out, Selector{Field: field, Text: text, Error: Optional(err.Error()), Labels: []string{}, Unintended: Unintended{Sample: []string{}}})
		default:
			set := ix.Unintended(text, s)
			out = append(out, Selector{
				Field: field, Text: text, Labels: s.Labels(), Nodes: int(ix.Select(text, s).Count()),
				Unintended: Unintended{int(set.Count()), ix.Names(set, sampleSize)},
			})
		}
	}
	add("spec.nodeSelector", p.NodeSelector, p.Local())
	add("spec.peerSelector", p.PeerSelector, p.Remote())
	return out
}

// everything is the selector of a BGPPeer without nodeSelector and node. It matches all
// nodes.
var everything, _ = calico.ParseSelector("all()")

// global reports whether the BGPPeer applies to all nodes. Calico enters such a BGPPeer
// once and not for each node.
func (r *Peering) global() bool { return r.Peer.NodeSelector == "" && r.Peer.Node == "" }

// byPeerIP reports whether the spec names the peer by an address that Calico accepts.
func (r *Peering) byPeerIP() bool {
	return r.Peer.PeerAddress.IsValid() && r.Forward != [2]bool{} && r.Peer.PeerSelector == ""
}

// unusable sets Unusable.
func (r *Peering) unusable(field, format string, args ...any) {
	r.Unusable = Optional(fmt.Sprintf(format, args...))
	r.problem(field, "%s", r.Unusable)
}

func (r *Peering) problem(field, format string, args ...any) {
	r.Problems = append(r.Problems, calico.Problem{Field: field, Message: fmt.Sprintf(format, args...)})
}

// byAddress resolves a BGPPeer with a peerIP. Calico compares addresses as texts, BIRD
// as numbers.
func (r *Peering) byAddress(ix *nodes.Index, s *state.Snapshot) {
	p := r.Peer
	r.Scope, r.Remote, r.back, r.port = ScopeExternal, ix.None(), ix.None(), p.PeerPort
	if !p.PeerAddress.IsValid() {
		return
	}
	switch kind := unusableKind(p.PeerAddress); {
	case kind != "":
		r.unusable("spec.peerIP", "%s is %s address, at which no other machine can be", p.PeerAddress, kind)
	case r.Local.Count() == 1:
		i, _ := r.Local.NextSet(0)
		if node := ix.Nodes[i]; node.Has(p.PeerAddress) {
			r.unusable("spec.peerIP", "%s is an address of node %s itself, the only node of the BGPPeer", p.PeerAddress, node.Name)
		}
	}
	f := calico.FamilyOf(p.PeerAddress)
	if i, ok := r.Local.NextSet(0); ok && r.Unusable == "" && isBroadcast(p.PeerAddress, ix.Nodes[i].Address[calico.IPv4]) {
		r.unusable("spec.peerIP", "%s is the broadcast address of the network of node %s", p.PeerAddress, ix.Nodes[i].Name)
	}
	r.Forward[f] = r.reachable()
	at := ix.At(p.PeerAddress)
	if len(at) > 0 {
		r.Remote, r.back = bitset.New(ix.Len()), bitset.New(ix.Len())
	}
	for _, i := range at {
		node := ix.Nodes[i]
		r.Scope = ScopeNodes
		r.Remote.Set(uint(i))
		if !p.Canonical() {
			continue
		}
		r.known = true
		// For reverse peering, asNumber defaults to the cluster's AS number.
		expected := cmp.Or(p.ASNumber, s.BGPConfiguration(calico.Default).ClusterASNumber())
		switch asn := asNumberOf(node, s); {
		case asn != expected:
			if p.ASNumber != 0 {
				r.nodeASN = asn
			}
			r.problem("spec.asNumber", "is %d, but the peer is node %s of AS %d: the session does not come up", p.ASNumber, node.Name, asn)
		case !portFits(p, node, s):
			r.problem("spec.peerIP", "has port %d, but node %s listens on another port: Calico configures no half-session back", p.PeerPort, node.Name)
		default:
			r.back.Set(uint(i))
			r.Reverse[f] = true
			if r.port == 0 {
				r.port = listenPort(node.Name, s)
			}
		}
	}
	if len(at) > 0 && !p.Canonical() {
		r.problem("spec.peerIP", "is the address of a node, but not in the form that Calico writes (%s): Calico configures no half-session back", p.PeerAddress)
	}
	if len(at) > 0 && r.global() {
		r.below = below(ix, p.PeerAddress, f)
	}
}

// unusableKind returns the kind of an address that cannot be that of another machine, with
// its article, "" for all other addresses.
func unusableKind(a netip.Addr) string {
	switch {
	case a.IsLoopback():
		return "a loopback"
	case a.IsUnspecified():
		return "an unspecified"
	case a.IsMulticast():
		return "a multicast"
	case a == broadcast:
		return "a broadcast"
	}
	return ""
}

// isBroadcast reports whether an address is the last one of an IPv4 network. Networks of one or two
// addresses have no broadcast address (RFC 3021).
func isBroadcast(a netip.Addr, network netip.Prefix) bool {
	return a.Is4() && network.IsValid() && network.Bits() <= 30 && network.Contains(a) && !network.Contains(a.Next())
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// OtherASNumber returns the AS number of the node with the address peerIP if it is another
// one than asNumber. It returns false if there is no such node.
func (r *Peering) OtherASNumber() (uint32, bool) { return r.nodeASN, r.nodeASN != 0 }

// Ends adds the nodes of the BGPPeer, on both sides, to set. O(nodes / 64), and less for
// few nodes.
func (r *Peering) Ends(set *bitset.BitSet) {
	r.localNodes.AddTo(set)
	r.remoteNodes.AddTo(set)
}

// reachable reports whether reachableBy is unset or an address of the family of
// peerIP. Otherwise Calico ignores the BGPPeer.
func (r *Peering) reachable() bool {
	if r.Peer.ReachableBy == "" {
		return true
	}
	a, err := netip.ParseAddr(r.Peer.ReachableBy)
	if err != nil || calico.FamilyOf(a.Unmap()) != calico.FamilyOf(r.Peer.PeerAddress) {
		r.problem("spec.reachableBy", "%q is not an %s address, so Calico ignores the peer", r.Peer.ReachableBy, calico.FamilyOf(r.Peer.PeerAddress))
		return false
	}
	return true
}

// below returns the nodes whose address in family f is less than a, compared as text.
func below(ix *nodes.Index, a netip.Addr, f calico.Family) *bitset.BitSet {
	text := a.String()
	set := bitset.New(ix.Len())
	for i, ok := ix.BGP[f].NextSet(0); ok; i, ok = ix.BGP[f].NextSet(i + 1) {
		if ix.Nodes[i].Address[f].Addr().String() < text {
			set.Set(i)
		}
	}
	return set
}

// withoutPeer resolves a BGPPeer without an address in peerIP, peerSelector and
// localWorkloadSelector. Calico makes no forward half-sessions. Its reverse pass compares the
// empty address with the addresses of nodes. A node without an address in one family matches, and Calico
// configures half-sessions from it to all local nodes. They are in the IPv4 family.
func (r *Peering) withoutPeer(ix *nodes.Index, s *state.Snapshot) {
	r.back = bitset.New(ix.Len())
	r.Reverse[calico.IPv4] = true
	asn := r.Peer.ASNumber
	if asn == 0 {
		asn = s.BGPConfiguration(calico.Default).ClusterASNumber()
	}
	for i, n := range ix.Nodes {
		if !(n.SpeaksBGP(calico.IPv4) && n.SpeaksBGP(calico.IPv6)) && asNumberOf(n, s) == asn && portFits(r.Peer, n, s) {
			r.back.Set(uint(i))
		}
	}
	r.Remote = r.back
}

// asNumberOf returns the AS number of a node: its own, or else the cluster's.
func asNumberOf(n *calico.Node, s *state.Snapshot) uint32 {
	if n.ASNumber != nil {
		return *n.ASNumber
	}
	return s.BGPConfiguration(calico.Default).ClusterASNumber()
}

// listenPort returns the port on which a node listens: its own, or else the
// cluster's, or else 0 for BIRD's default.
func listenPort(node string, s *state.Snapshot) uint16 {
	for _, name := range []string{calico.NodeConfiguration(node), calico.Default} {
		if c := s.BGPConfiguration(name); c != nil && c.ListenPort != 0 {
			return c.ListenPort
		}
	}
	return 0
}

// portFits reports whether Calico accepts the port of a peerIP for a node. If the node's
// or the cluster's listenPort is set, it must be equal to this port.
func portFits(p *calico.BGPPeer, n *calico.Node, s *state.Snapshot) bool {
	if p.PeerPort == 0 {
		return true
	}
	for _, name := range []string{calico.NodeConfiguration(n.Name), calico.Default} {
		if c := s.BGPConfiguration(name); c != nil && c.ListenPort != 0 && c.ListenPort != p.PeerPort {
			return false
		}
	}
	return true
}

// Settings are the settings of a half-session in Calico's table of peers. If two
// BGPPeers configure the same peer of a node with different settings, Calico uses one of
// them, and which one is undefined. Settings can be compared with ==.
type Settings struct {
	PeerASN, localASN              uint32 // localASN is 0 for the node's own
	clusterID                      string // the peer's, "" if it has none or it is unknown
	port                           uint16 // 0 for none
	password, nextHopMode, filters string
	reachableBy                    string
	sourceNone, keepOriginal       bool
	passive                        bool
	Restart, keepalive             int // seconds, or Unset
	allow, ttl                     int // numAllowedLocalASNumbers; ttlSecurity in hops
}

// Unset is the value of a timer that is not set. BIRD then uses its default.
const Unset = math.MinInt

// settingsFor returns the settings of the peering for a peer that is a node of class
// c, forward or by reverse peering.
func (r *Peering) settingsFor(c *nodes.Class, back bool) Settings {
	s := r.commonSettings()
	if r.byPeerIP() && !back {
		r.addAddressed(&s)
		return s
	}
	s.PeerASN, s.clusterID, s.port = c.ASN, c.ClusterID, c.Port
	s.keepOriginal = s.keepOriginal && r.keepsForNodes
	return s
}

// externalSettings returns the settings for a peer that is not a node of the state.
func (r *Peering) externalSettings() Settings {
	s := r.commonSettings()
	r.addAddressed(&s)
	return s
}

// ownSettings returns the settings that do not depend on the peer.
func (r *Peering) ownSettings() Settings {
	if r.Peer.PeerHost != "" {
		return r.externalSettings()
	}
	return r.commonSettings()
}

// addAddressed adds the settings that Calico reads only of a BGPPeer with a peerIP.
func (r *Peering) addAddressed(s *Settings) {
	p := r.Peer
	s.PeerASN, s.localASN, s.port, s.allow = p.ASNumber, p.LocalASNumber, r.port, p.NumAllowedLocalASNumbers
}

// commonSettings returns the settings that Calico reads of every BGPPeer whose peers are not
// pods.
func (r *Peering) commonSettings() Settings {
	p := r.Peer
	return Settings{
		password: p.Password, nextHopMode: p.NextHopMode, filters: strings.Join(p.Filters, ","), reachableBy: p.ReachableBy,
		sourceNone: p.SourceAddressNone, keepOriginal: p.KeepOriginalNextHop, Restart: optionalSeconds(p.MaxRestartTime), keepalive: optionalSeconds(p.KeepaliveTime), ttl: p.TTLSecurity,
	}
}

// equivalent reports whether two peerings configure the same half-sessions.
func (r *Peering) equivalent(q *Peering) bool {
	return r == q || r.Peer.Name == q.Peer.Name && r.Scope == q.Scope && r.keepsForNodes == q.keepsForNodes && r.Peer.ASNumber == q.Peer.ASNumber && r.Peer.LocalASNumber == q.Peer.LocalASNumber && r.global() == q.global() && r.known == q.known && r.byPeerIP() == q.byPeerIP() &&
		r.Peer.PeerAddress == q.Peer.PeerAddress && r.ownSettings() == q.ownSettings() && r.Forward == q.Forward && r.Reverse == q.Reverse &&
		sameSelectors(r.Selectors, q.Selectors) && sameSet(r.Local, q.Local) && sameSet(r.Remote, q.Remote) && sameSet(r.back, q.back) && sameSet(r.below, q.below)
}

// described reports whether r describes the BGPPeer as q does, for the summary.
func (r *Peering) described(q *Peering) bool {
	return slices.Equal(r.Problems, q.Problems) && slices.EqualFunc(r.Selectors, q.Selectors, func(x, y Selector) bool {
		return x.Unintended.Nodes == y.Unintended.Nodes && slices.Equal(x.Unintended.Sample, y.Unintended.Sample)
	})
}

// sameSelectors reports whether the selectors match the same numbers of nodes.
// Half-sessions do not depend on the texts of selectors.
func sameSelectors(a, b []Selector) bool {
	return slices.EqualFunc(a, b, func(x, y Selector) bool { return x.Nodes == y.Nodes })
}

func sameSet(a, b *bitset.BitSet) bool { return a == b || a != nil && b != nil && a.Equal(b) }

// workloadSettings returns the settings for a peer that is a pod, for which Calico reads no
// others (confd/pkg/backends/calico/client.go, localBGPPeerDataAsBGPPeers).
func (r *Peering) workloadSettings() Settings {
	return Settings{
		PeerASN: r.Peer.ASNumber, localASN: r.Peer.LocalASNumber, filters: strings.Join(r.Peer.Filters, ","),
		sourceNone: true, Restart: Unset, keepalive: Unset,
	}
}

// keepsForNodes reports whether keepOriginalNextHop applies to peers that are nodes, which Calico
// takes from a peerSelector or by reverse peering. It does since v3.30.2, and if the version is
// unknown (confd/pkg/backends/calico/client.go, nodeAsBGPPeers).
func keepsForNodes(s *state.Snapshot) bool {
	return calico.NodesKeepNextHop.In(CalicoVersion(s))
}

package sessions

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unique"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology/nodes"
)

// Scopes of a BGPPeer.
const (
	ScopeNodes     = "nodes"
	ScopeWorkloads = "workloads"
	ScopeExternal  = "external"
)

// Peering is a BGPPeer resolved against the nodes of a state, by the rules of
// confd/pkg/backends/calico/client.go (updatePeersV1): every local node gets a
// half-session to every remote one and, where Calico makes the reverse, every
// node in back gets one to every local node.
type Peering struct {
	Peer  *calico.BGPPeer
	Scope string

	Local, Remote, back *bitset.BitSet
	// forward and reverse tell in which families there are half-sessions from
	// the local nodes, and back to them.
	Forward, Reverse [2]bool
	// port is that of a peerIP: the given one or, for a node, its listen port.
	port uint16
	// below are, for a global BGPPeer with a node's address, the nodes whose
	// address comes before it as text: which end of two is passive depends on
	// that. nil elsewhere. Calico makes them wait for the peer to dial if known,
	// that is, if peerIP is written as the node's address is.
	below *bitset.BitSet
	known bool
	// problems are those that only the state shows.
	Problems []calico.Problem
	// selectors are those that are set.
	Selectors []Selector

	kind                    unique.Handle[peerKind]
	localNodes, remoteNodes nodes.List
	alone                   *PeerGroup // this peering alone, without its number
}

// resolve finds the nodes on both sides of a BGPPeer.
func resolve(p *calico.BGPPeer, ix *nodes.Index, s *state.Snapshot) *Peering {
	r := &Peering{Peer: p, Scope: ScopeNodes, Selectors: selectors(p, ix)}
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
		r.Scope, r.Remote = ScopeWorkloads, bitset.New(ix.Len())
	case p.PeerSelector != "":
		r.Remote = ix.Select(p.PeerSelector, p.Remote())
		r.back = r.Remote
		r.Forward = [2]bool{true, true}
		r.Reverse = r.Forward
	case p.PeerIP != "":
		r.byAddress(ix, s)
	default:
		r.withoutPeer(ix, s)
	}
	if r.back == nil {
		r.back = bitset.New(ix.Len())
	}
	if p.ReverseManual {
		r.Reverse = [2]bool{}
	}
	r.kind, r.localNodes, r.remoteNodes = newPeerKind(r), nodes.NewList(r.Local), nodes.NewList(r.Remote)
	r.alone = &PeerGroup{Peering: r, Members: []*Peering{r}}
	return r
}

// selectors returns the selectors of a BGPPeer that are set.
func selectors(p *calico.BGPPeer, ix *nodes.Index) []Selector {
	out := []Selector{}
	add := func(field, text string, s *calico.Selector) {
		switch {
		case text == "":
		case s == nil:
			_, err := calico.ParseSelector(text)
			out = append(out, Selector{Field: field, Text: text, Error: err.Error(), Labels: []string{}})
		default:
			out = append(out, Selector{Field: field, Text: text, Labels: s.Labels(), Nodes: int(ix.Select(text, s).Count())})
		}
	}
	add("spec.nodeSelector", p.NodeSelector, p.Local())
	add("spec.peerSelector", p.PeerSelector, p.Remote())
	return out
}

// everything is the selector of a BGPPeer that has none: it applies to all nodes.
var everything, _ = calico.ParseSelector("all()")

// global reports whether Calico enters the peer once for all nodes, and not
// for each.
func (r *Peering) global() bool { return r.Peer.NodeSelector == "" && r.Peer.Node == "" }

// ByPeerIP reports whether the peer is given by its address.
func (r *Peering) ByPeerIP() bool {
	return r.Peer.PeerAddress.IsValid() && r.Forward != [2]bool{} && r.Peer.PeerSelector == ""
}

func (r *Peering) problem(field, format string, args ...any) {
	r.Problems = append(r.Problems, calico.Problem{Field: field, Message: fmt.Sprintf(format, args...)})
}

// byAddress resolves a peerIP. Calico compares it with the addresses of nodes
// as text; BIRD, which meets the node at it, as an address.
func (r *Peering) byAddress(ix *nodes.Index, s *state.Snapshot) {
	p := r.Peer
	r.Scope, r.Remote, r.port = ScopeExternal, bitset.New(ix.Len()), p.PeerPort
	if !p.PeerAddress.IsValid() {
		return
	}
	f := calico.FamilyOf(p.PeerAddress)
	r.Forward[f] = r.reachable()
	r.back = bitset.New(ix.Len())
	at := ix.At(p.PeerAddress)
	for _, i := range at {
		node := ix.Nodes[i]
		r.Scope = ScopeNodes
		r.Remote.Set(uint(i))
		if !p.Canonical() {
			continue
		}
		r.known = true
		// A missing AS number is the cluster's on the way back.
		expected := cmp.Or(p.ASNumber, s.BGPConfiguration(calico.Default).ClusterASNumber())
		switch asn := asNumberOf(node, s); {
		case asn != expected:
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

// reachable reports whether Calico takes the peer's reachableBy; it skips a
// peer with one that is no address of the peer's family.
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

// below returns the nodes whose address in family f comes before a as text.
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

// withoutPeer resolves a BGPPeer without any peer. Calico makes no forward
// half-sessions, but its reverse pass takes the empty address for that of
// every node that lacks one in a family, and gives these half-sessions to all
// local nodes. An absent port and address count as IPv4.
func (r *Peering) withoutPeer(ix *nodes.Index, s *state.Snapshot) {
	r.back = bitset.New(ix.Len())
	r.Reverse[calico.IPv4] = true
	asn := r.Peer.ASNumber
	if asn == 0 {
		asn = s.BGPConfiguration(calico.Default).ClusterASNumber()
	}
	for i, n := range ix.Nodes {
		if !(n.SpeaksBGP(calico.IPv4) && n.SpeaksBGP(calico.IPv6)) && asNumberOf(n, s) == asn {
			r.back.Set(uint(i))
		}
	}
	r.Remote = r.back
}

func asNumberOf(n *calico.Node, s *state.Snapshot) uint32 {
	if n.ASNumber != nil {
		return *n.ASNumber
	}
	return s.BGPConfiguration(calico.Default).ClusterASNumber()
}

// listenPort is the port on which a node listens: its own, else the cluster's,
// else 0 for BIRD's default.
func listenPort(node string, s *state.Snapshot) uint16 {
	for _, name := range []string{calico.NodeConfiguration(node), calico.Default} {
		if c := s.BGPConfiguration(name); c != nil && c.ListenPort != 0 {
			return c.ListenPort
		}
	}
	return 0
}

// portFits reports whether Calico takes the port of a peerIP for the node's:
// neither the node's nor the cluster's listenPort may be set to another.
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

// Settings are what Calico's table of peers holds for one peer of a node. Two
// BGPPeers that give a node one peer with the same settings do no harm; with
// different ones, either may win.
type Settings struct {
	PeerASN, localASN              uint32 // localASN is 0 for the node's own
	clusterID                      string // the peer's, "" where it has none or it is not known
	port                           uint16 // 0 for none
	password, nextHopMode, filters string
	reachableBy                    string
	sourceNone, keepOriginal       bool
	passive                        bool
	Restart, keepalive             int // seconds, unset for BIRD's default
	allow, ttl                     int
}

// Unset is the value of a timer that BIRD's default holds for.
const Unset = -1

// settingsFor returns the settings of the peering for a peer that is a node of
// the given class, forward or back.
func (r *Peering) settingsFor(c *nodes.Class, back bool) Settings {
	s := r.commonSettings()
	if r.ByPeerIP() && !back {
		r.addAddressed(&s)
		return s
	}
	s.PeerASN, s.clusterID, s.port = c.ASN, c.ClusterID, c.Port
	return s
}

// externalSettings returns the settings for a peer that is not a node of the state.
func (r *Peering) externalSettings() Settings {
	s := r.commonSettings()
	r.addAddressed(&s)
	return s
}

// ownSettings returns all that the BGPPeer itself says of its sessions.
func (r *Peering) ownSettings() Settings {
	if r.Peer.PeerIP != "" {
		return r.externalSettings()
	}
	return r.commonSettings()
}

// addAddressed adds what Calico takes from a BGPPeer with a peerIP only.
func (r *Peering) addAddressed(s *Settings) {
	p := r.Peer
	s.PeerASN, s.localASN, s.port, s.allow = p.ASNumber, p.LocalASNumber, r.port, p.NumAllowedLocalASNumbers
	s.keepOriginal = p.KeepOriginalNextHop
}

func (r *Peering) commonSettings() Settings {
	p := r.Peer
	return Settings{
		password: p.Password, nextHopMode: p.NextHopMode, filters: strings.Join(p.Filters, ","), reachableBy: p.ReachableBy,
		sourceNone: p.SourceAddressNone, Restart: optionalSeconds(p.MaxRestartTime), keepalive: optionalSeconds(p.KeepaliveTime), ttl: p.TTLSecurity,
	}
}

// equivalent reports whether two peerings give the same half-sessions.
func (r *Peering) equivalent(q *Peering) bool {
	return r == q || r.Peer.Name == q.Peer.Name && r.Scope == q.Scope && r.Peer.ASNumber == q.Peer.ASNumber && r.Peer.LocalASNumber == q.Peer.LocalASNumber && r.global() == q.global() && r.known == q.known && r.ByPeerIP() == q.ByPeerIP() &&
		r.Peer.PeerAddress == q.Peer.PeerAddress && r.ownSettings() == q.ownSettings() && r.Forward == q.Forward && r.Reverse == q.Reverse &&
		sameSelectors(r.Selectors, q.Selectors) && SameSet(r.Local, q.Local) && SameSet(r.Remote, q.Remote) && SameSet(r.back, q.back) && SameSet(r.below, q.below)
}

// sameSelectors compares how many nodes selectors match, which says the same of
// those of one BGPPeer.
func sameSelectors(a, b []Selector) bool {
	return slices.EqualFunc(a, b, func(x, y Selector) bool { return x.Nodes == y.Nodes })
}

func SameSet(a, b *bitset.BitSet) bool { return a == b || a != nil && b != nil && a.Equal(b) }

// workloadSettings returns the settings for a peer that is a pod.
func (r *Peering) workloadSettings() Settings {
	s := r.commonSettings()
	s.PeerASN, s.localASN = r.Peer.ASNumber, r.Peer.LocalASNumber
	return s
}

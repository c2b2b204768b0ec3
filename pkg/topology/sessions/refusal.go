package sessions

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/topology/nodes"
)

// The reasons why BIRD rejects its configuration, as observed with `bird -p` of BIRD
// 1.6.8.
const (
	RefusesOwnZero    = "the node's own AS number 0"
	RefusesPeerZero   = "the AS number 0 of a peer that is a node"
	RefusesRemoteZero = "the remote AS number 0 of a BGPPeer"
	RefusesMask       = "a cluster ID with a mask"
	RefusesLinkLocal  = "the link-local address of a peer, for which Calico gives no interface"
	RefusesTwice      = "two protocols of one name, for an address that several nodes have"
	AnyRefusal        = "" // any of the reasons
)

// Refusal is a half-session that BIRD rejects.
type Refusal struct {
	Reason string
	text   string // the reason with the values of this half-session
	// Link and Sources are the link of the half-session and the BGPPeers that configure
	// it. Both are nil for the mesh and for an ExternalSide.
	Link    *Link
	Sources []Source
}

// ExternalSide is half-sessions with one external peer or, if address is not set, with
// pods.
type ExternalSide struct {
	Variant
	address netip.Addr
}

// ExternalSides returns the half-sessions with the external peers in Counted, and with
// pods. O(variants + BGPPeers with pods as peers).
func (n *Network) ExternalSides() []ExternalSide {
	var out []ExternalSide
	for _, o := range n.Counted {
		for k := range o.Protocols {
			for _, v := range o.Protocols[k].Variants {
				out = append(out, ExternalSide{v, o.Address})
			}
		}
	}
	for _, p := range n.Workloads {
		out = append(out, ExternalSide{Variant: Variant{p.workloadSettings(), []*Peering{p}, p.Local.Intersection(n.Index.BGP[n.Family])}})
	}
	return out
}

// Refusals returns the half-sessions that BIRD rejects, of the nodes of class g with
// other nodes. BIRD also rejects an empty router ID, but Refusals does not report nodes
// with only an IPv6 address. Such clusters set CALICO_ROUTER_ID, which is not in any
// object. O(links of the class).
func (n *Network) Refusals(g uint32) []Refusal { return n.refusals(g, nobody) }

// RefusalTexts returns why BIRD rejects the configuration of a node, sorted. The
// texts name the BGPPeers. sides are the ExternalSides of the network. O(links of the
// class + sides).
func (n *Network) RefusalTexts(node uint32, sides []ExternalSide) []string {
	var out []string
	g := n.Classes.Of[node]
	for _, r := range n.refusals(g, int(node)) {
		out = append(out, r.text)
	}
	for i := range sides {
		side := &sides[i]
		if !side.Nodes.Test(uint(node)) {
			continue
		}
		for _, r := range n.ExternalRefusals(side, g) {
			out = append(out, fmt.Sprintf("%s, in BGPPeer %s", r.text, names(side.sourcesAt(uint(node)))))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// refusals returns the Refusals of class g. The texts name the BGPPeers of the given
// node of the class. For nobody, they do not name BGPPeers.
func (n *Network) refusals(g uint32, node int) []Refusal {
	s := &n.Classes.List[g]
	if !s.Speaks(n.Family) {
		return nil
	}
	var out []Refusal
	list := n.LinksFrom(g)
	for i := range list {
		l := &list[i]
		for k := range l.Protocols {
			out = append(out, n.refusalsOf(s, l, &l.Protocols[k], node)...)
		}
	}
	if n.InMesh(g) {
		out = append(out, n.meshRefusals(g)...)
	}
	return out
}

// nobody is passed to refusals in place of a node.
const nobody = -1

// refusalsOf returns the refusals of the half-sessions h of link l. s is class l.From.
func (n *Network) refusalsOf(s *nodes.Class, l *Link, h *Protocol, node int) []Refusal {
	var out []Refusal
	for _, w := range h.Ways {
		add := func(reason, text string) { out = append(out, Refusal{reason, text, l, w.Sources}) }
		if w.Settings.Local(s) == 0 {
			add(RefusesOwnZero, RefusesOwnZero)
		}
		switch {
		case w.Settings.PeerASN != 0:
		case n.Classes.List[l.To].ASN == 0:
			add(RefusesPeerZero, fmt.Sprintf("the AS number 0 of %s", n.describe(l.To)))
		case h.Prefix != PrefixMesh: // In the mesh, 0 is the node's own AS number, which is reported above.
			add(RefusesRemoteZero, "the remote AS number 0 in BGPPeer "+names(n.giving(l, w, node)))
		}
		if w.Settings.client(s, h.Prefix) && masked(s.ClusterID) {
			add(RefusesMask, maskText(s.ClusterID))
		}
		if linkLocal(n.address(l.To)) {
			add(RefusesLinkLocal, linkLocalText(n.address(l.To)))
		}
	}
	return out
}

func maskText(clusterID string) string {
	return fmt.Sprintf("the cluster ID %s, which has a mask", clusterID)
}

func linkLocalText(address netip.Addr) string {
	return fmt.Sprintf("the link-local address %s of a peer, for which Calico gives no interface", address)
}

// ExternalRefusals returns why BIRD rejects the half-sessions u on nodes of class g.
func (n *Network) ExternalRefusals(u *ExternalSide, g uint32) []Refusal {
	var out []Refusal
	own := &n.Classes.List[g]
	if !own.Speaks(n.Family) {
		return nil
	}
	if u.Settings.Local(own) == 0 {
		out = append(out, Refusal{Reason: RefusesOwnZero, text: RefusesOwnZero})
	}
	if u.Settings.PeerASN == 0 {
		out = append(out, Refusal{Reason: RefusesRemoteZero, text: "the remote AS number 0"})
	}
	if u.Settings.client(own, PrefixNode) && masked(own.ClusterID) {
		out = append(out, Refusal{Reason: RefusesMask, text: maskText(own.ClusterID)})
	}
	if linkLocal(u.address) {
		out = append(out, Refusal{Reason: RefusesLinkLocal, text: linkLocalText(u.address)})
	}
	return out
}

func masked(clusterID string) bool { return strings.Contains(clusterID, "/") }

// meshRefusals returns the refusals of the mesh half-sessions of class g. It skips
// half-sessions on links.
func (n *Network) meshRefusals(g uint32) []Refusal {
	var out []Refusal
	add := func(reason, text string) { out = append(out, Refusal{Reason: reason, text: text}) }
	s := &n.Classes.List[g]
	if s.ASN == 0 && n.meshNodes() > 1 {
		add(RefusesOwnZero, RefusesOwnZero)
	}
	for _, other := range n.suspects {
		if other == g && s.Nodes == 1 || n.SameAddress(g, other) {
			continue
		}
		if n.Rules.meshSettings(s, &n.Classes.List[other]).PeerASN == 0 && n.Classes.List[other].ASN == 0 {
			add(RefusesPeerZero, fmt.Sprintf("the AS number 0 of %s", n.describe(other)))
		}
		if linkLocal(n.address(other)) {
			add(RefusesLinkLocal, linkLocalText(n.address(other)))
		}
	}
	for _, shared := range n.AddressSharers() {
		// Every node in the mesh without this address gets two protocols of one name.
		if n.InMesh(shared) && shared != g && !n.SameAddress(g, shared) && n.twiceInMesh(shared) {
			add(RefusesTwice, fmt.Sprintf("two protocols of one name, for the address %s of several nodes", n.address(shared)))
		}
	}
	return out
}

// meshNodes counts the nodes in the mesh.
func (n *Network) meshNodes() int {
	count := 0
	for _, list := range n.Mesh {
		for _, g := range list {
			count += n.Classes.List[g].Nodes
		}
	}
	return count
}

// twiceInMesh reports whether several nodes in the mesh have the address of a class.
func (n *Network) twiceInMesh(shared uint32) bool {
	count := 0
	for _, node := range n.Index.At(n.address(shared)) {
		if n.InMesh(n.Classes.Of[node]) {
			count++
		}
	}
	return count > 1
}

// describe returns a text for the nodes of class g, for messages.
func (n *Network) describe(g uint32) string {
	s := &n.Classes.List[g]
	name := "node " + n.Index.Nodes[s.First[0]].Name
	if s.Nodes > 1 {
		name += fmt.Sprintf(" and %d more", s.Nodes-1)
	}
	return name
}

// giving returns the BGPPeers that configure the half-sessions of a node on link l with
// the settings of w.
func (n *Network) giving(l *Link, w Way, node int) []*Peering {
	var out []*Peering
	for _, s := range w.Sources {
		switch {
		case node == nobody:
		case len(s.Members) == 1 || !s.Far:
			out = append(out, s.between(uint(node), uint(node))...)
		default:
			n.Spreads.Among(s, l.From, l.To, func(p *Peering, _ uint32) bool {
				if s.varying(p).Some(func(j uint32) bool { return n.Classes.Of[j] == l.To && int(j) != node }) {
					out = append(out, p)
				}
				return true
			})
		}
	}
	return out
}

// names returns the sorted names of BGPPeers, separated by commas.
func names(peerings []*Peering) string {
	var out []string
	for _, p := range peerings {
		out = append(out, p.Peer.Name)
	}
	slices.Sort(out)
	return strings.Join(slices.Compact(out), ", ")
}

func linkLocal(a netip.Addr) bool { return a.Is6() && a.IsLinkLocalUnicast() }

package sessions

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/topology/nodes"
)

// What BIRD rejects, in general: the reason is the same as long as one case of it is
// there. The text of a Refusal names the case.
const (
	RefusesOwnZero    = "the node's own AS number 0"
	RefusesPeerZero   = "the AS number 0 of a peer that is a node"
	RefusesRemoteZero = "the remote AS number 0 of a BGPPeer"
	RefusesMask       = "a cluster ID with a mask"
	RefusesLinkLocal  = "the link-local address of a peer, for which Calico gives no interface"
	RefusesTwice      = "two protocols of one name, for an address that several nodes have"
	AnyRefusal        = ""
)

// Refusal is something that BIRD rejects: the reason in general, a text about this case,
// with the BGPPeers that give it.
type Refusal struct {
	Reason, text string
	Link         *Link
	Sources      []Source
}

func Texts(refusals []Refusal) []string {
	var out []string
	for _, r := range refusals {
		out = append(out, r.text)
	}
	return out
}

// ExternalSide is half-sessions of some nodes whose other side is no node: an
// external peer, or, without an address, pods.
type ExternalSide struct {
	Variant
	address netip.Addr
}

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

// Refusals returns why BIRD rejects the configuration of the nodes of a class,
// external peers left out: what `bird -p` of 1.6.8 does not accept. A node with
// an IPv6 address alone, whose router ID would be empty, is none of them: such
// clusters run, with CALICO_ROUTER_ID set, which is in no object. The texts name
// the BGPPeers that give it to the given node, or, with Nobody, to no node.
func (n *Network) Refusals(g uint32, node int) []Refusal {
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

// Nobody is the number of no node.
const Nobody = -1

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
		case h.Prefix != PrefixMesh: // There it is the node's own.
			add(RefusesRemoteZero, "the remote AS number 0 in BGPPeer "+Names(n.giving(l, w, node)))
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

// ExternalRefusals are those of such a half-session for the nodes of class g.
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

// meshRefusals are those of the mesh's half-sessions with classes that no link
// reaches.
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
		// Its address makes two protocols of one name, for all but its owners.
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

func (n *Network) twiceInMesh(shared uint32) bool {
	count := 0
	for _, node := range n.Index.At(n.address(shared)) {
		if n.InMesh(n.Classes.Of[node]) {
			count++
		}
	}
	return count > 1
}

// describe names a class for a message.
func (n *Network) describe(g uint32) string {
	s := &n.Classes.List[g]
	name := "node " + n.Index.Nodes[s.First[0]].Name
	if s.Nodes > 1 {
		name += fmt.Sprintf(" and %d more", s.Nodes-1)
	}
	return name
}

// giving lists the BGPPeers that give a way of a half-session of a link to a node.
func (n *Network) giving(l *Link, w Way, node int) []*Peering {
	var out []*Peering
	for _, s := range w.Sources {
		switch {
		case node == Nobody:
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

func Names(peerings []*Peering) string {
	var out []string
	for _, p := range peerings {
		out = append(out, p.Peer.Name)
	}
	slices.Sort(out)
	return strings.Join(slices.Compact(out), ", ")
}

func linkLocal(a netip.Addr) bool { return a.Is6() && a.IsLinkLocalUnicast() }

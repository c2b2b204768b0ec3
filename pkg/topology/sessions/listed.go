package sessions

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology/nodes"
)

// Listed is one half-session of one node.
type Listed struct {
	Protocol
	network *Network
	node    uint32
	IP      netip.Addr // of the neighbor; the zero Addr for a pod
	peer    int        // the neighbor's node; -1 for none
	// Reason is why no session can come up, "" if one can.
	Reason   Reason
	external bool
	back     *Way // the half-session back; nil for none
	// address is IP as text, title the protocol's name.
	address, title string
}

// ListNode lists the half-sessions of node i in order of their protocols' names.
// members lists the nodes of each class. O(half-sessions x log half-sessions).
func (n *Network) ListNode(i uint32, members [][]uint32) []Listed {
	out := n.Collect(nil, i, members)
	for k := range out {
		l := &out[k]
		if l.IP.IsValid() {
			l.address = l.IP.String()
		}
		l.title = l.name()
	}
	slices.SortStableFunc(out, func(a, b Listed) int { return cmp.Compare(a.title, b.title) })
	return out
}

// Collect appends the half-sessions of node i to out, unordered and without the texts
// that Broken, Ambiguous and HalfSession need. members lists the nodes of each class.
// O(half-sessions + external peers).
func (n *Network) Collect(out []Listed, i uint32, members [][]uint32) []Listed {
	g := n.Classes.Of[i]
	list := n.LinksFrom(g)
	for k := range list {
		l := &list[k]
		back := n.wayBack(l, n.Link(l.To, l.From))
		for _, j := range members[l.To] {
			if i == j {
				continue
			}
			for x := range l.Protocols {
				one := Listed{Protocol: l.Protocols[x], network: n, node: i, IP: n.addressOf(j), peer: int(j), Reason: l.Reason, back: back}
				if x > 0 {
					one.Reason = n.LaterReason(l, &one.Protocol)
				}
				out = append(out, one)
			}
		}
	}
	out = n.listMesh(out, i, members)
	for _, o := range n.Externals {
		for x := range o.Protocols {
			h := &o.Protocols[x]
			if !h.Nodes.Test(uint(i)) {
				continue
			}
			one := Listed{Protocol: h.Protocol, network: n, node: i, IP: o.Address, peer: -1, external: true}
			one.Ways = n.waysAt(h, uint(i))
			one.port = one.Ways[0].Settings.port
			switch s := &one.Ways[0].Settings; {
			case s.PeerASN == 0 || s.Local(&n.Classes.List[g]) == 0:
				one.Reason = ASNumberZero
			case n.SharesAddress(g):
				one.Reason = AddressShared
			case h.Idle.Test(uint(i)):
				one.Reason = Overlapping
			}
			out = append(out, one)
		}
	}
	for _, p := range n.Workloads {
		if p.Local.Test(uint(i)) {
			s := p.workloadSettings()
			s.filters = n.filters.in(n.Family, s.filters)
			out = append(out, Listed{Protocol: Protocol{Prefix: PrefixWorkload, Ways: []Way{{s, []Source{only(p)}}}}, network: n, node: i, peer: -1, external: true})
		}
	}
	return out
}

// listMesh appends the mesh half-sessions of node i. It skips classes to which there is
// a link.
func (n *Network) listMesh(out []Listed, i uint32, members [][]uint32) []Listed {
	g := n.Classes.Of[i]
	if !n.InMesh(g) {
		return out
	}
	kind := n.MeshKind(g)
	for other, list := range n.Mesh {
		for _, to := range list {
			if n.Link(g, to) != nil || n.SameAddress(g, to) {
				continue
			}
			h := Protocol{Prefix: PrefixMesh, port: n.Classes.List[to].Port, Ways: []Way{{Settings: n.Rules.meshSettings(&n.Classes.List[g], &n.Classes.List[to])}}}
			back := &Way{Settings: n.Rules.meshSettings(&n.Classes.List[to], &n.Classes.List[g])}
			reason := n.MeshReason(kind, other)
			for _, j := range members[to] {
				if i != j {
					out = append(out, Listed{Protocol: h, network: n, node: i, IP: n.addressOf(j), peer: int(j), Reason: reason, back: back})
				}
			}
		}
	}
	return out
}

// name returns the protocol's name. For a pod, it contains the name of the BGPPeer in
// place of the address, which is not in any object.
func (l *Listed) name() string {
	if l.Prefix == PrefixWorkload {
		return l.Prefix.String() + l.Ways[0].Sources[0].Peer.Name
	}
	return l.protocol(l.address)
}

func (l *Listed) side() *nodes.Class { return &l.network.Classes.List[l.network.Classes.Of[l.node]] }

// PeerNode returns the name of the neighbor's node, "" if the neighbor is not a node.
func (l *Listed) PeerNode() string {
	if l.peer < 0 {
		return ""
	}
	return l.network.Index.Nodes[l.peer].Name
}

// HalfSession returns the half-session with one of its ways.
func (l *Listed) HalfSession(w *Way) HalfSession {
	own := l.network.addressOf(l.node).String()
	h := w.Settings.halfSession(l.side(), l.Prefix, own)
	h.Node, h.Family, h.Protocol = l.network.Index.Nodes[l.node].Name, l.network.Family.String(), l.title
	h.PeerIP, h.PeerPort, h.PeerNode = l.address, portOr179(l.port), l.PeerNode()
	h.Passive = l.passive(&w.Settings, own, l.address)
	h.Sources, h.Status = l.Sources(w), l.Status()
	return h
}

// Sources returns the names of the objects that configure the half-session with one
// of its ways, sorted: BGPPeers or, for the mesh, the BGPConfiguration "default".
func (l *Listed) Sources(w *Way) []string {
	out := []string{}
	if l.Prefix == PrefixMesh && l.network.Rules.meshSource {
		out = append(out, calico.Default)
	}
	for _, s := range w.Sources {
		for _, p := range l.givenBy(s) {
			out = append(out, p.Peer.Name)
		}
	}
	slices.Sort(out)
	return out
}

// givenBy returns the BGPPeers of a source that configure the half-session.
func (l *Listed) givenBy(s Source) []*Peering {
	if len(s.Members) == 1 {
		return s.Members
	}
	return s.between(uint(l.node), uint(l.peer))
}

// Broken returns the half-session with a message that explains its Reason. The
// half-session must have a Reason.
func (l *Listed) Broken() BrokenSession {
	return BrokenSession{
		Node: l.network.Index.Nodes[l.node].Name, Family: l.network.Family.String(), Protocol: l.title, PeerIP: l.address, PeerNode: l.PeerNode(),
		Reason: l.Reason, Message: l.message(), Sources: l.Sources(&l.Ways[0]),
	}
}

// message explains the Reason.
func (l *Listed) message() string {
	s := &l.Ways[0].Settings
	peer := l.PeerNode()
	switch l.Reason {
	case NoReturn:
		return fmt.Sprintf("%s has no half-session back: configure one by a BGPPeer, or set reversePeering to Auto", peer)
	case ASNumberMismatch:
		b := &l.network.Classes.List[l.network.Classes.Of[l.peer]]
		if theirs := l.back.Settings.Local(b); s.PeerASN != theirs {
			return fmt.Sprintf("expects AS %d of %s, which has AS %d on this session", s.PeerASN, peer, theirs)
		}
		return fmt.Sprintf("has AS %d on this session, and %s expects AS %d", s.Local(l.side()), peer, l.back.Settings.PeerASN)
	case ASNumberZero:
		return fmt.Sprintf("BIRD rejects the AS numbers %d (remote) and %d (local): neither may be 0", s.PeerASN, s.Local(l.side()))
	case PasswordMismatch:
		return fmt.Sprintf("the password is %s, that of %s is %s", noneIfEmpty(s.password), peer, noneIfEmpty(l.back.Settings.password))
	case TTLSecurityMismatch:
		return fmt.Sprintf("ttlSecurity is %d here and %d on %s: set it on both or on neither", s.ttl, l.back.Settings.ttl, peer)
	case NobodyDials:
		return fmt.Sprintf("neither side connects to a port on which the other listens: this one %s port %d, %s listens on %d",
			map[bool]string{true: "is passive on", false: "connects to"}[l.passive(s, l.network.addressOf(l.node).String(), l.address)],
			portOr179(l.port), peer, portOr179(l.network.Classes.List[l.network.Classes.Of[l.peer]].Port))
	case NotOnLink:
		return fmt.Sprintf("BIRD connects to nodes in other AS numbers over the mesh only on a common link up to Calico v3.32, and %s is not in the network %s of this node or the other way round: replace the mesh by BGPPeers, upgrade Calico to v3.33, or give the nodes one AS number",
			l.address, l.network.Index.Nodes[l.node].Address[l.network.Family].Masked())
	case Overlapping:
		return "the connection goes to another protocol of this node with the same neighbor, which comes first by name"
	case AddressShared:
		return fmt.Sprintf("several nodes have the address %s, or this node's own address", l.address)
	}
	return ""
}

func noneIfEmpty(s string) string { return cmp.Or(s, "none") }

// Ambiguous returns the half-session with all its ways. It must have several ways.
func (l *Listed) Ambiguous() AmbiguousSession {
	out := AmbiguousSession{
		Node: l.network.Index.Nodes[l.node].Name, Family: l.network.Family.String(), PeerIP: l.address, PeerNode: l.PeerNode(),
		Sources: []string{}, Differs: []string{}, Candidates: []HalfSession{},
	}
	type candidate struct {
		name string
		way  Way
	}
	var list []candidate
	for _, w := range l.Ways {
		for _, s := range w.Sources {
			for _, p := range l.givenBy(s) {
				list = append(list, candidate{p.Peer.Name, Way{w.Settings, []Source{only(p)}}})
			}
		}
	}
	slices.SortFunc(list, func(a, b candidate) int { return cmp.Compare(a.name, b.name) })
	for _, c := range list {
		out.Sources = append(out.Sources, c.name)
		one := *l
		one.port, one.Reason, one.external = c.way.Settings.port, "", false
		one.title = one.name()
		out.Candidates = append(out.Candidates, one.HalfSession(&c.way))
	}
	out.Sources = slices.Compact(out.Sources) // If nodes share an address, one BGPPeer has two ways.
	out.Differs = differences(out.Candidates)
	return out
}

// Status returns the status of the half-session, "" if it is ambiguous.
func (l *Listed) Status() Status {
	switch {
	case l.Protocol.Ambiguous():
		return ""
	case l.Reason != "":
		return Broken
	case l.external:
		return External
	default:
		return Paired
	}
}

package topology

import (
	"cmp"
	"fmt"
	"iter"
	"net/netip"
	"slices"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology/nodes"
)

// HalfSessions lists the half-sessions of one node, or of all nodes for "", in
// order of node, family and protocol, without ambiguous ones. It makes those of one
// node at a time.
func (t *Topology) HalfSessions(node string) iter.Seq[HalfSession] {
	return func(yield func(HalfSession) bool) {
		t.each(node, nil, func(list []listed) bool {
			for i := range list {
				if l := &list[i]; len(l.ways) == 1 && !yield(l.describe(&l.ways[0])) {
					return false
				}
			}
			return true
		})
	}
}

// Broken lists the half-sessions that cannot come up, of one node or of all for "",
// in the order of HalfSessions. O(half-sessions of the nodes that have such ones).
func (t *Topology) Broken(node string) iter.Seq[BrokenSession] {
	var has [2][]func(int) bool
	for _, f := range calico.Families {
		for _, m := range t.tallies[f].broken {
			has[f] = append(has[f], t.marked(f, m))
		}
	}
	marked := func(f calico.Family, i int) bool {
		return slices.ContainsFunc(has[f], func(is func(int) bool) bool { return is(i) })
	}
	return func(yield func(BrokenSession) bool) {
		t.each(node, marked, func(list []listed) bool {
			for i := range list {
				if l := &list[i]; len(l.ways) == 1 && l.reason != "" && !yield(l.broken()) {
					return false
				}
			}
			return true
		})
	}
}

// Ambiguous lists the half-sessions that depend on the order in which Calico
// visits BGPPeers, of one node or of all for "", in the order of HalfSessions.
// O(half-sessions of the nodes that have such ones).
func (t *Topology) Ambiguous(node string) iter.Seq[AmbiguousSession] {
	marked := func(f calico.Family, i int) bool { return t.marked(f, &t.tallies[f].ambiguous)(i) }
	return func(yield func(AmbiguousSession) bool) {
		t.each(node, marked, func(list []listed) bool {
			for i := range list {
				if l := &list[i]; len(l.ways) > 1 && !yield(l.ambiguous()) {
					return false
				}
			}
			return true
		})
	}
}

// listed is one half-session of one node.
type listed struct {
	halfSession
	network  *network
	node     uint32
	ip       netip.Addr // the neighbour's; the zero Addr for a local workload
	peer     int        // the neighbour's node; -1 for none
	reason   Reason
	external bool
	back     *way // the first of the other side's first half; nil for none
	// address is ip as text, title the protocol's name.
	address, title string
}

// each calls visit with the half-sessions of each node and family that wanted
// selects; nil selects all.
func (t *Topology) each(node string, wanted func(f calico.Family, i int) bool, visit func([]listed) bool) {
	members := t.classes.Members()
	for i, n := range t.index.Nodes {
		if node != "" && n.Name != node {
			continue
		}
		for _, f := range calico.Families {
			if n.SpeaksBGP(f) && (wanted == nil || wanted(f, i)) && !visit(t.networks[f].listNode(uint32(i), members)) {
				return
			}
		}
	}
}

// listNode lists the half-sessions of a node in order of their protocols.
func (n *network) listNode(i uint32, members [][]uint32) []listed {
	out := n.collect(nil, i, members)
	for k := range out {
		l := &out[k]
		if l.ip.IsValid() {
			l.address = l.ip.String()
		}
		l.title = l.name()
	}
	slices.SortStableFunc(out, func(a, b listed) int { return cmp.Compare(a.title, b.title) })
	return out
}

// collect appends the half-sessions of a node. It does not set address and title,
// which cost more than the rest.
func (n *network) collect(out []listed, i uint32, members [][]uint32) []listed {
	g := n.classes.Of[i]
	list := n.from(g)
	for k := range list {
		l := &list[k]
		var back *way
		if m := n.link(l.to, l.from); m != nil {
			back = &m.halfSessions[0].ways[0]
		}
		for _, j := range members[l.to] {
			if i == j {
				continue
			}
			for x := range l.halfSessions {
				one := listed{halfSession: l.halfSessions[x], network: n, node: i, ip: n.addressOf(j), peer: int(j), reason: l.reason, back: back}
				if x > 0 {
					one.reason = n.laterReason(l, &one.halfSession)
				}
				out = append(out, one)
			}
		}
	}
	out = n.listMesh(out, i, members)
	for _, o := range n.externals {
		for x := range o.halfSessions {
			h := &o.halfSessions[x]
			if !h.nodes.Test(uint(i)) {
				continue
			}
			one := listed{halfSession: h.halfSession, network: n, node: i, ip: o.address, peer: -1, external: true}
			one.ways = n.waysAt(h, uint(i))
			one.port = one.ways[0].settings.port
			switch s := &one.ways[0].settings; {
			case s.peerASN == 0 || s.local(&n.classes.List[g]) == 0:
				one.reason = ASNumberZero
			case n.sharesAddress(g):
				one.reason = AddressShared
			case h.idle.Test(uint(i)):
				one.reason = Overlapping
			}
			out = append(out, one)
		}
	}
	for _, p := range n.workloads {
		if p.local.Test(uint(i)) {
			out = append(out, listed{halfSession: halfSession{prefix: prefixWorkload, ways: []way{{p.workloadSettings(), []source{only(p)}}}}, network: n, node: i, peer: -1, external: true})
		}
	}
	return out
}

// listMesh appends the mesh's half-sessions with nodes that no link reaches.
func (n *network) listMesh(out []listed, i uint32, members [][]uint32) []listed {
	g := n.classes.Of[i]
	if !n.inMesh(g) {
		return out
	}
	kind := n.meshKind(g)
	for other, list := range n.mesh {
		for _, to := range list {
			if n.link(g, to) != nil || n.sameAddress(g, to) {
				continue
			}
			h := halfSession{prefix: prefixMesh, port: n.classes.List[to].Port, ways: []way{{settings: n.rules.meshSettings(&n.classes.List[g], &n.classes.List[to])}}}
			back := &way{settings: n.rules.meshSettings(&n.classes.List[to], &n.classes.List[g])}
			reason := n.rules.meshReason(kind, other)
			for _, j := range members[to] {
				if i != j {
					out = append(out, listed{halfSession: h, network: n, node: i, ip: n.addressOf(j), peer: int(j), reason: reason, back: back})
				}
			}
		}
	}
	return out
}

func (n *network) meshKind(g uint32) int {
	for kind, list := range n.mesh {
		if _, ok := slices.BinarySearch(list, g); ok {
			return kind
		}
	}
	return meshPlain
}

// name is the protocol's. A pod's address is in no object, so the name of the
// BGPPeer takes its place.
func (l *listed) name() string {
	if l.prefix == prefixWorkload {
		return l.prefix.String() + l.ways[0].sources[0].peer.Name
	}
	return l.protocol(l.address)
}

func (l *listed) side() *nodes.Class { return &l.network.classes.List[l.network.classes.Of[l.node]] }

func (l *listed) peerNode() string {
	if l.peer < 0 {
		return ""
	}
	return l.network.index.Nodes[l.peer].Name
}

func (l *listed) describe(w *way) HalfSession {
	own := l.network.addressOf(l.node).String()
	h := w.settings.halfSession(l.side(), l.prefix, own)
	h.Node, h.Family, h.Protocol = l.network.index.Nodes[l.node].Name, l.network.family.String(), l.title
	h.PeerIP, h.PeerPort, h.PeerNode = l.address, portOr179(l.port), l.peerNode()
	h.Passive = l.passive(&w.settings, own, l.address)
	h.Sources, h.Status = l.sources(w), l.status()
	return h
}

func (l *listed) sources(w *way) []string {
	out := []string{}
	if l.prefix == prefixMesh && l.network.rules.meshSource {
		out = append(out, calico.Default)
	}
	for _, s := range w.sources {
		for _, p := range l.givenBy(s) {
			out = append(out, p.peer.Name)
		}
	}
	slices.Sort(out)
	return out
}

// givenBy lists the BGPPeers of a source that give the half-session.
func (l *listed) givenBy(s source) []*peering {
	if len(s.members) == 1 {
		return s.members
	}
	return s.between(uint(l.node), uint(l.peer))
}

func (l *listed) broken() BrokenSession {
	return BrokenSession{
		Node: l.network.index.Nodes[l.node].Name, Family: l.network.family.String(), Protocol: l.title, PeerIP: l.address, PeerNode: l.peerNode(),
		Reason: l.reason, Message: l.message(), Sources: l.sources(&l.ways[0]),
	}
}

func (l *listed) message() string {
	s := &l.ways[0].settings
	peer := l.peerNode()
	switch l.reason {
	case NoReturn:
		return fmt.Sprintf("%s has no half-session back: configure one by a BGPPeer, or set reversePeering to Auto", peer)
	case ASNumberMismatch:
		b := &l.network.classes.List[l.network.classes.Of[l.peer]]
		if theirs := l.back.settings.local(b); s.peerASN != theirs {
			return fmt.Sprintf("expects AS %d of %s, which has AS %d on this session", s.peerASN, peer, theirs)
		}
		return fmt.Sprintf("has AS %d on this session, and %s expects AS %d", s.local(l.side()), peer, l.back.settings.peerASN)
	case ASNumberZero:
		return fmt.Sprintf("BIRD rejects the AS numbers %d (remote) and %d (local): neither may be 0", s.peerASN, s.local(l.side()))
	case PasswordMismatch:
		return fmt.Sprintf("the password is %s, that of %s is %s", noneIfEmpty(s.password), peer, noneIfEmpty(l.back.settings.password))
	case TTLSecurityMismatch:
		return fmt.Sprintf("ttlSecurity is %d here and %d on %s: set it on both or on neither", s.ttl, l.back.settings.ttl, peer)
	case NobodyDials:
		return fmt.Sprintf("neither side connects to a port on which the other listens: this one %s port %d, %s listens on %d",
			map[bool]string{true: "is passive on", false: "connects to"}[l.passive(s, l.network.addressOf(l.node).String(), l.address)],
			portOr179(l.port), peer, portOr179(l.network.classes.List[l.network.classes.Of[l.peer]].Port))
	case Overlapping:
		return "the connection goes to another protocol of this node with the same neighbor, which comes first by name"
	case AddressShared:
		return fmt.Sprintf("several nodes have the address %s, or this node's own address", l.address)
	}
	return ""
}

func noneIfEmpty(s string) string { return cmp.Or(s, "none") }

func (l *listed) ambiguous() AmbiguousSession {
	out := AmbiguousSession{
		Node: l.network.index.Nodes[l.node].Name, Family: l.network.family.String(), PeerIP: l.address, PeerNode: l.peerNode(),
		Sources: []string{}, Differs: []string{}, Candidates: []HalfSession{},
	}
	type candidate struct {
		name string
		way  way
	}
	var list []candidate
	for _, w := range l.ways {
		for _, s := range w.sources {
			for _, p := range l.givenBy(s) {
				list = append(list, candidate{p.peer.Name, way{w.settings, []source{only(p)}}})
			}
		}
	}
	slices.SortFunc(list, func(a, b candidate) int { return cmp.Compare(a.name, b.name) })
	for _, c := range list {
		out.Sources = append(out.Sources, c.name)
		one := *l
		one.port, one.reason, one.external = c.way.settings.port, "", false
		one.title = one.name()
		out.Candidates = append(out.Candidates, one.describe(&c.way))
	}
	out.Sources = slices.Compact(out.Sources) // One BGPPeer may give two, where nodes share an address.
	out.Differs = differences(out.Candidates)
	return out
}

// workloadSettings returns the settings for a peer that is a pod.
func (r *peering) workloadSettings() settings {
	s := r.commonSettings()
	s.peerASN, s.localASN = r.peer.ASNumber, r.peer.LocalASNumber
	return s
}

// Ignored lists what Calico would ignore or reject in the objects of the state.
func (t *Topology) Ignored() []Ignored {
	out := []Ignored{}
	add := func(o calico.Object) {
		for _, p := range t.Problems(o.ID()) {
			out = append(out, Ignored{string(o.ID().Kind), o.ID().Name, p.String()})
		}
	}
	for _, o := range t.snapshot.BGPConfigurations() {
		add(o)
	}
	for _, o := range t.snapshot.BGPPeers() {
		add(o)
	}
	for _, o := range t.snapshot.IPPools() {
		add(o)
	}
	for _, o := range t.snapshot.Nodes() {
		if len(o.Problems()) > 0 {
			add(o)
		}
	}
	return out
}

// HasRoute reports whether node "to" has the routes to the pods of node "from" in
// family f, under the reading of external peers with transit or without. Policies read
// the Summary; this is for comparing predictions with a running BIRD, route by route.
func (t *Topology) HasRoute(f calico.Family, from, to string, transit bool) bool {
	a, ok := t.index.Find(from)
	b, ok2 := t.index.Find(to)
	return ok && ok2 && t.routings[f].hasRoute(transit, a, b)
}

package topology

import (
	"fmt"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// Scopes of a BGPPeer.
const (
	scopeNodes     = "nodes"
	scopeWorkloads = "workloads"
	scopeExternal  = "external"
)

// peering is a BGPPeer resolved against the nodes of a state: half-sessions
// from every local to every remote node and, where Calico adds the reverse,
// back.
type peering struct {
	peer  *calico.BGPPeer
	index *index

	scope         string
	local, remote *bitset.BitSet
	// family limits a peerIP to its own family; both for a peerSelector.
	families [2]bool
	// reverse tells that Calico makes the half-sessions back.
	reverse bool
	// sides are local and remote by family; computed last.
	sides [2]sides
	// problems are those that only the state shows.
	problems []string
	// part is what the summary says of the BGPPeer.
	part *BGPPeer
}

// resolve finds the nodes on both sides of a BGPPeer by the rules of
// confd/pkg/backends/calico/client.go (updatePeersV1). old is the BGPPeer of
// that name resolved against the same nodes, or nil: selectors that it has too
// need not be evaluated again.
func resolve(p *calico.BGPPeer, ix *index, s *state.Snapshot, old *peering) *peering {
	r := &peering{peer: p, index: ix, scope: scopeExternal, families: [2]bool{true, true}, reverse: !p.ReverseManual}
	r.findNodes(s, old)
	if old != nil && old.local == r.local && old.remote == r.remote && old.families == r.families {
		r.sides = old.sides
	} else {
		r.sides = [2]sides{r.sidesIn(calico.IPv4), r.sidesIn(calico.IPv6)}
	}
	r.part = peerPart(r)
	return r
}

func (r *peering) findNodes(s *state.Snapshot, old *peering) {
	p, ix := r.peer, r.index
	if old != nil && old.withoutPeer() { // Its local nodes are not all that it selects.
		old = nil
	}
	switch {
	case p.NodeSelector != "" && old != nil && old.peer.NodeSelector == p.NodeSelector:
		r.local = old.local
	case p.NodeSelector != "":
		r.local = r.selected(p.Local())
	case p.Node != "":
		r.local = ix.named(p.Node)
	default:
		r.local = ix.all()
	}
	switch {
	case p.LocalWorkloadSelector != "":
		r.scope, r.remote, r.reverse = scopeWorkloads, bitset.New(ix.Len()), false
	case p.PeerSelector != "" && old != nil && old.peer.PeerSelector == p.PeerSelector && old.peer.LocalWorkloadSelector == "":
		r.scope, r.remote = scopeNodes, old.remote
	case p.PeerSelector != "":
		r.scope, r.remote = scopeNodes, r.selected(p.Remote())
	case p.PeerIP != "":
		r.byAddress(s)
	default:
		r.empty(s)
	}
}

// withoutPeer reports whether the BGPPeer names no peer at all; see empty.
func (r *peering) withoutPeer() bool {
	return r.peer.LocalWorkloadSelector == "" && r.peer.PeerSelector == "" && r.peer.PeerIP == ""
}

func (r *peering) selected(s *calico.Selector) *bitset.BitSet {
	if s == nil { // It did not parse: Calico matches no node.
		return bitset.New(r.index.Len())
	}
	return s.Select(r.index)
}

func (r *peering) problem(format string, args ...any) {
	r.problems = append(r.problems, fmt.Sprintf(format, args...))
}

// byAddress resolves a peerIP. Where it is the address of a node, the session
// can stand only if the AS number given is the node's.
func (r *peering) byAddress(s *state.Snapshot) {
	r.remote = bitset.New(r.index.Len())
	p := r.peer
	if !p.PeerAddress.IsValid() {
		return
	}
	f := calico.FamilyOf(p.PeerAddress)
	r.families = [2]bool{f == calico.IPv4, f == calico.IPv6}
	for _, i := range r.index.byAddress[p.PeerAddress] {
		node := r.index.nodes[i]
		r.scope = scopeNodes
		switch asn := asNumberOf(node, s); {
		case p.ASNumber != asn:
			r.problem("spec.asNumber: is %d, but the peer is node %s of AS %d: the session does not come up", p.ASNumber, node.Name, asn)
		case !portFits(p, node, s):
			r.problem("spec.peerIP: names port %d, but node %s listens on another: Calico makes no session back", p.PeerPort, node.Name)
		default:
			r.remote.Set(i)
		}
	}
	if r.scope == scopeNodes && !p.Canonical() {
		// Calico compares the text and does not see a node in it.
		r.reverse = false
		r.problem("spec.peerIP: is a node's address, but not written as Calico writes it (%s): Calico makes no session back", p.PeerAddress)
	}
}

// empty resolves a BGPPeer without any peer. Calico makes no forward
// half-sessions, but its reverse pass takes the empty address for that of
// every node without an address in the other family, which gives these
// half-sessions to all local nodes. They stand only where both sides are such
// nodes.
func (r *peering) empty(s *state.Snapshot) {
	r.scope = scopeNodes
	single := r.index.bgp[calico.IPv4].SymmetricDifference(r.index.bgp[calico.IPv6])
	r.remote = bitset.New(r.index.Len())
	r.families = [2]bool{true, false} // An absent port and address: IPv4 only.
	if r.reverse && r.peer.ASNumber == 0 {
		asn := s.BGPConfiguration(calico.Default).ClusterASNumber()
		for i, ok := single.NextSet(0); ok; i, ok = single.NextSet(i + 1) {
			if asNumberOf(r.index.nodes[i], s) == asn {
				r.remote.Set(i)
			}
		}
	}
	r.local = r.local.Intersection(r.remote)
	r.remote = r.local
}

func asNumberOf(n *calico.Node, s *state.Snapshot) uint32 {
	if n.ASNumber != nil {
		return *n.ASNumber
	}
	return s.BGPConfiguration(calico.Default).ClusterASNumber()
}

// portFits reports whether Calico takes the port of a peerIP for the node's:
// neither the node's nor the cluster's listenPort may be set to another.
func portFits(p *calico.BGPPeer, n *calico.Node, s *state.Snapshot) bool {
	if p.PeerPort == 0 {
		return true
	}
	for _, name := range []string{"node." + n.Name, calico.Default} {
		if c := s.BGPConfiguration(name); c != nil && c.ListenPort != 0 && c.ListenPort != p.PeerPort {
			return false
		}
	}
	return true
}

// sides are the local and the remote nodes with an address in one family.
type sides struct{ local, remote *bitset.BitSet }

func (r *peering) sidesIn(f calico.Family) sides {
	if !r.families[f] {
		return sides{&bitset.BitSet{}, &bitset.BitSet{}}
	}
	return sides{r.local.Intersection(r.index.bgp[f]), r.remote.Intersection(r.index.bgp[f])}
}

// sessions counts the pairs of nodes, per family, that the peering gives a
// half-session: a pair that is in both sides both ways round counts once.
func (r *peering) sessions() int {
	n := 0
	for _, s := range r.sides {
		both := int(s.local.IntersectionCardinality(s.remote))
		n += int(s.local.Count())*int(s.remote.Count()) - both - both*(both-1)/2
	}
	return n
}

// sameSessions reports whether both give the same nodes half-sessions.
func (r *peering) sameSessions(q *peering) bool {
	if r == q {
		return true
	}
	for f := range r.sides {
		a, b := r.sides[f], q.sides[f]
		if (a.local != b.local && !a.local.Equal(b.local)) || (a.remote != b.remote && !a.remote.Equal(b.remote)) {
			return false
		}
	}
	return r.reverse == q.reverse && r.peer.Name == q.peer.Name
}

package topology

import (
	"net/netip"
	"slices"

	"iter"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology/sessions"
)

// Neighbours are the half-sessions of one node in one family, without those with
// pods, as calico-node reports them in a CalicoNodeStatus: by the neighbor's address
// and the type of the peer.
type Neighbours struct {
	Node   *calico.Node
	Family calico.Family
	// List is unordered. The caller may sort it. It is valid until the iterator yields
	// the next value.
	List []Neighbour
}

// Neighbour is one half-session.
type Neighbour struct {
	IP   netip.Addr
	Type calico.PeerType
	// Status is the status of the half-session, "" if it is ambiguous.
	Status Status

	listed *sessions.Listed
}

// PeerNode returns the node of the state with the address IP, "" for none.
func (n *Neighbour) PeerNode() string { return n.listed.PeerNode() }

// Sources returns the names of the objects that configure the half-session, as in
// HalfSession. For an ambiguous one, these are all candidates.
func (n *Neighbour) Sources() []string {
	out := []string{}
	for i := range n.listed.Ways {
		out = append(out, n.listed.Sources(&n.listed.Ways[i])...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// peerTypes are the types that calico-node reports for the prefixes of protocols
// (node/pkg/status/populators/peers.go).
var peerTypes = [...]calico.PeerType{sessions.PrefixGlobal: calico.PeerGlobal, sessions.PrefixMesh: calico.PeerMesh, sessions.PrefixNode: calico.PeerNode}

// Neighbours lists the half-sessions of the nodes for which wanted returns true, in
// order of node and family. O(nodes + listed half-sessions), which is less than calling
// HalfSessions for each node.
func (t *Topology) Neighbours(wanted func(*calico.Node) bool) iter.Seq[Neighbours] {
	return func(yield func(Neighbours) bool) {
		members := t.sessions.Classes.Members()
		var found []sessions.Listed
		var list []Neighbour
		for i, n := range t.index.Nodes {
			if !wanted(n) {
				continue
			}
			for _, f := range calico.Families {
				found, list = found[:0], list[:0]
				if n.SpeaksBGP(f) {
					found = t.networks[f].Collect(found, uint32(i), members)
				}
				for k := range found {
					if l := &found[k]; l.Prefix != sessions.PrefixWorkload {
						list = append(list, Neighbour{l.IP, peerTypes[l.Prefix], l.Status(), l})
					}
				}
				if !yield(Neighbours{n, f, list}) {
					return
				}
			}
		}
	}
}

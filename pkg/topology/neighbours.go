package topology

import (
	"net/netip"
	"slices"

	"iter"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology/sessions"
)

// Neighbours are the half-sessions of one node in one family, but for those towards
// local workloads, as calico-node reports them in a CalicoNodeStatus: by the
// neighbor's address and by what made the protocol.
type Neighbours struct {
	Node   *calico.Node
	Family calico.Family
	// List is in no order. It may be ordered, and is not to be kept.
	List []Neighbour
}

// Neighbour is one half-session.
type Neighbour struct {
	IP   netip.Addr
	Type calico.PeerType
	// Status is that of the half-session; "" where it is ambiguous.
	Status Status

	listed *sessions.Listed
}

// PeerNode is the node of the state with the address IP, "" for none.
func (n *Neighbour) PeerNode() string { return n.listed.PeerNode() }

// Sources names the objects behind the half-session, as HalfSession does; of an
// ambiguous one, all that may be.
func (n *Neighbour) Sources() []string {
	out := []string{}
	for i := range n.listed.Ways {
		out = append(out, n.listed.Sources(&n.listed.Ways[i])...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// peerTypes are what calico-node makes of the prefixes of protocols
// (node/pkg/status/populators/peers.go).
var peerTypes = [...]calico.PeerType{sessions.PrefixGlobal: calico.PeerGlobal, sessions.PrefixMesh: calico.PeerMesh, sessions.PrefixNode: calico.PeerNode}

// Neighbours lists the half-sessions of the nodes that wanted asks for, in order of
// node and family; of one that has no address in a family, none. Unlike HalfSessions of
// one node after the other, O(nodes + half-sessions that are listed).
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

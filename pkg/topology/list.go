package topology

import (
	"iter"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// HalfSessions lists the half-sessions of one node, or of all nodes for "", in
// order of node, family and protocol.
func (t *Topology) HalfSessions(node string) iter.Seq[HalfSession] { panic("not yet") }

// Broken lists the half-sessions on which no session can come up, of one node
// or of all for "", in the order of HalfSessions.
func (t *Topology) Broken(node string) iter.Seq[BrokenSession] { panic("not yet") }

// Ambiguous lists the half-sessions that depend on the order in which Calico
// visits BGPPeers, in order of node, family and peer.
func (t *Topology) Ambiguous(node string) iter.Seq[AmbiguousSession] { panic("not yet") }

// Frozen lists the nodes whose BIRD refuses its configuration.
func (t *Topology) Frozen() []FrozenNode { panic("not yet") }

// Ignored lists what Calico would ignore or refuse in the objects of the state.
func (t *Topology) Ignored() []Ignored { panic("not yet") }

// Graph returns the topology for drawing.
func (t *Topology) Graph() *Graph { panic("not yet") }

// HasRoute reports whether node "to" has the routes to the pods of node "from"
// in family f; carried says what is assumed of peers that are no nodes of the
// state, as in Routes.
func (t *Topology) HasRoute(f calico.Family, from, to string, carried bool) bool { panic("not yet") }

package routes

import (
	"cmp"
	"context"
	"math"
	"slices"
)

// External is the vertex of external peers in Target, Received and Drop.
const External int32 = -1

// NextHopMode is what a node does with the next hop of routes that it sends over a session.
type NextHopMode uint8

// The modes.
const (
	// NextHopDefault: the node sets its own address over eBGP, and keeps the next hop over iBGP.
	NextHopDefault NextHopMode = iota
	NextHopSelf                // it sets its own address
	NextHopKeep                // it keeps the next hop
)

// Target is what Trace reports the routes of: a node of a vertex, or an external peer.
type Target struct {
	// Vertex is the vertex of the node, External for an external peer.
	Vertex int32
	// Taps are the sessions of nodes with the external peer.
	Taps []Tap
}

// Tap is the sessions of some nodes of a vertex with an external peer.
type Tap struct {
	Vertex int32
	Nodes  int
	ExternalSession
	NextHop NextHopMode
}

// Trace is the routes of nodes to one destination that a target receives.
type Trace struct {
	Received []Received
	// Dropped are the routes that policies reject on sessions of the target and, if the target
	// receives a route over none of its sessions, where it is dropped: on the sessions between
	// nodes that have it and nodes that do not.
	Dropped []Drop
	// Partial reports that a node has more than maxTraced paths of a route. Some may be missing.
	Partial bool
}

// Received is a route as the target receives it over a session, after the policies of both sides.
type Received struct {
	// Source is the vertex of the node that originates the route, Sender the vertex of the node that
	// sends it, External for an external peer. Direct reports that it is the same node.
	Source, Sender int32
	Direct         bool
	// Tap is the index of the session in Target.Taps, Exit the session of the target with the
	// external peers that send the route.
	Tap  int
	Exit ExternalSession
	// Internal is true for iBGP.
	Internal bool
	NextHop  NextHop
	// Path is the AS path, the nearest AS number first. Own are the vertices of the nodes that
	// prepended Anonymous, in the same order.
	Path []uint32
	Own  []int32
	// Communities are sorted.
	Communities []Community
	// External reports that external peers passed the route on: its path and communities may have
	// more elements.
	External bool

	sorted []uint32 // Path
}

// NextHop is the node whose address is the next hop of a route.
type NextHop struct {
	// Kind is its role. Vertex is its vertex if Kind is OfNode.
	Kind   NextHopKind
	Vertex int32
}

// NextHopKind is the role of the node whose address is a next hop.
type NextHopKind uint8

// The kinds of a NextHop.
const (
	OfOrigin  NextHopKind = iota // the node that originates the route
	OfSender                     // the node or external peer that sends it
	OfNode                       // a node in between
	OfUnknown                    // external peers choose it
)

// Drop is a route that a node does not send or does not accept.
type Drop struct {
	// Source is the vertex of the node that originates the route. At is the vertex of the node that
	// drops it, Peer that of the node at the other end of the session, External for an external peer.
	Source, At, Peer int32
	// Import reports that the node receives the route, else it would send it.
	Import bool
	Reason DropReason
	// Policy and Term are, for ByPolicy, the number of the policy and the term that rejects the route.
	Policy int
	Term   TermID
	// ASN and Allowed are, for ByASPath, the AS number of the node and how often it accepts it.
	ASN     uint32
	Allowed int
}

// DropReason is why a node drops a route.
type DropReason uint8

// The reasons of a Drop.
const (
	ByPolicy    DropReason = iota // a term rejects it
	ByASPath                      // the AS number of the node is in the path
	ByCommunity                   // a well-known community confines it
)

// maxTraced is maxRoutes for Trace.
const maxTraced = 64

// trail is what Trace needs to know of a route.
type trail struct {
	// hop is the vertex of the node whose address is the next hop, or one of the constants below.
	// set reports that the sender set it.
	hop int32
	set bool
	own []int32 // see Received.Own
}

// Values of trail.hop that are no vertices.
const (
	hopOrigin  int32 = -1
	hopUnknown int32 = -2
)

// trace collects a Trace. Its methods do nothing for nil.
type trace struct {
	Trace
	target Target
	source int32
	found  []Received // of this source
	drops  map[Drop]bool
}

// Follow follows the routes of all vertices to a destination, and returns those that the target
// receives. Unlike Compute, it follows all attributes. Of the routes from one session that differ
// only in their paths, it returns those whose path does not contain all AS numbers of another. An
// external peer receives the routes that nodes originate: those that other external peers pass on
// are only in the result for a node. It returns an error only if ctx is done.
// O(vertices x sessions) if routes are reflected once or twice.
func Follow(ctx context.Context, g *Graph, reading Reading, d Destination, target Target) (*Trace, error) {
	return newFlood(g, reading, batchOf(&d)).traceTo(ctx, target)
}

// FollowShared is Follow for the routes of s, of which Passes must be set. If some nodes of a vertex
// originate a route, all must.
func FollowShared(ctx context.Context, g *Graph, reading Reading, s *Shared, target Target) (*Trace, error) {
	f := newFlood(g, reading, batchOf(&s.Destination))
	f.shared = s
	return f.traceTo(ctx, target)
}

// traceTo follows the routes of each vertex that originates one.
func (f *flood) traceTo(ctx context.Context, target Target) (*Trace, error) {
	t := &trace{target: target, Trace: Trace{Received: []Received{}}}
	f.trace = t
	f.observed.any, f.observed.communities, f.observed.kept = true, true, math.MaxInt
	g := f.graph
	for v := range int32(len(g.Vertices)) {
		if v == target.Vertex && g.Vertices[v].Nodes == 1 || f.shared != nil && !f.shared.Origins[v] {
			continue // The target itself, or no origin.
		}
		t.source, t.found, t.drops = v, nil, map[Drop]bool{}
		if err := f.run(ctx, v); err != nil {
			return nil, err
		}
		if target.Vertex == External && f.shared == nil {
			t.kernel(f)
		}
		t.finish(f)
	}
	return &t.Trace, nil
}

// finish adds the result for one source.
func (t *trace) finish(f *flood) {
	t.Received = append(t.Received, t.found...)
	complete := t.complete(f)
	has := func(v int32) bool {
		if v == External {
			return len(f.external) > 0
		}
		return f.got[v] != 0
	}
	var drops []Drop
	for d := range t.drops {
		receiver := d.Peer
		if d.Import {
			receiver = d.At
		}
		if d.Reason == ByPolicy && receiver == t.target.Vertex || !complete && !has(receiver) {
			drops = append(drops, d)
		}
	}
	slices.SortFunc(drops, compareDrops)
	t.Dropped = append(t.Dropped, drops...)
}

// complete reports whether the target receives the routes of all nodes of the source.
func (t *trace) complete(f *flood) bool {
	direct := 0
	for i := range t.found {
		one := &t.found[i]
		if !one.Direct || t.target.Vertex != External {
			return true
		}
		direct += t.target.Taps[one.Tap].Nodes
	}
	return direct >= f.graph.Vertices[t.source].Nodes
}

// full reports whether the nodes of a vertex, or external peers, do not advertise more paths of
// one route.
func (t *trace) full(paths int) bool {
	if t == nil {
		return paths >= maxRoutes
	}
	t.Partial = t.Partial || paths >= maxTraced
	return paths >= maxTraced
}

// ends reports whether nobody but the target has a route at its vertex. What the target sends does
// not come back to it.
func (t *trace) ends(f *flood, r *route) bool {
	if t == nil || r.at != t.target.Vertex {
		return false
	}
	others := f.graph.Vertices[r.at].Nodes - 1
	if r.learned != locally && r.at == t.source {
		others--
	}
	return others < 1
}

// passes sets the trail of next, which is r as a node sends it over a session under an AS number.
func (t *trace) passes(next, r *route, internal bool, asn uint32, mode NextHopMode) {
	if t == nil {
		return
	}
	out := &trail{hop: hopOrigin}
	if r.learned != locally {
		out.hop, out.own = r.trail.hop, r.trail.own
		if mode == NextHopSelf || !internal && mode != NextHopKeep {
			out.hop, out.set = r.at, true
		}
	}
	if !internal && asn == Anonymous {
		out.own = append([]int32{r.at}, out.own...)
	}
	next.trail = out
}

// transfers sets the trail of a route that external peers pass on.
func (t *trace) transfers(r *route, internal bool) {
	if t != nil {
		r.trail = &trail{hop: hopUnknown, set: !internal, own: r.trail.own}
	}
}

// wasEverywhere reports whether the path of a route contains the AS numbers of all nodes of a
// vertex whose nodes have AS numbers of their own, more often than the nodes allow.
func (t *trace) wasEverywhere(f *flood, r *route, allowed int) bool {
	if t == nil {
		return false
	}
	n := 0
	for _, v := range r.trail.own {
		if v == r.at {
			n++
		}
	}
	return n >= f.graph.Vertices[r.at].Nodes*(allowed+1)
}

// same reports whether Follow returns only one of two routes that policies treat alike.
func (t *trace) same(a, b *route) bool {
	return t == nil || a.trail.hop == b.trail.hop && a.external == b.external && slices.Equal(a.communities, b.communities) &&
		shorter(a.path, b.path, a.order, b.order, a.trail.own, b.trail.own)
}

// shorter reports whether two AS paths are the same, or the first one has fewer AS numbers and the
// second one has all of them. The arguments are both paths sorted, in order, and as in Received.Own.
func shorter(sortedA, sortedB, a, b []uint32, ownA, ownB []int32) bool {
	if len(a) == len(b) {
		return slices.Equal(a, b) && slices.Equal(ownA, ownB)
	}
	return subset(sortedA, sortedB) && subset(slices.Sorted(slices.Values(ownA)), slices.Sorted(slices.Values(ownB)))
}

// taps reports whether the nodes of a vertex have sessions with the target.
func (t *trace) taps(v int32) bool {
	return t != nil && slices.ContainsFunc(t.target.Taps, func(one Tap) bool { return one.Vertex == v })
}

// tap sends a route to the external peer that is the target.
func (t *trace) tap(f *flood, r *route) {
	if t == nil || r.learned != locally && f.shared != nil && f.shared.Origins[r.at] {
		return // BIRD prefers its own route, and external peers receive only the best one.
	}
	for i, x := range t.target.Taps {
		if x.Vertex != r.at || r.external || !r.exported(x.Internal, x.Client, x.ASN, f.graph.Vertices[r.at].Cluster) {
			continue
		}
		next := *r
		next.at = External
		sent := f.send(&next, r, x.Internal, x.ASN, x.Policy, f.passes(r))
		for k := range sent {
			t.passes(&sent[k], r, x.Internal, x.ASN, x.NextHop)
			t.record(&sent[k], Received{Tap: i, Internal: x.Internal})
		}
	}
}

// receive records a route that the nodes of a vertex accept.
func (t *trace) receive(r *route, exit ExternalSession, internal bool) {
	if t != nil && r.at == t.target.Vertex {
		t.record(r, Received{Exit: exit, Internal: internal})
	}
}

// record adds a route to found, unless the path of another one from the same session contains
// fewer AS numbers.
func (t *trace) record(r *route, one Received) {
	one.Source, one.Sender, one.Direct, one.External = t.source, r.sender, r.direct, r.external
	one.Path, one.Own, one.Communities, one.sorted = r.order, r.trail.own, r.communities, r.path
	switch {
	case r.trail.set:
		one.NextHop.Kind = OfSender
	case r.trail.hop == hopUnknown:
		one.NextHop.Kind = OfUnknown
	case r.trail.hop >= 0:
		one.NextHop = NextHop{OfNode, r.trail.hop}
	}
	if slices.ContainsFunc(t.found, func(has Received) bool { return has.covers(&one) }) {
		return
	}
	t.found = slices.DeleteFunc(t.found, func(has Received) bool { return one.covers(&has) })
	t.found = append(t.found, one)
}

// covers reports whether both routes are from one session, and the path of b contains that of a.
func (a *Received) covers(b *Received) bool {
	return a.Sender == b.Sender && a.Direct == b.Direct && a.Tap == b.Tap && a.Exit == b.Exit && a.Internal == b.Internal &&
		a.NextHop == b.NextHop && a.External == b.External && slices.Equal(a.Communities, b.Communities) &&
		shorter(a.sorted, b.sorted, a.Path, b.Path, a.Own, b.Own)
}

// drop records a route that a node does not send.
func (t *trace) drop(d Drop) {
	if t != nil {
		d.Source = t.source
		t.drops[d] = true
	}
}

// dropImport records a route that the nodes of a vertex do not accept.
func (t *trace) dropImport(r *route, d Drop) {
	if t != nil {
		d.At, d.Peer, d.Import = r.at, r.sender, true
		t.drop(d)
	}
}

func compareDrops(a, b Drop) int {
	return cmp.Or(
		cmp.Compare(a.Source, b.Source), cmp.Compare(a.At, b.At), cmp.Compare(a.Peer, b.Peer), cmp.Compare(a.Reason, b.Reason),
		compareBools(a.Import, b.Import), cmp.Compare(a.Policy, b.Policy), cmp.Compare(a.Term.Alternative, b.Term.Alternative),
		cmp.Compare(a.Term.Index, b.Term.Index), cmp.Compare(a.ASN, b.ASN), cmp.Compare(a.Allowed, b.Allowed),
	)
}

func compareBools(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

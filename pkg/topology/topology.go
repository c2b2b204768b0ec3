package topology

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/topology/nodes"
	"github.com/bgpguard/bgpguard/pkg/topology/sessions"
)

// Topology is the sessions that Calico would configure for a snapshot, and the
// routes that they carry. It is immutable.
type Topology struct {
	snapshot *state.Snapshot
	transit  []*TransitPeers
	index    *nodes.Index
	sessions *sessions.Sessions
	networks [2]*network
	tallies  [2]*tally
	routings [2]*routing
	services [2]*services
	// unadvertised is, by family, what external peers do not receive.
	unadvertised [2]*unadvertised
	waiting      *bitset.BitSet // see network.waiting; nil for none
	summary      *Summary
	// measures holds the sets of the summary that every topology recomputes.
	// sessionMeasures holds the sets that are reused with the sessions. tallies and
	// routings hold further sets.
	measures, sessionMeasures measures
	allocations               *allocations
	needs                     needs
	felix                     needs // the same, also where needs is not set
	peersSince                peersSince
}

// Transit returns the lists of transit peers that Compute was given, none for a nil t.
func (t *Topology) Transit() []*TransitPeers {
	if t == nil {
		return nil
	}
	return t.transit
}

// Summary returns the summary that policies read.
func (t *Topology) Summary() *Summary { return t.summary }

// Equivalent reports whether t, which Compute made from before, has the same sessions,
// routes, ranges of Services, need for BGP and IPPools with addresses of pods. Only labels and settings that do not decide any of them
// can then differ. False does not mean that they differ. O(1).
func (t *Topology) Equivalent(before *Topology) bool {
	if t == before {
		return true
	}
	a, b := t.summary, before.summary
	return t.networks == before.networks && a.Mesh == b.Mesh && a.Reflectors == b.Reflectors && a.Sessions == b.Sessions && a.Routes == b.Routes &&
		a.Convergence == b.Convergence && a.PodTraffic == b.PodTraffic && a.ServiceRanges == b.ServiceRanges && a.ClusterRoutes == b.ClusterRoutes && a.Timers == b.Timers &&
		t.allocations == before.allocations
}

// Compute returns the topology of s. before is the topology of an earlier snapshot, or
// nil. Compute reuses what did not change since, and shares equal parts of the summary.
// The result does not depend on before. Each element of transit adds a reading of
// external peers to the summary; see Routes.KnownTransit. Compute returns an error only if
// ctx is done.
//
// Without before, the cost is O(nodes x labels in selectors). With before, it grows
// with the objects that changed; a change of CalicoNodeStatuses costs nothing, and one of labels of
// Nodes that nothing reads O(nodes) with a very small constant. If
// sessions change, it is O(nodes) with a very small constant and O(BGPPeers x classes of
// nodes). See the package comment for the steps.
func Compute(ctx context.Context, s *state.Snapshot, before *Topology, transit ...*TransitPeers) (*Topology, error) {
	same := before != nil && sessions.SameTransit(before.transit, transit)
	if same && before.snapshot == s {
		return before, nil
	}
	if same && state.SameConfiguration(before.snapshot, s) {
		t := *before
		t.snapshot = s
		return &t, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("computing the topology: %w", err)
	}
	index := indexOf(s, before)
	if same && index.Same(before.index) && state.SameConfigurationBut(before.snapshot, s, calico.KindNode) {
		t := *before
		t.snapshot, t.index = s, index
		return &t, nil
	}
	t := &Topology{snapshot: s, transit: transit, index: index}
	if err := t.compute(ctx, before); err != nil {
		return nil, fmt.Errorf("computing the topology: %w", err)
	}
	return t, nil
}

// indexOf returns the index of the nodes of s. before may be nil.
func indexOf(s *state.Snapshot, before *Topology) *nodes.Index {
	var old *nodes.Index
	if before != nil {
		old = before.index
	}
	index := nodes.New(s.Nodes(), old, selectorsOf(s))
	index.Reserve(len(s.BGPPeers()))
	return index
}

// compute sets all fields of t but the snapshot, the index and the lists of transit peers, which are set before.
func (t *Topology) compute(ctx context.Context, before *Topology) error {
	s := t.snapshot
	var sessionsBefore *sessions.Sessions
	if before != nil {
		sessionsBefore = before.sessions
	}
	var reuse sessions.Reuse
	var err error
	if t.sessions, reuse, err = sessions.Compute(ctx, t.index, s, sessionsBefore, t.transit); err != nil {
		return err
	}
	t.allocations = newAllocations(s, before)
	scopes := t.felixScopes()
	programming := t.newProgramming(scopes)
	t.needs, t.felix = programming.needs, programming.needs
	switch reuse {
	case sessions.ReuseNetworks:
		t.networks, t.tallies, t.waiting = before.networks, before.tallies, before.waiting
		err = t.follow(ctx, before, programming.needsBGP)
	case sessions.ReuseSessions:
		t.tallies, t.waiting = before.tallies, before.waiting
		if err = t.refilter(ctx); err == nil {
			err = t.follow(ctx, before, programming.needsBGP)
		}
	case sessions.ReuseParts:
		err = t.connect(ctx, before, programming.needsBGP)
	}
	if err != nil {
		return err
	}
	for _, f := range calico.Families {
		var old *services
		var was *unadvertised
		if before != nil {
			old, was = before.services[f], before.unadvertised[f]
		}
		if t.services[f], err = t.newServices(ctx, f, old); err != nil {
			return err
		}
		if t.unadvertised[f], err = t.newUnadvertised(ctx, f, was); err != nil {
			return err
		}
	}
	t.summarize(before, programming, scopes)
	return nil
}

// selectorsOf returns a function that reports whether a topology of the snapshot reads a selector:
// that of a BGPPeer or FelixConfiguration, "" for all nodes, or calico.ExcludedFromServices. The first call is O(BGPPeers).
func selectorsOf(s *state.Snapshot) func(string) bool {
	used := sync.OnceValue(func() map[string]bool {
		out := make(map[string]bool, 2*len(s.BGPPeers())+2)
		out[""], out[calico.ExcludedFromServices] = true, true
		for _, p := range s.BGPPeers() {
			out[p.NodeSelector], out[p.PeerSelector] = true, true
		}
		for _, c := range s.FelixConfigurations() {
			out[c.NodeSelector] = true
		}
		return out
	})
	return func(selector string) bool { return used()[selector] }
}

// refilter sets the networks with other rules of BGPFilters. Of what is counted, the rules decide only
// which ambiguous half-sessions conflict.
func (t *Topology) refilter(ctx context.Context) error {
	for _, f := range calico.Families {
		t.networks[f] = &network{t.sessions.Networks[f]}
		if !slices.Contains(t.tallies[f].Ambiguous.Fields, "filters") {
			continue
		}
		var err error
		if t.tallies[f], err = t.networks[f].count(ctx, len(t.sessions.Peerings)); err != nil {
			return err
		}
	}
	return nil
}

// follow sets the routings of the same sessions as before. needs reports whether pods of an IPPool need
// BGP.
func (t *Topology) follow(ctx context.Context, before *Topology, needs func(*calico.IPPool) bool) error {
	for _, f := range calico.Families {
		var err error
		if t.routings[f], err = before.routings[f].with(ctx, t.networks[f], t.podPrefixes(f, needs)); err != nil {
			return err
		}
	}
	return nil
}

// connect counts the sessions and computes the routes. before may be nil. needs reports whether pods of an IPPool
// need BGP.
func (t *Topology) connect(ctx context.Context, before *Topology, needs func(*calico.IPPool) bool) error {
	for _, f := range calico.Families {
		n := &network{t.sessions.Networks[f]}
		t.networks[f] = n
		var err error
		if t.tallies[f], err = n.count(ctx, len(t.sessions.Peerings)); err != nil {
			return err
		}
		var old *routing
		if before != nil {
			old = before.routings[f]
		}
		if t.routings[f], err = newRouting(ctx, n, t.podPrefixes(f, needs), t.transit, old); err != nil {
			return err
		}
		if w := n.waiting(t.tallies[f]); w != nil {
			if t.waiting != nil {
				w.InPlaceUnion(t.waiting)
			}
			t.waiting = w
		}
	}
	return nil
}

// Problems lists what Calico would ignore or reject in the object of the given id. For
// a BGPPeer, this includes problems that depend on other objects. O(log BGPPeers).
func (t *Topology) Problems(id calico.ID) []calico.Problem {
	out := []calico.Problem{}
	if o := t.snapshot.Get(id); o != nil {
		out = append(out, o.Problems()...)
	}
	if id.Kind != calico.KindBGPPeer {
		return out
	}
	peerings := t.sessions.Peerings // in order of names
	first, _ := slices.BinarySearchFunc(peerings, id.Name, func(r *sessions.Peering, name string) int { return strings.Compare(r.Peer.Name, name) })
	for _, r := range peerings[first:] {
		if r.Peer.Name != id.Name {
			break
		}
		out = append(out, r.Problems...)
		if r.Local.None() && (r.Peer.NodeSelector == "" || r.Peer.Local() != nil) {
			out = append(out, calico.Problem{Field: "spec", Message: "selects no local node out of " + text.Number(len(t.index.Nodes))})
		}
		if r.Peer.PeerSelector != "" && r.Peer.Remote() != nil && r.Remote.None() {
			out = append(out, calico.Problem{Field: "spec.peerSelector", Message: "selects no node out of " + text.Number(len(t.index.Nodes))})
		}
	}
	return out
}

package topology

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/bits-and-blooms/bitset"
	"k8s.io/apimachinery/pkg/util/version"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/topology/nodes"
)

// Topology is the sessions that Calico would configure for a snapshot, and the
// routes that they carry. It is immutable.
type Topology struct {
	snapshot *state.Snapshot
	index    *nodes.Index
	peerings []*peering // in order of the BGPPeers
	// peerGroups and externals are made of the peerings with nodes and with
	// external peers.
	peerGroups []*peerGroup
	externals  [2][]*externalPeer
	rules      rules
	classes    *nodes.Classes
	networks   [2]*network
	tallies    [2]*tally
	routings   [2]*routing
	waiting    *bitset.BitSet // nodes; nil for none
	summary    *Summary
	// measures are the sets of the summary that are made with every topology,
	// sessionMeasures those that are reused with the sessions. More are in tallies
	// and routings.
	measures, sessionMeasures measures
}

// Summary returns the summary that policies read.
func (t *Topology) Summary() *Summary { return t.summary }

// Compute returns the topology of s. before is that of an earlier snapshot, or
// nil: what did not change since is reused, and the parts of the summary that
// are equal are shared with it. The result does not depend on before. The only
// error is that of ctx, once it is done.
//
// Without before, O(nodes x labels that selectors name); with it, what the
// change touches, which for CalicoNodeStatuses is nothing; where sessions
// change, O(nodes) with a very small constant and O(BGPPeers x classes of nodes).
// See the package comment for the steps.
func Compute(ctx context.Context, s *state.Snapshot, before *Topology) (*Topology, error) {
	if before != nil && before.snapshot == s {
		return before, nil
	}
	if before != nil && state.SameConfiguration(before.snapshot, s) {
		t := *before
		t.snapshot = s
		return &t, nil
	}
	t := &Topology{snapshot: s}
	if err := t.compute(ctx, before); err != nil {
		return nil, fmt.Errorf("computing the topology: %w", err)
	}
	return t, nil
}

// compute fills in t, which has a snapshot and no more.
func (t *Topology) compute(ctx context.Context, before *Topology) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s := t.snapshot
	var old *nodes.Index
	if before != nil {
		old = before.index
	}
	if old != nil && slices.Equal(old.Nodes, s.Nodes()) {
		t.index = old
	} else {
		t.index = nodes.New(s.Nodes(), old, selectorsOf(s))
	}
	t.index.Reserve(len(s.BGPPeers()))
	if err := t.resolve(ctx, before); err != nil {
		return err
	}
	t.rules = newRules(s)
	if before != nil && t.sameSessions(before) {
		t.peerGroups, t.externals = before.peerGroups, before.externals
		t.classes, t.networks, t.tallies, t.routings, t.waiting = before.classes, before.networks, before.tallies, before.routings, before.waiting
	} else if err := t.connect(ctx, before); err != nil {
		return err
	}
	t.summarize(before)
	return nil
}

// selectorsOf reports which selectors the BGPPeers of a snapshot have, including
// "", which stands for all nodes.
func selectorsOf(s *state.Snapshot) func(string) bool {
	used := make(map[string]bool, 2*len(s.BGPPeers())+1)
	used[""] = true
	for _, p := range s.BGPPeers() {
		used[p.NodeSelector], used[p.PeerSelector] = true, true
	}
	return func(selector string) bool { return used[selector] }
}

// resolve resolves the BGPPeers, and reuses those of before that did not change.
func (t *Topology) resolve(ctx context.Context, before *Topology) error {
	var was []*peering // in order of names, as the BGPPeers are
	sameConfigurations := false
	if before != nil {
		sameConfigurations = slices.Equal(before.snapshot.BGPConfigurations(), t.snapshot.BGPConfigurations())
		was = before.peerings
	}
	t.peerings = make([]*peering, 0, len(t.snapshot.BGPPeers()))
	for _, p := range t.snapshot.BGPPeers() {
		if err := ctx.Err(); err != nil {
			return err
		}
		for len(was) > 0 && was[0].peer.Name < p.Name {
			was = was[1:]
		}
		var r *peering
		if len(was) > 0 && was[0].peer.Name == p.Name {
			r = was[0]
		}
		// What is not given by selectors rests on AS numbers and ports too.
		if r == nil || r.peer != p || before.index != t.index || p.PeerSelector == "" && !sameConfigurations {
			fresh := resolve(p, t.index, t.snapshot)
			if r == nil || r.peer != p || !slices.Equal(r.problems, fresh.problems) || !r.equivalent(fresh) {
				r = fresh
			}
		}
		t.peerings = append(t.peerings, r)
	}
	return nil
}

func newRules(s *state.Snapshot) rules {
	c := s.BGPConfiguration(calico.Default)
	r := rules{mesh: c.MeshEnabled(), asn: c.ClusterASNumber(), meshRestart: unset, peerInherits: true}
	if v := calicoVersion(s); v != nil {
		r.peerInherits = v.AtLeast(version.MajorMinor(3, 32))
	}
	if c != nil {
		r.meshPassword, r.meshRestart = c.NodeMeshPassword, optionalSeconds(c.NodeMeshMaxRestartTime)
		r.meshSource = true
	}
	var ports strings.Builder
	for _, c := range s.BGPConfigurations() {
		if c.ListenPort != 0 {
			fmt.Fprintf(&ports, "%s %d\n", c.Name, c.ListenPort)
		}
	}
	r.ports = ports.String()
	return r
}

// sameSessions reports whether all half-sessions and routes are those of before.
func (t *Topology) sameSessions(before *Topology) bool {
	return t.rules == before.rules && t.index.SameSessions(before.index) && slices.EqualFunc(t.peerings, before.peerings, (*peering).equivalent)
}

// connect computes the half-sessions, the sessions and the routes.
func (t *Topology) connect(ctx context.Context, before *Topology) error {
	var merged [2][]*externalPeer
	var exitSets [2]map[exit]*bitset.BitSet
	splits := make([]*bitset.BitSet, 0, 4*len(t.peerings))
	var old *nodes.Classes
	var oldPeers []*peerGroup
	if before != nil {
		old, oldPeers = before.classes, before.peerGroups
	}
	t.peerGroups = groupPeerings(t.index, t.peerings, oldPeers)
	for _, g := range t.peerGroups {
		splits = append(splits, g.local, g.remote, g.back, g.below)
	}
	own := t.index.ASNumbers()
	own[t.rules.asn] = true
	var workloads []*peering
	for _, p := range t.peerings {
		if p.scope == scopeWorkloads {
			workloads = append(workloads, p)
		}
	}
	for _, f := range calico.Families {
		if before != nil && before.index.BGP[f] == t.index.BGP[f] {
			t.externals[f] = findExternals(f, t.index, t.peerings, before.externals[f], before.peerings)
		} else {
			t.externals[f] = findExternals(f, t.index, t.peerings, nil, nil)
		}
		merged[f] = mergeExternals(t.externals[f], t.index.Len(), own)
		exitSets[f] = exits(merged[f], t.index.Shared(f), own)
		for _, k := range sortedExits(exitSets[f]) {
			splits = append(splits, exitSets[f][k])
		}
	}
	t.classes = t.index.Divide(t.defaults(), splits, old)
	spreads := newSpreads(t.peerGroups, t.classes)
	for _, f := range calico.Families {
		n, err := newNetwork(ctx, f, t.index, t.classes, t.rules, t.peerGroups, spreads, workloads, t.externals[f], merged[f])
		if err != nil {
			return err
		}
		t.networks[f] = n
		if t.tallies[f], err = n.count(ctx, len(t.peerings)); err != nil {
			return err
		}
		if t.routings[f], err = newRouting(ctx, n, exitSets[f]); err != nil {
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

// defaults returns what the BGPConfigurations give to nodes.
func (t *Topology) defaults() nodes.Defaults {
	d := nodes.Defaults{ASN: t.rules.asn, Ports: map[uint16]*bitset.BitSet{}}
	if c := t.snapshot.BGPConfiguration(calico.Default); c != nil {
		d.Port = c.ListenPort
	}
	for _, c := range t.snapshot.BGPConfigurations() {
		if i, ok := t.index.Find(c.NodeOf()); ok && c.NodeOf() != "" && c.ListenPort != 0 {
			if d.Ports[c.ListenPort] == nil {
				d.Ports[c.ListenPort] = bitset.New(t.index.Len())
			}
			d.Ports[c.ListenPort].Set(i)
		}
	}
	return d
}

// Problems lists what Calico would ignore or reject in the object of the given id:
// what the object itself shows and, for a BGPPeer, what only the state shows.
func (t *Topology) Problems(id calico.ID) []calico.Problem {
	out := []calico.Problem{}
	if o := t.snapshot.Get(id); o != nil {
		out = append(out, o.Problems()...)
	}
	for _, r := range t.peerings {
		if id.Kind == calico.KindBGPPeer && r.peer.Name == id.Name {
			out = append(out, r.problems...)
			if r.local.None() && (r.peer.NodeSelector == "" || r.peer.Local() != nil) {
				out = append(out, calico.Problem{Field: "spec", Message: "selects no local node out of " + text.Number(len(t.index.Nodes))})
			}
			if r.peer.PeerSelector != "" && r.peer.Remote() != nil && r.remote.None() {
				out = append(out, calico.Problem{Field: "spec.peerSelector", Message: "selects no node out of " + text.Number(len(t.index.Nodes))})
			}
		}
	}
	return out
}

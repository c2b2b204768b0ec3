package sessions

import (
	"context"
	"slices"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology/nodes"
)

// Sessions is the sessions of a snapshot in both families. It is immutable.
type Sessions struct {
	Peerings   []*Peering // in order of the names of the BGPPeers
	Rules      Rules
	PeerGroups []*PeerGroup
	Classes    *nodes.Classes
	Networks   [2]*Network // by family

	transit  []*TransitPeers // of the readings after the first two
	snapshot *state.Snapshot
	index    *nodes.Index
	filters  *filters
	written  *written
	// advertised are the prefixAdvertisements by family; see Network.Advertised.
	advertised [2][]Advertised
	externals  [2][]*ExternalPeer
	// communities reports that all prefixAdvertisements are in Network.Advertised. apart is nodes that
	// are in no class with others, nil for none.
	communities bool
	apart       *bitset.BitSet
}

// Reuse is what Compute reuses of earlier sessions.
type Reuse uint8

// The values of Reuse.
const (
	// ReuseParts: sessions may differ.
	ReuseParts Reuse = iota
	// ReuseSessions: the half-sessions, external peers and classes are those of before. The rules of
	// BGPFilters differ.
	ReuseSessions
	// ReuseNetworks: the networks and classes are those of before.
	ReuseNetworks
)

// Compute returns the sessions of a snapshot, whose nodes are in ix. before is the
// sessions of an earlier snapshot, or nil; Compute reuses what did not change since.
// Compute returns an error only if ctx is done.
//
// transit adds a reading of external peers for each element: these peers pass routes on,
// and no others; see Network.Passing.
//
// O(BGPPeers) with a very small constant if no sessions change. Otherwise also
// O(nodes) with a very small constant, and O(peer groups x classes).
func Compute(ctx context.Context, ix *nodes.Index, s *state.Snapshot, before *Sessions, transit []*TransitPeers) (c *Sessions, reuse Reuse, err error) {
	c = newSessions(ix, s, before)
	c.transit = transit
	c.findAdvertised()
	if err := c.resolve(ctx, before); err != nil {
		return nil, ReuseParts, err
	}
	if before != nil && SameTransit(transit, before.transit) && c.Rules == before.Rules && ix.SameSessions(before.index) && slices.EqualFunc(c.Peerings, before.Peerings, (*Peering).equivalent) {
		c.PeerGroups, c.externals, c.Classes, c.Networks = before.PeerGroups, before.externals, before.Classes, before.Networks
		if c.filters.all == before.filters.all {
			return c, ReuseNetworks, nil
		}
		for f, n := range before.Networks {
			other := *n
			other.filters = c.filters
			c.Networks[f] = &other
		}
		return c, ReuseSessions, nil
	}
	err = c.connect(ctx, before)
	return c, ReuseParts, err
}

// ComputeAll is Compute for which Network.Advertised has all prefixAdvertisements, also those that
// do not decide which routes pass. The nodes in apart are in no class with others.
func ComputeAll(ctx context.Context, ix *nodes.Index, s *state.Snapshot, apart *bitset.BitSet) (*Sessions, error) {
	c := newSessions(ix, s, nil)
	c.communities, c.apart = true, apart
	c.findAdvertised()
	if err := c.resolve(ctx, nil); err != nil {
		return nil, err
	}
	if err := c.connect(ctx, nil); err != nil {
		return nil, err
	}
	return c, nil
}

func newSessions(ix *nodes.Index, s *state.Snapshot, before *Sessions) *Sessions {
	c := &Sessions{snapshot: s, index: ix, Rules: newRules(s), filters: newFilters(s, before), written: newWritten(s)}
	c.Rules.filters, c.Rules.written = c.filters.shape, c.written.text
	return c
}

// findAdvertised sets advertised.
func (c *Sessions) findAdvertised() {
	for _, f := range calico.Families {
		c.advertised[f] = c.advertisements(f)
		for _, a := range c.advertised[f] {
			c.Rules.advertised += a.text
		}
	}
}

// resolve sets Peerings. It reuses the peerings of before that did not change.
func (c *Sessions) resolve(ctx context.Context, before *Sessions) error {
	var was []*Peering // in order of names, like the BGPPeers
	if before != nil {
		was = before.Peerings
	}
	keeps := c.keeps(before)
	c.Peerings = make([]*Peering, 0, len(c.snapshot.BGPPeers()))
	for _, p := range c.snapshot.BGPPeers() {
		if err := ctx.Err(); err != nil {
			return err
		}
		for len(was) > 0 && was[0].Peer.Name < p.Name {
			was = was[1:]
		}
		var r *Peering
		if len(was) > 0 && was[0].Peer.Name == p.Name {
			r = was[0]
		}
		if r == nil || r.Peer != p || !keeps(r) {
			fresh := resolve(p, c.index, c.snapshot)
			if r == nil || r.Peer != p || !r.described(fresh) || !r.equivalent(fresh) {
				r = fresh
			}
		}
		c.Peerings = append(c.Peerings, r)
	}
	return nil
}

// keeps returns a function that reports whether a peering of before is the same now, because nothing that it depends on has changed but
// perhaps its BGPPeer. before may be nil.
func (c *Sessions) keeps(before *Sessions) func(*Peering) bool {
	if before == nil || keepsForNodes(before.snapshot) != keepsForNodes(c.snapshot) || !c.index.SameSessions(before.index) {
		return func(*Peering) bool { return false }
	}
	sameDefaults := before.Rules.ASN == c.Rules.ASN && before.Rules.ports == c.Rules.ports && workloadPeering(before.snapshot) == workloadPeering(c.snapshot)
	return func(r *Peering) bool {
		// A peering without a peerSelector also depends on AS numbers and ports of the BGPConfigurations.
		return (sameDefaults || r.Peer.PeerSelector != "") && r.sameSelections(c.index, before.index)
	}
}

// connect divides the nodes into classes and makes the networks.
func (c *Sessions) connect(ctx context.Context, before *Sessions) error {
	peerings := c.Peerings
	if !c.Rules.BIRD {
		peerings = nil
	}
	var old *nodes.Classes
	var oldPeers []*PeerGroup
	if before != nil {
		old, oldPeers = before.Classes, before.PeerGroups
	}
	c.PeerGroups = groupPeerings(c.index, peerings, oldPeers)
	splits := c.splits()
	var workloads []*Peering
	for _, p := range peerings {
		if p.Scope == ScopeWorkloads {
			workloads = append(workloads, p)
		}
	}
	own := c.index.ASNumbers()
	own[c.Rules.ASN] = true
	named := map[uint32]bool{c.Rules.ASN: true}
	for _, p := range c.Peerings {
		named[p.Peer.ASNumber], named[p.Peer.LocalASNumber] = true, true
	}
	for _, asn := range c.filters.paths {
		named[asn] = true
	}
	for _, f := range calico.Families {
		n := &Network{Family: f, Rules: c.Rules, Index: c.index, Workloads: workloads, own: own, filters: c.filters, written: c.written, Advertised: c.advertised[f], Named: named}
		if before != nil && before.index.BGP[f] == c.index.BGP[f] && before.Rules.BIRD {
			n.Externals = findExternals(f, c.index, peerings, before.externals[f], before.Peerings)
		} else {
			n.Externals = findExternals(f, c.index, peerings, nil, nil)
		}
		n.Counted = n.mergeExternals(n.Externals)
		passing := n.findPassing(c.transit)
		for _, reading := range n.Passing {
			for _, k := range SortedExits(reading.Exits) {
				splits = append(splits, reading.Exits[k])
			}
		}
		for _, a := range n.Advertised[1:] {
			splits = append(splits, a.Nodes)
		}
		if n.links, n.needs = c.meshLinks(f, own); n.links != nil {
			splits = append(splits, linkSets(n.links, c.index.BGP[f])...)
		}
		splits = append(splits, n.withoutExits(passing)...)
		c.Networks[f], c.externals[f] = n, n.Externals
	}
	c.Classes = c.index.Divide(c.defaults(), splits, old)
	spreads := NewSpreads(c.PeerGroups, c.Classes)
	for _, n := range c.Networks {
		n.Classes, n.Spreads = c.Classes, spreads
		if err := n.connectPeers(ctx, c.PeerGroups); err != nil {
			return err
		}
	}
	return nil
}

// withoutExits returns the nodes of external peers with half-sessions that have no exit: BIRD may reject these on the nodes
// that have them. passing are the external peers that can pass routes on, in order.
func (n *Network) withoutExits(passing []*ExternalPeer) []*bitset.BitSet {
	var out []*bitset.BitSet
	for _, o := range n.Externals {
		passes := len(passing) > 0 && passing[0] == o
		if passes {
			passing = passing[1:]
		}
		if !passes || slices.ContainsFunc(o.Protocols, func(h ExternalProtocol) bool { return h.zero() }) {
			out = append(out, o.Nodes)
		}
	}
	return out
}

// splits returns sets of nodes that do not depend on the external peers, and that divide the nodes
// into classes.
func (c *Sessions) splits() []*bitset.BitSet {
	out := make([]*bitset.BitSet, 0, 4*len(c.PeerGroups)+1)
	for _, g := range c.PeerGroups {
		out = append(out, g.Local, g.Remote, g.back, g.below)
	}
	if c.apart != nil {
		out = append(out, c.apart)
	}
	return out
}

// Port returns the port on which BIRD of node i must listen.
func (c *Sessions) Port(i int) uint16 { return portOr179(c.Classes.List[c.Classes.Of[i]].Port) }

// defaults returns the AS number and the ports that the BGPConfigurations set for
// nodes.
func (c *Sessions) defaults() nodes.Defaults {
	d := nodes.Defaults{ASN: c.Rules.ASN, Ports: map[uint16]*bitset.BitSet{}}
	if one := c.snapshot.BGPConfiguration(calico.Default); one != nil {
		d.Port = one.ListenPort
	}
	for _, one := range c.snapshot.BGPConfigurations() {
		if i, ok := c.index.Find(one.NodeOf()); ok && one.NodeOf() != "" && one.ListenPort != 0 {
			if d.Ports[one.ListenPort] == nil {
				d.Ports[one.ListenPort] = bitset.New(c.index.Len())
			}
			d.Ports[one.ListenPort].Set(i)
		}
	}
	return d
}

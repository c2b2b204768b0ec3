package topology

import (
	"context"
	"slices"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology/nodes"
)

// connected is the sessions of a snapshot in both families. It is immutable.
type connected struct {
	peerings   []*peering // in order of the BGPPeers
	rules      rules
	peerGroups []*peerGroup
	classes    *nodes.Classes
	networks   [2]*network

	snapshot  *state.Snapshot
	index     *nodes.Index
	externals [2][]*externalPeer
}

// computeSessions returns the sessions of a snapshot, whose nodes are in ix. What did
// not change since before, the sessions of an earlier snapshot or nil, is reused,
// and same reports whether all sessions are: the networks and classes are then
// those of before. The only error is that of ctx, once it is done.
//
// O(BGPPeers) with a very small constant where no sessions change; else also
// O(nodes) with a very small constant, and O(peer groups x classes).
func computeSessions(ctx context.Context, ix *nodes.Index, s *state.Snapshot, before *connected) (c *connected, same bool, err error) {
	c = &connected{snapshot: s, index: ix, rules: newRules(s)}
	if err := c.resolve(ctx, before); err != nil {
		return nil, false, err
	}
	if before != nil && c.rules == before.rules && ix.SameSessions(before.index) && slices.EqualFunc(c.peerings, before.peerings, (*peering).equivalent) {
		c.peerGroups, c.externals, c.classes, c.networks = before.peerGroups, before.externals, before.classes, before.networks
		return c, true, nil
	}
	return c, false, c.connect(ctx, before)
}

// resolve resolves the BGPPeers, as far as before has not done so.
func (c *connected) resolve(ctx context.Context, before *connected) error {
	var was []*peering // in order of names, as the BGPPeers are
	sameConfigurations := false
	if before != nil {
		sameConfigurations = slices.Equal(before.snapshot.BGPConfigurations(), c.snapshot.BGPConfigurations())
		was = before.peerings
	}
	c.peerings = make([]*peering, 0, len(c.snapshot.BGPPeers()))
	for _, p := range c.snapshot.BGPPeers() {
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
		// What is not given by selectors depends on AS numbers and ports too.
		if r == nil || r.peer != p || before.index != c.index || p.PeerSelector == "" && !sameConfigurations {
			fresh := resolve(p, c.index, c.snapshot)
			if r == nil || r.peer != p || !slices.Equal(r.problems, fresh.problems) || !r.equivalent(fresh) {
				r = fresh
			}
		}
		c.peerings = append(c.peerings, r)
	}
	return nil
}

// connect divides the nodes into classes and connects these.
func (c *connected) connect(ctx context.Context, before *connected) error {
	var old *nodes.Classes
	var oldPeers []*peerGroup
	if before != nil {
		old, oldPeers = before.classes, before.peerGroups
	}
	c.peerGroups = groupPeerings(c.index, c.peerings, oldPeers)
	splits := make([]*bitset.BitSet, 0, 4*len(c.peerGroups))
	for _, g := range c.peerGroups {
		splits = append(splits, g.local, g.remote, g.back, g.below)
	}
	var workloads []*peering
	for _, p := range c.peerings {
		if p.scope == scopeWorkloads {
			workloads = append(workloads, p)
		}
	}
	own := c.index.ASNumbers()
	own[c.rules.asn] = true
	for _, f := range calico.Families {
		n := &network{family: f, rules: c.rules, index: c.index, workloads: workloads}
		if before != nil && before.index.BGP[f] == c.index.BGP[f] {
			n.externals = findExternals(f, c.index, c.peerings, before.externals[f], before.peerings)
		} else {
			n.externals = findExternals(f, c.index, c.peerings, nil, nil)
		}
		n.counted = mergeExternals(n.externals, c.index.Len(), own)
		n.exits = exits(n.counted, c.index.Shared(f), own)
		for _, k := range sortedExits(n.exits) {
			splits = append(splits, n.exits[k])
		}
		c.networks[f], c.externals[f] = n, n.externals
	}
	c.classes = c.index.Divide(c.defaults(), splits, old)
	spreads := newSpreads(c.peerGroups, c.classes)
	for _, n := range c.networks {
		n.classes, n.spreads = c.classes, spreads
		if err := n.connectPeers(ctx, c.peerGroups); err != nil {
			return err
		}
	}
	return nil
}

// defaults returns what the BGPConfigurations give to nodes.
func (c *connected) defaults() nodes.Defaults {
	d := nodes.Defaults{ASN: c.rules.asn, Ports: map[uint16]*bitset.BitSet{}}
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

package topology

import (
	"slices"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/topology/nodes"
	"github.com/bgpguard/bgpguard/pkg/topology/sessions"
)

// compareExternals compares the sessions with external peers, which are in order of
// their names. O(external peers + half-sessions with those that changed).
func (c *familyComparison) compareExternals() {
	was := c.before.Externals
	same := c.sameNodes && !c.changesNodes()
	regular, kept := c.now.regular(), 0
	for _, o := range c.now.Externals {
		if same && len(was) > 0 && was[0] == o {
			kept += c.keepExternal(o, regular)
			was = was[1:]
			continue
		}
		for len(was) > 0 && was[0].Name < o.Name {
			c.external(nil, was[0])
			was = was[1:]
		}
		if len(was) == 0 || was[0].Name != o.Name {
			c.external(o, nil)
			continue
		}
		if was[0] == o && same {
			kept += c.keepExternal(o, regular)
		} else {
			c.external(o, was[0])
		}
		was = was[1:]
	}
	for _, o := range was {
		c.external(nil, o)
	}
	for _, k := range []*Kinds{&c.was, &c.is, &c.bothWas, &c.bothIs} {
		k.External += kept
	}
}

// changesNodes reports whether something about nodes changes that decides their sessions
// with external peers.
func (c *familyComparison) changesNodes() bool {
	for i := range c.cells {
		if x := &c.cells[i]; x.was >= 0 && x.is >= 0 {
			a, b := &c.before.Classes.List[x.was], &c.now.Classes.List[x.is]
			if x.moved || a.ASN != b.ASN || a.ClusterID != b.ClusterID || a.Shares() || b.Shares() {
				return true
			}
		}
	}
	return false
}

// keepExternal returns the number of sessions with an external peer that does not change.
func (c *familyComparison) keepExternal(o *sessions.ExternalPeer, regular bool) int {
	if regular && simple(o) {
		o.List.AddTo(c.staysOutside)
		return o.List.Len
	}
	working := c.now.workingWith(o)
	c.staysOutside.InPlaceUnion(working)
	return int(working.Count())
}

// regular reports that each node has an AS number and an address of its own, so that no session with an external
// peer fails because of its node. O(classes).
func (n *network) regular() bool {
	return n.Index.Shared(n.Family).None() && !slices.ContainsFunc(n.Classes.List, func(g nodes.Class) bool { return g.ASN == 0 })
}

// simple reports that sessions with an external peer can come up on all its nodes, if the network is regular.
func simple(o *sessions.ExternalPeer) bool {
	h := &o.Protocols[0]
	return len(o.Protocols) == 1 && len(h.Variants) == 1 && h.Variants[0].Settings.PeerASN != 0
}

// workingWith returns the nodes on which a session with an external peer can come up.
func (n *network) workingWith(o *sessions.ExternalPeer) *bitset.BitSet {
	out := bitset.New(0)
	for k := range o.Protocols {
		out.InPlaceUnion(n.Working(&o.Protocols[k]))
	}
	return out
}

// external compares the sessions with an external peer. At most one of is and was is
// nil: only one of the topologies then has it.
func (c *familyComparison) external(is, was *sessions.ExternalPeer) {
	one := outsider{had: bitset.New(0), has: bitset.New(0), of: is}
	if is == nil {
		one.of = was
	} else {
		one.has = c.now.workingWith(is)
	}
	if was != nil {
		one.had = c.before.workingWith(was)
	}
	single := func(o *sessions.ExternalPeer) bool { return len(o.Protocols) == 1 && len(o.Protocols[0].Variants) == 1 }
	known := map[uint32]bool{} // by cell
	c.outside(one, func(i, k uint) bool {
		if !single(is) || !single(was) {
			return c.now.ResetsAt(working(is, i), i, c.before.Network, working(was, k), k)
		}
		cell := c.cellOf[i]
		out, ok := known[cell]
		if !ok {
			out = c.now.ResetsAt(&is.Protocols[0], i, c.before.Network, &was.Protocols[0], k)
			known[cell] = out
		}
		return out
	})
}

// working returns the half-session of node i with an external peer on which the session
// comes up: the first one, because later ones are idle.
func working(o *sessions.ExternalPeer, i uint) *sessions.ExternalProtocol {
	k := slices.IndexFunc(o.Protocols, func(h sessions.ExternalProtocol) bool { return h.Nodes.Test(i) })
	return &o.Protocols[k]
}

// compareWorkloads compares the sessions with pods, by BGPPeer.
func (c *familyComparison) compareWorkloads() {
	was := map[string]*sessions.Peering{}
	for _, p := range c.before.Workloads {
		was[p.Peer.Name] = p
	}
	at := func(n *network, p *sessions.Peering) *bitset.BitSet {
		return p.Local.Intersection(n.Index.BGP[n.Family])
	}
	for _, p := range c.now.Workloads {
		old := was[p.Peer.Name]
		delete(was, p.Peer.Name)
		one := outsider{had: bitset.New(0), has: at(c.now, p)}
		if old != nil {
			one.had = at(c.before, old)
		}
		c.outside(one, func(i, _ uint) bool {
			x := &c.cells[c.cellOf[i]]
			return p.ResetsWorkloads(&c.now.Classes.List[x.is], old, &c.before.Classes.List[x.was])
		})
	}
	for _, p := range c.before.Workloads {
		if was[p.Peer.Name] != nil {
			c.outside(outsider{had: at(c.before, p), has: bitset.New(0)}, nil)
		}
	}
}

// outsider is an external peer, or the pods of a BGPPeer, with the nodes that have a
// session with it: had are nodes of before, has of now.
type outsider struct {
	had, has *bitset.BitSet
	of       *sessions.ExternalPeer // nil for pods
}

// outside compares the sessions of an outsider. resets reports whether the session of
// node i of now, which was node k, is reset if its address is the same.
func (c *familyComparison) outside(o outsider, resets func(i, k uint) bool) {
	differs, both := false, 0
	for i, ok := o.has.NextSet(0); ok; i, ok = o.has.NextSet(i + 1) {
		c.hasOutside.Set(i)
		k := c.numberWas(int(i))
		switch {
		case k < 0 || !o.had.Test(uint(k)):
		case c.cells[c.cellOf[i]].moved || resets(i, uint(k)):
			both++
			c.reset.External++
		default:
			both++
			c.staysOutside.Set(i)
			continue
		}
		differs = true
		c.outsideOf.Set(i)
	}
	for k, ok := o.had.NextSet(0); ok; k, ok = o.had.NextSet(k + 1) {
		i := c.numberIs(int(k))
		if i >= 0 {
			c.hadOutside.Set(uint(i))
		}
		switch {
		case i < 0:
			c.departed.Set(k)
		case !o.has.Test(uint(i)):
			c.outsideOf.Set(uint(i))
		default:
			continue
		}
		differs = true
	}
	c.was.External += int(o.had.Count())
	c.is.External += int(o.has.Count())
	c.bothWas.External += both
	c.bothIs.External += both
	if differs && o.of != nil {
		c.peers[o.of.Name] = true
	}
}

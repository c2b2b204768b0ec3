package sessions

import (
	"cmp"
	"context"
	"slices"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology/nodes"
)

// Network is the half-sessions of one family between classes of nodes and with
// external peers. It is immutable.
type Network struct {
	Family  calico.Family
	Classes *nodes.Classes
	Rules   Rules
	Index   *nodes.Index
	// Spreads holds, for each peer group, its members by class.
	Spreads Spreads
	// Links are the links between classes that a BGPPeer connects, in order of From
	// and To. Two classes that only the mesh connects have no link.
	Links  []Link
	starts []int // of each class, the index of its first link
	// Mesh lists the classes in the mesh, in order, by the kind of their AS numbers and links.
	Mesh      [][]uint32
	meshKinds []meshKind
	kindOf    []int32      // of each class, an index into Mesh; -1 if it is not in the mesh
	suspects  []uint32     // classes in the mesh that BIRD may not accept as peers
	links     []nodes.Link // of each node; nil if mesh sessions need no common link in any version of Calico that may run
	needs     linkNeed
	// Externals are the external peers in order of their addresses as text. Counted are
	// the external peers as mergeExternals merges them.
	Externals, Counted []*ExternalPeer
	// Passing are the external peers that pass routes on, by reading.
	Passing []Passing
	// Workloads are the BGPPeers whose peers are pods.
	Workloads []*Peering
	// Advertised are the prefixAdvertisements that decide which routes pass: those of all
	// nodes first, and then those of nodes with others.
	Advertised []Advertised
	// Named are the AS numbers in objects other than Nodes.
	Named     map[uint32]bool
	own       map[uint32]bool // the AS numbers of nodes
	filters   *filters
	groups    []*PeerGroup
	written   *written
	meshNodes int // number of nodes in the mesh
}

// Link is the half-sessions from all nodes of class From to all nodes of class To.
type Link struct {
	From, To  uint32
	Protocols []Protocol // at least one, in order of names: BIRD gives a connection to the first
	// Reason is why no session comes up on the first half-session, "" if one does.
	Reason Reason
}

// pass is a step in which Calico enters peers into its table
// (confd/pkg/backends/calico/client.go, updatePeersV1). The first pass that enters a
// neighbor and port wins.
type pass uint8

const (
	passGlobal pass = iota
	passNode
	passReverse
	passMesh
)

// candidate is a half-session that a pass would enter.
type candidate struct {
	from, to uint32
	pass     pass
	target   uint32     // the class that Calico takes the settings from; differs from to if they share an address
	peers    *PeerGroup // nil for the mesh
}

// order compares candidates by link, pass and BGPPeer. The BGPPeer makes the order of
// the ways of an ambiguous half-session deterministic.
func (c *candidate) order(d *candidate) int {
	switch {
	case c.from != d.from:
		return cmp.Compare(c.from, d.from)
	case c.to != d.to:
		return cmp.Compare(c.to, d.to)
	case c.pass != d.pass:
		return cmp.Compare(c.pass, d.pass)
	case c.peers != d.peers: // Neither is nil: passMesh has only one value of peers.
		return cmp.Compare(c.peers.Numbers[0], d.peers.Numbers[0])
	}
	return cmp.Compare(c.target, d.target)
}

// connectPeers makes the links, and sets Reason for those without a session.
func (n *Network) connectPeers(ctx context.Context, peers []*PeerGroup) error {
	n.groups = peers
	n.findMesh()
	candidates, err := n.candidates(ctx, peers)
	if err != nil {
		return err
	}
	n.connect(candidates)
	n.pair()
	return ctx.Err()
}

// candidates lists the half-sessions that the passes would enter. It includes mesh
// half-sessions only between classes that a BGPPeer connects. O(peer groups x classes +
// candidates).
func (n *Network) candidates(ctx context.Context, peers []*PeerGroup) ([]candidate, error) {
	var out []candidate
	for _, p := range peers {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		local, remote, back := n.in(p.Local), n.in(p.Remote), n.in(p.back)
		if p.Forward[n.Family] {
			pass := passNode
			if p.global() {
				pass = passGlobal
			}
			out = n.cross(out, local, remote, pass, p)
		}
		if p.Reverse[n.Family] {
			out = n.cross(out, back, local, passReverse, p)
		}
	}
	// If both classes are in the mesh, both have its half-sessions too.
	for i, end := 0, len(out); i < end; i++ {
		if c := out[i]; n.InMesh(c.from) && n.InMesh(c.to) {
			out = append(out, candidate{from: c.from, to: c.to, pass: passMesh, target: c.to}, candidate{from: c.to, to: c.from, pass: passMesh, target: c.from})
		}
	}
	// No mesh session to a shared address comes up, so the formula does not hold.
	for _, shared := range n.AddressSharers() {
		for i := range n.Classes.List {
			if a, b := uint32(i), shared; n.InMesh(a) && n.InMesh(b) && a != b && !n.SameAddress(a, b) {
				out = append(out, candidate{from: a, to: b, pass: passMesh, target: b}, candidate{from: b, to: a, pass: passMesh, target: a})
			}
		}
	}
	return out, ctx.Err()
}

// in lists the classes in set that have an address in the family. set must contain all
// nodes of a class or none of them. O(min(classes, members of set)).
func (n *Network) in(set *bitset.BitSet) []uint32 {
	members := int(set.Count())
	out := make([]uint32, 0, min(members, len(n.Classes.List)))
	if members < len(n.Classes.List) {
		for i, ok := set.NextSet(0); ok; i, ok = set.NextSet(i + 1) {
			if g := n.Classes.Of[i]; n.Classes.List[g].First[0] == uint32(i) && n.Classes.List[g].Speaks(n.Family) {
				out = append(out, g)
			}
		}
		return out
	}
	for i := range n.Classes.List {
		if n.Classes.List[i].Speaks(n.Family) && set.Test(uint(n.Classes.List[i].First[0])) {
			out = append(out, uint32(i))
		}
	}
	return out
}

// cross appends the half-sessions of all classes in from to all classes in to.
func (n *Network) cross(out []candidate, from, to []uint32, pass pass, p *PeerGroup) []candidate {
	for _, a := range from {
		for _, b := range to {
			owner := n.owner(b)
			if a == owner && n.Classes.List[a].Nodes == 1 || n.SameAddress(a, owner) {
				continue // A node does not peer with its own address.
			}
			out = append(out, candidate{a, owner, pass, b, p})
		}
	}
	return out
}

// AddressSharers lists the classes whose address another node has too. Each of them
// has one node.
func (n *Network) AddressSharers() []uint32 {
	var out []uint32
	shared := n.Index.Shared(n.Family)
	for i, ok := shared.NextSet(0); ok; i, ok = shared.NextSet(i + 1) {
		out = append(out, n.Classes.Of[i])
	}
	return out
}

// SharesAddress reports whether another node has the address of class g too.
func (n *Network) SharesAddress(g uint32) bool {
	return n.Classes.List[g].Shares() && n.Index.Shared(n.Family).Test(uint(n.Classes.List[g].First[0]))
}

// owner returns the first class with the address of class g: Calico's table has one
// entry for each address.
func (n *Network) owner(g uint32) uint32 {
	if !n.SharesAddress(g) {
		return g
	}
	return n.Classes.Of[n.Index.At(n.address(g))[0]]
}

// SameAddress reports whether two classes have the same address.
func (n *Network) SameAddress(a, b uint32) bool {
	return a != b && n.SharesAddress(a) && n.SharesAddress(b) && n.address(a) == n.address(b)
}

// connect makes the links by the precedence of Calico's passes. O(candidates x log
// candidates).
func (n *Network) connect(candidates []candidate) {
	slices.SortFunc(candidates, func(a, b candidate) int { return a.order(&b) })
	n.starts = make([]int, len(n.Classes.List)+1)
	for i := 0; i < len(candidates); {
		l := Link{From: candidates[i].from, To: candidates[i].to}
		for ; i < len(candidates) && candidates[i].from == l.From && candidates[i].to == l.To; i++ {
			n.enter(&l, &candidates[i])
		}
		slices.SortFunc(l.Protocols, compareProtocols)
		n.Links = append(n.Links, l)
	}
	at := 0
	for g := range n.Classes.List {
		n.starts[g] = at
		for at < len(n.Links) && int(n.Links[at].From) == g {
			at++
		}
	}
	n.starts[len(n.Classes.List)] = at
}

// enter adds a candidate to a link unless an earlier pass entered its neighbor and
// port.
func (n *Network) enter(l *Link, c *candidate) {
	a, b := &n.Classes.List[c.from], &n.Classes.List[c.target]
	if c.pass == passMesh {
		if !slices.ContainsFunc(l.Protocols, func(h Protocol) bool { return h.Prefix == PrefixMesh }) {
			h := Protocol{Prefix: PrefixMesh, port: b.Port}
			h.Ways = []Way{{Settings: n.Rules.meshSettings(a, b)}}
			l.Protocols = append(l.Protocols, h)
		}
		return
	}
	s := c.peers.settingsFor(b, c.pass == passReverse)
	s.passive = c.pass == passGlobal && c.peers.known && c.peers.below.Test(uint(a.First[0]))
	from := newSource(c.peers, c.pass == passReverse)
	n.normalise(&s, a)
	for i := range l.Protocols {
		h := &l.Protocols[i]
		if h.Prefix == PrefixMesh || portOr179(h.port) != portOr179(s.port) {
			continue
		}
		if h.pass == c.pass {
			h.add(s, from)
		}
		return
	}
	h := Protocol{Prefix: PrefixNode, port: s.port, pass: c.pass}
	if c.pass == passGlobal {
		h.Prefix = PrefixGlobal
	}
	h.add(s, from)
	l.Protocols = append(l.Protocols, h)
}

// LinksFrom returns the links from class g, in order of To. The list must not be
// changed.
func (n *Network) LinksFrom(g uint32) []Link { return n.Links[n.starts[g]:n.starts[g+1]] }

// Link returns the link from one class to another, nil if no BGPPeer connects them.
// O(log links).
func (n *Network) Link(from, to uint32) *Link {
	list := n.LinksFrom(from)
	i, ok := slices.BinarySearchFunc(list, to, func(l Link, to uint32) int { return cmp.Compare(l.To, to) })
	if !ok {
		return nil
	}
	return &list[i]
}

package sessions

import (
	"cmp"
	"context"
	"slices"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology/nodes"
)

// Network is the half-sessions of one family between classes, and the
// sessions that they make.
type Network struct {
	Family  calico.Family
	Classes *nodes.Classes
	Rules   Rules
	Index   *nodes.Index
	// Spreads holds where the members of the peer groups are.
	Spreads Spreads
	// Links are those between classes that a BGPPeer connects, in order of from
	// and to; starts[g] is where those from class g start. The mesh's are not
	// among them but where a BGPPeer is there too.
	Links  []Link
	starts []int
	// Mesh are the classes that take part in the mesh, by how it reads their AS
	// numbers.
	Mesh     [MeshKinds][]uint32
	suspects []uint32 // those of the mesh that BIRD may not take for peers
	// Externals are the external peers, Counted those to be counted in their place.
	Externals, Counted []*ExternalPeer
	// Exits are the nodes by how they exchange routes with external peers.
	Exits map[Exit]*bitset.BitSet
	// Workloads are the BGPPeers whose peers are pods.
	Workloads []*Peering
}

// Link is the half-sessions from all nodes of class from to all of class to.
type Link struct {
	From, To  uint32
	Protocols []Protocol // in order of names: BIRD gives the first the connection
	// Reason is why no session comes up on the first half-session, "" where one does.
	Reason Reason
}

// Kinds of classes in the mesh.
const (
	meshPlain = iota // without an AS number of their own
	meshSame         // with the cluster's as their own
	meshOther        // with another
	meshZero         // with 0, which BIRD rejects
	MeshKinds
)

// pass is the order in which Calico enters peers in its table; an earlier one
// wins.
type pass uint8

const (
	passGlobal pass = iota
	passNode
	passReverse
	passMesh
)

// candidate is a half-session that a BGPPeer would give.
type candidate struct {
	from, to uint32
	pass     pass
	target   uint32     // the class whose settings count; to, but for shared addresses
	peers    *PeerGroup // nil for the mesh
}

// connectPeers finds the links of a network and which of them carry sessions.
func (n *Network) connectPeers(ctx context.Context, peers []*PeerGroup) error {
	n.findMesh()
	candidates, err := n.candidates(ctx, peers)
	if err != nil {
		return err
	}
	n.connect(candidates)
	n.pair()
	return ctx.Err()
}

func (n *Network) findMesh() {
	for i := range n.Classes.List {
		s := &n.Classes.List[i]
		if !n.Rules.inMesh(s, n.Family) {
			continue
		}
		kind := meshPlain
		switch {
		case !s.OwnASN:
		case s.ASN == 0:
			kind = meshZero
		case s.ASN == n.Rules.ASN:
			kind = meshSame
		default:
			kind = meshOther
		}
		n.Mesh[kind] = append(n.Mesh[kind], uint32(i))
		if s.ASN == 0 || linkLocal(n.address(uint32(i))) {
			n.suspects = append(n.suspects, uint32(i))
		}
	}
}

// MeshReason says why no mesh session comes up on the half-session of a node of
// kind a towards one of kind b, "" where one does. From v3.32 on, a node with an
// AS number of its own expects it of a peer without one.
func (r *Rules) MeshReason(a, b int) Reason {
	zero := func(kind int) bool { return kind == meshZero || kind == meshPlain && r.ASN == 0 }
	switch {
	case zero(a), b == meshZero, zero(b) && !r.peerInherits:
		return ASNumberZero
	case zero(b), r.peerInherits && min(a, b) == meshPlain && max(a, b) == meshOther:
		return ASNumberMismatch
	}
	return ""
}

// candidates lists what the BGPPeers give. O(peer groups x classes + candidates).
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
	// Where there is a mesh too, both ends have its half-sessions.
	for i, end := 0, len(out); i < end; i++ {
		if c := out[i]; n.InMesh(c.from) && n.InMesh(c.to) {
			out = append(out, candidate{from: c.from, to: c.to, pass: passMesh, target: c.to}, candidate{from: c.to, to: c.from, pass: passMesh, target: c.from})
		}
	}
	// In the mesh, a shared address concerns all.
	for _, shared := range n.AddressSharers() {
		for i := range n.Classes.List {
			if a, b := uint32(i), shared; n.InMesh(a) && n.InMesh(b) && a != b && !n.SameAddress(a, b) {
				out = append(out, candidate{from: a, to: b, pass: passMesh, target: b}, candidate{from: b, to: a, pass: passMesh, target: a})
			}
		}
	}
	return out, ctx.Err()
}

// in lists the classes with an address in the family that are in set, which
// holds all nodes of a class or none. O(the smaller of classes and members).
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

func (n *Network) cross(out []candidate, from, to []uint32, pass pass, p *PeerGroup) []candidate {
	for _, a := range from {
		for _, b := range to {
			owner := n.owner(b)
			if a == owner && n.Classes.List[a].Nodes == 1 || n.SameAddress(a, owner) {
				continue // Nobody peers with its own address.
			}
			out = append(out, candidate{a, owner, pass, b, p})
		}
	}
	return out
}

func (n *Network) InMesh(g uint32) bool { return n.Rules.inMesh(&n.Classes.List[g], n.Family) }

// AddressSharers lists the classes, of one node each, whose address another node has
// too.
func (n *Network) AddressSharers() []uint32 {
	var out []uint32
	shared := n.Index.Shared(n.Family)
	for i, ok := shared.NextSet(0); ok; i, ok = shared.NextSet(i + 1) {
		out = append(out, n.Classes.Of[i])
	}
	return out
}

func (n *Network) SharesAddress(g uint32) bool {
	return n.Classes.List[g].Shares() && n.Index.Shared(n.Family).Test(uint(n.Classes.List[g].First[0]))
}

// owner is the class that stands for all that share g's address: Calico's
// table has one entry for it.
func (n *Network) owner(g uint32) uint32 {
	if !n.SharesAddress(g) {
		return g
	}
	return n.Classes.Of[n.Index.At(n.address(g))[0]]
}

func (n *Network) SameAddress(a, b uint32) bool {
	return a != b && n.SharesAddress(a) && n.SharesAddress(b) && n.address(a) == n.address(b)
}

// connect makes links of candidates by the precedence of Calico's table.
// O(candidates log candidates).
func (n *Network) connect(candidates []candidate) {
	slices.SortFunc(candidates, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to), cmp.Compare(a.pass, b.pass))
	})
	n.starts = make([]int, len(n.Classes.List)+1)
	for i := 0; i < len(candidates); {
		l := Link{From: candidates[i].from, To: candidates[i].to}
		for ; i < len(candidates) && candidates[i].from == l.From && candidates[i].to == l.To; i++ {
			n.enter(&l, &candidates[i])
		}
		slices.SortFunc(l.Protocols, compareHalfSessions)
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

// enter puts a candidate into the table unless an earlier pass has the key.
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
	s.normalise(a)
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

// LinksFrom returns the links from a class.
func (n *Network) LinksFrom(g uint32) []Link { return n.Links[n.starts[g]:n.starts[g+1]] }

// Link returns that between two classes, nil for none.
func (n *Network) Link(from, to uint32) *Link {
	list := n.LinksFrom(from)
	i, ok := slices.BinarySearchFunc(list, to, func(l Link, to uint32) int { return cmp.Compare(l.To, to) })
	if !ok {
		return nil
	}
	return &list[i]
}

package topology

import (
	"cmp"
	"context"
	"slices"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology/nodes"
)

// network is the half-sessions of one family between groups of nodes, and the
// sessions that they make.
type network struct {
	family  calico.Family
	classes *nodes.Classes
	rules   rules
	index   *nodes.Index
	// spreads tell where the members of the peer groups are.
	spreads spreads
	// links are those between groups that a BGPPeer connects, in order of from
	// and to; starts[g] is where those from group g start. The mesh's are not
	// among them but where a BGPPeer is there too.
	links  []link
	starts []int
	// mesh are the groups that take part in the mesh, by how it tells their AS
	// numbers.
	mesh     [meshKinds][]uint32
	suspects []uint32 // those of the mesh that BIRD may not take for peers
	// externals are the external peers, merged those to be counted.
	externals, counted []*externalPeer
	// workloads are the BGPPeers whose peers are pods.
	workloads []*peering
}

// link is the half-sessions from all nodes of group from to all of group to.
type link struct {
	from, to     uint32
	halfSessions []halfSession // in order of names: BIRD gives the first the connection
	// reason is why no session stands on the first half, "" where one does.
	reason Reason
}

// Kinds of groups in the mesh.
const (
	meshPlain = iota // without an AS number of their own
	meshSame         // with the cluster's as their own
	meshOther        // with another
	meshZero         // with 0, which BIRD refuses
	meshKinds
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
	target   uint32     // the group whose settings count; to, but for shared addresses
	peers    *peerGroup // nil for the mesh
}

func newNetwork(
	ctx context.Context, f calico.Family, ix *nodes.Index, classes *nodes.Classes, r rules, peers []*peerGroup, s spreads, workloads []*peering, externals, merged []*externalPeer,
) (*network, error) {
	n := &network{family: f, classes: classes, rules: r, index: ix, spreads: s, externals: externals, counted: merged, workloads: workloads}
	n.findMesh()
	candidates, err := n.candidates(ctx, peers)
	if err != nil {
		return nil, err
	}
	n.connect(candidates)
	n.pair()
	return n, ctx.Err()
}

func (n *network) findMesh() {
	for i := range n.classes.List {
		s := &n.classes.List[i]
		if !n.rules.inMesh(s, n.family) {
			continue
		}
		kind := meshPlain
		switch {
		case !s.OwnASN:
		case s.ASN == 0:
			kind = meshZero
		case s.ASN == n.rules.asn:
			kind = meshSame
		default:
			kind = meshOther
		}
		n.mesh[kind] = append(n.mesh[kind], uint32(i))
		if s.ASN == 0 || linkLocal(n.address(uint32(i))) {
			n.suspects = append(n.suspects, uint32(i))
		}
	}
}

// meshReason says why no mesh session comes up on the half-session of a node of
// kind a towards one of kind b, "" where one does. From v3.32 on, a node with an
// AS number of its own expects it of a peer without one.
func (r *rules) meshReason(a, b int) Reason {
	zero := func(kind int) bool { return kind == meshZero || kind == meshPlain && r.asn == 0 }
	switch {
	case zero(a), b == meshZero, zero(b) && !r.peerInherits:
		return ASNumberZero
	case zero(b), r.peerInherits && min(a, b) == meshPlain && max(a, b) == meshOther:
		return ASNumberMismatch
	}
	return ""
}

// candidates lists what the BGPPeers give. O(peer groups x groups + candidates).
func (n *network) candidates(ctx context.Context, peers []*peerGroup) ([]candidate, error) {
	var out []candidate
	for _, p := range peers {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		local, remote, back := n.in(p.local), n.in(p.remote), n.in(p.back)
		if p.forward[n.family] {
			pass := passNode
			if p.global() {
				pass = passGlobal
			}
			out = n.cross(out, local, remote, pass, p)
		}
		if p.reverse[n.family] {
			out = n.cross(out, back, local, passReverse, p)
		}
	}
	// Where there is a mesh too, both ends have its half-sessions.
	for i, end := 0, len(out); i < end; i++ {
		if c := out[i]; n.inMesh(c.from) && n.inMesh(c.to) {
			out = append(out, candidate{from: c.from, to: c.to, pass: passMesh, target: c.to}, candidate{from: c.to, to: c.from, pass: passMesh, target: c.from})
		}
	}
	// In the mesh, a shared address concerns all.
	for _, shared := range n.addressSharers() {
		for i := range n.classes.List {
			if a, b := uint32(i), shared; n.inMesh(a) && n.inMesh(b) && a != b && !n.sameAddress(a, b) {
				out = append(out, candidate{from: a, to: b, pass: passMesh, target: b}, candidate{from: b, to: a, pass: passMesh, target: a})
			}
		}
	}
	return out, ctx.Err()
}

// in lists the groups with an address in the family that are in set, which
// holds all nodes of a group or none. O(the smaller of groups and members).
func (n *network) in(set *bitset.BitSet) []uint32 {
	members := int(set.Count())
	out := make([]uint32, 0, min(members, len(n.classes.List)))
	if members < len(n.classes.List) {
		for i, ok := set.NextSet(0); ok; i, ok = set.NextSet(i + 1) {
			if g := n.classes.Of[i]; n.classes.List[g].First[0] == uint32(i) && n.classes.List[g].Speaks(n.family) {
				out = append(out, g)
			}
		}
		return out
	}
	for i := range n.classes.List {
		if n.classes.List[i].Speaks(n.family) && set.Test(uint(n.classes.List[i].First[0])) {
			out = append(out, uint32(i))
		}
	}
	return out
}

func (n *network) cross(out []candidate, from, to []uint32, pass pass, p *peerGroup) []candidate {
	for _, a := range from {
		for _, b := range to {
			owner := n.owner(b)
			if a == owner && n.classes.List[a].Nodes == 1 || n.sameAddress(a, owner) {
				continue // Nobody peers with its own address.
			}
			out = append(out, candidate{a, owner, pass, b, p})
		}
	}
	return out
}

func (n *network) inMesh(g uint32) bool { return n.rules.inMesh(&n.classes.List[g], n.family) }

// addressSharers lists the groups, of one node each, whose address another node has
// too.
func (n *network) addressSharers() []uint32 {
	var out []uint32
	shared := n.index.Shared(n.family)
	for i, ok := shared.NextSet(0); ok; i, ok = shared.NextSet(i + 1) {
		out = append(out, n.classes.Of[i])
	}
	return out
}

func (n *network) sharesAddress(g uint32) bool {
	return n.classes.List[g].Shares() && n.index.Shared(n.family).Test(uint(n.classes.List[g].First[0]))
}

// owner is the group that stands for all that share g's address: Calico's
// table has one entry for it.
func (n *network) owner(g uint32) uint32 {
	if !n.sharesAddress(g) {
		return g
	}
	return n.classes.Of[n.index.At(n.address(g))[0]]
}

func (n *network) sameAddress(a, b uint32) bool {
	return a != b && n.sharesAddress(a) && n.sharesAddress(b) && n.address(a) == n.address(b)
}

// connect makes links of candidates by the precedence of Calico's table.
// O(candidates log candidates).
func (n *network) connect(candidates []candidate) {
	slices.SortFunc(candidates, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to), cmp.Compare(a.pass, b.pass))
	})
	n.starts = make([]int, len(n.classes.List)+1)
	for i := 0; i < len(candidates); {
		l := link{from: candidates[i].from, to: candidates[i].to}
		for ; i < len(candidates) && candidates[i].from == l.from && candidates[i].to == l.to; i++ {
			n.enter(&l, &candidates[i])
		}
		slices.SortFunc(l.halfSessions, compareHalfSessions)
		n.links = append(n.links, l)
	}
	at := 0
	for g := range n.classes.List {
		n.starts[g] = at
		for at < len(n.links) && int(n.links[at].from) == g {
			at++
		}
	}
	n.starts[len(n.classes.List)] = at
}

// enter puts a candidate into the table unless an earlier pass has the key.
func (n *network) enter(l *link, c *candidate) {
	a, b := &n.classes.List[c.from], &n.classes.List[c.target]
	if c.pass == passMesh {
		if !slices.ContainsFunc(l.halfSessions, func(h halfSession) bool { return h.prefix == prefixMesh }) {
			h := halfSession{prefix: prefixMesh, port: b.Port}
			h.ways = []way{{settings: n.rules.meshSettings(a, b)}}
			l.halfSessions = append(l.halfSessions, h)
		}
		return
	}
	s := c.peers.settingsFor(b, c.pass == passReverse)
	s.passive = c.pass == passGlobal && c.peers.known && c.peers.below.Test(uint(a.First[0]))
	from := newSource(c.peers, c.pass == passReverse)
	s.normalise(a)
	for i := range l.halfSessions {
		h := &l.halfSessions[i]
		if h.prefix == prefixMesh || portOr179(h.port) != portOr179(s.port) {
			continue
		}
		if h.pass == c.pass {
			h.add(s, from)
		}
		return
	}
	h := halfSession{prefix: prefixNode, port: s.port, pass: c.pass}
	if c.pass == passGlobal {
		h.prefix = prefixGlobal
	}
	h.add(s, from)
	l.halfSessions = append(l.halfSessions, h)
}

// from returns the links from a group.
func (n *network) from(g uint32) []link { return n.links[n.starts[g]:n.starts[g+1]] }

// link returns that between two groups, nil for none.
func (n *network) link(from, to uint32) *link {
	list := n.from(from)
	i, ok := slices.BinarySearchFunc(list, to, func(l link, to uint32) int { return cmp.Compare(l.to, to) })
	if !ok {
		return nil
	}
	return &list[i]
}

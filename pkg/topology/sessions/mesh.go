package sessions

import (
	"slices"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology/nodes"
)

// meshKind is what decides which mesh sessions of a class come up.
type meshKind struct {
	numbers int
	// asn is the AS number, 0 if no other node in the mesh has it. It is 0 unless Network.links is set.
	asn uint32
	// link is the place of the nodes among the networks of all nodes. alone reports that no other node in the
	// mesh is on one link with them.
	link  nodes.Link
	alone bool
}

// The kinds of AS numbers of classes in the mesh.
const (
	meshPlain = iota // without an AS number of their own
	meshSame         // with the cluster's AS number as their own
	meshOther        // with another one
	meshZero         // with 0, which BIRD rejects
)

// numbersKind returns the kind of the AS number of a class in the mesh.
func (r *Rules) numbersKind(s *nodes.Class) int {
	switch {
	case !s.OwnASN:
		return meshPlain
	case s.ASN == 0:
		return meshZero
	case s.ASN == r.ASN:
		return meshSame
	default:
		return meshOther
	}
}

// linkNeed is what mesh sessions over eBGP need to come up. Calico before v3.33 configures them without "multihop"
// (bird.cfg.template), so BIRD connects only to addresses in the networks of its own interfaces (proto/bgp/bgp.c of
// BIRD 1.6, bgp_postconfig and bgp_start_locked; nest/neighbor.c, if_connected).
type linkNeed uint8

// The needs.
const (
	// needNothing: the sessions have "multihop".
	needNothing linkNeed = iota
	// needLink: a common link. A node whose network is not known is on one with all others.
	needLink
	// needShownLink: a common link. A node whose network is not known is on one with no other.
	needShownLink
)

// meshLinks returns the links of the nodes in a family, and what mesh sessions need. The links are nil if mesh sessions
// need no common link in any version of Calico that may run. own are the AS numbers of nodes.
func (c *Sessions) meshLinks(f calico.Family, own map[uint32]bool) ([]nodes.Link, linkNeed) {
	r := &c.Rules
	switch {
	case !r.Mesh || !r.perhapsDirect || len(own) < 2:
		return nil, needNothing
	case r.directMesh:
		return c.index.Links(f), needLink
	default:
		return c.index.Links(f), needNothing
	}
}

// WithoutLinks returns the network in which what is not known does not give nodes a common link: mesh sessions over eBGP
// need one if the version of Calico is not known, and the network of an address without a mask, or with one of all bits,
// is that address alone. It returns n if the same sessions come up in both. O(kinds in the mesh squared + links) if
// something is not known, and else O(classes).
func (n *Network) WithoutLinks() *Network {
	if n.links == nil || n.needs == needLink && n.networksKnown() {
		return n
	}
	out := *n
	out.needs = needShownLink
	out.Links = slices.Clone(n.Links)
	out.pair()
	same := func(l, m Link) bool { return l.Established() == m.Established() }
	if !n.meshDiffers(&out) && slices.EqualFunc(n.Links, out.Links, same) {
		return n
	}
	return &out
}

// networksKnown reports whether the networks of all nodes in the mesh are known.
func (n *Network) networksKnown() bool {
	for _, kind := range n.Mesh {
		if slices.ContainsFunc(kind, func(g uint32) bool { return !n.link(g).Known() }) {
			return false
		}
	}
	return true
}

// meshDiffers reports whether mesh sessions of n, between classes without a link, do not come up in o, which has the same
// kinds.
func (n *Network) meshDiffers(o *Network) bool {
	for a := range n.meshKinds {
		for b := range n.meshKinds {
			if n.MeshReason(a, b) == "" && o.MeshReason(a, b) != "" && (a != b || n.nodesOf(a) > 1) {
				return true
			}
		}
	}
	return false
}

// nodesOf counts the nodes of a kind in the mesh.
func (n *Network) nodesOf(kind int) int {
	count := 0
	for _, g := range n.Mesh[kind] {
		count += n.Classes.List[g].Nodes
	}
	return count
}

// linkSets returns a set of nodes for each link but the first.
func linkSets(links []nodes.Link, speakers *bitset.BitSet) []*bitset.BitSet {
	var out []*bitset.BitSet
	number := map[nodes.Link]int{}
	for i, ok := speakers.NextSet(0); ok; i, ok = speakers.NextSet(i + 1) {
		k, known := number[links[i]]
		if !known {
			k = len(out)
			number[links[i]] = k
			out = append(out, bitset.New(0))
		}
		out[k].Set(i)
	}
	return out[min(1, len(out)):]
}

// findMesh sets Mesh, meshKinds, kindOf and suspects. O(classes), and with links O(classes + links squared).
func (n *Network) findMesh() {
	n.kindOf = make([]int32, len(n.Classes.List))
	withNumber, alone := n.meshNumbers()
	known := map[meshKind]int32{}
	for i := range n.Classes.List {
		s := &n.Classes.List[i]
		n.kindOf[i] = -1
		if !n.Rules.inMesh(s, n.Family) {
			continue
		}
		one := meshKind{numbers: n.Rules.numbersKind(s)}
		if n.links != nil {
			if withNumber[s.ASN] > 1 {
				one.asn = s.ASN
			}
			if one.link = n.link(uint32(i)); alone(one.link) {
				one.link, one.alone = nodes.Link{}, true
			}
		}
		kind, ok := known[one]
		if !ok {
			kind = int32(len(n.meshKinds))
			known[one] = kind
			n.meshKinds, n.Mesh = append(n.meshKinds, one), append(n.Mesh, nil)
		}
		n.kindOf[i] = kind
		n.Mesh[kind] = append(n.Mesh[kind], uint32(i))
		n.meshNodes += s.Nodes
		if s.ASN == 0 || calico.RejectedPeer(n.address(uint32(i))) != "" {
			n.suspects = append(n.suspects, uint32(i))
		}
	}
}

// meshNumbers returns the number of nodes in the mesh by AS number, and a function that reports whether no
// other node is on one link with those of a class, whose Link is the argument. It returns nil without links.
func (n *Network) meshNumbers() (withNumber map[uint32]int, alone func(nodes.Link) bool) {
	if n.links == nil {
		return nil, nil
	}
	withNumber = map[uint32]int{}
	places := nodes.NewPlaces(n.Index)
	for i := range n.Classes.List {
		if s := &n.Classes.List[i]; n.Rules.inMesh(s, n.Family) {
			withNumber[s.ASN] += s.Nodes
			places.Add(n.link(uint32(i)), s.Nodes)
		}
	}
	return withNumber, places.Alone
}

// link returns the Link of the nodes of class g.
func (n *Network) link(g uint32) nodes.Link { return n.links[n.Classes.List[g].First[0]] }

// MeshReason returns why no session comes up on the mesh half-session of a node of
// kind a to a node of kind b, "" if one does. Since v3.32, a node with an AS number
// of its own expects this number of a peer without one.
func (n *Network) MeshReason(a, b int) Reason {
	r, x, y := &n.Rules, &n.meshKinds[a], &n.meshKinds[b]
	zero := func(kind int) bool { return kind == meshZero || kind == meshPlain && r.ASN == 0 }
	mixed := r.peerInherits && min(x.numbers, y.numbers) == meshPlain && max(x.numbers, y.numbers) == meshOther
	switch {
	case zero(x.numbers), y.numbers == meshZero, zero(y.numbers) && !r.peerInherits:
		return ASNumberZero
	case n.needs != needNothing && n.apart(x, y, mixed):
		return NotOnLink
	case zero(y.numbers), mixed:
		return ASNumberMismatch
	}
	return ""
}

// apart reports whether a mesh half-session between nodes of two kinds needs a common link that they do not
// have. mixed reports that only that of the node without an AS number of its own is one of eBGP.
func (n *Network) apart(x, y *meshKind, mixed bool) bool {
	number := func(k *meshKind) uint32 {
		if k.numbers == meshPlain {
			return n.Rules.ASN
		}
		return k.asn
	}
	switch {
	case x.numbers != meshOther && y.numbers != meshOther, number(x) != 0 && number(x) == number(y):
		return false
	case x.alone || y.alone:
		return true
	case mixed && x.numbers == meshPlain:
		return !n.covers(x.link, y.link)
	case mixed:
		return !n.covers(y.link, x.link)
	}
	return !n.covers(x.link, y.link) || !n.covers(y.link, x.link)
}

// covers reports whether a node with Link a has the address of a node with Link b in its network, as far as sessions
// need it.
func (n *Network) covers(a, b nodes.Link) bool {
	if n.needs == needShownLink {
		return a.Shows(b)
	}
	return a.Covers(b)
}

// offLink reports whether the first half-session of l, with settings s, is of the mesh and needs a link that
// the nodes do not share.
func (n *Network) offLink(l *Link, s *Settings) bool {
	return n.meshDirect(l.From, l.Protocols[0].Prefix, s) && !n.covers(n.link(l.From), n.link(l.To))
}

// meshDirect reports whether a half-session of class g is one of the mesh over eBGP without "multihop".
func (n *Network) meshDirect(g uint32, p Prefix, s *Settings) bool {
	return n.needs != needNothing && p == PrefixMesh && !s.internal(&n.Classes.List[g])
}

// InMesh reports whether the nodes of class g are in the mesh.
func (n *Network) InMesh(g uint32) bool { return n.Rules.inMesh(&n.Classes.List[g], n.Family) }

// MeshKind returns the kind of class g in Network.Mesh, -1 if it is not in the mesh.
func (n *Network) MeshKind(g uint32) int { return int(n.kindOf[g]) }

// DirectMesh reports whether BIRD keeps the next hops of routes that it sends over eBGP sessions of the mesh,
// which are direct. It keeps them if the route leaves by the same interface as the session (proto/bgp/attrs.c of BIRD
// 1.6, bgp_update_attrs), and nodes have one interface to other nodes.
func (n *Network) DirectMesh() bool { return n.needs != needNothing }

// meshPeered reports whether a session of the mesh comes up between the nodes of two
// classes without a link.
func (n *Network) meshPeered(a, b uint32) bool {
	return n.InMesh(a) && n.InMesh(b) && !n.SameAddress(a, b) && n.MeshReason(n.MeshKind(a), n.MeshKind(b)) == ""
}

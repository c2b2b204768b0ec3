package nodes

import (
	"slices"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// Identity is the fields of a Node object that decide its sessions, except its labels.
type Identity struct {
	IPv4, IPv6 bool // has an address in the family
	// OwnASN reports whether the node has an AS number of its own. ASN is this
	// number or, in a Class, the effective number.
	OwnASN    bool
	ASN       uint32
	ClusterID string // "" for a node that is not a route reflector
	// linkLocal reports that the IPv6 address is link-local, so peers cannot connect to it.
	linkLocal bool
	// Unspecified reports, for each family, that the address is 0.0.0.0 or ::.
	Unspecified [2]bool
	// alone is 1 + the number of a node that shares an address, and 0 for other nodes. It
	// puts the node into a class of its own.
	alone uint32
}

// Speaks reports whether the nodes have an address in family f.
func (id *Identity) Speaks(f calico.Family) bool {
	if f == calico.IPv4 {
		return id.IPv4
	}
	return id.IPv6
}

// Reflector reports whether the nodes are route reflectors.
func (id *Identity) Reflector() bool { return id.ClusterID != "" }

// Shares reports whether the node shares an address with another node. It is then the
// only node of its class.
func (id *Identity) Shares() bool { return id.alone > 0 }

// identities holds the identities of the nodes, each once.
type identities struct {
	of    []uint32 // of each node, an index into list
	list  []Identity
	known map[Identity]uint32
}

// newIdentities returns the identities of the nodes of ix. e is the edit from old to ix;
// both may be nil. O(nodes).
func newIdentities(ix, old *Index, e *edit) *identities {
	if old != nil && !ix.addresses.anyShared() && !old.addresses.anyShared() {
		if t := old.identity.edited(ix, e); t != nil {
			return t
		}
	}
	t := &identities{of: make([]uint32, len(ix.Nodes)), known: map[Identity]uint32{}}
	for i := range ix.Nodes {
		k := newIdentity(ix, i)
		id, ok := t.known[k]
		if !ok {
			id = uint32(len(t.list))
			t.known[k] = id
			t.list = append(t.list, k)
		}
		t.of[i] = id
	}
	return t
}

// edited returns the identities after an edit. It returns t if they are unchanged, and
// nil if an identity is new. Addresses must not be shared, before and after.
func (t *identities) edited(ix *Index, e *edit) *identities {
	ids := make([]uint32, 0, e.added)
	same := !e.shifts()
	for i := e.at; i < e.at+e.added; i++ {
		id, ok := t.known[newIdentity(ix, i)]
		if !ok {
			return nil
		}
		ids = append(ids, id)
		same = same && id == t.of[i]
	}
	if same {
		return t
	}
	return &identities{of: slices.Concat(t.of[:e.at], ids, t.of[e.at+e.removed:]), list: t.list, known: t.known}
}

func newIdentity(ix *Index, i int) Identity {
	n := ix.Nodes[i]
	k := Identity{IPv4: n.SpeaksBGP(calico.IPv4), IPv6: n.SpeaksBGP(calico.IPv6), ClusterID: n.ClusterID}
	k.linkLocal = k.IPv6 && n.Address[calico.IPv6].Addr().IsLinkLocalUnicast()
	for _, f := range calico.Families {
		k.Unspecified[f] = n.SpeaksBGP(f) && n.Address[f].Addr().IsUnspecified()
	}
	if n.ASNumber != nil {
		k.OwnASN, k.ASN = true, *n.ASNumber
	}
	if ix.addresses.isShared(uint32(i)) {
		k.alone = uint32(i) + 1
	}
	return k
}

// Classes is a division of the nodes into classes. The nodes of a class have the same
// identity and are in the same sets. Callers must not change it.
type Classes struct {
	Of   []uint32 // of each node, an index into List
	List []Class  // in order of their first nodes

	sets     []*bitset.BitSet
	identity *identities
	defaults Defaults
}

// Class is at least one node. All its nodes have the same peering.
type Class struct {
	Identity
	// Port is the port on which the nodes listen, 0 for BIRD's default.
	Port uint16
	// First are the first MaxFirst nodes, in order of names. First[0] represents all nodes
	// of the class.
	First []uint32
	Nodes int // number of nodes
}

// MaxFirst is the maximum length of Class.First.
const MaxFirst = 4

// Defaults is the settings of nodes in the BGPConfigurations.
type Defaults struct {
	ASN  uint32 // of nodes without an AS number of their own
	Port uint16 // on which nodes listen, 0 for BIRD's default
	// Ports holds the nodes with a listen port of their own, by port.
	Ports map[uint16]*bitset.BitSet
}

func (d *Defaults) equal(o *Defaults) bool {
	if d.ASN != o.ASN || d.Port != o.Port || len(d.Ports) != len(o.Ports) {
		return false
	}
	for port, set := range d.Ports {
		if other := o.Ports[port]; other == nil || !set.Equal(other) {
			return false
		}
	}
	return true
}

// Divide divides the nodes by their identities, their listen ports and sets. It returns
// old, which may be nil, if the result is the same. O(nodes + members of the sets).
func (ix *Index) Divide(d Defaults, sets []*bitset.BitSet, old *Classes) *Classes {
	sets = distinct(sets)
	if old != nil && old.identity == ix.identity && old.defaults.equal(&d) && slices.Equal(old.sets, sets) {
		return old
	}
	c := &Classes{Of: slices.Clone(ix.identity.of), sets: sets, identity: ix.identity, defaults: d}
	ids := uint32(len(ix.identity.list))
	buffer := make([]uint, 256)
	into := slices.Repeat([]uint32{0}, int(ids)) // 0 for none, because new classes have IDs greater than 0
	var moved []uint32
	split := func(set *bitset.BitSet) {
		for i, members := set.NextSetMany(0, buffer); len(members) > 0; i, members = set.NextSetMany(i+1, buffer) {
			for _, m := range members {
				id := c.Of[m]
				if into[id] == 0 {
					into[id] = ids
					into = append(into, 0)
					moved = append(moved, id)
					ids++
				}
				c.Of[m] = into[id]
			}
		}
		for _, id := range moved {
			into[id] = 0
		}
		moved = moved[:0]
	}
	for _, set := range d.Ports { // The order has no effect on the result of number.
		split(set)
	}
	for _, set := range sets {
		split(set)
	}
	c.number(int(ids))
	return c
}

// Refine divides the classes of c further, by sets. O(nodes + members of the sets).
func (ix *Index) Refine(c *Classes, sets []*bitset.BitSet) *Classes {
	return ix.Divide(c.defaults, slices.Concat(c.sets, sets), nil)
}

// number numbers the classes in order of their first nodes, and makes List.
func (c *Classes) number(ids int) {
	numbers := make([]uint32, ids)
	for i, id := range c.Of {
		if numbers[id] == 0 {
			c.List = append(c.List, c.class(i))
			numbers[id] = uint32(len(c.List))
		}
		number := numbers[id] - 1
		c.Of[i] = number
		one := &c.List[number]
		one.Nodes++
		if len(one.First) < MaxFirst {
			one.First = append(one.First, uint32(i))
		}
	}
}

// class returns the class of node i. Nodes is 0 and First is empty.
func (c *Classes) class(i int) Class {
	one := Class{Identity: c.identity.list[c.identity.of[i]], Port: c.defaults.Port, First: make([]uint32, 0, MaxFirst)}
	if !one.OwnASN {
		one.ASN = c.defaults.ASN
	}
	for port, set := range c.defaults.Ports {
		if set.Test(uint(i)) {
			one.Port = port
		}
	}
	return one
}

// distinct returns the sets that are not nil, without duplicates. It compares pointers.
func distinct(sets []*bitset.BitSet) []*bitset.BitSet {
	seen := make(map[*bitset.BitSet]bool, len(sets))
	out := make([]*bitset.BitSet, 0, len(sets))
	for _, s := range sets {
		if s != nil && !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}

// Members lists the nodes of each class. O(nodes).
func (c *Classes) Members() [][]uint32 {
	out := make([][]uint32, len(c.List))
	for i, id := range c.Of {
		out[id] = append(out[id], uint32(i))
	}
	return out
}

// Pairs returns the number of pairs of different nodes, one of class a and one of class
// b. The classes may be the same.
func (c *Classes) Pairs(a, b uint32) int {
	if a == b {
		n := c.List[a].Nodes
		return n * (n - 1) / 2
	}
	return c.List[a].Nodes * c.List[b].Nodes
}

// Union returns the nodes of the classes for which belongs returns true, nil if there
// are none. O(nodes).
func (c *Classes) Union(belongs func(class int) bool) *bitset.BitSet {
	yes := make([]bool, len(c.List))
	some := false
	for i := range c.List {
		yes[i] = belongs(i)
		some = some || yes[i]
	}
	if !some {
		return nil
	}
	set := bitset.New(uint(len(c.Of)))
	for i, id := range c.Of {
		if yes[id] {
			set.Set(uint(i))
		}
	}
	return set
}

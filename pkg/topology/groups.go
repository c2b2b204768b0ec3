package topology

import (
	"slices"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// trait is what a Node object says that decides how it peers, apart from which
// selectors match it.
type trait struct {
	four, six bool
	asn       int64 // -1 for none of its own
	clusterID string
	linkLocal bool   // the IPv6 address is, which no peer can dial
	alone     uint32 // number + 1 of a node that shares an address, else 0
}

// traits numbers the traits of the nodes.
type traits struct {
	of    []uint32 // of each node, an index into list
	list  []trait
	known map[trait]uint32
}

// newTraits numbers the traits of ix's nodes. old is an index that e leads
// from, or nil. O(nodes).
func newTraits(ix, old *index, e *edit) *traits {
	if old != nil && !ix.addresses.anyShared() && !old.addresses.anyShared() {
		if t := old.traits.edited(ix, e); t != nil {
			return t
		}
	}
	t := &traits{of: make([]uint32, len(ix.nodes)), known: map[trait]uint32{}}
	for i := range ix.nodes {
		k := ix.trait(i)
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

// edited returns the traits after an edit, t itself where they are the same;
// nil where a trait is new. No address may be shared, before or after.
func (t *traits) edited(ix *index, e *edit) *traits {
	ids := make([]uint32, 0, e.added)
	same := !e.shifts()
	for i := e.at; i < e.at+e.added; i++ {
		id, ok := t.known[ix.trait(i)]
		if !ok {
			return nil
		}
		ids = append(ids, id)
		same = same && id == t.of[i]
	}
	if same {
		return t
	}
	return &traits{of: slices.Concat(t.of[:e.at], ids, t.of[e.at+e.removed:]), list: t.list, known: t.known}
}

func (ix *index) trait(i int) trait {
	n := ix.nodes[i]
	k := trait{four: n.SpeaksBGP(calico.IPv4), six: n.SpeaksBGP(calico.IPv6), asn: -1, clusterID: n.ClusterID}
	k.linkLocal = k.six && linkLocal(n.Address[calico.IPv6].Addr())
	if n.ASNumber != nil {
		k.asn = int64(*n.ASNumber)
	}
	if ix.addresses.isShared(uint32(i)) {
		k.alone = uint32(i) + 1
	}
	return k
}

// groups divides the nodes into groups that peer alike: all nodes of one have
// the same trait and are in the same sets that decide peering. What holds
// between a node of one group and a node of another, or of the same, holds
// between all such pairs, so that the work grows with the number of groups and
// not with the number of nodes.
type groups struct {
	of     []uint32 // of each node, an index into list; in order of first members
	list   []group
	splits []*bitset.BitSet
	traits *traits
}

// group is nodes that peer alike, never none.
type group struct {
	trait
	// first are the first few nodes, in order of names; first[0] stands for all.
	first []uint32
	nodes int
}

// firstNodes is how many first nodes a group names: enough for a sample of pairs
// of them.
const firstNodes = SampleSize + 1

// newGroups divides the nodes by their traits and by each set of splits. old,
// or nil, is returned if it is divided by the same. O(nodes + members of the
// sets).
func newGroups(t *traits, splits []*bitset.BitSet, old *groups) *groups {
	splits = distinct(splits)
	if old != nil && old.traits == t && slices.Equal(old.splits, splits) {
		return old
	}
	g := &groups{of: slices.Clone(t.of), splits: splits, traits: t}
	ids := uint32(len(t.list))
	buffer := make([]uint, 256)
	into := slices.Repeat([]uint32{0}, int(ids)) // 0 for none: no group is moved into an old one
	var moved []uint32
	for _, set := range splits {
		for i, members := set.NextSetMany(0, buffer); len(members) > 0; i, members = set.NextSetMany(i+1, buffer) {
			for _, m := range members {
				id := g.of[m]
				if into[id] == 0 {
					into[id] = ids
					into = append(into, 0)
					moved = append(moved, id)
					ids++
				}
				g.of[m] = into[id]
			}
		}
		for _, id := range moved {
			into[id] = 0
		}
		moved = moved[:0]
	}
	g.number(int(ids))
	return g
}

// number gives the groups their numbers, in order of their first members.
func (g *groups) number(ids int) {
	numbers := make([]uint32, ids)
	for i, id := range g.of {
		if numbers[id] == 0 {
			g.list = append(g.list, group{trait: g.traits.list[g.traits.of[i]], first: make([]uint32, 0, firstNodes)})
			numbers[id] = uint32(len(g.list))
		}
		number := numbers[id] - 1
		g.of[i] = number
		one := &g.list[number]
		one.nodes++
		if len(one.first) < firstNodes {
			one.first = append(one.first, uint32(i))
		}
	}
}

// distinct leaves out sets that are there already, by identity.
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

// speaks reports whether the nodes of the group have an address in family f.
func (g *group) speaks(f calico.Family) bool {
	if f == calico.IPv4 {
		return g.four
	}
	return g.six
}

func (g *group) reflector() bool { return g.clusterID != "" }

// members lists the nodes of each group. O(nodes).
func (g *groups) members() [][]uint32 {
	out := make([][]uint32, len(g.list))
	for i, id := range g.of {
		out[id] = append(out[id], uint32(i))
	}
	return out
}

// pairs counts the pairs of different nodes of groups a and b, which may be
// the same.
func (g *groups) pairs(a, b uint32) int {
	if a == b {
		n := g.list[a].nodes
		return n * (n - 1) / 2
	}
	return g.list[a].nodes * g.list[b].nodes
}

// union returns the nodes of the groups that belong, and nil for no group.
// O(nodes).
func (g *groups) union(belongs func(i int) bool) *bitset.BitSet {
	yes := make([]bool, len(g.list))
	some := false
	for i := range g.list {
		yes[i] = belongs(i)
		some = some || yes[i]
	}
	if !some {
		return nil
	}
	set := bitset.New(uint(len(g.of)))
	for i, id := range g.of {
		if yes[id] {
			set.Set(uint(i))
		}
	}
	return set
}

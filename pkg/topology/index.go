package topology

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"

	"github.com/bits-and-blooms/bitset"
	corev1 "k8s.io/api/core/v1"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// index holds the nodes of one snapshot as columns and bit sets; node i is
// nodes[i], in order of names. It is shared by all topologies whose nodes are
// the same, and safe for concurrent use.
type index struct {
	nodes      []*calico.Node
	bgp        [2]*bitset.BitSet // those with an address, by family
	speakers   *bitset.BitSet    // those with an address in any family
	reflectors *bitset.BitSet    // those with a cluster ID
	notReady   *bitset.BitSet    // those that speak BGP and are not ready
	addresses  *addresses
	traits     *traits
	zones      *column

	mu         sync.Mutex
	columns    map[string]*column   // by label, made when a selector first asks
	selections map[string]selection // by selector
	limit      int                  // of selections
}

// selection is what a selector selects; the set is never changed.
type selection struct {
	selector *calico.Selector
	nodes    *bitset.BitSet
}

// maxTried bounds the selectors that an index remembers beside those that are in
// use: those that were only tried.
const maxTried = 4096

// newIndex indexes nodes; what an index of other nodes, or nil, knows of those
// that are in both is taken from it, and of the selectors those that keep
// reports to be still in use. O(nodes log nodes) without one. With one
// that differs in a few nodes, O(nodes) with a small constant, and nothing at
// all for the sets that come out the same.
func newIndex(nodes []*calico.Node, old *index, keep func(selector string) bool) *index {
	if old != nil {
		if e := diff(old.nodes, nodes); e.small() && !e.renames(old.nodes, nodes) {
			return old.edited(nodes, e, keep)
		}
	}
	n := uint(len(nodes))
	ix := &index{
		nodes: nodes, bgp: [2]*bitset.BitSet{bitset.New(n), bitset.New(n)}, reflectors: bitset.New(n), notReady: bitset.New(n),
		columns: map[string]*column{}, selections: map[string]selection{},
	}
	for i, node := range nodes {
		for _, f := range calico.Families {
			ix.bgp[f].SetTo(uint(i), node.SpeaksBGP(f))
		}
		ix.reflectors.SetTo(uint(i), node.RouteReflector())
		ix.notReady.SetTo(uint(i), isDown(node))
	}
	ix.speakers = ix.bgp[calico.IPv4].Union(ix.bgp[calico.IPv6])
	ix.addresses = newAddresses(nodes)
	ix.traits = newTraits(ix, nil, nil)
	ix.zones = ix.column(corev1.LabelTopologyZone)
	return ix
}

func isDown(n *calico.Node) bool {
	return n.NotReady && (n.SpeaksBGP(calico.IPv4) || n.SpeaksBGP(calico.IPv6))
}

// edited returns the index after e, sharing with ix what e leaves as it was.
func (ix *index) edited(nodes []*calico.Node, e *edit, keep func(selector string) bool) *index {
	out := &index{nodes: nodes, columns: map[string]*column{}, selections: map[string]selection{}}
	for _, f := range calico.Families {
		out.bgp[f] = e.carry(ix.bgp[f], nodes, func(n *calico.Node) bool { return n.SpeaksBGP(f) })
	}
	if out.bgp == ix.bgp {
		out.speakers = ix.speakers
	} else {
		out.speakers = out.bgp[calico.IPv4].Union(out.bgp[calico.IPv6])
	}
	out.reflectors = e.carry(ix.reflectors, nodes, (*calico.Node).RouteReflector)
	out.notReady = e.carry(ix.notReady, nodes, isDown)
	out.addresses = ix.addresses
	if e.shifts() || !slices.EqualFunc(ix.nodes[e.at:e.at+e.removed], nodes[e.at:e.at+e.added], func(a, b *calico.Node) bool { return a.Address == b.Address }) {
		out.addresses = ix.addresses.edited(nodes, e)
	}
	out.traits = newTraits(out, ix, e)
	ix.mu.Lock()
	defer ix.mu.Unlock()
	for label, c := range ix.columns {
		if carried := c.edited(label, nodes, e); carried != nil {
			out.columns[label] = carried
		}
	}
	for text, s := range ix.selections {
		if !keep(text) {
			continue
		}
		out.selections[text] = selection{s.selector, e.carry(s.nodes, nodes, func(n *calico.Node) bool { return s.selector.Matches(n.Labels) })}
	}
	if out.zones = out.columns[corev1.LabelTopologyZone]; out.zones == nil {
		out.zones = out.column(corev1.LabelTopologyZone)
	}
	return out
}

// sameSessions reports whether nothing that decides or describes sessions and
// routes differs between the nodes of two indexes.
func (ix *index) sameSessions(old *index) bool {
	return ix == old || ix.bgp == old.bgp && ix.traits == old.traits && ix.addresses == old.addresses && ix.notReady == old.notReady && ix.zones == old.zones
}

// Len implements calico.Universe.
func (ix *index) Len() uint { return uint(len(ix.nodes)) }

func (ix *index) size() int { return len(ix.nodes) }

// Having implements calico.Universe. O(nodes / 64 + nodes that match).
func (ix *index) Having(label string, values ...string) *bitset.BitSet {
	c := ix.column(label)
	set := bitset.New(ix.Len())
	for _, v := range values {
		if id, ok := c.known[v]; ok {
			for _, i := range c.nodesWith(id) {
				set.Set(uint(i))
			}
		}
	}
	return set
}

// Where implements calico.Universe. O(nodes) with one comparison each.
func (ix *index) Where(label string, match func(string, bool) bool) *bitset.BitSet {
	c := ix.column(label)
	yes := make([]bool, len(c.values))
	for id, v := range c.values {
		yes[id] = match(v, id != 0)
	}
	set := bitset.New(ix.Len())
	for i, id := range c.ids {
		if yes[id] {
			set.Set(uint(i))
		}
	}
	return set
}

// selected returns the nodes that a selector matches; nil, for one that does
// not parse, matches none. The set must not be changed.
func (ix *index) selected(text string, s *calico.Selector) *bitset.BitSet {
	if s == nil {
		return bitset.New(ix.Len())
	}
	ix.mu.Lock()
	known, ok := ix.selections[text]
	ix.mu.Unlock()
	if ok {
		return known.nodes
	}
	set := s.Select(ix)
	ix.mu.Lock()
	defer ix.mu.Unlock()
	if known, ok := ix.selections[text]; ok {
		return known.nodes // Two that ask at once get one set, to be told equal at a glance.
	}
	if len(ix.selections) >= ix.limit {
		clear(ix.selections)
	}
	ix.selections[text] = selection{s, set}
	return set
}

// use makes room for the selectors of so many BGPPeers.
func (ix *index) use(peers int) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	ix.limit = max(ix.limit, 2*peers+maxTried)
}

// find returns the number of the node with the given name.
func (ix *index) find(name string) (uint, bool) {
	i, ok := slices.BinarySearchFunc(ix.nodes, name, func(n *calico.Node, name string) int { return cmp.Compare(n.Name, name) })
	return uint(i), ok
}

// named returns the set of the node with the given name, empty when there is
// none: Calico takes the name as it stands.
func (ix *index) named(name string) *bitset.BitSet {
	set := bitset.New(ix.Len())
	if i, ok := ix.find(name); ok {
		set.Set(i)
	}
	return set
}

// nodeSet names the first few nodes of set.
func (ix *index) nodeSet(set *bitset.BitSet, members string) NodeSet {
	out := NodeSet{Sample: []string{}, Members: members}
	if set == nil {
		return out
	}
	out.Nodes = int(set.Count())
	for i, ok := set.NextSet(0); ok && len(out.Sample) < SampleSize; i, ok = set.NextSet(i + 1) {
		out.Sample = append(out.Sample, ix.nodes[i].Name)
	}
	return out
}

// sample names the first few of nodes, in order; it sorts them.
func (ix *index) sample(nodes []uint32) []string {
	out := []string{}
	slices.Sort(nodes)
	for _, i := range nodes[:min(len(nodes), SampleSize)] {
		out = append(out, ix.nodes[i].Name)
	}
	return out
}

// addresses are the BGP addresses of all nodes, in order.
type addresses struct {
	list []located
	// shared are the nodes whose address another one has too, by family.
	shared [2]*bitset.BitSet
}

type located struct {
	address netip.Addr
	node    uint32
}

func compareLocated(a, b located) int {
	return cmp.Or(a.address.Compare(b.address), cmp.Compare(a.node, b.node))
}

func newAddresses(nodes []*calico.Node) *addresses {
	a := &addresses{list: make([]located, 0, len(nodes))}
	for i, n := range nodes {
		a.add(n, i)
	}
	slices.SortFunc(a.list, compareLocated)
	a.findShared()
	return a
}

func (a *addresses) add(n *calico.Node, i int) {
	for _, f := range calico.Families {
		if n.SpeaksBGP(f) {
			a.list = append(a.list, located{n.Address[f].Addr(), uint32(i)})
		}
	}
}

func (a *addresses) edited(nodes []*calico.Node, e *edit) *addresses {
	out := &addresses{list: make([]located, 0, len(a.list)+2*e.added)}
	for _, l := range a.list {
		switch i := int(l.node); {
		case i < e.at:
			out.list = append(out.list, l)
		case i >= e.at+e.removed:
			out.list = append(out.list, located{l.address, uint32(i - e.removed + e.added)})
		}
	}
	fresh := &addresses{}
	for i := e.at; i < e.at+e.added; i++ {
		fresh.add(nodes[i], i)
	}
	for _, l := range fresh.list {
		i, _ := slices.BinarySearchFunc(out.list, l, compareLocated)
		out.list = slices.Insert(out.list, i, l)
	}
	out.findShared()
	return out
}

func (a *addresses) findShared() {
	a.shared = [2]*bitset.BitSet{{}, {}}
	for i := 1; i < len(a.list); i++ {
		if p, q := a.list[i-1], a.list[i]; p.address == q.address {
			f := calico.FamilyOf(p.address)
			a.shared[f].Set(uint(p.node)).Set(uint(q.node))
		}
	}
}

// isShared reports whether another node has an address of node i too.
func (a *addresses) isShared(i uint32) bool {
	return a.shared[calico.IPv4].Test(uint(i)) || a.shared[calico.IPv6].Test(uint(i))
}

func (a *addresses) anyShared() bool {
	return a.shared[calico.IPv4].Any() || a.shared[calico.IPv6].Any()
}

// at returns the nodes with an address, in order.
func (a *addresses) at(address netip.Addr) []located {
	from, _ := slices.BinarySearchFunc(a.list, located{address, 0}, compareLocated)
	to := from
	for to < len(a.list) && a.list[to].address == address {
		to++
	}
	return a.list[from:to]
}

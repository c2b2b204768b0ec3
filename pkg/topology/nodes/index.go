package nodes

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"sync"

	"github.com/bits-and-blooms/bitset"
	corev1 "k8s.io/api/core/v1"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// Index holds the nodes of one snapshot as columns and sets. All topologies of the same
// nodes share it. It is safe for concurrent use. Callers must not change its fields.
type Index struct {
	Nodes      []*calico.Node    // in order of names
	BGP        [2]*bitset.BitSet // nodes with an address, by family
	Speakers   *bitset.BitSet    // nodes with an address in at least one family
	Reflectors *bitset.BitSet    // nodes with a cluster ID
	NotReady   *bitset.BitSet    // nodes with an address that are not ready
	Zones      *Column           // of the label topology.kubernetes.io/zone
	// Misdetected are, by family, the nodes with an address that other nodes probably cannot
	// reach; see misdetected.
	Misdetected [2]*bitset.BitSet

	addresses *addresses
	others    *others
	identity  *identities

	mu         sync.Mutex
	columns    map[string]*Column   // by label, made when a selector first reads it
	selections map[string]selection // by selector, without those in shared
	// shared are the selections of the index from which this one was edited, if all of them are the same. It is not changed.
	shared map[string]selection
	limit  int // maximum number of selections
	// read are the labels that a cached selector reads or has read.
	read map[string]bool
	// token identifies the index. origin is the token of the index from which this one was edited, nil if the
	// numbers of its nodes are others. changed are the labels in read that differ between the two.
	token, origin *token
	changed       map[string]bool
	// relabelled reports that the nodes differ from those of origin only in labels that are not in read.
	relabelled bool
	none       *bitset.BitSet
}

// token identifies an index without keeping it in memory.
type token struct{ _ byte }

// selection is a selector, the nodes that it matches, and those of them that it matches
// unintendedly; see calico.Selector.Unintended. The sets are never changed.
type selection struct {
	selector          *calico.Selector
	nodes, unintended *bitset.BitSet
}

// maxTried is the number of selectors that an index caches in addition to those of the
// BGPPeers, for example selectors that a user tries.
const maxTried = 4096

// New returns the index of nodes, which must be in order of names. old is the index of
// an earlier snapshot, or nil. If few nodes changed, New reuses the sets of old, and the
// cached selectors for which keep returns true. O(nodes log nodes) without old. If few
// nodes changed, O(nodes) with a small constant; unchanged sets are not copied.
func New(nodes []*calico.Node, old *Index, keep func(selector string) bool) *Index {
	if old != nil {
		if slices.Equal(old.Nodes, nodes) {
			return old
		}
		if e := diff(old.Nodes, nodes); e.small() && !e.renames(old.Nodes, nodes) {
			return old.edited(nodes, e, keep)
		}
	}
	n := uint(len(nodes))
	ix := &Index{
		Nodes: nodes, BGP: [2]*bitset.BitSet{bitset.New(n), bitset.New(n)}, Reflectors: bitset.New(n), NotReady: bitset.New(n),
		none: bitset.New(n), columns: map[string]*Column{}, selections: map[string]selection{}, read: map[string]bool{}, token: &token{},
	}
	for i, node := range nodes {
		for _, f := range calico.Families {
			ix.BGP[f].SetTo(uint(i), node.SpeaksBGP(f))
		}
		ix.Reflectors.SetTo(uint(i), node.RouteReflector())
		ix.NotReady.SetTo(uint(i), isDown(node))
	}
	ix.Speakers = ix.BGP[calico.IPv4].Union(ix.BGP[calico.IPv6])
	ix.addresses = newAddresses(nodes)
	ix.others = newOthers(nodes)
	ix.Misdetected = ix.misdetected()
	ix.identity = newIdentities(ix, nil, nil)
	ix.Zones = ix.column(corev1.LabelTopologyZone)
	return ix
}

func isDown(n *calico.Node) bool {
	return n.NotReady && (n.SpeaksBGP(calico.IPv4) || n.SpeaksBGP(calico.IPv6))
}

// edited returns the index after an edit. It shares unchanged parts with ix.
func (ix *Index) edited(nodes []*calico.Node, e *edit, keep func(selector string) bool) *Index {
	out := &Index{Nodes: nodes, columns: map[string]*Column{}, token: &token{}, none: ix.none}
	if e.shifts() {
		out.none = bitset.New(uint(len(nodes)))
	}
	for _, f := range calico.Families {
		out.BGP[f] = e.carry(ix.BGP[f], nodes, func(n *calico.Node) bool { return n.SpeaksBGP(f) })
	}
	if out.BGP == ix.BGP {
		out.Speakers = ix.Speakers
	} else {
		out.Speakers = out.BGP[calico.IPv4].Union(out.BGP[calico.IPv6])
	}
	out.Reflectors = e.carry(ix.Reflectors, nodes, (*calico.Node).RouteReflector)
	out.NotReady = e.carry(ix.NotReady, nodes, isDown)
	out.addresses = ix.addresses
	if e.shifts() || !slices.EqualFunc(ix.Nodes[e.at:e.at+e.removed], nodes[e.at:e.at+e.added], func(a, b *calico.Node) bool { return a.Address == b.Address }) {
		out.addresses = ix.addresses.edited(nodes, e)
	}
	out.others = ix.others.edited(ix.Nodes[e.at:e.at+e.removed], nodes[e.at:e.at+e.added])
	out.Misdetected = ix.Misdetected
	if out.addresses != ix.addresses || !slices.EqualFunc(ix.Nodes[e.at:e.at+e.removed], nodes[e.at:e.at+e.added], (*calico.Node).SameStatus) {
		out.Misdetected = out.misdetected()
	}
	out.identity = newIdentities(out, ix, e)
	ix.mu.Lock()
	defer ix.mu.Unlock()
	for label, c := range ix.columns {
		if carried := c.edited(label, nodes, e); carried != nil {
			out.columns[label] = carried
		}
	}
	if !e.shifts() {
		out.origin, out.changed = ix.token, ix.changedLabels(nodes, e)
	}
	if out.origin != nil && len(out.changed) == 0 && len(ix.selections)+len(ix.shared) <= ix.limit/2 {
		out.shareSelections(ix)
	} else {
		out.carrySelections(ix, e, keep)
	}
	if out.Zones = out.columns[corev1.LabelTopologyZone]; out.Zones == nil {
		out.Zones = out.column(corev1.LabelTopologyZone)
	}
	out.relabelled = out.origin != nil && len(out.changed) == 0 && out.Zones == ix.Zones &&
		slices.EqualFunc(ix.Nodes[e.at:e.at+e.removed], nodes[e.at:e.at+e.added], (*calico.Node).SameButLabels)
	return out
}

// changedLabels returns the labels that an edit changes and that a cached selector reads, nil for none.
func (ix *Index) changedLabels(nodes []*calico.Node, e *edit) map[string]bool {
	var changed map[string]bool
	add := func(from, to map[string]string) {
		for label, value := range from {
			if other, ok := to[label]; ix.read[label] && (!ok || other != value) {
				if changed == nil {
					changed = map[string]bool{}
				}
				changed[label] = true
			}
		}
	}
	for i := e.at; i < e.at+e.added; i++ {
		add(ix.Nodes[i].Labels, nodes[i].Labels)
		add(nodes[i].Labels, ix.Nodes[i].Labels)
	}
	return changed
}

// carrySelections sets the selections of ix after an edit of old. It drops those for which keep returns false.
func (ix *Index) carrySelections(old *Index, e *edit, keep func(selector string) bool) {
	ix.selections, ix.read = make(map[string]selection, len(old.selections)+len(old.shared)), map[string]bool{}
	for _, from := range []map[string]selection{old.shared, old.selections} {
		for text, s := range from {
			if !keep(text) {
				continue
			}
			if !ix.unchanged(s.selector) {
				s = selection{
					s.selector,
					e.carry(s.nodes, ix.Nodes, func(n *calico.Node) bool { return s.selector.Matches(n.Labels) }),
					e.carry(s.unintended, ix.Nodes, func(n *calico.Node) bool { return s.selector.Unintended(n.Labels) }),
				}
			}
			ix.add(text, s)
		}
	}
}

// shareSelections sets the selections of ix to those of old, none of which has changed. It copies them if old has added many to
// those that it shares, so that an index costs little for many selectors.
func (ix *Index) shareSelections(old *Index) {
	ix.read, ix.shared, ix.selections = old.read, old.shared, maps.Clone(old.selections)
	if len(old.selections) > len(old.shared)/maxOwn {
		ix.shared, ix.selections = maps.Clone(old.shared), map[string]selection{}
		if ix.shared == nil {
			ix.shared = map[string]selection{}
		}
		maps.Copy(ix.shared, old.selections)
	}
}

// maxOwn is the part of the shared selections that an index adds before they are shared as well.
const maxOwn = 16

// cached returns the selection of a selector.
func (ix *Index) cached(text string) (selection, bool) {
	if s, ok := ix.shared[text]; ok {
		return s, true
	}
	s, ok := ix.selections[text]
	return s, ok
}

// unchanged reports whether a selector that was cached matches the same nodes as in the index from which ix was
// edited, because no label that it reads has changed.
func (ix *Index) unchanged(s *calico.Selector) bool {
	return ix.origin != nil && (len(ix.changed) == 0 || !slices.ContainsFunc(s.Labels(), func(label string) bool { return ix.changed[label] }))
}

// SameSelection reports whether a selector matches the same nodes, intendedly or not, as in the index from which
// ix was edited, in which it was selected. The arguments are those of Select. O(labels of the selector), and the cost of
// Select if one of these labels has changed. For another index, it may return false although they are the same.
func (ix *Index) SameSelection(old *Index, text string, s *calico.Selector) bool {
	if ix == old || s == nil {
		return true
	}
	if ix.origin != old.token {
		return false
	}
	if ix.unchanged(s) {
		return true
	}
	a, b := ix.selection(text, s), old.selection(text, s)
	return a.nodes == b.nodes && a.unintended == b.unintended
}

// add caches a selection. Other indexes may share the labels in read, so that a new one is added to a copy.
func (ix *Index) add(text string, s selection) {
	ix.selections[text] = s
	for _, label := range s.selector.Labels() {
		if !ix.read[label] {
			ix.read = maps.Clone(ix.read)
			ix.read[label] = true
		}
	}
}

// SameSessions reports whether the nodes of two indexes are equal in everything that
// decides or describes sessions and routes, except the nodes that selectors match. O(1).
func (ix *Index) SameSessions(old *Index) bool {
	return ix == old || ix.BGP == old.BGP && ix.identity == old.identity && ix.addresses == old.addresses && ix.others == old.others && ix.NotReady == old.NotReady && ix.Zones == old.Zones
}

// Same reports whether the nodes of two indexes are equal in everything but labels that no selector reads, whose zones are the same. For
// an index that was not edited from old, it may return false although they are. O(1).
func (ix *Index) Same(old *Index) bool {
	return ix == old || ix.relabelled && ix.origin == old.token
}

// Len implements calico.Universe: it returns the number of nodes.
func (ix *Index) Len() uint { return uint(len(ix.Nodes)) }

// Having implements calico.Universe. O(nodes / 64 + nodes that match).
func (ix *Index) Having(label string, values ...string) *bitset.BitSet {
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

// Where implements calico.Universe. O(nodes), and one call of match for each
// distinct value.
func (ix *Index) Where(label string, match func(value string, present bool) bool) *bitset.BitSet {
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

// Select returns the nodes that a selector matches. s is nil for a selector that does
// not parse, which matches no nodes. text is the text of the selector and the key of the
// cache. Callers must not change the set. O(1) if the result is cached, otherwise the
// cost of Selector.Select.
func (ix *Index) Select(text string, s *calico.Selector) *bitset.BitSet {
	return ix.selection(text, s).nodes
}

// Unintended returns the nodes that a selector matches unintendedly; see
// calico.Selector.Unintended. The arguments and the cost are those of Select.
func (ix *Index) Unintended(text string, s *calico.Selector) *bitset.BitSet {
	return ix.selection(text, s).unintended
}

func (ix *Index) selection(text string, s *calico.Selector) selection {
	if s == nil {
		return selection{nodes: ix.none, unintended: ix.none}
	}
	ix.mu.Lock()
	known, ok := ix.cached(text)
	ix.mu.Unlock()
	if ok {
		return known
	}
	set := s.Select(ix)
	fresh := selection{s, set, ix.none}
	if s.ReadsHas() {
		fresh.unintended = s.SelectUnintended(ix, set)
	}
	ix.mu.Lock()
	defer ix.mu.Unlock()
	if known, ok := ix.cached(text); ok {
		return known // Another goroutine cached it in the meantime.
	}
	if len(ix.selections)+len(ix.shared) >= ix.limit {
		clear(ix.selections)
		ix.shared = nil
	}
	ix.add(text, fresh)
	return fresh
}

// Reserve makes room in the cache for the selectors of the given number of BGPPeers.
func (ix *Index) Reserve(peers int) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	ix.limit = max(ix.limit, 2*peers+maxTried)
}

// Cached returns the numbers of selectors and labels in the caches.
func (ix *Index) Cached() (selectors, labels int) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	return len(ix.selections) + len(ix.shared), len(ix.columns)
}

// Find returns the number of the node with the given name. O(log nodes).
func (ix *Index) Find(name string) (uint, bool) {
	i, ok := slices.BinarySearchFunc(ix.Nodes, name, func(n *calico.Node, name string) int { return cmp.Compare(n.Name, name) })
	return uint(i), ok
}

// Named returns the set of the node with the given name, empty if it does not exist. It is as short as possible, because there can
// be one for each node. Callers must not change it.
func (ix *Index) Named(name string) *bitset.BitSet {
	if i, ok := ix.Find(name); ok {
		return bitset.New(i + 1).Set(i)
	}
	return ix.none
}

// None returns the empty set. Callers must not change it.
func (ix *Index) None() *bitset.BitSet { return ix.none }

// Names returns the names of the first nodes of a set, at most limit. O(limit).
func (ix *Index) Names(set *bitset.BitSet, limit int) []string {
	out := []string{}
	for i, ok := set.NextSet(0); ok && len(out) < limit; i, ok = set.NextSet(i + 1) {
		out = append(out, ix.Nodes[i].Name)
	}
	return out
}

// At returns the numbers of the nodes that have the BGP address, in order. O(log nodes +
// nodes with the address).
func (ix *Index) At(address netip.Addr) []uint32 { return ix.addresses.at(address) }

// Owns reports whether an address is one of a node, for BGP or another. O(log nodes).
func (ix *Index) Owns(address netip.Addr) bool {
	return len(ix.addresses.at(address)) > 0 || ix.others.has(address)
}

// Shared returns the nodes whose BGP address in family f another node has too. Callers
// must not change the set. O(1).
func (ix *Index) Shared(f calico.Family) *bitset.BitSet { return ix.addresses.shared[f] }

// Shares reports whether another node has one of the BGP addresses of node i. O(1).
func (ix *Index) Shares(i uint32) bool { return ix.addresses.isShared(i) }

// ASNumbers returns the AS numbers that are set on nodes. O(nodes), with a very small constant.
func (ix *Index) ASNumbers() map[uint32]bool {
	used := make([]bool, len(ix.identity.list)) // An edit can leave identities that no node has.
	for _, id := range ix.identity.of {
		used[id] = true
	}
	out := map[uint32]bool{}
	for i := range ix.identity.list {
		if one := &ix.identity.list[i]; one.OwnASN && used[i] {
			out[one.ASN] = true
		}
	}
	return out
}

func (ix *Index) column(label string) *Column {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	c := ix.columns[label]
	if c == nil {
		c = newColumn(label, ix.Nodes)
		ix.columns[label] = c
	}
	return c
}

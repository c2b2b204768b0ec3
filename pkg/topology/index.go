package topology

import (
	"net/netip"
	"slices"
	"sync"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// index holds the nodes of one snapshot as columns and bit sets; node i is
// nodes[i], in order of names. It is shared by all topologies whose nodes are
// the same slice, and safe for concurrent use.
type index struct {
	nodes      []*calico.Node
	bgp        [2]*bitset.BitSet // those with an address, by family
	speakers   *bitset.BitSet    // those with an address in any family
	reflectors *bitset.BitSet    // those with a cluster ID
	byAddress  map[netip.Addr][]uint
	counts     *Nodes
	mesh       Mesh // as if it were on; see meshOf

	mu      sync.Mutex
	columns map[string]*column // by label, made when a selector first asks
}

// column is one label's value on every node: an index into values, whose
// first entry stands for the label's absence.
type column struct {
	ids    []uint32
	values []string
}

func newIndex(nodes []*calico.Node) *index {
	n := uint(len(nodes))
	ix := &index{
		nodes: nodes, bgp: [2]*bitset.BitSet{bitset.New(n), bitset.New(n)}, reflectors: bitset.New(n),
		byAddress: make(map[netip.Addr][]uint, n), columns: map[string]*column{},
	}
	for i, node := range nodes {
		for _, f := range calico.Families {
			if node.SpeaksBGP(f) {
				ix.bgp[f].Set(uint(i))
				a := node.Address[f].Addr()
				ix.byAddress[a] = append(ix.byAddress[a], uint(i))
			}
		}
		if node.RouteReflector() {
			ix.reflectors.Set(uint(i))
		}
	}
	ix.speakers = ix.bgp[calico.IPv4].Union(ix.bgp[calico.IPv6])
	ix.counts = &Nodes{Total: len(nodes), BGP: int(ix.speakers.Count()), Reflectors: int(ix.speakers.IntersectionCardinality(ix.reflectors))}
	ix.mesh = ix.meshOfAll()
	return ix
}

// meshOfAll is the mesh if it is on: a pair of nodes has a session in each
// family in which both have an address, unless one of them is a route
// reflector (confd/pkg/backends/calico/bgp_processor.go).
func (ix *index) meshOfAll() Mesh {
	four, six := ix.bgp[calico.IPv4].Difference(ix.reflectors), ix.bgp[calico.IPv6].Difference(ix.reflectors)
	n4, n6 := int(four.Count()), int(six.Count())
	m := Mesh{Nodes: int(four.UnionCardinality(six)), Sessions: n4*(n4-1)/2 + n6*(n6-1)/2}
	// The node with the most sessions is one with addresses in both families,
	// where there is such a node.
	m.SessionsPerNode = max(n4-1, n6-1, 0)
	if four.IntersectionCardinality(six) > 0 {
		m.SessionsPerNode = n4 - 1 + n6 - 1
	}
	return m
}

// Len implements calico.Universe.
func (ix *index) Len() uint { return uint(len(ix.nodes)) }

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

func (ix *index) column(label string) *column {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	if c := ix.columns[label]; c != nil {
		return c
	}
	c := &column{ids: make([]uint32, len(ix.nodes)), values: []string{""}}
	ids := map[string]uint32{}
	for i, node := range ix.nodes {
		v, ok := node.Labels[label]
		if !ok {
			continue
		}
		id, known := ids[v]
		if !known {
			id = uint32(len(c.values))
			ids[v] = id
			c.values = append(c.values, v)
		}
		c.ids[i] = id
	}
	ix.columns[label] = c
	return c
}

// all returns the set of all nodes.
func (ix *index) all() *bitset.BitSet {
	set := bitset.New(ix.Len())
	set.FlipRange(0, ix.Len())
	return set
}

// named returns the set of the node with the given name, empty when there is
// none: Calico takes the name as it stands.
func (ix *index) named(name string) *bitset.BitSet {
	set := bitset.New(ix.Len())
	if i, ok := slices.BinarySearchFunc(ix.nodes, name, func(n *calico.Node, name string) int {
		switch {
		case n.Name < name:
			return -1
		case n.Name > name:
			return 1
		default:
			return 0
		}
	}); ok {
		set.Set(uint(i))
	}
	return set
}

// sample names the first few nodes of set.
func (ix *index) sample(set *bitset.BitSet) []string {
	out := []string{}
	for i, ok := set.NextSet(0); ok && len(out) < SampleSize; i, ok = set.NextSet(i + 1) {
		out = append(out, ix.nodes[i].Name)
	}
	return out
}

package topology

import (
	"slices"
	"sync"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// edit is how one list of nodes differs from another: from at on, so many are
// removed and so many added; all else is the same.
type edit struct{ at, removed, added int }

// maxEdit is how many nodes an edit touches at the most; beyond, making all
// anew is cheaper than moving bits one by one.
const maxEdit = 64

// diff finds the edit that leads from one list to the other. O(nodes) with a
// comparison of pointers each.
func diff(from, to []*calico.Node) *edit {
	start, n := 0, min(len(from), len(to))
	for start < n && from[start] == to[start] {
		start++
	}
	end := 0
	for end < n-start && from[len(from)-1-end] == to[len(to)-1-end] {
		end++
	}
	return &edit{at: start, removed: len(from) - start - end, added: len(to) - start - end}
}

func (e *edit) small() bool { return e.removed <= maxEdit && e.added <= maxEdit }

// renames reports whether a node takes the place of another in one step.
func (e *edit) renames(from, to []*calico.Node) bool {
	return !e.shifts() && !slices.EqualFunc(from[e.at:e.at+e.removed], to[e.at:e.at+e.added], func(a, b *calico.Node) bool { return a.Name == b.Name })
}

// shifts reports whether nodes behind the edit get other numbers.
func (e *edit) shifts() bool { return e.removed != e.added }

// carry returns set after the edit, holding those of the added nodes that
// belong; set itself where that is the same.
func (e *edit) carry(set *bitset.BitSet, nodes []*calico.Node, belongs func(*calico.Node) bool) *bitset.BitSet {
	if !e.shifts() && !slices.ContainsFunc(e.places(), func(i uint) bool { return set.Test(i) != belongs(nodes[i]) }) {
		return set
	}
	out := set.Clone()
	if e.shifts() {
		for range e.removed {
			out.DeleteAt(uint(e.at))
		}
		for range e.added {
			out.InsertAt(uint(e.at))
		}
		// DeleteAt keeps the last word when it is no longer needed.
		n := uint(len(nodes))
		out = bitset.FromWithLength(n, out.Words()[:(n+63)/64])
	}
	for _, i := range e.places() {
		out.SetTo(i, belongs(nodes[i]))
	}
	return out
}

// places lists the numbers of the added nodes.
func (e *edit) places() []uint {
	out := make([]uint, e.added)
	for i := range out {
		out[i] = uint(e.at + i)
	}
	return out
}

// splice returns list after the edit, with what value says of the added nodes.
func splice[T any](list []T, e *edit, nodes []*calico.Node, value func(*calico.Node) T) []T {
	out := make([]T, 0, len(list)-e.removed+e.added)
	out = append(out, list[:e.at]...)
	for _, n := range nodes[e.at : e.at+e.added] {
		out = append(out, value(n))
	}
	return append(out, list[e.at+e.removed:]...)
}

// column is one label's value on every node: an index into values, whose
// first entry stands for the label's absence.
type column struct {
	ids    []uint32
	values []string
	known  map[string]uint32

	once   sync.Once
	byID   []uint32 // the nodes in order of their values
	starts []uint32 // of each value, where its nodes start in byID
}

// nodesWith returns the nodes whose value has the given ID. O(nodes) the first
// time, then O(1).
func (c *column) nodesWith(id uint32) []uint32 {
	c.once.Do(func() {
		c.starts = make([]uint32, len(c.values)+1)
		for _, id := range c.ids {
			c.starts[id+1]++
		}
		for id := range c.values {
			c.starts[id+1] += c.starts[id]
		}
		next := slices.Clone(c.starts)
		c.byID = make([]uint32, len(c.ids))
		for i, id := range c.ids {
			c.byID[next[id]] = uint32(i)
			next[id]++
		}
	})
	return c.byID[c.starts[id]:c.starts[id+1]]
}

func (ix *index) column(label string) *column {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	if c := ix.columns[label]; c != nil {
		return c
	}
	c := &column{ids: make([]uint32, len(ix.nodes)), values: []string{""}, known: map[string]uint32{}}
	for i, node := range ix.nodes {
		c.ids[i] = c.id(label, node)
	}
	ix.columns[label] = c
	return c
}

func (c *column) id(label string, node *calico.Node) uint32 {
	v, ok := node.Labels[label]
	if !ok {
		return 0
	}
	id, known := c.known[v]
	if !known {
		id = uint32(len(c.values))
		c.known[v] = id
		c.values = append(c.values, v)
	}
	return id
}

// edited returns the column after an edit, c itself where it is the same, and
// nil where a value is new: it is then made anew when it is next asked for, so
// that values which no node has any more do not pile up.
func (c *column) edited(label string, nodes []*calico.Node, e *edit) *column {
	same := !e.shifts()
	for i, n := range nodes[e.at : e.at+e.added] {
		v, ok := n.Labels[label]
		id, known := c.known[v]
		switch {
		case !ok:
			id = 0
		case !known:
			return nil
		}
		same = same && c.ids[e.at+i] == id
	}
	if same {
		return c
	}
	return &column{ids: splice(c.ids, e, nodes, func(n *calico.Node) uint32 { return c.id(label, n) }), values: c.values, known: c.known}
}

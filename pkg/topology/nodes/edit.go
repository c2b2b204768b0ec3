package nodes

import (
	"slices"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// edit is how one list of nodes differs from another: at one place, some nodes are
// removed and others are added.
type edit struct{ at, removed, added int }

// maxEdit is the largest number of nodes that a small edit removes or adds. Beyond
// it, a new index costs less than moving bits one by one.
const maxEdit = 64

// diff returns the edit that leads from one list to the other. O(nodes) with one
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

// renames reports whether the edit replaces a node by one with another name.
func (e *edit) renames(from, to []*calico.Node) bool {
	return !e.shifts() && !slices.EqualFunc(from[e.at:e.at+e.removed], to[e.at:e.at+e.added], func(a, b *calico.Node) bool { return a.Name == b.Name })
}

// shifts reports whether nodes behind the edit get other numbers.
func (e *edit) shifts() bool { return e.removed != e.added }

// carry returns set after the edit, with those of the added nodes that belong to
// it; set itself where it is the same.
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
		// DeleteAt keeps the last word where it is no longer needed.
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

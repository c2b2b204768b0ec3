package nodes

import (
	"slices"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// edit is the difference between two lists of nodes: at index at, nodes are removed and
// others are added.
type edit struct{ at, removed, added int }

// maxEdit is the maximum number of nodes that a small edit removes or adds. For a larger
// edit, a new index costs less than shifting the sets once for each node.
const maxEdit = 64

// diff returns the edit from one list to the other. O(nodes), with one comparison of
// pointers for each node.
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

// renames reports whether the edit replaces nodes by the same number of nodes with other
// names.
func (e *edit) renames(from, to []*calico.Node) bool {
	return !e.shifts() && !slices.EqualFunc(from[e.at:e.at+e.removed], to[e.at:e.at+e.added], func(a, b *calico.Node) bool { return a.Name == b.Name })
}

// shifts reports whether the numbers of the nodes after the edit change.
func (e *edit) shifts() bool { return e.removed != e.added }

// carry returns set after the edit. It contains the added nodes for which belongs
// returns true. carry returns set itself if it is unchanged.
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
		// DeleteAt does not drop a last word that is no longer needed.
		n := uint(len(nodes))
		out = bitset.FromWithLength(n, out.Words()[:(n+63)/64])
	}
	for _, i := range e.places() {
		out.SetTo(i, belongs(nodes[i]))
	}
	return out
}

// places returns the numbers of the added nodes.
func (e *edit) places() []uint {
	out := make([]uint, e.added)
	for i := range out {
		out[i] = uint(e.at + i)
	}
	return out
}

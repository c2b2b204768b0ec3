package nodes

import (
	"slices"

	"github.com/bits-and-blooms/bitset"
)

// List is a set of nodes. If it has few nodes, they are also in a list, which is faster
// to read than a set over all nodes. Callers must not change it.
type List struct {
	Set   *bitset.BitSet
	Short []uint32 // nil for 0 nodes and for more than MaxShort
	Len   int
}

// MaxShort is the maximum length of List.Short.
const MaxShort = 64

// NewList returns set as a List. O(nodes / 64).
func NewList(set *bitset.BitSet) List {
	l := List{Set: set, Len: int(set.Count())}
	if l.Len > 0 && l.Len <= MaxShort {
		l.Short = make([]uint32, 0, l.Len)
		for i, ok := set.NextSet(0); ok; i, ok = set.NextSet(i + 1) {
			l.Short = append(l.Short, uint32(i))
		}
	}
	return l
}

// Each calls visit with the nodes in order, until visit returns false.
func (l *List) Each(visit func(i uint32) bool) {
	if l.Len <= MaxShort {
		for _, i := range l.Short {
			if !visit(i) {
				return
			}
		}
		return
	}
	for i, ok := l.Set.NextSet(0); ok; i, ok = l.Set.NextSet(i + 1) {
		if !visit(uint32(i)) {
			return
		}
	}
}

// Some reports whether holds returns true for at least one of the nodes.
func (l *List) Some(holds func(i uint32) bool) bool {
	found := false
	l.Each(func(i uint32) bool {
		found = holds(i)
		return !found
	})
	return found
}

// AddTo adds the nodes to a set.
func (l *List) AddTo(set *bitset.BitSet) {
	if l.Len > MaxShort {
		set.InPlaceUnion(l.Set)
	}
	for _, i := range l.Short {
		set.Set(uint(i))
	}
}

// Meets reports whether at least one of the nodes is in set.
func (l *List) Meets(set *bitset.BitSet) bool {
	if l.Len > MaxShort {
		return set.IntersectionCardinality(l.Set) > 0
	}
	return slices.ContainsFunc(l.Short, func(i uint32) bool { return set.Test(uint(i)) })
}

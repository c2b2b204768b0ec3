package report

import (
	"slices"

	"github.com/bgpguard/bgpguard/pkg/topology"
)

// Routes is the data of a report on the routes that a node or an external peer receives.
type Routes struct {
	// Node is the node, Peer the address of the external peer; the other one is "".
	Node, Peer string
	// Transit reports that the tables of a node assume that external peers pass routes on.
	Transit bool
	// Tables are the routes by family. A family in which the node has no address, or no node has a
	// session with the external peer, has none.
	Tables []topology.RouteTable
	// Before are the tables before the change, and Changed reports that there is one.
	Before  []topology.RouteTable
	Changed bool
}

// routeTable returns the table of a family, an empty one if there is none.
func routeTable(list []topology.RouteTable, family string) *topology.RouteTable {
	i := slices.IndexFunc(list, func(t topology.RouteTable) bool { return t.Family == family })
	if i < 0 {
		return &topology.RouteTable{Family: family, Complete: true}
	}
	return &list[i]
}

// The marks of a row of a comparison.
const (
	markSame    = " "
	markAdded   = "+"
	markRemoved = "-"
)

// marked is a value of a comparison and its mark.
type marked[T any] struct {
	value T
	mark  string
}

// compared returns the values of both lists, in order, with their marks. key returns equal texts
// for equal values. O(before + after).
func compared[T any](before, after []T, key func(*T) string) []marked[T] {
	was, is := map[string]bool{}, map[string]bool{}
	for i := range before {
		was[key(&before[i])] = true
	}
	for i := range after {
		is[key(&after[i])] = true
	}
	var out []marked[T]
	next := 0
	removed := func() {
		for ; next < len(before) && !is[key(&before[next])]; next++ {
			out = append(out, marked[T]{before[next], markRemoved})
		}
	}
	for i := range after {
		removed()
		if !was[key(&after[i])] {
			out = append(out, marked[T]{after[i], markAdded})
			continue
		}
		out = append(out, marked[T]{after[i], markSame})
		next++
	}
	for ; next < len(before); next++ {
		if !is[key(&before[next])] {
			out = append(out, marked[T]{before[next], markRemoved})
		}
	}
	return out
}

// only returns the values with a mark.
func only[T any](list []marked[T], mark string) []T {
	out := []T{}
	for _, m := range list {
		if m.mark == mark {
			out = append(out, m.value)
		}
	}
	return out
}

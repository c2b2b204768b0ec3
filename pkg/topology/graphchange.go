package topology

import (
	"cmp"
	"slices"
)

// GraphChange is the topologies before and after a change in one graph. A group is the
// nodes that were in one group before and are in one group after.
type GraphChange struct {
	Groups    []GroupChange
	Externals []ExternalChange
	Links     []LinkChange
}

// GroupChange is a group before and after. Before is nil if its nodes did not exist or
// had no address, After if they no longer exist or have none.
type GroupChange struct{ Before, After *Group }

// ExternalChange is an external peer before and after; nil if no node peered with it.
type ExternalChange struct{ Before, After *ExternalPeers }

// LinkChange is a Link with its numbers of sessions before and after. Families and
// Sources are those of both.
type LinkChange struct {
	From, To, Kind    string
	Before, After     int
	Families, Sources []string
}

// GraphChange returns the graph of the change that leads from before to t. The IDs of
// groups and external peers are the same on both sides. The cost is that of Graph.
func (t *Topology) GraphChange(before *Topology) *GraphChange {
	old, now := before.newGrapher(), t.newGrapher()
	old.many = old.many || now.many
	now.many = old.many
	old.divide(nil)
	now.divide(nil)

	// A label is a group before and a group after, in the order of the nodes of t.
	type pair struct{ was, is int }
	number := map[pair]int{}
	label := func(was, is int) int {
		n, ok := number[pair{was, is}]
		if !ok {
			n = len(number)
			number[pair{was, is}] = n
		}
		return n
	}
	oldLabels, labels := make([]int, len(before.index.Nodes)), make([]int, len(t.index.Nodes))
	for i := range oldLabels {
		oldLabels[i] = -1
	}
	t.matched(before, func(i, k int) {
		was := -1
		if k >= 0 {
			was = old.group(k)
		}
		labels[i] = label(was, now.group(i))
		if k >= 0 {
			oldLabels[k] = labels[i]
		}
	})
	for k, l := range oldLabels {
		if l < 0 { // The node was deleted.
			oldLabels[k] = label(old.group(k), -1)
		}
	}
	many := now.many
	old, now = before.newGrapher(), t.newGrapher()
	old.many, now.many = many, many
	old.divide(oldLabels)
	now.divide(labels)
	return joinGraphs(old.draw(), now.draw())
}

// joinGraphs joins two graphs whose groups and external peers have the same IDs.
func joinGraphs(before, after *Graph) *GraphChange {
	out := &GraphChange{}
	index := map[string]int{}
	at := func(id string, add func() int) int {
		i, ok := index[id]
		if !ok {
			i = add()
			index[id] = i
		}
		return i
	}
	group := func(g *Group) *GroupChange {
		return &out.Groups[at(g.ID, func() int { out.Groups = append(out.Groups, GroupChange{}); return len(out.Groups) - 1 })]
	}
	external := func(e *ExternalPeers) *ExternalChange {
		return &out.Externals[at(e.ID, func() int { out.Externals = append(out.Externals, ExternalChange{}); return len(out.Externals) - 1 })]
	}
	links := map[linkKey]int{}
	link := func(l *Link) *LinkChange {
		from, to := min(l.From, l.To), max(l.From, l.To)
		key := linkKey{from, to, l.Kind}
		i, ok := links[key]
		if !ok {
			i = len(out.Links)
			links[key] = i
			out.Links = append(out.Links, LinkChange{From: from, To: to, Kind: l.Kind})
		}
		c := &out.Links[i]
		c.Families, c.Sources = union(c.Families, l.Families), union(c.Sources, l.Sources)
		return c
	}
	for i := range before.Groups {
		group(&before.Groups[i]).Before = &before.Groups[i]
	}
	for i := range after.Groups {
		group(&after.Groups[i]).After = &after.Groups[i]
	}
	for i := range before.Externals {
		external(&before.Externals[i]).Before = &before.Externals[i]
	}
	for i := range after.Externals {
		external(&after.Externals[i]).After = &after.Externals[i]
	}
	for i := range before.Links {
		link(&before.Links[i]).Before += before.Links[i].Sessions
	}
	for i := range after.Links {
		link(&after.Links[i]).After += after.Links[i].Sessions
	}
	slices.SortFunc(out.Links, func(a, b LinkChange) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To), cmp.Compare(a.Kind, b.Kind))
	})
	return out
}

// union returns the strings of a and b, sorted.
func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

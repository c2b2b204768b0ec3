package state

import (
	"slices"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// Live returns the live state: the snapshot without the objects that are down, which are
// terminating objects and Nodes that are not ready. Observations, which do not decide BGP,
// stay. It returns s if nothing is down.
//
// Lists in which nothing is down are shared with s. Other lists are shared with before, an
// earlier live state or nil, if they contain the same objects, so that comparisons with it
// are as fast as if Apply had created the snapshot from it. O(n).
func (s *Snapshot) Live(before *Snapshot) *Snapshot {
	if s == nil {
		return nil
	}
	n := *s
	changed := false
	for i, info := range calico.Kinds() {
		if info.Observation {
			continue
		}
		list := s.lists[i].Without(calico.Down)
		if list.Len() == s.lists[i].Len() {
			continue
		}
		changed = true
		n.lists[i] = list.Sharing(before.orEmpty().lists[i])
	}
	if slices.ContainsFunc(n.typha.rejected, calico.Down) {
		changed = true
		n.typha.rejected = slices.DeleteFunc(slices.Clone(n.typha.rejected), calico.Down)
	}
	if !changed {
		return s
	}
	n.reread(s)
	return &n
}

// LiveChange returns what a change does to the live state: Before and After are nil where
// they are down. If c.Before is the object in s, s.Live(nil).Apply(LiveChange(c)) equals
// s.Apply(c).Live(nil). If both are nil, the change does not touch the live state.
func LiveChange(c Change) Change {
	if calico.Down(c.Before) {
		c.Before = nil
	}
	if calico.Down(c.After) {
		c.After = nil
	}
	return c
}

// downSample is how many objects Down names.
const downSample = 3

// Down counts the objects that Live leaves out, and names the first few. O(n).
func (s *Snapshot) Down() (n int, sample []calico.ID) {
	for i, info := range calico.Kinds() {
		if info.Observation {
			continue
		}
		list := s.orEmpty().lists[i]
		without := list.Without(calico.Down)
		if without.Len() == list.Len() {
			continue
		}
		n += list.Len() - without.Len()
		list.Changes(without, func(before, _ calico.Object) {
			if before != nil && len(sample) < downSample {
				sample = append(sample, before.ID())
			}
		})
	}
	return n, sample
}

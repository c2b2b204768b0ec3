package state

import (
	"cmp"
	"slices"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// Unread returns the objects that exist and do not parse, sorted by kind and name. The state
// has none of their fields. They must not be changed. CalicoNodeStatuses, which do not decide
// BGP, are never unread.
func (s *Snapshot) Unread() []*calico.Unparsed { return s.orEmpty().unread }

func compareIDs(a, b calico.ID) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
}

func searchUnread(unread []*calico.Unparsed, id calico.ID) (int, bool) {
	return slices.BinarySearchFunc(unread, id, func(u *calico.Unparsed, id calico.ID) int { return compareIDs(u.ID(), id) })
}

// unreadOf returns the unread object with the given ID, nil if there is none.
func (s *Snapshot) unreadOf(id calico.ID) *calico.Unparsed {
	unread := s.Unread()
	if i, ok := searchUnread(unread, id); ok {
		return unread[i]
	}
	return nil
}

// replaceUnread returns unread with u in place of the object with the given ID, or without it
// if u is nil.
func replaceUnread(unread []*calico.Unparsed, id calico.ID, u *calico.Unparsed) []*calico.Unparsed {
	i, found := searchUnread(unread, id)
	if u == nil && !found {
		return unread
	}
	end := i
	if found {
		end++
	}
	var middle []*calico.Unparsed
	if u != nil && !id.Kind.Info().Observation {
		middle = []*calico.Unparsed{u}
	}
	return slices.Concat(unread[:i], middle, unread[end:])
}

// withUnread sets the unread objects of a new snapshot of objects, of which the last one with
// an ID counts.
func (s *Snapshot) withUnread(objects []calico.Object) *Snapshot {
	if !slices.ContainsFunc(objects, calico.IsUnparsed) {
		return s
	}
	last := map[calico.ID]calico.Object{}
	for _, o := range objects {
		last[o.ID()] = o
	}
	for id, o := range last {
		u, ok := o.(*calico.Unparsed)
		i := id.Kind.Index()
		if !ok || i < 0 {
			continue
		}
		if s.lists[i].Get(id.Name) != nil {
			s.lists[i] = s.lists[i].With(id.Name, nil)
		}
		s.unread = replaceUnread(s.unread, id, u)
	}
	return s
}

// unlistedChanges returns changes, which are sorted by kind, without those of objects that are
// unread or dropped by Typha in before or after, and with the changes of these objects.
func unlistedChanges(changes []Change, before, after *Snapshot) []Change {
	ids := map[calico.ID]bool{}
	for _, s := range []*Snapshot{before, after} {
		for _, u := range s.Unread() {
			ids[u.ID()] = true
		}
		if s.Drops() {
			for _, o := range s.Rejected() {
				ids[o.ID()] = true
			}
		}
	}
	if len(ids) == 0 {
		return changes
	}
	changes = slices.DeleteFunc(changes, func(c Change) bool { return ids[c.ID()] })
	for id := range ids {
		if c := (Change{Before: before.Get(id), After: after.Get(id)}); !calico.Equal(c.Before, c.After) {
			changes = append(changes, c)
		}
	}
	slices.SortFunc(changes, func(a, b Change) int {
		return cmp.Or(cmp.Compare(a.ID().Kind.Index(), b.ID().Kind.Index()), cmp.Compare(a.ID().Name, b.ID().Name))
	})
	return changes
}

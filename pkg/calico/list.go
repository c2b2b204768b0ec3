package calico

import (
	"cmp"
	"slices"
)

// List is an immutable list of the objects of one kind, sorted by name. Names are unique.
// All arguments of its methods have the same kind.
type List interface {
	// Len returns the number of objects.
	Len() int
	// Get returns the object with the given name, nil if there is no such object. O(log n).
	Get(name string) Object
	// Of returns a list of the given objects, which may be in any order. If two objects
	// have the same name, the list contains the later one. O(n log n).
	Of(objects []Object) List
	// With returns a copy of the list in which o replaces the object with the given name.
	// If o is nil, the copy has no object with this name. It copies one slice of
	// pointers. O(n).
	With(name string, o Object) List
	// Same reports whether two lists share their memory, and therefore contain the same
	// objects. Lists that do not share memory may contain the same objects too. O(1).
	Same(other List) bool
	// Sharing returns old if it contains the same objects, else the list itself. O(n).
	Sharing(old List) List
	// Without returns the list without the objects for which drop returns true, in their
	// order. It returns the list itself if there are none. O(n).
	Without(drop func(Object) bool) List
	// Map returns the list with the result of by for each object, which has the same name. It
	// returns the list itself if they are the same objects. O(n).
	Map(by func(Object) Object) List
	// Changes calls yield for each name whose object differs in after, sorted by name. A
	// missing object is nil. Changes does not compare objects that both lists share.
	// O(n).
	Changes(after List, yield func(before, after Object))
}

// Objects implements List as a slice of typed objects.
type Objects[T interface {
	comparable
	Object
}] []T

// Len returns the number of objects.
func (l Objects[T]) Len() int { return len(l) }

func (l Objects[T]) search(name string) (int, bool) {
	return slices.BinarySearchFunc(l, name, func(o T, name string) int { return cmp.Compare(o.ID().Name, name) })
}

// Get implements List.
func (l Objects[T]) Get(name string) Object {
	if i, ok := l.search(name); ok {
		return l[i]
	}
	return nil
}

// Of implements List.
func (l Objects[T]) Of(objects []Object) List {
	if len(objects) == 0 {
		return Objects[T](nil)
	}
	all := make(Objects[T], 0, len(objects))
	for _, o := range objects {
		if typed, ok := o.(T); ok {
			all = append(all, typed)
		}
	}
	slices.SortStableFunc(all, func(a, b T) int { return cmp.Compare(a.ID().Name, b.ID().Name) })
	out := all[:0]
	for i, o := range all {
		if i+1 == len(all) || all[i+1].ID().Name != o.ID().Name {
			out = append(out, o)
		}
	}
	return out
}

// With implements List.
func (l Objects[T]) With(name string, o Object) List {
	i, found := l.search(name)
	end := i
	if found {
		end++
	}
	var middle []T
	if typed, ok := o.(T); ok {
		middle = []T{typed}
	}
	return slices.Concat(l[:i], middle, l[end:])
}

// Same implements List.
func (l Objects[T]) Same(other List) bool {
	m, ok := other.(Objects[T])
	return ok && len(l) == len(m) && (len(l) == 0 || &l[0] == &m[0])
}

// Sharing implements List.
func (l Objects[T]) Sharing(old List) List {
	if m, ok := old.(Objects[T]); ok && slices.Equal(m, l) {
		return old
	}
	return l
}

// Without implements List.
func (l Objects[T]) Without(drop func(Object) bool) List {
	i := slices.IndexFunc(l, func(o T) bool { return drop(o) })
	if i < 0 {
		return l
	}
	out := make(Objects[T], i, len(l)-1)
	copy(out, l)
	for _, o := range l[i+1:] {
		if !drop(o) {
			out = append(out, o)
		}
	}
	return out
}

// Map implements List.
func (l Objects[T]) Map(by func(Object) Object) List {
	out, shared := l, true
	for i, o := range l {
		typed, ok := by(o).(T)
		if !ok || typed == o {
			continue
		}
		if shared {
			out, shared = slices.Clone(l), false
		}
		out[i] = typed
	}
	return out
}

// Changes implements List.
func (l Objects[T]) Changes(after List, yield func(before, after Object)) {
	m, ok := after.(Objects[T])
	if !ok || l.Same(m) {
		return
	}
	for len(l) > 0 || len(m) > 0 {
		switch order := compareFirst(l, m); {
		case order < 0:
			yield(l[0], nil)
			l = l[1:]
		case order > 0:
			yield(nil, m[0])
			m = m[1:]
		default:
			if l[0] != m[0] && !Equal(l[0], m[0]) {
				yield(l[0], m[0])
			}
			l, m = l[1:], m[1:]
		}
	}
}

// compareFirst compares the names of the first objects. An empty list sorts last.
func compareFirst[T interface {
	comparable
	Object
}](l, m Objects[T]) int {
	switch {
	case len(l) == 0:
		return 1
	case len(m) == 0:
		return -1
	default:
		return cmp.Compare(l[0].ID().Name, m[0].ID().Name)
	}
}

package report

import (
	"cmp"
	"iter"
	"reflect"

	"github.com/bgpguard/bgpguard/pkg/topology"
)

// difference is a half-session that a change adds (Before is nil), removes
// (After is nil) or alters.
type difference struct{ Before, After *topology.HalfSession }

// altered is the JSON form of a difference that has both sides.
type altered struct {
	Before topology.HalfSession `json:"before"`
	After  topology.HalfSession `json:"after"`
}

// differences compares two sequences that are in order of node, family and protocol. It
// holds one half-session of each. O(before + after).
func differences(before, after iter.Seq[topology.HalfSession]) iter.Seq[difference] {
	return func(yield func(difference) bool) {
		nextBefore, stopBefore := iter.Pull(before)
		defer stopBefore()
		nextAfter, stopAfter := iter.Pull(after)
		defer stopAfter()
		b, moreBefore := nextBefore()
		a, moreAfter := nextAfter()
		for moreBefore || moreAfter {
			order := compare(b, a)
			switch {
			case !moreBefore:
				order = 1
			case !moreAfter:
				order = -1
			}
			var d difference
			if order <= 0 {
				d.Before = new(b)
				b, moreBefore = nextBefore()
			}
			if order >= 0 {
				d.After = new(a)
				a, moreAfter = nextAfter()
			}
			if !reflect.DeepEqual(d.Before, d.After) && !yield(d) {
				return
			}
		}
	}
}

func compare(a, b topology.HalfSession) int {
	return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Family, b.Family), cmp.Compare(a.Protocol, b.Protocol))
}

// changes returns the differences between t.Before and t.
func (t *Topology) changes() iter.Seq[difference] { return differences(t.Before.Sessions, t.Sessions) }

// added, removed and altered return the half-sessions that the change adds, removes and
// alters.
func (t *Topology) added() iter.Seq[topology.HalfSession] {
	return pick(t.changes(), func(d difference) (topology.HalfSession, bool) {
		return deref(d.After), d.Before == nil
	})
}

func (t *Topology) removed() iter.Seq[topology.HalfSession] {
	return pick(t.changes(), func(d difference) (topology.HalfSession, bool) {
		return deref(d.Before), d.After == nil
	})
}

func (t *Topology) altered() iter.Seq[altered] {
	return pick(t.changes(), func(d difference) (altered, bool) {
		return altered{deref(d.Before), deref(d.After)}, d.Before != nil && d.After != nil
	})
}

// pick yields f of each value for which f returns true.
func pick[T, U any](seq iter.Seq[T], f func(T) (U, bool)) iter.Seq[U] {
	return func(yield func(U) bool) {
		for v := range seq {
			if u, ok := f(v); ok && !yield(u) {
				return
			}
		}
	}
}

// deref returns *p, or the zero value if p is nil.
func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

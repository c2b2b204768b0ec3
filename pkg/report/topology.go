package report

import (
	"iter"
	"slices"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology"
)

// versionFlag is what else than a state tells Calico's version.
const versionFlag = "--calico-version or "

// Topology is what a report shows of one state. Sequences can be long (a full
// mesh of 5,000 nodes has 25 million half-sessions), can be ranged over more
// than once, and are never held as a whole.
type Topology struct {
	Summary *topology.Summary
	// Node is the node that Sessions, Broken, Ambiguous and Frozen are about, ""
	// for all.
	Node      string
	Sessions  iter.Seq[topology.HalfSession]
	Broken    iter.Seq[topology.BrokenSession]
	Ambiguous iter.Seq[topology.AmbiguousSession]
	Frozen    []topology.FrozenNode
	Ignored   []topology.Ignored
	Graph     *topology.Graph
	// Reflectors are the route reflectors, in order of names.
	Reflectors []Reflector
	// WithTransit says which assumption about peers outside Text and HTML show: that
	// these carry routes on, or that they do not.
	WithTransit bool
	// Before is the topology before a change, nil where there is no change.
	Before *Topology
}

// Reflector is a route reflector and its load.
type Reflector struct {
	Node      string
	ClusterID string
	// Sessions counts the half-sessions on it on which a session stands or whose
	// other side is not known.
	Sessions int
}

// reach is what the report says of the routes in one family, under the
// assumption of t.
func (t *Topology) reach(r *topology.Routes) *topology.Reach {
	if t.WithTransit {
		return r.WithTransit
	}
	return r.WithoutTransit
}

// unknown stands for a total that only a look at all of a sequence tells.
const unknown = -1

// totals counts the broken and the ambiguous half-sessions. The summary knows
// them for all nodes, so that nobody has to look at 25 million half-sessions to
// find that none is broken.
func (t *Topology) totals() (broken, ambiguous int) {
	if t.Node != "" {
		return unknown, unknown
	}
	for _, f := range calico.Families {
		s := t.Summary.Sessions.In(f)
		broken, ambiguous = broken+s.Broken, ambiguous+s.Ambiguous.HalfSessions
	}
	return broken, ambiguous
}

// take is seq, which has total values, without a look for one more.
func take[T any](seq iter.Seq[T], total int) iter.Seq[T] {
	if total == unknown {
		return seq
	}
	return func(yield func(T) bool) {
		if total == 0 {
			return
		}
		taken := 0
		for v := range seq {
			taken++
			if !yield(v) || taken == total {
				return
			}
		}
	}
}

// first returns the first limit values of seq, and how many there are in all.
func first[T any](seq iter.Seq[T], limit, total int) (values []T, all int) {
	if total == unknown {
		for v := range seq {
			if all < limit {
				values = append(values, v)
			}
			all++
		}
		return values, all
	}
	return slices.Collect(take(seq, min(limit, total))), total
}

// head is first for a slice.
func head[T any](list []T, limit int) (values []T, all int) {
	return first(slices.Values(list), limit, len(list))
}

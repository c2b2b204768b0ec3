package report

import (
	"iter"
	"slices"
	"time"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/report/picture"
	"github.com/bgpguard/bgpguard/pkg/topology"
)

// versionHint describes the flag of "bgpguard topology" that sets the Calico version.
const versionHint = "set --calico-version or "

// Topology is the data of a report on one state. Sequences can be long (a full mesh of
// 5,000 nodes has 25 million half-sessions), can be ranged over more than once, and
// are never held in memory.
type Topology struct {
	Summary *topology.Summary
	// Node is the only node in Sessions, Broken, Ambiguous and Frozen; "" for all
	// nodes.
	Node string
	// Described describes Node; nil for all nodes, and if the state does not have the node.
	Described *topology.NodeDescription
	Sessions  iter.Seq[topology.HalfSession]
	Broken    iter.Seq[topology.BrokenSession]
	Ambiguous iter.Seq[topology.AmbiguousSession]
	Frozen    []topology.FrozenNode
	Ignored   []topology.Ignored
	Graph     *topology.Graph
	// Reflectors are the route reflectors, in order of names.
	Reflectors []Reflector
	// WithTransit makes Text and HTML show the routes with transit through external
	// peers, else those without.
	WithTransit bool
	// Before is the topology before the change; nil if there is no change.
	Before *Topology
	// Change is the graphs before and after the change; nil if there is no change.
	Change *topology.GraphChange
	// Impact is what the change does; nil if there is no change.
	Impact *topology.Impact
	// Changes are the changes with their decisions, in the order in which they are applied.
	Changes []Checked
	// Version is that of bgpguard, Time when the topology was computed. Cluster names the
	// cluster, "" if the state is from files; Origin describes the files.
	Version, Cluster, Origin string
	Time                     time.Time
	// Color makes Text use the colors of a terminal.
	Color bool
}

// Reflector is a route reflector and its load.
type Reflector struct {
	Node      string
	ClusterID string
	// Sessions is the number of its half-sessions that can come up, including those
	// with an unknown remote side.
	Sessions int
}

// reach returns the reachability in one family under the reading of external peers
// that t shows.
func (t *Topology) reach(r *topology.Routes) *topology.Reach {
	if t.WithTransit {
		return r.WithTransit
	}
	return r.WithoutTransit
}

// withoutLinks is reach if what is not known does not give nodes a common link.
func (t *Topology) withoutLinks(r *topology.Routes) *topology.Reach {
	switch {
	case r.WithoutLinks == nil:
		return t.reach(r)
	case t.WithTransit:
		return r.WithoutLinks.WithTransit
	}
	return r.WithoutLinks.WithoutTransit
}

// picture returns the picture of t, or that of the change if there is one.
func (t *Topology) picture() *picture.Picture {
	if t.Change != nil {
		return picture.Compare(t.Change)
	}
	return picture.New(t.Graph)
}

// isolated returns the nodes that are isolated in a family, of the family with the most.
func (t *Topology) isolated() topology.NodeSet {
	four, six := t.reach(&t.Summary.Routes.IPv4).Isolated, t.reach(&t.Summary.Routes.IPv6).Isolated
	if six.Nodes > four.Nodes {
		return six
	}
	return four
}

// unknown is a total that can only be found by ranging over the whole sequence.
const unknown = -1

// totals returns the numbers of broken and ambiguous half-sessions. For all nodes they
// come from the summary, which saves ranging over 25 million half-sessions.
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

// take returns seq, which has total values. It stops after the last one.
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

// first returns the first limit values of seq and the number of all values.
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

// head is first for slices.
func head[T any](list []T, limit int) (values []T, all int) {
	return first(slices.Values(list), limit, len(list))
}

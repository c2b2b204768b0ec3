package topology

import (
	"fmt"
	"slices"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// What follows tells parts of a summary as texts, by the summary itself and by
// counting in the naive model.

func levelsOf(r *Reflectors) string {
	text := fmt.Sprintf("%d reflectors, %d nodes", r.Total, r.Nodes)
	for _, l := range r.Levels {
		text += fmt.Sprintf("; %d: %d nodes %v", l.Reflectors, l.Nodes, l.Sample)
	}
	return text
}

func (m *naive) levels(f calico.Family) string {
	r := &Reflectors{}
	with := map[int][]string{}
	for _, n := range m.nodes {
		switch {
		case !n.SpeaksBGP(f):
		case n.RouteReflector():
			r.Total++
		default:
			r.Nodes++
			count := 0
			for _, s := range m.slots {
				if s.node == n && s.family == f && s.status == Paired && m.owner(f, s.peer).RouteReflector() {
					count++
				}
			}
			with[count] = append(with[count], n.Name)
		}
	}
	for count := range MaxLevel {
		if names := with[count]; len(names) > 0 {
			r.Levels = append(r.Levels, Level{Reflectors: count, Nodes: len(names), Sample: names[:min(SampleSize, len(names))]})
		}
	}
	return levelsOf(r)
}

// totalsOf leaves the reasons out where they depend on which candidate of an
// ambiguous half-session is looked at first.
func totalsOf(s *Sessions, certain bool) string {
	text := fmt.Sprintf("total %d, external %d, most %d on %q, broken %d, ambiguous %d, frozen %d %v",
		s.Total, s.External, s.Most, s.MostNode, s.Broken, s.Ambiguous, s.Frozen.Nodes, s.Frozen.Sample)
	if certain {
		text += fmt.Sprintf(", reasons %v", s.BrokenReasons)
	}
	return text
}

// certain tells whether all reasons are.
func (m *naive) certain(f calico.Family) bool {
	return !slices.ContainsFunc(m.slots, func(s *naiveSlot) bool { return s.family == f && s.status == Broken && !s.certain })
}

func (m *naive) totals(f calico.Family) string {
	out := &Sessions{BrokenReasons: map[Reason]int{}}
	paired := 0
	for _, n := range m.nodes {
		mine := 0
		for _, s := range m.slots {
			switch {
			case s.node != n || s.family != f:
				continue
			case s.ambiguous():
				out.Ambiguous++
			case s.status == External:
				out.External++
			case s.status == Broken:
				out.Broken++
				out.BrokenReasons[s.reason]++
			}
			if s.status == Paired {
				paired++
			}
			if s.status != Broken {
				mine++
			}
		}
		if mine > out.Most {
			out.Most, out.MostNode = mine, n.Name
		}
		if m.frozen(n, f) {
			out.Frozen.Nodes++
			if len(out.Frozen.Sample) < SampleSize {
				out.Frozen.Sample = append(out.Frozen.Sample, n.Name)
			}
		}
	}
	out.Total = paired / 2
	return totalsOf(out, m.certain(f))
}

func reachOf(r *Reach) string {
	return fmt.Sprintf("%d nodes, %d cut off %v, %d pairs without a route %v",
		r.Nodes, r.CutOff.Nodes, r.CutOff.Sample, r.WithoutRoute.Pairs, r.WithoutRoute.Sample)
}

func (m *naive) reach(f calico.Family, carried bool) string {
	out := &Reach{}
	var speakers []*calico.Node
	to := map[*calico.Node]map[*calico.Node]bool{}
	for _, n := range m.nodes {
		if n.SpeaksBGP(f) {
			speakers = append(speakers, n)
			to[n] = m.reached(f, n, carried)
		}
	}
	out.Nodes = len(speakers)
	for i, n := range speakers {
		if len(speakers) > 1 && m.alone(n, f, carried) {
			out.CutOff.Nodes++
			if len(out.CutOff.Sample) < SampleSize {
				out.CutOff.Sample = append(out.CutOff.Sample, n.Name)
			}
		}
		for _, other := range speakers[i+1:] {
			if !to[n][other] || !to[other][n] {
				out.WithoutRoute.Pairs++
				if len(out.WithoutRoute.Sample) < SampleSize {
					out.WithoutRoute.Sample = append(out.WithoutRoute.Sample, Pair{n.Name, other.Name})
				}
			}
		}
	}
	return reachOf(out)
}

// alone tells whether a node has no session to any other; with carried, what is
// outside makes one between all that peer with it.
func (m *naive) alone(n *calico.Node, f calico.Family, carried bool) bool {
	leaves, others := false, false
	for _, s := range m.slots {
		switch {
		case s.family != f || s.workload():
		case s.status == Paired && s.node == n:
			return false
		case s.status == External && s.node == n:
			leaves = true
		case s.status == External:
			others = true
		}
	}
	return !carried || !leaves || !others
}

package topology

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// frozenName begins the handle of the frozen nodes of a family, and, with a reason
// behind it, of those that are frozen for it.
const frozenName = "frozen/"

// brokenName is the handle of the nodes with half-sessions that are broken for a
// reason, ambiguousName that of those with ambiguous ones.
func brokenName(f calico.Family, reason Reason) string {
	return fmt.Sprintf("sessions/%s/broken/%s", f, reason)
}

func ambiguousName(f calico.Family) string { return fmt.Sprintf("sessions/%s/ambiguous", f) }

// atMostName is the handle of the nodes with sessions to at most so many route
// reflectors.
func atMostName(f calico.Family, level int) string {
	return fmt.Sprintf("reflectors/%s/atMost/%d", f, level)
}

// Gained tells what a set of the summary has that it did not have before: how
// many nodes or pairs of nodes, and the first few. Nodes are told by name; one
// that was not there before is new in every set. Members is a handle as in
// NodeSet; one that is not known is an error of the policy that gives it.
// O(nodes), for pairs O(nodes + kinds of nodes squared).
func (t *Topology) Gained(before *Topology, members string) (int, []string, error) {
	if t == before {
		return 0, nil, nil
	}
	parts := strings.Split(members, "/")
	if len(parts) == 4 && parts[0] == routesName && parts[3] == withoutRouteName {
		if f, transit, ok := assumption(parts); ok {
			n, sample := t.gainedPairs(before, f, transit)
			return n, sample, nil
		}
	}
	is, ok := t.member(parts)
	was, ok2 := before.member(parts)
	if !ok || !ok2 {
		return 0, nil, fmt.Errorf("members %q is no set of the summary", members)
	}
	n, sample := 0, []string{}
	t.matched(before, func(i, old int) {
		if is(i) && (old < 0 || !was(old)) {
			n++
			if len(sample) < SampleSize {
				sample = append(sample, t.index.nodes[i].Name)
			}
		}
	})
	return n, sample, nil
}

// matched calls visit with the number of each node and the one that it had
// before, -1 for none.
func (t *Topology) matched(before *Topology, visit func(i, old int)) {
	old := before.index.nodes
	k := 0
	for i, n := range t.index.nodes {
		for k < len(old) && old[k].Name < n.Name {
			k++
		}
		if k < len(old) && old[k].Name == n.Name {
			visit(i, k)
		} else {
			visit(i, -1)
		}
	}
}

func family(name string) (calico.Family, bool) {
	for _, f := range calico.Families {
		if f.String() == name {
			return f, true
		}
	}
	return 0, false
}

func assumption(parts []string) (f calico.Family, transit, ok bool) {
	f, ok = family(parts[1])
	return f, parts[2] == withTransitName, ok && (parts[2] == withTransitName || parts[2] == withoutTransitName)
}

// member returns the test for membership in a set of nodes.
func (t *Topology) member(parts []string) (is func(i int) bool, ok bool) {
	switch strings.Join(parts, "/") {
	case notReadyName:
		return within(t.index.notReady), true
	case waitingName:
		return within(t.waiting), true
	case meshNotReadyName:
		return within(t.meshNotReady()), true
	}
	if len(parts) < 2 {
		return nil, false
	}
	f, ok := family(parts[1])
	if !ok {
		return nil, false
	}
	switch part, rest := parts[0], parts[2:]; {
	case part+"/" == noAddressName && len(rest) == 0:
		return within(t.index.without(f)), true
	case part+"/" == frozenName && len(rest) == 0:
		return t.marked(f, t.tallies[f].frozen[anyRefusal]), true
	case part+"/" == frozenName && len(rest) == 1:
		return t.marked(f, t.tallies[f].frozen[rest[0]]), true
	case part == sessionsName:
		return t.sessionsMember(f, rest)
	case part == reflectorsName:
		return t.reflectorsMember(f, rest)
	case part == routesName:
		return t.routesMember(f, parts)
	}
	return nil, false
}

// within is the test for a set, of which nil is none.
func within(set *bitset.BitSet) func(int) bool {
	return func(i int) bool { return set != nil && set.Test(uint(i)) }
}

func (t *Topology) sessionsMember(f calico.Family, rest []string) (is func(int) bool, ok bool) {
	switch {
	case len(rest) == 1 && rest[0] == "ambiguous":
		return t.marked(f, &t.tallies[f].ambiguous), true
	case len(rest) == 2 && rest[0] == "broken":
		return t.marked(f, t.tallies[f].broken[Reason(rest[1])]), true
	case len(rest) == 2 && rest[0] == loadName:
		sessions, err := strconv.Atoi(rest[1])
		return t.atLeast(f, false, sessions), err == nil
	}
	return nil, false
}

func (t *Topology) reflectorsMember(f calico.Family, rest []string) (is func(int) bool, ok bool) {
	if len(rest) != 2 {
		return nil, false
	}
	number, err := strconv.Atoi(rest[1])
	switch rest[0] {
	case "atMost":
		return t.atMost(f, number), err == nil
	case loadName:
		return t.atLeast(f, true, number), err == nil
	}
	return nil, false
}

func (t *Topology) routesMember(f calico.Family, parts []string) (is func(int) bool, ok bool) {
	if len(parts) < 4 {
		return nil, false
	}
	_, transit, ok := assumption(parts)
	switch {
	case len(parts) == 4 && parts[3] == isolatedName:
		return t.isolated(f, transit), ok
	case len(parts) == 6 && parts[3] == pointName:
		return within(t.routings[f].pointSet(transit, point{parts[4], parts[5]})), ok
	}
	return nil, false
}

// marked is the test for marks, of which nil are none.
func (t *Topology) marked(f calico.Family, m *marks) func(int) bool {
	return func(i int) bool { return m.has(t.networks[f], i) }
}

func (t *Topology) atLeast(f calico.Family, reflectors bool, sessions int) func(int) bool {
	n, loads := t.networks[f], t.tallies[f].loads
	return func(i int) bool {
		g := n.groups.of[i]
		s := &n.sides[g]
		return s.speaks(f) && s.reflector() == reflectors && loads.of(i, g) >= sessions
	}
}

func (t *Topology) atMost(f calico.Family, level int) func(int) bool {
	n := t.networks[f]
	yes := make([]bool, len(n.sides))
	for g := range yes {
		s := &n.sides[g]
		yes[g] = s.speaks(f) && !s.reflector() && n.reflectorsOf(uint32(g)) <= level
	}
	return func(i int) bool { return yes[t.groups.of[i]] }
}

func (t *Topology) isolated(f calico.Family, transit bool) func(int) bool {
	r := t.routings[f]
	yes := make([]bool, len(r.vertices))
	nodes := 0
	for v := range yes {
		yes[v] = r.alone(r.of(transit), v)
		nodes += r.vertices[v].nodes
	}
	return func(i int) bool {
		v := r.vertexOf(uint(i))
		return nodes > 1 && v >= 0 && yes[v]
	}
}

// gainedPairs counts the pairs of nodes that have lost a route between them.
// Nodes that were and are alike are counted together.
func (t *Topology) gainedPairs(before *Topology, f calico.Family, transit bool) (int, []string) {
	type kind struct{ is, was int32 } // vertices; -1 for none, was -2 for a node that was not there
	counts, first := map[kind]int{}, map[kind][]int{}
	var kinds []kind
	now, old := t.routings[f], before.routings[f]
	t.matched(before, func(i, k int) {
		one := kind{now.vertexOf(uint(i)), -2}
		if k >= 0 {
			one.was = old.vertexOf(uint(k))
		}
		if one.is < 0 {
			return
		}
		if counts[one] == 0 {
			kinds = append(kinds, one)
		}
		counts[one]++
		if len(first[one]) < 2 {
			first[one] = append(first[one], i)
		}
	})
	// A node that had no address in the family, or was not there, had lost none.
	had := func(a, b kind) bool {
		return a.was < 0 || b.was < 0 || old.mutual(old.of(transit), int(a.was), int(b.was))
	}
	n, sample := 0, []string{}
	for x, a := range kinds {
		for _, b := range kinds[:x+1] {
			pairs, i, j := counts[a]*counts[b], first[a][0], first[b][0]
			if a == b {
				pairs = counts[a] * (counts[a] - 1) / 2
				j = first[a][len(first[a])-1]
			}
			if pairs == 0 || now.mutual(now.of(transit), int(a.is), int(b.is)) || !had(a, b) {
				continue
			}
			n += pairs
			if len(sample) < SampleSize {
				sample = append(sample, t.index.nodes[min(i, j)].Name+" and "+t.index.nodes[max(i, j)].Name)
			}
		}
	}
	return n, sample
}

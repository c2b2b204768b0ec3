package topology

import (
	"fmt"
	"strconv"
	"strings"

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
	if len(parts) == 4 && parts[0] == "routes" && parts[3] == withoutRouteName {
		if f, carried, ok := assumption(parts); ok {
			n, sample := t.gainedPairs(before, f, carried)
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

func assumption(parts []string) (f calico.Family, carried, ok bool) {
	f, ok = family(parts[1])
	return f, parts[2] == carriedName, ok && (parts[2] == carriedName || parts[2] == isolatedName)
}

// member returns the test for membership in a set of nodes.
func (t *Topology) member(parts []string) (is func(i int) bool, ok bool) {
	switch {
	case len(parts) == 1 && parts[0] == notReadyName:
		return func(i int) bool { return t.index.notReady.Test(uint(i)) }, true
	case len(parts) == 1 && parts[0] == waitingName:
		return func(i int) bool { return t.waiting != nil && t.waiting.Test(uint(i)) }, true
	case len(parts) == 2 && parts[0]+"/" == noAddressName:
		f, ok := family(parts[1])
		return func(i int) bool { return !t.index.bgp[f].Test(uint(i)) }, ok
	case strings.Join(parts, "/") == meshNotReadyName:
		set := t.meshNotReady()
		return func(i int) bool { return set != nil && set.Test(uint(i)) }, true
	case len(parts) == 2 && parts[0]+"/" == frozenName:
		f, ok := family(parts[1])
		return t.marked(f, t.tallies[f].frozen[anyRefusal]), ok
	case len(parts) == 3 && parts[0]+"/" == frozenName:
		f, ok := family(parts[1])
		return t.marked(f, t.tallies[f].frozen[parts[2]]), ok
	case len(parts) == 3 && parts[0] == sessionsName && parts[2] == "ambiguous":
		f, ok := family(parts[1])
		return t.marked(f, &t.tallies[f].ambiguous), ok
	case len(parts) == 4 && parts[0] == sessionsName && parts[2] == "broken":
		f, ok := family(parts[1])
		return t.marked(f, t.tallies[f].broken[Reason(parts[3])]), ok
	case len(parts) == 4 && (parts[0] == sessionsName || parts[0] == reflectorsName) && parts[2] == loadName:
		f, ok := family(parts[1])
		sessions, err := strconv.Atoi(parts[3])
		return t.atLeast(f, parts[0] == reflectorsName, sessions), ok && err == nil
	case len(parts) == 6 && parts[0] == "routes" && parts[3] == pointName:
		f, carried, ok := assumption(parts)
		set := t.routings[f].pointSets(carried)[point{parts[4], parts[5]}]
		return func(i int) bool { return set != nil && set.Test(uint(i)) }, ok
	case len(parts) == 4 && parts[0] == reflectorsName && parts[2] == "atMost":
		f, ok := family(parts[1])
		level, err := strconv.Atoi(parts[3])
		return t.atMost(f, level), ok && err == nil
	case len(parts) == 4 && parts[0] == "routes" && parts[3] == cutOffName:
		f, carried, ok := assumption(parts)
		return t.cutOff(f, carried), ok
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

func (t *Topology) cutOff(f calico.Family, carried bool) func(int) bool {
	r := t.routings[f]
	yes := make([]bool, len(r.vertices))
	nodes := 0
	for v := range yes {
		yes[v] = r.alone(r.of(carried), v)
		nodes += r.vertices[v].nodes
	}
	return func(i int) bool {
		v := r.vertexOf(uint(i))
		return nodes > 1 && v >= 0 && yes[v]
	}
}

// gainedPairs counts the pairs of nodes that have lost a route between them.
// Nodes that were and are alike are counted together.
func (t *Topology) gainedPairs(before *Topology, f calico.Family, carried bool) (int, []string) {
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
		return a.was < 0 || b.was < 0 || old.mutual(old.of(carried), int(a.was), int(b.was))
	}
	n, sample := 0, []string{}
	for x, a := range kinds {
		for _, b := range kinds[:x+1] {
			pairs, i, j := counts[a]*counts[b], first[a][0], first[b][0]
			if a == b {
				pairs = counts[a] * (counts[a] - 1) / 2
				j = first[a][len(first[a])-1]
			}
			if pairs == 0 || now.mutual(now.of(carried), int(a.is), int(b.is)) || !had(a, b) {
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

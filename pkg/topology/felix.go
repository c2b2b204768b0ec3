package topology

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology/nodes"
	"github.com/bgpguard/bgpguard/pkg/topology/sessions"
)

// felixScope is a FelixConfiguration and the nodes that read it.
type felixScope struct {
	*calico.FelixConfiguration

	nodes *bitset.BitSet
}

// felixScopes returns the FelixConfigurations that some nodes read before "default": those with a
// selector and those for one node, in this order. Of two in the result, a node reads the later
// one first. It is nil if there are no such objects. O(FelixConfigurations x nodes / 64) if the
// selectors are cached.
func (t *Topology) felixScopes() []felixScope {
	var scoped, own []felixScope
	selectors := calico.HasField(sessions.CalicoVersion(t.snapshot), calico.KindFelixConfiguration, "nodeSelector")
	for _, c := range t.snapshot.FelixConfigurations() {
		switch {
		case c.NodeOf() != "":
			if i, ok := t.index.Find(c.NodeOf()); ok {
				own = append(own, felixScope{c, bitset.New(t.index.Len()).Set(i)})
			}
		case c.Selects() != nil && selectors:
			scoped = append(scoped, felixScope{c, t.index.Select(c.NodeSelector, c.Selects())})
		}
	}
	slices.SortFunc(scoped, func(a, b felixScope) int {
		if a.Older(b.FelixConfiguration) {
			return -1
		}
		return 1
	})
	var taken *bitset.BitSet
	for i := range scoped { // Of several, a node reads only the oldest.
		if taken == nil {
			taken = scoped[i].nodes.Clone()
			continue
		}
		scoped[i].nodes = scoped[i].nodes.Difference(taken)
		taken.InPlaceUnion(scoped[i].nodes)
	}
	return slices.Concat(scoped, own)
}

// felixValue is the nodes whose Felix has another value of a field than FelixConfiguration
// "default", and the objects that set it.
type felixValue[T cmp.Ordered] struct {
	value   T
	nodes   *bitset.BitSet
	objects []string
}

// felixValues returns the values of a field that are not the one of "default", sorted. of returns
// the value in an object, false if the object does not set the field.
func felixValues[T cmp.Ordered](ix *nodes.Index, scopes []felixScope, def T, of func(*calico.FelixConfiguration) (T, bool)) []felixValue[T] {
	var out []felixValue[T]
	taken := bitset.New(ix.Len())
	for _, s := range slices.Backward(scopes) {
		value, ok := of(s.FelixConfiguration)
		if !ok {
			continue
		}
		set := s.nodes.Difference(taken)
		taken.InPlaceUnion(set)
		if value == def || set.None() {
			continue
		}
		i := slices.IndexFunc(out, func(v felixValue[T]) bool { return v.value == value })
		if i < 0 {
			i, out = len(out), append(out, felixValue[T]{value: value, nodes: bitset.New(ix.Len())})
		}
		out[i].nodes.InPlaceUnion(set)
		out[i].objects = append(out[i].objects, s.Name)
	}
	for i := range out {
		slices.Sort(out[i].objects)
		out[i].objects = out[i].objects[:min(len(out[i].objects), maxNames)]
	}
	slices.SortFunc(out, func(a, b felixValue[T]) int { return cmp.Compare(a.value, b.value) })
	return out
}

// felixNodes returns the nodes with a value as a NodeSet.
func (t *Topology) felixNodes(field, value string, set *bitset.BitSet) NodeSet {
	return nodeSet(t.index, set, t.measures.add(fmt.Sprintf("felix/%s/%s", field, value), nodesInAny(func(t *Topology) func(int) bool {
		return t.felixMembers(field, value)
	})))
}

// felixMembers returns a function that reports whether the Felix of a node has a value that is
// not the one of FelixConfiguration "default".
func (t *Topology) felixMembers(field, value string) func(int) bool {
	scopes := t.felixScopes()
	if field == fieldProgramClusterRoutes {
		for _, v := range t.clusterRoutesValues(scopes) {
			if v.value == value {
				return within(v.nodes)
			}
		}
		return within(nil)
	}
	for _, f := range calico.Families {
		for _, v := range t.priorityValues(scopes, f) {
			if priorityFields[f] == field && strconv.Itoa(v.value) == value {
				return within(v.nodes)
			}
		}
	}
	return within(nil)
}

// fieldProgramClusterRoutes and priorityFields are fields of FelixConfigurations.
const fieldProgramClusterRoutes = "programClusterRoutes"

var priorityFields = [...]string{calico.IPv4: "ipv4NormalRoutePriority", calico.IPv6: "ipv6NormalRoutePriority"}

// clusterRoutesValues returns the settings of programClusterRoutes that are not the one of
// FelixConfiguration "default".
func (t *Topology) clusterRoutesValues(scopes []felixScope) []felixValue[string] {
	v := sessions.CalicoVersion(t.snapshot)
	of := func(c *calico.FelixConfiguration) (string, bool) {
		return felixSetting(v, c.ProgramClusterRoutes), c.ProgramClusterRoutes != ""
	}
	text := ""
	if c := t.snapshot.FelixConfiguration(); c != nil {
		text = c.ProgramClusterRoutes
	}
	return felixValues(t.index, scopes, felixSetting(v, text), of)
}

// defaultRoutePriority is the default of ipv4NormalRoutePriority and ipv6NormalRoutePriority
// (Calico v3.32).
const defaultRoutePriority = 1024

// priorityValues returns the priorities of a family that are not the one of FelixConfiguration
// "default".
func (t *Topology) priorityValues(scopes []felixScope, f calico.Family) []felixValue[int] {
	of := func(c *calico.FelixConfiguration) (int, bool) {
		return c.NormalRoutePriority[f], c.NormalRoutePriority[f] != 0
	}
	def := defaultRoutePriority
	if c := t.snapshot.FelixConfiguration(); c != nil {
		def = cmp.Or(c.NormalRoutePriority[f], defaultRoutePriority)
	}
	return felixValues(t.index, scopes, def, of)
}

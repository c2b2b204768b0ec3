package topology

import (
	"slices"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology/sessions"
)

// rejection is a rule by which BIRD rejects the configuration of nodes, those nodes, and the
// objects with the values that it rejects.
type rejection struct {
	rule *calico.Rule
	// nodes marks the nodes whose configuration is rejected, and the BGPPeers at fault.
	nodes marks
	// classes are the classes of the Nodes at fault, with the field.
	classes map[int]string
	objects map[Subject]bool
}

// rejections are the rejections by rule, and the nodes of all of them.
type rejections struct {
	all    marks
	byRule map[*calico.Rule]*rejection
}

// of returns the rejection of a rule.
func (r *rejections) of(rule *calico.Rule) *rejection {
	if r.byRule[rule] == nil {
		r.byRule[rule] = &rejection{rule: rule, classes: map[int]string{}, objects: map[Subject]bool{}}
	}
	return r.byRule[rule]
}

// marked returns the nodes of a rule, or of all rules for nil. The result is nil if there are none.
func (r *rejections) marked(rule *calico.Rule) *marks {
	if rule == nil {
		return &r.all
	}
	if one := r.byRule[rule]; one != nil {
		return &one.nodes
	}
	return nil
}

// at returns the rejection with the object at fault of r. hit are the nodes of the rejection, nil
// for those of a link.
func (r *rejections) at(n *network, one *sessions.Rejection, hit *bitset.BitSet) *rejection {
	out := r.of(one.Rule)
	switch {
	case one.Object != calico.ID{}:
		out.objects[Subject{Kind: string(one.Object.Kind), Name: one.Object.Name, Field: one.Field}] = true
	case one.Class != sessions.NoClass:
		out.classes[one.Class] = one.Field
	case one.Link != nil:
		out.nodes.addSources(n, one.Link, one.Sources)
	default:
		out.nodes.addPeersAt(one.Peerings, hit)
	}
	return out
}

// frozen returns the rejections of a network. O(links + external peers + rejected values), and
// O(nodes) for each rejected value of an object and for each merged external peer with one.
func (n *network) frozen() *rejections {
	out := &rejections{byRule: map[*calico.Rule]*rejection{}}
	for g := range n.Classes.List {
		for _, r := range n.Rejections(uint32(g)) {
			out.at(n, &r, nil).nodes.addClass(n, uint32(g), 0)
		}
	}
	for _, u := range n.ExternalSides() {
		out.addExternal(n, &u)
	}
	for _, r := range n.ObjectRejections() {
		if r.Nodes.Any() {
			out.at(n, &r.Rejection, r.Nodes).nodes.addNodes(r.Nodes)
		}
	}
	for _, one := range out.byRule {
		out.all.join(n, &one.nodes)
	}
	return out
}

// addExternal adds the rejections of half-sessions with an external peer. O(classes), and
// O(nodes) if there are any.
func (r *rejections) addExternal(n *network, u *sessions.ExternalSide) {
	byClass := make([][]sessions.Rejection, len(n.Classes.List))
	some := false
	for g := range byClass {
		byClass[g] = n.ExternalRejections(u, uint32(g))
		some = some || len(byClass[g]) > 0
	}
	if !some {
		return
	}
	hits := map[*calico.Rule]*bitset.BitSet{}
	first := map[uint32]bool{}
	var found []sessions.Rejection
	for i, ok := u.Nodes.NextSet(0); ok; i, ok = u.Nodes.NextSet(i + 1) {
		g := n.Classes.Of[i]
		for _, one := range byClass[g] {
			if hits[one.Rule] == nil {
				hits[one.Rule] = bitset.New(n.Index.Len())
			}
			if !first[g] && (one.Class != sessions.NoClass || hits[one.Rule].None()) {
				found = append(found, one)
			}
			hits[one.Rule].Set(i)
		}
		first[g] = true
	}
	for _, one := range found {
		r.at(n, &one, hits[one.Rule])
	}
	for rule, hit := range hits {
		r.of(rule).nodes.addNodes(hit)
	}
}

// subjects returns the first maxNames objects at fault, in order.
func (r *rejection) subjects(n *network) []Subject {
	all := map[Subject]bool{}
	for s := range r.objects {
		all[s] = true
	}
	for name := range r.nodes.peers {
		all[Subject{Kind: string(calico.KindBGPPeer), Name: name, Field: r.rule.Field}] = true
	}
	byField := map[string][]bool{}
	for class, field := range r.classes {
		if byField[field] == nil {
			byField[field] = make([]bool, len(n.Classes.List))
		}
		byField[field][class] = true
	}
	for field, classes := range byField {
		for _, name := range n.Index.Names(n.Classes.Union(func(g int) bool { return classes[g] }), maxNames) {
			all[Subject{Kind: string(calico.KindNode), Name: name, Field: field}] = true
		}
	}
	out := make([]Subject, 0, len(all))
	for s := range all {
		out = append(out, s)
	}
	slices.SortFunc(out, Subject.compare)
	return out[:min(len(out), maxNames)]
}

// frozenReasons lists the rejections, sorted by reason.
func (t *tally) frozenReasons(n *network) []FrozenReason {
	out := []FrozenReason{}
	for _, rule := range calico.Rules {
		if r := t.frozen.byRule[rule]; r != nil {
			out = append(out, FrozenReason{rule.Reason, rule.Fix, r.nodes.nodeSet(n, t.frozenMembers(n.Family, rule)), r.subjects(n)})
		}
	}
	return out
}

// Frozen lists the nodes whose BIRD rejects its configuration, with the values that it rejects,
// in order of nodes and families. O(links of the frozen nodes + frozen nodes x rejected values).
func (t *Topology) Frozen() []FrozenNode {
	var values [2]map[int][]sessions.RejectedValue
	for f, n := range t.networks {
		values[f] = map[int][]sessions.RejectedValue{}
		t.rejectedValues(n, values[f])
	}
	out := []FrozenNode{}
	for i, node := range t.index.Nodes {
		for _, f := range calico.Families {
			if list := values[f][i]; len(list) > 0 {
				out = append(out, FrozenNode{Node: node.Name, Family: f.String(), Rejected: sessions.SortRejected(list)})
			}
		}
	}
	return out
}

// rejectedValues adds the rejected values to the lists of the nodes.
func (t *Topology) rejectedValues(n *network, values map[int][]sessions.RejectedValue) {
	frozen := &t.tallies[n.Family].frozen.all
	add := func(r *sessions.Rejection, node int) {
		values[node] = append(values[node], n.RejectedValues(r, node)...)
	}
	byClass := make([][]sessions.Rejection, len(n.Classes.List))
	for g := range byClass {
		if frozen.hasClass(g) {
			byClass[g] = n.Rejections(uint32(g))
		}
	}
	for i, g := range n.Classes.Of {
		for k := range byClass[g] {
			add(&byClass[g][k], i)
		}
	}
	for _, r := range n.ObjectRejections() {
		for i, ok := r.Nodes.NextSet(0); ok; i, ok = r.Nodes.NextSet(i + 1) {
			add(&r.Rejection, int(i))
		}
	}
	if frozen.nodes == nil {
		return
	}
	for _, u := range n.ExternalSides() {
		hit := u.Nodes.Intersection(frozen.nodes)
		for i, ok := hit.NextSet(0); ok; i, ok = hit.NextSet(i + 1) {
			for _, r := range n.ExternalRejections(&u, n.Classes.Of[i]) {
				add(&r, int(i))
			}
		}
	}
}

package topology

import (
	"fmt"
	"slices"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// frozen returns the nodes whose BIRD refuses the configuration, by what it refuses
// and, under anyRefusal, in all. O(links + external peers x groups), and O(nodes)
// where there are any among the latter.
func (n *network) frozen() map[string]*marks {
	out := map[string]*marks{}
	at := func(reason string) *marks {
		if out[reason] == nil {
			out[reason] = &marks{}
		}
		return out[reason]
	}
	for g := range n.classes.List {
		for _, r := range n.refusals(uint32(g), nobody) {
			at(r.reason).addClass(n, uint32(g), 0).addSources(n, r.link, r.sources)
		}
	}
	for _, u := range n.externalSides() {
		groups := map[string][]bool{}
		for g := range n.classes.List {
			for _, r := range n.externalRefusals(&u, uint32(g)) {
				if groups[r.reason] == nil {
					groups[r.reason] = make([]bool, len(n.classes.List))
				}
				groups[r.reason][g] = true
			}
		}
		for reason, some := range groups {
			hit := n.classes.Union(func(g int) bool { return some[g] }).Intersection(u.nodes)
			if hit.Any() {
				at(reason).addNodes(hit)
				at(reason).addPeersAt(u.sources, hit)
			}
		}
	}
	for _, reason := range sortedKeys(out) {
		at(anyRefusal).join(n, out[reason])
	}
	return out
}

// Frozen lists the nodes whose BIRD refuses its configuration.
func (t *Topology) Frozen() []FrozenNode {
	out := []FrozenNode{}
	loose := [2][]externalSide{t.networks[0].externalSides(), t.networks[1].externalSides()}
	for i, node := range t.index.Nodes {
		for _, f := range calico.Families {
			n := t.networks[f]
			if !node.SpeaksBGP(f) {
				continue
			}
			reasons := textsOf(n.refusals(n.classes.Of[i], i))
			for _, u := range loose[f] {
				if !u.nodes.Test(uint(i)) {
					continue
				}
				for _, reason := range textsOf(n.externalRefusals(&u, n.classes.Of[i])) {
					reasons = append(reasons, fmt.Sprintf("%s, in BGPPeer %s", reason, names(u.sourcesAt(uint(i)))))
				}
			}
			if len(reasons) > 0 {
				slices.Sort(reasons)
				out = append(out, FrozenNode{node.Name, f.String(), slices.Compact(reasons)})
			}
		}
	}
	return out
}

package topology

import (
	"fmt"
	"slices"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology/sessions"
)

// frozen returns the nodes whose BIRD rejects the configuration, by what it rejects
// and, under anyRefusal, in all. O(links + external peers x classes), and O(nodes)
// where there are any among the latter.
func (n *network) frozen() map[string]*marks {
	out := map[string]*marks{}
	at := func(reason string) *marks {
		if out[reason] == nil {
			out[reason] = &marks{}
		}
		return out[reason]
	}
	for g := range n.Classes.List {
		for _, r := range n.Refusals(uint32(g), sessions.Nobody) {
			at(r.Reason).addClass(n, uint32(g), 0).addSources(n, r.Link, r.Sources)
		}
	}
	for _, u := range n.ExternalSides() {
		groups := map[string][]bool{}
		for g := range n.Classes.List {
			for _, r := range n.ExternalRefusals(&u, uint32(g)) {
				if groups[r.Reason] == nil {
					groups[r.Reason] = make([]bool, len(n.Classes.List))
				}
				groups[r.Reason][g] = true
			}
		}
		for reason, some := range groups {
			hit := n.Classes.Union(func(g int) bool { return some[g] }).Intersection(u.Nodes)
			if hit.Any() {
				at(reason).addNodes(hit)
				at(reason).addPeersAt(u.Sources, hit)
			}
		}
	}
	for _, reason := range sortedKeys(out) {
		at(sessions.AnyRefusal).join(n, out[reason])
	}
	return out
}

// Frozen lists the nodes whose BIRD rejects its configuration.
func (t *Topology) Frozen() []FrozenNode {
	out := []FrozenNode{}
	loose := [2][]sessions.ExternalSide{t.networks[0].ExternalSides(), t.networks[1].ExternalSides()}
	for i, node := range t.index.Nodes {
		for _, f := range calico.Families {
			n := t.networks[f]
			if !node.SpeaksBGP(f) {
				continue
			}
			reasons := sessions.Texts(n.Refusals(n.Classes.Of[i], i))
			for _, u := range loose[f] {
				if !u.Nodes.Test(uint(i)) {
					continue
				}
				for _, reason := range sessions.Texts(n.ExternalRefusals(&u, n.Classes.Of[i])) {
					reasons = append(reasons, fmt.Sprintf("%s, in BGPPeer %s", reason, sessions.Names(u.SourcesAt(uint(i)))))
				}
			}
			if len(reasons) > 0 {
				slices.Sort(reasons)
				out = append(out, FrozenNode{Node: node.Name, Family: f.String(), Reasons: slices.Compact(reasons)})
			}
		}
	}
	return out
}

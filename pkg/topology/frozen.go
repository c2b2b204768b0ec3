package topology

import (
	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology/sessions"
)

// frozen returns the nodes whose BIRD rejects its configuration, by reason. All of them
// are under AnyRefusal. O(links + external peers x classes), and O(nodes) if BIRD
// rejects an external peer.
func (n *network) frozen() map[string]*marks {
	out := map[string]*marks{}
	at := func(reason string) *marks {
		if out[reason] == nil {
			out[reason] = &marks{}
		}
		return out[reason]
	}
	for g := range n.Classes.List {
		for _, r := range n.Refusals(uint32(g)) {
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
	sides := [2][]sessions.ExternalSide{t.networks[0].ExternalSides(), t.networks[1].ExternalSides()}
	for i, node := range t.index.Nodes {
		for _, f := range calico.Families {
			if !node.SpeaksBGP(f) {
				continue
			}
			if reasons := t.networks[f].RefusalTexts(uint32(i), sides[f]); len(reasons) > 0 {
				out = append(out, FrozenNode{Node: node.Name, Family: f.String(), Reasons: reasons})
			}
		}
	}
	return out
}

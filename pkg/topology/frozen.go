package topology

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// frozen returns the nodes whose BIRD refuses the configuration; nil for none.
// O(links + outside peers), and O(nodes) where there are any.
func (n *network) frozen() *bitset.BitSet {
	set := n.groups.union(func(g int) bool { return len(n.refusals(uint32(g))) > 0 })
	for _, u := range n.unpaired() {
		some := n.groups.union(func(g int) bool { return len(n.unpairedRefusals(&u, uint32(g))) > 0 })
		if some == nil || some.IntersectionCardinality(u.nodes) == 0 {
			continue
		}
		if set == nil {
			set = bitset.New(uint(len(n.groups.of)))
		}
		set.InPlaceUnion(some.Intersection(u.nodes))
	}
	return set
}

// unpaired is half-sessions of some nodes whose other side is no node: an
// outside peer, or, without an address, pods.
type unpaired struct {
	variant
	address netip.Addr
}

func (n *network) unpaired() []unpaired {
	var out []unpaired
	for i := range n.outsides {
		for k := range n.outsides[i].halves {
			for _, v := range n.outsides[i].halves[k].variants {
				out = append(out, unpaired{v, n.outsides[i].address})
			}
		}
	}
	for _, p := range n.workloads {
		out = append(out, unpaired{variant: variant{p.workload(), []*peering{p}, p.local.Intersection(n.index.bgp[n.family])}})
	}
	return out
}

// refusals says why BIRD refuses the configuration of the nodes of a group,
// outside peers left out: what `bird -p` of 1.6.8 does not accept. A node with
// an IPv6 address alone, whose router ID would be empty, is none of them: such
// clusters run, with CALICO_ROUTER_ID set, which is in no object.
func (n *network) refusals(g uint32) []string {
	s := &n.sides[g]
	if !s.speaks(n.family) {
		return nil
	}
	var out []string
	list := n.from(g)
	for i := range list {
		l := &list[i]
		for k := range l.halves {
			out = append(out, n.refusalsOf(s, l, &l.halves[k])...)
		}
	}
	if n.meshed(g) {
		out = append(out, n.meshRefusals(g)...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (n *network) refusalsOf(s *side, l *link, h *half) []string {
	var out []string
	for _, w := range h.ways {
		switch {
		case w.settings.peerASN == 0 && n.sides[l.to].asn == 0:
			out = append(out, fmt.Sprintf("the AS number 0 of %s", n.describe(l.to)))
		case w.settings.peerASN == 0:
			out = append(out, fmt.Sprintf("the remote AS number 0 in BGPPeer %s", names(w.sources)))
		case w.settings.local(s) == 0:
			out = append(out, "the node's own AS number 0")
		}
		if w.settings.client(s, h.prefix) && masked(s.clusterID) {
			out = append(out, fmt.Sprintf("the cluster ID %s, which has a mask", s.clusterID))
		}
	}
	if linkLocal(n.address(l.to)) {
		out = append(out, fmt.Sprintf("the link-local address %s of a peer, for which Calico gives no interface", n.address(l.to)))
	}
	return out
}

// unpairedRefusals are those of such a half-session for the nodes of group g.
func (n *network) unpairedRefusals(u *unpaired, g uint32) []string {
	var out []string
	own := &n.sides[g]
	switch {
	case u.settings.peerASN == 0:
		out = append(out, "the remote AS number 0")
	case u.settings.local(own) == 0:
		out = append(out, "the node's own AS number 0")
	}
	if u.settings.client(own, prefixNode) && masked(own.clusterID) {
		out = append(out, fmt.Sprintf("the cluster ID %s, which has a mask", own.clusterID))
	}
	if linkLocal(u.address) {
		out = append(out, fmt.Sprintf("the link-local address %s of a peer, for which Calico gives no interface", u.address))
	}
	return out
}

func masked(clusterID string) bool { return strings.Contains(clusterID, "/") }

// meshRefusals are those of the mesh's half-sessions with groups that no link
// reaches.
func (n *network) meshRefusals(g uint32) []string {
	var out []string
	s := &n.sides[g]
	if s.asn == 0 && n.meshNodes() > 1 {
		out = append(out, "the node's own AS number 0")
	}
	for _, other := range n.suspects {
		if other == g && s.nodes == 1 || n.sameAddress(g, other) {
			continue
		}
		if n.rules.meshSettings(s, &n.sides[other]).peerASN == 0 {
			out = append(out, fmt.Sprintf("the AS number 0 of %s", n.describe(other)))
		}
		if linkLocal(n.address(other)) {
			out = append(out, fmt.Sprintf("the link-local address %s of a peer, for which Calico gives no interface", n.address(other)))
		}
	}
	for _, shared := range n.sharing() {
		// Its address makes two protocols of one name, for all but its owners.
		if n.meshed(shared) && shared != g && !n.sameAddress(g, shared) && n.twiceInMesh(shared) {
			out = append(out, fmt.Sprintf("two protocols of one name, for the address %s of several nodes", n.address(shared)))
		}
	}
	return out
}

// meshNodes counts the nodes in the mesh.
func (n *network) meshNodes() int {
	count := 0
	for _, list := range n.mesh {
		for _, g := range list {
			count += n.sides[g].nodes
		}
	}
	return count
}

func (n *network) twiceInMesh(shared uint32) bool {
	count := 0
	for _, l := range n.index.addresses.at(n.address(shared)) {
		if n.meshed(n.groups.of[l.node]) {
			count++
		}
	}
	return count > 1
}

// describe names a group for a message.
func (n *network) describe(g uint32) string {
	s := &n.sides[g]
	name := "node " + n.index.nodes[s.first[0]].Name
	if s.nodes > 1 {
		name += fmt.Sprintf(" and %d more", s.nodes-1)
	}
	return name
}

func names(peerings []*peering) string {
	var out []string
	for _, p := range peerings {
		out = append(out, p.peer.Name)
	}
	slices.Sort(out)
	return strings.Join(slices.Compact(out), ", ")
}

func linkLocal(a netip.Addr) bool { return a.Is6() && a.IsLinkLocalUnicast() }

// Frozen lists the nodes whose BIRD refuses its configuration.
func (t *Topology) Frozen() []FrozenNode {
	out := []FrozenNode{}
	loose := [2][]unpaired{t.networks[0].unpaired(), t.networks[1].unpaired()}
	for i, node := range t.index.nodes {
		for _, f := range calico.Families {
			n := t.networks[f]
			if !node.SpeaksBGP(f) {
				continue
			}
			reasons := n.refusals(n.groups.of[i])
			for _, u := range loose[f] {
				if !u.nodes.Test(uint(i)) {
					continue
				}
				for _, reason := range n.unpairedRefusals(&u, n.groups.of[i]) {
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

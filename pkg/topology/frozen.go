package topology

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology/nodes"
)

// What BIRD refuses, as the summary has it: of every case the same, so that it is
// the same reason as long as there is one. Frozen tells the cases.
const (
	refusesOwnZero    = "the node's own AS number 0"
	refusesPeerZero   = "the AS number 0 of a peer that is a node"
	refusesRemoteZero = "the remote AS number 0 of a BGPPeer"
	refusesMask       = "a cluster ID with a mask"
	refusesLinkLocal  = "the link-local address of a peer, for which Calico gives no interface"
	refusesTwice      = "two protocols of one name, for an address that several nodes have"
	anyRefusal        = ""
)

// refusal is something that BIRD refuses, in general and in words about this case,
// with the BGPPeers that give it.
type refusal struct {
	reason, text string
	link         *link
	sources      []source
}

func textsOf(refusals []refusal) []string {
	var out []string
	for _, r := range refusals {
		out = append(out, r.text)
	}
	return out
}

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

// externalSide is half-sessions of some nodes whose other side is no node: an
// external peer, or, without an address, pods.
type externalSide struct {
	variant
	address netip.Addr
}

func (n *network) externalSides() []externalSide {
	var out []externalSide
	for _, o := range n.counted {
		for k := range o.halfSessions {
			for _, v := range o.halfSessions[k].variants {
				out = append(out, externalSide{v, o.address})
			}
		}
	}
	for _, p := range n.workloads {
		out = append(out, externalSide{variant: variant{p.workloadSettings(), []*peering{p}, p.local.Intersection(n.index.BGP[n.family])}})
	}
	return out
}

// refusals says why BIRD refuses the configuration of the nodes of a group,
// external peers left out: what `bird -p` of 1.6.8 does not accept. A node with
// an IPv6 address alone, whose router ID would be empty, is none of them: such
// clusters run, with CALICO_ROUTER_ID set, which is in no object. The texts name
// the BGPPeers that give it to the given node, or to nobody.
func (n *network) refusals(g uint32, node int) []refusal {
	s := &n.classes.List[g]
	if !s.Speaks(n.family) {
		return nil
	}
	var out []refusal
	list := n.from(g)
	for i := range list {
		l := &list[i]
		for k := range l.halfSessions {
			out = append(out, n.refusalsOf(s, l, &l.halfSessions[k], node)...)
		}
	}
	if n.inMesh(g) {
		out = append(out, n.meshRefusals(g)...)
	}
	return out
}

// nobody stands for no node.
const nobody = -1

func (n *network) refusalsOf(s *nodes.Class, l *link, h *halfSession, node int) []refusal {
	var out []refusal
	for _, w := range h.ways {
		add := func(reason, text string) { out = append(out, refusal{reason, text, l, w.sources}) }
		if w.settings.local(s) == 0 {
			add(refusesOwnZero, refusesOwnZero)
		}
		switch {
		case w.settings.peerASN != 0:
		case n.classes.List[l.to].ASN == 0:
			add(refusesPeerZero, fmt.Sprintf("the AS number 0 of %s", n.describe(l.to)))
		case h.prefix != prefixMesh: // There it is the node's own.
			add(refusesRemoteZero, "the remote AS number 0 in BGPPeer "+names(n.giving(l, w, node)))
		}
		if w.settings.client(s, h.prefix) && masked(s.ClusterID) {
			add(refusesMask, maskText(s.ClusterID))
		}
		if linkLocal(n.address(l.to)) {
			add(refusesLinkLocal, linkLocalText(n.address(l.to)))
		}
	}
	return out
}

func maskText(clusterID string) string {
	return fmt.Sprintf("the cluster ID %s, which has a mask", clusterID)
}

func linkLocalText(address netip.Addr) string {
	return fmt.Sprintf("the link-local address %s of a peer, for which Calico gives no interface", address)
}

// externalRefusals are those of such a half-session for the nodes of group g.
func (n *network) externalRefusals(u *externalSide, g uint32) []refusal {
	var out []refusal
	own := &n.classes.List[g]
	if !own.Speaks(n.family) {
		return nil
	}
	if u.settings.local(own) == 0 {
		out = append(out, refusal{reason: refusesOwnZero, text: refusesOwnZero})
	}
	if u.settings.peerASN == 0 {
		out = append(out, refusal{reason: refusesRemoteZero, text: "the remote AS number 0"})
	}
	if u.settings.client(own, prefixNode) && masked(own.ClusterID) {
		out = append(out, refusal{reason: refusesMask, text: maskText(own.ClusterID)})
	}
	if linkLocal(u.address) {
		out = append(out, refusal{reason: refusesLinkLocal, text: linkLocalText(u.address)})
	}
	return out
}

func masked(clusterID string) bool { return strings.Contains(clusterID, "/") }

// meshRefusals are those of the mesh's half-sessions with groups that no link
// reaches.
func (n *network) meshRefusals(g uint32) []refusal {
	var out []refusal
	add := func(reason, text string) { out = append(out, refusal{reason: reason, text: text}) }
	s := &n.classes.List[g]
	if s.ASN == 0 && n.meshNodes() > 1 {
		add(refusesOwnZero, refusesOwnZero)
	}
	for _, other := range n.suspects {
		if other == g && s.Nodes == 1 || n.sameAddress(g, other) {
			continue
		}
		if n.rules.meshSettings(s, &n.classes.List[other]).peerASN == 0 && n.classes.List[other].ASN == 0 {
			add(refusesPeerZero, fmt.Sprintf("the AS number 0 of %s", n.describe(other)))
		}
		if linkLocal(n.address(other)) {
			add(refusesLinkLocal, linkLocalText(n.address(other)))
		}
	}
	for _, shared := range n.addressSharers() {
		// Its address makes two protocols of one name, for all but its owners.
		if n.inMesh(shared) && shared != g && !n.sameAddress(g, shared) && n.twiceInMesh(shared) {
			add(refusesTwice, fmt.Sprintf("two protocols of one name, for the address %s of several nodes", n.address(shared)))
		}
	}
	return out
}

// meshNodes counts the nodes in the mesh.
func (n *network) meshNodes() int {
	count := 0
	for _, list := range n.mesh {
		for _, g := range list {
			count += n.classes.List[g].Nodes
		}
	}
	return count
}

func (n *network) twiceInMesh(shared uint32) bool {
	count := 0
	for _, node := range n.index.At(n.address(shared)) {
		if n.inMesh(n.classes.Of[node]) {
			count++
		}
	}
	return count > 1
}

// describe names a group for a message.
func (n *network) describe(g uint32) string {
	s := &n.classes.List[g]
	name := "node " + n.index.Nodes[s.First[0]].Name
	if s.Nodes > 1 {
		name += fmt.Sprintf(" and %d more", s.Nodes-1)
	}
	return name
}

// giving lists the BGPPeers that give a way of a half-session of a link to a node.
func (n *network) giving(l *link, w way, node int) []*peering {
	var out []*peering
	for _, s := range w.sources {
		switch {
		case node == nobody:
		case len(s.members) == 1 || !s.far:
			out = append(out, s.between(uint(node), uint(node))...)
		default:
			n.spreads.among(s, l.from, l.to, func(p *peering, _ uint32) bool {
				if s.varying(p).Some(func(j uint32) bool { return n.classes.Of[j] == l.to && int(j) != node }) {
					out = append(out, p)
				}
				return true
			})
		}
	}
	return out
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

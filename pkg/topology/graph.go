package topology

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology/nodes"
	"github.com/bgpguard/bgpguard/pkg/topology/routes"
	"github.com/bgpguard/bgpguard/pkg/topology/sessions"
)

// maxExternals is the maximum number of external peers that a graph shows separately.
// If there are more, the graph merges all of them into one.
const maxExternals = 40

type linkKey struct{ from, to, kind string }

// grapher makes a Graph.
type grapher struct {
	*Topology
	graph   *Graph
	spreads sessions.Spreads // over the parts
	parts   *nodes.Classes   // classes, divided by external peers too
	of      []int            // of each part, an index into graph.Groups; -1 without BGP
	number  map[string]int
	many    bool // merge all external peers into one
	links   map[linkKey]*Link
}

// Graph returns the topology for drawing. Each call computes it. O(nodes x external
// peers + classes squared).
func (t *Topology) Graph() *Graph {
	b := t.newGrapher()
	b.divide(nil)
	return b.draw()
}

func (t *Topology) newGrapher() *grapher {
	b := &grapher{Topology: t, graph: &Graph{Groups: []Group{}, Externals: []ExternalPeers{}, Links: []Link{}}, links: map[linkKey]*Link{}, number: map[string]int{}}
	b.many = len(b.externals()) > maxExternals
	return b
}

// draw adds the links and the external peers to the groups.
func (b *grapher) draw() *Graph {
	for _, f := range calico.Families {
		b.connect(b.networks[f])
		b.leave(b.networks[f])
	}
	for _, l := range b.links {
		slices.Sort(l.Sources)
		l.Sources = slices.Compact(l.Sources)
		b.graph.Links = append(b.graph.Links, *l)
	}
	slices.SortFunc(b.graph.Links, compareLinks)
	return b.graph
}

// divide makes the groups of the graph. A group is the parts with the same neighbors in
// both families and the same external peers. If labels is not nil, it has the number of
// the group of each node instead.
func (b *grapher) divide(labels []int) {
	splits := setsOf(labels)
	externals := b.externals()
	for _, o := range externals {
		splits = append(splits, o.Nodes)
	}
	b.parts = b.index.Refine(b.sessions.Classes, splits)
	b.spreads = sessions.NewSpreads(b.sessions.PeerGroups, b.parts)
	b.of = make([]int, len(b.parts.List))
	first := map[int][]uint32{}
	for p := range b.parts.List {
		part := &b.parts.List[p]
		b.of[p] = -1
		if !part.IPv4 && !part.IPv6 {
			continue
		}
		node := uint(part.First[0])
		far := []int{}
		for i, o := range externals {
			if !b.many && o.Nodes.Test(node) {
				far = append(far, i)
			}
		}
		key := fmt.Sprint(b.routings[0].vertex(node), b.routings[1].vertex(node), far)
		if side := &b.networks[0].Classes.List[b.sessions.Classes.Of[node]]; b.routings[0].several[side.ASN] || b.routings[1].several[side.ASN] {
			key += fmt.Sprint(" ", side.ASN)
		}
		id := len(b.graph.Groups) + 1
		if labels != nil {
			id = labels[node] + 1
			key = strconv.Itoa(id)
		}
		i, ok := b.number[key]
		if !ok {
			i = len(b.graph.Groups)
			b.number[key] = i
			side := &b.networks[0].Classes.List[b.sessions.Classes.Of[node]]
			b.graph.Groups = append(b.graph.Groups, Group{ID: fmt.Sprintf("group-%d", id), Role: b.role(node), ASN: side.ASN, ClusterID: side.ClusterID})
		}
		b.of[p] = i
		b.graph.Groups[i].Nodes += part.Nodes
		first[i] = append(first[i], part.First...)
	}
	for i := range b.graph.Groups {
		b.graph.Groups[i].Sample = sample(b.index, first[i])
	}
	for i, n := range b.index.Nodes {
		if g := b.group(i); g >= 0 {
			b.graph.Groups[g].Members = append(b.graph.Groups[g].Members, n.Name)
		}
	}
}

// group returns the index of the group of node i, -1 if it has none.
func (b *grapher) group(i int) int { return b.of[b.parts.Of[i]] }

// setsOf returns one set of nodes for each label.
func setsOf(labels []int) []*bitset.BitSet {
	var out []*bitset.BitSet
	for i, label := range labels {
		for len(out) <= label {
			out = append(out, bitset.New(uint(len(labels))))
		}
		out[label].Set(uint(i))
	}
	return out
}

// externals returns the external peers of both families.
func (b *grapher) externals() []*sessions.ExternalPeer {
	return slices.Concat(byAddress(b.networks[0].Externals), byAddress(b.networks[1].Externals))
}

func byAddress(list []*sessions.ExternalPeer) []*sessions.ExternalPeer {
	return slices.SortedFunc(slices.Values(list), func(a, b *sessions.ExternalPeer) int { return a.Address.Compare(b.Address) })
}

// role returns the role of a node in the graph.
func (b *grapher) role(node uint) string {
	reflector, client, mesh, some := false, false, false, false
	for _, f := range calico.Families {
		r := b.routings[f]
		v := r.vertex(node)
		if v < 0 {
			continue
		}
		g := b.sessions.Classes.Of[node]
		one := &r.graph.Vertices[v]
		reflector = reflector || one.Cluster != routes.NoCluster
		mesh = mesh || b.networks[f].InMesh(g)
		some = some || !r.existing(routes.WithTransit).Isolated(r.kind(node))
		client = client || slices.ContainsFunc(one.Sessions, func(s routes.Session) bool { return s.PeerClient })
	}
	switch {
	case !some:
		return RoleIsolated
	case reflector:
		return RoleReflector
	case client:
		return RoleClient
	case mesh:
		return RoleMesh
	}
	return RolePeer
}

// connect adds the links between groups.
func (b *grapher) connect(n *network) {
	for p := range b.parts.List {
		for q := range b.parts.List[:p+1] {
			from, to := b.of[p], b.of[q]
			pairs := b.parts.Pairs(uint32(p), uint32(q))
			if from < 0 || to < 0 || pairs == 0 || !b.parts.List[p].Speaks(n.Family) || !b.parts.List[q].Speaks(n.Family) {
				continue
			}
			g, h := b.sessions.Classes.Of[b.parts.List[p].First[0]], b.sessions.Classes.Of[b.parts.List[q].First[0]]
			if kind := n.kindOf(g, h); kind != "" {
				sources := append(b.sources(n.Link(g, h), uint32(p), uint32(q)), b.sources(n.Link(h, g), uint32(q), uint32(p))...)
				// LinkBroken counts half-sessions, and here both nodes of a pair have one.
				if kind == LinkBroken && (n.Link(g, h) == nil) == (n.Link(h, g) == nil) {
					pairs *= 2
				}
				b.add(b.graph.Groups[min(from, to)].ID, b.graph.Groups[max(from, to)].ID, kind, n.Family, pairs, sources)
			}
		}
	}
}

// kindOf returns the kind of the link between two classes, "" if there is no link.
func (n *network) kindOf(a, c uint32) string {
	if n.SameAddress(a, c) {
		return ""
	}
	l, m := n.Link(a, c), n.Link(c, a)
	if l == nil && m == nil {
		if !n.InMesh(a) || !n.InMesh(c) {
			return ""
		}
		if n.MeshReason(n.MeshKind(a), n.MeshKind(c)) != "" {
			return LinkBroken
		}
		return LinkMesh
	}
	switch {
	case l == nil || m == nil || !l.Established():
		return LinkBroken
	case l.Protocols[0].Prefix == sessions.PrefixMesh && m.Protocols[0].Prefix == sessions.PrefixMesh:
		return LinkMesh
	}
	if n.Terms(l).Client || n.Terms(m).Client {
		return LinkReflector
	}
	return LinkPeer
}

// sources returns the names of the BGPPeers that configure the first half-sessions on a
// link, from nodes of part from to nodes of part to. The link may be nil.
func (b *grapher) sources(l *sessions.Link, from, to uint32) []string {
	var out []string
	if l == nil {
		return nil
	}
	for _, w := range l.Protocols[0].Ways {
		for _, s := range w.Sources {
			b.spreads.Among(s, from, to, func(p *sessions.Peering, _ uint32) bool {
				out = append(out, p.Peer.Name)
				return true
			})
		}
	}
	return out
}

func (b *grapher) add(from, to, kind string, f calico.Family, sessions int, sources []string) {
	key := linkKey{from, to, kind}
	l := b.links[key]
	if l == nil {
		l = &Link{From: from, To: to, Kind: kind, Sources: []string{}}
		b.links[key] = l
	}
	l.Sessions += sessions
	if !slices.Contains(l.Families, f.String()) {
		l.Families = append(l.Families, f.String())
	}
	l.Sources = append(l.Sources, sources...)
}

// leave adds the external peers and the links to them.
func (b *grapher) leave(n *network) {
	for _, o := range byAddress(n.Externals) {
		id := "external-" + o.Address.String()
		if b.many {
			id = "external"
		}
		b.meet(id, o)
		sources := []string{}
		for k := range o.Protocols {
			h := &o.Protocols[k]
			for _, v := range h.Variants {
				for _, p := range v.Sources {
					sources = append(sources, p.Peer.Name)
				}
			}
			working := n.Working(h)
			b.reach(id, working, LinkExternal, n.Family, sources)
			b.reach(id, h.Nodes.Difference(working), LinkBroken, n.Family, sources)
		}
	}
}

// meet adds an external peer to the graph. Peers with the same id are merged.
func (b *grapher) meet(id string, o *sessions.ExternalPeer) {
	i := slices.IndexFunc(b.graph.Externals, func(x ExternalPeers) bool { return x.ID == id })
	if i < 0 {
		i = len(b.graph.Externals)
		b.graph.Externals = append(b.graph.Externals, ExternalPeers{ID: id})
		if !b.many {
			b.graph.Externals[i].ASN = o.Protocols[0].Variants[0].Settings.PeerASN
		}
	}
	x := &b.graph.Externals[i]
	x.Peers++
	if len(x.PeerIPs) < SampleSize {
		x.PeerIPs = append(x.PeerIPs, o.Address.String())
	}
}

// reach adds the links between nodes and an external peer.
func (b *grapher) reach(id string, nodes *bitset.BitSet, kind string, f calico.Family, sources []string) {
	counts := b.countIn(nodes)
	for _, g := range sortedKeys(counts) {
		b.add(b.graph.Groups[g].ID, id, kind, f, counts[g], sources)
	}
}

// countIn returns the number of nodes of a set in each group of the graph.
func (b *grapher) countIn(set *bitset.BitSet) map[int]int {
	out := map[int]int{}
	for i, ok := set.NextSet(0); ok; i, ok = set.NextSet(i + 1) {
		if g := b.of[b.parts.Of[i]]; g >= 0 {
			out[g]++
		}
	}
	return out
}

func compareLinks(a, b Link) int {
	return slices.Compare([]string{a.From, a.To, a.Kind}, []string{b.From, b.To, b.Kind})
}

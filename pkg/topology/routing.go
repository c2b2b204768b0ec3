package topology

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/topology/nodes"
	"github.com/bgpguard/bgpguard/pkg/topology/routes"
	"github.com/bgpguard/bgpguard/pkg/topology/sessions"
)

// routing is which nodes have the routes of which others in one family. A vertex of its
// graph is the classes that have the same neighbors on the same terms, for example the
// workers of all racks that peer with the same route reflectors.
type routing struct {
	// results are, by reading, which nodes have the routes of the nodes of a vertex to all kinds of prefixes of
	// pods, wherever these nodes have blocks. division is those to the blocks that they have, nil if it makes no
	// difference or is not known.
	results  []*routes.Reachability
	division *division
	graph    routes.Graph
	network  *network
	pods     podPrefixes
	policies policies
	// asn are the AS numbers that do not distinguish nodes, several those of them that several nodes have.
	asn, several asNumbers
	// classes are the prefixes of pods to which nodes may export routes; see findClasses. notExported names
	// the IPPools with others, and disabling those whose disableBGPExport is the reason.
	classes     []prefixClass
	notExported []string
	disabling   []string
	// partial reports that not all kinds of prefixes are followed.
	partial bool
	// serviceRanges are the ranges of addresses of Services that distinguish prefixes of pods. They do
	// not decide which nodes have a route.
	serviceRanges []netip.Prefix
	// nextHops reports that nodes with different next hop modes are in different vertices. They do
	// not decide which nodes have a route.
	nextHops bool
	// apart is nodes that are in no vertex with others, nil for none.
	apart    *bitset.BitSet
	vertexOf []int32 // of each class; -1 without an address
	vertices []vertex
	names    []string // of the readings, in the names of sets
	// withoutLinks is the routing over the sessions that come up if what is not known does not give nodes a common link; nil
	// if these are all. Its names begin with prefixWithoutLinks.
	withoutLinks *routing
	// reach are the parts of the summary, by reading; measures are their sets.
	reach    []*Reach
	measures measures
}

// vertex is the nodes of a vertex of the graph.
type vertex struct {
	classes []uint32
	first   []uint32 // the first few nodes, in order of names
}

// edge is the sessions between two classes. To is a class. allowed is how often the
// sender accepts its own AS number in a path. Classes with different values of allowed
// are in different vertices.
type edge struct {
	routes.Session
	allowed int
	// peerNextHop is the next hop mode of the receiver.
	peerNextHop routes.NextHopMode
}

// The names of the readings that every topology has.
const (
	nameWithoutTransit = "withoutTransit"
	nameWithTransit    = "withTransit"
	nameWithASPaths    = "withASPaths"
)

// prefixWithoutLinks begins the names of the readings without links that are not known.
const prefixWithoutLinks = "withoutLinks/"

// nameOf returns the name of the reading in which only peers in a list pass routes on.
func nameOf(list *TransitPeers) string { return fmt.Sprintf("transit/%q", list.Entries()) }

// newRouting follows the routes to pods over the sessions of a network, in the readings that
// every graph has and in one for each list; if the network has sessions for which links are not known, also without these.
// O(links + nodes + vertices in the mesh squared), and the cost of routes.Compute. before is nil or the routing of an earlier
// network, of which newRouting reuses what is the same.
func newRouting(ctx context.Context, n *network, pods podPrefixes, lists []*TransitPeers, before *routing) (*routing, error) {
	r := unfollowed(n, pods)
	for _, list := range lists {
		r.names = append(r.names, nameOf(list))
	}
	if err := r.compute(ctx, before); err != nil {
		return nil, err
	}
	without := n.WithoutLinks()
	if without == n.Network {
		return r, nil
	}
	r.withoutLinks = unfollowed(&network{without}, pods)
	r.withoutLinks.names = make([]string, len(r.names))
	for i, name := range r.names {
		r.withoutLinks.names[i] = prefixWithoutLinks + name
	}
	if before != nil {
		before = before.withoutLinks
	}
	if err := r.withoutLinks.compute(ctx, before); err != nil {
		return nil, err
	}
	return r, nil
}

// compute makes the graph of the readings in names, and follows the routes. It reuses what is the same in before, which may
// be nil.
func (r *routing) compute(ctx context.Context, before *routing) error {
	r.graph.Readings = len(r.names)
	r.addSeveral()
	if err := r.merge(ctx); err != nil {
		return err
	}
	r.findZones()
	var results []*routes.Reachability
	if before != nil {
		results = before.results
	}
	if !r.inheritClasses(before) {
		r.findClasses()
	}
	return r.follow(ctx, results)
}

// unfollowed returns a routing without a graph.
func unfollowed(n *network, pods podPrefixes) *routing {
	return &routing{network: n, pods: pods, vertexOf: make([]int32, len(n.Classes.List)), asn: n.anonymousNumbers(), several: asNumbers{}, names: []string{nameWithoutTransit, nameWithTransit, nameWithASPaths}}
}

// with returns the routing of the same sessions with other prefixes of pods, and a network that may
// have other rules of BGPFilters. It returns r if the network is the same, and the sessions treat the prefixes
// alike.
func (r *routing) with(ctx context.Context, n *network, pods podPrefixes) (*routing, error) {
	out, err := r.over(ctx, n, pods)
	if err != nil || out == r || r.withoutLinks == nil {
		return out, err
	}
	without := r.withoutLinks.network
	if n != r.network {
		without = &network{n.WithoutLinks()}
	}
	if out.withoutLinks, err = r.withoutLinks.with(ctx, without, pods); err != nil {
		return nil, err
	}
	return out, nil
}

// over is with, except for withoutLinks.
func (r *routing) over(ctx context.Context, n *network, pods podPrefixes) (*routing, error) {
	out := *r
	out.network, out.pods = n, pods
	same := n == r.network || out.policies.refilter(n)
	evaluates := r.evaluates() || out.evaluates()
	samePods := pods.key == r.pods.key && (pods.blocks == r.pods.blocks || !evaluates)
	if same && (samePods || !evaluates) {
		if n == r.network && samePods {
			return r, nil
		}
		out.findClasses()
		return &out, nil
	}
	out.measures = measures{}
	out.findClasses()
	if err := out.follow(ctx, r.results); err != nil {
		return nil, err
	}
	return &out, nil
}

// follow follows the routes to the classes over the sessions of the graph, and makes the parts of the summary.
// before is nil or earlier results; see routes.Recompute.
func (r *routing) follow(ctx context.Context, before []*routes.Reachability) error {
	r.graph.Preference = routes.MaxPreference - r.pods.priority
	r.graph.Destinations = r.destinations()
	var err error
	if r.results, err = routes.Recompute(ctx, &r.graph, before); err != nil {
		return err
	}
	r.divide()
	r.reach = make([]*Reach, len(r.results))
	for i := range r.reach {
		if r.reach[i], err = r.summarize(ctx, routes.Reading(i)); err != nil {
			return err
		}
	}
	return nil
}

// merge makes the graph.
func (r *routing) merge(ctx context.Context) error {
	n := r.network
	edges := make([][]edge, len(n.Classes.List)) // without mesh sessions
	kinds := make([]int, len(n.Classes.List))    // of classes in the mesh
	for g := range kinds {
		kinds[g] = -1
	}
	for kind, list := range n.Mesh {
		for _, g := range list {
			kinds[g] = kind
		}
	}
	exitKeys := make([][]sessions.Exit, len(n.Passing))
	for reading := range n.Passing {
		exitKeys[reading] = sessions.SortedExits(n.Passing[reading].Exits)
	}
	known := map[string]int32{}
	clusters := map[string]int{}
	for g := range n.Classes.List {
		s := &n.Classes.List[g]
		r.vertexOf[g] = -1
		if !s.Speaks(n.Family) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		edges[g] = r.edges(uint32(g))
		var externals [][]routes.ExternalSession
		for reading := range exitKeys {
			for _, k := range exitKeys[reading] {
				if x := r.externalSession(k, s); x.ASN != 0 && n.Passing[reading].Exits[k].Test(uint(s.First[0])) { // BIRD rejects 0.
					if externals == nil {
						externals = make([][]routes.ExternalSession, len(exitKeys))
					}
					externals[reading] = append(externals[reading], x)
				}
			}
		}
		key := r.signature(uint32(g), kinds[g], edges[g], externals)
		v, ok := known[key]
		if !ok {
			v = int32(len(r.vertices))
			known[key] = v
			r.vertices = append(r.vertices, vertex{})
			r.graph.Vertices = append(r.graph.Vertices, routes.Vertex{Cluster: clusterNumber(clusters, s), External: externals, Adds: n.Adds(uint32(g))})
		}
		r.vertexOf[g] = v
		one := &r.vertices[v]
		one.classes = append(one.classes, uint32(g))
		one.first = append(one.first, s.First...)
		r.graph.Vertices[v].Nodes += s.Nodes
	}
	for v := range r.vertices {
		if err := ctx.Err(); err != nil {
			return err
		}
		one := &r.vertices[v]
		slices.Sort(one.first)
		one.first = one.first[:min(len(one.first), nodes.MaxFirst)]
		r.graph.Vertices[v].Sessions = r.sessions(one.classes[0], edges[one.classes[0]], kinds)
	}
	r.sortPolicies()
	return nil
}

// sortPolicies numbers the policies in order of their lists of BGPFilters, so that they have the same numbers as long
// as the lists are the same. O(sessions).
func (r *routing) sortPolicies() {
	p := &r.policies
	to, lists := make([]int, len(p.lists)+1), make([][]filterList, len(p.lists))
	for i, key := range sortedKeys(p.numbers) {
		to[p.numbers[key]] = i + 1
		lists[i] = p.lists[p.numbers[key]-1]
		p.numbers[key] = i + 1
	}
	p.lists = lists
	for v := range r.graph.Vertices {
		one := &r.graph.Vertices[v]
		for i := range one.Sessions {
			s := &one.Sessions[i]
			s.Policy, s.PeerPolicy = to[s.Policy], to[s.PeerPolicy]
		}
		for _, list := range one.External {
			for i := range list {
				list[i].Policy = to[list[i].Policy]
			}
		}
	}
}

// clusterNumber returns the number of the cluster ID of a class, a new one for a new
// ID. It adds new IDs to known.
func clusterNumber(known map[string]int, s *nodes.Class) int {
	if !s.Reflector() {
		return routes.NoCluster
	}
	id, ok := known[s.ClusterID]
	if !ok {
		id = len(known)
		known[s.ClusterID] = id
	}
	return id
}

// sessions returns the sessions of the vertex of class g: the sessions on links, merged
// by vertex, and the mesh sessions with vertices to which there is no link.
func (r *routing) sessions(g uint32, edges []edge, kinds []int) []routes.Session {
	n := r.network
	out := make([]routes.Session, 0, len(edges))
	seen := make(map[int32]bool, len(edges))
	for _, e := range edges {
		if to := r.vertexOf[e.To]; !seen[to] {
			seen[to] = true
			e.To = to
			out = append(out, e.Session)
		}
	}
	if kinds[g] < 0 || n.SharesAddress(g) {
		return out
	}
	list := n.LinksFrom(g)
	linked := make(map[int32]bool, len(list)) // also by links without sessions
	for i := range list {
		linked[r.vertexOf[list[i].To]] = true
	}
	for v := range r.vertices {
		other := r.vertices[v].classes[0]
		kind := kinds[other]
		if kind < 0 || linked[int32(v)] || n.SharesAddress(other) || n.MeshReason(kinds[g], kind) != "" {
			continue
		}
		a, b := r.asn.of(n.Classes.List[g].ASN), r.asn.of(n.Classes.List[other].ASN)
		one := routes.Session{To: int32(v), Internal: a == b && a != routes.Anonymous, ASN: a, PeerASN: b}
		if r.nextHops && !one.Internal && n.DirectMesh() {
			one.NextHop = routes.NextHopKeep
		}
		out = append(out, one)
	}
	return out
}

// findZones sets the zone of each vertex to the ID in the column of zones. O(nodes).
func (r *routing) findZones() {
	const unseen = routes.NoZone - 1
	for v := range r.graph.Vertices {
		r.graph.Vertices[v].Zone = unseen
	}
	for node, g := range r.network.Classes.Of {
		v := r.vertexOf[g]
		if v < 0 {
			continue
		}
		zone := int(r.network.Index.Zones.ID(uint32(node)))
		if zone == 0 { // The node has no zone label.
			zone = routes.NoZone
		}
		switch one := &r.graph.Vertices[v]; one.Zone {
		case zone:
		case unseen:
			one.Zone = zone
		default:
			one.Zone = routes.NoZone
		}
	}
}

// vertex returns the vertex of a node, -1 for one without an address.
func (r *routing) vertex(node uint) int { return int(r.vertexOf[r.network.Classes.Of[node]]) }

// hasRoute reports whether node to has the routes of node from.
func (r *routing) hasRoute(reading routes.Reading, from, to uint) bool {
	v, w := r.kind(from), r.kind(to)
	return v >= 0 && w >= 0 && from != to && r.existing(reading).Has(v, w)
}

// named returns the reading with a name, and the routing that has it. A topology that was computed without a list of
// transit peers knows none of them: it has the reading without transit for this name. If withoutLinks is nil, its
// readings are those of r.
func (r *routing) named(name string) (*routing, routes.Reading) {
	if rest, without := strings.CutPrefix(name, prefixWithoutLinks); without {
		if r.withoutLinks != nil {
			r = r.withoutLinks
		} else {
			name = rest
		}
	}
	return r, routes.Reading(max(0, slices.Index(r.names, name)))
}

// edges lists the sessions of class g on links. It skips links without sessions.
func (r *routing) edges(g uint32) []edge {
	var out []edge
	list := r.network.LinksFrom(g)
	for i := range list {
		if l := &list[i]; l.Established() {
			out = append(out, r.edge(l, r.network.Link(l.To, l.From)))
		}
	}
	return out
}

// edge returns the sessions on link l, whose half-sessions back are on link m.
func (r *routing) edge(l, m *sessions.Link) edge {
	own, peer := r.network.Terms(l), r.network.Terms(m)
	e := edge{allowed: own.Allowed, Session: routes.Session{
		To: int32(l.To), Internal: own.Internal, ASN: r.asn.of(own.ASN), PeerASN: r.asn.of(peer.ASN),
		Client: own.Client, PeerClient: peer.Client, PeerAllowed: peer.Allowed,
		Policy: r.number(own.Filters...), PeerPolicy: r.number(peer.Filters...),
	}}
	if r.nextHops {
		e.NextHop, e.peerNextHop = nextHopMode(own.NextHopMode), nextHopMode(peer.NextHopMode)
	}
	return e
}

// nextHopMode returns the mode of a nextHopMode in effect: other texts have no effect.
func nextHopMode(text string) routes.NextHopMode {
	return map[string]routes.NextHopMode{"Self": routes.NextHopSelf, "Keep": routes.NextHopKeep}[text]
}

// externalSession returns the session of a node of class s with external peers.
func (r *routing) externalSession(k sessions.Exit, s *nodes.Class) routes.ExternalSession {
	local := cmp.Or(k.LocalASN, s.ASN)
	x := routes.ExternalSession{Internal: !k.Foreign && k.PeerASN == local, ASN: r.asn.of(local), Allowed: k.Allowed, Policy: r.number(k.Lists()...)}
	x.Client = x.Internal && s.Reflector()
	return x
}

// signature returns a key for the vertex of class g. Classes with equal keys have the
// same sessions on the same terms, so routes cannot distinguish them.
func (r *routing) signature(g uint32, mesh int, edges []edge, externals [][]routes.ExternalSession) string {
	n := r.network
	s := &n.Classes.List[g]
	b := make([]byte, 0, 16+16*len(edges))
	b = append(b, s.ClusterID...)
	b = append(b, 0)
	number := func(list ...uint32) {
		for _, n := range list {
			b = binary.BigEndian.AppendUint32(b, n)
		}
	}
	number(uint32(mesh+1), r.asn.of(s.ASN), uint32(n.Adds(g)))
	if n.SharesAddress(g) {
		number(g + 1)
	}
	if r.apart != nil && r.apart.Test(uint(s.First[0])) {
		b = append(b, 'a')
	}
	if r.several[s.ASN] {
		b = append(b, 's') // A vertex with these alone depends on a zone if each of its classes would.
	}
	flags := func(set ...bool) {
		var f byte
		for i, on := range set {
			if on {
				f |= 1 << i
			}
		}
		b = append(b, f)
	}
	for reading := range externals {
		b = append(b, 'r')
		for _, x := range externals[reading] {
			b = append(b, 'x')
			number(x.ASN, uint32(x.Allowed), uint32(x.Policy))
			flags(x.Internal, x.Client)
		}
	}
	for i := range edges {
		e := &edges[i]
		b = append(b, 'e')
		number(uint32(e.To), e.ASN, e.PeerASN, uint32(e.PeerAllowed), uint32(e.allowed), uint32(e.Policy), uint32(e.PeerPolicy))
		b = append(b, byte(e.NextHop), byte(e.peerNextHop))
		flags(e.Internal, e.Client, e.PeerClient)
	}
	// A link without sessions also replaces the mesh session.
	if mesh >= 0 {
		for _, l := range n.LinksFrom(g) {
			b = append(b, 'l')
			number(l.To)
		}
	}
	return string(b)
}

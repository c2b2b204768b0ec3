package topology

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology/nodes"
	"github.com/bgpguard/bgpguard/pkg/topology/routes"
	"github.com/bgpguard/bgpguard/pkg/topology/sessions"
	"github.com/bgpguard/bgpguard/pkg/topology/sessions/bgpfilter"
)

// RouteQuery computes which routes single nodes have and single external peers receive. It is
// immutable.
type RouteQuery struct {
	t       *Topology
	members [2][][]uint32 // by family, the nodes of each vertex
	// other is nil or a query whose prefixes are divided in the same way; see Beside.
	other *RouteQuery
}

// Beside returns the query with tables that can be compared with those of other.Beside(q), row by
// row: both divide prefixes by the BGPFilters and prefixAdvertisements of both states.
func (q *RouteQuery) Beside(other *RouteQuery) *RouteQuery {
	out := *q
	out.other = other
	return &out
}

// RouteTable is the routes to pods that a node or an external peer receives in one family. It
// does not contain the routes that a node originates, nor those that would only come back because
// the node sent them.
type RouteTable struct {
	Family string `json:"family"`
	// Address is that of the node or external peer. Sessions counts its sessions with nodes and,
	// for a node, with external peers.
	Address  string `json:"address"`
	Sessions int    `json:"sessions"`
	// Routes are grouped: those of a group differ only in the nodes that originate and send them.
	// Of the routes from one session to a prefix that differ only in their AS paths, the table
	// contains those whose path does not contain all AS numbers of another.
	Routes []RouteGroup `json:"routes"`
	// Dropped are the routes that BGPFilters reject on sessions of the node or external peer and,
	// for routes that it does not receive at all, where nodes drop them.
	Dropped []DroppedRoutes `json:"dropped"`
	// Missing are the routes that it does not receive, whatever the reason.
	Missing []MissingRoutes `json:"missing"`
	// Services are the ranges of addresses of Services.
	Services []ServiceRoutes `json:"services"`
	// NotExported names the IPPools with prefixes to which no node exports routes: disableBGPExport of
	// an IPPool that contains them applies, and no BGPFilter accepts them.
	NotExported []string `json:"notExported"`
	// NotUnderstood names the BGPPeers with BGPFilters of which rules for the family are not known
	// or not understood. The table assumes that these rules match no route to pods.
	NotUnderstood []string `json:"notUnderstood"`
	// Complete is false if there are so many kinds of prefixes or paths that some are not followed.
	Complete bool `json:"complete"`
}

// RouteGroup is routes to the same prefixes with the same attributes.
type RouteGroup struct {
	Prefixes []PrefixRange `json:"prefixes"`
	// Origins are the nodes that originate the routes.
	Origins NodeGroup   `json:"origins"`
	From    RouteSender `json:"from"`
	// Type is iBGP or eBGP, that of the session with the sender.
	Type    string       `json:"type"`
	NextHop RouteNextHop `json:"nextHop"`
	// ASPath is the AS path, the nearest AS number first. A nil element is the AS number of a
	// node, if several nodes with numbers of their own are in the group.
	ASPath      []*uint32 `json:"asPath"`
	Communities []string  `json:"communities"`
	// ThroughExternalPeers reports that external peers passed the routes on: they may have added AS
	// numbers and communities.
	ThroughExternalPeers bool `json:"throughExternalPeers"`
	// ServiceRange is a range of addresses of Services that contains the prefixes: BIRD of the node does
	// not program the routes. It is "" without one, and for an external peer.
	ServiceRange Optional `json:"serviceRange"`
}

// PrefixRange is the prefixes of one length inside CIDR and in none of Except. IPPool is the
// IPPool of the pods, "" for addresses of Services.
type PrefixRange struct {
	IPPool Optional `json:"ipPool"`
	CIDR   string   `json:"cidr"`
	Except []string `json:"except"`
	Length int      `json:"length"`
	// Routes counts the blocks with addresses of pods or, if Length is that of an address, also the borrowed
	// addresses, nil if they are not known. Without any, nodes originate routes once IPAM allocates blocks there.
	Routes *int `json:"routes"`
}

// String returns a text that is equal for equal prefixes.
func (r PrefixRange) String() string {
	return fmt.Sprintf("{%s %s %v %d}", r.IPPool, r.CIDR, r.Except, r.Length)
}

// NodeGroup is nodes: their number, and the names of the first SampleSize.
type NodeGroup struct {
	Nodes  int      `json:"nodes"`
	Sample []string `json:"sample"`

	names []string // all
}

// Names returns the names of all nodes, in order. They must not be changed.
func (g *NodeGroup) Names() []string { return g.names }

// The kinds of a RouteSender.
const (
	FromOrigin        = "origin"
	FromNodes         = "nodes"
	FromExternalPeers = "externalPeers"
)

// RouteSender is at the other end of sessions: the node that originates the route (FromOrigin),
// other nodes, or external peers.
type RouteSender struct {
	Kind string `json:"kind"`
	// Nodes are the nodes of FromNodes. Each of them sends the routes of all origins but its own.
	Nodes NodeGroup `json:"nodes"`
	// Addresses are those of the external peers of FromExternalPeers.
	Addresses []string `json:"addresses"`
}

// The kinds of a RouteNextHop.
const (
	NextHopOrigin  = "origin"
	NextHopSender  = "sender"
	NextHopNode    = "node"
	NextHopUnknown = "unknown"
)

// RouteNextHop is the next hop of routes: the address of the node that originates it, of its
// sender, of a node in between, or one that external peers choose.
type RouteNextHop struct {
	Kind string `json:"kind"`
	// Addresses are the first SampleSize next hops of the group, in order of nodes.
	Addresses []string `json:"addresses"`
	// Unusable counts the next hops of the group that BIRD of the node resolves through a route to a
	// range of addresses of Services: the node drops packets over them. It is 0 for an external peer.
	Unusable int `json:"unusable"`
}

// Key returns a text that is equal for equal groups.
func (g *RouteGroup) Key() string {
	return fmt.Sprint(g.Prefixes, g.Origins.names, g.From.Nodes.names, g.NextHop.Addresses, g.NextHop.Unusable, g.ServiceRange, g.attributes())
}

// The reasons of DroppedRoutes.
const (
	DroppedByFilter    = "BGPFilter"
	DroppedByASPath    = "ASPath"
	DroppedByCommunity = "Community"
)

// DroppedRoutes is routes that nodes do not send or do not accept.
type DroppedRoutes struct {
	Prefixes []PrefixRange `json:"prefixes"`
	Origins  NodeGroup     `json:"origins"`
	// Nodes are the nodes that drop them. Direction is export if they do not send them, import if
	// they do not accept them. Peer is the other end of the session.
	Nodes     NodeGroup   `json:"nodes"`
	Direction string      `json:"direction"`
	Peer      RouteSender `json:"peer"`
	Reason    string      `json:"reason"`
	// BGPFilter is the name of the BGPFilter of DroppedByFilter, Field the rule that rejects the
	// routes.
	BGPFilter Optional `json:"bgpFilter"`
	Field     Optional `json:"field"`
	// ASNumber is, for DroppedByASPath, the AS number in the path, and Allowed how often the
	// nodes accept it.
	ASNumber *uint32 `json:"asNumber"`
	Allowed  *int    `json:"allowed"`
}

// Key returns a text that is equal for equal routes dropped at the same place.
func (d *DroppedRoutes) Key() string {
	return fmt.Sprint(d.Prefixes, d.Origins.names, d.Nodes.names, d.Direction, d.Peer.Nodes.names, d.Peer.Addresses, d.reason())
}

// MissingRoutes is routes that a node or external peer does not receive.
type MissingRoutes struct {
	Prefixes []PrefixRange `json:"prefixes"`
	Origins  NodeGroup     `json:"origins"`
}

// Key returns a text that is equal for equal routes.
func (m *MissingRoutes) Key() string { return fmt.Sprint(m.Prefixes, m.Origins.names) }

// NewRouteQuery returns a RouteQuery for a snapshot. It returns an error only if ctx is done.
// Its cost is that of Compute without an earlier topology.
func NewRouteQuery(ctx context.Context, s *state.Snapshot) (*RouteQuery, error) {
	t := &Topology{snapshot: s, index: nodes.New(s.Nodes(), nil, selectorsOf(s)), allocations: newAllocations(s, nil)}
	t.index.Reserve(len(s.BGPPeers()))
	t.felix = t.newProgramming(t.felixScopes()).needs
	q := &RouteQuery{t: t}
	var err error
	apart := t.index.Select(calico.ExcludedFromServices, excludedFromServices)
	if t.sessions, err = sessions.ComputeAll(ctx, t.index, s, apart); err != nil {
		return nil, fmt.Errorf("computing the sessions: %w", err)
	}
	for _, f := range calico.Families {
		t.networks[f] = &network{t.sessions.Networks[f]}
		r := unfollowed(t.networks[f], t.podPrefixes(f, func(*calico.IPPool) bool { return true }))
		r.nextHops, r.apart = true, apart
		r.graph.Preference = routes.MaxPreference - r.pods.priority
		if err := r.merge(ctx); err != nil {
			return nil, fmt.Errorf("computing the routes: %w", err)
		}
		t.routings[f] = r
		q.members[f] = make([][]uint32, len(r.vertices))
		for i := range t.index.Nodes {
			if v := r.vertex(uint(i)); v >= 0 {
				q.members[f][v] = append(q.members[f][v], uint32(i))
			}
		}
		if t.services[f], err = t.newServices(ctx, f, nil); err != nil {
			return nil, fmt.Errorf("computing the routes to Services: %w", err)
		}
		for _, one := range t.services[f].list {
			if one.Route {
				r.serviceRanges = append(r.serviceRanges, one.CIDR)
			}
		}
	}
	return q, nil
}

// ExternalPeers returns the addresses of the external peers.
func (q *RouteQuery) ExternalPeers() []string {
	var out []string
	for _, n := range q.t.networks {
		for _, o := range n.Externals {
			out = append(out, o.Name)
		}
	}
	return out
}

// Node returns the routes of the node of a name, for each family in which it has an address; none
// if there is no such node. With transit, external peers pass routes on and keep the AS numbers in
// their paths. It returns an error only if ctx is done. O(kinds of prefixes x kinds of nodes x
// sessions between these kinds + groups x nodes + external peers).
func (q *RouteQuery) Node(ctx context.Context, name string, transit bool) ([]RouteTable, error) {
	out := []RouteTable{}
	i, ok := q.t.index.Find(name)
	if !ok {
		return out, nil
	}
	reading := routes.WithoutTransit
	if transit {
		reading = routes.WithASPaths
	}
	for _, f := range calico.Families {
		v := q.t.routings[f].vertex(i)
		if v < 0 {
			continue
		}
		w := newTabulation(q, f)
		w.node, w.target.Vertex = int(i), int32(v)
		w.findExternals(reading)
		services, err := w.servicesOfNode(ctx, reading)
		if err != nil {
			return nil, err
		}
		one, err := w.table(ctx, reading)
		if err != nil {
			return nil, err
		}
		one.Services, one.Complete = w.services, one.Complete && services
		one.Address = q.t.index.Nodes[i].Address[f].Addr().String()
		for _, l := range q.t.networks[f].Collect(nil, uint32(i), q.t.sessions.Classes.Members()) {
			if l.Reason == "" && l.Prefix != sessions.PrefixWorkload {
				one.Sessions++
			}
		}
		out = append(out, *one)
	}
	return out, nil
}

// Peer returns the routes that nodes send to the external peer at an address, nil if no node
// has a half-session with it. A router that does not accept several paths to one prefix from one
// node (RFC 7911) receives one of those in the table. The table does not contain routes that other
// external peers pass on. Peer returns an error only if ctx is done. O(kinds of prefixes x kinds of
// nodes x sessions between these kinds + groups x nodes).
func (q *RouteQuery) Peer(ctx context.Context, address netip.Addr) (*RouteTable, error) {
	f := calico.FamilyOf(address)
	externals := q.t.networks[f].Externals
	k := slices.IndexFunc(externals, func(o *sessions.ExternalPeer) bool { return o.Address == address })
	if k < 0 {
		return nil, nil
	}
	w := newTabulation(q, f)
	w.target.Vertex = routes.External
	sessions := w.findTaps(externals[k])
	out, err := w.table(ctx, routes.WithoutTransit)
	if err != nil {
		return nil, err
	}
	out.Address, out.Sessions = externals[k].Name, sessions
	complete, err := w.servicesOfPeer(ctx, externals[k])
	out.Services, out.Complete = w.services, out.Complete && complete
	return out, err
}

// tabulation makes one RouteTable.
type tabulation struct {
	*RouteQuery
	family  calico.Family
	routing *routing
	target  routes.Target
	node    int // the node whose routes these are, -1 for an external peer
	// taps are the nodes of each of target.Taps.
	taps []*bitset.BitSet
	peer string // the address of the external peer
	// externals are the addresses of the external peers of the node, by how it exchanges routes
	// with them.
	externals map[routes.ExternalSession][]string
	classes   []prefixClass
	ranges    [][]PrefixRange // of each class
	// originate are, of each class, the nodes that originate routes, nil for all: IPAMBlocks show none, or are not known.
	originate []*bitset.BitSet
	services  []ServiceRoutes
}

func newTabulation(q *RouteQuery, f calico.Family) *tabulation {
	return &tabulation{RouteQuery: q, family: f, routing: q.t.routings[f], node: -1, externals: map[routes.ExternalSession][]string{}}
}

// findExternals sets externals.
func (w *tabulation) findExternals(reading routes.Reading) {
	n := w.routing.network
	for _, o := range n.Passing[reading].Externals {
		if !o.Nodes.Test(uint(w.node)) {
			continue
		}
		if terms, ok := n.TermsWith(o, uint(w.node)); ok {
			x := w.routing.externalSession(terms.Exit, &n.Classes.List[n.Classes.Of[w.node]])
			w.externals[x] = append(w.externals[x], o.Name)
		}
	}
}

// findTaps sets target.Taps and taps, and returns the number of nodes with a session.
func (w *tabulation) findTaps(o *sessions.ExternalPeer) int {
	n, sessions := w.routing.network, 0
	w.peer = o.Name
	known := map[routes.Tap]int{}
	for i, ok := o.Nodes.NextSet(0); ok; i, ok = o.Nodes.NextSet(i + 1) {
		terms, established := n.TermsWith(o, i)
		if !established {
			continue
		}
		sessions++
		tap := routes.Tap{
			Vertex: int32(w.routing.vertex(i)), ExternalSession: w.routing.externalSession(terms.Exit, &n.Classes.List[n.Classes.Of[i]]),
			NextHop: nextHopMode(terms.NextHopMode),
		}
		k, ok := known[tap]
		if !ok {
			k = len(w.taps)
			known[tap] = k
			w.target.Taps, w.taps = append(w.target.Taps, tap), append(w.taps, bitset.New(n.Index.Len()))
		}
		w.target.Taps[k].Nodes++
		w.taps[k].Set(i)
	}
	return sessions
}

// table follows the routes of each class of prefixes.
func (w *tabulation) table(ctx context.Context, reading routes.Reading) (*RouteTable, error) {
	out := &RouteTable{
		Family: w.family.String(), Routes: []RouteGroup{}, Dropped: []DroppedRoutes{}, Missing: []MissingRoutes{},
		Services: []ServiceRoutes{}, NotExported: []string{}, NotUnderstood: []string{},
	}
	for _, p := range w.t.sessions.Peerings {
		if (p.Forward[w.family] || p.Reverse[w.family]) && !w.routing.understands(p.Peer) {
			out.NotUnderstood = append(out.NotUnderstood, p.Peer.Name)
		}
	}
	divided := *w.routing
	if w.other == nil {
		divided.findClasses()
	} else {
		divided.findClasses(w.other.t.routings[w.family])
	}
	w.classes, out.NotExported, out.Complete = divided.classes, divided.notExported, !divided.partial
	if len(divided.pods.pools) == 0 {
		w.classes = []prefixClass{{}}
	}
	find := numbersOf(w.t.index)
	for i := range w.classes {
		originate, ranges := w.originsOf(w.classes[i].parts, find)
		w.ranges, w.originate = append(w.ranges, ranges), append(w.originate, originate)
		traced, err := routes.Follow(ctx, &w.routing.graph, reading, w.classes[i].destination, w.target)
		if err != nil {
			return nil, fmt.Errorf("following the routes: %w", err)
		}
		out.Complete = out.Complete && !traced.Partial
		received := w.addRoutes(out, i, traced.Received)
		w.addDropped(out, i, traced.Dropped)
		missing := w.originating(i, w.t.index.BGP[w.family]).Difference(received)
		if w.node >= 0 {
			missing.Clear(uint(w.node))
		}
		if missing.Any() {
			out.Missing = append(out.Missing, MissingRoutes{w.ranges[i], w.group(missing)})
		}
	}
	return out, nil
}

// originsOf returns the nodes that originate routes to the prefixes of a class, and its parts of IPPools. The nodes
// are nil if all may: IPAM has allocated no addresses there yet, or the IPAMBlocks are not known.
func (w *tabulation) originsOf(parts []poolPart, find func(string) (uint, bool)) (*bitset.BitSet, []PrefixRange) {
	if !w.t.allocations.summary.Known {
		return nil, rangesOf(parts, nil)
	}
	origins, counts := w.t.allocations.blocks.origins(parts, w.t.index, find)
	if slices.Max(append(counts, 0)) == 0 {
		origins = nil
	}
	return origins, rangesOf(parts, counts)
}

// originating returns the nodes of a set that originate routes to the prefixes of a class.
func (w *tabulation) originating(class int, set *bitset.BitSet) *bitset.BitSet {
	if len(w.originate) == 0 || w.originate[class] == nil {
		return set
	}
	return set.Intersection(w.originate[class])
}

// rangesOf returns the parts of IPPools of a class. It merges those inside others. counts are PrefixRange.Routes of
// the parts, nil if they are not known.
func rangesOf(parts []poolPart, counts []int) []PrefixRange {
	type open struct {
		pool   *podPool
		length int
		cidr   netip.Prefix
		except []netip.Prefix
		routes int
	}
	var list []open
	for i, p := range parts { // A CIDR comes before those inside it.
		outer := slices.IndexFunc(list, func(o open) bool {
			return o.pool == p.pool && o.length == p.length && slices.Contains(o.except, p.CIDR)
		})
		routes := 0
		if counts != nil {
			routes = counts[i]
		}
		if outer < 0 {
			list = append(list, open{p.pool, p.length, p.CIDR, slices.Clone(p.Except), routes})
			continue
		}
		o := &list[outer]
		o.routes += routes
		o.except = slices.DeleteFunc(o.except, func(c netip.Prefix) bool { return c == p.CIDR })
		o.except = append(o.except, p.Except...)
	}
	out := []PrefixRange{}
	for _, o := range list {
		one := PrefixRange{IPPool: Optional(o.pool.name), CIDR: o.cidr.String(), Except: []string{}, Length: o.length}
		if counts != nil {
			one.Routes = new(o.routes)
		}
		slices.SortFunc(o.except, netip.Prefix.Compare)
		for _, c := range o.except {
			one.Except = append(one.Except, c.String())
		}
		out = append(out, one)
	}
	return out
}

// routeKey is the attributes of a RouteGroup.
type routeKey struct {
	direct, internal, external, fromExternal bool
	exit                                     routes.ExternalSession
	hop                                      routes.NextHop
	path, communities                        string
}

// addRoutes adds the routes to the prefixes of a class, and returns the nodes that originate them.
func (w *tabulation) addRoutes(out *RouteTable, class int, list []routes.Received) *bitset.BitSet {
	all := bitset.New(w.t.index.Len())
	type group struct {
		first   *routes.Received
		path    []*uint32
		senders map[int]*bitset.BitSet // by number, the origins
	}
	groups := map[routeKey]*group{}
	for i := range list {
		one := &list[i]
		path := w.path(one)
		key := routeKey{
			one.Direct, one.Internal, one.External, one.Sender == routes.External, one.Exit, one.NextHop,
			pathKey(path), fmt.Sprint(one.Communities),
		}
		g := groups[key]
		if g == nil {
			g = &group{one, path, map[int]*bitset.BitSet{}}
			groups[key] = g
		}
		sender := int(one.Sender)
		if w.node < 0 {
			sender = one.Tap
		}
		if one.Direct {
			sender = 0 // One group for all, since each sends its own route.
		}
		if g.senders[sender] == nil {
			g.senders[sender] = bitset.New(w.t.index.Len())
		}
		g.senders[sender].InPlaceUnion(w.originating(class, w.origins(one)))
		all.InPlaceUnion(w.origins(one))
	}
	from := len(out.Routes)
	for _, g := range groups {
		// Senders with the same origins are one group.
		var merged []struct{ origins, senders *bitset.BitSet }
		for _, sender := range sortedKeys(g.senders) {
			origins, nodes := g.senders[sender], w.senders(g.first, sender)
			if origins.None() { // None of them originates these routes.
				continue
			}
			k := slices.IndexFunc(merged, func(m struct{ origins, senders *bitset.BitSet }) bool { return m.origins.Equal(origins) })
			if k < 0 {
				merged = append(merged, struct{ origins, senders *bitset.BitSet }{origins, nodes})
				continue
			}
			merged[k].senders.InPlaceUnion(nodes)
		}
		for _, m := range merged {
			row := RouteGroup{
				Prefixes: w.ranges[class], Origins: w.group(m.origins), Type: sessionType(g.first.Internal), ASPath: g.path,
				From: w.sender(g.first, m.senders), Communities: communityTexts(g.first.Communities), ThroughExternalPeers: g.first.External,
				ServiceRange: w.serviceRange(w.classes[class].prefix),
			}
			row.NextHop = w.nextHop(g.first, m.origins, m.senders, row.From.Addresses)
			out.Routes = append(out.Routes, row)
		}
	}
	slices.SortFunc(out.Routes[from:], func(a, b RouteGroup) int { return a.compare(&b) })
	return all
}

// compare orders the groups of a class of prefixes.
func (g *RouteGroup) compare(h *RouteGroup) int {
	return cmp.Or(strings.Compare(g.attributes(), h.attributes()), slices.Compare(g.From.Nodes.names, h.From.Nodes.names), slices.Compare(g.Origins.names, h.Origins.names))
}

// attributes returns a text that is equal for groups that differ only in their nodes.
func (g *RouteGroup) attributes() string {
	order := strconv.Itoa(slices.Index([]string{FromOrigin, FromNodes, FromExternalPeers}, g.From.Kind))
	return fmt.Sprint(order, g.From.Addresses, g.Type, g.NextHop.Kind, pathKey(g.ASPath), g.Communities, g.ThroughExternalPeers)
}

// origins returns the nodes that originate a route if they have blocks for it, but for the node that receives it.
func (w *tabulation) origins(one *routes.Received) *bitset.BitSet {
	if w.node < 0 && one.Direct {
		return w.taps[one.Tap]
	}
	out := w.vertex(one.Source)
	if w.node < 0 && one.Sender == one.Source && w.taps[one.Tap].Count() == 1 {
		out.InPlaceDifference(w.taps[one.Tap])
	}
	return out
}

// vertex returns the nodes of a vertex, but for the one that receives routes.
func (w *tabulation) vertex(v int32) *bitset.BitSet {
	out := bitset.New(w.t.index.Len())
	for _, i := range w.members[w.family][v] {
		if int(i) != w.node {
			out.Set(uint(i))
		}
	}
	return out
}

// senders returns the nodes of a sender of addRoutes.
func (w *tabulation) senders(first *routes.Received, sender int) *bitset.BitSet {
	switch {
	case first.Direct || first.Sender == routes.External:
		return bitset.New(w.t.index.Len())
	case w.node < 0:
		return w.taps[sender].Clone()
	}
	return w.vertex(int32(sender))
}

func (w *tabulation) sender(first *routes.Received, senders *bitset.BitSet) RouteSender {
	out := RouteSender{Kind: FromNodes, Nodes: w.group(senders), Addresses: []string{}}
	switch {
	case first.Sender == routes.External:
		out.Kind, out.Addresses = FromExternalPeers, append(out.Addresses, w.externals[first.Exit]...)
	case first.Direct:
		out.Kind = FromOrigin
	}
	return out
}

// path returns the AS path of a route. It replaces routes.Anonymous by the AS number of the node if
// only one node can have prepended it.
func (w *tabulation) path(one *routes.Received) []*uint32 {
	out, own := []*uint32{}, one.Own
	for _, asn := range one.Path {
		if asn != routes.Anonymous {
			out = append(out, &asn)
			continue
		}
		var number *uint32
		if list := w.members[w.family][own[0]]; len(list) == 1 {
			number = &w.routing.network.Classes.List[w.routing.network.Classes.Of[list[0]]].ASN
		}
		out, own = append(out, number), own[1:]
	}
	return out
}

func pathKey(path []*uint32) string {
	var out strings.Builder
	for _, asn := range path {
		if asn == nil {
			out.WriteString("own ")
		} else {
			fmt.Fprintf(&out, "%d ", *asn)
		}
	}
	return out.String()
}

func sessionType(internal bool) string {
	if internal {
		return "iBGP"
	}
	return "eBGP"
}

// communityTexts returns communities in Calico's form.
func communityTexts(list []routes.Community) []string {
	out := []string{}
	for _, c := range list {
		text := fmt.Sprintf("%d:%d", c.Parts[0], c.Parts[1])
		if c.Large {
			text += fmt.Sprintf(":%d", c.Parts[2])
		}
		out = append(out, text)
	}
	return out
}

// group returns a set of nodes as a NodeGroup.
func (w *tabulation) group(set *bitset.BitSet) NodeGroup {
	names := w.t.index.Names(set, int(set.Count()))
	return NodeGroup{len(names), names[:min(len(names), SampleSize)], names}
}

// addDropped adds the routes to the prefixes of a class that nodes drop.
func (w *tabulation) addDropped(out *RouteTable, class int, list []routes.Drop) {
	groups := map[routes.Drop]*bitset.BitSet{}
	for _, d := range list {
		source := d.Source
		d.Source = 0
		if groups[d] == nil {
			groups[d] = bitset.New(w.t.index.Len())
		}
		groups[d].InPlaceUnion(w.originating(class, w.vertex(source)))
	}
	from := len(out.Dropped)
	for d, origins := range groups {
		if origins.None() {
			continue
		}
		row := DroppedRoutes{Prefixes: w.ranges[class], Origins: w.group(origins), Nodes: w.group(w.end(d.At, d.Import, &d)), Direction: "export"}
		row.Peer = RouteSender{Kind: FromNodes, Nodes: w.group(w.end(d.Peer, !d.Import, &d)), Addresses: []string{}}
		if d.Peer == routes.External {
			row.Peer.Kind, row.Peer.Addresses = FromExternalPeers, w.addresses(&d)
		}
		direction := bgpfilter.Export
		if d.Import {
			direction, row.Direction = bgpfilter.Import, "import"
		}
		switch d.Reason {
		case routes.ByPolicy:
			rules := w.routing.policies.lists[d.Policy-1][d.Term.Alternative].rules[direction]
			e := effects(rules, w.classes[class].prefix)[d.Term.Index]
			row.Reason, row.BGPFilter = DroppedByFilter, Optional(e.Filter)
			row.Field = Optional(fmt.Sprintf("spec.%s[%d]", sessions.FilterField(w.family, direction), e.Index))
		case routes.ByASPath:
			row.Reason, row.ASNumber, row.Allowed = DroppedByASPath, &d.ASN, &d.Allowed
		case routes.ByCommunity:
			row.Reason = DroppedByCommunity
		}
		out.Dropped = append(out.Dropped, row)
	}
	slices.SortFunc(out.Dropped[from:], func(a, b DroppedRoutes) int {
		return cmp.Or(
			strings.Compare(a.Direction, b.Direction), strings.Compare(a.reason(), b.reason()), slices.Compare(a.Nodes.names, b.Nodes.names),
			slices.Compare(a.Peer.Nodes.names, b.Peer.Nodes.names), slices.Compare(a.Peer.Addresses, b.Peer.Addresses),
		)
	})
}

// reason returns a text that is equal for equal reasons.
func (d *DroppedRoutes) reason() string {
	asn, allowed := uint32(0), 0
	if d.ASNumber != nil {
		asn, allowed = *d.ASNumber, *d.Allowed
	}
	return fmt.Sprint(d.Reason, " ", d.BGPFilter, " ", d.Field, " ", asn, allowed)
}

// end returns the nodes at one end of a session on which a route is dropped, none for external
// peers. receives reports that it is the end that receives routes.
func (w *tabulation) end(v int32, receives bool, d *routes.Drop) *bitset.BitSet {
	out := bitset.New(w.t.index.Len())
	switch {
	case v == routes.External:
	case w.node >= 0 && v == w.target.Vertex && receives:
		out.Set(uint(w.node))
	case w.node < 0 && d.Peer == routes.External:
		for i, tap := range w.target.Taps {
			if tap.Vertex == v && (tap.Policy == d.Policy || d.Reason != routes.ByPolicy) {
				out.InPlaceUnion(w.taps[i])
			}
		}
	default:
		return w.vertex(v)
	}
	return out
}

// addresses returns those of the external peers at the other end of a session on which a route is
// dropped, none if they are not those of the node.
func (w *tabulation) addresses(d *routes.Drop) []string {
	out := []string{}
	switch {
	case w.node < 0:
		return append(out, w.peer)
	case d.At != w.target.Vertex:
		return out
	}
	for x, list := range w.externals {
		if d.Reason != routes.ByPolicy || x.Policy == d.Policy {
			out = append(out, list...)
		}
	}
	slices.Sort(out)
	return out
}

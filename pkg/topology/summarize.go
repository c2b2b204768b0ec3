package topology

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"strconv"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology/routes"
	"github.com/bgpguard/bgpguard/pkg/topology/sessions"
)

// bgpOf returns whether BGP is enabled.
func bgpOf(s *state.Snapshot) *BGP {
	if s.RunsBIRD() {
		return &BGP{Enabled: true}
	}
	i, overlay := s.Installation(calico.Default), s.Installation(calico.OverlayInstallation)
	switch {
	case i.DeletionTimestamp != "":
		return &BGP{Installation: Optional(i.Name), Deleting: true}
	case overlay != nil && overlay.BGP != "":
		return &BGP{Installation: Optional(overlay.Name)}
	default:
		return &BGP{Installation: Optional(i.Name)}
	}
}

// summarize sets t.summary. It shares equal parts with the summary of before.
func (t *Topology) summarize(before *Topology, programming *programming, scopes []felixScope) {
	old := &Summary{}
	if before != nil {
		old = before.summary
	}
	s := &Summary{PodAddresses: share(old.PodAddresses, t.allocations.summary)}
	if v := sessions.CalicoVersion(t.snapshot); v != nil {
		s.CalicoVersion = Optional(v.String())
	}
	s.Typha = share(old.Typha, typhaOf(t.snapshot))
	s.BGP = share(old.BGP, bgpOf(t.snapshot))
	s.Nodes = share(old.Nodes, t.nodes())
	s.Addresses = share(old.Addresses, t.addresses())
	s.OtherASNumbers = share(old.OtherASNumbers, t.otherASNumbers())
	s.Mesh = share(old.Mesh, t.mesh())
	if before != nil && t.tallies == before.tallies {
		s.Sessions, s.Reflectors, s.Convergence = old.Sessions, old.Reflectors, old.Convergence
		t.sessionMeasures = before.sessionMeasures
	} else {
		s.Sessions = share(old.Sessions, &PerFamily[Sessions]{t.tallies[0].Sessions, t.tallies[1].Sessions})
		s.Reflectors = share(old.Reflectors, &PerFamily[Reflectors]{t.reflectorsIn(calico.IPv4), t.reflectorsIn(calico.IPv6)})
		s.Convergence = share(old.Convergence, t.convergence())
	}
	needs := programming.needsBGP
	s.Routes = share(old.Routes, t.routes(before))
	s.ServiceRanges = share(old.ServiceRanges, &PerFamily[[]ServiceRange]{t.serviceRanges(calico.IPv4), t.serviceRanges(calico.IPv6)})
	s.ClusterRoutes = share(old.ClusterRoutes, t.clusterRoutes(programming, scopes))
	peersSame := t.summarizePeers(s, before)
	s.Selectors = share(old.Selectors, t.selectors(s, before))
	switch {
	case before != nil && t.needs == before.needs && sameButNodes(t.snapshot, before.snapshot):
		s.PodTraffic, s.IPPools, s.BGPConfigurations = old.PodTraffic, old.IPPools, old.BGPConfigurations
		s.FelixConfigurations, s.BGPFilters, s.Secrets = old.FelixConfigurations, old.BGPFilters, old.Secrets
		s.ClusterInformations = old.ClusterInformations
	default:
		s.FelixConfigurations = parts(t.snapshot.FelixConfigurations(), old.FelixConfigurations, func(c *calico.FelixConfiguration) *FelixConfiguration {
			return &FelixConfiguration{object(&c.Metadata, nil)}
		})
		s.ClusterInformations = parts(t.snapshot.ClusterInformations(), old.ClusterInformations, func(c *calico.ClusterInformation) *ClusterInformation {
			return &ClusterInformation{object(&c.Metadata, nil)}
		})
		s.BGPFilters, s.Secrets = filters(t.snapshot, old.BGPFilters), share(old.Secrets, secrets(t.snapshot))
		s.PodTraffic = share(old.PodTraffic, podTraffic(t.snapshot, t.allocations, needs))
		s.IPPools = parts(t.snapshot.IPPools(), old.IPPools, func(p *calico.IPPool) *IPPool {
			has := t.allocations.of(p)
			unused := has == AllocationsNone && p.Disabled
			return &IPPool{object(&p.Metadata, nil), p.Family.String(), !unused && needs(p), has}
		})
		s.BGPConfigurations = parts(t.snapshot.BGPConfigurations(), old.BGPConfigurations, func(c *calico.BGPConfiguration) *BGPConfiguration {
			return &BGPConfiguration{object(&c.Metadata, nil), Optional(c.NodeOf())}
		})
		peersSame = false
	}
	s.Timers = old.Timers
	if !peersSame || s.Mesh != old.Mesh {
		s.Timers = share(old.Timers, t.timers(t.sessions.Rules.Mesh, old.Timers))
	}
	t.summary = s
}

// summarizePeers sets s.BGPPeers, and reports whether all parts and their sessions are
// the same as before. O(BGPPeers), with a very small constant for BGPPeers that did not
// change.
func (t *Topology) summarizePeers(s *Summary, before *Topology) bool {
	var old map[string]*BGPPeer
	var was []*sessions.Peering
	if before != nil {
		old, was = before.summary.BGPPeers, before.sessions.Peerings
	}
	differs := t.sessionsDiffer(before)
	type entry struct {
		name string
		part *BGPPeer
	}
	var changed []entry
	k, kept := 0, 0
	for i, r := range t.sessions.Peerings {
		for k < len(was) && was[k].Peer.Name < r.Peer.Name {
			k++
		}
		sessions := t.sessionsOf(i)
		if k < len(was) && was[k] == r && before.sessionsOf(k) == sessions && !differs(r) {
			kept++
			continue
		}
		name := r.Peer.Name
		changed = append(changed, entry{name, share(old[name], t.peerPart(r, sessions))})
	}
	changed = slices.DeleteFunc(changed, func(e entry) bool {
		same := old[e.name] == e.part
		if same {
			kept++
		}
		return same
	})
	t.peersSince = peersSince{of: old}
	if len(changed) == 0 && kept == len(old) && before != nil {
		s.BGPPeers = old
		return t.tallies == before.tallies
	}
	s.BGPPeers = maps.Clone(old)
	if s.BGPPeers == nil {
		s.BGPPeers = make(map[string]*BGPPeer, len(changed))
	}
	for _, e := range changed {
		s.BGPPeers[e.name] = e.part
		t.peersSince.changed = append(t.peersSince.changed, e.name)
	}
	if len(s.BGPPeers) > len(t.sessions.Peerings) {
		maps.DeleteFunc(s.BGPPeers, func(name string, _ *BGPPeer) bool {
			_, ok := slices.BinarySearchFunc(t.sessions.Peerings, name, func(r *sessions.Peering, name string) int { return cmp.Compare(r.Peer.Name, name) })
			if !ok {
				t.peersSince.changed = append(t.peersSince.changed, name)
			}
			return !ok
		})
	}
	return false
}

// sessionsDiffer returns a function that reports whether the nodes of a peering, or its sessions with
// external peers, may differ from those before. before may be nil.
func (t *Topology) sessionsDiffer(before *Topology) func(*sessions.Peering) bool {
	if before == nil || t.index.Speakers != before.index.Speakers {
		return func(*sessions.Peering) bool { return true }
	}
	now, was := t.sessions.Networks, before.sessions.Networks
	a, b := now[calico.IPv4].ExternalsDiffer(was[calico.IPv4]), now[calico.IPv6].ExternalsDiffer(was[calico.IPv6])
	return func(p *sessions.Peering) bool { return a(p) || b(p) }
}

// peersSince names the BGPPeers in a summary that are not those of an earlier one.
type peersSince struct {
	of      map[string]*BGPPeer
	changed []string
}

// ChangedBGPPeers returns the names of the BGPPeers whose parts differ between the summaries of before and of t, in any order: those
// of which only one has a part, too. O(changed BGPPeers) if Compute made t from before, and else O(BGPPeers).
func (t *Topology) ChangedBGPPeers(before *Topology) []string {
	from, to := before.summary.BGPPeers, t.summary.BGPPeers
	switch {
	case sameMap(from, to):
		return nil
	case sameMap(from, t.peersSince.of):
		return t.peersSince.changed
	}
	return ChangedNames(from, to)
}

// ChangedNames returns the names of which two maps have different values, or only one map has a value, in any order. O(names).
func ChangedNames[T comparable](from, to map[string]T) []string {
	var out []string
	for name, value := range to {
		if was, ok := from[name]; !ok || was != value {
			out = append(out, name)
		}
	}
	for name := range from {
		if _, ok := to[name]; !ok {
			out = append(out, name)
		}
	}
	return out
}

// sameMap reports whether two maps are one.
func sameMap(a, b map[string]*BGPPeer) bool {
	return reflect.ValueOf(a).UnsafePointer() == reflect.ValueOf(b).UnsafePointer()
}

// sessionsOf returns the number of sessions with at least one half-session that the
// peering of the given number configures.
func (t *Topology) sessionsOf(number int) int {
	return t.tallies[0].byPeering[number] + t.tallies[1].byPeering[number]
}

// sameButNodes reports whether two snapshots hold the same objects that the summary
// reads, except Nodes and BGPPeers.
func sameButNodes(a, b *state.Snapshot) bool {
	return state.SameIPAMBlocks(a, b) && slices.Equal(a.BGPConfigurations(), b.BGPConfigurations()) && slices.Equal(a.IPPools(), b.IPPools()) &&
		slices.Equal(a.FelixConfigurations(), b.FelixConfigurations()) && slices.Equal(a.ClusterInformations(), b.ClusterInformations()) &&
		slices.Equal(a.BGPFilters(), b.BGPFilters()) && slices.Equal(a.Secrets(), b.Secrets()) &&
		a.Knows(calico.KindBGPFilter) == b.Knows(calico.KindBGPFilter) && a.Knows(calico.KindSecret) == b.Knows(calico.KindSecret)
}

// filters returns the part of the summary about BGPFilters. old may be nil.
func filters(s *state.Snapshot, old *BGPFilters) *BGPFilters {
	out := &BGPFilters{Known: s.Knows(calico.KindBGPFilter), Names: []string{}}
	for _, f := range s.BGPFilters() {
		out.Names = append(out.Names, f.Name)
	}
	var known map[string]*BGPFilter
	if old != nil {
		known = old.Objects
	}
	out.Objects = parts(s.BGPFilters(), known, func(f *calico.BGPFilter) *BGPFilter { return &BGPFilter{object(&f.Metadata, nil)} })
	return share(old, out)
}

func secrets(s *state.Snapshot) *Secrets {
	out := &Secrets{Known: s.Knows(calico.KindSecret), Keys: map[string][]string{}}
	for _, secret := range s.Secrets() {
		out.Keys[secret.Name] = secret.Keys
	}
	return out
}

func (t *Topology) nodes() *Nodes {
	ix := t.index
	return &Nodes{
		Total: len(ix.Nodes), BGP: int(ix.Speakers.Count()), Reflectors: int(ix.Speakers.IntersectionCardinality(ix.Reflectors)),
		NotReady: nodeSet(ix, ix.NotReady, t.measures.add("notReady", nodesInAny(func(t *Topology) func(int) bool { return within(t.index.NotReady) }))),
	}
}

// mesh is the node-to-node mesh under the BGPConfiguration "default".
func (t *Topology) mesh() *Mesh {
	c := t.snapshot.BGPConfiguration(calico.Default)
	m := meshSummary(t.index)
	m.Enabled, m.Source = c.MeshEnabled(), "set"
	switch {
	case c == nil:
		m.Source = "absent"
	case c.NodeToNodeMeshEnabled == nil:
		m.Source = "unset"
	}
	if !t.sessions.Rules.Mesh {
		m.SessionsPerNode, m.Sessions = 0, 0
	}
	m.NotReady = nodeSet(t.index, t.meshNotReady(), t.measures.add("mesh/notReady", nodesInAny(func(t *Topology) func(int) bool { return within(t.meshNotReady()) })))
	return &m
}

// meshNotReady returns the nodes in the mesh that are not ready, nil if the mesh is
// off.
func (t *Topology) meshNotReady() *bitset.BitSet {
	if !t.sessions.Rules.Mesh {
		return nil
	}
	return t.index.NotReady.Difference(t.index.Reflectors)
}

// routes returns the part of the summary about routes.
func (t *Topology) routes(before *Topology) *PerFamily[Routes] {
	out := &PerFamily[Routes]{}
	peers := make([]string, 0, len(t.sessions.Peerings))
	for _, p := range t.sessions.Peerings {
		if p.Scope != sessions.ScopeWorkloads {
			peers = append(peers, p.Peer.Name)
		}
	}
	if before != nil {
		reuseStrings(&peers, before.summary.Routes.IPv4.BGPPeers)
	}
	for _, f := range calico.Families {
		one, r := out.In(f), t.routings[f]
		all := r.readings(t.transit)
		one.WithTransit, one.WithoutTransit, one.WithASPaths, one.KnownTransit = all.WithTransit, all.WithoutTransit, all.WithASPaths, all.KnownTransit
		if r.withoutLinks != nil {
			one.WithoutLinks = new(r.withoutLinks.readings(t.transit))
		}
		if before != nil && r != before.routings[f] {
			reuse(&one.WithTransit.SinglePoints, before.summary.Routes.In(f).WithTransit.SinglePoints, SinglePoint.equal)
		}
		one.NoAddress = t.noAddress(f)
		one.NotExported, one.ExportDisabledBy, one.Filtered, one.BGPPeers = r.notExported, r.disabling, []string{}, peers
		for _, p := range t.sessions.Peerings {
			if (p.Forward[f] || p.Reverse[f]) && !r.understands(p.Peer) {
				one.Filtered = append(one.Filtered, p.Peer.Name)
			}
		}
		if before != nil {
			reuseStrings(&one.Filtered, before.summary.Routes.In(f).Filtered)
		}
	}
	return out
}

// readings returns the parts of the summary. lists are those with which r was made.
func (r *routing) readings(lists []*TransitPeers) Readings {
	out := Readings{r.reach[routes.WithTransit], r.reach[routes.WithoutTransit], r.reach[routes.WithASPaths], []KnownTransit{}}
	for i, list := range lists {
		out.KnownTransit = append(out.KnownTransit, KnownTransit{list.Entries(), r.reach[int(routes.WithASPaths)+1+i]})
	}
	return out
}

// noAddress is the nodes without an address in family f.
func (t *Topology) noAddress(f calico.Family) NodeSet {
	ix := t.index
	out := NodeSet{Nodes: int(ix.Len()) - int(ix.BGP[f].Count()), Sample: []string{}}
	for i, ok := ix.BGP[f].NextClear(0); ok && i < ix.Len() && len(out.Sample) < SampleSize; i, ok = ix.BGP[f].NextClear(i + 1) {
		out.Sample = append(out.Sample, ix.Nodes[i].Name)
	}
	out.Members = t.measures.add("noAddress/"+f.String(), withoutAddress{f})
	return out
}

func (t *Topology) peerPart(r *sessions.Peering, sessions int) *BGPPeer {
	p := r.Peer
	b := &BGPPeer{
		Object: object(&p.Metadata, r.Problems), Scope: r.Scope,
		Sessions: sessions, Unusable: r.Unusable,
		RestartTime: restartTime(p.MaxRestartTime), KeepaliveTime: keepaliveTime(p.KeepaliveTime),
		Selectors: r.Selectors, Selects: selects(p.Spec),
	}
	if p.PeerSelector == "" && p.PeerAddress.IsValid() {
		b.Address = new(p.PeerAddress.String())
		b.Port, b.ASNumber = setNumber(int(p.PeerPort)), setNumber(int(p.ASNumber))
	}
	for _, n := range t.sessions.Networks {
		b.ExternalSessions += n.ExternalSessions(r)
	}
	b.LocalNodes = int(r.Local.IntersectionCardinality(t.index.Speakers))
	b.RemoteNodes = int(r.Remote.IntersectionCardinality(t.index.Speakers))
	b.findUnused()
	return b
}

// setNumber returns a pointer to n, nil for 0, which means that a number is unset.
func setNumber(n int) *int {
	if n == 0 {
		return nil
	}
	return &n
}

// reflectorsIn counts the route reflectors that the other nodes have sessions to in
// family f. O(classes + links).
func (t *Topology) reflectorsIn(f calico.Family) Reflectors {
	n := t.networks[f]
	out := Reflectors{Levels: []Level{}, Reflecting: []Reflecting{}, Load: t.tallies[f].reflectorLoad, BGPPeers: []string{}}
	peers := make([]bool, len(t.sessions.Peerings))
	levels := map[int][]uint32{} // the first few nodes of each level
	counts, reflecting := map[int]int{}, map[int]int{}
	for g := range n.Classes.List {
		s := &n.Classes.List[g]
		switch {
		case !s.Speaks(f):
			continue
		case s.Reflector():
			reflecting[n.reflectorsOf(uint32(g))] += s.Nodes
			out.Total += s.Nodes
			for _, l := range n.LinksFrom(uint32(g)) {
				n.markGiving(&l, peers)
			}
			if n.serves(uint32(g)) {
				out.Peered += s.Nodes
			}
			continue
		}
		out.Nodes += s.Nodes
		level := n.reflectorsOf(uint32(g))
		counts[level] += s.Nodes
		levels[level] = append(levels[level], s.First...)
		for _, l := range n.LinksFrom(uint32(g)) {
			if n.Classes.List[l.To].Reflector() {
				n.markGiving(&l, peers)
			}
		}
	}
	out.NotReady = nodeSet(t.index, t.downReflectors(f), t.sessionMeasures.add("reflectors/"+f.String()+"/notReady", nodesIn(f, func(t *Topology) func(int) bool {
		return within(t.downReflectors(f))
	})))
	atMost := func(level int) (name string, set nodesOf) {
		return "reflectors/" + f.String() + "/atMost/" + strconv.Itoa(level), nodesIn(f, func(t *Topology) func(int) bool { return t.atMost(f, level) })
	}
	for _, level := range sortedKeys(counts) {
		name, set := atMost(level)
		out.Levels = append(out.Levels, Level{level, counts[level], sample(t.index, levels[level]), t.sessionMeasures.add(name, clientsOf{set})})
	}
	for _, level := range sortedKeys(reflecting) {
		name, set := atMost(level) // A name of Levels keeps its set.
		out.Reflecting = append(out.Reflecting, Reflecting{level, reflecting[level], t.sessionMeasures.add(name, set)})
	}
	for i, p := range t.sessions.Peerings {
		if peers[i] {
			out.BGPPeers = append(out.BGPPeers, p.Peer.Name)
		}
	}
	return out
}

// serves reports whether nodes that are not route reflectors have sessions to the route
// reflectors of a class. O(links of the class).
func (n *network) serves(g uint32) bool {
	return slices.ContainsFunc(n.LinksFrom(g), func(l sessions.Link) bool { return l.Established() && !n.Classes.List[l.To].Reflector() })
}

// downReflectors returns the route reflectors that are not ready and to which other nodes
// have sessions in family f. O(nodes / 64 + reflectors that are not ready x links of one).
func (t *Topology) downReflectors(f calico.Family) *bitset.BitSet {
	n := t.networks[f]
	out := t.index.NotReady.Intersection(t.index.Reflectors).Intersection(t.index.BGP[f])
	for i, ok := out.NextSet(0); ok; i, ok = out.NextSet(i + 1) {
		if !n.serves(n.Classes.Of[i]) {
			out.Clear(i)
		}
	}
	return out
}

// atMost returns a function that reports whether a node has sessions to at most level
// route reflectors. The node may be a route reflector.
func (t *Topology) atMost(f calico.Family, level int) func(int) bool {
	n := t.networks[f]
	yes := make([]bool, len(n.Classes.List))
	for g := range yes {
		s := &n.Classes.List[g]
		yes[g] = s.Speaks(f) && n.reflectorsOf(uint32(g)) <= level
	}
	return func(i int) bool { return yes[t.sessions.Classes.Of[i]] }
}

// reflectorsOf counts the route reflectors that the nodes of a class have sessions
// to, at most MaxLevel.
func (n *network) reflectorsOf(g uint32) int {
	count := 0
	list := n.LinksFrom(g)
	for i := range list {
		if n.Classes.List[list[i].To].Reflector() && list[i].Established() {
			count += n.Classes.List[list[i].To].Nodes
			if list[i].To == g {
				count-- // itself
			}
		}
	}
	return min(count, MaxLevel)
}

// markGiving sets peers for the number of each peering that configures half-sessions on
// a link.
func (n *network) markGiving(l *sessions.Link, peers []bool) {
	for i := range l.Protocols {
		for _, w := range l.Protocols[i].Ways {
			for _, s := range w.Sources {
				n.Spreads.Among(s, l.From, l.To, func(_ *sessions.Peering, number uint32) bool {
					peers[number] = true
					return true
				})
			}
		}
	}
}

func object(m *calico.Metadata, problems []calico.Problem) Object {
	o := Object{Name: m.Name, Labels: m.Labels, Annotations: m.Annotations, Spec: m.Spec, Problems: []string{}}
	for _, p := range slices.Concat(m.Problems(), problems) {
		o.Problems = append(o.Problems, p.String())
	}
	return o
}

// reuse replaces a list by old if they are equal, which makes the comparison in share
// fast.
func reuse[T any](list *[]T, old []T, equal func(a, b T) bool) {
	if slices.EqualFunc(*list, old, equal) {
		*list = old
	}
}

func reuseStrings(list *[]string, old []string) {
	reuse(list, old, func(a, b string) bool { return a == b })
}

func (p SinglePoint) equal(q SinglePoint) bool {
	return p.Kind == q.Kind && p.Name == q.Name && p.Nodes == q.Nodes && p.Members == q.Members && slices.Equal(p.Sample, q.Sample)
}

// share returns old if it is equal to fresh, and fresh otherwise.
func share[T any](old, fresh *T) *T {
	if old == fresh || old != nil && reflect.DeepEqual(old, fresh) {
		return old
	}
	return fresh
}

// shareAll returns old if it holds the same pointers as fresh, and fresh otherwise.
func shareAll[T any](old, fresh map[string]*T) map[string]*T {
	if old == nil || len(old) != len(fresh) {
		return fresh
	}
	for k, v := range fresh {
		if old[k] != v {
			return fresh
		}
	}
	return old
}

// parts returns the part of the summary for each object in list. It shares equal parts
// with old.
func parts[O calico.Object, T any](list []O, old map[string]*T, part func(O) *T) map[string]*T {
	out := make(map[string]*T, len(list))
	for _, o := range list {
		name := o.ID().Name
		out[name] = share(old[name], part(o))
	}
	return shareAll(old, out)
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	out := make([]K, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

package topology

import (
	"maps"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// naiveRoute is one path to the origin's pods, at one node.
type naiveRoute struct {
	at, origin *calico.Node
	// in is the half-session over which the node learned it, nil for the origin.
	in *naiveSlot
	// clusters is the cluster list. path is the AS path, the nearest AS number last.
	clusters []string
	path     []uint32
	// outside reports that external peers passed it on, which may have added to the path and
	// the communities. preference is the local preference.
	outside     bool
	communities []string
	preference  int64
	// hop is the node whose address is the next hop, nil for one that external peers choose.
	hop *calico.Node
}

// naiveFlood follows routes to one prefix.
type naiveFlood struct {
	model    *naive
	family   calico.Family
	block    netip.Prefix // the zero Prefix for any
	services bool         // the prefix is one of addresses of Services
	reading  naiveReading
	external []naiveRoute // the routes that external peers pass on
	// routes are all that have come anywhere, fresh those to be passed on yet. all means that it
	// keeps those that differ only in attributes that decide nothing.
	routes, fresh []naiveRoute
	all           bool
	silent        string // the name of a node that sends nothing
	kernel        string // the interface of routes that nodes have from the kernel, "" for others
}

// naiveReading tells whether the external peer of a slot passes routes on, and whether external
// peers keep AS paths.
type naiveReading struct {
	name   string
	passes func(*naiveSlot) bool
	keeps  bool
}

// reading is with transit or without.
func (m *naive) reading(transit bool) naiveReading {
	return naiveReading{name: strconv.FormatBool(transit), passes: func(s *naiveSlot) bool {
		if !transit || s.peer.IsLoopback() || s.peer.IsUnspecified() || s.peer.IsMulticast() {
			return false
		}
		for _, n := range m.nodes {
			if slices.Contains(n.Others, s.peer) {
				return false
			}
		}
		return true
	}}
}

// withASPaths is the reading in which external peers pass routes on and keep AS paths.
func (m *naive) withASPaths() naiveReading {
	return naiveReading{nameWithASPaths, m.reading(true).passes, true}
}

// known is the reading in which only the peers in a list pass routes on.
func (m *naive) known(list []string) naiveReading {
	all := m.reading(true)
	return naiveReading{name: strings.Join(list, ","), passes: func(s *naiveSlot) bool {
		if !all.passes(s) {
			return false
		}
		for _, name := range s.peersOf(s.candidates...) {
			for _, entry := range list {
				asn := m.state.Get(calico.ID{Kind: calico.KindBGPPeer, Name: name}).(*calico.BGPPeer).ASNumber
				prefix, err := netip.ParsePrefix(entry)
				if entry == name || entry == s.peer.String() || entry == strconv.Itoa(int(asn)) && asn != 0 || err == nil && prefix.Contains(s.peer) {
					return true
				}
			}
		}
		return false
	}}
}

// reached returns the nodes that get origin's routes in family f to all blocks and addresses that its pods
// have. If these are not known, they get those to all blocks of the pools, and if it has none, those to any.
func (m *naive) reached(f calico.Family, origin *calico.Node, reading naiveReading) map[*calico.Node]bool {
	blocks, one := m.blocks(f), false
	if len(m.state.IPAMBlocks()) > 0 {
		own := m.allocated(f, origin)
		if one = own == nil; !one {
			blocks = own
		}
	}
	return m.gets(f, origin, blocks, reading, one)
}

// gets returns the nodes that get origin's routes to all of some prefixes, or to at least one.
func (m *naive) gets(f calico.Family, origin *calico.Node, blocks []netip.Prefix, reading naiveReading, one bool) map[*calico.Node]bool {
	var out map[*calico.Node]bool
	for _, block := range blocks {
		got := m.receivers(f, origin, block, reading)
		switch {
		case out == nil:
			out = maps.Clone(got)
		case one:
			maps.Copy(out, got)
		}
		for n := range out {
			if !one && !got[n] {
				delete(out, n)
			}
		}
	}
	return out
}

// receivers returns the nodes that get origin's route to a block: it is
// passed on, all paths of it since Calico's BIRD adds paths, until nothing new
// comes.
func (m *naive) receivers(f calico.Family, origin *calico.Node, block netip.Prefix, reading naiveReading) map[*calico.Node]bool {
	key := naiveFollowed{f, origin, block, reading.name}
	if out, ok := m.followed[key]; ok {
		return out
	}
	w := &naiveFlood{model: m, family: f, block: block, reading: reading}
	out := map[*calico.Node]bool{}
	m.followed[key] = out
	if !origin.SpeaksBGP(f) {
		return out
	}
	w.run(origin, func(r naiveRoute) { out[r.at] = true })
	return out
}

// run follows the routes of an origin, and calls visit with each, the first one at the origin.
func (w *naiveFlood) run(origin *calico.Node, visit func(naiveRoute)) {
	w.fresh = []naiveRoute{w.model.own(origin, w.family)}
	for len(w.fresh) > 0 {
		r := w.fresh[0]
		w.fresh = w.fresh[1:]
		visit(r)
		if r.at.Name != w.silent {
			w.spread(r)
		}
	}
}

// own is a route that a node originates.
func (m *naive) own(n *calico.Node, f calico.Family) naiveRoute {
	return naiveRoute{at: n, origin: n, hop: n, preference: math.MaxInt32 - m.priority(f)}
}

// spread advertises a route over every half-session that exports it.
func (w *naiveFlood) spread(r naiveRoute) {
	for _, s := range w.model.slots {
		if s.node != r.at || s.family != w.family || s == r.in || s.workload() || !s.exports(r) {
			continue
		}
		switch {
		case s.status == Paired:
			w.send(r, s)
		case s.status == External && w.reading.passes(s):
			w.leave(r, s)
		}
	}
}

// leave sends a route to an external peer that passes it on to all nodes that peer with one
// that does.
func (w *naiveFlood) leave(r naiveRoute, s *naiveSlot) {
	next, ok := w.sent(r, s)
	if !ok {
		return
	}
	next.outside, next.clusters, next.hop = true, nil, nil
	if !w.reading.keeps {
		next.path = nil
	}
	for _, has := range w.external {
		if atMost(has, next) && w.sameAttributes(has, next) {
			return
		}
	}
	w.external = append(w.external, next)
	for _, s := range w.model.slots {
		if s.family == w.family && !s.workload() && s.status == External && w.reading.passes(s) {
			one := next
			one.at, one.in = s.node, s
			if !s.internal() {
				one.preference = 100
			}
			w.receive(one)
		}
	}
}

// exports reports whether BIRD exports r over s (proto/bgp/attrs.c,
// bgp_import_control).
func (s *naiveSlot) exports(r naiveRoute) bool {
	if s.client() && slices.Contains(r.clusters, s.node.ClusterID) {
		return false
	}
	return !s.reflected(r) || s.client() || r.in.client()
}

// reflected reports whether only a route reflector advertises r over s.
func (s *naiveSlot) reflected(r naiveRoute) bool {
	return r.in != nil && r.in.internal() && s.internal() && r.in.localASN() == s.localASN()
}

// sent returns r as a node sends it over s, and false if it does not.
func (w *naiveFlood) sent(r naiveRoute, s *naiveSlot) (naiveRoute, bool) {
	next := r
	if mode := s.candidates[0].NextHopMode; mode == "Self" || !s.internal() && mode != "Keep" && !w.model.direct(s.candidates[0]) {
		next.hop = s.node
	}
	switch {
	case !s.internal():
		next.path, next.clusters = append(slices.Clone(r.path), s.localASN()), nil
	case s.reflected(r) && !slices.Contains(r.clusters, s.node.ClusterID):
		next.clusters = append(slices.Clone(r.clusters), s.node.ClusterID)
	}
	if w.block.IsValid() {
		if r.in != nil {
			for _, c := range r.communities {
				if c == "65535:65282" || !s.internal() && (c == "65535:65281" || c == "65535:65283") {
					return next, false
				}
			}
		}
		switch w.filter("export", s, &next, r.in != nil) {
		case "Reject":
			return next, false
		case "":
			if w.model.unexported(w.block) || w.services && !w.exportsService(s.node) {
				return next, false
			}
			for _, c := range w.model.advertised(s.node, w.block) {
				next.communities = withText(next.communities, c)
			}
		}
	}
	if !s.internal() {
		next.preference = 100
	}
	return next, true
}

// send sends r over a session.
func (w *naiveFlood) send(r naiveRoute, s *naiveSlot) {
	if next, ok := w.sent(r, s); ok {
		next.at, next.in = w.model.owner(s.family, s.peer), w.model.back(s)
		w.receive(next)
	}
}

// receive keeps a route, unless the node drops it or has a route over the same session
// that reaches at least the same nodes.
func (w *naiveFlood) receive(r naiveRoute) {
	if r.at == r.origin || r.in.client() && slices.Contains(r.clusters, r.at.ClusterID) || timesIn(r.path, r.in.localASN()) > r.in.allowed() {
		return
	}
	if w.block.IsValid() && w.filter("import", r.in, &r, true) == "Reject" {
		return
	}
	for _, has := range w.routes {
		if has.at == r.at && has.origin == r.origin && has.in == r.in && atMost(has, r) && w.sameAttributes(has, r) {
			return
		}
	}
	w.routes, w.fresh = append(w.routes, r), append(w.fresh, r)
}

// sameAttributes reports whether all rules treat a and b alike: none reads more than two AS
// numbers of a path.
func (w *naiveFlood) sameAttributes(a, b naiveRoute) bool {
	if w.all && (a.hop != b.hop || !slices.Equal(a.communities, b.communities) || len(a.path) == len(b.path) && !slices.Equal(a.path, b.path)) {
		return false
	}
	near := func(r naiveRoute) []uint32 {
		if !w.model.reads("asPathPrefix") {
			return nil
		}
		return r.path[max(0, len(r.path)-2):]
	}
	seen := func(r naiveRoute) []string {
		return slices.DeleteFunc(slices.Clone(r.communities), func(c string) bool { return !strings.HasPrefix(c, "65535:") && !w.model.reads("communities") })
	}
	return a.outside == b.outside && slices.Equal(seen(a), seen(b)) && (a.preference == b.preference || !w.model.reads("priority")) && slices.Equal(near(a), near(b))
}

// atMost reports whether b's cluster list and AS path contain those of a.
func atMost(a, b naiveRoute) bool {
	for _, id := range a.clusters {
		if !slices.Contains(b.clusters, id) {
			return false
		}
	}
	for _, asn := range a.path {
		if timesIn(a.path, asn) > timesIn(b.path, asn) {
			return false
		}
	}
	return true
}

func timesIn(path []uint32, asn uint32) int {
	n := 0
	for _, a := range path {
		if a == asn {
			n++
		}
	}
	return n
}

// The methods below return, for a slot with several candidates, the value with which the
// fewest routes are exchanged.

func (s *naiveSlot) internal() bool {
	return slices.ContainsFunc(s.candidates, func(h HalfSession) bool { return h.PeerASN == h.LocalASN })
}

func (s *naiveSlot) client() bool {
	return !slices.ContainsFunc(s.candidates, func(h HalfSession) bool { return !h.RouteReflectorClient })
}

func (s *naiveSlot) localASN() uint32 { return s.candidates[0].LocalASN }

func (s *naiveSlot) allowed() int {
	n := s.candidates[0].NumAllowedLocalASNumbers
	for _, h := range s.candidates {
		n = min(n, h.NumAllowedLocalASNumbers)
	}
	return n
}

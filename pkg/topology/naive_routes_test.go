package topology

import (
	"net/netip"
	"slices"
	"strconv"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// naiveRoute is one path to the origin's pods, at one node.
type naiveRoute struct {
	at *calico.Node
	// in is the half-session over which the node learned it, nil for the origin.
	in *naiveSlot
	// clusters is the cluster list. path is the AS path.
	clusters []string
	path     []uint32
}

// naiveFlood follows the routes of the origin.
type naiveFlood struct {
	model    *naive
	origin   *calico.Node
	family   calico.Family
	passes   naiveReading
	external bool // whether an external peer that passes routes on has one
	// routes are all that have come anywhere, fresh those to be passed on yet.
	routes, fresh []naiveRoute
}

// naiveReading tells whether the external peer of a slot passes routes on.
type naiveReading func(*naiveSlot) bool

// reading is with transit or without.
func (m *naive) reading(transit bool) naiveReading {
	return func(s *naiveSlot) bool {
		if !transit || s.peer.IsLoopback() || s.peer.IsUnspecified() || s.peer.IsMulticast() {
			return false
		}
		for _, n := range m.nodes {
			if slices.Contains(n.Others, s.peer) {
				return false
			}
		}
		return true
	}
}

// known is the reading in which only the peers in a list pass routes on.
func (m *naive) known(list []string) naiveReading {
	all := m.reading(true)
	return func(s *naiveSlot) bool {
		if !all(s) {
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
	}
}

// reached returns the nodes that get origin's routes in family f: they are
// passed on, all paths of them since Calico's BIRD adds paths, until nothing new
// comes.
func (m *naive) reached(f calico.Family, origin *calico.Node, passes naiveReading) map[*calico.Node]bool {
	w := &naiveFlood{model: m, origin: origin, family: f, passes: passes}
	out := map[*calico.Node]bool{}
	if !origin.SpeaksBGP(f) {
		return out
	}
	w.fresh = []naiveRoute{{at: origin}}
	for len(w.fresh) > 0 {
		r := w.fresh[0]
		w.fresh = w.fresh[1:]
		out[r.at] = true
		w.spread(r)
	}
	return out
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
		case s.status == External && w.passes(s) && !w.external:
			w.external = true
			w.handOn()
		}
	}
}

// handOn passes the route of external peers to all nodes that peer with one that does.
func (w *naiveFlood) handOn() {
	for _, s := range w.model.slots {
		if s.family == w.family && !s.workload() && s.status == External && w.passes(s) {
			w.receive(naiveRoute{at: s.node, in: s})
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

// send sends r over a session.
func (w *naiveFlood) send(r naiveRoute, s *naiveSlot) {
	next := naiveRoute{at: w.model.owner(s.family, s.peer), in: w.model.back(s), clusters: r.clusters, path: r.path}
	switch {
	case !s.internal():
		next.path, next.clusters = append(slices.Clone(r.path), s.localASN()), nil
	case s.reflected(r) && !slices.Contains(r.clusters, s.node.ClusterID):
		next.clusters = append(slices.Clone(r.clusters), s.node.ClusterID)
	}
	w.receive(next)
}

// receive keeps a route, unless the node drops it or has a route over the same session
// that reaches at least the same nodes.
func (w *naiveFlood) receive(r naiveRoute) {
	if r.at == w.origin || r.in.client() && slices.Contains(r.clusters, r.at.ClusterID) || timesIn(r.path, r.in.localASN()) > r.in.allowed() {
		return
	}
	for _, has := range w.routes {
		if has.at == r.at && has.in == r.in && atMost(has, r) {
			return
		}
	}
	w.routes, w.fresh = append(w.routes, r), append(w.fresh, r)
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

package topology

import (
	"context"
	"slices"

	"iter"
	"net/netip"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology/routes"
	"github.com/bgpguard/bgpguard/pkg/topology/sessions"
)

// HalfSessions lists the half-sessions of one node, or of all nodes for "", in order of
// node, family and protocol. It skips ambiguous half-sessions. The iterator computes
// the half-sessions of one node at a time.
func (t *Topology) HalfSessions(node string) iter.Seq[HalfSession] {
	return func(yield func(HalfSession) bool) {
		t.each(node, nil, func(list []sessions.Listed) bool {
			for i := range list {
				if l := &list[i]; len(l.Ways) == 1 && !yield(l.HalfSession(&l.Ways[0])) {
					return false
				}
			}
			return true
		})
	}
}

// Broken lists the half-sessions that cannot come up, of one node or of all nodes for
// "", in the order of HalfSessions. O(half-sessions of the nodes with broken ones).
func (t *Topology) Broken(node string) iter.Seq[BrokenSession] {
	var has [2][]func(int) bool
	for _, f := range calico.Families {
		for _, m := range t.tallies[f].broken {
			has[f] = append(has[f], t.marked(f, m))
		}
	}
	marked := func(f calico.Family, i int) bool {
		return slices.ContainsFunc(has[f], func(is func(int) bool) bool { return is(i) })
	}
	return func(yield func(BrokenSession) bool) {
		t.each(node, marked, func(list []sessions.Listed) bool {
			for i := range list {
				if l := &list[i]; len(l.Ways) == 1 && l.Reason != "" && !yield(l.Broken()) {
					return false
				}
			}
			return true
		})
	}
}

// Ambiguous lists the half-sessions that depend on the order in which Calico
// visits BGPPeers, of one node or of all nodes for "", in the order of HalfSessions.
// O(half-sessions of the nodes with ambiguous ones).
func (t *Topology) Ambiguous(node string) iter.Seq[AmbiguousSession] {
	marked := func(f calico.Family, i int) bool { return t.marked(f, &t.tallies[f].ambiguous)(i) }
	return func(yield func(AmbiguousSession) bool) {
		t.each(node, marked, func(list []sessions.Listed) bool {
			for i := range list {
				if l := &list[i]; len(l.Ways) > 1 && !yield(l.Ambiguous()) {
					return false
				}
			}
			return true
		})
	}
}

// each calls visit with the half-sessions of each node and family for which wanted
// returns true. If wanted is nil, it calls visit for all nodes.
func (t *Topology) each(node string, wanted func(f calico.Family, i int) bool, visit func([]sessions.Listed) bool) {
	members := t.sessions.Classes.Members()
	for i, n := range t.index.Nodes {
		if node != "" && n.Name != node {
			continue
		}
		for _, f := range calico.Families {
			if n.SpeaksBGP(f) && (wanted == nil || wanted(f, i)) && !visit(t.networks[f].ListNode(uint32(i), members)) {
				return
			}
		}
	}
}

// Ignored lists what Calico would ignore or reject in the objects of the state.
func (t *Topology) Ignored() []Ignored {
	out := []Ignored{}
	add := func(o calico.Object) {
		for _, p := range t.Problems(o.ID()) {
			out = append(out, Ignored{string(o.ID().Kind), o.ID().Name, p.String()})
		}
	}
	for _, o := range t.snapshot.BGPConfigurations() {
		add(o)
	}
	for _, o := range t.snapshot.BGPPeers() {
		add(o)
	}
	for _, o := range t.snapshot.IPPools() {
		add(o)
	}
	for _, o := range t.snapshot.BGPFilters() {
		add(o)
	}
	for _, o := range t.snapshot.FelixConfigurations() {
		add(o)
	}
	for _, o := range t.snapshot.Installations() {
		add(o)
	}
	for _, o := range t.snapshot.Nodes() {
		if len(o.Problems()) > 0 {
			add(o)
		}
	}
	return out
}

// HasRoute reports whether node "to" has the routes to the pods of node "from" in
// family f, with or without transit. Policies read the Summary. HasRoute serves to
// compare predictions with a running BIRD, route by route.
func (t *Topology) HasRoute(f calico.Family, from, to string, transit bool) bool {
	a, ok := t.index.Find(from)
	b, ok2 := t.index.Find(to)
	reading := routes.WithoutTransit
	if transit {
		reading = routes.WithTransit
	}
	return ok && ok2 && t.routings[f].hasRoute(reading, a, b)
}

// RoutesTo returns a function that reports whether node to has the route of node from to a prefix
// of pods of node from, if external peers pass no routes on. BGPFilters and prefixAdvertisements
// apply to the prefix. RoutesTo returns an error only if ctx is done. O(kinds of nodes x sessions).
func (t *Topology) RoutesTo(ctx context.Context, prefix netip.Prefix) (func(from, to string) bool, error) {
	r := t.routings[calico.FamilyOf(prefix.Addr())]
	graph := r.graph
	graph.Readings, graph.Destinations = 1, []routes.Destination{r.destination(prefix, false)}
	results, err := routes.Compute(ctx, &graph)
	if err != nil {
		return nil, err
	}
	return func(from, to string) bool {
		a, ok := t.index.Find(from)
		b, ok2 := t.index.Find(to)
		if !ok || !ok2 || a == b {
			return false
		}
		v, w := r.vertex(a), r.vertex(b)
		return v >= 0 && w >= 0 && results[routes.WithoutTransit].Has(v, w)
	}, nil
}

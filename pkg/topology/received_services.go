package topology

import (
	"context"
	"fmt"
	"strings"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology/routes"
	"github.com/bgpguard/bgpguard/pkg/topology/sessions"
)

// ServiceRoutes is the routes to a range of addresses of Services.
type ServiceRoutes struct {
	// Field is serviceClusterIPs, serviceExternalIPs or serviceLoadBalancerIPs.
	Field string `json:"field"`
	CIDR  string `json:"cidr"`
	// Single reports that nodes advertise only single addresses of Services in the range, if they
	// have endpoints.
	Single bool `json:"single"`
	// Advertised reports that the node of the table advertises the range itself.
	Advertised bool `json:"advertised"`
	// Nodes, Partial and Others are, for a node, the other nodes that advertise the range: those whose
	// routes to all of it the node has, to a part of it, and to nothing of it. For an external peer, they
	// are the nodes with sessions: those that carry routes to all of it, to a part of it, and to nothing of it.
	Nodes   NodeGroup `json:"nodes"`
	Partial NodeGroup `json:"partial"`
	Others  NodeGroup `json:"others"`
	// Routes and Dropped are those of a RouteTable. A node that advertises the range does not send the
	// routes of other nodes to external peers, because it prefers its own.
	Routes  []RouteGroup    `json:"routes"`
	Dropped []DroppedRoutes `json:"dropped"`
}

// Key returns a text that is equal for equal routes to equal parts of the range, whatever their attributes.
func (s *ServiceRoutes) Key() string {
	return fmt.Sprint(s.Field, s.CIDR, s.Single, s.Advertised, s.Nodes.names, s.Partial.names, s.Others.names)
}

// FullKey returns a text that is equal for equal routes with equal attributes.
func (s *ServiceRoutes) FullKey() string {
	var out strings.Builder
	out.WriteString(s.Key())
	for i := range s.Routes {
		out.WriteString(s.Routes[i].Key())
	}
	for i := range s.Dropped {
		out.WriteString(s.Dropped[i].Key())
	}
	return out.String()
}

// servicesOfPeer sets services for an external peer, and reports whether all kinds of prefixes and paths
// are followed.
func (w *tabulation) servicesOfPeer(ctx context.Context, peer *sessions.ExternalPeer) (complete bool, err error) {
	s := w.t.services[w.family]
	all := bitset.New(w.t.index.Len())
	for _, tap := range w.taps {
		all.InPlaceUnion(tap)
	}
	return w.findServices(ctx, routes.WithoutTransit, all, func(f *followedService) error {
		sent, err := s.sent(ctx, f.class.prefix, s.origins(), s.outlets())
		if err == nil {
			f.nodes = s.carriers(sent, peer)
		}
		return err
	})
}

// servicesOfNode is servicesOfPeer for a node.
func (w *tabulation) servicesOfNode(ctx context.Context, reading routes.Reading) (complete bool, err error) {
	s := w.t.services[w.family]
	if len(s.list) == 0 {
		return w.findServices(ctx, reading, nil, nil)
	}
	advertising := w.t.index.BGP[w.family].Difference(s.excluded)
	advertising.Clear(uint(w.node))
	return w.findServices(ctx, reading, advertising, func(f *followedService) error {
		f.nodes = bitset.New(w.t.index.Len())
		for i := range f.Received {
			f.nodes.InPlaceUnion(w.origins(&f.Received[i]))
		}
		return nil
	})
}

// followedService is the routes to prefixes of a class, and the nodes that are ServiceRoutes.Nodes if the
// range has only these prefixes.
type followedService struct {
	*routes.Trace
	class prefixClass
	nodes *bitset.BitSet
}

// findServices sets services, and reports whether all kinds of prefixes and paths are followed. all are
// the nodes of Nodes, Partial and Others. find sets the nodes of a class.
func (w *tabulation) findServices(ctx context.Context, reading routes.Reading, all *bitset.BitSet, find func(*followedService) error) (complete bool, err error) {
	s := w.t.services[w.family]
	w.services, complete = []ServiceRoutes{}, true
	if len(s.list) == 0 {
		return true, nil
	}
	origins := s.origins()
	advertises := w.node >= 0 && !s.excluded.Test(uint(w.node))
	known := map[string]*followedService{}
	tables := make([][]*followedService, len(s.list))
	for i, one := range s.list {
		classes, divided := w.serviceClasses(one)
		complete = complete && divided
		with, some := all.Clone(), bitset.New(w.t.index.Len())
		for _, class := range classes {
			key := s.kind(class.prefix)
			if known[key] == nil {
				if len(known) == maxDestinations {
					complete = false
					with.ClearAll()
					break
				}
				f := &followedService{class: class}
				if f.Trace, err = routes.FollowShared(ctx, &w.routing.graph, reading, s.shared(class.prefix, origins), w.target); err != nil {
					return false, fmt.Errorf("following the routes to Services: %w", err)
				}
				if err := find(f); err != nil {
					return false, fmt.Errorf("following the routes to Services: %w", err)
				}
				known[key] = f
			}
			f := *known[key]
			f.class = class
			tables[i] = append(tables[i], &f)
			with.InPlaceIntersection(f.nodes)
			some.InPlaceUnion(f.nodes)
			complete = complete && !f.Partial
		}
		w.services = append(w.services, ServiceRoutes{
			Field: one.Field, CIDR: one.CIDR.String(), Single: !one.Route, Advertised: advertises,
			Nodes: w.group(with), Partial: w.group(some.Difference(with)), Others: w.group(all.Difference(some)),
		})
	}
	// After all ranges are known, because these decide whether next hops are usable.
	for i, list := range tables {
		w.services[i].Routes, w.services[i].Dropped = w.serviceTable(list)
	}
	return complete, nil
}

// serviceClasses divides the prefixes of a range into classes that sessions treat alike; see Beside. It returns
// false if there are too many.
func (w *tabulation) serviceClasses(one calico.ServiceRange) (classes []prefixClass, all bool) {
	by := []*services{w.t.services[w.family]}
	if w.other != nil {
		by = append(by, w.other.t.services[w.family])
	}
	pool := &podPool{blockSize: one.CIDR.Addr().BitLen()}
	if one.Route {
		pool.blockSize = one.CIDR.Bits()
	}
	regions, all := by[0].regions(one, by...)
	known := map[string]int{}
	for _, region := range regions {
		var key strings.Builder
		for _, s := range by {
			key.WriteString(s.kind(region.Prefix) + "|")
		}
		k, ok := known[key.String()]
		if !ok {
			k = len(classes)
			known[key.String()] = k
			classes = append(classes, prefixClass{prefix: region.Prefix})
		}
		classes[k].parts = append(classes[k].parts, poolPart{pool, pool.blockSize, region})
	}
	return classes, all
}

// serviceTable returns the rows of the classes of a range.
func (w *tabulation) serviceTable(list []*followedService) ([]RouteGroup, []DroppedRoutes) {
	rows := *w
	rows.classes, rows.ranges, rows.originate = nil, nil, nil
	out := &RouteTable{Routes: []RouteGroup{}, Dropped: []DroppedRoutes{}}
	for i, f := range list {
		rows.classes, rows.ranges = append(rows.classes, f.class), append(rows.ranges, rangesOf(f.class.parts, nil))
		rows.addRoutes(out, i, f.Received)
		rows.addDropped(out, i, f.Dropped)
	}
	for i := range out.Routes { // Nodes program no routes to Services: kube-proxy translates the addresses.
		out.Routes[i].ServiceRange = ""
	}
	return out.Routes, out.Dropped
}

package topology

import (
	"context"
	"fmt"

	"github.com/bits-and-blooms/bitset"

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
	// Nodes are, for a node, the other nodes whose routes to all of the range it has, and Others those
	// that advertise the range and whose routes it does not have. For an external peer, Nodes are the
	// nodes with sessions that carry routes to all of the range, and Others those with sessions that do
	// not.
	Nodes  NodeGroup `json:"nodes"`
	Others NodeGroup `json:"others"`
}

// Key returns a text that is equal for equal routes.
func (s *ServiceRoutes) Key() string {
	return fmt.Sprint(s.Field, s.CIDR, s.Single, s.Advertised, s.Nodes.names, s.Others.names)
}

// servicesOfPeer returns the routes to ranges of addresses of Services that nodes send to an external peer.
func (w *tabulation) servicesOfPeer(ctx context.Context, peer *sessions.ExternalPeer) ([]ServiceRoutes, error) {
	out, s := []ServiceRoutes{}, w.t.services[w.family]
	for _, one := range s.list {
		prefixes, all := s.prefixes(one)
		if !all {
			prefixes = nil
		}
		with := bitset.New(w.t.index.Len())
		for i, p := range prefixes {
			sent, err := s.sent(ctx, p, s.origins(), s.outlets())
			if err != nil {
				return nil, err
			}
			if nodes := s.carriers(sent, peer); i == 0 {
				with = nodes
			} else {
				with.InPlaceIntersection(nodes)
			}
		}
		without := bitset.New(w.t.index.Len())
		for _, tap := range w.taps {
			without.InPlaceUnion(tap.Difference(with))
		}
		out = append(out, ServiceRoutes{Field: one.Field, CIDR: one.CIDR.String(), Single: !one.Route, Nodes: w.group(with), Others: w.group(without)})
	}
	return out, nil
}

// servicesOfNode sets services, and reports whether all kinds of ranges and paths are followed.
func (w *tabulation) servicesOfNode(ctx context.Context, reading routes.Reading) (complete bool, err error) {
	s := w.t.services[w.family]
	w.services = []ServiceRoutes{}
	if len(s.list) == 0 {
		return true, nil
	}
	complete = true
	origins := s.origins()
	advertising := w.t.index.BGP[w.family].Difference(s.excluded)
	advertises := advertising.Test(uint(w.node))
	advertising.Clear(uint(w.node))
	kinds := map[string]*bitset.BitSet{} // the nodes whose routes the node has
	for _, one := range s.list {
		prefixes, all := s.prefixes(one)
		complete = complete && all
		with := advertising.Clone()
		for _, p := range prefixes {
			key := s.kind(p)
			if kinds[key] == nil {
				if len(kinds) == maxDestinations {
					complete = false
					break
				}
				traced, err := routes.FollowShared(ctx, &w.routing.graph, reading, s.shared(p, origins), w.target)
				if err != nil {
					return false, fmt.Errorf("following the routes to Services: %w", err)
				}
				kinds[key] = bitset.New(w.t.index.Len())
				for i := range traced.Received {
					kinds[key].InPlaceUnion(w.origins(&traced.Received[i]))
				}
				complete = complete && !traced.Partial
			}
			with.InPlaceIntersection(kinds[key])
		}
		w.services = append(w.services, ServiceRoutes{
			Field: one.Field, CIDR: one.CIDR.String(), Single: !one.Route, Advertised: advertises, Nodes: w.group(with), Others: w.group(advertising.Difference(with)),
		})
	}
	return complete, nil
}

package bird

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology"
)

// Speaker is one node in one address family, that is, one BIRD.
type Speaker struct {
	Node   string
	Family calico.Family
}

// View is what a speaker has, predicted or observed.
type View struct {
	// Sessions are the names of the protocols with an established session, sorted.
	Sessions []string
	// Routes are the names of the other nodes to whose pods there is a route, sorted.
	Routes []string
}

// Equal reports whether both have the same sessions and routes.
func (v View) Equal(w View) bool {
	return slices.Equal(v.Sessions, w.Sessions) && slices.Equal(v.Routes, w.Routes)
}

// Predict returns the view that t, the topology of s, predicts for every speaker of nodes. External peers do not exist
// in the test unless nodes contains them as routers. These send no routes, and their views have sessions only. A BIRD that
// rejects its configuration does not run. The only error is that of ctx.
func Predict(ctx context.Context, s *state.Snapshot, t *topology.Topology, nodes []Node) (map[Speaker]View, error) {
	frozen := map[Speaker]bool{}
	for _, n := range t.Frozen() {
		for _, f := range calico.Families {
			if n.Family == f.String() {
				frozen[Speaker{n.Node, f}] = true
			}
		}
	}
	views := map[Speaker]View{}
	for _, f := range calico.Families {
		// A frozen node keeps the routes of its last configuration. Here it never had one.
		running, err := withoutNodes(ctx, s, t, func(node string) bool { return frozen[Speaker{node, f}] })
		if err != nil {
			return nil, err
		}
		for _, n := range nodes {
			if self := (Speaker{n.Name, f}); n.Address[f].IsValid() && !frozen[self] {
				views[self] = View{Sessions: sessionsOf(&n, f, nodes, frozen)}
			}
		}
		for _, from := range nodes {
			if !from.Address[f].IsValid() || frozen[Speaker{from.Name, f}] || from.Router != nil {
				continue
			}
			has, err := running.RoutesTo(ctx, from.Pods[f])
			if err != nil {
				return nil, err
			}
			for _, n := range nodes {
				if v, ok := views[Speaker{n.Name, f}]; ok && has(from.Name, n.Name) {
					v.Routes = append(v.Routes, from.Name)
					views[Speaker{n.Name, f}] = v
				}
			}
		}
	}
	return views, nil
}

// sessionsOf returns the names of the protocols of a node or router with a session, sorted. nodes contains the routers.
func sessionsOf(n *Node, f calico.Family, nodes []Node, frozen map[Speaker]bool) []string {
	var out []string
	for _, h := range n.HalfSessions {
		outside := slices.ContainsFunc(nodes, func(router Node) bool {
			return slices.ContainsFunc(router.Router, func(s routerSession) bool { return s.node == n.Name && s.half.Protocol == h.Protocol })
		})
		if h.Family == f.String() && (outside || h.Status == topology.Paired && !frozen[Speaker{h.PeerNode, f}]) {
			out = append(out, h.Protocol)
		}
	}
	for _, session := range n.Router {
		if !frozen[Speaker{session.node, f}] {
			out = append(out, session.protocol)
		}
	}
	slices.Sort(out)
	return out
}

// withoutNodes returns the topology of s, which is t, without some of its nodes.
func withoutNodes(ctx context.Context, s *state.Snapshot, t *topology.Topology, removed func(node string) bool) (*topology.Topology, error) {
	for _, n := range s.Nodes() {
		if removed(n.Name) {
			s = s.Apply(state.Change{Before: n})
		}
	}
	return topology.Compute(ctx, s, t)
}

// established returns the names of the protocols with an established session in the answer to `show protocols all`,
// sorted.
func established(lines []string) []string {
	var names []string
	name := ""
	for _, line := range lines {
		if !strings.HasPrefix(line, " ") {
			name, _, _ = strings.Cut(line, " ")
			continue
		}
		if state, ok := strings.CutPrefix(strings.TrimSpace(line), "BGP state:"); ok && strings.TrimSpace(state) == "Established" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// destinations returns the names of the nodes, without self, whose pod blocks have a route in the answer to `show
// route`, sorted.
func destinations(lines []string, owners map[netip.Prefix]string, self string) []string {
	var names []string
	for _, line := range lines {
		// A second path to the same destination has a space in place of the destination.
		net, err := netip.ParsePrefix(strings.Fields(line + " -")[0])
		if owner := owners[net]; err == nil && owner != "" && owner != self {
			names = append(names, owner)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

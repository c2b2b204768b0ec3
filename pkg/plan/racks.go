package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/topology/sessions"
)

// perRack leaves the routes to the external peers of each node, which it creates for the
// routers of the options, and turns the mesh off. Nodes of one AS number accept each other's
// routes from a router only if their AS number may occur in the path.
func (b *designer) perRack() error {
	shared, numbers := b.rackNumbers()
	oneNumber := numbers == 1
	if err := b.addRouters(oneNumber); err != nil || len(b.Blocked()) > 0 {
		return err
	}
	var peers []*calico.BGPPeer
	external := map[uint32]bool{}
	for _, p := range b.s.BGPPeers() {
		s := b.summary.BGPPeers[p.Name]
		created := slices.ContainsFunc(b.Changes, func(c state.Change) bool { return c.ID() == p.ID() })
		if created || s != nil && s.Scope == sessions.ScopeExternal && s.LocalNodes > 0 {
			peers, external[p.ASNumber] = append(peers, p), true
		}
	}
	if len(peers) == 0 {
		b.add(Unmet, "external peers: no BGPPeer has an address outside the cluster; each rack needs a router with BGP, and a BGPPeer to it (--tor RACK=ADDRESS,AS)")
		return nil
	}
	b.add(Met, "external peers: %s", text.Count(len(peers), "BGPPeer"))
	cluster := b.s.BGPConfiguration(calico.Default).ClusterASNumber()
	switch {
	case external[cluster] && shared > 0:
		b.add(Unknown, "routers of AS %d, that of the nodes, must be route reflectors", cluster)
	case oneNumber:
		b.add(Unknown, "all nodes have one AS number: BGPPeers get numAllowedLocalASNumbers: 1, so that nodes accept routes that return with it")
		for _, p := range peers {
			if p.NumAllowedLocalASNumbers > 0 {
				continue
			}
			o, err := b.withSpec(calico.KindBGPPeer, p.Name, map[string]any{"numAllowedLocalASNumbers": int64(1)})
			if err != nil {
				return err
			}
			b.change(o)
		}
	default:
		b.add(Met, "AS numbers of racks: %s", text.Number(numbers))
	}
	for _, f := range calico.Families {
		if b.hasFamily(f) && b.summary.PodTraffic.In(f).NeedsBGP {
			b.add(Unknown, "routers pass %s routes on between all racks: the objects do not show it; name them in transitPeers of the policies", f)
		}
	}
	return b.meshOff()
}

// rackNumbers counts the nodes with the AS number of the cluster, and the AS numbers of all
// nodes.
func (b *designer) rackNumbers() (shared, numbers int) {
	cluster, others := b.s.BGPConfiguration(calico.Default).ClusterASNumber(), map[uint32]bool{}
	for _, n := range b.s.Nodes() {
		switch {
		case !n.SpeaksBGP(calico.IPv4) && !n.SpeaksBGP(calico.IPv6):
		case n.ASNumber == nil || *n.ASNumber == cluster:
			shared++
		default:
			others[*n.ASNumber] = true
		}
	}
	return shared, len(others) + min(shared, 1)
}

// addRouters creates a BGPPeer for each router of the options. Every node must be in a rack
// with a router. oneNumber reports that all nodes have one AS number.
func (b *designer) addRouters(oneNumber bool) error {
	if len(b.o.Routers) == 0 {
		return nil
	}
	label := cmp.Or(b.o.RackLabel, DefaultRackLabel)
	racks := map[string]int{}
	var without []string
	for _, n := range b.s.Nodes() {
		if !n.SpeaksBGP(calico.IPv4) && !n.SpeaksBGP(calico.IPv6) {
			continue
		}
		rack, ok := n.Labels[label]
		if !ok {
			without = append(without, n.Name)
			continue
		}
		racks[rack]++
	}
	if len(without) > 0 {
		b.add(Unmet, "label %s on all nodes: %s without it (%s)", label, text.Count(len(without), "node is", "nodes are"), text.Names(without[:min(len(without), shownNames)], len(without)))
	}
	routers := map[string]int{}
	for _, r := range b.o.Routers {
		if racks[r.Rack] == 0 {
			return fmt.Errorf("the router %s is in rack %q, and no node has the label %s=%s", r.Address, r.Rack, label, r.Rack)
		}
		routers[r.Rack]++
	}
	var missing []string
	for _, rack := range slices.Sorted(maps.Keys(racks)) {
		if routers[rack] == 0 {
			missing = append(missing, rack)
		}
	}
	if len(missing) > 0 {
		b.add(Unmet, "a router in each rack: %s of %s without one (%s)", text.Number(len(missing)), text.Count(len(racks), "rack is", "racks are"), text.Names(missing[:min(len(missing), shownNames)], len(missing)))
		return nil
	}
	b.add(Met, "a router in each rack: %s in %s", text.Count(len(b.o.Routers), "router"), text.Count(len(racks), "rack"))
	for _, r := range b.o.Routers {
		selector := fmt.Sprintf("%s == '%s'", label, r.Rack)
		fields := map[string]any{"nodeSelector": selector, "peerIP": r.Address.String(), "asNumber": int64(r.AS)}
		if oneNumber && r.AS != b.s.BGPConfiguration(calico.Default).ClusterASNumber() {
			fields["numAllowedLocalASNumbers"] = int64(1)
		}
		o, err := b.withSpec(calico.KindBGPPeer, b.routerName(r), fields)
		if err != nil {
			return err
		}
		b.change(o)
	}
	return nil
}

// shownNames is the number of nodes or racks that a prerequisite names.
const shownNames = 3

// routerName returns the name of the BGPPeer to a router: that of its rack, with a number if a
// BGPPeer to another address has it.
func (b *designer) routerName(r Router) string {
	name := "tor-" + slug(r.Rack)
	for i := 1; ; i++ {
		try := name
		if i > 1 {
			try = fmt.Sprintf("%s-%d", name, i)
		}
		p, _ := b.s.Get(calico.ID{Kind: calico.KindBGPPeer, Name: try}).(*calico.BGPPeer)
		if p == nil || p.PeerIP == r.Address.String() {
			return try
		}
	}
}

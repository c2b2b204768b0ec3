package sessions

import (
	"slices"

	"github.com/bgpguard/bgpguard/pkg/topology/nodes"
)

// rendered is what bird.cfg has of a half-session, except addresses. BIRD restarts a
// protocol, and so its session, if any parameter of the protocol changes (proto/bgp/bgp.c
// of BIRD 1.6, bgp_reconfigure). Filters are no parameters: BIRD exchanges the routes
// again on the same session.
type rendered struct {
	Settings
	prefix Prefix
	client bool
}

// render returns what the bird.cfg of a node of class g has of a half-session with
// settings s.
func (s *Settings) render(g *nodes.Class, p Prefix) rendered {
	r := rendered{Settings: *s, prefix: p, client: s.client(g, p)}
	r.filters, r.reachableBy = "", ""
	r.clusterID = ""
	if r.client {
		r.clusterID = g.ClusterID // "rr cluster id" is the node's own.
	}
	if p == PrefixMesh {
		r.port = portOr179(s.port) // It is not in the name of the protocol.
	}
	r.localASN = s.Local(g)
	return r
}

// Peered reports whether a session comes up between the nodes of two classes of the
// network, and whether the mesh configures at least one of its half-sessions. O(log
// links).
func (n *Network) Peered(a, b uint32) (established, mesh bool) {
	l, m := n.Link(a, b), n.Link(b, a)
	if l == nil && m == nil {
		return n.meshPeered(a, b), true
	}
	if l == nil || m == nil || !l.Established() {
		return false, false
	}
	return true, l.Protocols[0].Prefix == PrefixMesh || m.Protocols[0].Prefix == PrefixMesh
}

// SameMesh reports whether the settings of mesh half-sessions that all nodes share are
// those of o.
func (r *Rules) SameMesh(o *Rules) bool {
	return r.meshPassword == o.meshPassword && r.meshRestart == o.meshRestart
}

// SamePorts reports whether the BGPConfigurations set the same listen ports as in o.
func (r *Rules) SamePorts(o *Rules) bool { return r.ports == o.ports }

// Resets reports whether the session between the nodes of two classes of the network
// restarts on the way from the network before, where it was between nodes of two other
// classes. The session is established in both. The addresses of the nodes are the same
// in both.
func (n *Network) Resets(a, b uint32, before *Network, c, d uint32) bool {
	return n.resets(a, b, before, c, d) || n.resets(b, a, before, d, c)
}

func (n *Network) resets(a, b uint32, before *Network, c, d uint32) bool {
	h, was := n.first(a, b), before.first(c, d)
	return !sameRendering(h.Ways, h.Prefix, &n.Classes.List[a], was.Ways, was.Prefix, &before.Classes.List[c])
}

// first returns the half-session of the nodes of class a to those of class b to which
// BIRD gives the connection.
func (n *Network) first(a, b uint32) Protocol {
	if l := n.Link(a, b); l != nil {
		return l.Protocols[0]
	}
	to := &n.Classes.List[b]
	return Protocol{Prefix: PrefixMesh, port: to.Port, Ways: []Way{{Settings: n.Rules.meshSettings(&n.Classes.List[a], to)}}}
}

// sameRendering reports whether two half-sessions, one of a node of class g and one of a
// node of class was, are equal in bird.cfg. Of an ambiguous half-session, all ways must
// be equal.
func sameRendering(ways []Way, p Prefix, g *nodes.Class, waysBefore []Way, q Prefix, was *nodes.Class) bool {
	within := func(some []Way, p Prefix, g *nodes.Class, all []Way, q Prefix, h *nodes.Class) bool {
		return !slices.ContainsFunc(some, func(w Way) bool {
			one := w.Settings.render(g, p)
			return !slices.ContainsFunc(all, func(v Way) bool { return v.Settings.render(h, q) == one })
		})
	}
	return within(ways, p, g, waysBefore, q, was) && within(waysBefore, q, was, ways, p, g)
}

// ResetsAt reports whether the session of node i with an external peer restarts on the
// way from the network before, where the node was node k and the half-session was. The
// address of the node is the same in both.
func (n *Network) ResetsAt(h *ExternalProtocol, i uint, before *Network, was *ExternalProtocol, k uint) bool {
	return !sameRendering(n.waysAt(h, i), h.Prefix, &n.Classes.List[n.Classes.Of[i]], before.waysAt(was, k), was.Prefix, &before.Classes.List[before.Classes.Of[k]])
}

// ResetsWorkloads reports whether the sessions with pods of a BGPPeer restart on a node of
// class g, on the way from the BGPPeer was and a node of class h. The address of the node
// is the same in both.
func (r *Peering) ResetsWorkloads(g *nodes.Class, was *Peering, h *nodes.Class) bool {
	a, b := r.workloadSettings(), was.workloadSettings()
	return a.render(g, PrefixWorkload) != b.render(h, PrefixWorkload)
}

// SamePort reports whether mesh peers of the nodes of two classes connect to the same port.
func SamePort(a, b *nodes.Class) bool { return portOr179(a.Port) == portOr179(b.Port) }

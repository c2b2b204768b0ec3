package topology

import (
	"slices"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology/routes"
	"github.com/bgpguard/bgpguard/pkg/topology/sessions"
)

// NodeDescription describes one node: whether it has routes, from which route reflectors,
// and which BGPPeers select it and why.
type NodeDescription struct {
	Name string `json:"name"`
	// ASN is the AS number of the node, ClusterID its cluster ID, "" if it is no route
	// reflector.
	ASN       uint32 `json:"asn"`
	ClusterID string `json:"clusterID"`
	// Mesh reports whether the node takes part in the node-to-node mesh.
	Mesh bool `json:"mesh"`
	// Families describes the routes of the node in each family.
	Families PerFamily[NodeRoutes] `json:"families"`
	// BGPPeers describes, for each BGPPeer in order of names, whether it selects the node.
	BGPPeers []NodePeering `json:"bgpPeers"`
}

// NodeRoutes describes the sessions and routes of a node in one family.
type NodeRoutes struct {
	// Address is the address of the node, "" if it has none: Calico then configures no
	// sessions.
	Address string `json:"address"`
	// Sessions counts the half-sessions that can come up. Reflectors names the route
	// reflectors among their peers, in order.
	Sessions   int      `json:"sessions"`
	Reflectors []string `json:"reflectors"`
	// WithTransit and WithoutTransit are the routes if external peers pass routes on
	// between nodes, and if not.
	WithTransit    NodeReach `json:"withTransit"`
	WithoutTransit NodeReach `json:"withoutTransit"`
}

// NodeReach counts routes of a node.
type NodeReach struct {
	// Isolated reports that the node has no route to or from any other.
	Isolated bool `json:"isolated"`
	// To counts the other nodes to whose pods the node has routes. From counts the nodes
	// that have routes to its pods. Others counts the other nodes with an address.
	To     int `json:"to"`
	From   int `json:"from"`
	Others int `json:"others"`
}

// NodePeering is whether a BGPPeer selects a node.
type NodePeering struct {
	Name string `json:"name"`
	// Local is whether the BGPPeer configures its half-sessions on the node, by node or
	// nodeSelector. Peer is whether the node is one of its peers, by peerSelector; nil for a
	// BGPPeer without a peerSelector.
	Local Match  `json:"local"`
	Peer  *Match `json:"peer"`
}

// Match is whether a field of a BGPPeer selects a node.
type Match struct {
	// Field is the field that decides, "" if neither node nor nodeSelector is set. Value is
	// its value.
	Field string `json:"field"`
	Value string `json:"value"`
	// Matches reports whether the field selects the node.
	Matches bool `json:"matches"`
	// Error is why the selector does not parse, "" if it parses. It then selects no node.
	Error string `json:"error"`
	// Clauses are the conditions of the selector that decide: those that fail if it does not
	// match, else those that hold.
	Clauses []calico.Clause `json:"clauses"`
}

// Describe describes the node of a name, nil if there is none. O(BGPPeers + half-sessions of
// the node + kinds of nodes).
func (t *Topology) Describe(name string) *NodeDescription {
	i, ok := t.index.Find(name)
	if !ok {
		return nil
	}
	n := t.index.Nodes[i]
	class := &t.sessions.Classes.List[t.sessions.Classes.Of[i]]
	out := &NodeDescription{Name: name, ASN: class.ASN, ClusterID: n.ClusterID, BGPPeers: []NodePeering{}}
	members := t.sessions.Classes.Members()
	for _, f := range calico.Families {
		out.Mesh = out.Mesh || t.networks[f].InMesh(t.sessions.Classes.Of[i])
		one := out.Families.In(f)
		one.Reflectors = []string{}
		if !n.SpeaksBGP(f) {
			continue
		}
		one.Address = n.Address[f].Addr().String()
		for _, l := range t.networks[f].ListNode(uint32(i), members) {
			if l.Reason != "" {
				continue
			}
			one.Sessions++
			if k, ok := t.index.Find(l.PeerNode()); ok && t.index.Nodes[k].ClusterID != "" {
				one.Reflectors = append(one.Reflectors, l.PeerNode())
			}
		}
		slices.Sort(one.Reflectors)
		one.Reflectors = slices.Compact(one.Reflectors)
		one.WithTransit, one.WithoutTransit = t.routings[f].reachOf(routes.WithTransit, i), t.routings[f].reachOf(routes.WithoutTransit, i)
	}
	for _, p := range t.sessions.Peerings {
		out.BGPPeers = append(out.BGPPeers, describePeering(p, n))
	}
	return out
}

// reachOf counts the routes of a node that has an address.
func (r *routing) reachOf(reading routes.Reading, node uint) NodeReach {
	m, v := r.existing(reading), r.kind(node)
	out := NodeReach{Isolated: r.isolated(reading, v), Others: -1}
	for w := range r.kinds() {
		others := m.Nodes(w)
		out.Others += others
		if w == v {
			others--
		}
		if m.Has(w, v) {
			out.To += others
		}
		if m.Has(v, w) {
			out.From += others
		}
	}
	return out
}

func describePeering(p *sessions.Peering, n *calico.Node) NodePeering {
	peer := p.Peer
	out := NodePeering{Name: peer.Name}
	switch {
	case peer.NodeSelector != "":
		out.Local = match("spec.nodeSelector", peer.NodeSelector, peer.Local(), n)
	case peer.Node != "":
		out.Local = Match{Field: "spec.node", Value: peer.Node, Matches: peer.Node == n.Name, Clauses: []calico.Clause{}}
	default:
		out.Local = Match{Matches: true, Clauses: []calico.Clause{}}
	}
	if peer.PeerSelector != "" {
		m := match("spec.peerSelector", peer.PeerSelector, peer.Remote(), n)
		out.Peer = &m
	}
	return out
}

// match explains a selector, nil for one that does not parse.
func match(field, text string, s *calico.Selector, n *calico.Node) Match {
	out := Match{Field: field, Value: text, Clauses: []calico.Clause{}}
	if s == nil {
		if _, err := calico.ParseSelector(text); err != nil {
			out.Error = err.Error()
		}
		return out
	}
	matches, clauses := s.Explain(n.Labels)
	out.Matches, out.Clauses = matches, append(out.Clauses, clauses...)
	return out
}

package report

import (
	"fmt"
	"slices"

	"github.com/bgpguard/bgpguard/pkg/topology"
)

func half(node, protocol, peerIP, peerNode string, status topology.Status, sources ...string) topology.HalfSession {
	return topology.HalfSession{
		Node: node, Family: "IPv4", Protocol: protocol, PeerIP: peerIP, PeerPort: 179, PeerNode: peerNode,
		PeerASN: 64512, LocalASN: 64512, Sources: sources, Status: status,
	}
}

func set(n int, sample ...string) topology.NodeSet {
	return topology.NodeSet{Nodes: n, Sample: append([]string{}, sample...)}
}

func reach(nodes int) *topology.Reach {
	return &topology.Reach{
		Nodes: nodes, Partitions: min(nodes, 1), LargestPartition: nodes, Isolated: set(0),
		WithoutRoute: topology.PairSet{Sample: []topology.Pair{}}, SinglePoints: []topology.SinglePoint{},
	}
}

func summary(nodes, reflectors int) *topology.Summary {
	four, six := reach(nodes), reach(0)
	return &topology.Summary{
		Addresses:  &topology.PerFamily[topology.Addresses]{},
		Nodes:      &topology.Nodes{Total: nodes, BGP: nodes, Reflectors: reflectors, NotReady: set(0)},
		Mesh:       &topology.Mesh{Source: "set"},
		Reflectors: &topology.PerFamily[topology.Reflectors]{IPv4: topology.Reflectors{Levels: []topology.Level{}, BGPPeers: []string{}}},
		Sessions:   &topology.PerFamily[topology.Sessions]{IPv4: topology.Sessions{Frozen: set(0)}, IPv6: topology.Sessions{Frozen: set(0)}},
		Routes: &topology.PerFamily[topology.Routes]{
			IPv4: topology.Routes{WithTransit: four, WithoutTransit: four}, IPv6: topology.Routes{WithTransit: six, WithoutTransit: six},
		},
		Convergence: &topology.Convergence{
			Start:          topology.Delay{Seconds: 12, Reason: "connect delay 2 s, and up to 10 s until every peer has sent its routes"},
			Waiting:        set(0),
			ReflectorCrash: topology.Delay{Seconds: 0, Reason: "routes are kept for 120 s"},
			ReflectorStop:  topology.Delay{Seconds: 7, Reason: "reconnect after 5 s and connect delay 2 s"},
			ReflectorSilence: topology.Delay{
				Seconds: 0, Reason: "routes are kept until the hold time of 240 s ends",
			},
		},
		PodTraffic: &topology.PerFamily[topology.PodTraffic]{IPv4: topology.PodTraffic{NeedsBGP: true}},
		Timers:     &topology.Timers{},
	}
}

// mesh5 returns a mesh of five nodes without a fault.
func mesh5() *Topology {
	s := summary(5, 0)
	s.CalicoVersion = "3.31.2"
	s.Mesh = &topology.Mesh{Enabled: true, Source: "absent", Nodes: 5, SessionsPerNode: 4, Sessions: 10}
	s.Sessions.IPv4 = topology.Sessions{Total: 10, Most: 4, MostNode: "a", Frozen: set(0)}
	var all []topology.HalfSession
	for i := range 5 {
		for j := range 5 {
			if i != j {
				h := half(string(rune('a'+i)), fmt.Sprintf("Mesh_10_0_0_%d", j+1), fmt.Sprintf("10.0.0.%d", j+1), string(rune('a'+j)), topology.Paired)
				h.Passive, h.Sources = j > i, []string{}
				all = append(all, h)
			}
		}
	}
	return &Topology{
		Summary: s, Sessions: slices.Values(all), Broken: none[topology.BrokenSession], Ambiguous: none[topology.AmbiguousSession],
		Graph: &topology.Graph{
			Groups: []topology.Group{{ID: "g1", Role: topology.RoleMesh, Nodes: 5, Sample: []string{"a", "b", "c"}, ASN: 64512}},
			Links:  []topology.Link{{From: "g1", To: "g1", Kind: topology.LinkMesh, Sessions: 10, Families: []string{"IPv4"}}},
		},
	}
}

func none[T any](func(T) bool) {}

// large returns a cluster with route reflectors, the rest of a mesh, and every kind of fault.
func large() *Topology {
	s := summary(5000, 3)
	s.Nodes.NotReady = set(2, "node-7", "node-9")
	s.Sessions.IPv4 = topology.Sessions{
		Total: 22068, External: 3, Most: 4983, MostNode: "rr-1", Broken: 8, Ambiguous: topology.Ambiguous{HalfGroup: topology.HalfGroup{HalfSessions: 1}}, Frozen: set(1, "node-8"),
		BrokenReasons: map[topology.Reason]topology.HalfGroup{topology.NoReturn: {HalfSessions: 7}, topology.ASNumberMismatch: {HalfSessions: 1}},
	}
	s.Reflectors.IPv4 = topology.Reflectors{Total: 3, Nodes: 4997, BGPPeers: []string{"clients"}, Levels: []topology.Level{
		{Reflectors: 0, Nodes: 139, Sample: []string{"old-1", "old-2", "old-3"}}, {Reflectors: 3, Nodes: 4858, Sample: []string{"node-1", "node-2", "node-3"}},
	}}
	withoutTransit := reach(5000)
	withoutTransit.Partitions, withoutTransit.LargestPartition = 19, 4863
	withoutTransit.Isolated = set(17, "new-1", "new-2", "new-3")
	withoutTransit.WithoutRoute = topology.PairSet{Pairs: 667449, Sample: []topology.Pair{{"new-1", "new-2"}, {"new-1", "new-3"}}}
	withoutTransit.SinglePoints = []topology.SinglePoint{
		{Kind: "zone", Name: "zone-a", NodeSet: set(4858, "node-1", "node-2", "node-3")},
		{Kind: "externalPeer", Name: "172.16.0.1", NodeSet: set(1, "tor-1")},
	}
	s.Routes.IPv4 = topology.Routes{WithTransit: reach(5000), WithoutTransit: withoutTransit, WithASPaths: reach(5000), NotExported: []string{"quiet"}, Filtered: []string{"tor"}}
	withoutLinks := *withoutTransit
	withoutLinks.WithoutRoute.Pairs++
	s.Routes.IPv4.WithoutLinks = &topology.Readings{WithTransit: reach(5000), WithoutTransit: &withoutLinks, WithASPaths: reach(5000)}
	s.Convergence.Start = topology.Delay{Seconds: 240, Reason: "a peer that never comes up holds routes back for the whole graceful-restart wait of 240 s"}
	s.Convergence.Waiting = set(8, "node-10", "node-11", "node-12")
	var broken []topology.BrokenSession
	for i := range 7 {
		broken = append(broken, topology.BrokenSession{
			Node: fmt.Sprintf("node-%d", 10+i), Family: "IPv4", Protocol: "Node_10_9_9_9", PeerIP: "10.9.9.9", PeerNode: "old-9", Reason: topology.NoReturn,
			Message: "node old-9 has no half-session back", Sources: []string{"stray"},
		})
	}
	broken = append(broken, topology.BrokenSession{
		Node: "rr-1", Family: "IPv4", Protocol: "Global_10_9_9_8", PeerIP: "10.9.9.8", PeerNode: "old-8", Reason: topology.ASNumberMismatch,
		Message: "expects AS 65000, but node old-8 has AS 64512", Sources: []string{"wrong"},
	})
	h := half("rr-1", "Node_10_0_0_1", "10.0.0.1", "node-1", topology.Paired, "clients")
	h.RouteReflectorClient, h.ClusterID, h.KeepaliveTime = true, "244.0.0.1", new(30)
	external := half("rr-1", "Node_172_16_0_1", "172.16.0.1", "", topology.External, "tor")
	external.PeerASN = 65000
	return &Topology{
		Summary: s, Node: "rr-1", Sessions: slices.Values([]topology.HalfSession{h, external}), Broken: slices.Values(broken),
		Ambiguous: slices.Values([]topology.AmbiguousSession{{
			Node: "node-3", Family: "IPv4", PeerIP: "10.1.0.1", PeerNode: "rr-1", Sources: []string{"clients", "twice"}, Differs: []string{"keepaliveTime"}, Candidates: []topology.HalfSession{h, h},
		}}),
		Frozen:     []topology.FrozenNode{{Node: "node-8", Family: "IPv4", Rejected: []topology.RejectedValue{{Kind: "BGPPeer", Name: "tor", Field: "spec.asNumber", Reason: "the remote AS number 0 of a BGPPeer", Message: "is 0 or missing"}}}},
		Ignored:    []topology.Ignored{{Kind: "BGPPeer", Name: "typo", Message: "spec.peerIP: is not an address: Calico skips the peer"}},
		Reflectors: []Reflector{{"rr-1", "244.0.0.1", 4983}, {"rr-2", "244.0.0.1", 4860}, {"rr-3", "244.0.0.1", 4860}},
		Graph: &topology.Graph{
			Groups: []topology.Group{
				{ID: "g1", Role: topology.RoleReflector, Nodes: 3, Sample: []string{"rr-1", "rr-2", "rr-3"}, ASN: 64512, ClusterID: "244.0.0.1"},
				{ID: "g2", Role: topology.RoleClient, Nodes: 4858, Sample: []string{"node-1", "node-2", "node-3"}, ASN: 64512},
				{ID: "g3", Role: topology.RoleMesh, Nodes: 120, Sample: []string{"old-1", "old-2", "old-3"}, ASN: 64512},
				{ID: "g4", Role: topology.RolePeer, Nodes: 2, Sample: []string{"tor-1", "tor-2"}, ASN: 64513},
				{ID: "g5", Role: topology.RoleIsolated, Nodes: 17, Sample: []string{"new-1", "new-2", "new-3"}, ASN: 64512},
			},
			Externals: []topology.ExternalPeers{{ID: "x1", Peers: 1, PeerIPs: []string{"172.16.0.1"}, ASN: 65000}},
			Links: []topology.Link{
				{From: "g1", To: "g1", Kind: topology.LinkPeer, Sessions: 3, Families: []string{"IPv4"}, Sources: []string{"reflectors"}},
				{From: "g2", To: "g1", Kind: topology.LinkReflector, Sessions: 14574, Families: []string{"IPv4"}, Sources: []string{"clients"}},
				{From: "g3", To: "g3", Kind: topology.LinkMesh, Sessions: 7140, Families: []string{"IPv4"}, Sources: []string{"default"}},
				{From: "g1", To: "g4", Kind: topology.LinkPeer, Sessions: 1, Families: []string{"IPv4", "IPv6"}, Sources: []string{"a", "b", "c", "d"}},
				{From: "g1", To: "x1", Kind: topology.LinkExternal, Sessions: 3, Families: []string{"IPv4"}, Sources: []string{"tor"}},
				{From: "g2", To: "g3", Kind: topology.LinkBroken, Sessions: 7, Families: []string{"IPv4"}, Sources: []string{"stray"}},
			},
		},
	}
}

// changed returns mesh5 after a change that removes a node, alters a session and adds a session.
func changed() *Topology {
	before := mesh5()
	t := mesh5()
	t.Before = before
	t.Summary.Nodes.Total, t.Summary.Nodes.BGP = 4, 4
	t.Summary.Mesh = &topology.Mesh{Enabled: true, Source: "absent", Nodes: 4, SessionsPerNode: 3, Sessions: 6}
	t.Summary.Sessions.IPv4 = topology.Sessions{Total: 6, Most: 3, MostNode: "a", Frozen: set(0)}
	t.Summary.Routes.IPv4 = topology.Routes{WithTransit: reach(4), WithoutTransit: reach(4)}
	var after []topology.HalfSession
	for h := range before.Sessions {
		if h.Node != "e" && h.PeerNode != "e" {
			if h.Node == "a" && h.PeerNode == "b" {
				h.KeepaliveTime = new(20)
			}
			after = append(after, h)
		}
	}
	t.Sessions = slices.Values(append(after, half("d", "Node_172_16_0_1", "172.16.0.1", "", topology.External, "tor")))
	t.Graph.Groups[0].Nodes, t.Graph.Links[0].Sessions = 4, 6
	link := t.Graph.Links[0]
	t.Change = &topology.GraphChange{
		Groups:    []topology.GroupChange{{Before: &t.Graph.Groups[0], After: &t.Graph.Groups[0]}, {Before: &topology.Group{ID: "g2", Role: topology.RoleMesh, Nodes: 1, Sample: []string{"e"}, Members: []string{"e"}, ASN: 64512}}},
		Externals: []topology.ExternalChange{{After: &topology.ExternalPeers{ID: "x1", Peers: 1, PeerIPs: []string{"172.16.0.1"}, ASN: 65000}}},
		Links: []topology.LinkChange{
			{From: "g1", To: "g1", Kind: link.Kind, Before: 6, After: 6, Families: link.Families, Sources: link.Sources},
			{From: "g1", To: "g2", Kind: link.Kind, Before: 4, Families: link.Families, Sources: link.Sources},
			{From: "g1", To: "x1", Kind: topology.LinkExternal, After: 1, Families: link.Families, Sources: []string{"tor"}},
		},
	}
	return t
}

// hostile returns a topology whose names contain markup of several output formats.
func hostile() *Topology {
	t := mesh5()
	const name = "<script>\"'${x}\\N\n\x1b[31m|md"
	t.Node = name
	t.Summary.Sessions.IPv4.MostNode = name
	t.Sessions = slices.Values([]topology.HalfSession{half(name, "Mesh_\"\n", name, name, topology.Broken, name)})
	t.Ignored = []topology.Ignored{{Kind: "BGPPeer", Name: name, Message: name}}
	t.Graph.Groups[0].Sample = []string{name}
	t.Graph.Groups[0].ClusterID = name
	t.Graph.Externals = []topology.ExternalPeers{{ID: "\"]}", Peers: 1, PeerIPs: []string{"]]>&<!--"}, ASN: 1}}
	t.Graph.Links[0].Sources = []string{name}
	return t
}

var topologies = map[string]func() *Topology{"mesh of 5": mesh5, "5000 nodes": large, "change": changed, "hostile names": hostile}

// racks returns 45 racks with one router each, more than a picture shows.
func racks() *topology.Graph {
	g := &topology.Graph{}
	for i := range 45 {
		group, router := fmt.Sprintf("g%02d", i), fmt.Sprintf("x%02d", i)
		g.Groups = append(g.Groups, topology.Group{ID: group, Role: topology.RolePeer, Nodes: 100, Sample: []string{group + "-a", group + "-b"}, ASN: uint32(64600 + i)})
		g.Externals = append(g.Externals, topology.ExternalPeers{ID: router, Peers: 1, PeerIPs: []string{fmt.Sprintf("172.16.%d.1", i)}, ASN: 65000})
		g.Links = append(g.Links, topology.Link{From: group, To: router, Kind: topology.LinkExternal, Sessions: 100, Families: []string{"IPv4"}, Sources: []string{"tor-" + group}})
	}
	return g
}

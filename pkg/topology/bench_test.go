package topology

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/state"
)

var sizes = []int{100, 1000, 5000, 10000}

// cluster is a state of n nodes in 16 racks and 3 zones with 3 reflectors and
// 20 BGPPeers: one for each rack, one among the reflectors, 3 external.
func cluster(t testing.TB, n int, mesh bool) *state.Snapshot {
	objects := []calico.Object{
		configuration(t, map[string]any{"nodeToNodeMeshEnabled": mesh}),
		rackPeer(t, "reflectors", "has(rr)"),
	}
	for i := range n {
		objects = append(objects, clusterNode(t, i))
	}
	for i := range 16 {
		objects = append(objects, rackPeer(t, fmt.Sprintf("rack-%02d", i), fmt.Sprintf("rack == 'r%d'", i)))
	}
	for i := range 3 {
		objects = append(objects, calicotest.Object(t, "BGPPeer", fmt.Sprintf("tor-%d", i),
			map[string]any{"nodeSelector": fmt.Sprintf("rack == 'r%d'", i), "peerIP": fmt.Sprintf("172.16.0.%d", i+1), "asNumber": int64(64600 + i)}))
	}
	return state.New(objects...)
}

func clusterNode(t testing.TB, i int, options ...calicotest.Tweak) calico.Object {
	options = append([]calicotest.Tweak{
		calicotest.BGP("ipv4Address", fmt.Sprintf("10.0.%d.%d/16", i/250, i%250+1)), calicotest.Label("rack", fmt.Sprintf("r%d", i%16)), calicotest.Label("topology.kubernetes.io/zone", fmt.Sprintf("zone-%d", i%3)),
	}, options...)
	if i < 3 {
		options = append(options, calicotest.BGP("routeReflectorClusterID", "244.0.0.1"), calicotest.Label("rr", ""))
	}
	return calicotest.Node(t, fmt.Sprintf("node-%05d", i), options...)
}

func rackPeer(t testing.TB, name, selector string) calico.Object {
	return calicotest.Object(t, "BGPPeer", name, map[string]any{"nodeSelector": selector, "peerSelector": "has(rr)"})
}

// shapes are states with one BGPPeer for each node. They differ in how the BGPPeer
// selects the node and its peers.
var shapes = []shape{{"name", "reflectors"}, {"name", "router"}, {"hostname", "reflectors"}, {"hostname", "router"}}

type shape struct{ by, peer string }

func (s shape) String() string { return "by=" + s.by + "/peer=" + s.peer }

// peerOf returns the BGPPeer of node i. Its peers are the route reflectors, or a router
// that is a peer of this node only.
func (s shape) peerOf(t testing.TB, i int, asn int64) calico.Object {
	name := fmt.Sprintf("node-%05d", i)
	spec := map[string]any{"node": name}
	if s.by == "hostname" {
		spec = map[string]any{"nodeSelector": fmt.Sprintf("kubernetes.io/hostname == '%s'", name)}
	}
	switch s.peer {
	case "reflectors":
		spec["peerSelector"] = "has(rr)"
		if asn != 0 {
			spec["maxRestartTime"] = "3m"
		}
	default:
		spec["peerIP"], spec["asNumber"] = fmt.Sprintf("172.16.%d.%d", i/250, i%250+1), 64600+asn
	}
	return calicotest.Object(t, "BGPPeer", "peer-of-"+name, spec)
}

// cluster returns a state of n nodes, each with a BGPPeer of its own. 3 nodes are route
// reflectors.
func (s shape) cluster(t testing.TB, n int) *state.Snapshot {
	objects := []calico.Object{configuration(t, map[string]any{"nodeToNodeMeshEnabled": false})}
	for i := range n {
		objects = append(objects, clusterNode(t, i, calicotest.Label("kubernetes.io/hostname", fmt.Sprintf("node-%05d", i))), s.peerOf(t, i, 0))
	}
	return state.New(objects...)
}

func forShapes(b *testing.B, run func(b *testing.B, shape shape, s *state.Snapshot)) {
	for _, shape := range shapes {
		for _, n := range []int{1000, 5000} {
			b.Run(fmt.Sprintf("%s/nodes=%d", shape, n), func(b *testing.B) {
				s := shape.cluster(b, n)
				b.ReportAllocs()
				run(b, shape, s)
			})
		}
	}
}

// BenchmarkFirstWithAPeerPerNode measures the first summary of a state with one BGPPeer
// for each node.
func BenchmarkFirstWithAPeerPerNode(b *testing.B) {
	forShapes(b, func(b *testing.B, _ shape, s *state.Snapshot) {
		for b.Loop() {
			if compute(b, s, nil).Summary().Nodes.Reflectors != 3 {
				b.Fatal("wrong summary")
			}
		}
	})
}

// BenchmarkChangeOfAPeerPerNode measures the new summary after one of them changed.
func BenchmarkChangeOfAPeerPerNode(b *testing.B) {
	forShapes(b, func(b *testing.B, shape shape, s *state.Snapshot) {
		before := compute(b, s, nil)
		next := s.Apply(state.Change{After: shape.peerOf(b, 50, 1)})
		for b.Loop() {
			if compute(b, next, before) == before {
				b.Fatal("nothing changed")
			}
		}
	})
}

// modes has, for each name, whether the mesh is on.
var modes = map[string]bool{"mesh": true, "reflectors": false}

func forClusters(b *testing.B, run func(b *testing.B, s *state.Snapshot)) {
	for _, mode := range sortedKeys(modes) {
		for _, n := range sizes {
			b.Run(fmt.Sprintf("mode=%s/nodes=%d", mode, n), func(b *testing.B) {
				s := cluster(b, n, modes[mode])
				b.ReportAllocs()
				run(b, s)
			})
		}
	}
}

// BenchmarkFirst measures the first summary of a state.
func BenchmarkFirst(b *testing.B) {
	forClusters(b, func(b *testing.B, s *state.Snapshot) {
		for b.Loop() {
			if compute(b, s, nil).Summary().Nodes.Reflectors != 3 {
				b.Fatal("wrong summary")
			}
		}
	})
}

// changes are changes of one object of a cluster, by name.
var changes = map[string]func(testing.TB, *state.Snapshot) state.Change{
	"peer-selector": func(t testing.TB, _ *state.Snapshot) state.Change {
		return state.Change{After: rackPeer(t, "rack-00", "rack == 'r1'")}
	},
	"peer-delete": func(t testing.TB, _ *state.Snapshot) state.Change {
		return state.Change{Before: rackPeer(t, "rack-00", "rack == 'r0'")}
	},
	"configuration-asn": func(t testing.TB, s *state.Snapshot) state.Change {
		return state.Change{After: configuration(t, map[string]any{"nodeToNodeMeshEnabled": s.BGPConfiguration(calico.Default).MeshEnabled(), "asNumber": int64(65000)})}
	},
	"configuration-mesh": func(t testing.TB, s *state.Snapshot) state.Change {
		return state.Change{After: configuration(t, map[string]any{"nodeToNodeMeshEnabled": !s.BGPConfiguration(calico.Default).MeshEnabled()})}
	},
	"node-unread-label": func(t testing.TB, _ *state.Snapshot) state.Change {
		return state.Change{After: clusterNode(t, 50, calicotest.Label("nobody-reads", "this"))}
	},
	"node-rack-label": func(t testing.TB, _ *state.Snapshot) state.Change {
		return state.Change{After: clusterNode(t, 50, calicotest.Label("rack", "r9"))}
	},
	"node-reflector-label": func(t testing.TB, _ *state.Snapshot) state.Change {
		return state.Change{After: clusterNode(t, 60, calicotest.Label("rr", ""))}
	},
	"node-delete": func(t testing.TB, _ *state.Snapshot) state.Change {
		return state.Change{Before: clusterNode(t, 50)}
	},
}

// BenchmarkChange measures the new summary after a change of one object.
func BenchmarkChange(b *testing.B) {
	for _, name := range sortedKeys(changes) {
		b.Run("change="+name, func(b *testing.B) {
			forClusters(b, func(b *testing.B, s *state.Snapshot) {
				before := compute(b, s, nil)
				next := s.Apply(changes[name](b, s))
				for b.Loop() {
					if compute(b, next, before) == before {
						b.Fatal("nothing changed")
					}
				}
			})
		})
	}
}

// BenchmarkMemory reports the memory of a topology without the objects, as
// bytes/topology.
func BenchmarkMemory(b *testing.B) {
	forClusters(b, func(b *testing.B, s *state.Snapshot) {
		var kept []*Topology
		before := heap()
		for b.Loop() {
			kept = append(kept, compute(b, s, nil))
		}
		b.ReportMetric(float64(heap()-before)/float64(len(kept)), "bytes/topology")
		runtime.KeepAlive(kept)
	})
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// asNumberMesh returns a mesh of n nodes, each with an AS number of its own.
func asNumberMesh(t testing.TB, n int) *state.Snapshot {
	objects := []calico.Object{configuration(t, map[string]any{"nodeToNodeMeshEnabled": true})}
	for i := range n {
		objects = append(objects, clusterNode(t, i+3, calicotest.BGP("asNumber", int64(4200000000+i))))
	}
	return state.New(objects...)
}

// filtered returns a cluster with 10 BGPFilters and 5 IPPools, which its BGPPeers use.
func filtered(t testing.TB, n int, mesh bool) *state.Snapshot {
	s := cluster(t, n, mesh)
	for i := range 10 {
		s = s.Apply(state.Change{After: calicotest.Object(t, "BGPFilter", fmt.Sprintf("filter-%d", i), map[string]any{
			"exportV4": []any{
				map[string]any{"action": "Reject", "matchOperator": "In", "cidr": fmt.Sprintf("10.%d.0.0/16", 200+i)},
				map[string]any{"action": "Accept", "matchOperator": "In", "cidr": fmt.Sprintf("10.%d.%d.0/24", 100+i%5, i), "source": "RemotePeers"},
			},
			"importV4": []any{map[string]any{"action": "Reject", "matchOperator": "Equal", "cidr": "0.0.0.0/0"}},
		})})
	}
	for i := range 5 {
		s = s.Apply(state.Change{After: calicotest.Object(t, "IPPool", fmt.Sprintf("pool-%d", i), map[string]any{
			"cidr": fmt.Sprintf("10.%d.0.0/16", 100+i), "ipipMode": "Never", "vxlanMode": "Never",
		})})
	}
	for i := range 16 {
		s = s.Apply(state.Change{After: calicotest.Object(t, "BGPPeer", fmt.Sprintf("rack-%02d", i), map[string]any{
			"nodeSelector": fmt.Sprintf("rack == 'r%d'", i), "peerSelector": "has(rr)", "filters": []any{fmt.Sprintf("filter-%d", i%10), "filter-0"},
		})})
	}
	return s
}

// unfiltered returns the cluster of filtered without BGPFilters.
func unfiltered(t testing.TB, n int, mesh bool) *state.Snapshot {
	s := filtered(t, n, mesh)
	for _, p := range s.BGPPeers() {
		if p.Filters != nil {
			spec := maps.Clone(p.Spec)
			delete(spec, "filters")
			s = s.Apply(state.Change{Before: p, After: calicotest.Object(t, "BGPPeer", p.Name, spec)})
		}
	}
	for _, f := range s.BGPFilters() {
		s = s.Apply(state.Change{Before: f})
	}
	return s
}

// routed returns the cluster of filtered with two routers of all nodes and ranges of addresses of
// Services. Each tenth node advertises none.
func routed(t testing.TB, n int) *state.Snapshot {
	s := filtered(t, n, false)
	for i, name := range []string{"router-a", "router-b"} {
		s = s.Apply(state.Change{After: calicotest.Object(t, "BGPPeer", name, map[string]any{
			"nodeSelector": "all()", "peerIP": fmt.Sprintf("192.0.2.%d", 1+i), "asNumber": int64(65001), "filters": []any{"filter-1"},
		})})
	}
	for i := 0; i < n; i += 10 {
		s = s.Apply(state.Change{After: excludedNode(t, i)})
	}
	return s.Apply(state.Change{After: configuration(t, map[string]any{
		"nodeToNodeMeshEnabled":  false,
		"serviceClusterIPs":      []any{map[string]any{"cidr": "10.96.0.0/12"}},
		"serviceLoadBalancerIPs": []any{map[string]any{"cidr": "10.201.0.0/24"}, map[string]any{"cidr": "10.50.0.0/24"}},
	})})
}

func excludedNode(t testing.TB, i int) calico.Object {
	return clusterNode(t, i, calicotest.Label("node.kubernetes.io/exclude-from-external-load-balancers", "true"))
}

// BenchmarkRoutes measures the first summary of states in which AS numbers, BGPFilters and ranges of
// addresses of Services decide which routes pass, a change of a BGPFilter, and one of a label that
// excludes a node.
func BenchmarkRoutes(b *testing.B) {
	states := map[string]func() *state.Snapshot{
		"as-number-per-node/nodes=2000": func() *state.Snapshot { return asNumberMesh(b, 2000) },
		"filters/nodes=5000":            func() *state.Snapshot { return filtered(b, 5000, false) },
		"no-filters/nodes=5000":         func() *state.Snapshot { return unfiltered(b, 5000, false) },
		"routers/nodes=5000":            func() *state.Snapshot { return routed(b, 5000) },
	}
	for _, name := range sortedKeys(states) {
		b.Run(name, func(b *testing.B) {
			s := states[name]()
			b.ReportAllocs()
			for b.Loop() {
				compute(b, s, nil)
			}
		})
	}
	b.Run("filters/change/nodes=5000", func(b *testing.B) {
		s := filtered(b, 5000, false)
		before := compute(b, s, nil)
		next := s.Apply(state.Change{After: calicotest.Object(b, "BGPFilter", "filter-3", map[string]any{
			"exportV4": []any{map[string]any{"action": "Reject", "matchOperator": "In", "cidr": "10.103.0.0/17"}},
		})})
		b.ReportAllocs()
		for b.Loop() {
			compute(b, next, before)
		}
	})
	b.Run("routers/exclude/nodes=5000", func(b *testing.B) {
		s := routed(b, 5000)
		before := compute(b, s, nil)
		next := s.Apply(state.Change{After: excludedNode(b, 7)})
		b.ReportAllocs()
		for b.Loop() {
			compute(b, next, before)
		}
	})
}

// TestAnASNumberForEachNodeIsOneKindOfNodes verifies that nodes with AS numbers of their own are
// one vertex.
func TestAnASNumberForEachNodeIsOneKindOfNodes(t *testing.T) {
	small, large := compute(t, asNumberMesh(t, 10), nil), compute(t, asNumberMesh(t, 200), nil)
	for _, one := range []*Topology{small, large} {
		if got := len(one.routings[calico.IPv4].vertices); got != 1 {
			t.Errorf("%d kinds of nodes, want 1", got)
		}
		if got := one.Summary().Routes.IPv4.WithoutTransit.WithoutRoute.Pairs; got != 0 {
			t.Errorf("%d pairs without a route, want none", got)
		}
	}
	if a, b := small.work().hops, large.work().hops; a != b {
		t.Errorf("%d sessions of kinds with 10 nodes, %d with 200: want the same", a, b)
	}
}

// onVersion returns the object that sets the version of Calico.
func onVersion(t testing.TB, version string) calico.Object {
	return calicotest.Object(t, "ClusterInformation", calico.Default, map[string]any{"calicoVersion": version})
}

// numbered returns a mesh of n nodes of which each two follow one another with an AS number of their own.
func numbered(t testing.TB, n int) *state.Snapshot {
	objects := []calico.Object{configuration(t, map[string]any{"nodeToNodeMeshEnabled": true}), onVersion(t, "v3.33.0")}
	for i := range n {
		objects = append(objects, clusterNode(t, i+3, calicotest.ASNumber(uint32(4200000000+i/2))))
	}
	return state.New(objects...)
}

// TestAnASNumberForEachPairIsOneKindOfNodes verifies that AS numbers of two nodes each are one vertex.
func TestAnASNumberForEachPairIsOneKindOfNodes(t *testing.T) {
	small, large := compute(t, numbered(t, 10), nil), compute(t, numbered(t, 200), nil)
	for _, one := range []*Topology{small, large} {
		if got := one.Summary().Routes.IPv4.WithoutTransit; len(one.routings[calico.IPv4].vertices) != 1 || got.WithoutRoute.Pairs != 0 || got.Partitions != 1 {
			t.Errorf("%d kinds of nodes, %d pairs without a route and %d partitions, want 1, 0 and 1", len(one.routings[calico.IPv4].vertices), got.WithoutRoute.Pairs, got.Partitions)
		}
	}
	if a, b := small.work().hops, large.work().hops; a != b {
		t.Errorf("%d sessions of kinds with 10 nodes, %d with 200: want the same", a, b)
	}
}

// numberedAtRandom returns a random mesh of up to 9 nodes, of which several may have one AS number of their own, with
// external peers, a BGPFilter and an IPPool.
func numberedAtRandom(t testing.TB, r *rand.Rand) *state.Snapshot {
	object := func(kind calico.Kind, name string, spec map[string]any) calico.Object {
		return calicotest.Object(t, kind, name, spec)
	}
	objects := []calico.Object{
		configuration(t, map[string]any{"nodeToNodeMeshEnabled": true}), onVersion(t, "v3.33.0"),
		object(calico.KindIPPool, "pool", map[string]any{"cidr": "10.100.0.0/16", "ipipMode": "Never", "vxlanMode": "Never", "disableBGPExport": r.IntN(4) == 0}),
		object(calico.KindBGPFilter, "filter", map[string]any{"exportV4": []any{
			map[string]any{"action": []string{"Accept", "Reject"}[r.IntN(2)], "matchOperator": "In", "cidr": "10.100.0.0/17", "source": []string{"", "RemotePeers"}[r.IntN(2)]},
		}}),
	}
	for i := range 3 + r.IntN(7) {
		options := []calicotest.Tweak{calicotest.Label("rack", fmt.Sprintf("r%d", r.IntN(2))), calicotest.Label("topology.kubernetes.io/zone", fmt.Sprintf("zone-%d", r.IntN(2)))}
		if r.IntN(8) > 0 {
			options = append(options, calicotest.ASNumber(uint32(4200000000+r.IntN(3))))
		}
		if r.IntN(12) == 0 {
			options = append(options, calicotest.RouteReflector("244.0.0.1"))
		}
		objects = append(objects, clusterNode(t, i+3, options...))
	}
	for i := range r.IntN(4) {
		spec := map[string]any{"peerIP": fmt.Sprintf("172.16.0.%d", i+1), "asNumber": int64(65001 + r.IntN(2)), "numAllowedLocalASNumbers": r.IntN(2)}
		if r.IntN(2) == 0 {
			spec["nodeSelector"] = fmt.Sprintf("rack == 'r%d'", r.IntN(2))
		}
		if r.IntN(3) == 0 {
			spec["filters"] = []any{"filter"}
		}
		objects = append(objects, object(calico.KindBGPPeer, fmt.Sprintf("peer-%d", i), spec))
	}
	return state.New(objects...)
}

// TestKindsOfSeveralASNumbersHaveTheRoutesOfEach compares the routes with those of vertices that divide AS numbers of
// several nodes.
func TestKindsOfSeveralASNumbersHaveTheRoutesOfEach(t *testing.T) {
	merged := 0
	for seed := range uint64(seeds) {
		s := numberedAtRandom(t, rand.New(rand.NewPCG(seed, 21)))
		r := compute(t, s, nil).routings[calico.IPv4]
		apart := unfollowed(r.network, r.pods)
		apart.graph.Readings = len(apart.names)
		if err := apart.merge(t.Context()); err != nil {
			t.Fatal(err)
		}
		apart.findZones()
		apart.findClasses()
		if err := apart.follow(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if len(apart.vertices) > len(r.vertices) {
			merged++
		}
		for i := range r.reach {
			if !reflect.DeepEqual(apart.reach[i], r.reach[i]) {
				t.Fatalf("seed %d, reading %s: %+v, apart %+v\n%s", seed, r.names[i], r.reach[i], apart.reach[i], show(s))
			}
		}
	}
	if merged < seeds/20 {
		t.Errorf("only %d states in which AS numbers are merged", merged)
	}
}

// subnetMesh returns a mesh of n nodes on Calico v3.32, with an AS number and a network for each number of nodes.
func subnetMesh(t testing.TB, n, nodesPerNumber, nodesPerNetwork int) *state.Snapshot {
	objects := []calico.Object{configuration(t, map[string]any{"nodeToNodeMeshEnabled": true}), calicotest.ClusterInformation(t, "v3.32.1")}
	for i := range n {
		network := i / nodesPerNetwork
		objects = append(objects, clusterNode(t, i+3, calicotest.ASNumber(uint32(4200000000+i/nodesPerNumber)),
			calicotest.IPv4(fmt.Sprintf("10.%d.%d.%d/24", network>>8, network&255, 1+i%nodesPerNetwork))))
	}
	return state.New(objects...)
}

// TestNodesWithoutACommonLinkAreOneKind verifies that the number of kinds of nodes in a mesh that needs common links
// grows with the links and AS numbers that several nodes share, and not with the nodes.
func TestNodesWithoutACommonLinkAreOneKind(t *testing.T) {
	for name, c := range map[string]struct {
		s        *state.Snapshot
		kinds    int
		sessions int
	}{
		"an AS number and a network per node":        {subnetMesh(t, 200, 1, 1), 1, 0},
		"an AS number per node, one network":         {subnetMesh(t, 200, 1, 200), 1, 200 * 199 / 2},
		"an AS number and a network per rack of 20":  {subnetMesh(t, 200, 20, 20), 10, 10 * 20 * 19 / 2},
		"one AS number per rack, a network per node": {subnetMesh(t, 200, 20, 1), 10, 10 * 20 * 19 / 2},
		"an AS number per node, networks of 20":      {subnetMesh(t, 200, 1, 20), 10, 10 * 20 * 19 / 2},
		"an AS number per pair, networks of 20":      {subnetMesh(t, 200, 2, 20), 100, 10 * 20 * 19 / 2},
	} {
		t.Run(name, func(t *testing.T) {
			topology := compute(t, c.s, nil)
			n := topology.networks[calico.IPv4]
			if len(n.Mesh) != c.kinds || len(topology.routings[calico.IPv4].vertices) != c.kinds {
				t.Errorf("%d kinds in the mesh and %d vertices, want %d", len(n.Mesh), len(topology.routings[calico.IPv4].vertices), c.kinds)
			}
			in := topology.Summary().Sessions.IPv4
			if in.Total != c.sessions || in.BrokenReasons[NotOnLink].HalfSessions != 200*199-2*c.sessions {
				t.Errorf("%d sessions and %d half-sessions without a link, want %d and %d", in.Total, in.BrokenReasons[NotOnLink].HalfSessions, c.sessions, 200*199-2*c.sessions)
			}
		})
	}
}

// work is the sizes that determine the cost of a topology.
type work struct{ groups, peerGroups, externals, links, vertices, hops, destinations int }

func (t *Topology) work() work {
	w := work{groups: len(t.sessions.Classes.List), peerGroups: len(t.sessions.PeerGroups)}
	for _, f := range calico.Families {
		w.externals += len(t.networks[f].Counted)
		w.links += len(t.networks[f].Links)
		w.vertices += len(t.routings[f].vertices)
		w.destinations += len(t.routings[f].classes)
		for _, v := range t.routings[f].graph.Vertices {
			w.hops += len(v.Sessions)
		}
	}
	return w
}

func TestTheWorkDoesNotGrowWithTheNodes(t *testing.T) {
	makers := map[string]func(n int) *state.Snapshot{}
	for mode, mesh := range modes {
		makers[mode] = func(n int) *state.Snapshot { return cluster(t, n, mesh) }
	}
	for _, shape := range shapes {
		makers[shape.String()] = func(n int) *state.Snapshot { return shape.cluster(t, n) }
	}
	makers["filters"] = func(n int) *state.Snapshot { return filtered(t, n, false) }
	makers["filters, mesh"] = func(n int) *state.Snapshot { return filtered(t, n, true) }
	makers["routers and Services"] = func(n int) *state.Snapshot { return routed(t, n) }
	for name, state := range makers {
		t.Run(name, func(t *testing.T) {
			small, large := compute(t, state(100), nil).work(), compute(t, state(2000), nil).work()
			if small != large {
				t.Errorf("100 nodes are %+v, 2,000 nodes %+v: want the same", small, large)
			}
		})
	}
}

// budgeted returns the states for which the budgets of routes hold, with n nodes: 20 BGPPeers, 10 BGPFilters and 5
// IPPools. Each BGPFilter rejects another part of an IPPool.
func budgeted(t testing.TB, n int) map[string]*state.Snapshot {
	out := map[string]*state.Snapshot{}
	for mode, mesh := range modes {
		s := filtered(t, n, mesh)
		for i := range 10 {
			s = s.Apply(state.Change{After: partFilter(t, i, "Reject")})
		}
		out[mode] = s
	}
	return out
}

// partFilter returns BGPFilter number i of a budgeted state, with an action for a part of an IPPool.
func partFilter(t testing.TB, i int, action string) calico.Object {
	return calicotest.Object(t, "BGPFilter", fmt.Sprintf("filter-%d", i), map[string]any{"exportV4": []any{
		map[string]any{"action": action, "matchOperator": "In", "cidr": fmt.Sprintf("10.%d.%d.0/24", 100+i%5, i)},
		map[string]any{"action": "Accept", "matchOperator": "In", "cidr": fmt.Sprintf("10.%d.0.0/16", 100+i%5)},
	}})
}

// budgetedChanges are the changes of a budgeted state.
func budgetedChanges() map[string]func(t testing.TB, s *state.Snapshot) state.Change {
	out := maps.Clone(changes)
	out["filter"] = func(t testing.TB, _ *state.Snapshot) state.Change {
		return state.Change{After: partFilter(t, 3, "Accept")}
	}
	out["pool"] = func(t testing.TB, _ *state.Snapshot) state.Change {
		return state.Change{After: calicotest.Object(t, "IPPool", "pool-2", map[string]any{
			"cidr": "10.102.0.0/16", "ipipMode": "Never", "vxlanMode": "Never", "disableBGPExport": true,
		})}
	}
	return out
}

// BenchmarkBudgets measures what the budgets of routes are about: the first summary with and without BGPFilters, and a
// change. Unlike BenchmarkImpact, it does not contain the line of what a change does.
func BenchmarkBudgets(b *testing.B) {
	const nodes = 5000
	states := budgeted(b, nodes)
	for _, mode := range sortedKeys(states) {
		for name, s := range map[string]*state.Snapshot{"filters": states[mode], "no-filters": unfiltered(b, nodes, modes[mode])} {
			b.Run("first/"+name+"/mode="+mode, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					compute(b, s, nil)
				}
			})
		}
		all := budgetedChanges()
		for _, name := range sortedKeys(all) {
			b.Run("change="+name+"/mode="+mode, func(b *testing.B) {
				before := compute(b, states[mode], nil)
				next := states[mode].Apply(all[name](b, states[mode]))
				b.ReportAllocs()
				for b.Loop() {
					compute(b, next, before)
				}
			})
		}
	}
}

// TestTheWorkOfRoutesIsBounded verifies that the number of kinds of prefixes is that of the parts which BGPFilters
// distinguish, and that of kinds of nodes the number of lists of BGPFilters, whatever the number of nodes.
func TestTheWorkOfRoutesIsBounded(t *testing.T) {
	for mode, s := range budgeted(t, 200) {
		with, without := compute(t, s, nil).work(), compute(t, unfiltered(t, 200, modes[mode]), nil).work()
		more := compute(t, budgeted(t, 2000)[mode], nil).work()
		if len(s.BGPPeers()) != 20 || len(s.BGPFilters()) != 10 || len(s.IPPools()) != 5 {
			t.Errorf("%d BGPPeers, %d BGPFilters and %d IPPools", len(s.BGPPeers()), len(s.BGPFilters()), len(s.IPPools()))
		}
		// One kind of nodes for each of 10 lists of BGPFilters and 3 routers, with and without the other, and the reflectors.
		if with != more || with.vertices != with.groups || with.vertices > 16 || with.hops > 16*16 || with.destinations != 11 || without.destinations != 1 {
			t.Errorf("%s: with BGPFilters %+v, with 2,000 nodes %+v, without BGPFilters %+v", mode, with, more, without)
		}
	}
}

// TestAChangeOfABudgetedStateAllocatesAsOftenWithMoreNodes is TestAChangeAllocatesAsOftenWithMoreNodes with BGPFilters and
// IPPools.
func TestAChangeOfABudgetedStateAllocatesAsOftenWithMoreNodes(t *testing.T) {
	small, large, all := budgeted(t, 100), budgeted(t, 2000), budgetedChanges()
	for _, mode := range sortedKeys(small) {
		for _, name := range sortedKeys(all) {
			t.Run(mode+", "+name, func(t *testing.T) {
				counts := [2]float64{}
				for i, s := range []*state.Snapshot{small[mode], large[mode]} {
					before := compute(t, s, nil)
					next := s.Apply(all[name](t, s))
					counts[i] = testing.AllocsPerRun(5, func() { compute(t, next, before) })
				}
				if counts[1] > counts[0]*1.1+8 {
					t.Errorf("%v allocations with 100 nodes, %v with 2,000", counts[0], counts[1])
				}
			})
		}
	}
}

// TestAChangeAllocatesAsOftenWithMoreNodes verifies that the number of allocations does
// not grow with the nodes. Each recomputed set, group or link is an allocation.
func TestAChangeAllocatesAsOftenWithMoreNodes(t *testing.T) {
	for _, mode := range sortedKeys(modes) {
		for _, name := range sortedKeys(changes) {
			t.Run(mode+", "+name, func(t *testing.T) {
				counts := [2]float64{}
				for i, n := range []int{100, 2000} {
					s := cluster(t, n, modes[mode])
					before := compute(t, s, nil)
					next := s.Apply(changes[name](t, s))
					counts[i] = testing.AllocsPerRun(10, func() { compute(t, next, before) })
				}
				// Growing slices and maps need a few more allocations.
				if counts[1] > counts[0]*1.1+8 {
					t.Errorf("%v allocations with 100 nodes, %v with 2,000", counts[0], counts[1])
				}
			})
		}
	}
}

func TestALabelThatNothingReadsLeavesTheSummaryAsItWas(t *testing.T) {
	s := cluster(t, 100, false)
	before := compute(t, s, nil)
	after := compute(t, s.Apply(changes["node-unread-label"](t, s)), before)
	a, b := reflect.ValueOf(*before.Summary()), reflect.ValueOf(*after.Summary())
	for i := range a.NumField() {
		if f := a.Field(i); f.Kind() != reflect.String && f.Pointer() != b.Field(i).Pointer() {
			t.Errorf("%s was recomputed", a.Type().Field(i).Name)
		}
	}
	if before.sessions.Classes != after.sessions.Classes || before.networks != after.networks {
		t.Error("sessions were recomputed")
	}
}

// TestAChangeOfABGPFilterKeepsTheSessions verifies that a change of rules counts no sessions and makes
// no classes and links, and that it does not follow routes in the other family.
func TestAChangeOfABGPFilterKeepsTheSessions(t *testing.T) {
	objects := []calico.Object{noMesh(t), bgpPeer(t, "to-reflectors", map[string]any{
		"nodeSelector": "!has(rr)", "peerSelector": "has(rr)", "filters": []any{"f"},
	})}
	for i := range 10 {
		objects = append(objects, clusterNode(t, i))
	}
	filter := func(cidr string) state.Change {
		return state.Change{After: calicotest.Object(t, "BGPFilter", "f", map[string]any{
			"exportV4": []any{map[string]any{"action": "Reject", "matchOperator": "In", "cidr": cidr}},
			"exportV6": []any{map[string]any{"action": "Reject"}},
		})}
	}
	pool := calicotest.Object(t, "IPPool", "pool", map[string]any{"cidr": "10.103.0.0/16", "ipipMode": "Never", "vxlanMode": "Never"})
	s := state.New(append(objects, pool)...).Apply(filter("10.103.0.0/16"))
	before := compute(t, s, nil)
	after := compute(t, s.Apply(filter("10.103.0.0/17")), before)
	if before.sessions.Classes != after.sessions.Classes || before.tallies != after.tallies {
		t.Error("sessions were recomputed")
	}
	for _, f := range calico.Families {
		a, b := before.routings[f], after.routings[f]
		if len(a.graph.Vertices) > 0 && &a.graph.Vertices[0] != &b.graph.Vertices[0] {
			t.Errorf("%s: the graph was made again", f)
		}
	}
	if a, b := before.routings[calico.IPv6].results, after.routings[calico.IPv6].results; len(a) == 0 || !slices.Equal(a, b) {
		t.Error("IPv6: routes were followed again")
	}
	if a, b := before.routings[calico.IPv4].results, after.routings[calico.IPv4].results; slices.Equal(a, b) {
		t.Error("IPv4: no routes were followed")
	}
}

// TestAChangeReadsLabelsOnce verifies the caches of the index. Known selectors are not
// evaluated again, and columns are not made again.
func TestAChangeReadsLabelsOnce(t *testing.T) {
	s := cluster(t, 100, false)
	topology := compute(t, s, nil)
	index := topology.index
	selectors, labels := index.Cached()
	for i := range 10 {
		s = s.Apply(state.Change{After: rackPeer(t, "rack-00", fmt.Sprintf("rack == 'r%d'", i))})
		topology = compute(t, s, topology)
	}
	if again, more := topology.index.Cached(); topology.index != index || again != selectors || more != labels {
		t.Errorf("labels were read again: %d selectors of %d labels, %d of %d before", again, more, selectors, labels)
	}
}

// BenchmarkImpact measures what a change of one object does to sessions and routes.
func BenchmarkImpact(b *testing.B) {
	measure := func(b *testing.B, s *state.Snapshot, change state.Change) {
		before := compute(b, s, nil)
		now := compute(b, s.Apply(change), before)
		b.ReportAllocs()
		for b.Loop() {
			if now.Impact(before) == nil {
				b.Fatal("no impact")
			}
		}
	}
	for _, name := range sortedKeys(changes) {
		b.Run("change="+name, func(b *testing.B) {
			for _, mode := range sortedKeys(modes) {
				b.Run("mode="+mode+"/nodes=5000", func(b *testing.B) {
					s := cluster(b, 5000, modes[mode])
					measure(b, s, changes[name](b, s))
				})
			}
		})
	}
	for _, shape := range shapes {
		b.Run("change=peer-delete/"+shape.String()+"/nodes=5000", func(b *testing.B) {
			measure(b, shape.cluster(b, 5000), state.Change{Before: shape.peerOf(b, 50, 0)})
		})
	}
}

// withBlocks returns a state of n nodes with a block each, and with BGPFilters that treat parts of the IPPool of the blocks
// differently, or none.
func withBlocks(t testing.TB, n int, filters bool) *state.Snapshot {
	s := unfiltered(t, n, false)
	if filters {
		s = filtered(t, n, false)
	}
	for i := range n {
		name := fmt.Sprintf("node-%05d", i)
		s = s.Apply(state.Change{After: podsOf(t, fmt.Sprintf("10.%d.%d.%d/26", 100+i%5, i/5/4, i/5%4*64), name, name)})
	}
	return s.Knowing(calico.KindIPAMBlock)
}

// BenchmarkBlocks measures the first summary of states with a block for each node, and a change of a BGPFilter and of a block.
func BenchmarkBlocks(b *testing.B) {
	for _, filters := range []bool{false, true} {
		for _, known := range []bool{false, true} {
			run := func(name string, next func(*state.Snapshot) *state.Snapshot) {
				b.Run(fmt.Sprintf("filters=%t/blocks=%t/%s/nodes=5000", filters, known, name), func(b *testing.B) {
					s := unfiltered(b, 5000, false)
					if filters {
						s = filtered(b, 5000, false)
					}
					if known {
						s = withBlocks(b, 5000, filters)
					}
					var before *Topology
					if next != nil {
						before = compute(b, s, nil)
						s = next(s)
					}
					b.ReportAllocs()
					for b.Loop() {
						compute(b, s, before)
					}
				})
			}
			run("first", nil)
			run("label", func(s *state.Snapshot) *state.Snapshot {
				return s.Apply(state.Change{After: clusterNode(b, 50, calicotest.Label("rack", "r7"))})
			})
			if filters {
				run("rule", func(s *state.Snapshot) *state.Snapshot {
					return s.Apply(state.Change{After: calicotest.Object(b, "BGPFilter", "filter-3", map[string]any{
						"exportV4": []any{map[string]any{"action": "Reject", "matchOperator": "In", "cidr": "10.103.0.0/17"}},
					})})
				})
			}
			if known {
				run("block", func(s *state.Snapshot) *state.Snapshot {
					return s.Apply(state.Change{After: podsOf(b, "10.104.255.0/26", "node-00009", "node-00009")})
				})
			}
		}
	}
}

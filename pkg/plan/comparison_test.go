package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology/topologytest"
	"github.com/bgpguard/bgpguard/pkg/validate"
)

// meshOf returns a mesh of n nodes in three zones with an IPPool that needs BGP.
func meshOf(t testing.TB, n int, more ...calico.Object) *state.Snapshot {
	t.Helper()
	objects := []calico.Object{
		calicotest.Mesh(t, true), calicotest.ClusterInformation(t, "v3.31.2"),
		calicotest.IPPool(t, "pods", calicotest.Spec{"cidr": "10.244.0.0/16", "ipipMode": "CrossSubnet"}),
	}
	for i := range n {
		objects = append(objects, calicotest.NumberedNode(t, i, calicotest.Label(zoneLabel, string(rune('a'+i%3)))))
	}
	return state.New(append(objects, more...)...)
}

func compare(t testing.TB, s *state.Snapshot, o DesignOptions) *Comparison {
	t.Helper()
	c, err := Compare(t.Context(), s, topologytest.Compute(t, s, nil), o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func design(t testing.TB, goal Goal, s *state.Snapshot, o DesignOptions) *Target {
	t.Helper()
	d, err := Design(goal, s, topologytest.Compute(t, s, nil), o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func startOf(f *Facts, when string) Start {
	i := slices.IndexFunc(f.Start, func(s Start) bool { return s.When == when })
	if i < 0 {
		return Start{When: "absent"}
	}
	return f.Start[i]
}

func lossOf(f *Facts, kind string) Loss {
	i := slices.IndexFunc(f.Losses, func(l Loss) bool { return l.Kind == kind })
	if i < 0 {
		return Loss{Kind: "absent"}
	}
	return f.Losses[i]
}

func TestDefaultLimitsAreThoseOfThePolicies(t *testing.T) {
	limits, err := LimitsOf(newSet(t))
	if err != nil || limits != DefaultLimits {
		t.Errorf("got %+v, %v, want the defaults %+v", limits, err, DefaultLimits)
	}
}

func newSet(t testing.TB, documents ...policy.Document) *policy.Set {
	t.Helper()
	library, err := policy.NewLibrary()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range library.Definitions() {
		documents = append(documents, policy.Default(d))
	}
	set, err := library.Compile(documents)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestCompareALargeMesh(t *testing.T) {
	c := compare(t, meshOf(t, 300), DesignOptions{})
	if c.Current != MeshTimers || c.Nodes != 300 || c.Zones != 3 || !slices.Equal(c.Pools, []string{"pods"}) || c.Now.Sessions != 44850 || c.Now.Fullest != 299 {
		t.Errorf("got %+v", c)
	}
	if got := startOf(&c.Now, NodeDown); got != (Start{NodeDown, 240, 299}) {
		t.Errorf("got %+v, want every other node to wait", got)
	}
	reflectors := c.Option(RouteReflectors)
	if f := reflectors.Facts; f.Sessions != 3*297+3 || f.Fullest != 299 || startOf(f, AllUp) != (Start{AllUp, 7, 300}) ||
		startOf(f, NodeDown) != (Start{NodeDown, 240, 3}) || startOf(f, ReflectorDown) != (Start{ReflectorDown, 240, 299}) {
		t.Errorf("route reflectors: got %+v", f)
	}
	for _, kind := range []string{LossReflector, LossZone} {
		if got := lossOf(reflectors.Facts, kind); got.Kind != kind || got.Of != 3 || got.Isolated != 0 || got.Pairs != 0 {
			t.Errorf("loss of a %s: got %+v, want nothing lost", kind, got)
		}
	}
	if !slices.Equal(reflectors.Objects, []Number{{"BGPConfiguration", 1}, {"BGPPeer", 1}, {"Node", 3}}) || reflectors.Changes != 5 {
		t.Errorf("got objects %+v", reflectors.Objects)
	}
	if vxlan := c.Option(VXLANCrossSubnet); !vxlan.Possible || vxlan.Facts.NeedsBGP || vxlan.Facts.Sessions != 0 || startOf(vxlan.Facts, NodeDown).Seconds != 0 {
		t.Errorf("VXLAN: got %+v", vxlan)
	}
	if rack := c.Option(PerRack); rack.Possible || rack.Facts != nil || rack.Changes != 0 {
		t.Errorf("per rack: got %+v, want it impossible without external peers", rack)
	}
	r := c.Recommendation
	if r.Goal != RouteReflectors || r.Keep || r.Summary != "move to route reflectors: the mesh has 300 nodes, above the limit of 100" || len(r.Others) != 3 {
		t.Errorf("got %+v", r)
	}
}

func TestRecommendation(t *testing.T) {
	vxlan := calicotest.IPPool(t, "pods", calicotest.Spec{"cidr": "10.244.0.0/16", "vxlanMode": "Always"})
	tests := map[string]struct {
		state *state.Snapshot
		goal  Goal
		keep  bool
		want  string
	}{
		"a small mesh":                   {meshOf(t, 30), MeshTimers, true, "keep the full mesh: 30 nodes, at or below the limit of 100"},
		"a mesh that nothing needs":      {meshOf(t, 30, vxlan), VXLANCrossSubnet, false, "turn the mesh off: pod traffic between nodes does not need its 435 sessions"},
		"VXLAN without a mesh":           {meshOf(t, 30, vxlan, calicotest.Mesh(t, false)), VXLANCrossSubnet, true, "keep VXLAN: pod traffic between nodes does not need BGP"},
		"no mesh, no sessions":           {meshOf(t, 30, calicotest.Mesh(t, false)), MeshTimers, false, "move to full mesh with tuned timers: 30 nodes have no route to any other node"},
		"route reflectors that work":     {applied(t, meshOf(t, 300), RouteReflectors), RouteReflectors, true, "keep route reflectors: every node has routes"},
		"routers that give every route":  {applied(t, withRouters(t, 300), PerRack), PerRack, true, "keep per-rack eBGP: every node has routes"},
		"a large mesh with routers":      {withRouters(t, 300), RouteReflectors, false, "move to route reflectors: the mesh has 300 nodes, above the limit of 100"},
		"no node may become a reflector": {notReady(meshOf(t, 300)), VXLANCrossSubnet, false, "move to VXLANCrossSubnet: the mesh has 300 nodes, above the limit of 100"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := compare(t, test.state, DesignOptions{}).Recommendation
			if r.Goal != test.goal || r.Keep != test.keep || r.Summary != test.want {
				t.Errorf("got %+v, want %q", r, test.want)
			}
		})
	}
}

// applied returns a state after all changes of a design.
func applied(t testing.TB, s *state.Snapshot, goal Goal) *state.Snapshot {
	t.Helper()
	d := design(t, goal, s, DesignOptions{})
	if len(d.Blocked()) > 0 {
		t.Fatalf("%s is not possible: %v", goal, d.Blocked())
	}
	for _, c := range d.Changes {
		s = s.Apply(c)
	}
	return s
}

// withRouters returns a mesh of n nodes that peer with two routers of another AS.
func withRouters(t testing.TB, n int) *state.Snapshot {
	t.Helper()
	return meshOf(t, n,
		calicotest.BGPPeer(t, "router-a", calicotest.Spec{"peerIP": "192.0.2.1", "asNumber": 64900}),
		calicotest.BGPPeer(t, "router-b", calicotest.Spec{"peerIP": "192.0.2.2", "asNumber": 64900}))
}

func notReady(s *state.Snapshot) *state.Snapshot {
	for _, n := range s.Nodes() {
		s = s.Apply(state.Change{Before: n, After: ready(n, false)})
	}
	return s
}

func TestDesignsOfRouters(t *testing.T) {
	d := design(t, PerRack, withRouters(t, 30), DesignOptions{})
	if len(d.Changes) != 3 {
		t.Fatalf("got %d changes, want both BGPPeers and the mesh: %+v", len(d.Changes), d)
	}
	if p, ok := d.Changes[0].After.(*calico.BGPPeer); !ok || p.NumAllowedLocalASNumbers != 1 {
		t.Errorf("got %+v, want numAllowedLocalASNumbers: 1", d.Changes[0].After)
	}
	one := meshOf(t, 30, calicotest.BGPPeer(t, "router", calicotest.Spec{"node": calicotest.NodeName(0), "peerIP": "192.0.2.1", "asNumber": 64900}))
	if got := compare(t, one, DesignOptions{}).Option(PerRack); got.Possible || !strings.HasPrefix(got.Prerequisites[len(got.Prerequisites)-1].Text, "sessions for every node: 30 nodes would") {
		t.Errorf("one node with a router: got %+v, want it impossible", got)
	}
}

func TestDesignWithRouters(t *testing.T) {
	s := rackedMesh(t)
	routers := []Router{{"r1", netip.MustParseAddr("192.0.2.1"), 65001}, {"r2", netip.MustParseAddr("192.0.2.2"), 65002}, {"r2", netip.MustParseAddr("192.0.2.3"), 65002}}
	target := design(t, PerRack, s, DesignOptions{Routers: routers})
	var got []string
	for _, c := range target.Changes {
		if p, ok := c.After.(*calico.BGPPeer); ok {
			got = append(got, fmt.Sprintf("%s %s %s %s %d %d", c.Operation(), p.Name, p.NodeSelector, p.PeerIP, p.ASNumber, p.NumAllowedLocalASNumbers))
		}
	}
	want := []string{"CREATE tor-r1 rack == 'r1' 192.0.2.1 65001 1", "CREATE tor-r2 rack == 'r2' 192.0.2.2 65002 1", "CREATE tor-r2-2 rack == 'r2' 192.0.2.3 65002 1"}
	if last := target.Changes[len(target.Changes)-1]; !slices.Equal(got, want) || last.ID().Kind != calico.KindBGPConfiguration {
		t.Errorf("got %q, then %s, want %q, then the mesh off", got, last.ID(), want)
	}
	for name, c := range map[string]struct {
		options DesignOptions
		want    string // an unmet prerequisite
	}{
		"a rack without a router": {DesignOptions{Routers: routers[:1]}, "a router in each rack: 1 of 2 racks are without one (r2)"},
		"a node without a rack":   {DesignOptions{Routers: []Router{{"x", routers[0].Address, 65001}}, RackLabel: "row"}, "label row on all nodes: 3 nodes are without it (node-00001, node-00002, node-00003)"},
	} {
		target := design(t, PerRack, s, c.options)
		if !slices.Contains(target.Blocked(), c.want) || len(target.Changes) > 0 {
			t.Errorf("%s: got %q, want %q", name, target.Blocked(), c.want)
		}
	}
	computed := topologytest.Compute(t, s, nil)
	if _, err := Design(PerRack, s, computed, DesignOptions{Routers: []Router{{"r9", routers[0].Address, 65001}}}); err == nil ||
		err.Error() != `the router 192.0.2.1 is in rack "r9", and no node has the label rack=r9` {
		t.Errorf("got %v", err)
	}
}

// rackedMesh is a mesh of 4 nodes in 2 racks. One of them also has the label row=x.
func rackedMesh(t testing.TB) *state.Snapshot {
	objects := []calico.Object{calicotest.Mesh(t, true)}
	for i, rack := range []string{"r1", "r1", "r2", "r2"} {
		options := []calicotest.Tweak{calicotest.Label("rack", rack)}
		if i == 0 {
			options = append(options, calicotest.Label("row", "x"))
		}
		objects = append(objects, calicotest.NumberedNode(t, i, options...))
	}
	return state.New(objects...)
}

func TestDesignKeepsSettingsOfTheMesh(t *testing.T) {
	secret := map[string]any{"secretKeyRef": map[string]any{"name": "bgp", "key": "mesh"}}
	s := meshOf(t, 30, calicotest.BGPConfiguration(t, calico.Default, calicotest.Spec{"nodeMeshPassword": secret, "nodeMeshMaxRestartTime": "90s", "asNumber": 64513, "listenPort": 1790}))
	d := design(t, RouteReflectors, s, DesignOptions{})
	peer := d.Changes[0].After.(*calico.BGPPeer)
	if peer.Password != "bgp/mesh" || peer.MaxRestartTime == nil || *peer.MaxRestartTime != 90*time.Second {
		t.Errorf("got %+v, want the password and the restart time of the mesh", peer)
	}
	last := d.Changes[len(d.Changes)-1].After.(*calico.BGPConfiguration)
	if last.MeshEnabled() || last.NodeMeshPassword != "" || last.NodeMeshMaxRestartTime != nil || *last.ASNumber != 64513 || last.ListenPort != 1790 {
		t.Errorf("got %+v, want the mesh off, without its own settings and with all others", last)
	}
}

func TestChoiceOfReflectors(t *testing.T) {
	node := calicotest.NumberedNode
	plane := calicotest.Label(controlPlane[0], "")
	names := func(list ...int) []string {
		var out []string
		for _, i := range list {
			out = append(out, calicotest.NodeName(i))
		}
		return out
	}
	zone := func(z string) calicotest.Tweak { return calicotest.Label(zoneLabel, z) }
	tests := map[string]struct {
		state   *state.Snapshot
		options DesignOptions
		want    []string
	}{
		"one in each zone": {meshOf(t, 30), DesignOptions{}, names(0, 1, 2)},
		"a number":         {meshOf(t, 30), DesignOptions{Reflectors: 4}, names(0, 1, 2, 3)},
		"per zone":         {meshOf(t, 30), DesignOptions{PerZone: true}, names(0, 3, 1, 4, 2, 5)},
		"a selector":       {meshOf(t, 30, node(t, 9, calicotest.Label("rr", "")), node(t, 10, calicotest.Label("rr", ""))), DesignOptions{Select: "has(rr)", Reflectors: 2}, names(9, 10)},
		"the control plane first": {meshOf(t, 30, node(t, 9, plane, zone("a")), node(t, 10, plane, zone("b")), node(t, 11, plane, zone("c"))),
			DesignOptions{}, names(9, 10, 11)},
		"nodes with the label before the control plane": {meshOf(t, 30, node(t, 9, plane, zone("a")), node(t, 12, zone("a"), calicotest.Label(ReflectorLabel, ""))),
			DesignOptions{}, names(12, 1, 2)},
		"two zones": {meshOf(t, 2, node(t, 2, zone("a")), node(t, 3, zone("b")), node(t, 4, zone("b"))), DesignOptions{}, names(0, 1, 2, 3)},
		"no node that is down": {meshOf(t, 30).Apply(state.Change{After: ready(node(t, 0, zone("a")), false)}), DesignOptions{},
			names(3, 1, 2)},
		"several AS numbers":         {meshOf(t, 30, node(t, 9, calicotest.ASNumber(65001))), DesignOptions{}, nil},
		"per zone without zones":     {meshOf(t, 30, node(t, 31)), DesignOptions{PerZone: true}, nil},
		"fewer nodes than asked for": {meshOf(t, 3), DesignOptions{Reflectors: 4}, nil},
		"too many for one":           {meshOf(t, 2400), DesignOptions{}, names(0, 3, 1, 4, 2, 5)},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			d := design(t, RouteReflectors, test.state, test.options)
			if !slices.Equal(d.Reflectors, test.want) {
				t.Errorf("got %v, want %v (%+v)", d.Reflectors, test.want, d.Prerequisites)
			}
			if (test.want == nil) != (len(d.Blocked()) > 0) {
				t.Errorf("got prerequisites %+v", d.Prerequisites)
			}
		})
	}
}

// TestDesignsAreAllowed makes the changes of each design in their order. The default policies
// allow each of them, except that they do not know what routers do.
func TestDesignsAreAllowed(t *testing.T) {
	engine := validate.NewEngine(newSet(t))
	for name, test := range map[string]struct {
		goal    Goal
		options DesignOptions
	}{
		"timers": {MeshTimers, DesignOptions{}}, "reflectors": {RouteReflectors, DesignOptions{}},
		"reflectors per zone": {RouteReflectors, DesignOptions{PerZone: true}}, "VXLAN": {VXLANCrossSubnet, DesignOptions{}},
	} {
		t.Run(name, func(t *testing.T) {
			s := meshOf(t, 300)
			d := design(t, test.goal, s, test.options)
			if len(d.Changes) == 0 {
				t.Fatal("got no changes")
			}
			for _, c := range d.Changes {
				decision := engine.Decide(t.Context(), s, validate.Request{Change: c})
				if !decision.Allowed {
					t.Errorf("%s is denied: %s", c.ID(), decision.Message())
				}
				s = s.Apply(c)
			}
			if c := compare(t, s, DesignOptions{}); c.Now.NeedsBGP && c.Now.Isolated > 0 {
				t.Errorf("%d nodes are isolated after the design", c.Now.Isolated)
			}
			if again := design(t, test.goal, s, test.options); len(again.Changes) != 0 {
				t.Errorf("the design again has %d changes, want none", len(again.Changes))
			}
		})
	}
}

func TestUnknownDesign(t *testing.T) {
	s := meshOf(t, 3)
	topology := topologytest.Compute(t, s, nil)
	if _, err := Design("full", s, topology, DesignOptions{}); err == nil {
		t.Error("got no error for a design that does not exist")
	}
	if _, err := Compare(t.Context(), s, topology, DesignOptions{Select: "a = b"}); err == nil || !strings.Contains(err.Error(), "does not parse") {
		t.Errorf("got %v, want an error about the selector", err)
	}
}

// BenchmarkCompare measures the comparison of the designs for 800 nodes in a mesh.
func BenchmarkCompare(b *testing.B) {
	s := meshOf(b, 800)
	for b.Loop() {
		compare(b, s, DesignOptions{})
	}
}

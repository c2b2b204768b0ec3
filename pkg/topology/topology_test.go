package topology

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/state"
)

func configuration(t testing.TB, spec map[string]any) calico.Object {
	return calicotest.Object(t, "BGPConfiguration", calico.Default, spec)
}

func meshOff(t testing.TB) calico.Object {
	return configuration(t, map[string]any{"nodeToNodeMeshEnabled": false})
}

func makeNodes(t testing.TB, n int, options ...calicotest.Tweak) []calico.Object {
	var out []calico.Object
	for i := range n {
		out = append(out, calicotest.Node(t, fmt.Sprintf("n%04d", i), append([]calicotest.Tweak{calicotest.BGP("ipv4Address", fmt.Sprintf("10.0.%d.%d/16", i/250, i%250+1))}, options...)...))
	}
	return out
}

func TestMesh(t *testing.T) {
	dual := func(i int) calico.Object {
		return calicotest.Node(t, fmt.Sprintf("d%d", i), calicotest.BGP("ipv4Address", fmt.Sprintf("10.1.0.%d/16", i+1)), calicotest.BGP("ipv6Address", fmt.Sprintf("fd00::%x", i+1)))
	}
	reflector := calicotest.Node(t, "rr", calicotest.BGP("ipv4Address", "10.2.0.1/16"), calicotest.BGP("routeReflectorClusterID", "244.0.0.1"))
	bare := calicotest.Node(t, "bare")
	none := NodeSet{Sample: []string{}, Members: "mesh/notReady"}
	for name, c := range map[string]struct {
		objects []calico.Object
		want    Mesh
	}{
		"is on without a BGPConfiguration":    {makeNodes(t, 4), Mesh{true, "absent", 4, 3, 6, none}},
		"is on where the field is not set":    {append(makeNodes(t, 4), configuration(t, nil)), Mesh{true, "unset", 4, 3, 6, none}},
		"is on where the field says so":       {append(makeNodes(t, 4), configuration(t, map[string]any{"nodeToNodeMeshEnabled": true})), Mesh{true, "set", 4, 3, 6, none}},
		"has no sessions where it is off":     {append(makeNodes(t, 4), configuration(t, map[string]any{"nodeToNodeMeshEnabled": false})), Mesh{false, "set", 4, 0, 0, none}},
		"is without reflectors":               {append(makeNodes(t, 4), reflector), Mesh{true, "absent", 4, 3, 6, none}},
		"is without nodes that have no BGP":   {append(makeNodes(t, 4), bare), Mesh{true, "absent", 4, 3, 6, none}},
		"of two families adds their sessions": {append(makeNodes(t, 2), dual(0), dual(1)), Mesh{true, "absent", 4, 4, 7, none}},
		"of one node has no session":          {makeNodes(t, 1), Mesh{true, "absent", 1, 0, 0, none}},
		"of no node has no session":           {nil, Mesh{true, "absent", 0, 0, 0, none}},
		"is not switched by other objects": {append(makeNodes(t, 4), calicotest.Object(t, "BGPConfiguration", "node.n0001", map[string]any{"nodeToNodeMeshEnabled": false})),
			Mesh{true, "absent", 4, 3, 6, none}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := *compute(t, state.New(c.objects...), nil).Summary().Mesh; !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestPodTraffic(t *testing.T) {
	pool := func(spec map[string]any) calico.Object { return calicotest.Object(t, "IPPool", "pool", spec) }
	version := func(v string) calico.Object {
		return calicotest.Object(t, "ClusterInformation", calico.Default, map[string]any{"calicoVersion": v})
	}
	felix := func(v string) calico.Object {
		return calicotest.Object(t, "FelixConfiguration", calico.Default, map[string]any{"programClusterRoutes": v})
	}
	program := func(v string) calico.Object { return configuration(t, map[string]any{"programClusterRoutes": v}) }
	plain := map[string]any{"cidr": "10.0.0.0/16"}
	ipip := map[string]any{"cidr": "10.0.0.0/16", "ipipMode": "Always"}
	for name, c := range map[string]struct {
		objects []calico.Object
		four    bool
		six     bool
	}{
		"no pool is known":                                    {nil, true, true},
		"a pool has no encapsulation":                         {[]calico.Object{pool(plain)}, true, false},
		"a pool is IPv6":                                      {[]calico.Object{pool(map[string]any{"cidr": "fd00::/64"})}, false, true},
		"a pool is VXLAN":                                     {[]calico.Object{pool(map[string]any{"cidr": "10.0.0.0/16", "vxlanMode": "CrossSubnet"})}, false, false},
		"a pool is for tunnels only":                          {[]calico.Object{pool(map[string]any{"cidr": "10.0.0.0/16", "allowedUses": []any{"Tunnel"}})}, true, true},
		"a disabled pool may hold addresses of pods":          {[]calico.Object{pool(map[string]any{"cidr": "10.0.0.0/16", "disabled": true})}, false, false},
		"IPIP, and the version is unknown":                    {[]calico.Object{pool(ipip)}, true, false},
		"IPIP on v3.31":                                       {[]calico.Object{pool(ipip), version("v3.31.2"), felix("Enabled")}, true, false},
		"IPIP on v3.32, Felix by both switches":               {[]calico.Object{pool(ipip), version("v3.32.0"), felix("Enabled"), program("Disabled")}, false, false},
		"IPIP on v3.32, one switch only":                      {[]calico.Object{pool(ipip), version("v3.32.0"), felix("Enabled")}, true, false},
		"IPIP on v3.33":                                       {[]calico.Object{pool(ipip), version("v3.33.0")}, false, false},
		"IPIP on v3.33 with Felix switched off":               {[]calico.Object{pool(ipip), version("v3.33.0"), felix("Disabled")}, true, false},
		"no encapsulation on v3.33":                           {[]calico.Object{pool(plain), version("v3.33.0")}, true, false},
		"no encapsulation on v3.32, Felix by both switches":   {[]calico.Object{pool(plain), version("v3.32.0"), felix("Enabled"), program("Disabled")}, false, false},
		"no encapsulation on v3.31, where Felix cannot":       {[]calico.Object{pool(plain), version("v3.31.2"), felix("Enabled"), program("Disabled")}, true, false},
		"no encapsulation on v3.33 by Felix and by BIRD":      {[]calico.Object{pool(plain), version("v3.33.0"), felix("Enabled")}, true, false},
		"no encapsulation on v3.33 by Felix":                  {[]calico.Object{pool(plain), version("v3.33.0"), felix("Enabled"), program("Disabled")}, false, false},
		"no encapsulation on v3.33 by Felix, IPIP by BIRD":    {[]calico.Object{pool(plain), version("v3.33.0"), felix("EnabledNoEncapOnly"), program("EnabledIPIPOnly")}, false, false},
		"no encapsulation on v3.33 by nobody":                 {[]calico.Object{pool(plain), version("v3.33.0"), program("EnabledIPIPOnly")}, true, false},
		"IPIP on v3.33 by Felix and by BIRD":                  {[]calico.Object{pool(ipip), version("v3.33.0"), program("Enabled")}, true, false},
		"IPIP on v3.33 where BIRD has a value of no version":  {[]calico.Object{pool(ipip), version("v3.33.0"), program("Someday")}, false, false},
		"IPIP on v3.33 where Felix has no encapsulation only": {[]calico.Object{pool(ipip), version("v3.33.0"), felix("EnabledNoEncapOnly")}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			got := compute(t, state.New(c.objects...), nil).Summary().PodTraffic
			if got.IPv4.NeedsBGP != c.four || got.IPv6.NeedsBGP != c.six {
				t.Errorf("needs BGP IPv4 %v IPv6 %v, want %v %v", got.IPv4.NeedsBGP, got.IPv6.NeedsBGP, c.four, c.six)
			}
		})
	}
}

func TestTimers(t *testing.T) {
	objects := append(makeNodes(t, 3, calicotest.Label("role", "node")),
		calicotest.Node(t, "rr", calicotest.BGP("ipv4Address", "10.2.0.1/16"), calicotest.BGP("routeReflectorClusterID", "244.0.0.1"), calicotest.Label("role", "rr")),
		configuration(t, map[string]any{"nodeMeshMaxRestartTime": "2m30s"}),
		calicotest.Object(t, "BGPPeer", "a", map[string]any{"nodeSelector": "role == 'node'", "peerSelector": "role == 'rr'", "maxRestartTime": "89600ms", "keepaliveTime": "300ms"}),
		calicotest.Object(t, "BGPPeer", "b", map[string]any{"peerIP": "172.16.0.1", "asNumber": int64(65000), "keepaliveTime": "20s"}),
		calicotest.Object(t, "BGPPeer", "c", map[string]any{"peerIP": "10.2.0.1", "asNumber": int64(64512)}),
	)
	got := compute(t, state.New(objects...), nil).Summary().Timers
	want := &Timers{
		MeshRestartTime: OptionalSeconds{true, new(150)},
		RestartTime: []TimerGroup{
			{120, "external", 0, []TimerObject{{"BGPPeer", "b", false, 0}}},
			{90, "nodes", 3, []TimerObject{{"BGPPeer", "a", true, 3}}},
			{120, "nodes", 3, []TimerObject{{"BGPPeer", "c", false, 3}}},
			{150, "nodes", 3, []TimerObject{{"BGPConfiguration", "default", true, 3}}},
		},
		KeepaliveTime: []TimerGroup{
			{20, "external", 0, []TimerObject{{"BGPPeer", "b", true, 0}}},
			{80, "nodes", 9, []TimerObject{{"BGPConfiguration", "default", false, 3}, {"BGPPeer", "a", true, 3}, {"BGPPeer", "c", false, 3}}},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestSessionsOfABGPPeerCountEachPairOnce(t *testing.T) {
	objects := append(makeNodes(t, 5), meshOff(t), calicotest.Object(t, "BGPPeer", "all", map[string]any{"nodeSelector": "all()", "peerSelector": "all()"}))
	if got := compute(t, state.New(objects...), nil).Summary().BGPPeers["all"]; got.Sessions != 10 || got.LocalNodes != 5 || got.RemoteNodes != 5 {
		t.Errorf("got %+v, want 10 sessions of 5 nodes", got)
	}
}

func TestAnEmptyBGPPeerMakesASecondMeshOfSingleStackNodes(t *testing.T) {
	dual := calicotest.Node(t, "dual", calicotest.BGP("ipv4Address", "10.9.0.1/16"), calicotest.BGP("ipv6Address", "fd00::9"))
	s := state.New(append(makeNodes(t, 4), dual, meshOff(t), calicotest.Object(t, "BGPPeer", "empty", nil))...)
	topology := compute(t, s, nil)
	if got := topology.Summary().BGPPeers["empty"]; got.Scope != "nodes" || got.Sessions != 6 {
		t.Errorf("got %+v, want 6 sessions between the 4 single-stack nodes", got)
	}
	if len(topology.Problems(calico.ID{Kind: calico.KindBGPPeer, Name: "empty"})) != 1 {
		t.Error("the trap is not named")
	}
}

func TestProblemsOfAState(t *testing.T) {
	objects := append(makeNodes(t, 2),
		configuration(t, map[string]any{"listenPort": int64(1790)}),
		calicotest.Object(t, "BGPPeer", "as", map[string]any{"peerIP": "10.0.0.1", "asNumber": int64(65000)}),
		calicotest.Object(t, "BGPPeer", "port", map[string]any{"peerIP": "10.0.0.1:179", "asNumber": int64(64512)}),
		calicotest.Object(t, "BGPPeer", "nobody", map[string]any{"nodeSelector": "has(x)", "peerSelector": "all()"}),
	)
	topology := compute(t, state.New(objects...), nil)
	for name, want := range map[string]string{
		"as":     "spec.asNumber: is 65000, but the peer is node n0000 of AS 64512: the session does not come up",
		"port":   "spec.peerIP: has port 179, but node n0000 listens on another port: Calico configures no half-session back",
		"nobody": "spec: selects no local node out of 2",
	} {
		t.Run(name, func(t *testing.T) {
			if got := topology.Problems(calico.ID{Kind: calico.KindBGPPeer, Name: name}); len(got) != 1 || got[0].String() != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestWhatDoesNotChangeIsShared(t *testing.T) {
	s := state.New(append(makeNodes(t, 5), calicotest.Object(t, "BGPPeer", "a", map[string]any{"nodeSelector": "all()", "peerSelector": "all()"}))...)
	before := compute(t, s, nil)
	after := compute(t, s.Apply(state.Change{After: calicotest.Object(t, "BGPPeer", "b", map[string]any{"peerIP": "172.16.0.1", "asNumber": int64(1)})}), before)
	a, b := before.Summary(), after.Summary()
	if a.Nodes != b.Nodes || a.Mesh != b.Mesh || a.Reflectors != b.Reflectors || a.PodTraffic != b.PodTraffic || a.BGPPeers["a"] != b.BGPPeers["a"] {
		t.Error("equal parts are not shared")
	}
	if before.index != after.index {
		t.Error("the index was recomputed")
	}
	if compute(t, s, before) != before {
		t.Error("the topology of the same snapshot was recomputed")
	}
}

func TestALabelThatNothingReadsComputesNothing(t *testing.T) {
	labelled := func(labels ...calicotest.Tweak) calico.Object {
		return calicotest.Node(t, "n", append(labels, calicotest.BGP("ipv4Address", "10.2.0.1/16"))...)
	}
	s := state.New(append(makeNodes(t, 5), labelled(calicotest.Label("owner", "a")),
		calicotest.Object(t, "BGPConfiguration", "default", map[string]any{"serviceClusterIPs": []any{map[string]any{"cidr": "10.96.0.0/12"}}}),
		calicotest.Object(t, "BGPPeer", "a", map[string]any{"nodeSelector": "has(rack)", "peerSelector": "all()"}))...)
	before := compute(t, s, nil)
	for name, c := range map[string]struct {
		after calico.Object
		reads bool
	}{
		"another value":  {labelled(calicotest.Label("owner", "b")), false},
		"without it":     {labelled(), false},
		"of a selector":  {labelled(calicotest.Label("owner", "a"), calicotest.Label("rack", "a")), true},
		"of zones":       {labelled(calicotest.Label("owner", "a"), calicotest.Label("topology.kubernetes.io/zone", "a")), true},
		"of Services":    {labelled(calicotest.Label("owner", "a"), calicotest.Label("node.kubernetes.io/exclude-from-external-load-balancers", "")), true},
		"and an address": {calicotest.Node(t, "n", calicotest.BGP("ipv4Address", "10.2.0.9/16")), true},
	} {
		t.Run(name, func(t *testing.T) {
			after := compute(t, s.Apply(state.Change{After: c.after}), before)
			if computed := after.sessions != before.sessions || after.summary != before.summary; computed != c.reads {
				t.Errorf("computed: %v, want %v", computed, c.reads)
			}
			if after.index.Nodes[slices.IndexFunc(after.index.Nodes, func(n *calico.Node) bool { return n.Name == "n" })] != c.after {
				t.Error("the index has the old node")
			}
		})
	}
}

func TestBGPPeersThatReachReflectors(t *testing.T) {
	objects := append(makeNodes(t, 3),
		calicotest.Node(t, "rr", calicotest.BGP("ipv4Address", "10.2.0.1/16"), calicotest.BGP("routeReflectorClusterID", "244.0.0.1"), calicotest.Label("rr", "")),
		calicotest.Object(t, "BGPPeer", "to", map[string]any{"nodeSelector": "!has(rr)", "peerSelector": "has(rr)"}),
		calicotest.Object(t, "BGPPeer", "from", map[string]any{"nodeSelector": "has(rr)", "peerSelector": "!has(rr)"}),
		calicotest.Object(t, "BGPPeer", "beside", map[string]any{"nodeSelector": "!has(rr)", "peerSelector": "!has(rr)"}),
		calicotest.Object(t, "BGPPeer", "tor", map[string]any{"peerIP": "172.16.0.1", "asNumber": int64(1)}),
	)
	got := compute(t, state.New(objects...), nil).Summary().Reflectors
	if want := []string{"from", "to"}; !reflect.DeepEqual(got.IPv4.BGPPeers, want) || len(got.IPv6.BGPPeers) != 0 {
		t.Errorf("got %v and %v, want %v and none", got.IPv4.BGPPeers, got.IPv6.BGPPeers, want)
	}
}

// Two nodes with the same AS number peer with a node of another AS. Only the node that
// accepts its own AS number has the other's routes.
func TestNodesThatTakeTheirOwnASNumberBackAreToldApart(t *testing.T) {
	at := func(name, address string, asn int64) calico.Object {
		return calicotest.Node(t, name, calicotest.BGP("ipv4Address", address), calicotest.BGP("asNumber", asn))
	}
	one := calicotest.Object(t, "BGPPeer", "one", map[string]any{"node": "a", "peerIP": "10.0.0.2", "asNumber": int64(65002), "numAllowedLocalASNumbers": int64(1)})
	other := calicotest.Object(t, "BGPPeer", "other", map[string]any{"node": "c", "peerIP": "10.0.0.2", "asNumber": int64(65002)})
	topology := compute(t, state.New(meshOff(t), at("a", "10.0.0.1", 65001), at("b", "10.0.0.2", 65002), at("c", "10.0.0.3", 65001), one, other), nil)
	if there, back := topology.HasRoute(calico.IPv4, "c", "a", false), topology.HasRoute(calico.IPv4, "a", "c", false); !there || back {
		t.Errorf("a has c's route: %v, c has a's: %v; want true and false", there, back)
	}
}

// For reverse peering, a peerIP without asNumber has the cluster's AS number, not 0.
func TestAMissingASNumberIsTheClustersOnTheWayBack(t *testing.T) {
	objects := []calico.Object{meshOff(t), calicotest.Node(t, "a", calicotest.BGP("ipv4Address", "10.0.0.1")), calicotest.Node(t, "b", calicotest.BGP("ipv4Address", "10.0.0.2"), calicotest.BGP("asNumber", int64(0))),
		calicotest.Object(t, "BGPPeer", "p", map[string]any{"node": "a", "peerIP": "10.0.0.2"})}
	topology := compute(t, state.New(objects...), nil)
	for h := range topology.HalfSessions("b") {
		t.Errorf("b has %+v, want none", h)
	}
	if frozen := topology.Frozen(); len(frozen) != 1 || frozen[0].Node != "a" {
		t.Errorf("frozen: %+v, want only a", frozen)
	}
}

// Calico writes reachableBy into the static routes of a node also for its own address, but only for that BGPPeer, of several
// that differ in their nodes, that has the node as a peer.
func TestOnlyTheBGPPeerOfANodesOwnAddressFreezesIt(t *testing.T) {
	to := func(name, rack string) calico.Object {
		return calicotest.Object(t, "BGPPeer", name, map[string]any{"nodeSelector": "all()", "peerSelector": "rack == '" + rack + "'", "reachableBy": "10.0.0.254", "reversePeering": "Manual"})
	}
	topology := compute(t, state.New(meshOff(t), to("a", "a"), to("b", "b"),
		calicotest.Node(t, "four", calicotest.IPv4("10.0.0.1"), calicotest.Label("rack", "a")),
		calicotest.Node(t, "dual", calicotest.IPv4("10.0.0.2"), calicotest.IPv6("fd00::2"), calicotest.Label("rack", "b"))), nil)
	if list := topology.Summary().Sessions.IPv6.FrozenReasons; len(list) != 1 || len(list[0].Objects) != 1 || list[0].Objects[0].Name != "b" {
		t.Errorf("reasons: %+v, want that of b alone", list)
	}
	if frozen := topology.Frozen(); len(frozen) != 1 || len(frozen[0].Rejected) != 1 || frozen[0].Rejected[0].Name != "b" {
		t.Errorf("frozen: %+v, want dual by b alone", frozen)
	}
}

// A node replaces another one with the same address between two snapshots.
func TestANodeReplacedByAnotherIsNotTakenForIt(t *testing.T) {
	at := func(name, address string) calico.Object {
		return calicotest.Node(t, name, calicotest.BGP("ipv4Address", address))
	}
	s := state.New(meshOff(t), at("a1", "10.0.0.1"), at("a2", "10.0.0.2"),
		calicotest.Object(t, "BGPConfiguration", "node.a2", map[string]any{"listenPort": int64(1790)}),
		calicotest.Object(t, "BGPPeer", "p", map[string]any{"nodeSelector": "all()", "peerSelector": "all()"}))
	before := compute(t, s, nil)
	s = s.Apply(state.Change{Before: at("a2", "10.0.0.2")}).Apply(state.Change{After: at("a3", "10.0.0.2")})
	got, want := compute(t, s, before), compute(t, s, nil)
	if fault := topologiesDiffer(got, want); fault != "" {
		t.Error(fault)
	}
}

// TestTheReasonDoesNotDependOnNames has an ambiguous half-session of node b to node a.
// Neither candidate matches the half-session of a, for different reasons.
func TestTheReasonDoesNotDependOnNames(t *testing.T) {
	for _, names := range [][2]string{{"p1", "p2"}, {"p2", "p1"}} {
		t.Run(names[0]+" has the wrong AS number", func(t *testing.T) {
			back := func(name string, asn int64, secret string) calico.Object {
				return bgpPeer(t, name, map[string]any{
					"node": "b", "peerIP": "10.0.0.1", "asNumber": asn, "reversePeering": "Manual",
					"password": map[string]any{"secretKeyRef": map[string]any{"name": secret, "key": "key"}},
				})
			}
			s := state.New(noMesh(t), at(t, "a", "10.0.0.1"), at(t, "b", "10.0.0.2"),
				bgpPeer(t, "forward", map[string]any{
					"node": "a", "peerIP": "10.0.0.2", "asNumber": int64(64512), "reversePeering": "Manual",
					"password": map[string]any{"secretKeyRef": map[string]any{"name": "right", "key": "key"}},
				}),
				back(names[0], 65001, "right"), back(names[1], 64512, "wrong"))
			got := slices.Collect(compute(t, s, nil).Broken(""))
			want := []BrokenSession{{
				Node: "a", Family: "IPv4", Protocol: "Node_10_0_0_2", PeerIP: "10.0.0.2", PeerNode: "b", Reason: PasswordMismatch,
				Message: "the password is right/key, that of b is wrong/key", Sources: []string{"forward"},
			}}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func TestDisabledPools(t *testing.T) {
	pool := func(name string, generation int64, more map[string]any) calico.Object {
		spec := map[string]any{"cidr": "10.0.0.0/16", "disabled": true}
		maps.Copy(spec, more)
		metadata := map[string]any{"name": name}
		if generation > 0 {
			metadata["generation"] = generation
		}
		return calicotest.Decode(t, map[string]any{"apiVersion": "projectcalico.org/v3", "kind": "IPPool", "metadata": metadata, "spec": spec})
	}
	enabled := map[string]any{"disabled": false}
	for name, c := range map[string]struct {
		objects []calico.Object
		want    string // whether IPv4 needs BGP, IPv6 does, and the lists of IPv4
	}{
		"it was disabled later":              {[]calico.Object{pool("p", 2, nil)}, "IPv4 false, IPv6 false, [], [p]"},
		"when is not known":                  {[]calico.Object{pool("p", 0, nil)}, "IPv4 false, IPv6 false, [], [p]"},
		"it was created disabled":            {[]calico.Object{pool("p", 1, nil)}, "IPv4 true, IPv6 true, [], []"},
		"it was created enabled":             {[]calico.Object{pool("p", 1, enabled)}, "IPv4 true, IPv6 false, [p], []"},
		"it was enabled later":               {[]calico.Object{pool("p", 2, enabled)}, "IPv4 true, IPv6 false, [p], []"},
		"it is disabled and needs no BGP":    {[]calico.Object{pool("p", 2, map[string]any{"vxlanMode": "Always"})}, "IPv4 false, IPv6 false, [], []"},
		"it is one of several":               {[]calico.Object{pool("p", 2, nil), pool("q", 1, nil), pool("r", 4, enabled)}, "IPv4 true, IPv6 false, [r], [p]"},
		"a change creates it":                {[]calico.Object{calico.Informed(nil, pool("p", 0, nil))}, "IPv4 true, IPv6 true, [], []"},
		"a change of one without addresses":  {[]calico.Object{calico.Informed(pool("p", 1, nil), pool("p", 2, map[string]any{"natOutgoing": true}))}, "IPv4 true, IPv6 true, [], []"},
		"a change disables it":               {[]calico.Object{calico.Informed(pool("p", 1, enabled), pool("p", 2, nil))}, "IPv4 false, IPv6 false, [], [p]"},
		"a change of one with addresses":     {[]calico.Object{calico.Informed(pool("p", 2, nil), pool("p", 3, nil))}, "IPv4 false, IPv6 false, [], [p]"},
		"a change enables one without":       {[]calico.Object{calico.Informed(pool("p", 1, nil), pool("p", 2, enabled))}, "IPv4 true, IPv6 false, [p], []"},
		"a change that creates one for pods": {[]calico.Object{calico.Informed(nil, pool("p", 0, enabled))}, "IPv4 true, IPv6 false, [p], []"},
	} {
		t.Run(name, func(t *testing.T) {
			s := compute(t, state.New(c.objects...), nil).Summary()
			four := s.PodTraffic.IPv4
			if got := fmt.Sprintf("IPv4 %t, IPv6 %t, %v, %v", four.NeedsBGP, s.PodTraffic.IPv6.NeedsBGP, four.Pools, four.DisabledPools); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

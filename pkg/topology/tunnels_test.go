package topology

import (
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// TestTunnelsToRouters verifies which pairs of nodes have routes that they can use, if the routers
// between them set their own address as next hop: a router does not unpack IPIP.
func TestTunnelsToRouters(t *testing.T) {
	pool := func(ipip, vxlan string) calico.Object {
		return calicotest.Object(t, "IPPool", "pods", map[string]any{"cidr": "10.244.0.0/16", "ipipMode": ipip, "vxlanMode": vxlan})
	}
	rack := func(name, address, router string, asn int64) []calico.Object {
		return []calico.Object{
			at(t, name, address, calicotest.BGP("asNumber", asn), calicotest.Label("name", name)),
			bgpPeer(t, "tor-"+name, map[string]any{"node": name, "peerIP": router, "asNumber": int64(65009)}),
		}
	}
	racks := append(rack("a", "10.0.0.1/24", "10.0.0.254", 65001), rack("b", "10.0.1.1/24", "10.0.1.254", 65002)...)
	inside := bgpPeer(t, "inside", map[string]any{"nodeSelector": "name == 'a'", "peerSelector": "name == 'b'"})
	program := func(kind calico.Kind, value string) calico.Object {
		return calicotest.Object(t, kind, "default", map[string]any{"nodeToNodeMeshEnabled": false, "programClusterRoutes": value})
	}
	version := func(text string) calico.Object { return calicotest.ClusterInformation(t, text) }
	tests := map[string]struct {
		objects []calico.Object
		pairs   int
	}{
		"IPIP by BIRD":                         {[]calico.Object{noMesh(t), pool("Always", "Never"), version("v3.32.1")}, 1},
		"IPIP by BIRD since v3.33":             {[]calico.Object{program("BGPConfiguration", "EnabledIPIPOnly"), calicotest.Object(t, "FelixConfiguration", "default", map[string]any{"programClusterRoutes": "EnabledNoEncapOnly"}), pool("Always", "Never"), version("v3.33.0")}, 1},
		"IPIP by Felix":                        {[]calico.Object{noMesh(t), pool("Always", "Never"), version("v3.33.0")}, 0},
		"an unknown version":                   {[]calico.Object{noMesh(t), pool("Always", "Never")}, 0},
		"CrossSubnet":                          {[]calico.Object{noMesh(t), pool("CrossSubnet", "Never"), version("v3.32.1")}, 0},
		"no encapsulation":                     {[]calico.Object{noMesh(t), pool("Never", "Never"), version("v3.32.1")}, 0},
		"VXLAN":                                {[]calico.Object{noMesh(t), pool("Never", "Always"), version("v3.32.1")}, 0},
		"IPIP by BIRD, and a session of nodes": {[]calico.Object{noMesh(t), pool("Always", "Never"), version("v3.32.1"), inside}, 0},
	}
	var before *Topology
	for _, name := range sortedKeys(tests) {
		c := tests[name]
		t.Run(name, func(t *testing.T) {
			s := state.New(append(c.objects, racks...)...)
			for _, before := range []*Topology{nil, before} {
				r := compute(t, s, before).Summary().Routes.IPv4
				if with, kept := r.WithTransit.WithoutRoute.Pairs, r.WithASPaths.WithoutRoute.Pairs; with != 0 || kept != c.pairs {
					t.Errorf("%d pairs without a route with transit, and %d if routers set the next hop, want 0 and %d", with, kept, c.pairs)
				}
			}
			before = compute(t, s, nil)
		})
	}
}

package topology

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology/routes"
)

// TestExports verifies between which nodes and to which IPPools routes are exported, if IPPools have
// disableBGPExport.
func TestExports(t *testing.T) {
	pool := func(name, cidr string, disabled bool) calico.Object {
		return calicotest.Object(t, "IPPool", name, map[string]any{"cidr": cidr, "vxlanMode": "Never", "disableBGPExport": disabled})
	}
	peers := func(action, cidr string) []calico.Object {
		return []calico.Object{
			configuration(t, map[string]any{"nodeToNodeMeshEnabled": false}),
			bgpPeer(t, "all", map[string]any{"nodeSelector": "all()", "peerSelector": "all()", "filters": []any{"f"}}),
			calicotest.Object(t, "BGPFilter", "f", map[string]any{"exportV4": []any{map[string]any{"action": action, "matchOperator": "In", "cidr": cidr}}}),
		}
	}
	nodes := []calico.Object{named(t, "a", 1), named(t, "b", 2)}
	tests := map[string]struct {
		objects []calico.Object
		want    string
	}{
		"an IPPool with disableBGPExport": {[]calico.Object{pool("p", "10.244.0.0/16", true)}, "not exported [p], 0 pairs"},
		"a BGPFilter accepts its pods": {
			append(peers("Accept", "10.244.0.0/16"), pool("p", "10.244.0.0/16", true)), "not exported [], 0 pairs",
		},
		"a BGPFilter accepts some of them": {
			append(peers("Accept", "10.244.0.0/17"), pool("p", "10.244.0.0/16", true)), "not exported [p], 0 pairs",
		},
		"a BGPFilter rejects them": {
			append(peers("Reject", "10.244.0.0/16"), pool("p", "10.244.0.0/16", true)), "not exported [p], 0 pairs",
		},
		"a BGPFilter for a router does not carry them between nodes": {
			append(peers("Accept", "10.244.0.0/16"), pool("p", "10.244.0.0/16", true),
				bgpPeer(t, "all", map[string]any{"peerIP": "127.0.0.1", "asNumber": int64(65001), "filters": []any{"f"}}),
				bgpPeer(t, "more", map[string]any{"nodeSelector": "all()", "peerSelector": "all()"})),
			"not exported [p], 0 pairs",
		},
		"an IPPool inside it": {
			[]calico.Object{pool("big", "10.244.0.0/16", true), pool("small", "10.244.128.0/20", false)}, "not exported [big small], 0 pairs",
		},
		"an IPPool around it": {
			[]calico.Object{pool("big", "10.244.0.0/16", false), pool("small", "10.244.128.0/20", true)}, "not exported [small], 0 pairs",
		},
		"a BGPFilter accepts the IPPool inside it": {
			append(peers("Accept", "10.244.128.0/20"), pool("big", "10.244.0.0/16", true), pool("small", "10.244.128.0/20", false)),
			"not exported [big], 0 pairs",
		},
		"one of two sessions carries pods of an IPPool that a BGPFilter accepts": {
			append(peers("Accept", "10.244.0.0/16"), pool("p", "10.244.0.0/16", true),
				bgpPeer(t, "all", map[string]any{"node": "a", "peerSelector": "name == 'b'", "reversePeering": "Manual", "filters": []any{"f"}}),
				bgpPeer(t, "back", map[string]any{"node": "b", "peerSelector": "name == 'a'", "reversePeering": "Manual"})),
			"not exported [], 1 pairs",
		},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			s := state.New(slices.Concat(nodes, c.objects)...)
			r := compute(t, s, nil).Summary().Routes.IPv4
			if want, set := disablingIn(s), r.ExportDisabledBy; len(r.NotExported) > 0 && !slices.Equal(set, want) || len(r.NotExported) == 0 && len(set) > 0 {
				t.Errorf("disabled by %v, want %v", set, want)
			}
			if got := fmt.Sprintf("not exported %v, %d pairs", r.NotExported, r.WithoutTransit.WithoutRoute.Pairs); got != c.want {
				t.Errorf("got %s, want %s\nstate:\n%s", got, c.want, show(s))
			}
		})
	}
}

// disablingIn returns the names of the IPPools with disableBGPExport.
func disablingIn(s *state.Snapshot) []string {
	var out []string
	for _, p := range s.IPPools() {
		if p.Spec["disableBGPExport"] == true {
			out = append(out, p.Name)
		}
	}
	return out
}

// TestRandomStatesDecideExports verifies that the cases of exports are frequent in random states.
func TestRandomStatesDecideExports(t *testing.T) {
	seen := map[string]int{}
	forRandomStates(t, 3, seeds, func(_ *rand.Rand, objects []calico.Object) string {
		topology := compute(t, state.New(objects...), nil)
		for _, f := range calico.Families {
			r := topology.routings[f]
			for i := range r.classes {
				if r.classes[i].destination.Disabled && r.evaluates() && r.reach[routes.WithoutTransit].Nodes > 1 {
					seen["accepted pods of a pool without export"]++
				}
			}
			if len(r.notExported) > 0 && len(r.classes) > 0 {
				seen["pools with and without export"]++
			}
			for _, a := range r.pods.exports.pools {
				for _, b := range r.pods.exports.pools {
					if a.cidr.Bits() < b.cidr.Bits() && a.cidr.Overlaps(b.cidr) && a.disabled != b.disabled {
						seen["a pool inside another"]++
					}
				}
			}
			for _, one := range *topology.Summary().ServiceRanges.In(f) {
				if len(one.IPPools) > 0 {
					seen["a range over a pool"]++
				}
			}
		}
		return ""
	})
	t.Log(seen)
	for _, what := range []string{"accepted pods of a pool without export", "pools with and without export", "a pool inside another", "a range over a pool"} {
		if seen[what] < 20 {
			t.Errorf("%s: only in %d states", what, seen[what])
		}
	}
}

// TestInterfacesOfRoutesThatFelixPrograms verifies for which IPPools and versions nodes have the routes to the pods on others
// from Felix.
func TestInterfacesOfRoutesThatFelixPrograms(t *testing.T) {
	felix := func(value string) calico.Object {
		return calicotest.Object(t, "FelixConfiguration", calico.Default, map[string]any{"programClusterRoutes": value})
	}
	bird := configuration(t, map[string]any{"programClusterRoutes": "Disabled"})
	for name, c := range map[string]struct {
		version, ipip, vxlan, cidr string
		objects                    []calico.Object
		want                       string
	}{
		"VXLAN":                       {"v3.31.2", "Never", "Always", "10.244.0.0/16", nil, "vxlan.calico"},
		"VXLAN of IPv6":               {"v3.31.2", "Never", "Always", "fd00:244::/64", nil, "vxlan-v6.calico"},
		"VXLAN between subnets":       {"v3.33.0", "Never", "CrossSubnet", "10.244.0.0/16", nil, unknownInterface},
		"IPIP, v3.32":                 {"v3.32.1", "Always", "Never", "10.244.0.0/16", nil, ""},
		"IPIP by Felix, v3.32":        {"v3.32.1", "Always", "Never", "10.244.0.0/16", []calico.Object{felix("Enabled"), bird}, "tunl0"},
		"IPIP, v3.33":                 {"v3.33.0", "Always", "Never", "10.244.0.0/16", nil, "tunl0"},
		"IPIP by BIRD, v3.33":         {"v3.33.0", "Always", "Never", "10.244.0.0/16", []calico.Object{felix("Disabled"), configuration(t, map[string]any{"programClusterRoutes": "Enabled"})}, ""},
		"IPIP between subnets, v3.33": {"v3.33.0", "CrossSubnet", "Never", "10.244.0.0/16", nil, unknownInterface},
		"no encapsulation":            {"v3.33.0", "Never", "Never", "10.244.0.0/16", nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			objects := append([]calico.Object{named(t, "a", 1), calicotest.ClusterInformation(t, c.version), calicotest.IPPool(t, "p", map[string]any{"cidr": c.cidr, "ipipMode": c.ipip, "vxlanMode": c.vxlan})}, c.objects...)
			topology := compute(t, state.New(objects...), nil)
			p := topology.snapshot.IPPools()[0]
			pools := topology.podPrefixes(p.Family, func(*calico.IPPool) bool { return true }).pools
			if len(pools) != 1 || pools[0].kernel != c.want {
				t.Errorf("got %+v, want %q", pools, c.want)
			}
		})
	}
}

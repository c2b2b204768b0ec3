package topology

import (
	"fmt"
	"maps"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// TestRoutesThatExternalPeersDoNotReceive verifies the pairs of nodes by their subnets, and which nodes'
// routes to IPPools without encapsulation reach external peers, also in the naive model.
func TestRoutesThatExternalPeersDoNotReceive(t *testing.T) {
	pool := func(more map[string]any) calico.Object {
		spec := map[string]any{"cidr": "10.244.0.0/24"}
		maps.Copy(spec, more)
		return calicotest.Object(t, "IPPool", "pods", spec)
	}
	router := func(more map[string]any) calico.Object {
		spec := map[string]any{"peerIP": "192.0.2.1", "asNumber": int64(65001)}
		maps.Copy(spec, more)
		return bgpPeer(t, "router", spec)
	}
	filter := func(rule map[string]any) calico.Object {
		return calicotest.Object(t, "BGPFilter", "f", map[string]any{"exportV4": []any{rule}})
	}
	filtered := map[string]any{"filters": []any{"f"}}
	one, two, three := at(t, "a", "10.0.0.1/24"), at(t, "b", "10.0.1.2/24"), at(t, "c", "10.0.1.3/32")
	alone := map[string]any{"filters": []any{"f"}, "node": "a"}
	for name, c := range map[string]struct {
		objects []calico.Object
		pairs   [3]int // same, different, uneven
		want    []UnadvertisedPool
	}{
		"no external peer":                    {[]calico.Object{one, two, pool(nil)}, [3]int{0, 1, 0}, []UnadvertisedPool{{"pods", 2, []string{"a", "b"}}}},
		"one subnet":                          {[]calico.Object{one, pool(nil)}, [3]int{}, nil},
		"encapsulation":                       {[]calico.Object{one, two, pool(map[string]any{"ipipMode": "Always"})}, [3]int{0, 1, 0}, nil},
		"an address inside another's network": {[]calico.Object{two, three, pool(nil)}, [3]int{0, 0, 1}, []UnadvertisedPool{{"pods", 2, []string{"b", "c"}}}},
		"single addresses":                    {[]calico.Object{at(t, "a", "10.0.0.1/32"), at(t, "b", "10.0.0.2/32"), pool(nil)}, [3]int{0, 1, 0}, []UnadvertisedPool{{"pods", 2, []string{"a", "b"}}}},
		"a router":                            {[]calico.Object{one, two, pool(nil), router(nil)}, [3]int{0, 1, 0}, nil},
		"a router of one node, to which all routes are passed on": {[]calico.Object{one, two, pool(nil), router(map[string]any{"node": "a"})}, [3]int{0, 1, 0}, nil},
		"a router of one node that sends its own routes only": {
			[]calico.Object{one, two, pool(nil), router(alone), filter(map[string]any{"action": "Reject", "source": "RemotePeers"})},
			[3]int{0, 1, 0}, []UnadvertisedPool{{"pods", 1, []string{"b"}}},
		},
		"a BGPFilter that rejects all": {
			[]calico.Object{one, two, pool(nil), router(filtered), filter(map[string]any{"action": "Reject"})},
			[3]int{0, 1, 0}, []UnadvertisedPool{{"pods", 2, []string{"a", "b"}}},
		},
		"a BGPFilter that rejects a part": {
			[]calico.Object{one, two, pool(nil), router(filtered), filter(map[string]any{"action": "Reject", "cidr": "10.244.0.128/25", "matchOperator": "In"})},
			[3]int{0, 1, 0}, []UnadvertisedPool{{"pods", 2, []string{"a", "b"}}},
		},
		"no export": {[]calico.Object{one, two, pool(map[string]any{"disableBGPExport": true}), router(nil)}, [3]int{0, 1, 0}, []UnadvertisedPool{{"pods", 2, []string{"a", "b"}}}},
	} {
		t.Run(name, func(t *testing.T) {
			s := state.New(c.objects...)
			summary := compute(t, s, nil).Summary()
			got := summary.Addresses.IPv4.Subnets
			if pairs := [3]int{got.Same, got.Different, got.Uneven}; pairs != c.pairs {
				t.Errorf("got pairs %v, want %v", pairs, c.pairs)
			}
			if g, w := unadvertisedText(got.Unadvertised), unadvertisedText(c.want); g != w {
				t.Errorf("got %s, want %s", g, w)
			}
			if g, w := addressesOf(&summary.Addresses.IPv4), newNaive(s).addresses(calico.IPv4); g != w {
				t.Errorf("got %s, the naive model has %s", g, w)
			}
		})
	}
}

func unadvertisedText(list []UnadvertisedPool) string { return fmt.Sprint(list) }

// TestUnadvertisedIsReused verifies that a change that decides nothing about it computes nothing.
func TestUnadvertisedIsReused(t *testing.T) {
	pool := calicotest.Object(t, "IPPool", "pods", map[string]any{"cidr": "10.244.0.0/24"})
	before := compute(t, state.New(at(t, "a", "10.0.0.1/24"), at(t, "b", "10.0.1.2/24"), pool), nil)
	label := at(t, "b", "10.0.1.2/24", calicotest.Label("unused", "x"))
	if after := compute(t, state.New(at(t, "a", "10.0.0.1/24"), label, pool), before); after.unadvertised != before.unadvertised {
		t.Error("a label that nothing selects computes it again")
	}
	router := bgpPeer(t, "router", map[string]any{"peerIP": "192.0.2.1", "asNumber": int64(65001)})
	if after := compute(t, state.New(at(t, "a", "10.0.0.1/24"), label, pool, router), before); len(after.Summary().Addresses.IPv4.Subnets.Unadvertised) > 0 {
		t.Error("a router changes nothing")
	}
}

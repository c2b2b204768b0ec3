package topology

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// TestServicesOfAnExternalPeer verifies that a BGPFilter can pass a part of a range, and what each row has.
func TestServicesOfAnExternalPeer(t *testing.T) {
	s := state.New(
		named(t, "a", 1), named(t, "b", 2, calicotest.Label("node.kubernetes.io/exclude-from-external-load-balancers", "true")),
		bgpPeer(t, "router", map[string]any{"peerIP": "192.0.2.1", "asNumber": int64(65001), "filters": []any{"f"}}),
		calicotest.Object(t, "BGPFilter", "f", map[string]any{"exportV4": []any{map[string]any{"action": "Reject", "cidr": "10.1.0.0/25", "matchOperator": "In"}}}),
		calicotest.Object(t, "BGPConfiguration", calico.Default, map[string]any{
			"serviceLoadBalancerIPs": []any{map[string]any{"cidr": "10.1.0.0/24"}}, "serviceLoadBalancerAggregation": "Disabled",
			"prefixAdvertisements": []any{map[string]any{"cidr": "10.1.0.0/24", "communities": []any{"64512:9"}}},
		}),
	)
	q, err := NewRouteQuery(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	table, err := q.Peer(t.Context(), netip.MustParseAddr("192.0.2.1"))
	if err != nil {
		t.Fatal(err)
	}
	got := table.Services[0]
	if text := fmt.Sprint(got.Nodes.names, got.Partial.names, got.Others.names); text != "[] [a] [b]" {
		t.Errorf("got nodes %s, want [] [a] [b]", text)
	}
	if len(got.Routes) != 1 || len(got.Dropped) != 2 {
		t.Fatalf("got routes %+v and dropped ones %+v, want those of a, dropped by a and b", got.Routes, got.Dropped)
	}
	r := got.Routes[0]
	text := fmt.Sprint(r.Prefixes, r.Origins.names, r.NextHop.Addresses, *r.ASPath[0], r.Communities)
	if want := "[{ 10.1.0.0/24 [10.1.0.0/25] 32}] [a] [10.0.0.1] 64512 [64512:9]"; text != want {
		t.Errorf("got route %s, want %s", text, want)
	}
	for _, d := range got.Dropped {
		text := fmt.Sprintf("%v %v %s %s", d.Prefixes, d.Origins.names, d.BGPFilter, d.Field)
		if want := "[{ 10.1.0.0/25 [] 32}] [a] f spec.exportV4[0]"; text != want {
			t.Errorf("got dropped %s, want %s", text, want)
		}
	}
}

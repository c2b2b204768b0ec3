package topology

import (
	"maps"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// serviceTrap is a state and its IPv4 ranges of addresses of Services.
type serviceTrap struct {
	objects []calico.Object
	ranges  string
}

// TestServiceRanges verifies which nodes and sessions may advertise ranges, also in the naive model.
func TestServiceRanges(t *testing.T) {
	for name, c := range serviceTraps(t) {
		t.Run(name, func(t *testing.T) {
			s := state.New(c.objects...)
			if got := serviceRangesOf(compute(t, s, nil).Summary().ServiceRanges.IPv4); got != c.ranges {
				t.Errorf("got %s, want %s\nstate:\n%s", got, c.ranges, show(s))
			}
			if got := newNaive(s).serviceRanges(calico.IPv4); got != c.ranges {
				t.Errorf("the naive model has %s, want %s\nstate:\n%s", got, c.ranges, show(s))
			}
		})
	}
}

func serviceTraps(t *testing.T) map[string]serviceTrap {
	t.Helper()
	excluded := calicotest.Label("node.kubernetes.io/exclude-from-external-load-balancers", "true")
	edge, reflector := calicotest.Label("edge", ""), calicotest.BGP("routeReflectorClusterID", "244.0.0.1")
	ranges := func(cidrs ...string) []any {
		var out []any
		for _, cidr := range cidrs {
			out = append(out, map[string]any{"cidr": cidr})
		}
		return out
	}
	router := func(more ...any) calico.Object {
		spec := map[string]any{"nodeSelector": "has(edge)", "peerIP": "192.0.2.1", "asNumber": int64(65001)}
		if len(more) > 0 {
			spec["filters"] = more
		}
		return bgpPeer(t, "router", spec)
	}
	services := func(field string, cidrs ...string) calico.Object {
		return configuration(t, map[string]any{field: ranges(cidrs...)})
	}
	filter := func(rules ...any) calico.Object {
		return calicotest.Object(t, "BGPFilter", "f", map[string]any{"exportV4": rules})
	}
	rule := func(action string, more map[string]any) map[string]any {
		out := map[string]any{"action": action}
		maps.Copy(out, more)
		return out
	}
	reflected := func(spec map[string]any, version string) []calico.Object {
		spec["nodeToNodeMeshEnabled"] = false
		return []calico.Object{
			named(t, "a", 1), named(t, "r", 2, edge, reflector, excluded), joins(t, "a", "r", nil), router(), configuration(t, spec),
			calicotest.ClusterInformation(t, version),
		}
	}
	pool := func(disabled bool) calico.Object {
		return calicotest.Object(t, "IPPool", "pods", map[string]any{"cidr": "10.96.0.0/12", "disableBGPExport": disabled})
	}
	return map[string]serviceTrap{
		"nodes with a session advertise the range": {
			[]calico.Object{named(t, "a", 1, edge), named(t, "b", 2, edge), named(t, "c", 3), router(), services("serviceClusterIPs", "10.96.0.0/12")},
			"[serviceClusterIPs 10.96.0.0/12: 3 nodes, 2 sessions; ]",
		},
		"an excluded node passes no cluster IPs on": {
			[]calico.Object{named(t, "a", 1, edge, excluded), named(t, "b", 2), router(), services("serviceClusterIPs", "10.96.0.0/12")},
			"[serviceClusterIPs 10.96.0.0/12: 1 nodes, 0 sessions; ]",
		},
		"an excluded node passes them on if they are in an IPPool": {
			[]calico.Object{named(t, "a", 1, edge, excluded), named(t, "b", 2), router(), services("serviceClusterIPs", "10.96.0.0/12"), pool(false)},
			"[serviceClusterIPs 10.96.0.0/12: 1 nodes, 1 sessions, pools [{pods 10.96.0.0/12}]; ]",
		},
		"no node exports what is in an IPPool that Calico does not export": {
			[]calico.Object{named(t, "a", 1, edge), router(), services("serviceClusterIPs", "10.96.0.0/12"), pool(true)},
			"[serviceClusterIPs 10.96.0.0/12: 1 nodes, 0 sessions, pools [{pods 10.96.0.0/12}]; ]",
		},
		"a range takes the blocks of an IPPool that are inside it": {
			[]calico.Object{named(t, "a", 1, edge), router(), services("serviceClusterIPs", "10.96.0.0/13", "10.0.0.0/8", "10.96.0.0/27"), pool(false)},
			"[serviceClusterIPs 10.0.0.0/8: 1 nodes, 1 sessions, pools [{pods 10.96.0.0/12}];  " +
				"serviceClusterIPs 10.96.0.0/13: 1 nodes, 1 sessions, pools [{pods 10.96.0.0/13}];  serviceClusterIPs 10.96.0.0/27: 1 nodes, 1 sessions; ]",
		},
		"single addresses take none": {
			[]calico.Object{
				named(t, "a", 1, edge), router(), pool(false),
				configuration(t, map[string]any{"serviceLoadBalancerIPs": ranges("10.96.0.0/26"), "serviceLoadBalancerAggregation": "Disabled"}),
			},
			"[serviceLoadBalancerIPs 10.96.0.0/26: 1 nodes, 1 sessions; ]",
		},
		"another value of the label excludes no node": {
			[]calico.Object{
				named(t, "a", 1, edge, calicotest.Label("node.kubernetes.io/exclude-from-external-load-balancers", "false")), router(),
				services("serviceClusterIPs", "10.96.0.0/12"),
			},
			"[serviceClusterIPs 10.96.0.0/12: 1 nodes, 1 sessions; ]",
		},
		"an excluded route reflector passes load balancer IPs on": {
			reflected(map[string]any{"serviceLoadBalancerIPs": ranges("10.1.0.0/24"), "serviceExternalIPs": ranges("10.2.0.0/24")}, "v3.32.1"),
			"[serviceExternalIPs 10.2.0.0/24: 1 nodes, 0 sessions;  serviceLoadBalancerIPs 10.1.0.0/24: 1 nodes, 1 sessions; ]",
		},
		"and external IPs since v3.33": {
			reflected(map[string]any{"serviceClusterIPs": ranges("10.96.0.0/12"), "serviceExternalIPs": ranges("10.2.0.0/24")}, "v3.33.0"),
			"[serviceClusterIPs 10.96.0.0/12: 1 nodes, 0 sessions;  serviceExternalIPs 10.2.0.0/24: 1 nodes, 1 sessions; ]",
		},
		"a BGPFilter rejects the range": {
			[]calico.Object{
				named(t, "a", 1, edge), router("f"), services("serviceClusterIPs", "10.96.0.0/12", "10.200.0.0/16"),
				filter(rule("Reject", map[string]any{"cidr": "10.96.0.0/12", "matchOperator": "Equal"})),
			},
			"[serviceClusterIPs 10.200.0.0/16: 1 nodes, 1 sessions;  serviceClusterIPs 10.96.0.0/12: 1 nodes, 0 sessions; ]",
		},
		"a BGPFilter for learned routes does not match own ones": {
			[]calico.Object{
				named(t, "a", 1, edge), router("f"), services("serviceClusterIPs", "10.96.0.0/12"),
				filter(rule("Reject", map[string]any{"source": "RemotePeers"})),
			},
			"[serviceClusterIPs 10.96.0.0/12: 1 nodes, 1 sessions; ]",
		},
		"a BGPFilter accepts what an excluded node has learned": {
			[]calico.Object{
				named(t, "a", 1, edge, excluded), named(t, "b", 2), router("f"), services("serviceClusterIPs", "10.96.0.0/12"),
				filter(rule("Accept", map[string]any{"source": "RemotePeers"})),
			},
			"[serviceClusterIPs 10.96.0.0/12: 1 nodes, 1 sessions; ]",
		},
		"a BGPFilter that rejects a part of single addresses": {
			[]calico.Object{
				named(t, "a", 1, edge), router("f"),
				configuration(t, map[string]any{"serviceLoadBalancerIPs": ranges("10.1.0.0/28"), "serviceLoadBalancerAggregation": "Disabled"}),
				filter(rule("Reject", map[string]any{"cidr": "10.1.0.8/30", "matchOperator": "In"})),
			},
			"[serviceLoadBalancerIPs 10.1.0.0/28: 1 nodes, 0 sessions, 1 carry a part, 4 addresses on none; ]",
		},
		"the same before v3.31, which aggregates": {
			[]calico.Object{
				named(t, "a", 1, edge), router("f"), calicotest.ClusterInformation(t, "v3.30.1"),
				configuration(t, map[string]any{"serviceLoadBalancerIPs": ranges("10.1.0.0/28"), "serviceLoadBalancerAggregation": "Disabled"}),
				filter(rule("Reject", map[string]any{"cidr": "10.1.0.8/30", "matchOperator": "In"})),
			},
			"[serviceLoadBalancerIPs 10.1.0.0/28: 1 nodes, 1 sessions; ]",
		},
		"a range inside the network of the nodes takes their next hops": {
			[]calico.Object{at(t, "a", "10.0.0.1/24", edge), at(t, "b", "10.0.0.2/24"), at(t, "c", "10.0.0.20/24"), router(), services("serviceClusterIPs", "10.0.0.0/29")},
			"[serviceClusterIPs 10.0.0.0/29: 3 nodes, 1 sessions, 2 next hops [a b]; ]",
		},
		"a range around the network of the nodes, and one that is the network, do not": {
			[]calico.Object{at(t, "a", "10.0.0.1/24", edge), at(t, "b", "10.0.0.2/24"), router(), services("serviceClusterIPs", "10.0.0.0/16", "10.0.0.0/24")},
			"[serviceClusterIPs 10.0.0.0/16: 2 nodes, 1 sessions;  serviceClusterIPs 10.0.0.0/24: 2 nodes, 1 sessions; ]",
		},
		"a range around two networks takes the next hops between them": {
			[]calico.Object{at(t, "a", "10.0.0.1/24", edge), at(t, "b", "10.0.1.2/24"), router(), services("serviceClusterIPs", "10.0.0.0/16")},
			"[serviceClusterIPs 10.0.0.0/16: 2 nodes, 1 sessions, 2 next hops [a b]; ]",
		},
		"an excluded node learns the range": {
			[]calico.Object{at(t, "a", "10.0.0.1/24", edge, excluded), at(t, "b", "10.0.0.2/24"), router(), services("serviceClusterIPs", "10.0.0.0/29")},
			"[serviceClusterIPs 10.0.0.0/29: 1 nodes, 0 sessions, 2 next hops [a b]; ]",
		},
		"a list with an address without a mask is not used": {
			[]calico.Object{named(t, "a", 1, edge), router(), services("serviceClusterIPs", "10.96.0.0/12", "10.96.0.1")}, "[]",
		},
	}
}

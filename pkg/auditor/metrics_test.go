package auditor

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/bgpguard/bgpguard/pkg/audit"
	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/validate"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// scraped returns the values of the gauges of the last audit by "name{label=value,...}".
func scraped(t *testing.T) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(lastFound)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			out[family.GetName()+"{"+strings.Join(labels, ",")+"}"] = m.GetGauge().GetValue()
		}
	}
	return out
}

// clusterOf returns a state of nodes. The first few are route reflectors, and all nodes have a
// BGPPeer for each of them.
func clusterOf(t *testing.T, nodes, reflectors int, mesh bool, further ...calico.Object) *state.Snapshot {
	t.Helper()
	objects := append([]calico.Object{calicotest.Object(t, "BGPConfiguration", "default", map[string]any{"nodeToNodeMeshEnabled": mesh})}, further...)
	for i := range nodes {
		bgp := map[string]any{"ipv4Address": fmt.Sprintf("10.0.%d.%d/8", i>>8, i&255)}
		if i < reflectors {
			bgp["routeReflectorClusterID"] = "244.0.0.1"
			objects = append(objects, calicotest.Object(t, "BGPPeer", fmt.Sprint("rr-", i), map[string]any{"peerIP": fmt.Sprint("10.0.0.", i), "asNumber": int64(64512)}))
		}
		objects = append(objects, calicotest.Object(t, "Node", fmt.Sprintf("n%03d", i), map[string]any{"bgp": bgp}))
	}
	return state.New(objects...)
}

func libraryPolicies(t *testing.T) *policy.Set {
	t.Helper()
	docs, err := policy.Load([]string{"../../config/policies"})
	if err != nil {
		t.Fatal(err)
	}
	set, err := policy.Compile(docs)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func statusOf(t *testing.T, node string, seconds int, peers ...string) calico.Object {
	t.Helper()
	var rows []any
	for _, p := range peers {
		rows = append(rows, map[string]any{"peerIP": p, "type": "NodeMesh", "state": "Established", "since": "11:00:05"})
	}
	return calicotest.Object(t, calico.KindCalicoNodeStatus, node, calicotest.Spec{"node": node, "classes": []any{"Agent", "BGP"}, "updatePeriodSeconds": int64(10)}, calicotest.Status(map[string]any{
		"lastUpdated": "2026-03-14T11:30:05Z",
		"agent":       map[string]any{"birdV4": map[string]any{"state": "NotReady", "lastBootTime": fmt.Sprintf("2026-03-14 10:59:%02d", seconds)}},
		"bgp":         map[string]any{"numberEstablishedV4": int64(len(peers)), "peersV4": rows},
	}))
}

func TestGaugesSayWhatTheLastAuditFound(t *testing.T) {
	t.Cleanup(clearGauges)
	now := time.Date(2026, 3, 14, 11, 31, 0, 0, time.UTC)
	set := libraryPolicies(t)
	for name, c := range map[string]struct {
		state   *state.Snapshot
		failing bool
		want    map[string]float64
		absent  []string
	}{
		"a large mesh": {clusterOf(t, 110, 0, true), false, map[string]float64{
			"bgpguard_violations{action=Deny,policy=mesh-node-limit,severity=high}":  1,
			"bgpguard_violations{action=Deny,policy=bird-accepts,severity=critical}": 0,
			"bgpguard_violations_drift{policy=mesh-node-limit}":                      1,
			"bgpguard_violations_drift{policy=bird-accepts}":                         0,
			"bgpguard_audit_policies_failed{}":                                       0,
			"bgpguard_audit_last_success_timestamp_seconds{}":                        float64(now.Unix()),
			"bgpguard_mesh_enabled{}":                                                1,
			"bgpguard_nodes{role=node}":                                              110,
			"bgpguard_nodes{role=route-reflector}":                                   0,
			"bgpguard_predicted_sessions{family=IPv4}":                               110 * 109 / 2,
			"bgpguard_predicted_sessions{family=IPv6}":                               0,
			"bgpguard_node_half_sessions_max{family=IPv4}":                           109,
			"bgpguard_partitions{family=IPv4}":                                       1,
			"bgpguard_nodes_short_of_reflectors{family=IPv4}":                        0,
			"bgpguard_pod_traffic_needs_bgp{family=IPv4}":                            1,
		}, []string{"bgpguard_violations{action=Deny,policy=change-window,severity=high}", "bgpguard_nodes_without_status{}", "bgpguard_bgp_success_ratio{family=IPv4}"}},
		"one reflector is too few": {clusterOf(t, 10, 1, false), false, map[string]float64{
			"bgpguard_mesh_enabled{}":                         0,
			"bgpguard_nodes{role=node}":                       9,
			"bgpguard_nodes{role=route-reflector}":            1,
			"bgpguard_nodes_short_of_reflectors{family=IPv4}": 9,
			"bgpguard_nodes_isolated{family=IPv4}":            0,
		}, nil},
		"without mesh and reflectors all are isolated": {clusterOf(t, 3, 0, false, calicotest.Object(t, "BGPPeer", "out", map[string]any{"peerIP": "192.0.2.1", "asNumber": int64(1), "node": "n000"})), false,
			map[string]float64{
				"bgpguard_partitions{family=IPv4}":                       3,
				"bgpguard_nodes_isolated{family=IPv4}":                   3,
				"bgpguard_predicted_external_half_sessions{family=IPv4}": 1,
			}, nil},
		"a policy that failed": {clusterOf(t, 110, 0, true), true, map[string]float64{"bgpguard_audit_policies_failed{}": 1},
			[]string{"bgpguard_violations{action=Deny,policy=mesh-node-limit,severity=high}", "bgpguard_violations_drift{policy=mesh-node-limit}"}},
		"nodes that report": {clusterOf(t, 3, 0, true, statusOf(t, "n000", 55, "10.0.0.1", "10.0.0.2"), statusOf(t, "n001", 58, "10.0.0.0")), false, map[string]float64{
			"bgpguard_nodes_with_status{}":                     2,
			"bgpguard_nodes_without_status{}":                  1,
			"bgpguard_bgp_sessions_expected{family=IPv4}":      4,
			"bgpguard_bgp_sessions_established{family=IPv4}":   3,
			"bgpguard_bgp_success_ratio{family=IPv4}":          .75,
			"bgpguard_bird_not_ready{family=IPv4}":             2,
			"bgpguard_bgp_sessions_unexpected{}":               0,
			"bgpguard_restart_convergence_seconds{quantile=1}": 10,
		}, []string{"bgpguard_bgp_success_ratio{family=IPv6}"}},
	} {
		t.Run(name, func(t *testing.T) {
			engine := validate.NewEngine(set)
			a := audited(t, engine, c.state, audit.Options{Time: now})
			for i := range a.Violations {
				a.Violations[i].Origin = audit.PastAdmission
			}
			if c.failing {
				a.Failures = []audit.Failure{{Policy: "mesh-node-limit", Severity: "high", Action: violation.Deny, Message: "m"}}
			}
			setGauges(a, time.Millisecond)
			got := scraped(t)
			for sample, want := range c.want {
				if value, ok := got[sample]; !ok || value != want {
					t.Errorf("%s is %v (%t), want %v", sample, value, ok, want)
				}
			}
			for _, sample := range c.absent {
				if value, ok := got[sample]; ok {
					t.Errorf("%s is %v, and must be absent", sample, value)
				}
			}
		})
	}
	clearGauges()
	if left := scraped(t); len(left) > 0 {
		t.Errorf("a replica that does not audit has %v", left)
	}
}

// audited audits s with the policies of engine.
func audited(t testing.TB, engine *validate.Engine, s *state.Snapshot, o audit.Options) *audit.Audit {
	t.Helper()
	a, err := audit.Run(t.Context(), engine, s, o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestMetricsAreNamedAsPrometheusWantsThem(t *testing.T) {
	t.Cleanup(clearGauges)
	engine := validate.NewEngine(libraryPolicies(t))
	setGauges(audited(t, engine, clusterOf(t, 3, 0, true, statusOf(t, "n000", 55, "10.0.0.1")), audit.Options{Time: time.Now()}), time.Millisecond)
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(Collectors()...)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			for _, l := range m.GetLabel() {
				if known := []string{"policy", "severity", "action", "origin", "family", "role", "end", "quantile"}; !slices.Contains(known, l.GetName()) {
					t.Errorf("%s has label %s: is the number of its values bounded?", family.GetName(), l.GetName())
				}
			}
		}
	}
}

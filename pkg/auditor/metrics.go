package auditor

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bgpguard/bgpguard/pkg/audit"
	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/health"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/topology"
)

// enoughReflectors is the least number of route reflectors that a node should have sessions
// to. With only one, its loss isolates the node.
const enoughReflectors = 2

// The roles of nodes.
const (
	roleReflector  = "route-reflector"
	roleNode       = "node"
	roleWithoutBGP = "without-bgp"
)

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("bgpguard_"+name, help, labels, nil)
}

// The gauges of the last audit. No label holds the name of an object other than a BGPPolicy.
var (
	violationsNow = describe("violations", "Violations in the last audit, 0 for a policy without any. Absent for policies that could not be evaluated.", "policy", "severity", "action")
	driftNow      = describe("violations_drift", "Violations in the last audit that are drift: the policy denies them, but they exist. 0 for a policy without any.", "policy")
	failuresNow   = describe("audit_policies_failed", "Policies that could not be evaluated in the last audit.")
	lastSuccess   = describe("audit_last_success_timestamp_seconds", "Unix time of the last audit.")

	nodesNow    = describe("nodes", "Nodes by role: route-reflector, node (any other node with a BGP address), without-bgp.", "role")
	notReadyNow = describe("nodes_not_ready", "Nodes with a BGP address that are not Ready.")
	meshNow     = describe("mesh_enabled", "1 if the node-to-node mesh is on, 0 if it is off.")

	sessionsNow = describe("predicted_sessions", "BGP sessions between nodes that Calico configures.", "family")
	externalNow = describe("predicted_external_half_sessions", "Half-sessions to external peers.", "family")
	brokenNow   = describe("broken_half_sessions", "Half-sessions whose session cannot come up.", "family")
	mostNow     = describe("node_half_sessions_max", "Half-sessions of the node that has the most.", "family")

	needsBGPNow   = describe("pod_traffic_needs_bgp", "1 if pod traffic between nodes needs routes from BGP, 0 if it does not.", "family")
	partitionsNow = describe("partitions", "Partitions: sets of nodes that have routes to each other and to no others. 1 if all nodes have routes to all.", "family")
	isolatedNow   = describe("nodes_isolated", "Isolated nodes: nodes without routes to or from any other node.", "family")
	frozenNow     = describe("nodes_frozen", "Nodes whose BIRD rejects its configuration and keeps the previous one.", "family")
	shortNow      = describe("nodes_short_of_reflectors", "Nodes with sessions to fewer than 2 route reflectors, 0 if the node-to-node mesh is on.", "family")

	startNow   = describe("predicted_start_delay_seconds", "Longest time that a node is without routes after a start of calico-node, given its timers.")
	waitingNow = describe("nodes_waiting_at_start", "Nodes that wait for the whole graceful restart time at every start, because the session of one of their half-sessions cannot come up.")
	lossNow    = describe("predicted_reflector_loss_seconds", "Time until routes through a single route reflector are lost, by how it fails: crash, stop or silence.", "end")
)

// The gauges of what nodes report in CalicoNodeStatuses. They are absent if no CalicoNodeStatus
// exists.
var (
	reportingNow   = describe("nodes_with_status", "Nodes with a BGP address whose CalicoNodeStatus lists their sessions.")
	unreportedNow  = describe("nodes_without_status", "Nodes with a BGP address whose sessions are unknown: they have no CalicoNodeStatus, or it is stale.")
	expectedNow    = describe("bgp_sessions_expected", "Half-sessions of the reporting nodes that should be established.", "family")
	establishedNow = describe("bgp_sessions_established", "Half-sessions of the reporting nodes that should be established and are.", "family")
	ratioNow       = describe("bgp_success_ratio", "Ratio of established to expected half-sessions, 0 to 1. Absent if none is expected.", "family")
	unexpectedNow  = describe("bgp_sessions_unexpected", "Half-sessions that nodes report and Calico does not configure.")
	birdNow        = describe("bird_not_ready", "Nodes whose BIRD reports that it is not ready.", "family")
	restartNow     = describe("restart_convergence_seconds", "Time until the sessions of a node came up after the last start of BIRD, as nodes report it: quantile 0.5, and 1 for the slowest.", "quantile")
)

var auditDuration = prometheus.NewHistogram(prometheus.HistogramOpts{
	Name: "bgpguard_audit_duration_seconds",
	Help: "Duration of an audit, without the delivery of its results.",
	// From an audit of a cached state to the time limit.
	Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
})

// gauges are the results of the last audit. They are set at once, so that a scrape shows
// one audit. A replica that is not the leader has no gauges: zeros would mean that there
// are no violations.
type gauges struct {
	latest atomic.Pointer[[]prometheus.Metric]
}

var lastFound = &gauges{}

// Describe implements prometheus.Collector.
func (*gauges) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		violationsNow, driftNow, failuresNow, lastSuccess, nodesNow, notReadyNow, meshNow, sessionsNow, externalNow, brokenNow, mostNow, needsBGPNow,
		partitionsNow, isolatedNow, frozenNow, shortNow, startNow, waitingNow, lossNow, reportingNow, unreportedNow, expectedNow, establishedNow, ratioNow,
		unexpectedNow, birdNow, restartNow,
	} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (g *gauges) Collect(to chan<- prometheus.Metric) {
	if latest := g.latest.Load(); latest != nil {
		for _, m := range *latest {
			to <- m
		}
	}
}

// Collectors returns the metrics of this package. All auditors of the process share them.
func Collectors() []prometheus.Collector { return append(counters(), auditDuration, lastFound) }

// setGauges sets the gauges to the results of an audit, and records its duration.
func setGauges(a *audit.Audit, took time.Duration) {
	auditDuration.Observe(took.Seconds())
	var list measured
	list.violations(a)
	list.add(failuresNow, len(a.Failures))
	list.value(lastSuccess, float64(a.Time.UnixMilli())/1000)
	list.topology(a.Summary)
	list.health(a.Health)
	lastFound.latest.Store((*[]prometheus.Metric)(&list))
}

// clearGauges removes the gauges.
func clearGauges() { lastFound.latest.Store(nil) }

// measured are metrics with their values.
type measured []prometheus.Metric

func (m *measured) value(d *prometheus.Desc, value float64, labels ...string) {
	*m = append(*m, prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...))
}

func (m *measured) add(d *prometheus.Desc, value int, labels ...string) {
	m.value(d, float64(value), labels...)
}

func (m *measured) flag(d *prometheus.Desc, on bool, labels ...string) {
	value := 0.0
	if on {
		value = 1
	}
	m.value(d, value, labels...)
}

func (m *measured) violations(a *audit.Audit) {
	failed, drift := map[string]bool{}, map[string]int{}
	for _, f := range a.Failures {
		failed[f.Policy] = true
	}
	for i := range a.Violations {
		if v := &a.Violations[i]; v.Origin.Drift() {
			drift[v.Policy]++
		}
	}
	for i := range a.Policies {
		p := &a.Policies[i]
		if p.Judges != policy.JudgesState || failed[p.Name] {
			continue
		}
		m.add(violationsNow, p.Violations, p.Name, p.Severity, string(p.Action))
		m.add(driftNow, drift[p.Name], p.Name)
	}
}

func (m *measured) topology(s *topology.Summary) {
	m.add(nodesNow, s.Nodes.Reflectors, roleReflector)
	m.add(nodesNow, s.Nodes.BGP-s.Nodes.Reflectors, roleNode)
	m.add(nodesNow, s.Nodes.Total-s.Nodes.BGP, roleWithoutBGP)
	m.add(notReadyNow, s.Nodes.NotReady.Nodes)
	m.flag(meshNow, s.Mesh.Enabled)
	for _, f := range calico.Families {
		family, sessions, reach := f.String(), s.Sessions.In(f), s.Routes.In(f).WithTransit
		m.add(sessionsNow, sessions.Total, family)
		m.add(externalNow, sessions.External, family)
		m.add(brokenNow, sessions.Broken, family)
		m.add(mostNow, sessions.Most, family)
		m.add(frozenNow, sessions.Frozen.Nodes, family)
		m.flag(needsBGPNow, s.PodTraffic.In(f).NeedsBGP, family)
		m.add(partitionsNow, reach.Partitions, family)
		m.add(isolatedNow, reach.Isolated.Nodes, family)
		m.add(shortNow, short(s, f), family)
	}
	m.add(startNow, s.Convergence.Start.Seconds)
	m.add(waitingNow, s.Convergence.Waiting.Nodes)
	m.add(lossNow, s.Convergence.ReflectorCrash.Seconds, "crash")
	m.add(lossNow, s.Convergence.ReflectorStop.Seconds, "stop")
	m.add(lossNow, s.Convergence.ReflectorSilence.Seconds, "silence")
}

// short counts the nodes with sessions to fewer than enoughReflectors route reflectors.
func short(s *topology.Summary, f calico.Family) int {
	nodes := 0
	for _, level := range s.Reflectors.In(f).Levels {
		if !s.Mesh.Enabled && level.Reflectors < enoughReflectors {
			nodes += level.Nodes
		}
	}
	return nodes
}

// health adds what the nodes report, nothing if there are no CalicoNodeStatuses.
func (m *measured) health(h *health.Health) {
	if !h.Known || h.Missing.Nodes == h.Nodes {
		return
	}
	m.add(reportingNow, h.Reporting)
	m.add(unreportedNow, h.Nodes-h.Reporting)
	m.add(unexpectedNow, h.Unexpected.Total)
	for _, f := range calico.Families {
		family, sessions := f.String(), h.Sessions.In(f)
		m.add(expectedNow, sessions.Predicted, family)
		m.add(establishedNow, sessions.Established, family)
		if sessions.SuccessRate != nil {
			m.value(ratioNow, *sessions.SuccessRate, family)
		}
		m.add(birdNow, h.Daemons.In(f).NotReady, family)
	}
	if h.Restarts.SlowestSeconds != nil {
		m.add(restartNow, *h.Restarts.SlowestSeconds, "1")
	}
	if h.Restarts.MedianSeconds != nil {
		m.add(restartNow, *h.Restarts.MedianSeconds, "0.5")
	}
}

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

// enoughReflectors is how many route reflectors a node is to have sessions to: with one
// alone, its loss cuts the node off.
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

// What the last audit found. No label holds the name of an object but a BGPPolicy's.
var (
	violationsNow = describe("violations", "Violations that the last audit found, 0 for policies without. Those that could not judge have none.", "policy", "severity", "action")
	driftNow      = describe("violations_drift", "Violations of the last audit that came past admission, or may have, 0 for policies without.", "policy")
	failuresNow   = describe("audit_policies_failed", "Policies that could not judge the state in the last audit.")
	lastSuccess   = describe("audit_last_success_timestamp_seconds", "Unix time of the last audit.")

	nodesNow    = describe("nodes", "Nodes by what they are to BGP: route-reflector, node (any other with a BGP address), without-bgp.", "role")
	notReadyNow = describe("nodes_not_ready", "Nodes with a BGP address that are not ready.")
	meshNow     = describe("mesh_enabled", "1 where the node-to-node mesh is on, 0 where it is off.")

	sessionsNow = describe("predicted_sessions", "BGP sessions between nodes that Calico's objects give.", "family")
	externalNow = describe("predicted_external_half_sessions", "Half-sessions to peers that are no nodes of the cluster.", "family")
	brokenNow   = describe("broken_half_sessions", "Half-sessions on which no session can come up.", "family")
	mostNow     = describe("node_half_sessions_max", "Half-sessions of the node that has most.", "family")

	needsBGPNow   = describe("pod_traffic_needs_bgp", "1 where pod traffic between nodes needs routes by BGP, 0 where it does not.", "family")
	partitionsNow = describe("partitions", "Groups of nodes between which there are no routes both ways, 1 where all have routes to all.", "family")
	isolatedNow   = describe("nodes_isolated", "Nodes that have no routes to others, nor others to them.", "family")
	frozenNow     = describe("nodes_frozen", "Nodes whose BIRD refuses its configuration and so keeps an old one.", "family")
	shortNow      = describe("nodes_short_of_reflectors", "Nodes with sessions to fewer than 2 route reflectors, 0 where the node-to-node mesh is on.", "family")

	startNow   = describe("predicted_start_delay_seconds", "How long a node is without routes after a start of calico-node, at the worst, as its timers have it.")
	waitingNow = describe("nodes_waiting_at_start", "Nodes that wait the whole graceful restart wait at every start, because a half-session of theirs cannot come up.")
	lossNow    = describe("predicted_reflector_loss_seconds", "After what time routes by a single route reflector are lost, by how it ends: crash, stop or silence.", "end")
)

// What the nodes report, in CalicoNodeStatuses; only where they are made.
var (
	reportingNow   = describe("nodes_with_status", "Nodes with a BGP address whose CalicoNodeStatus tells their sessions.")
	unreportedNow  = describe("nodes_without_status", "Nodes with a BGP address of which no CalicoNodeStatus tells the sessions: there is none, or it is too old.")
	expectedNow    = describe("bgp_sessions_expected", "Half-sessions of the nodes that report which are to be established.", "family")
	establishedNow = describe("bgp_sessions_established", "Those of them that are established.", "family")
	ratioNow       = describe("bgp_success_ratio", "Established to expected half-sessions, 0 to 1; none where none is expected.", "family")
	unexpectedNow  = describe("bgp_sessions_unexpected", "Half-sessions that nodes report and that Calico's objects do not give.")
	birdNow        = describe("bird_not_ready", "Nodes that report that their BIRD is not ready.", "family")
	restartNow     = describe("restart_convergence_seconds", "How long the sessions of nodes took to come up after the last start of BIRD, as they report: quantile 0.5, and 1 for the slowest.", "quantile")
)

var auditDuration = prometheus.NewHistogram(prometheus.HistogramOpts{
	Name: "bgpguard_audit_duration_seconds",
	Help: "Time that an audit takes, without what is written after it.",
	// From a state that requests were judged by, up to the limit.
	Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
})

// gauges are what the last audit found. They are set all at once, so that what is
// scraped is of one audit, and there are none on a replica that does not audit: one that
// is not elected any more knows nothing, rather than that all is well.
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

// Collectors returns the metrics of this package. They are the process's and not an
// auditor's.
func Collectors() []prometheus.Collector { return append(counters(), auditDuration, lastFound) }

// setGauges takes over what an audit found and how long it took.
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

// clearGauges forgets what was found last.
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

// short counts the nodes with sessions to too few route reflectors.
func short(s *topology.Summary, f calico.Family) int {
	nodes := 0
	for _, level := range s.Reflectors.In(f).Levels {
		if !s.Mesh.Enabled && level.Reflectors < enoughReflectors {
			nodes += level.Nodes
		}
	}
	return nodes
}

// health adds what the nodes report; nothing where they are not asked to.
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

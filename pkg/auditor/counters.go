package auditor

import "github.com/prometheus/client_golang/prometheus"

var (
	violationsFound = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "bgpguard_audit_found_total",
		Help: "Violations that audits found and that were not there before, by how they came about.",
	}, []string{"policy", "origin"})
	violationsResolved = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "bgpguard_audit_resolved_total",
		Help: "Violations that the audit before had found and that are gone.",
	}, []string{"policy"})
	auditErrors = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "bgpguard_audit_errors_total",
		Help: "Audits that failed, or of which not all could be written or sent.",
	})
	exemptionsDropped = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "bgpguard_exemption_records_dropped_total",
		Help: "Changes of exempt users of which no Event could be written, so that an audit cannot tell who made them.",
	})
)

// counters are the metrics that count, beside the gauges.
func counters() []prometheus.Collector {
	return []prometheus.Collector{violationsFound, violationsResolved, auditErrors, exemptionsDropped}
}

func countNotices(notices []notice) {
	for i := range notices {
		if n := &notices[i]; n.Reason == reasonResolved {
			violationsResolved.WithLabelValues(n.Policy).Inc()
		} else {
			violationsFound.WithLabelValues(n.Policy, string(n.origin)).Inc()
		}
	}
}

package auditor

import "github.com/prometheus/client_golang/prometheus"

var (
	violationsFound = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "bgpguard_audit_found_total",
		Help: "New violations that audits found, by origin.",
	}, []string{"policy", "origin"})
	violationsResolved = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "bgpguard_audit_resolved_total",
		Help: "Violations that an audit found resolved.",
	}, []string{"policy"})
	auditErrors = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "bgpguard_audit_errors_total",
		Help: "Audits that failed or whose results could not all be delivered.",
	})
	exemptionsDropped = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "bgpguard_exemption_records_dropped_total",
		Help: "Changes by exempt users for which no Event could be written. An audit cannot name the user of such a change.",
	})
)

// counters returns the counters of this package.
func counters() []prometheus.Collector {
	return []prometheus.Collector{violationsFound, violationsResolved, auditErrors, exemptionsDropped, configurationDifferences}
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

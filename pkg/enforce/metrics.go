package enforce

import "github.com/prometheus/client_golang/prometheus"

var (
	policiesLoaded = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "bgpguard_policies_loaded",
		Help: "Policies in force.",
	})
	reloadFailures = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "bgpguard_policy_reload_failures_total",
		Help: "Changes of the policies that could not be used, so that the last good ones stayed in force.",
	})
	unusable = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "bgpguard_policy_unusable",
		Help: "1 for each BGPPolicy that cannot be used as it is now; what it was before is enforced, or nothing.",
	}, []string{"policy"})
)

// Collectors returns the metrics of this package. They are the process's and
// not a keeper's.
func Collectors() []prometheus.Collector {
	return []prometheus.Collector{policiesLoaded, reloadFailures, unusable}
}

// countUnusable forgets those that are gone or mended.
func countUnusable(outcomes []Outcome) {
	unusable.Reset()
	for _, o := range outcomes {
		if o.Err != nil {
			unusable.WithLabelValues(o.Name).Set(1)
		}
	}
}

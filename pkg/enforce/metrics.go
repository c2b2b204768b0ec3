package enforce

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	policiesLoaded = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "bgpguard_policies_loaded",
		Help: "Number of policies in force.",
	})
	reloadFailures = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "bgpguard_policy_reload_failures_total",
		Help: "Number of changed policies that were rejected. The last valid version stays in force.",
	})
	unusable = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "bgpguard_policy_unusable",
		Help: "1 for each BGPPolicy whose current version is rejected. Its last valid version, if any, is enforced.",
	}, []string{"policy"})
	libraryReloadFailures = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "bgpguard_library_reload_failures_total",
		Help: "Number of changed policy directories and bundles that were rejected. The library keeps the last valid version.",
	})
)

// Collectors returns the metrics of this package. They belong to the process,
// not to a keeper.
func Collectors() []prometheus.Collector {
	return []prometheus.Collector{policiesLoaded, reloadFailures, unusable, libraryReloadFailures, quarantined}
}

// countUnusable sets the gauge of each rejected BGPPolicy, and deletes those of
// all others.
func countUnusable(outcomes []Outcome) {
	unusable.Reset()
	for _, o := range outcomes {
		if o.Err != nil {
			unusable.WithLabelValues(o.Name).Set(1)
		}
	}
}

// quarantineGauges export which policies of the last outcomes are quarantined.
type quarantineGauges struct{ outcomes atomic.Pointer[[]Outcome] }

var (
	quarantined   = &quarantineGauges{}
	quarantineNow = prometheus.NewDesc("bgpguard_policy_quarantined", "1 for each BGPPolicy that this replica does not enforce because its evaluations keep failing.", []string{"policy"}, nil)
)

// Describe implements prometheus.Collector.
func (*quarantineGauges) Describe(to chan<- *prometheus.Desc) { to <- quarantineNow }

// Collect implements prometheus.Collector.
func (g *quarantineGauges) Collect(to chan<- prometheus.Metric) {
	outcomes := g.outcomes.Load()
	if outcomes == nil {
		return
	}
	for _, o := range *outcomes {
		if o.Policy != nil && o.Policy.Quarantined() != nil {
			to <- prometheus.MustNewConstMetric(quarantineNow, prometheus.GaugeValue, 1, o.Name)
		}
	}
}

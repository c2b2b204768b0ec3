package server

import (
	"errors"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bgpguard/bgpguard/pkg/admission"
	"github.com/bgpguard/bgpguard/pkg/cluster"
)

var (
	policiesLoaded = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "bgpguard_policies_loaded",
		Help: "Policies in force.",
	})
	policyReloadFailures = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "bgpguard_policy_reload_failures_total",
		Help: "Changes of the policies that could not be used, so that the last good ones stayed in force.",
	})
)

// registerMetrics may be called more than once in a process, as tests do.
func registerMetrics(registry prometheus.Registerer) error {
	own := []prometheus.Collector{policiesLoaded, policyReloadFailures}
	for _, c := range slices.Concat(own, admission.Collectors(), cluster.Collectors()) {
		if err := registry.Register(c); err != nil {
			if registered := (prometheus.AlreadyRegisteredError{}); !errors.As(err, &registered) {
				return err
			}
		}
	}
	return nil
}

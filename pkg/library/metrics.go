package library

import "github.com/prometheus/client_golang/prometheus"

var failures = prometheus.NewCounter(prometheus.CounterOpts{
	Name: "bgpguard_library_reload_failures_total",
	Help: "Changes of policy directories and bundles that could not be used, so that the last good ones stayed in the library.",
})

// Collectors returns the package's metrics.
func Collectors() []prometheus.Collector { return []prometheus.Collector{failures} }

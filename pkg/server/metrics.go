package server

import (
	"errors"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bgpguard/bgpguard/certs"
	"github.com/bgpguard/bgpguard/pkg/admission"
	"github.com/bgpguard/bgpguard/pkg/auditor"
	"github.com/bgpguard/bgpguard/pkg/cluster"
	"github.com/bgpguard/bgpguard/pkg/enforce"
	"github.com/bgpguard/bgpguard/pkg/reserve"
)

// Collectors returns all metrics of bgpguard.
func Collectors() []prometheus.Collector {
	return slices.Concat(
		admission.Collectors(), auditor.Collectors(), certs.Collectors(), cluster.Collectors(), enforce.Collectors(),
		reserve.Collectors(), []prometheus.Collector{unauthenticated},
	)
}

// registerMetrics may be called more than once in a process, as tests do.
func registerMetrics(registry prometheus.Registerer) error {
	for _, c := range Collectors() {
		if err := registry.Register(c); err != nil {
			if registered := (prometheus.AlreadyRegisteredError{}); !errors.As(err, &registered) {
				return err
			}
		}
	}
	return nil
}

package auditor

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bgpguard/bgpguard/pkg/audit"
)

// Collectors returns the metrics of this package. They are the process's and not an
// auditor's.
func Collectors() []prometheus.Collector { return counters() }

func setGauges(*audit.Audit, time.Duration) {}

func clearGauges() {}

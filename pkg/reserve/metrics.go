package reserve

import "github.com/prometheus/client_golang/prometheus"

var (
	openReservations = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "bgpguard_open_reservations",
		Help: "Changes that were allowed and whose outcome the watch of this replica has not shown yet.",
	})
	expired = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "bgpguard_expired_reservations_total",
		Help: "Reservations that ended after 35 s because the watch showed no outcome: something else rejected the change, or the watch is late.",
	})
	conflicts = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "bgpguard_reservation_conflicts_total",
		Help: "Changes that were evaluated again because another change was reserved at the same time.",
	})
)

// Collectors returns the metrics of this package. All ledgers of the process share them.
func Collectors() []prometheus.Collector {
	return []prometheus.Collector{openReservations, expired, conflicts}
}

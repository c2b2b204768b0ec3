package cluster

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

var (
	snapshotAge = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "bgpguard_snapshot_age_seconds",
		Help: "Time since the API server was last heard of by the kind that has been silent longest, of those by which something is judged.",
	})
	snapshotObjects = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "bgpguard_snapshot_objects",
		Help: "Objects in the state, by kind.",
	}, []string{"kind"})
	undecodableObjects = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "bgpguard_undecodable_objects",
		Help: "Objects in the cluster that do not parse and are left out of the state, by kind.",
	}, []string{"kind"})
	kindSynced = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "bgpguard_kind_synced",
		Help: "1 where all objects of the kind were read, 0 until then.",
	}, []string{"kind"})
)

// Collectors returns the metrics of this package. They are the process's and
// not a store's.
func Collectors() []prometheus.Collector {
	return []prometheus.Collector{snapshotAge, snapshotObjects, undecodableObjects, kindSynced}
}

func (s *Store) setGauges() {
	s.mu.Lock()
	defer s.mu.Unlock()
	undecodable := map[calico.Kind]int{}
	for id := range s.undecodable {
		undecodable[id.Kind]++
	}
	for _, f := range s.feeds {
		kind, synced, objects := string(f.kind), 0.0, s.counts[f.kind]
		if f.isSynced() {
			synced = 1
		} else if f.extra {
			objects = 0 // They are withheld from the state.
		}
		kindSynced.WithLabelValues(kind).Set(synced)
		snapshotObjects.WithLabelValues(kind).Set(float64(objects))
		undecodableObjects.WithLabelValues(kind).Set(float64(undecodable[f.kind]))
	}
	if len(s.feeds) > 0 {
		snapshotAge.Set(s.age().Seconds())
	}
}

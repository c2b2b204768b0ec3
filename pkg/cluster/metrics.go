package cluster

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

var (
	snapshotAge = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "bgpguard_snapshot_age_seconds",
		Help: "Longest time since the API server last answered for a kind of objects, over all kinds except CalicoNodeStatuses.",
	})
	snapshotStale = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "bgpguard_snapshot_stale",
		Help: "1 if the age of the state exceeds the bound, so that changes cannot be evaluated, else 0.",
	})
	snapshotTooLarge = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "bgpguard_snapshot_too_large",
		Help: "1 if the cluster has more BGPPeers than fit into the memory of this replica, so that changes cannot be evaluated, else 0.",
	})
	maximumBGPPeers = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "bgpguard_bgppeers_limit",
		Help: "Largest number of BGPPeers that fit into the memory of this replica beside the Nodes of the cluster: a further one is denied. 0 without a memory limit.",
	})
	snapshotObjects = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "bgpguard_snapshot_objects",
		Help: "Objects in the state, by kind.",
	}, []string{"kind"})
	undecodableObjects = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "bgpguard_undecodable_objects",
		Help: "Objects in the cluster with a value that does not decode, by kind.",
	}, []string{"kind"})
	snapshotVersion = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "bgpguard_snapshot_version",
		Help: "Newest resourceVersion of an object or deletion that the watch has shown, by kind.",
	}, []string{"kind"})
	kindSynced = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "bgpguard_kind_synced",
		Help: "1 if all objects of the kind have been read, else 0.",
	}, []string{"kind"})
)

// Collectors returns the metrics of this package. A process has one set of them, for one
// store.
func Collectors() []prometheus.Collector {
	return []prometheus.Collector{snapshotAge, snapshotStale, snapshotTooLarge, maximumBGPPeers, snapshotObjects, undecodableObjects, snapshotVersion, kindSynced}
}

// setShown sets the gauges of a kind after an event, before the next setGauges: who makes
// changes can wait until the state shows them. version is that of the event, as text.
func (s *Store) setShown(kind calico.Kind, version string) {
	n, _ := strconv.ParseFloat(version, 64) // "" for a deletion that the watch missed.
	s.mu.Lock()
	defer s.mu.Unlock()
	undecodable := 0
	for id := range s.undecodable {
		if id.Kind == kind {
			undecodable++
		}
	}
	s.shown[kind] = max(s.shown[kind], n)
	snapshotObjects.WithLabelValues(string(kind)).Set(float64(s.counts[kind]))
	undecodableObjects.WithLabelValues(string(kind)).Set(float64(undecodable))
	snapshotVersion.WithLabelValues(string(kind)).Set(s.shown[kind])
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
		} else if f.observation {
			objects = 0 // The state does not contain them yet.
		}
		kindSynced.WithLabelValues(kind).Set(synced)
		snapshotObjects.WithLabelValues(kind).Set(float64(objects))
		undecodableObjects.WithLabelValues(kind).Set(float64(undecodable[f.kind]))
	}
	tooLarge := 0.0
	if s.tooLarge() != nil {
		tooLarge = 1
	}
	snapshotTooLarge.Set(tooLarge)
	if limit, bounded := s.capacity.BGPPeers(s.counts[calico.KindNode]); bounded {
		maximumBGPPeers.Set(float64(limit))
	}
	if len(s.feeds) > 0 {
		snapshotAge.Set(s.age().Seconds())
		stale := 0.0
		if s.stale() != nil {
			stale = 1
		}
		snapshotStale.Set(stale)
	}
}

package cluster

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	toolscache "k8s.io/client-go/tools/cache"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// silent returns a store of Nodes, BGPPeers and CalicoNodeStatuses, and functions that move
// its clock and let the API server answer for a kind.
func silent(t *testing.T) (s *Store, sleep func(time.Duration), answer func(calico.Kind, watch.EventType)) {
	t.Helper()
	now := time.Duration(0)
	s = syncedStore()
	s.elapsed = func() time.Duration { return now }
	s.follow([]calico.Kind{calico.KindNode, calico.KindBGPPeer, calico.KindCalicoNodeStatus})
	for _, f := range s.feeds {
		close(f.synced)
	}
	s.SetMaxAge(3 * time.Minute)
	answer = func(kind calico.Kind, event watch.EventType) {
		fake := watch.NewRaceFreeFake()
		lw := s.recordContact(toolscache.ToListerWatcherWithContext(&toolscache.ListWatch{
			WatchFuncWithContext: func(context.Context, metav1.ListOptions) (watch.Interface, error) { return fake, nil },
		}), s.feed(kind))
		w, err := lw.WatchWithContext(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		fake.Action(event, runtime.Object(node("")))
		<-w.ResultChan()
		w.Stop()
	}
	return s, func(d time.Duration) { now += d }, answer
}

func TestSnapshotsHaveAMaximumAge(t *testing.T) {
	s, sleep, answer := silent(t)
	check := func(want string) {
		t.Helper()
		_, age, err := s.Snapshot()
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != want || (err != nil) != errors.Is(err, state.ErrStale) {
			t.Errorf("at the age of %s: got %q, want %q", age, got, want)
		}
		if ready := s.Check(nil); (ready == nil) != (err == nil) {
			t.Errorf("the probe reports %v", ready)
		}
		s.setGauges()
		if stale := testutil.ToFloat64(snapshotStale); (stale == 1) != (err != nil) {
			t.Errorf("the metric is %v", stale)
		}
	}
	check("")
	sleep(3 * time.Minute)
	check("")
	sleep(time.Second)
	check("stale data: for 3m1s the API server has sent nothing, limit 3m0s: check that bgpguard can reach it")
	answer(calico.KindNode, watch.Modified)
	check("stale data: for 3m1s the API server has sent nothing about BGPPeer, limit 3m0s: check that bgpguard can reach it, and list and watch these objects")
	answer(calico.KindBGPPeer, watch.Error)
	check("stale data: for 3m1s the API server has sent nothing about BGPPeer, limit 3m0s: check that bgpguard can reach it, and list and watch these objects")
	answer(calico.KindBGPPeer, watch.Bookmark)
	check("") // CalicoNodeStatuses do not decide BGP.
}

// In a quiet cluster the API server sends a bookmark for each kind about once a minute.
func TestAQuietClusterIsNotStale(t *testing.T) {
	s, sleep, answer := silent(t)
	s.SetMaxAge(MinMaxAge)
	for range 100 {
		sleep(75 * time.Second) // 60 s, and the time to watch again.
		if _, age, err := s.Snapshot(); err != nil || age > MinMaxAge {
			t.Fatalf("age %s: %v", age, err)
		}
		answer(calico.KindNode, watch.Bookmark)
		answer(calico.KindBGPPeer, watch.Bookmark)
	}
}

// Policies that change while the state is stale must be announced.
func TestAStaleStateIsAnnounced(t *testing.T) {
	s, sleep, _ := silent(t)
	sleep(time.Hour)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	announced := false
	s.Announce()
	s.announceTo(ctx, alwaysIdle, func(context.Context, *state.Snapshot) {
		announced = true
		cancel()
	})
	if !announced {
		t.Error("the state was not announced")
	}
}

package cluster

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	fcache "k8s.io/client-go/tools/cache/testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// recorder is an Observer that records calls about BGPPeers.
type recorder struct {
	mu    sync.Mutex
	calls []string
	// confirmed is closed when Confirm is called with the version that the test awaits.
	await     string
	confirmed chan struct{}
}

func (r *recorder) record(kind calico.Kind, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if call := fmt.Sprintf(format, args...); kind == calico.KindBGPPeer && (len(r.calls) == 0 || r.calls[len(r.calls)-1] != call) {
		r.calls = append(r.calls, call)
	}
}

func (r *recorder) List(kind calico.Kind, version string) { r.record(kind, "list %s", version) }

func (r *recorder) Observe(id calico.ID, version string, exists bool) {
	r.record(id.Kind, "%s %s %t", id.Name, version, exists)
}

func (r *recorder) Confirm(kind calico.Kind, version string, objects iter.Seq2[string, string]) {
	r.record(kind, "confirm %s %v", version, maps.Collect(objects))
	r.mu.Lock()
	defer r.mu.Unlock()
	if kind == calico.KindBGPPeer && version == r.await {
		close(r.confirmed)
		r.await = ""
	}
}

// An object that was created and deleted before the list is in no event, but the version of
// the list shows that the watch has passed both.
func TestTheVersionOfAListIsConfirmed(t *testing.T) {
	store := NewStore(logr.Discard())
	observer := &recorder{await: "3", confirmed: make(chan struct{})}
	store.SetObserver(observer)
	informers := &fakeInformers{ctx: t.Context(), store: store, sources: map[calico.Kind]*fcache.FakeControllerSource{}}
	source := informers.source(calico.KindBGPPeer)
	source.Add(peer(t, "kept", 1))
	source.Add(peer(t, "gone", 1))
	source.Delete(peer(t, "gone", 1))
	f := &Follower{
		store: store, log: logr.Discard(), informers: informers,
		discovery: fakeDiscovery{"crd.projectcalico.org/v1": {"bgppeers", "bgpconfigurations"}},
	}
	f.OnChange(alwaysIdle, func(context.Context, *state.Snapshot) {})
	go func() { _ = f.Start(t.Context()) }()
	select {
	case <-observer.confirmed:
	case <-time.After(10 * time.Second):
		t.Error("the version of the list is not confirmed")
	}
	observer.mu.Lock()
	defer observer.mu.Unlock()
	if got, want := fmt.Sprint(observer.calls), "[list 3 kept 1 true confirm 3 map[kept:1]]"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

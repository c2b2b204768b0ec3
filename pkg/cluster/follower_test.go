package cluster

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	fcache "k8s.io/client-go/tools/cache/testing"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// fakeInformers makes informers that read from sources in memory, the way a
// manager's cache does.
type fakeInformers struct {
	cache.Informers
	ctx     context.Context
	store   *Store
	mu      sync.Mutex
	sources map[calico.Kind]*fcache.FakeControllerSource
}

func (f *fakeInformers) source(kind calico.Kind) *fcache.FakeControllerSource {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.sources[kind] == nil {
		f.sources[kind] = fcache.NewFakeControllerSource()
	}
	return f.sources[kind]
}

func (f *fakeInformers) GetInformer(_ context.Context, o client.Object, _ ...cache.InformerGetOption) (cache.Informer, error) {
	options := f.store.CacheOptions()
	informer := options.NewInformer(f.source(kindOf(o)), o.DeepCopyObject(), 0, nil)
	if err := informer.SetTransform(options.DefaultTransform); err != nil {
		return nil, err
	}
	go informer.Run(f.ctx.Done())
	return informer, nil
}

func TestFollowerFeedsTheStore(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	store := NewStore(logr.Discard())
	informers := &fakeInformers{ctx: ctx, store: store, sources: map[calico.Kind]*fcache.FakeControllerSource{}}
	informers.source(calico.KindNode).Add(node("a"))
	informers.source(calico.KindBGPPeer).Add(peer("p", 1))

	announced := make(chan string)
	f := &Follower{
		store: store, log: logr.Discard(), informers: informers,
		discovery: fakeDiscovery{"crd.projectcalico.org/v1": {"bgppeers", "bgpconfigurations"}},
		changed: func(ctx context.Context, s *state.Snapshot) {
			select {
			case announced <- names(s):
			case <-ctx.Done():
			}
		},
	}
	done := make(chan error)
	go func() { done <- f.Start(ctx) }()
	await := func(want string) {
		t.Helper()
		for {
			select {
			case got := <-announced:
				if got == want {
					return
				}
			case err := <-done:
				t.Fatalf("ended with %v", err)
			case <-time.After(30 * time.Second):
				t.Fatalf("%s was never announced", want)
			}
		}
	}
	await("a p1")
	informers.source(calico.KindNode).Add(node("b"))
	await("a b p1")
	informers.source(calico.KindBGPPeer).Modify(peer("p", 2))
	await("a b p2")
	informers.source(calico.KindBGPPeer).Delete(peer("p", 2))
	await("a b")
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

package cluster

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// Intervals of a Follower.
const (
	// retryInterval is how long it waits for Calico's CRDs before it looks again.
	retryInterval = time.Second
	// groupInterval is how often it looks whether they moved to another group.
	groupInterval = time.Minute
	// gaugeInterval is how often it brings the gauges up to date.
	gaugeInterval = time.Second
)

// Follower feeds a Store from the informers of a manager's cache, which must
// have been made with CacheOptions of the same store. It is a manager.Runnable.
type Follower struct {
	store     *Store
	log       logr.Logger
	informers cache.Informers
	discovery discoverer
	changed   func(context.Context, *state.Snapshot)
}

// NewFollower returns a follower; the caller adds it to the manager. changed
// is called with the new snapshot after each change, never more than once at a
// time, and with one call for all changes that happened during the last one.
func NewFollower(mgr manager.Manager, store *Store, changed func(context.Context, *state.Snapshot)) (*Follower, error) {
	client, err := discovery.NewDiscoveryClientForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return nil, fmt.Errorf("making a discovery client: %w", err)
	}
	return &Follower{store: store, log: store.log, informers: mgr.GetCache(), discovery: client, changed: changed}, nil
}

// NeedLeaderElection tells the manager that every replica follows.
func (f *Follower) NeedLeaderElection() bool { return false }

// Start follows the cluster until ctx is done. It returns an error when Calico's
// objects moved to another API group: what was read so far is then no longer
// what Calico reads, and a new process starts from the right one.
func (f *Follower) Start(ctx context.Context) error {
	found, ok := f.await(ctx)
	if !ok {
		return nil
	}
	f.log.Info("Reading Calico's objects", "group", found.group.String(), "kinds", found.kinds)
	var wg sync.WaitGroup
	defer wg.Wait()
	// Ends before the deferred Wait does, also when Start returns an error.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	f.store.follow(append([]calico.Kind{calico.KindNode}, found.kinds...))
	for _, feed := range f.store.feeds {
		registration, err := f.subscribe(ctx, feed.kind, found.group)
		if err != nil {
			return fmt.Errorf("following %s: %w", feed.kind, err)
		}
		wg.Go(func() { f.signalSynced(ctx, feed, registration) })
	}
	wg.Go(func() { f.store.announceTo(ctx, f.changed) })
	return f.watchGroup(ctx, found)
}

// await looks for Calico's objects until they are served, so that the guard
// may be installed before Calico.
func (f *Follower) await(ctx context.Context) (found served, ok bool) {
	last := ""
	for {
		found, err := discover(f.discovery)
		if err == nil {
			return found, true
		}
		if err.Error() != last {
			last = err.Error()
			f.log.Error(err, "Cannot read Calico's objects yet, trying again until they are served")
		}
		select {
		case <-ctx.Done():
			return served{}, false
		case <-time.After(retryInterval):
		}
	}
}

// watchGroup returns an error when another group or other kinds are served.
func (f *Follower) watchGroup(ctx context.Context, found served) error {
	gauges, group := time.NewTicker(gaugeInterval), time.NewTicker(groupInterval)
	defer gauges.Stop()
	defer group.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-gauges.C:
			f.store.setGauges()
		case <-group.C:
			if err := f.checkGroup(found); err != nil {
				return err
			}
		}
	}
}

// checkGroup takes not being able to tell for no change: the informers say
// soon enough when the API server is gone.
func (f *Follower) checkGroup(found served) error {
	now, err := discover(f.discovery)
	if err != nil {
		f.log.Error(err, "Cannot tell whether Calico's objects are still served", "group", found.group.String())
		return nil
	}
	if !now.equal(found) {
		return fmt.Errorf("the API server now serves Calico's objects as %s, was %s: starting again", now, found)
	}
	return nil
}

func (f *Follower) subscribe(ctx context.Context, kind calico.Kind, group schema.GroupVersion) (toolscache.ResourceEventHandlerRegistration, error) {
	var object client.Object = &corev1.Node{}
	if kind != calico.KindNode {
		u := &unstructured.Unstructured{}
		u.SetGroupVersionKind(group.WithKind(string(kind)))
		object = u
	}
	informer, err := f.informers.GetInformer(ctx, object, cache.BlockUntilSynced(false))
	if err != nil {
		return nil, err
	}
	return informer.AddEventHandler(f.store.handler(kind))
}

// signalSynced waits for the handler and not for the informer alone, which is
// synced while the last events of the list are still on their way.
func (f *Follower) signalSynced(ctx context.Context, feed *feed, registration toolscache.ResourceEventHandlerRegistration) {
	select {
	case <-ctx.Done():
	case <-registration.HasSyncedChecker().Done():
		close(feed.synced)
		f.log.Info("Read all objects of a kind", "kind", feed.kind)
		f.store.Announce()
	}
}

// decode is calico.Decode without its panics: an object that brings one about
// would do so again after every restart.
func decode(object map[string]any) (decoded calico.Object, err error) {
	defer func() {
		if r := recover(); r != nil {
			decoded, err = nil, fmt.Errorf("decoding it panicked: %v", r)
		}
	}()
	return calico.Decode(object)
}

// handler returns what an informer of the given kind is to call.
func (s *Store) handler(kind calico.Kind) toolscache.ResourceEventHandler {
	put := func(object any) {
		switch o := object.(type) {
		case *corev1.Node:
			s.put(calico.ID{Kind: kind, Name: o.Name}, calico.NodeFromCore(o), nil)
		case *unstructured.Unstructured:
			decoded, err := decode(o.Object)
			s.put(calico.ID{Kind: kind, Name: o.GetName()}, decoded, err)
		}
	}
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc:    put,
		UpdateFunc: func(_, object any) { put(object) },
		DeleteFunc: func(object any) {
			// The key is the name, as all kinds are cluster-scoped; it is also
			// there where only the informer's last word of the object is known.
			if name, err := toolscache.DeletionHandlingMetaNamespaceKeyFunc(object); err == nil {
				s.remove(calico.ID{Kind: kind, Name: name})
			}
		},
	}
}

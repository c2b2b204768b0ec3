package cluster

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
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
	cached    client.Reader
	discovery discoverer
	secrets   toolscache.ListerWatcher // nil where Secrets are not read
	onChange  func(context.Context, *state.Snapshot)
	// found is nil until it is known what the API server serves.
	found atomic.Pointer[served]
}

// NewFollower returns a follower; the caller adds it to the manager. It reads the
// Secrets in namespace without keeping their values, and none where namespace is "".
func NewFollower(mgr manager.Manager, store *Store, namespace string) (*Follower, error) {
	discoverer, err := discovery.NewDiscoveryClientForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return nil, fmt.Errorf("making a discovery client: %w", err)
	}
	f := &Follower{store: store, log: store.log, informers: mgr.GetCache(), cached: mgr.GetCache(), discovery: discoverer, onChange: func(context.Context, *state.Snapshot) {}}
	if namespace != "" {
		core, err := corev1client.NewForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
		if err != nil {
			return nil, fmt.Errorf("making a client for Secrets: %w", err)
		}
		f.secrets = toolscache.NewListWatchFromClient(core.RESTClient(), "secrets", namespace, fields.Everything())
	}
	return f, nil
}

// OnChange sets the function that is called with the new snapshot after each change,
// never more than once at a time, and with one call for all changes that happened
// during the last one. Call it before Start.
func (f *Follower) OnChange(changed func(context.Context, *state.Snapshot)) { f.onChange = changed }

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
	f.found.Store(&found)
	f.log.Info("Reading Calico's objects", "group", found.group.String(), "kinds", found.kinds)
	var wg sync.WaitGroup
	defer wg.Wait()
	// Ends before the deferred Wait does, also when Start returns an error.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	kinds := append([]calico.Kind{calico.KindNode}, found.kinds...)
	if f.secrets != nil {
		kinds = append(kinds, calico.KindSecret)
	}
	f.store.follow(kinds)
	for _, feed := range f.store.feeds {
		informer, err := f.informer(ctx, &wg, feed, found.group)
		var registration toolscache.ResourceEventHandlerRegistration
		if err == nil {
			registration, err = informer.AddEventHandler(f.store.handler(feed.kind))
		}
		if err != nil {
			return fmt.Errorf("following %s: %w", feed.kind, err)
		}
		wg.Go(func() { f.signalSynced(ctx, feed, registration) })
	}
	wg.Go(func() { f.store.announceTo(ctx, f.onChange) })
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

// subscriber is the part of an informer that is needed here.
type subscriber interface {
	AddEventHandler(toolscache.ResourceEventHandler) (toolscache.ResourceEventHandlerRegistration, error)
}

// informer returns that of a feed: the cache's, or for Secrets one of its own, as the
// cache's would be for all namespaces and hold the values.
func (f *Follower) informer(ctx context.Context, wg *sync.WaitGroup, feed *feed, group schema.GroupVersion) (subscriber, error) {
	if feed.kind == calico.KindSecret {
		informer, err := f.store.secretInformer(f.secrets, feed)
		if err != nil {
			return nil, err
		}
		wg.Go(func() { informer.RunWithContext(ctx) })
		return informer, nil
	}
	if feed.kind == calico.KindNode {
		return f.informers.GetInformer(ctx, &corev1.Node{}, cache.BlockUntilSynced(false))
	}
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(group.WithKind(string(feed.kind)))
	return f.informers.GetInformer(ctx, object, cache.BlockUntilSynced(false))
}

// signalSynced waits for the handler and not for the informer alone, which is
// synced while the last events of the list are still on their way.
func (f *Follower) signalSynced(ctx context.Context, feed *feed, registration toolscache.ResourceEventHandlerRegistration) {
	select {
	case <-ctx.Done():
	case <-registration.HasSyncedChecker().Done():
		f.log.Info("Read all objects of a kind", "kind", feed.kind)
		f.store.read(feed)
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
		case *corev1.Secret:
			s.put(calico.ID{Kind: kind, Name: o.Name}, calico.SecretFromCore(o), nil)
		case *nodeStatus:
			s.put(calico.ID{Kind: kind, Name: o.Name}, o.decoded, o.err)
		case *unstructured.Unstructured:
			decoded, err := decode(o.Object)
			s.put(calico.ID{Kind: kind, Name: o.GetName()}, decoded, err)
		}
	}
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc:    put,
		UpdateFunc: func(_, object any) { put(object) },
		DeleteFunc: func(object any) {
			// The key holds the name, also where only the informer's last word of the
			// object is known.
			if name, err := toolscache.DeletionHandlingObjectToName(object); err == nil {
				s.remove(calico.ID{Kind: kind, Name: name.Name})
			}
		},
	}
}

package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/loop"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// Intervals of a Follower.
const (
	// retryInterval is the time between attempts to find Calico's CRDs.
	retryInterval = time.Second
	// groupInterval is the time between checks of the API group that serves the CRDs.
	groupInterval = time.Minute
	// gaugeInterval is the time between updates of the gauges.
	gaugeInterval = time.Second
)

// Follower feeds a Store from the informers of a manager's cache, which must have the
// CacheOptions of the same store. It is a manager.Runnable.
type Follower struct {
	store     *Store
	log       logr.Logger
	informers cache.Informers
	cached    client.Reader
	direct    client.Reader // reads no cache
	discovery discoverer
	secrets   toolscache.ListerWatcher // nil if the follower does not read Secrets
	blocks    bool                     // whether the follower reads IPAMBlocks
	onChange  func(context.Context, *state.Snapshot)
	// found is the group and the kinds that the API server serves, nil until they are known.
	found atomic.Pointer[served]
}

// FollowOptions are the kinds that a Follower reads only if they are requested.
type FollowOptions struct {
	// SecretNamespace is the namespace whose Secrets are read, without their values. If it
	// is "", no Secrets are read.
	SecretNamespace string
	// IPAMBlocks is true if IPAMBlocks are read.
	IPAMBlocks bool
}

// NewFollower returns a follower; the caller adds it to the manager.
func NewFollower(mgr manager.Manager, store *Store, options FollowOptions) (*Follower, error) {
	discoverer, err := discovery.NewDiscoveryClientForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return nil, fmt.Errorf("creating a discovery client: %w", err)
	}
	f := &Follower{store: store, log: store.log, informers: mgr.GetCache(), cached: mgr.GetCache(), direct: mgr.GetAPIReader(), discovery: discoverer, blocks: options.IPAMBlocks, onChange: func(context.Context, *state.Snapshot) {}}
	if namespace := options.SecretNamespace; namespace != "" {
		core, err := corev1client.NewForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
		if err != nil {
			return nil, fmt.Errorf("creating a client for Secrets: %w", err)
		}
		f.secrets = toolscache.NewListWatchFromClient(core.RESTClient(), "secrets", namespace, fields.Everything())
	}
	return f, nil
}

// OnChange sets the function that is called with the new snapshot after a change, one call
// at a time, and once for all changes that happened during the last call. Call it before
// Start.
func (f *Follower) OnChange(changed func(context.Context, *state.Snapshot)) { f.onChange = changed }

// NeedLeaderElection returns false: every replica follows the cluster.
func (f *Follower) NeedLeaderElection() bool { return false }

// Start follows the cluster until ctx is done. It returns an error when Calico's objects
// move to another API group: Calico then no longer reads the objects in the store, and a new
// process must start with the right group.
func (f *Follower) Start(ctx context.Context) error {
	found, err := f.await(ctx)
	if err != nil {
		return nil // The context is done.
	}
	f.found.Store(&found)
	f.log.Info("Reading Calico's objects", "group", found.group.String(), "kinds", found.kinds)
	var wg sync.WaitGroup
	defer wg.Wait()
	// Cancelled before the deferred Wait, also when Start returns an error.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	kinds := []calico.Kind{calico.KindNode}
	for _, kind := range found.kinds {
		if !kind.Info().OptIn || kind == calico.KindIPAMBlock && f.blocks {
			kinds = append(kinds, kind)
		}
	}
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

// await waits until Calico's objects are served, so that bgpguard can be installed before
// Calico. It returns the error of ctx if ctx is done first.
func (f *Follower) await(ctx context.Context) (found served, err error) {
	var failure loop.Failure
	err = wait.PollUntilContextCancel(ctx, retryInterval, true, func(context.Context) (bool, error) {
		var err error
		found, err = discover(f.discovery)
		f.store.notFound(err)
		if err != nil && failure.Changed(err) {
			f.log.Error(err, "Cannot read Calico's objects yet, retrying until they are served")
		}
		return err == nil, nil
	})
	return found, err
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
			for _, feed := range f.store.feeds {
				f.store.confirm(feed)
			}
		case <-group.C:
			if err := f.checkGroup(found); err != nil {
				return err
			}
		}
	}
}

// checkGroup returns an error if another group or other kinds are served. A failed request
// is not such an error: the age of the snapshot shows that the API server does not answer.
func (f *Follower) checkGroup(found served) error {
	now, err := discover(f.discovery)
	if err != nil {
		f.log.Error(err, "Cannot check whether Calico's objects are still served", "group", found.group.String())
		return nil
	}
	if !now.equal(found) {
		return fmt.Errorf("the API server now serves Calico's objects as %s, was %s: restarting", now, found)
	}
	return nil
}

// errUnknownGroup means that Calico's objects are not served yet.
var errUnknownGroup = errors.New("the API group of Calico's objects is not known yet")

// Current returns the resourceVersion that an object has at the API server now, "" if there
// is no such object. The permission to list the kind suffices.
func (f *Follower) Current(ctx context.Context, id calico.ID) (string, error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("NodeList"))
	if id.Kind != calico.KindNode {
		found := f.found.Load()
		if found == nil {
			return "", errUnknownGroup
		}
		list.SetGroupVersionKind(found.group.WithKind(string(id.Kind) + "List"))
	}
	if err := f.direct.List(ctx, list, client.MatchingFields{metav1.ObjectNameField: id.Name}); err != nil {
		return "", fmt.Errorf("reading %s: %w", id, err)
	}
	for i := range list.Items {
		if list.Items[i].Name == id.Name {
			return list.Items[i].ResourceVersion, nil
		}
	}
	return "", nil
}

// subscriber is the part of an informer that a Follower uses.
type subscriber interface {
	AddEventHandler(toolscache.ResourceEventHandler) (toolscache.ResourceEventHandlerRegistration, error)
}

// informer returns the informer of a feed. It is the cache's, except for Secrets: the
// cache would store the values of the Secrets in all namespaces.
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

// signalSynced waits for the event handler: the informer itself is synced before the
// handler has received the last events of the list.
func (f *Follower) signalSynced(ctx context.Context, feed *feed, registration toolscache.ResourceEventHandlerRegistration) {
	select {
	case <-ctx.Done():
	case <-registration.HasSyncedChecker().Done():
		f.log.Info("Read all objects of a kind", "kind", feed.kind)
		f.store.confirm(feed)
		f.store.synced(feed)
	}
}

// decode calls calico.Decode and returns a panic as an error. Otherwise an object that causes
// a panic would end the process again after every restart.
func decode(object map[string]any) (decoded calico.Object, err error) {
	defer func() {
		if r := recover(); r != nil {
			decoded, err = nil, fmt.Errorf("decoding it panicked: %v", r)
		}
	}()
	return calico.Decode(object)
}

// handler returns the event handler for the informer of a kind.
func (s *Store) handler(kind calico.Kind) toolscache.ResourceEventHandler {
	put := func(object any) {
		switch o := object.(type) {
		case *corev1.Node:
			s.put(calico.ID{Kind: kind, Name: o.Name}, calico.NodeFromCore(o), nil)
		case *corev1.Secret:
			s.put(calico.ID{Kind: kind, Name: o.Name}, calico.SecretFromCore(o), nil)
		case *stored:
			s.put(calico.ID{Kind: kind, Name: o.name}, o.decoded, o.err)
		case *unstructured.Unstructured:
			decoded, err := decode(o.Object)
			s.put(calico.ID{Kind: kind, Name: o.GetName()}, decoded, err)
		}
		s.report(kind, object, true)
	}
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc:    put,
		UpdateFunc: func(_, object any) { put(object) },
		DeleteFunc: func(object any) {
			// The name is in the key, also if the informer missed the deletion and has
			// only an older version of the object.
			if name, err := toolscache.DeletionHandlingObjectToName(object); err == nil {
				s.remove(calico.ID{Kind: kind, Name: name.Name})
				if missed, ok := object.(toolscache.DeletedFinalStateUnknown); ok {
					object = &metav1.ObjectMeta{Name: missed.Key}
				}
				s.report(kind, object, false)
			}
		},
	}
}

// report passes an event that is in the store to the metrics and the observer.
func (s *Store) report(kind calico.Kind, object any, exists bool) {
	o, err := meta.Accessor(object)
	if err != nil {
		return
	}
	if !kind.Info().Observation {
		s.observer.Observe(calico.ID{Kind: kind, Name: o.GetName()}, o.GetResourceVersion(), exists)
	}
	s.setShown(kind, o.GetResourceVersion())
}

// confirm tells the observer which version the informer of a feed has reached. The event
// handler may have received less than the informer holds.
func (s *Store) confirm(f *feed) {
	informer := f.informer.Load()
	if informer == nil || f.observation {
		return
	}
	objects := (*informer).GetStore()
	// Read before the objects, which may then only be newer.
	version := objects.LastStoreSyncResourceVersion()
	s.observer.Confirm(f.kind, version, func(yield func(string, string) bool) {
		for _, object := range objects.List() {
			if o, err := meta.Accessor(object); err == nil && !yield(o.GetName(), o.GetResourceVersion()) {
				return
			}
		}
	})
}

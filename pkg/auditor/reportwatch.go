package auditor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"

	"github.com/bgpguard/bgpguard/pkg/loop"
	"github.com/bgpguard/bgpguard/pkg/openreports"
)

// discoverer is the part of a discovery client that finds the served kinds of report.
type discoverer interface {
	ServerResourcesForGroupVersionWithContext(ctx context.Context, groupVersion string) (*metav1.APIResourceList, error)
}

// reportWatches follow bgpguard's reports of each kind that the API server serves, so that audits
// send no requests to read them. They hold metadata only: the contents of reports can be large.
type reportWatches struct {
	discovery discoverer
	metadata  metadata.Interface
	// ended is sent when a watch finds that its kind is no longer served.
	ended loop.Signal

	following map[openreports.Kind]*reportWatch
	// unknown are the errors of kinds of which discover could not find out whether they are served.
	unknown map[openreports.Kind]error
	running sync.WaitGroup
}

func newReportWatches(discovery discoverer, metadata metadata.Interface) *reportWatches {
	return &reportWatches{
		discovery: discovery, metadata: metadata, ended: loop.NewSignal(),
		following: map[openreports.Kind]*reportWatch{}, unknown: map[openreports.Kind]error{},
	}
}

// discover starts a watch of each kind that is served and not followed yet, and ends those of kinds
// that are no longer served. Watches run until ctx is done. It returns when each new watch has read
// the reports or failed, or limit is done. It sends one request for each kind, to discovery.
func (w *reportWatches) discover(ctx, limit context.Context) {
	clear(w.unknown)
	for _, kind := range openreports.Kinds {
		served, err := w.serves(limit, kind)
		is := w.following[kind]
		switch {
		case err != nil && is == nil:
			w.unknown[kind] = err
		case err != nil: // The watch finds out.
		case served && is == nil:
			w.following[kind] = w.follow(ctx, kind)
		case !served && is != nil:
			is.stop()
			delete(w.following, kind)
		}
	}
	for _, is := range w.following {
		select {
		case <-is.tried:
		case <-limit.Done():
		}
	}
}

// serves reports whether the API server serves a kind.
func (w *reportWatches) serves(ctx context.Context, kind openreports.Kind) (bool, error) {
	resource := kind.GroupVersionResource()
	list, err := w.discovery.ServerResourcesForGroupVersionWithContext(ctx, resource.GroupVersion().String())
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading the resources of %s: %w", resource.GroupVersion(), err)
	}
	return slices.ContainsFunc(list.APIResources, func(a metav1.APIResource) bool { return a.Name == resource.Resource }), nil
}

// follow starts the watch of a kind.
func (w *reportWatches) follow(ctx context.Context, kind openreports.Kind) *reportWatch {
	ctx, stop := context.WithCancel(ctx)
	resource := w.metadata.Resource(kind.GroupVersionResource())
	source := cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			options.LabelSelector = openreports.ManagedByLabel + "=" + openreports.Source
			return resource.List(ctx, options)
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			options.LabelSelector = openreports.ManagedByLabel + "=" + openreports.Source
			return resource.Watch(ctx, options)
		},
	}, w.metadata)
	informer := cache.NewSharedIndexInformer(source, &metav1.PartialObjectMetadata{}, 0, cache.Indexers{})
	is := &reportWatch{informer: informer, stop: stop, tried: make(chan struct{})}
	// Neither fails before the informer runs.
	_ = informer.SetTransform(withoutManagedFields)
	_ = informer.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *cache.Reflector, err error) {
		is.failed(err)
		if gone(err) {
			w.ended.Send()
		}
	})
	w.running.Go(func() { informer.RunWithContext(ctx) })
	w.running.Go(func() {
		select {
		case <-ctx.Done():
		case <-informer.HasSyncedChecker().Done():
			is.once.Do(func() { close(is.tried) })
		}
	})
	return is
}

// withoutManagedFields removes the managed fields, which can be as long as the report.
func withoutManagedFields(object any) (any, error) {
	if o, ok := object.(metav1.Object); ok {
		o.SetManagedFields(nil)
	}
	return object, nil
}

// list returns bgpguard's reports of a kind. served is false if the kind is not served. It sends no
// request.
func (w *reportWatches) list(kind openreports.Kind) (reports []*metav1.PartialObjectMetadata, served bool, err error) {
	is := w.following[kind]
	if is == nil {
		return nil, false, w.unknown[kind]
	}
	if err := is.err(); gone(err) {
		return nil, false, nil
	} else if err != nil {
		return nil, false, err
	}
	for _, item := range is.informer.GetStore().List() {
		if report, ok := item.(*metav1.PartialObjectMetadata); ok {
			reports = append(reports, report)
		}
	}
	return reports, true, nil
}

// forget ends all watches when the context of discover is done, and forgets the kinds.
func (w *reportWatches) forget() {
	w.running.Wait()
	clear(w.following)
	clear(w.unknown)
}

// reportWatch follows the reports of one kind.
type reportWatch struct {
	informer cache.SharedIndexInformer
	stop     context.CancelFunc
	// tried is closed when the watch has read the reports or failed for the first time.
	tried chan struct{}
	once  sync.Once

	mu   sync.Mutex
	last error // of the attempts to read the reports
}

// failed records an error of the watch.
func (r *reportWatch) failed(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = err
	r.once.Do(func() { close(r.tried) })
}

// err returns why the reports are not known, nil if they are. A watch that ends after it has read
// them starts again by itself: until then its reports may be stale, which the writes show.
func (r *reportWatch) err() error {
	if r.informer.HasSynced() {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil {
		return errors.New("the API server does not answer")
	}
	return r.last
}

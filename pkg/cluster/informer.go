package cluster

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// CacheOptions returns the options of the cache that feeds the store. They do not affect
// kinds that the store does not follow.
//
// The informer of Nodes reads a stream of single objects and strips each one before it
// stores it, so that the complete Nodes are never in memory at once. API servers without
// the feature WatchList (off by default before 1.32) reject such a request; the informer
// then reads one list, which takes more memory for a moment.
func (s *Store) CacheOptions() cache.Options {
	return cache.Options{DefaultTransform: s.transform, NewInformer: s.newInformer}
}

// newInformer returns an informer that records each answer of the API server. The last
// resource version of an informer does not show them all: a kind that never changes gets
// bookmarks that repeat the version.
func (s *Store) newInformer(lw toolscache.ListerWatcher, object runtime.Object, resync time.Duration, indexers toolscache.Indexers) toolscache.SharedIndexInformer {
	f := s.feedOf(object.GetObjectKind().GroupVersionKind().GroupVersion().String(), kindOf(object))
	if f != nil {
		lw = s.recordContact(toolscache.ToListerWatcherWithContext(lw), f)
	}
	informer := toolscache.NewSharedIndexInformer(lw, object, resync, indexers)
	if f != nil {
		f.informer.Store(&informer)
	}
	return informer
}

// secretInformer returns the informer of Secrets, which stores none of their values.
func (s *Store) secretInformer(lw toolscache.ListerWatcher, f *feed) (toolscache.SharedIndexInformer, error) {
	recorded := s.recordContact(toolscache.ToListerWatcherWithContext(lw), f)
	informer := toolscache.NewSharedIndexInformer(recorded, &corev1.Secret{}, 0, toolscache.Indexers{})
	f.informer.Store(&informer)
	return informer, informer.SetTransform(withoutValues)
}

// recordContact records the time of each answer to lw in the feed, and passes the versions of
// lists to the observer.
func (s *Store) recordContact(lw toolscache.ListerWatcherWithContext, f *feed) *toolscache.ListWatch {
	record := func() { f.lastContact.Store(int64(s.elapsed())) }
	return &toolscache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			list, err := lw.ListWithContext(ctx, options)
			if err == nil {
				record()
				if l, err := meta.ListAccessor(list); err == nil {
					s.list(f, l.GetResourceVersion())
				}
			}
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			w, err := lw.WatchWithContext(ctx, options)
			if err != nil {
				return nil, err
			}
			return watch.Filter(w, func(e watch.Event) (watch.Event, bool) {
				// After an error, such as a resource version that expired, the store may
				// lack changes.
				if e.Type != watch.Error {
					record()
				}
				// A list may also be a watch that begins with all objects.
				if o, ok := e.Object.(metav1.Object); ok && e.Type == watch.Bookmark && o.GetAnnotations()[metav1.InitialEventsAnnotationKey] == "true" {
					s.list(f, o.GetResourceVersion())
				}
				return e, true
			}), nil
		},
	}
}

// list tells the observer the version of a list before its objects are in the informer.
func (s *Store) list(f *feed, version string) {
	if !f.observation {
		s.observer.List(f.kind, version)
	}
}

// kindOf returns the kind of an object that a store can follow, "" for other objects.
func kindOf(object runtime.Object) calico.Kind {
	switch o := object.(type) {
	case *corev1.Node:
		return calico.KindNode
	case *unstructured.Unstructured:
		if kind, err := calico.KindOf(o.GetAPIVersion(), o.GetKind()); err == nil {
			return kind
		}
	}
	return ""
}

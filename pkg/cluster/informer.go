package cluster

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// CacheOptions returns the options of the cache that feeds the store. Kinds
// that the store does not follow are cached as without them.
//
// Nodes are read as a stream of single objects, each cut down before the next
// is kept, so that the full ones are never in memory at once. API servers that
// do not offer this (before 1.32 unless the feature WatchList was switched on)
// refuse the request and the list comes whole, which takes more memory for a
// moment.
func (s *Store) CacheOptions() cache.Options {
	return cache.Options{DefaultTransform: s.transform, NewInformer: s.newInformer}
}

// newInformer makes an informer whose every word from the API server is noted.
// Looking at the informer's last resource version instead would miss bookmarks
// that repeat it, which is what a kind that never changes gets.
func (s *Store) newInformer(lw toolscache.ListerWatcher, object runtime.Object, resync time.Duration, indexers toolscache.Indexers) toolscache.SharedIndexInformer {
	if f := s.feed(kindOf(object)); f != nil {
		lw = s.listen(toolscache.ToListerWatcherWithContext(lw), f)
	}
	return toolscache.NewSharedIndexInformer(lw, object, resync, indexers)
}

// secretInformer makes the informer of Secrets, which keeps none of their values.
func (s *Store) secretInformer(lw toolscache.ListerWatcher, f *feed) (toolscache.SharedIndexInformer, error) {
	heard := s.listen(toolscache.ToListerWatcherWithContext(lw), f)
	informer := toolscache.NewSharedIndexInformer(heard, &corev1.Secret{}, 0, toolscache.Indexers{})
	return informer, informer.SetTransform(withoutValues)
}

func (s *Store) listen(lw toolscache.ListerWatcherWithContext, f *feed) *toolscache.ListWatch {
	heard := func() { f.heard.Store(s.now().UnixNano()) }
	return &toolscache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			list, err := lw.ListWithContext(ctx, options)
			if err == nil {
				heard()
			}
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			w, err := lw.WatchWithContext(ctx, options)
			if err != nil {
				return nil, err
			}
			return watch.Filter(w, func(e watch.Event) (watch.Event, bool) {
				// An error, such as a resource version that is gone, confirms nothing.
				if e.Type != watch.Error {
					heard()
				}
				return e, true
			}), nil
		},
	}
}

// kindOf returns the kind of an object that a store may follow, "" for others.
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

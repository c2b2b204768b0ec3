package cluster

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// Reference returns a reference to a cluster-scoped object in the API version that the API
// server serves, with the UID if the object exists. It returns false for kinds that are
// not followed or not cluster-scoped, such as Secrets, and until the objects of the kind
// have been read.
func (f *Follower) Reference(ctx context.Context, kind calico.Kind, name string) (corev1.ObjectReference, bool) {
	// The cache would wait until the objects of the kind have been read.
	feed := f.store.feed(kind)
	if feed == nil || !feed.isSynced() {
		return corev1.ObjectReference{}, false
	}
	// An object that is not in the cache is deleted and has no UID.
	if kind == calico.KindNode {
		return corev1.ObjectReference{Kind: string(kind), Name: name, APIVersion: "v1", UID: feed.uid(name)}, true
	}
	found := f.found.Load()
	if !slices.Contains(found.kinds, kind) {
		return corev1.ObjectReference{}, false
	}
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(found.group.WithKind(string(kind)))
	ref := corev1.ObjectReference{Kind: string(kind), Name: name, APIVersion: found.group.String()}
	if err := f.cached.Get(ctx, client.ObjectKey{Name: name}, object); err == nil {
		ref.UID = object.GetUID()
	}
	return ref, true
}

// uid returns the UID of an object that is stored decoded, "" if it does not exist.
func (f *feed) uid(name string) types.UID {
	informer := f.informer.Load()
	if informer == nil {
		return ""
	}
	object, _, err := (*informer).GetStore().GetByKey(name)
	if o, ok := object.(*stored); ok && err == nil {
		return o.uid
	}
	return ""
}

package cluster

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// Reference names a cluster-scoped object that is followed, as the API server serves
// it: with its UID, where it is there. It is false for other kinds, such as Secrets, and
// for those whose objects have not been read.
func (f *Follower) Reference(ctx context.Context, kind calico.Kind, name string) (corev1.ObjectReference, bool) {
	// Of a kind that was not read the cache would wait for the objects.
	if feed := f.store.feed(kind); feed == nil || !feed.isSynced() {
		return corev1.ObjectReference{}, false
	}
	ref := corev1.ObjectReference{Kind: string(kind), Name: name, APIVersion: "v1"}
	var object client.Object = &corev1.Node{}
	if kind != calico.KindNode {
		found := f.found.Load()
		if !slices.Contains(found.kinds, kind) {
			return corev1.ObjectReference{}, false
		}
		ref.APIVersion = found.group.String()
		u := &unstructured.Unstructured{}
		u.SetGroupVersionKind(found.group.WithKind(string(kind)))
		object = u
	}
	// What the cache has not got has no UID: it is gone.
	if err := f.cached.Get(ctx, client.ObjectKey{Name: name}, object); err == nil {
		ref.UID = object.GetUID()
	}
	return ref, true
}

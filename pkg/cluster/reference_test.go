package cluster

import (
	"context"
	"testing"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// uids is a cache that knows an object of each name in it.
type uids struct {
	client.Reader
	known map[string]types.UID
}

func (u uids) Get(_ context.Context, key client.ObjectKey, o client.Object, _ ...client.GetOption) error {
	uid, ok := u.known[kindName(o)+" "+key.Name]
	if !ok {
		return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
	}
	o.SetUID(uid)
	return nil
}

func kindName(o client.Object) string {
	gvk := o.GetObjectKind().GroupVersionKind()
	return gvk.GroupVersion().String() + " " + gvk.Kind
}

func TestReference(t *testing.T) {
	store := syncedStore(calico.KindNode, calico.KindBGPPeer, calico.KindSecret)
	store.follow([]calico.Kind{calico.KindIPPool}) // The objects are not read yet.
	f := &Follower{store: store, log: logr.Discard(), cached: uids{known: map[string]types.UID{
		"projectcalico.org/v3 BGPPeer p": "uid-p", "projectcalico.org/v3 IPPool i": "uid-i",
	}}}
	nodes := toolscache.NewSharedIndexInformer(&toolscache.ListWatch{}, &corev1.Node{}, 0, nil)
	if err := nodes.GetStore().Add(storedNode("a", func(n *corev1.Node) { n.UID = "uid-a" })); err != nil {
		t.Fatal(err)
	}
	store.feed(calico.KindNode).informer.Store(&nodes)
	f.found.Store(&served{group: schema.GroupVersion{Group: calico.GroupV3, Version: "v3"}, kinds: []calico.Kind{calico.KindBGPPeer, calico.KindIPPool}})
	for name, test := range map[string]struct {
		kind calico.Kind
		name string
		want *corev1.ObjectReference
	}{
		"a Node":                          {calico.KindNode, "a", &corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: "a", UID: "uid-a"}},
		"a deleted Node":                  {calico.KindNode, "b", &corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: "b"}},
		"a Calico object":                 {calico.KindBGPPeer, "p", &corev1.ObjectReference{APIVersion: "projectcalico.org/v3", Kind: "BGPPeer", Name: "p", UID: "uid-p"}},
		"a kind that is still being read": {calico.KindIPPool, "i", nil},
		"a kind in a namespace":           {calico.KindSecret, "s", nil},
		"a kind that is not followed":     {calico.KindBGPFilter, "f", nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := f.Reference(t.Context(), test.kind, test.name)
			switch {
			case ok != (test.want != nil):
				t.Errorf("got %v, %t", got, ok)
			case ok && got != *test.want:
				t.Errorf("got %+v, want %+v", got, *test.want)
			}
		})
	}
}

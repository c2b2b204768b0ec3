package cluster

import (
	"fmt"
	"reflect"
	"testing"
	"time"
	"unsafe"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

func TestTransform(t *testing.T) {
	full := node("a", func(n *corev1.Node) {
		n.UID, n.ResourceVersion = "uid", "7"
		n.Annotations = map[string]string{calico.AnnotationIPv4Address: "10.0.0.1/24", "other": "x"}
		n.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubelet"}}
		n.Spec.PodCIDR = "10.1.0.0/24"
		n.Status.Images = []corev1.ContainerImage{{SizeBytes: 1}}
	})
	managed := peer(t, "p", 1)
	managed.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: "kubectl"}})
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubectl"}}}}
	tests := map[string]struct{ in, want runtime.Object }{
		"a Calico object loses its managed fields":  {managed, peer(t, "p", 1)},
		"an object of another kind stays unchanged": {secret, secret.DeepCopy()},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := NewStore(logr.Discard()).transform(test.in)
			if err != nil || !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
	t.Run("a Node keeps what BGP needs", func(t *testing.T) {
		got, err := NewStore(logr.Discard()).transform(full)
		kept, ok := got.(*stored)
		if err != nil || !ok || kept.name != "a" || kept.version != "7" || kept.uid != "uid" {
			t.Fatalf("got %v, %v", got, err)
		}
		if !calico.Equal(kept.decoded, calico.NodeFromCore(full)) {
			t.Errorf("decoded %v", kept.decoded)
		}
	})
}

// Otherwise a heartbeat would leave each decoded Node twice in memory.
func TestANodeThatDoesNotChangeIsKeptOnce(t *testing.T) {
	s := syncedStore(calico.KindNode)
	told := func(version string, tweaks ...func(*corev1.Node)) *stored {
		out := s.storedNode(node("a", append(tweaks, func(n *corev1.Node) { n.ResourceVersion = version })...))
		s.handler(calico.KindNode).OnUpdate(nil, out)
		return out
	}
	first, heartbeat, changed := told("1"), told("2"), told("3", label("rack", "b"))
	if heartbeat.decoded != first.decoded || heartbeat.version != "2" {
		t.Errorf("a heartbeat is kept as %v", heartbeat)
	}
	if changed.decoded == first.decoded || snapshot(t, s).Nodes()[0] != changed.decoded {
		t.Error("a change is lost")
	}
}

func TestInternerKeepsOneCopyAndIsBounded(t *testing.T) {
	var i interner
	a, b := i.of(fmt.Sprint("zone-", 1)), i.of(fmt.Sprint("zone-", 1))
	if unsafe.StringData(a) != unsafe.StringData(b) {
		t.Error("there are two copies")
	}
	for n := range 2 * internLimit {
		i.of(fmt.Sprint(n))
	}
	if len(i.known) > internLimit {
		t.Errorf("%d strings are known", len(i.known))
	}
}

// A terminating object stays one on the way into the store and into a manifest.
func TestADeletionTimestampIsKept(t *testing.T) {
	since := metav1.NewTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	core := node("a", func(n *corev1.Node) { n.DeletionTimestamp = &since })
	object := peer(t, "p", 1)
	object.SetDeletionTimestamp(&since)
	s := syncedStore(calico.KindNode, calico.KindBGPPeer)
	for kind, in := range map[calico.Kind]runtime.Object{calico.KindNode: core.DeepCopy(), calico.KindBGPPeer: object.DeepCopy()} {
		kept, err := s.transform(in)
		if err != nil {
			t.Fatal(err)
		}
		s.handler(kind).OnAdd(kept, false)
	}
	followed := snapshot(t, s)
	for _, manifest := range []map[string]any{nodeManifest(stripNode(core, &interner{})), strip(object.Object)} {
		read, err := decode(manifest)
		if err != nil {
			t.Fatal(err)
		}
		if o := followed.Get(read.ID()); !calico.Down(read) || !calico.Down(o) || !calico.Equal(read, o) {
			t.Errorf("%s: down when it is read: %t, when it is followed: %t", read.ID(), calico.Down(read), calico.Down(o))
		}
	}
}

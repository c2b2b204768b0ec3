package cluster

import (
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// transform drops what nothing here reads before an informer keeps an object:
// a Node of 9 KB comes down to less than 1 KB, and a CalicoNodeStatus, with a row for
// each session and each route of a node, to what it decodes to. Objects of other
// kinds, which belong to other users of the cache, are left as they are.
func (s *Store) transform(in any) (any, error) {
	switch o := in.(type) {
	case *corev1.Node:
		return slim(o, &s.intern), nil
	case *unstructured.Unstructured:
		switch kindOf(o) {
		case "":
		case calico.KindCalicoNodeStatus:
			return newNodeStatus(o), nil
		default:
			o.SetManagedFields(nil)
		}
	}
	return in, nil
}

// nodeStatus is a CalicoNodeStatus as an informer keeps it, which needs its name and
// its version: decoded, or why it does not decode.
type nodeStatus struct {
	metav1.ObjectMeta

	decoded calico.Object
	err     error
}

func newNodeStatus(o *unstructured.Unstructured) *nodeStatus {
	out := &nodeStatus{ObjectMeta: metav1.ObjectMeta{Name: o.GetName(), UID: o.GetUID(), ResourceVersion: o.GetResourceVersion()}}
	out.decoded, out.err = decode(o.Object)
	return out
}

// withoutValues leaves of a Secret its name and the names of its keys.
func withoutValues(in any) (any, error) {
	secret, ok := in.(*corev1.Secret)
	if !ok {
		return in, nil
	}
	out := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: secret.Name, Namespace: secret.Namespace, UID: secret.UID, ResourceVersion: secret.ResourceVersion},
		Data:       make(map[string][]byte, len(secret.Data)),
	}
	for key := range secret.Data {
		out.Data[key] = nil
	}
	return out, nil
}

// slim returns what decides BGP of a Node, and what tells it from others.
func slim(node *corev1.Node, intern *interner) *corev1.Node {
	meta := metav1.ObjectMeta{Name: node.Name, UID: node.UID, ResourceVersion: node.ResourceVersion}
	if len(node.Labels) > 0 {
		meta.Labels = make(map[string]string, len(node.Labels))
		for key, value := range node.Labels {
			if value == node.Name {
				value = node.Name // kubernetes.io/hostname; no other node has it
			} else {
				value = intern.of(value)
			}
			meta.Labels[intern.of(key)] = value
		}
	}
	for _, key := range calico.NodeAnnotations {
		if value, ok := node.Annotations[key]; ok {
			if meta.Annotations == nil {
				meta.Annotations = make(map[string]string, len(calico.NodeAnnotations))
			}
			meta.Annotations[key] = value
		}
	}
	out := &corev1.Node{ObjectMeta: meta}
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady {
			// Without its times and texts, so that a heartbeat changes nothing.
			out.Status.Conditions = []corev1.NodeCondition{{Type: c.Type, Status: c.Status}}
		}
	}
	return out
}

// internLimit bounds the strings that an interner knows. Labels of nodes have
// far fewer distinct values that are shared; when nodes come and go for months
// the old ones are forgotten this way.
const internLimit = 1 << 14

// interner keeps one copy of strings that many nodes share: their label keys,
// zones, instance types. Decoding makes one for each node.
type interner struct {
	mu    sync.Mutex
	known map[string]string
}

func (i *interner) of(text string) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	if known, ok := i.known[text]; ok {
		return known
	}
	if i.known == nil || len(i.known) >= internLimit {
		i.known = map[string]string{}
	}
	i.known[text] = text
	return text
}

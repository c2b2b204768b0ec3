package cluster

import (
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// transform drops what this program does not read before an informer stores an object. A Node, of which there are many, a
// CalicoNodeStatus, which has a row for each session and each route of a node, and an IPAMBlock, which has one for each
// address, are stored decoded: a Node of 9 KB needs about 1 KB. Objects of other kinds belong to other users of the cache
// and stay as they are.
func (s *Store) transform(in any) (any, error) {
	switch o := in.(type) {
	case *corev1.Node:
		return s.storedNode(o), nil
	case *unstructured.Unstructured:
		switch kindOf(o) {
		case "":
		case calico.KindCalicoNodeStatus, calico.KindIPAMBlock:
			return newStored(o), nil
		default:
			o.SetManagedFields(nil)
		}
	}
	return in, nil
}

// stored is an object as an informer stores it: decoded, or the error of decoding it. The
// informer needs the name and the version, Events the UID.
type stored struct {
	name, version string
	uid           types.UID

	decoded calico.Object
	err     error
}

// newStored decodes an object.
func newStored(o *unstructured.Unstructured) *stored {
	out := identify(o)
	out.decoded, out.err = decode(o.Object)
	return out
}

// identify returns an object that is not decoded yet.
func identify(o metav1.Object) *stored {
	// Clones, because a decoder may cut the texts of an object from one large text.
	return &stored{name: strings.Clone(o.GetName()), version: strings.Clone(o.GetResourceVersion()), uid: types.UID(strings.Clone(string(o.GetUID())))}
}

// storedNode returns a Node. Most updates of a Node are heartbeats: the decoded Node is then the one of the state.
func (s *Store) storedNode(node *corev1.Node) *stored {
	out := identify(node)
	out.decoded = calico.NodeFromCore(stripNode(node, &s.intern))
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.objects[out.decoded.ID()]; calico.Equal(known, out.decoded) {
		out.decoded = known
	}
	return out
}

// GetObjectMeta implements metav1.ObjectMetaAccessor. The metadata is built on demand,
// because it takes several times the memory of a decoded object.
func (s *stored) GetObjectMeta() metav1.Object {
	return &metav1.ObjectMeta{Name: s.name, ResourceVersion: s.version, UID: s.uid}
}

// withoutValues reduces a Secret to its name and the names of its keys.
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

// stripNode returns a Node with only its identity, the fields that decide BGP, and those
// that show whether it is down.
func stripNode(node *corev1.Node, intern *interner) *corev1.Node {
	meta := metav1.ObjectMeta{Name: node.Name, UID: node.UID, ResourceVersion: node.ResourceVersion, DeletionTimestamp: node.DeletionTimestamp}
	if len(node.Labels) > 0 {
		meta.Labels = make(map[string]string, len(node.Labels))
		for key, value := range node.Labels {
			if value == node.Name {
				value = node.Name // kubernetes.io/hostname: no other node shares it.
			} else {
				value = intern.of(value)
			}
			meta.Labels[intern.of(key)] = value
		}
	}
	for key, value := range node.Annotations {
		if calico.DecidesBGP(key, value) {
			if meta.Annotations == nil {
				meta.Annotations = make(map[string]string, len(calico.NodeAnnotations))
			}
			meta.Annotations[key] = value
		}
	}
	out := &corev1.Node{ObjectMeta: meta}
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady {
			// Without times and texts, so that a heartbeat is not a change.
			out.Status.Conditions = []corev1.NodeCondition{{Type: c.Type, Status: c.Status}}
		}
	}
	for _, a := range node.Status.Addresses {
		if a.Type == corev1.NodeInternalIP || a.Type == corev1.NodeExternalIP {
			out.Status.Addresses = append(out.Status.Addresses, a)
		}
	}
	return out
}

// internLimit bounds the strings of an interner, so that it does not grow while nodes are
// replaced for months. Labels of nodes have far fewer distinct values that are shared.
const internLimit = 1 << 14

// interner stores one copy of each string that many nodes share, such as label keys,
// zones and instance types. Decoding makes a copy for each node.
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

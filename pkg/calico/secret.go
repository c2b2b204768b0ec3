package calico

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// Secret contains the name and the keys of a Secret, to resolve references. It contains no
// values. It contains no labels and annotations either, because kubectl apply stores the
// values in an annotation.
type Secret struct {
	Name, Namespace string
	// Keys are the names of its keys, sorted.
	Keys []string
}

// ID returns the Secret's kind and name.
func (s *Secret) ID() ID { return ID{KindSecret, s.Name} }

// Problems returns nil: Calico reads only the keys that objects refer to.
func (s *Secret) Problems() []Problem { return nil }

// MayServeCalicoNode reports whether calico-node may read the Secret. calico-node reads the
// Secrets of its own namespace: kube-system in Calico's manifests, calico-system with the
// Tigera operator. The result is true if the namespace is unknown.
func (s *Secret) MayServeCalicoNode() bool {
	return slices.Contains([]string{"", "kube-system", "calico-system"}, s.Namespace)
}

func (s *Secret) equal(t *Secret) bool {
	return s.Name == t.Name && s.Namespace == t.Namespace && slices.Equal(s.Keys, t.Keys)
}

func (s *Secret) manifest() map[string]any {
	metadata := map[string]any{"name": s.Name}
	if s.Namespace != "" {
		metadata["namespace"] = s.Namespace
	}
	return map[string]any{"apiVersion": "v1", "kind": string(KindSecret), "metadata": withTexts(metadata, nil, nil)}
}

// SecretFromCore converts a core/v1 Secret.
func SecretFromCore(secret *corev1.Secret) *Secret {
	keys := slices.AppendSeq(slices.Collect(maps.Keys(secret.Data)), maps.Keys(secret.StringData))
	return newSecret(secret.Name, secret.Namespace, keys)
}

func newSecret(name, namespace string, keys []string) *Secret {
	slices.Sort(keys)
	return &Secret{name, namespace, slices.Compact(keys)}
}

// decodeSecret decodes a core/v1 Secret. Errors contain the field but not its value, because
// a value of a wrong type may be a password.
func decodeSecret(v map[string]any) (Object, error) {
	var err *FieldError
	fail := func(field, message string) {
		if err == nil {
			err = &FieldError{field, message}
		}
	}
	object := func(field string) map[string]any {
		m, ok := v[field].(map[string]any)
		if !ok && v[field] != nil {
			fail(field, "must be an object")
		}
		return m
	}
	metadata := object("metadata")
	text := func(key string) string {
		s, ok := metadata[key].(string)
		if !ok && metadata[key] != nil {
			fail("metadata."+key, "must be a string")
		}
		return s
	}
	name, namespace := text("name"), text("namespace")
	if name == "" {
		fail("metadata.name", "is missing")
	}
	keys := slices.AppendSeq(slices.Collect(maps.Keys(object("data"))), maps.Keys(object("stringData")))
	if err != nil {
		return nil, err
	}
	return newSecret(name, namespace, keys), nil
}

package calico

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// Secret is a Secret as far as a reference to one of its keys goes. Nothing else
// of it is kept: no value, and no label or annotation either, where kubectl puts
// the values too.
type Secret struct {
	Name, Namespace string
	// Keys are the names of its keys, sorted.
	Keys []string
}

// ID returns the Secret's kind and name.
func (s *Secret) ID() ID { return ID{KindSecret, s.Name} }

// Problems lists nothing: Calico reads the one key that it is referred to.
func (s *Secret) Problems() []Problem { return nil }

// MayServeCalicoNode reports whether the Secret is in a namespace that calico-node,
// which reads those of its own only, runs in as Calico's manifests or the Tigera
// operator install it; also where it does not say in which one it is.
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

// SecretFromCore reads a core/v1 Secret's name, namespace and keys.
func SecretFromCore(secret *corev1.Secret) *Secret {
	keys := slices.AppendSeq(slices.Collect(maps.Keys(secret.Data)), maps.Keys(secret.StringData))
	return newSecret(secret.Name, secret.Namespace, keys)
}

func newSecret(name, namespace string, keys []string) *Secret {
	slices.Sort(keys)
	return &Secret{name, namespace, slices.Compact(keys)}
}

// decodeSecret reads a core/v1 Secret. Its errors name the field only: what stands
// in a field of a wrong type may be a password.
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

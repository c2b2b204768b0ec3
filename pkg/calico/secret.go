package calico

import (
	"encoding/base64"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// Secret contains the name and the keys of a Secret, to resolve references. It contains no
// values. It contains no labels and annotations either, because kubectl apply stores the
// values in an annotation.
type Secret struct {
	Name, Namespace string
	// Keys are the names of its keys, sorted. Rejected are those of them whose values BIRD
	// rejects as a password.
	Keys, Rejected []string
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
	return s.Name == t.Name && s.Namespace == t.Namespace && slices.Equal(s.Keys, t.Keys) && slices.Equal(s.Rejected, t.Rejected)
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
	keys := passwords{}
	for key, value := range secret.Data {
		keys.add(key, string(value))
	}
	for key, value := range secret.StringData {
		keys.add(key, value)
	}
	return keys.secret(secret.Name, secret.Namespace)
}

// passwords holds, for each key of a Secret, whether BIRD rejects its value.
type passwords map[string]bool

// add adds a key. A later value of the same key replaces the earlier one.
func (p passwords) add(key, value string) { p[key] = rejectedString(value) != "" }

func (p passwords) secret(name, namespace string) *Secret {
	s := &Secret{Name: name, Namespace: namespace, Keys: slices.Sorted(maps.Keys(p))}
	for _, key := range s.Keys {
		if p[key] {
			s.Rejected = append(s.Rejected, key)
		}
	}
	return s
}

// Merge returns a Secret with the keys of both. The values of other have precedence.
func (s *Secret) Merge(other *Secret) *Secret {
	keys := passwords{}
	for _, one := range []*Secret{s, other} {
		for _, key := range one.Keys {
			keys[key] = slices.Contains(one.Rejected, key)
		}
	}
	return keys.secret(other.Name, other.Namespace)
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
	keys := passwords{}
	for key, value := range object("data") {
		encoded, _ := value.(string)
		decoded, _ := base64.StdEncoding.DecodeString(encoded) // A value that does not decode is rejected by the API server.
		keys.add(key, string(decoded))
	}
	for key, value := range object("stringData") {
		text, _ := value.(string)
		keys.add(key, text)
	}
	if err != nil {
		return nil, err
	}
	return keys.secret(name, namespace), nil
}

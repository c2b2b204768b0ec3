package schema

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/manifest"
)

// metadata returns what an API server rejects in the metadata of any object.
func metadata(object map[string]any) []Problem {
	// calicoctl, which alone reads such Nodes, makes strings of labels and annotations.
	calicoctl := object["apiVersion"] == calico.APIVersionV3 && object["kind"] == string(calico.KindNode)
	var out []Problem
	meta, ok := object["metadata"].(map[string]any)
	if !ok {
		return []Problem{{Field: "metadata", Message: "must be an object with a name, is " + found(object["metadata"])}}
	}
	if _, ok := meta["name"].(string); !ok && meta["name"] != nil {
		out = append(out, Problem{Field: "metadata.name", Message: fmt.Sprintf("must be a string, is %s; write it in quotes", found(meta["name"]))})
	}
	for _, texts := range []string{"labels", "annotations"} {
		values, ok := meta[texts].(map[string]any)
		if !ok && meta[texts] != nil {
			out = append(out, Problem{Field: "metadata." + texts, Message: "must be an object of strings, is " + found(meta[texts])})
		}
		for _, key := range slices.Sorted(maps.Keys(values)) {
			if _, ok := values[key].(string); !ok && values[key] != nil && !calicoctl {
				out = append(out, Problem{
					Field:   fmt.Sprintf("metadata.%s[%s]", texts, key),
					Message: fmt.Sprintf("must be a string, is %s; write it in quotes", found(values[key])),
				})
			}
		}
	}
	if len(out) > 0 || calicoctl {
		return out
	}
	decoded, _, unknown, err := objectmeta.GetObjectMetaWithOptions(map[string]any{"metadata": meta}, objectmeta.ObjectMetaOptions{ReturnUnknownFieldPaths: true})
	if err != nil {
		return []Problem{{Field: "metadata", Message: err.Error()}}
	}
	for _, path := range unknown {
		out = append(out, Problem{Field: path, Message: "unknown field" + suggestion(path, metadataFields()) + "; " + dropped, Warning: true})
	}
	out = append(out, keys(decoded.Labels, "labels", utilvalidation.IsValidLabelValue)...)
	out = append(out, keys(decoded.Annotations, "annotations", nil)...)
	decoded.Labels = nil
	for key := range decoded.Annotations { // Their total size remains to be validated.
		if len(utilvalidation.IsQualifiedName(strings.ToLower(key))) > 0 {
			delete(decoded.Annotations, key)
		}
	}
	for _, e := range apivalidation.ValidateObjectMeta(decoded, false, apivalidation.NameIsDNSSubdomain, field.NewPath("metadata")) {
		out = append(out, explain(e, object, nil))
	}
	return out
}

// keys returns the keys and values of labels or annotations that are malformed.
func keys(texts map[string]string, of string, value func(string) []string) []Problem {
	var out []Problem
	for key, text := range texts {
		path := "metadata." + of + "[" + key + "]"
		name := key
		if of == "annotations" { // The API server ignores the case of their keys.
			name = strings.ToLower(key)
		}
		for _, message := range utilvalidation.IsQualifiedName(name) {
			out = append(out, Problem{Field: path, Message: "malformed key: " + explanationPattern.ReplaceAllString(message, "")})
		}
		if value == nil {
			continue
		}
		for _, message := range value(text) {
			out = append(out, Problem{Field: path, Message: fmt.Sprintf("malformed value %q: %s", text, explanationPattern.ReplaceAllString(message, ""))})
		}
	}
	return out
}

// metadataFields returns the names of the fields that users set.
func metadataFields() []string {
	return []string{"metadata.name", "metadata.generateName", "metadata.labels", "metadata.annotations", "metadata.finalizers", "metadata.ownerReferences"}
}

// node returns what does not fit the type Node of Kubernetes.
func node(object map[string]any) []Problem {
	rest := maps.Clone(object)
	delete(rest, "metadata") // metadata has validated it.
	var out []Problem
	for _, e := range manifest.Unmarshal(rest, "Node", &corev1.Node{}) {
		out = append(out, Problem{Field: e.Field, Message: e.Message, Warning: e.Unknown})
	}
	return out
}

// found describes a JSON value: its type and, if it is short, the value.
func found(value any) string {
	const limit = 64
	var kind string
	switch value.(type) {
	case nil:
		return "missing"
	case map[string]any:
		return "an object"
	case []any:
		return "a list"
	case string:
		kind = "the string"
	case bool:
		kind = "the boolean"
	default:
		kind = "the number"
	}
	text, err := json.Marshal(value)
	if err != nil || len(text) > limit {
		return kind + " " + string(text[:min(len(text), limit)]) + "…"
	}
	return kind + " " + string(text)
}

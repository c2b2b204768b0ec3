package cluster

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// cut returns of one of Calico's objects what its author wrote, and of a
// CalicoNodeStatus its status too: managed fields, versions and ids are left out.
func cut(object map[string]any) map[string]any {
	metadata := kept(object["metadata"], "name", "labels", "annotations")
	out := map[string]any{"metadata": metadata}
	for _, key := range []string{"apiVersion", "kind", "spec"} {
		if value, ok := object[key]; ok {
			out[key] = value
		}
	}
	if annotations, ok := metadata["annotations"].(map[string]any); ok {
		delete(annotations, corev1.LastAppliedConfigAnnotation)
	}
	withoutEmpty(out)
	if status, ok := object["status"]; ok && out["kind"] == string(calico.KindCalicoNodeStatus) {
		out["status"] = status
	}
	return out
}

// kept returns an object of the given fields of another.
func kept(object any, keys ...string) map[string]any {
	fields, _ := object.(map[string]any)
	out := make(map[string]any, len(keys))
	for _, key := range keys {
		if value, ok := fields[key]; ok {
			out[key] = value
		}
	}
	return out
}

// nodeManifest is the manifest of a Node that was cut down.
func nodeManifest(slim *corev1.Node) map[string]any {
	metadata := map[string]any{"name": slim.Name}
	for key, texts := range map[string]map[string]string{"labels": slim.Labels, "annotations": slim.Annotations} {
		if len(texts) == 0 {
			continue
		}
		values := make(map[string]any, len(texts))
		for k, v := range texts {
			values[k] = v
		}
		metadata[key] = values
	}
	out := map[string]any{"apiVersion": "v1", "kind": string(calico.KindNode), "metadata": metadata}
	if len(slim.Status.Conditions) > 0 {
		conditions := make([]any, len(slim.Status.Conditions))
		for i, c := range slim.Status.Conditions {
			conditions[i] = map[string]any{"type": string(c.Type), "status": string(c.Status)}
		}
		out["status"] = map[string]any{"conditions": conditions}
	}
	return out
}

// withoutEmpty takes empty labels and annotations away from a manifest whose
// metadata are its own.
func withoutEmpty(manifest map[string]any) map[string]any {
	metadata, _ := manifest["metadata"].(map[string]any)
	for _, key := range []string{"labels", "annotations"} {
		if values, ok := metadata[key].(map[string]any); ok && len(values) == 0 {
			delete(metadata, key)
		}
	}
	return manifest
}

// nameOf is that of a manifest.
func nameOf(manifest map[string]any) string {
	metadata, _ := manifest["metadata"].(map[string]any)
	text, _ := metadata["name"].(string)
	return text
}

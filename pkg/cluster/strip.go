package cluster

import (
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// strip returns one of Calico's objects with only the fields that its author wrote, kubectl's
// copy of them, the status of an observation, and whether the object is terminating: without
// managed fields, versions and UIDs.
func strip(object map[string]any) map[string]any {
	metadata := pick(object["metadata"], "name", "labels", "annotations", "deletionTimestamp")
	spec, _ := object["spec"].(map[string]any)
	if object["kind"] == string(calico.KindFelixConfiguration) && spec["nodeSelector"] != nil { // The oldest has precedence.
		maps.Copy(metadata, pick(object["metadata"], "creationTimestamp"))
	}
	out := map[string]any{"metadata": metadata}
	for _, key := range []string{"apiVersion", "kind", "spec"} {
		if value, ok := object[key]; ok {
			out[key] = value
		}
	}
	withoutEmpty(out)
	kind, _ := out["kind"].(string)
	if status, ok := object["status"]; ok && calico.Kind(kind).Info().Observation {
		out["status"] = status
	}
	return out
}

// pick returns the given fields of an object.
func pick(object any, keys ...string) map[string]any {
	fields, _ := object.(map[string]any)
	out := make(map[string]any, len(keys))
	for _, key := range keys {
		if value, ok := fields[key]; ok {
			out[key] = value
		}
	}
	return out
}

// nodeManifest returns the manifest of a Node that stripNode returned.
func nodeManifest(node *corev1.Node) map[string]any {
	metadata := map[string]any{"name": node.Name}
	if t := node.DeletionTimestamp; t != nil {
		metadata["deletionTimestamp"] = t.UTC().Format(time.RFC3339)
	}
	for key, texts := range map[string]map[string]string{"labels": node.Labels, "annotations": node.Annotations} {
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
	status := map[string]any{}
	if len(node.Status.Conditions) > 0 {
		conditions := make([]any, len(node.Status.Conditions))
		for i, c := range node.Status.Conditions {
			conditions[i] = map[string]any{"type": string(c.Type), "status": string(c.Status)}
		}
		status["conditions"] = conditions
	}
	if len(node.Status.Addresses) > 0 {
		addresses := make([]any, len(node.Status.Addresses))
		for i, a := range node.Status.Addresses {
			addresses[i] = map[string]any{"type": string(a.Type), "address": a.Address}
		}
		status["addresses"] = addresses
	}
	if len(status) > 0 {
		out["status"] = status
	}
	return out
}

// withoutEmpty removes empty labels and annotations from a manifest, in place.
func withoutEmpty(manifest map[string]any) map[string]any {
	metadata, _ := manifest["metadata"].(map[string]any)
	for _, key := range []string{"labels", "annotations"} {
		if values, ok := metadata[key].(map[string]any); ok && len(values) == 0 {
			delete(metadata, key)
		}
	}
	return manifest
}

// withAnnotation adds the annotation of "kubectl apply" to a manifest.
func withAnnotation(manifest map[string]any, last string) {
	metadata, _ := manifest["metadata"].(map[string]any)
	old, _ := metadata["annotations"].(map[string]any)
	annotations := make(map[string]any, len(old)+1)
	maps.Copy(annotations, old)
	annotations[corev1.LastAppliedConfigAnnotation] = last
	metadata["annotations"] = annotations
}

// withLastApplied returns the manifest of an object with the annotation of "kubectl apply",
// with which a later "kubectl apply" is merged. calico.Manifest removes it.
func withLastApplied(o calico.Object) map[string]any {
	manifest := calico.Manifest(o)
	version, _ := manifest["apiVersion"].(string)
	_, last := calico.Applied(o, version)
	if last == "" { // It was applied in Calico's own API server.
		_, last = calico.Applied(o, calico.APIVersionV3)
	}
	if last != "" {
		withAnnotation(manifest, last)
	}
	return withoutEmpty(manifest)
}

// nameOf returns the name of a manifest.
func nameOf(manifest map[string]any) string {
	metadata, _ := manifest["metadata"].(map[string]any)
	text, _ := metadata["name"].(string)
	return text
}

package openreports

import (
	"github.com/openreports/reports-api/apis/openreports.io/v1alpha1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Kind is a kind of object that reports are written as.
type Kind string

// The kinds.
const (
	// ClusterReport is that of openreports.io/v1alpha1.
	ClusterReport Kind = "ClusterReport"
	// ClusterPolicyReport is that of wgpolicyk8s.io/v1alpha2, which OpenReports took
	// over: https://github.com/openreports/reports-api.
	ClusterPolicyReport Kind = "ClusterPolicyReport"
)

// Kinds lists every kind, the one to prefer first.
var Kinds = []Kind{ClusterReport, ClusterPolicyReport}

// GroupVersionResource is where the API server serves the kind.
func (k Kind) GroupVersionResource() schema.GroupVersionResource {
	if k == ClusterPolicyReport {
		return schema.GroupVersionResource{Group: "wgpolicyk8s.io", Version: "v1alpha2", Resource: "clusterpolicyreports"}
	}
	return v1alpha1.SchemeGroupVersion.WithResource("clusterreports")
}

// Object gives a report the form in which it is written as the kind.
func (k Kind) Object(report *v1alpha1.ClusterReport) *unstructured.Unstructured {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(report)
	if err != nil {
		panic(err) // The types are a Kubernetes API's.
	}
	o := &unstructured.Unstructured{Object: fields}
	o.SetGroupVersionKind(k.GroupVersionResource().GroupVersion().WithKind(string(k)))
	unstructured.RemoveNestedField(fields, "metadata", "creationTimestamp")
	if k == ClusterPolicyReport { // It has them in the results only, or not at all.
		delete(fields, "source")
		delete(fields, "configuration")
	}
	results, _ := fields["results"].([]any)
	for _, result := range results {
		// What has no time would be of 1970; without one, readers take that of the report.
		if r, ok := result.(map[string]any); ok && unset(r["timestamp"]) {
			delete(r, "timestamp")
		}
	}
	return o
}

func unset(timestamp any) bool {
	t, ok := timestamp.(map[string]any)
	return ok && t["seconds"] == int64(0) && t["nanos"] == int64(0)
}

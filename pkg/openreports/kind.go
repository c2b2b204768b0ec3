package openreports

import (
	"github.com/openreports/reports-api/apis/openreports.io/v1alpha1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Kind is a kind of report object.
type Kind string

// The kinds.
const (
	// ClusterReport is a kind of openreports.io/v1alpha1.
	ClusterReport Kind = "ClusterReport"
	// ClusterPolicyReport is a kind of wgpolicyk8s.io/v1alpha2, the predecessor of
	// OpenReports: https://github.com/openreports/reports-api.
	ClusterPolicyReport Kind = "ClusterPolicyReport"
)

// Kinds lists every kind, the preferred one first.
var Kinds = []Kind{ClusterReport, ClusterPolicyReport}

// GroupVersionResource returns the resource under which the API server serves the kind.
func (k Kind) GroupVersionResource() schema.GroupVersionResource {
	if k == ClusterPolicyReport {
		return schema.GroupVersionResource{Group: "wgpolicyk8s.io", Version: "v1alpha2", Resource: "clusterpolicyreports"}
	}
	return v1alpha1.SchemeGroupVersion.WithResource("clusterreports")
}

// Object converts a report to an object of the kind.
func (k Kind) Object(report *v1alpha1.ClusterReport) *unstructured.Unstructured {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(report)
	if err != nil {
		panic(err) // The types are those of a Kubernetes API.
	}
	o := &unstructured.Unstructured{Object: fields}
	o.SetGroupVersionKind(k.GroupVersionResource().GroupVersion().WithKind(string(k)))
	unstructured.RemoveNestedField(fields, "metadata", "creationTimestamp")
	if k == ClusterPolicyReport { // Its API has no such fields.
		delete(fields, "source")
		delete(fields, "configuration")
	}
	results, _ := fields["results"].([]any)
	for _, result := range results {
		// A timestamp of 0 would mean 1970. Without one, readers use that of the report.
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

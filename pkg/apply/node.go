package apply

import (
	"encoding/json"
	"maps"
	"strconv"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// bgpFields maps the annotations of a core/v1 Node to the fields of spec.bgp in calicoctl's
// form.
var bgpFields = map[string]string{
	calico.AnnotationIPv4Address: "ipv4Address",
	calico.AnnotationIPv6Address: "ipv6Address",
	calico.AnnotationClusterID:   "routeReflectorClusterID",
}

// calicoNode returns the Node after "calicoctl apply" or "calicoctl replace" of a
// projectcalico.org/v3 document, which decodes to after. It replaces the annotations for BGP:
// one whose field is unset is removed. It stores the labels in an annotation, except those
// that the document marks as labels of Kubernetes, and never touches the labels of
// Kubernetes. Nothing else changes
// (libcalico-go/lib/backend/k8s/resources/node.go, mergeCalicoNodeIntoK8sNode).
func calicoNode(before calico.Object, after *calico.Node, document map[string]any) (calico.Object, error) {
	old, ok := before.(*calico.Node)
	if !ok {
		return after, nil
	}
	own := maps.Clone(after.Labels)
	for key := range after.KubernetesLabels() {
		delete(own, key)
	}
	if !old.Core() { // The state is in calicoctl's form, too.
		labels := map[string]any{}
		for _, from := range []map[string]string{own, old.KubernetesLabels()} {
			for key, value := range from {
				labels[key] = value
			}
		}
		return calico.Decode(withMetadata(document, map[string]any{"labels": labels, "annotations": old.CalicoAnnotations()}))
	}
	out := runtime.DeepCopyJSON(calico.Manifest(old))
	meta, _ := out["metadata"].(map[string]any)
	annotations, _ := meta["annotations"].(map[string]any)
	set := func(key, value string) {
		if value == "" {
			delete(annotations, key)
		} else {
			annotations[key] = value
		}
	}
	spec, _ := document["spec"].(map[string]any)
	bgp, _ := spec["bgp"].(map[string]any)
	for key, field := range bgpFields {
		value, _ := bgp[field].(string)
		set(key, value)
	}
	number, labels := "", ""
	if after.ASNumber != nil {
		number = strconv.FormatUint(uint64(*after.ASNumber), 10)
	}
	if len(own) > 0 {
		text, err := json.Marshal(own)
		if err != nil {
			return nil, err
		}
		labels = string(text)
	}
	set(calico.AnnotationASNumber, number)
	set(calico.AnnotationLabels, labels)
	return calico.Decode(out)
}

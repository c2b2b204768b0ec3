package calico

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	k8sjson "sigs.k8s.io/json"

	v3 "github.com/projectcalico/api/pkg/apis/projectcalico/v3"
)

// The API groups that serve Calico's objects: the CRDs that calico-node reads
// in its first form, and the public API, which newer Calico serves as CRDs.
const (
	GroupV1 = "crd.projectcalico.org"
	GroupV3 = v3.Group
)

const (
	annotationMetadata    = "projectcalico.org/metadata"
	annotationLastApplied = corev1.LastAppliedConfigAnnotation
)

var decoders = map[Kind]func(Metadata, *fields) Object{
	KindBGPConfiguration:   decodeBGPConfiguration,
	KindBGPPeer:            decodeBGPPeer,
	KindIPPool:             decodeIPPool,
	KindBGPFilter:          decodeBGPFilter,
	KindFelixConfiguration: decodeFelixConfiguration,
	KindClusterInformation: decodeClusterInformation,
}

// UnknownKindError is an object of a kind or group that neither decides BGP nor tells
// how it is doing.
type UnknownKindError struct{ APIVersion, Kind string }

// Error names the kind and those that are known.
func (e *UnknownKindError) Error() string {
	kinds := make([]string, 0, len(decoders)+1)
	for k := range decoders {
		kinds = append(kinds, string(k))
	}
	kinds = append(kinds, string(KindCalicoNodeStatus))
	slices.Sort(kinds)
	return fmt.Sprintf("%s of %s does not decide BGP; known are Node of v1 and %s/v3, Secret of v1, and %s of %s/v1 and %s/v3",
		e.Kind, e.APIVersion, GroupV3, strings.Join(kinds, ", "), GroupV1, GroupV3)
}

// DecodeJSON reads one object of any API form from JSON. Errors are
// *FieldError, *UnknownKindError, or those of the JSON syntax.
func DecodeJSON(raw []byte) (Object, error) {
	var v map[string]any
	// Integers stay integers: AS numbers and unknown fields alike.
	if err := k8sjson.UnmarshalCaseSensitivePreserveInts(raw, &v); err != nil {
		return nil, err
	}
	return Decode(v)
}

// Decode reads one object of any API form: core/v1 Node and Secret, and the others
// of crd.projectcalico.org/v1 and projectcalico.org/v3. The two groups' forms of
// one object decode to equal objects. The object keeps v, unless it is a Secret or a
// CalicoNodeStatus; v must not be changed afterwards. Errors are *FieldError or
// *UnknownKindError; of a Secret they hold no value.
func Decode(v map[string]any) (Object, error) {
	f := &fields{values: v}
	apiVersion, kind := f.text("apiVersion"), Kind(f.text("kind"))
	if f.err != nil {
		return nil, f.err
	}
	if kind == KindSecret && apiVersion == "v1" {
		return decodeSecret(v)
	}
	group, _, _ := strings.Cut(apiVersion, "/")
	if kind == KindCalicoNodeStatus && (group == GroupV1 || group == GroupV3) {
		return decodeNodeStatus(v)
	}
	meta := f.object("metadata")
	m := Metadata{
		kind: kind, Name: meta.text("name"), Labels: meta.textMap("labels"), Annotations: meta.textMap("annotations"),
		Spec: get[map[string]any](f, "spec", "an object"), sent: v,
	}
	if f.err == nil && meta.err == nil && m.Name == "" {
		meta.fail("name", "is missing")
	}
	spec := &fields{path: "spec", values: m.Spec}
	var o Object
	switch decode := decoders[kind]; {
	case kind == KindNode && apiVersion == "v1":
		n, status := newNode(m.Name, m.Labels, m.Annotations), f.object("status")
		n.NotReady, n.sent = notReady(status), v
		f.adopt(status)
		o = n
	case kind == KindNode && group == GroupV3:
		o = nodeFromCalico(m.Name, m.Labels, spec)
	case decode != nil && (group == GroupV1 || group == GroupV3):
		m.unwrap(meta)
		o = decode(m, spec)
	default:
		return nil, &UnknownKindError{apiVersion, string(kind)}
	}
	for _, e := range []*FieldError{f.err, meta.err, spec.err} {
		if e != nil {
			return nil, e
		}
	}
	return o, nil
}

// unwrap undoes what Calico does to the metadata of its objects when it keeps
// them as crd.projectcalico.org/v1: labels and annotations of the user sit as
// JSON in one annotation (libcalico-go/lib/backend/k8s/resources/resources.go).
func (m *Metadata) unwrap(meta *fields) {
	wrapped := m.Annotations[annotationMetadata]
	m.Annotations = maps.Clone(m.Annotations)
	delete(m.Annotations, annotationMetadata)
	delete(m.Annotations, annotationLastApplied)
	if wrapped != "" {
		var own struct {
			Labels      map[string]string `json:"labels"`
			Annotations map[string]string `json:"annotations"`
		}
		if err := json.Unmarshal([]byte(wrapped), &own); err != nil {
			meta.fail("annotations["+annotationMetadata+"]", "is not the JSON that Calico writes: %v", err)
			return
		}
		delete(own.Annotations, annotationLastApplied)
		m.Labels = merge(m.Labels, own.Labels)
		m.Annotations = merge(m.Annotations, own.Annotations)
	}
	if len(m.Annotations) == 0 {
		m.Annotations = nil
	}
}

func merge(base, over map[string]string) map[string]string {
	if len(over) == 0 {
		return base
	}
	out := make(map[string]string, len(base)+len(over))
	maps.Copy(out, base)
	maps.Copy(out, over)
	return out
}

package calico

import (
	"encoding/json"
	"maps"

	corev1 "k8s.io/api/core/v1"
	k8sjson "sigs.k8s.io/json"
)

const (
	annotationMetadata    = "projectcalico.org/metadata"
	annotationLastApplied = corev1.LastAppliedConfigAnnotation
)

// DecodeJSON decodes one object of any kind and API version in the table of kinds from JSON.
// The error is a *FieldError, an *UnknownKindError or an error of the JSON decoder.
func DecodeJSON(raw []byte) (Object, error) {
	var v map[string]any
	// Integers must stay integers, in known and unknown fields.
	if err := k8sjson.UnmarshalCaseSensitivePreserveInts(raw, &v); err != nil {
		return nil, err
	}
	return Decode(v)
}

// Decode decodes one object of any kind and API version in the table of kinds. The two
// forms of an object in Calico's API groups decode to equal objects. The object keeps v,
// unless it is a Secret, an IPAMBlock or a CalicoNodeStatus. The caller must not change v afterwards. The
// error is a *FieldError or an *UnknownKindError. An error about a Secret does not contain
// its values.
func Decode(v map[string]any) (Object, error) {
	f := &fields{values: v}
	apiVersion, kind := f.text("apiVersion"), f.text("kind")
	if f.err != nil {
		return nil, f.err
	}
	form, err := formOf(apiVersion, kind)
	if err != nil {
		return nil, err
	}
	return form.decode(v)
}

// document is an object as it was sent, with its metadata and spec.
type document struct {
	Metadata

	root, meta, spec *fields
}

// whole returns a decoder that reads the metadata and calls decode for the other fields.
func whole(decode func(*document) Object) func(map[string]any) (Object, error) {
	return func(v map[string]any) (Object, error) {
		f := &fields{values: v}
		meta := f.object("metadata")
		d := &document{root: f, meta: meta}
		d.Metadata = Metadata{
			kind: Kind(f.text("kind")), Name: meta.text("name"), Labels: meta.textMap("labels"), Annotations: meta.textMap("annotations"),
			DeletionTimestamp: meta.text("deletionTimestamp"),
			Spec:              get[map[string]any](f, "spec", "an object"), sent: v,
		}
		if f.err == nil && meta.err == nil && d.Name == "" {
			meta.fail("name", "is missing")
		}
		d.spec = &fields{path: "spec", values: d.Spec}
		o := decode(d)
		for _, e := range []*FieldError{f.err, meta.err, d.spec.err} {
			if e != nil {
				return nil, e
			}
		}
		return o, nil
	}
}

// calicoForms returns the forms of a kind that Calico serves. decode reads the spec.
func calicoForms[T Object](decode func(Metadata, *fields) T) []form {
	return everyVersion(whole(func(d *document) Object {
		d.unwrap(d.meta)
		o := decode(d.Metadata, d.spec)
		if d.spec.err == nil { // Otherwise the object is not used.
			m := MetadataOf(o)
			m.rejected = check(m)
		}
		return o
	}))
}

// everyVersion returns one form for each of APIVersions, all with the same decoder.
func everyVersion(decode func(map[string]any) (Object, error)) []form {
	forms := make([]form, len(APIVersions))
	for i, version := range APIVersions {
		forms[i] = form{version, decode}
	}
	return forms
}

// unwrap restores the labels and annotations that the user wrote. Calico stores them as
// JSON in one annotation of a crd.projectcalico.org/v1 object
// (libcalico-go/lib/backend/k8s/resources/resources.go).
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

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

// DecodeJSON decodes one object of any API form from JSON. Errors are *FieldError,
// *UnknownKindError, or those of the JSON syntax.
func DecodeJSON(raw []byte) (Object, error) {
	var v map[string]any
	// Integers stay integers: AS numbers and unknown fields alike.
	if err := k8sjson.UnmarshalCaseSensitivePreserveInts(raw, &v); err != nil {
		return nil, err
	}
	return Decode(v)
}

// Decode decodes one object of any kind and API version of the table of kinds. The
// forms of one object in Calico's two API groups decode to equal objects. The object
// keeps v, unless it is a Secret or a CalicoNodeStatus; v must not be changed
// afterwards. Errors are *FieldError or *UnknownKindError; those of a Secret contain no
// value of it.
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

// whole returns a decoder that reads the metadata and leaves the rest to decode.
func whole(decode func(*document) Object) func(map[string]any) (Object, error) {
	return func(v map[string]any) (Object, error) {
		f := &fields{values: v}
		meta := f.object("metadata")
		d := &document{root: f, meta: meta}
		d.Metadata = Metadata{
			kind: Kind(f.text("kind")), Name: meta.text("name"), Labels: meta.textMap("labels"), Annotations: meta.textMap("annotations"),
			Spec: get[map[string]any](f, "spec", "an object"), sent: v,
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

// calicoForms returns the forms of a kind of Calico whose decoder reads the spec.
func calicoForms[T Object](decode func(Metadata, *fields) T) []form {
	return everyVersion(whole(func(d *document) Object {
		d.unwrap(d.meta)
		return decode(d.Metadata, d.spec)
	}))
}

// everyVersion returns a form with the same decoder for each of APIVersions.
func everyVersion(decode func(map[string]any) (Object, error)) []form {
	forms := make([]form, len(APIVersions))
	for i, version := range APIVersions {
		forms[i] = form{version, decode}
	}
	return forms
}

// unwrap restores the labels and annotations of the user, which Calico stores as JSON
// in one annotation of a crd.projectcalico.org/v1 object
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

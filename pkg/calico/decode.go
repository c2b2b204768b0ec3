package calico

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	k8sjson "sigs.k8s.io/json"
)

const (
	annotationMetadata    = "projectcalico.org/metadata"
	annotationLastApplied = corev1.LastAppliedConfigAnnotation
)

// DecodeJSON decodes one object from JSON, like Decode. The error can also be one of the JSON
// decoder.
func DecodeJSON(raw []byte) (Object, error) { return decodeJSON(raw, Decode) }

// DecodeStoredJSON decodes one object from JSON, like DecodeStored. The error can also be one of
// the JSON decoder.
//
// The object can keep raw, which the caller must not change afterwards.
func DecodeStoredJSON(raw []byte) (Object, error) {
	if n := decodeServedNode(raw); n != nil {
		return n, nil
	}
	return decodeJSON(raw, DecodeStored)
}

func decodeJSON(raw []byte, decode func(map[string]any) (Object, error)) (Object, error) {
	v, err := documentOf(raw)
	if err != nil {
		return nil, err
	}
	return decode(v)
}

// documentOf decodes a document from JSON. Integers stay integers, in known and unknown fields.
func documentOf(raw []byte) (map[string]any, error) {
	var v map[string]any
	err := k8sjson.UnmarshalCaseSensitivePreserveInts(raw, &v)
	return v, err
}

// Decode decodes one object of any kind and API version in the table of kinds, as a user
// writes it. A value that Calico cannot decode is an error. The two forms of an object in
// Calico's API groups decode to equal objects. The object keeps v, unless it is a Secret, an
// IPAMBlock or a CalicoNodeStatus. The caller must not change v afterwards. The error is a
// *FieldError or an *UnknownKindError. An error about a Secret does not contain its values.
func Decode(v map[string]any) (Object, error) {
	o, err := DecodeStored(v)
	if odd := Odd(o); err == nil && len(odd) > 0 {
		return nil, &odd[0]
	}
	return o, err
}

// DecodeStored decodes an object that an API server has stored, like Decode, but reads a field
// with a value that Calico cannot decode as unset. Odd returns these values, and they are among
// the object's Problems. The result is an *Unparsed if Calico skips the object. In an object of
// Kubernetes, which an API server validates, such a value is an error.
func DecodeStored(v map[string]any) (Object, error) {
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

// Odd returns the values of a stored object that Calico cannot decode, in the order in which
// they were read. The slice must not be changed.
func Odd(o Object) []FieldError {
	if holder, ok := o.(interface{ oddValues() []FieldError }); ok {
		return holder.oddValues()
	}
	return nil
}

// NewlyOdd returns the first value in after that Calico cannot decode and that before does not
// have, nil if there is none.
func NewlyOdd(before, after Object) *FieldError {
	known := Odd(Whole(before))
	for _, e := range Odd(after) {
		if !slices.Contains(known, e) {
			return &e
		}
	}
	return nil
}

// document is an object as it was sent, with its metadata and spec.
type document struct {
	Metadata

	root, meta, spec *fields
	// skipped is why Calico skips the object, the zero FieldError if it does not.
	skipped FieldError
}

// whole returns a decoder that reads the metadata and calls decode for the other fields.
func whole(decode func(*document) Object) func(map[string]any) (Object, error) {
	return func(v map[string]any) (Object, error) {
		var odd []FieldError
		f := &fields{values: v, odd: &odd}
		kind := Kind(f.text("kind"))
		meta := f.object("metadata")
		d := &document{root: f, meta: meta}
		d.Metadata = Metadata{kind: kind, Name: meta.text("name"), sent: v}
		if d.Name == "" {
			if len(odd) == 0 {
				meta.fail("name", "is missing")
			}
			return nil, &odd[0]
		}
		d.readLabels()
		d.Annotations, d.DeletionTimestamp = meta.textMap("annotations"), meta.text("deletionTimestamp")
		d.Spec = get[map[string]any](f, "spec", "an object")
		d.spec = &fields{path: "spec", values: d.Spec, odd: &odd}
		o := decode(d)
		if d.skipped != (FieldError{}) {
			return &Unparsed{id: o.ID(), Message: d.skipped.Error(), skipped: d.skipped}, nil
		}
		switch m := MetadataOf(o); {
		case len(odd) == 0:
		case m == nil: // An API server stores no Node with such a value.
			return nil, &odd[0]
		default:
			m.setOdd(odd)
		}
		return o, nil
	}
}

// readLabels reads the labels. calicoctl, which alone reads projectcalico.org/v3 Nodes, converts
// other values than text (calicoctl/calicoctl/resourcemgr).
func (d *document) readLabels() {
	if d.sent["apiVersion"] != APIVersionV3 || d.kind != KindNode {
		d.Labels = d.meta.textMap("labels")
		return
	}
	values := get[map[string]any](d.meta, "labels", "an object")
	texts := make(map[string]any, len(values))
	for _, key := range slices.Sorted(maps.Keys(values)) {
		texts[key] = values[key]
		switch v := values[key].(type) {
		case bool, int64, float64:
			texts[key] = fmt.Sprint(v)
			d.problem("metadata.labels."+key, "%v is not in quotes: calicoctl reads it as text, kubectl rejects it", v)
		}
	}
	d.Labels = (&fields{path: d.meta.path, values: map[string]any{"labels": texts}, odd: d.meta.odd}).textMap("labels")
}

// oddProblems returns the problems of values of a kind that Calico cannot decode. Calico reads
// all objects of a kind in one request, which fails as a whole.
func oddProblems(kind Kind, odd []FieldError) []Problem {
	out := make([]Problem, len(odd))
	for i, e := range odd {
		out[i] = Problem(e)
		out[i].Message += fmt.Sprintf("; Calico cannot decode it, and then reads no %s at all: running nodes keep what they have read, and a node that starts gets no BGP", kind)
	}
	return out
}

// calicoForms returns the forms of a kind that Calico serves. decode reads the spec.
func calicoForms[T Object](decode func(Metadata, *fields) T) []form {
	return everyVersion(whole(func(d *document) Object {
		d.unwrap()
		o := decode(d.Metadata, d.spec)
		if d.spec.err == nil { // Otherwise the object is not used.
			m := MetadataOf(o)
			m.rejected, m.newer = check(m), findNewer(m.kind, m.Spec)
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
// JSON in one annotation of a crd.projectcalico.org/v1 object, and skips an object whose
// annotation does not parse (libcalico-go/lib/backend/k8s/resources, resources.go and
// customresource.go).
func (d *document) unwrap() {
	m := &d.Metadata
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
			d.skipped = FieldError{d.meta.at("annotations[" + annotationMetadata + "]"), fmt.Sprintf("is not the JSON that Calico writes: %v", err)}
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

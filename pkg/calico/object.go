// Package calico is Calico's model of BGP as plain Go values. It decodes objects of every
// API form, applies Calico's defaults and lists what Calico ignores. The table of kinds is
// in kinds.go. The package is pure: it has no client and no clock.
//
// Comments name the source of a rule in projectcalico/calico (master of August 2026 unless
// they name a version).
package calico

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// Default is the name of the BGPConfiguration, FelixConfiguration and ClusterInformation of
// the whole cluster.
const Default = "default"

// ID identifies one object. All kinds but Secret are cluster-scoped; a state contains the
// Secrets of one namespace only.
type ID struct {
	Kind Kind
	Name string
}

// String returns "Kind name".
func (id ID) String() string { return string(id.Kind) + " " + id.Name }

// Object is a Node, BGPConfiguration, BGPPeer, IPPool, BGPFilter,
// FelixConfiguration, ClusterInformation, Installation, IPAMBlock, Secret or NodeStatus, or the
// Unparsed in place of one. Objects are immutable once decoded.
type Object interface {
	// ID returns the object's kind and name.
	ID() ID
	// Problems lists what Calico ignores or rejects in the object.
	Problems() []Problem
}

// Problem is a part of an object that the API accepts and that Calico or BIRD then ignores
// or rejects, usually with only a line in a log.
type Problem struct {
	// Field is the path of the field, for example "spec.peerIP".
	Field string
	// Message says what is wrong with the field, and the consequence.
	Message string
}

// String returns "field: message".
func (p Problem) String() string { return p.Field + ": " + p.Message }

// FieldError is a field of an object that does not parse.
type FieldError struct {
	// Field is the path of the field, for example "spec.maxRestartTime".
	Field string
	// Message says what is accepted and what was found.
	Message string
}

// Error returns "field: message".
func (e *FieldError) Error() string { return e.Field + ": " + e.Message }

// Metadata is the common part of all objects but Nodes, Secrets, IPAMBlocks and
// NodeStatuses.
type Metadata struct {
	Name        string
	Labels      map[string]string
	Annotations map[string]string
	// DeletionTimestamp is the time of metadata.deletionTimestamp as it was sent. It is ""
	// unless the object is terminating: a user deleted it, and it exists until its
	// finalizers are removed.
	DeletionTimestamp string
	// Spec is the object's spec as it was sent, including fields that this package does
	// not know, and without those that InVersion dropped. It must not be changed.
	Spec map[string]any

	kind     Kind
	sent     map[string]any // the whole object as it was sent
	problems []Problem
	odd      []FieldError
	rejected []rejection
	newer    *newer // nil if each version of Calico has all fields
	whole    Object // that InVersion read as this object, nil for none
}

// ID returns the object's kind and name.
func (m *Metadata) ID() ID { return ID{m.kind, m.Name} }

// Problems lists what Calico ignores or rejects in the object.
func (m *Metadata) Problems() []Problem { return m.problems }

func (m *Metadata) problem(field, format string, args ...any) {
	m.problems = append(m.problems, Problem{field, fmt.Sprintf(format, args...)})
}

func (m *Metadata) oddValues() []FieldError { return m.odd }

func (m *Metadata) setOdd(odd []FieldError) {
	m.odd, m.problems = odd, append(oddProblems(m.kind, odd), m.problems...)
}

func (m *Metadata) metadata() *Metadata { return m }

// generation returns metadata.generation, which the API server sets to 1 for a new object
// and increases when the spec changes. It is 0 if it is not known.
func (m *Metadata) generation() int64 {
	meta, _ := m.sent["metadata"].(map[string]any)
	n, _ := integer(meta["generation"])
	return n
}

// created returns metadata.creationTimestamp, which the API server sets, "" if it is not known.
func (m *Metadata) created() string {
	meta, _ := m.sent["metadata"].(map[string]any)
	text, _ := meta["creationTimestamp"].(string)
	return text
}

// MetadataOf returns the metadata and spec of o. It returns nil for a Node, a Secret, an
// IPAMBlock, a NodeStatus and an Unparsed.
func MetadataOf(o Object) *Metadata {
	if m, ok := o.(interface{ metadata() *Metadata }); ok {
		return m.metadata()
	}
	return nil
}

// APIVersionOf returns the API version in which o was sent, "" if it is not known.
func APIVersionOf(o Object) string {
	m := MetadataOf(o)
	if m == nil {
		return ""
	}
	version, _ := m.sent["apiVersion"].(string)
	return version
}

// Down reports whether o is down: it is terminating, or it is a Node that is not ready. What
// is down must not be relied upon, although Calico still configures its sessions. Down
// returns false for nil, and for a Secret, an IPAMBlock, a NodeStatus or an Unparsed.
func Down(o Object) bool {
	if n, ok := o.(*Node); ok {
		return n.NotReady || n.DeletionTimestamp != ""
	}
	m := MetadataOf(o)
	return m != nil && m.DeletionTimestamp != ""
}

// Labels returns the labels of o as Calico's selectors see them. It returns nil for nil, and
// for a Secret, an IPAMBlock, a NodeStatus or an Unparsed, whose labels are not stored.
func Labels(o Object) map[string]string {
	if n, ok := o.(*Node); ok {
		return labelsOf(n.Labels)
	}
	if m := MetadataOf(o); m != nil {
		return labelsOf(m.Labels)
	}
	return nil
}

// labelsOf returns labels, or an empty map if they are nil.
func labelsOf(labels map[string]string) map[string]string {
	if labels == nil {
		return map[string]string{}
	}
	return labels
}

// Manifest returns o as it was sent. Its labels and annotations are those that the user
// wrote, without the annotation in which Calico stores them. For a Secret, an IPAMBlock, a
// NodeStatus and a Node that was not decoded from a core/v1 document, it returns a document
// with the known fields. It returns nil for nil and an Unparsed. The document shares values
// with o and must not be changed.
func Manifest(o Object) map[string]any {
	if m, ok := o.(interface{ manifest() map[string]any }); ok {
		return m.manifest()
	}
	return nil
}

func (m *Metadata) manifest() map[string]any {
	out := maps.Clone(m.sent)
	if out == nil {
		out = map[string]any{"kind": string(m.kind), "spec": m.Spec}
	}
	sent, _ := out["metadata"].(map[string]any)
	meta := maps.Clone(sent)
	if meta == nil {
		meta = map[string]any{"name": m.Name}
	}
	delete(meta, "managedFields") // They are often longer than the rest of the object.
	out["metadata"] = withTexts(meta, m.Labels, m.Annotations)
	return out
}

// Applied returns the document of o to which a client applies a document of an API version,
// and the document of the last "kubectl apply" in that version: the value of its annotation,
// "" if there is none. An object that is stored in crd.projectcalico.org/v1 and applied in
// projectcalico.org/v3 is converted, as Calico's API server does. The document shares values
// with o and must not be changed.
func Applied(o Object, apiVersion string) (document map[string]any, last string) {
	document = Manifest(o)
	m := MetadataOf(o)
	if m == nil {
		return document, annotationsOf(document)[annotationLastApplied]
	}
	if m.sent == nil {
		return document, ""
	}
	own := annotationsOf(m.sent)
	switch {
	case m.sent["apiVersion"] == apiVersion:
		document = maps.Clone(m.sent)
		meta, _ := document["metadata"].(map[string]any)
		meta = maps.Clone(meta)
		delete(meta, "managedFields")
		document["metadata"] = meta
		return document, own[annotationLastApplied]
	case apiVersion == APIVersionV3:
		var wrapped struct {
			Annotations map[string]string `json:"annotations"`
		}
		switch text := own[annotationMetadata]; {
		case text == "": // A snapshot file: its labels and annotations are those of the user.
			last = own[annotationLastApplied]
		case json.Unmarshal([]byte(text), &wrapped) == nil:
			last = wrapped.Annotations[annotationLastApplied]
		}
	}
	document["apiVersion"] = apiVersion
	return document, last
}

// annotationsOf returns the annotations of a document that are strings.
func annotationsOf(document map[string]any) map[string]string {
	meta, _ := document["metadata"].(map[string]any)
	values, _ := meta["annotations"].(map[string]any)
	out := make(map[string]string, len(values))
	for key, value := range values {
		if text, ok := value.(string); ok {
			out[key] = text
		}
	}
	return out
}

// withTexts sets the labels and annotations of an object's metadata.
func withTexts(meta map[string]any, labels, annotations map[string]string) map[string]any {
	for key, texts := range map[string]map[string]string{"labels": labels, "annotations": annotations} {
		values := make(map[string]any, len(texts))
		for k, v := range texts {
			values[k] = v
		}
		meta[key] = values
	}
	return meta
}

// Equal reports whether two objects have the same ID and the same content. The API version
// does not matter. nil equals only nil.
func Equal(a, b Object) bool {
	return Alike(a, b) && maps.Equal(annotations(a), annotations(b))
}

// Alike reports whether every version of Calico reads two objects alike, with Typha and without it: they
// are equal but for annotations that decide nothing.
func Alike(a, b Object) bool {
	if a == nil || b == nil {
		return a == b
	}
	switch a := a.(type) {
	case *Node:
		b, ok := b.(*Node)
		return ok && a.equal(b)
	case *Secret:
		b, ok := b.(*Secret)
		return ok && a.equal(b)
	case *IPAMBlock:
		b, ok := b.(*IPAMBlock)
		return ok && a.equal(b)
	case *NodeStatus:
		b, ok := b.(*NodeStatus)
		return ok && a.equal(b)
	case *Unparsed:
		b, ok := b.(*Unparsed)
		return ok && *a == *b
	}
	switch a := a.(type) {
	case *IPPool:
		if b, ok := b.(*IPPool); !ok || a.Unused != b.Unused {
			return false
		}
	case *FelixConfiguration:
		if b, ok := b.(*FelixConfiguration); !ok || a.Created != b.Created {
			return false
		}
	}
	return alikeMetadata(MetadataOf(a), MetadataOf(b))
}

func alikeMetadata(x, y *Metadata) bool {
	return x != nil && y != nil && x.ID() == y.ID() && x.DeletionTimestamp == y.DeletionTimestamp &&
		maps.Equal(x.Labels, y.Labels) && slices.Equal(x.rejected, y.rejected) && jsonEqual(x.Spec, y.Spec) &&
		(x.whole == nil && y.whole == nil || x.whole != nil && y.whole != nil && Alike(x.whole, y.whole))
}

// annotations returns the annotations of an object with Metadata.
func annotations(o Object) map[string]string {
	if m := MetadataOf(o); m != nil {
		return m.Annotations
	}
	return nil
}

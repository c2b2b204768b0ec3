// Package calico is Calico's model of BGP as plain Go values: it reads every
// form in which the API serves Calico's objects, applies Calico's defaults and
// names what Calico would ignore. It is pure: no client, no clock.
//
// Rules are given with their source in projectcalico/calico (master of August
// 2026 unless a version is named).
package calico

import (
	"fmt"
	"maps"
)

// Default is the name of the BGPConfiguration, FelixConfiguration and
// ClusterInformation that hold for the whole cluster.
const Default = "default"

// ID identifies one object. All kinds are cluster-scoped but for Secrets, which
// are those of one namespace.
type ID struct {
	Kind Kind
	Name string
}

// String gives "Kind name".
func (id ID) String() string { return string(id.Kind) + " " + id.Name }

// Object is a Node, BGPConfiguration, BGPPeer, IPPool, BGPFilter,
// FelixConfiguration, ClusterInformation, Secret or NodeStatus. Objects are
// immutable once decoded.
type Object interface {
	// ID returns the object's kind and name.
	ID() ID
	// Problems lists what Calico would ignore or refuse in the object.
	Problems() []Problem
}

// Problem is a part of an object that Calico accepts through its API and then
// ignores or refuses, usually with nothing but a line in a log.
type Problem struct {
	// Field is the path of the field, for example "spec.peerIP".
	Field string
	// Message says what is wrong with it and what Calico makes of it.
	Message string
}

// String gives "field: message".
func (p Problem) String() string { return p.Field + ": " + p.Message }

// FieldError is an object's field that does not parse.
type FieldError struct {
	// Field is the path of the field, for example "spec.maxRestartTime".
	Field string
	// Message says what was expected and what was found.
	Message string
}

// Error gives "field: message".
func (e *FieldError) Error() string { return e.Field + ": " + e.Message }

// Metadata is what all objects but Nodes, Secrets and NodeStatuses have in common.
type Metadata struct {
	Name        string
	Labels      map[string]string
	Annotations map[string]string
	// Spec is the object's spec as it was sent, every field of it, also those
	// that this package does not know. It must not be changed.
	Spec map[string]any

	kind     Kind
	sent     map[string]any // the whole object as it was sent
	problems []Problem
}

// ID returns the object's kind and name.
func (m *Metadata) ID() ID { return ID{m.kind, m.Name} }

// Problems lists what Calico would ignore or refuse in the object.
func (m *Metadata) Problems() []Problem { return m.problems }

func (m *Metadata) problem(field, format string, args ...any) {
	m.problems = append(m.problems, Problem{field, fmt.Sprintf(format, args...)})
}

func (m *Metadata) metadata() *Metadata { return m }

// MetadataOf returns the metadata and spec of o, nil if it is a Node, a Secret or a
// NodeStatus.
func MetadataOf(o Object) *Metadata {
	if m, ok := o.(interface{ metadata() *Metadata }); ok {
		return m.metadata()
	}
	return nil
}

// Labels returns the labels of o, as Calico's selectors see them; nil for nil and
// for a Secret or a NodeStatus, of which none are kept.
func Labels(o Object) map[string]string {
	if n, ok := o.(*Node); ok {
		return labelsOf(n.Labels)
	}
	if m := MetadataOf(o); m != nil {
		return labelsOf(m.Labels)
	}
	return nil
}

// labelsOf tells an object without labels from none.
func labelsOf(labels map[string]string) map[string]string {
	if labels == nil {
		return map[string]string{}
	}
	return labels
}

// Manifest returns o as it was sent, with the labels and annotations that its
// author wrote: what Calico wraps into an annotation is unwrapped. A Node that
// was not read from JSON, or is one of projectcalico.org, is made anew as a
// core/v1 Node of what is known of it, and so are a Secret and a NodeStatus. nil for nil. What is
// returned shares values with o and must not be changed.
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
	delete(meta, "managedFields") // They are about the sending, and longer than the rest.
	out["metadata"] = withTexts(meta, m.Labels, m.Annotations)
	return out
}

// withTexts puts labels and annotations into an object's metadata.
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

// Equal reports whether two objects say the same: the same object, labels,
// annotations and spec, whatever their API form. Nil equals only nil.
func Equal(a, b Object) bool {
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
	case *NodeStatus:
		b, ok := b.(*NodeStatus)
		return ok && a.equal(b)
	}
	x, y := MetadataOf(a), MetadataOf(b)
	return x != nil && y != nil && x.ID() == y.ID() && maps.Equal(x.Labels, y.Labels) && maps.Equal(x.Annotations, y.Annotations) &&
		jsonEqual(x.Spec, y.Spec)
}

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

// Kind is the kind of an object that decides BGP.
type Kind string

// The kinds that decide BGP.
const (
	KindNode               Kind = "Node"
	KindBGPConfiguration   Kind = "BGPConfiguration"
	KindBGPPeer            Kind = "BGPPeer"
	KindIPPool             Kind = "IPPool"
	KindFelixConfiguration Kind = "FelixConfiguration"
	KindClusterInformation Kind = "ClusterInformation"
)

// Default is the name of the BGPConfiguration, FelixConfiguration and
// ClusterInformation that hold for the whole cluster.
const Default = "default"

// ID identifies one object; all kinds are cluster-scoped.
type ID struct {
	Kind Kind
	Name string
}

// String gives "Kind name".
func (id ID) String() string { return string(id.Kind) + " " + id.Name }

// Object is a Node, BGPConfiguration, BGPPeer, IPPool, FelixConfiguration or
// ClusterInformation. Objects are immutable once decoded.
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

// Metadata is what all objects but Nodes have in common.
type Metadata struct {
	Name        string
	Labels      map[string]string
	Annotations map[string]string
	// Spec is the object's spec as it was sent, every field of it, also those
	// that this package does not know. It must not be changed.
	Spec map[string]any

	kind     Kind
	problems []Problem
}

// ID returns the object's kind and name.
func (m *Metadata) ID() ID { return ID{m.kind, m.Name} }

// Problems lists what Calico would ignore or refuse in the object.
func (m *Metadata) Problems() []Problem { return m.problems }

func (m *Metadata) problem(field, format string, args ...any) {
	m.problems = append(m.problems, Problem{field, fmt.Sprintf(format, args...)})
}

// Annotation returns the value of an annotation of o, or "" when it has none
// or is a Node.
func Annotation(o Object, key string) string {
	if m, ok := o.(interface{ metadata() *Metadata }); ok {
		return m.metadata().Annotations[key]
	}
	return ""
}

func (m *Metadata) metadata() *Metadata { return m }

// Equal reports whether two objects say the same: the same object, labels,
// annotations and spec, whatever their API form. Nil equals only nil.
func Equal(a, b Object) bool {
	if a == nil || b == nil {
		return a == b
	}
	if an, ok := a.(*Node); ok {
		bn, ok := b.(*Node)
		return ok && an.equal(bn)
	}
	am, ok := a.(interface{ metadata() *Metadata })
	bm, ok2 := b.(interface{ metadata() *Metadata })
	if !ok || !ok2 {
		return false
	}
	x, y := am.metadata(), bm.metadata()
	return x.ID() == y.ID() && maps.Equal(x.Labels, y.Labels) && maps.Equal(x.Annotations, y.Annotations) &&
		jsonEqual(x.Spec, y.Spec)
}

// MetadataOf returns what o has in common with all objects but Nodes, nil where
// o has none. It must not be changed.
func MetadataOf(o Object) *Metadata {
	if m, ok := o.(interface{ metadata() *Metadata }); ok {
		return m.metadata()
	}
	return nil
}

// Package calicotest creates Calico objects and Nodes for tests, as documents and as decoded
// objects.
package calicotest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"testing"

	k8sjson "sigs.k8s.io/json"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// Spec is the spec of an object, or a part of it.
type Spec = map[string]any

// Tweak changes a document before it is decoded.
type Tweak func(document map[string]any)

// Document returns a projectcalico.org/v3 object, or one of tigera-operator, in the form that Kubernetes' JSON decoder
// returns, in which integers are int64. It has no spec if spec is nil. It shares no values
// with spec.
func Document(t testing.TB, kind calico.Kind, name string, spec Spec, tweaks ...Tweak) map[string]any {
	t.Helper()
	document := map[string]any{"apiVersion": calico.APIVersionV3, "kind": kind, "metadata": map[string]any{"name": name}}
	if kind.Info().Operator {
		document["apiVersion"] = calico.APIVersionOperator
	}
	if spec == nil && kind == calico.KindIPAMBlock { // The only kind that is invalid without a spec.
		spec = Spec{"cidr": "10.244.0.0/26"}
	}
	if spec != nil {
		document["spec"] = spec
	}
	for _, tweak := range tweaks {
		tweak(document)
	}
	return plain(t, document)
}

// plain converts every value of a document to the type of decoded JSON.
func plain(t testing.TB, document map[string]any) (out map[string]any) {
	t.Helper()
	if err := k8sjson.UnmarshalCaseSensitivePreserveInts(JSON(t, document), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// JSON encodes a document.
func JSON(t testing.TB, document map[string]any) []byte {
	t.Helper()
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false) // Selectors stay readable.
	if err := encoder.Encode(document); err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// Decode decodes a document of any kind and API version.
func Decode(t testing.TB, document map[string]any) calico.Object {
	t.Helper()
	o, err := calico.Decode(document)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// Object returns a decoded projectcalico.org/v3 object of any kind.
func Object(t testing.TB, kind calico.Kind, name string, spec Spec, tweaks ...Tweak) calico.Object {
	t.Helper()
	return Decode(t, Document(t, kind, name, spec, tweaks...))
}

// typed is like Object but returns a T.
func typed[T calico.Object](t testing.TB, kind calico.Kind, name string, spec Spec, tweaks []Tweak) T {
	t.Helper()
	o, ok := Object(t, kind, name, spec, tweaks...).(T)
	if !ok {
		t.Fatalf("%s %s does not decode to a %T", kind, name, *new(T))
	}
	return o
}

// BGPPeer returns a BGPPeer.
func BGPPeer(t testing.TB, name string, spec Spec, tweaks ...Tweak) *calico.BGPPeer {
	t.Helper()
	return typed[*calico.BGPPeer](t, calico.KindBGPPeer, name, spec, tweaks)
}

// BGPConfiguration returns a BGPConfiguration.
func BGPConfiguration(t testing.TB, name string, spec Spec, tweaks ...Tweak) *calico.BGPConfiguration {
	t.Helper()
	return typed[*calico.BGPConfiguration](t, calico.KindBGPConfiguration, name, spec, tweaks)
}

// Mesh returns the default BGPConfiguration with the node-to-node mesh on or off.
func Mesh(t testing.TB, on bool, tweaks ...Tweak) *calico.BGPConfiguration {
	t.Helper()
	return BGPConfiguration(t, calico.Default, Spec{"nodeToNodeMeshEnabled": on}, tweaks...)
}

// IPPool returns an IPPool.
func IPPool(t testing.TB, name string, spec Spec, tweaks ...Tweak) *calico.IPPool {
	t.Helper()
	return typed[*calico.IPPool](t, calico.KindIPPool, name, spec, tweaks)
}

// ClusterInformation returns the ClusterInformation of a Calico version.
func ClusterInformation(t testing.TB, version string) *calico.ClusterInformation {
	t.Helper()
	return typed[*calico.ClusterInformation](t, calico.KindClusterInformation, calico.Default, Spec{"calicoVersion": version}, nil)
}

// Node returns a projectcalico.org/v3 Node. It has no BGP address unless a tweak adds one.
func Node(t testing.TB, name string, tweaks ...Tweak) *calico.Node {
	t.Helper()
	return typed[*calico.Node](t, calico.KindNode, name, nil, tweaks)
}

// NumberedNode returns node number i, from 0 to 16,777,215. Its name is NodeName(i). Its BGP
// address is NodeAddress(i), in 10.0.0.0/8.
func NumberedNode(t testing.TB, i int, tweaks ...Tweak) *calico.Node {
	t.Helper()
	return Node(t, NodeName(i), append([]Tweak{IPv4(NodeAddress(i) + "/8")}, tweaks...)...)
}

// Nodes returns the nodes numbered from 0 to n-1, each with the same tweaks.
func Nodes(t testing.TB, n int, tweaks ...Tweak) []calico.Object {
	t.Helper()
	out := make([]calico.Object, n)
	for i := range out {
		out[i] = NumberedNode(t, i, tweaks...)
	}
	return out
}

// NodeName returns the name of node number i.
func NodeName(i int) string { return fmt.Sprintf("node-%05d", i) }

// NodeAddress returns the BGP address of node number i.
func NodeAddress(i int) string { return fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255) }

// IPv4 sets a Node's IPv4 BGP address, with or without a prefix length.
func IPv4(address string) Tweak { return BGP("ipv4Address", address) }

// IPv6 sets a Node's IPv6 BGP address.
func IPv6(address string) Tweak { return BGP("ipv6Address", address) }

// ASNumber sets a Node's own AS number.
func ASNumber(number uint32) Tweak { return BGP("asNumber", number) }

// RouteReflector makes a Node a route reflector.
func RouteReflector(clusterID string) Tweak { return BGP("routeReflectorClusterID", clusterID) }

// BGP sets a field of a Node's spec.bgp.
func BGP(field string, value any) Tweak {
	return func(document map[string]any) { inner(inner(document, "spec"), "bgp")[field] = value }
}

// Label sets a label.
func Label(key, value string) Tweak {
	return func(document map[string]any) { inner(inner(document, "metadata"), "labels")[key] = value }
}

// Annotation sets an annotation.
func Annotation(key, value string) Tweak {
	return func(document map[string]any) { inner(inner(document, "metadata"), "annotations")[key] = value }
}

// Status sets the status.
func Status(status map[string]any) Tweak {
	return func(document map[string]any) { document["status"] = status }
}

// DeletionTimestamp makes an object terminating.
func DeletionTimestamp(document map[string]any) {
	inner(document, "metadata")["deletionTimestamp"] = "2026-01-02T03:04:05Z"
}

// NotReady sets the condition Ready of a core/v1 Node to False.
func NotReady(document map[string]any) {
	inner(document, "status")["conditions"] = []any{map[string]any{"type": "Ready", "status": "False"}}
}

// CRD sets the API version to crd.projectcalico.org/v1.
func CRD(document map[string]any) { APIVersion(calico.APIVersionV1)(document) }

// APIVersion sets the API version.
func APIVersion(version string) Tweak {
	return func(document map[string]any) { document["apiVersion"] = version }
}

// inner replaces the object in a field with a copy, or with an empty object if the field is
// absent, and returns the copy.
func inner(of map[string]any, field string) map[string]any {
	old, _ := of[field].(map[string]any)
	o := maps.Clone(old)
	if o == nil {
		o = map[string]any{}
	}
	of[field] = o
	return o
}

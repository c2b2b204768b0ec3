package calico

import (
	"reflect"
	"testing"
)

// servedNodes are Nodes in the form in which an API server writes them.
var servedNodes = map[string]string{
	"a node": `{"kind":"Node","apiVersion":"v1","metadata":{"name":"a","uid":"7c2f","labels":{"rack":"r1"},"annotations":{"projectcalico.org/IPv4Address":"10.0.0.1/24"}},
		"spec":{"podCIDR":"172.16.0.0/24"},"status":{"capacity":{"pods":"110"},"conditions":[{"type":"MemoryPressure","status":"False"},{"type":"Ready","status":"True"}],
		"addresses":[{"type":"InternalIP","address":"10.0.0.1"},{"type":"ExternalIP","address":"192.0.2.1"},{"type":"Hostname","address":"a"}],"images":[{"names":["x"],"sizeBytes":12345678901}]}}`,
	"nothing but a name":  `{"kind":"Node","apiVersion":"v1","metadata":{"name":"a"}}`,
	"empty values":        `{"kind":"Node","apiVersion":"v1","metadata":{"name":"a","labels":{},"annotations":{}},"spec":{},"status":{"conditions":[],"addresses":[]}}`,
	"not ready":           `{"kind":"Node","apiVersion":"v1","metadata":{"name":"a","deletionTimestamp":"2026-01-01T00:00:00Z"},"status":{"conditions":[{"type":"Ready","status":"Unknown"},{"type":"Ready","status":"True"}]}}`,
	"a route reflector":   `{"kind":"Node","apiVersion":"v1","metadata":{"name":"a","annotations":{"projectcalico.org/IPv6Address":"2001:db8::1/64","projectcalico.org/ASNumber":"1.10","projectcalico.org/RouteReflectorClusterID":"244.0.0.1"}}}`,
	"invalid annotations": `{"kind":"Node","apiVersion":"v1","metadata":{"name":"a","annotations":{"projectcalico.org/IPv4Address":"x","projectcalico.org/ASNumber":"x","projectcalico.org/labels":"{\"a\":1}"}}}`,
	"labels of Calico":    `{"kind":"Node","apiVersion":"v1","metadata":{"name":"a","labels":{"b":"2"},"annotations":{"projectcalico.org/labels":"{\"a\":\"1\",\"b\":\"1\"}"}}}`,
}

// otherNodes have another form, or values that decodeCoreNode reports.
var otherNodes = map[string]string{
	"another order":         `{"apiVersion":"v1","kind":"Node","metadata":{"name":"a"}}`,
	"another kind later":    `{"kind":"Node","apiVersion":"v1","metadata":{"name":"a"},"kind":"BGPPeer"}`,
	"another version":       `{"kind":"Node","apiVersion":"v1","metadata":{"name":"a"},"apiVersion":"projectcalico.org/v3"}`,
	"a label that is none":  `{"kind":"Node","apiVersion":"v1","metadata":{"name":"a","labels":{"a":1}}}`,
	"a label that is null":  `{"kind":"Node","apiVersion":"v1","metadata":{"name":"a","labels":{"a":null}}}`,
	"no name":               `{"kind":"Node","apiVersion":"v1","metadata":{}}`,
	"a spec that is a list": `{"kind":"Node","apiVersion":"v1","metadata":{"name":"a"},"spec":[]}`,
	"an address of numbers": `{"kind":"Node","apiVersion":"v1","metadata":{"name":"a"},"status":{"addresses":[{"type":"InternalIP","address":1}]}}`,
	"no JSON":               `{"kind":"Node","apiVersion":"v1",`,
}

func TestANodeOfAnAPIServerIsDecodedLikeAnyOther(t *testing.T) {
	for name, text := range servedNodes {
		t.Run(name, func(t *testing.T) {
			if decodeServedNode([]byte(text)) == nil {
				t.Error("it is decoded as a whole")
			}
			compareNode(t, text)
		})
	}
	for name, text := range otherNodes {
		t.Run(name, func(t *testing.T) {
			if decodeServedNode([]byte(text)) != nil {
				t.Error("it is not decoded as a whole")
			}
		})
	}
}

func FuzzServedNode(f *testing.F) {
	for _, text := range servedNodes {
		f.Add(text)
	}
	for _, text := range otherNodes {
		f.Add(text)
	}
	f.Fuzz(compareNode)
}

// compareNode compares decodeServedNode with decodeCoreNode.
func compareNode(t *testing.T, text string) {
	got := decodeServedNode([]byte(text))
	if got == nil {
		return
	}
	o, err := decodeJSON([]byte(text), DecodeStored)
	if err != nil {
		t.Fatalf("%s\nis an error for the decoder of all objects: %v", text, err)
	}
	want, ok := o.(*Node)
	if !ok || !Equal(got, want) || got.Core() != want.Core() {
		t.Errorf("%s\ngot  %+v\nwant %+v", text, got, o)
	}
	if a, b := Manifest(got), Manifest(want); !reflect.DeepEqual(a, b) {
		t.Errorf("%s\ndocument %v\nwant     %v", text, a, b)
	}
}

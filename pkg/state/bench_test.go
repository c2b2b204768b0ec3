package state

import (
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
)

// benchObjects returns 5,000 Nodes and the objects that configure their sessions.
func benchObjects(b *testing.B) []calico.Object {
	b.Helper()
	objects := append(calicotest.Nodes(b, 5000), calicotest.Mesh(b, false), calicotest.IPPool(b, "pods", calicotest.Spec{"cidr": "192.168.0.0/16"}))
	for i := range 20 {
		objects = append(objects, calicotest.BGPPeer(b, calicotest.NodeName(i), calicotest.Spec{"peerSelector": "has(rr)"}))
	}
	return objects
}

func BenchmarkNew(b *testing.B) {
	objects := benchObjects(b)
	b.ReportAllocs()
	for b.Loop() {
		New(objects...)
	}
}

func BenchmarkApply(b *testing.B) {
	s := New(benchObjects(b)...)
	for name, change := range map[string]Change{
		"kind=Node":    {After: calicotest.NumberedNode(b, 2500, calicotest.Label("rack", "b"))},
		"kind=BGPPeer": {After: calicotest.BGPPeer(b, calicotest.NodeName(7), calicotest.Spec{"peerSelector": "all()"})},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if s.Apply(change) == s {
					b.Fatal("nothing changed")
				}
			}
		})
	}
}

func BenchmarkGet(b *testing.B) {
	s := New(benchObjects(b)...)
	id := calico.ID{Kind: calico.KindNode, Name: calicotest.NodeName(1234)}
	b.ReportAllocs()
	for b.Loop() {
		if s.Get(id) == nil {
			b.Fatal("there is no such node")
		}
	}
}

func BenchmarkNodes(b *testing.B) {
	s := New(benchObjects(b)...)
	b.ReportAllocs()
	for b.Loop() {
		if len(s.Nodes()) != 5000 {
			b.Fatal("other nodes")
		}
	}
}

func BenchmarkDifference(b *testing.B) {
	objects := benchObjects(b)
	before, after := New(objects...), New(objects...)
	b.ReportAllocs()
	for b.Loop() {
		if len(Difference(before, after)) > 0 {
			b.Fatal("there is a difference")
		}
	}
}

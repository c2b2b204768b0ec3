package calicotest

import (
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

func TestDocuments(t *testing.T) {
	tests := map[string]struct {
		document map[string]any
		want     string
	}{
		"a peer": {
			Document(t, calico.KindBGPPeer, "p", Spec{"asNumber": 64512, "filters": []string{"a"}}),
			`{"apiVersion":"projectcalico.org/v3","kind":"BGPPeer","metadata":{"name":"p"},"spec":{"asNumber":64512,"filters":["a"]}}`,
		},
		"a peer as a CRD, with metadata": {
			Document(t, calico.KindBGPPeer, "p", nil, CRD, Label("a", "b"), Annotation("c", "d")),
			`{"apiVersion":"crd.projectcalico.org/v1","kind":"BGPPeer","metadata":{"annotations":{"c":"d"},"labels":{"a":"b"},"name":"p"}}`,
		},
		"a Node": {
			Document(t, calico.KindNode, "n", nil, IPv4("10.0.0.1/24"), IPv6("fd00::1"), ASNumber(64513), RouteReflector("244.0.0.1")),
			`{"apiVersion":"projectcalico.org/v3","kind":"Node","metadata":{"name":"n"},"spec":{"bgp":{"asNumber":64513,"ipv4Address":"10.0.0.1/24","ipv6Address":"fd00::1","routeReflectorClusterID":"244.0.0.1"}}}`,
		},
		"a selector": {
			Document(t, calico.KindBGPPeer, "p", Spec{"nodeSelector": "has(a) && b == '<'"}),
			`{"apiVersion":"projectcalico.org/v3","kind":"BGPPeer","metadata":{"name":"p"},"spec":{"nodeSelector":"has(a) && b == '<'"}}`,
		},
		"a status": {
			Document(t, calico.KindCalicoNodeStatus, "s", nil, Status(map[string]any{"bgp": map[string]any{"numberEstablishedV4": 1}})),
			`{"apiVersion":"projectcalico.org/v3","kind":"CalicoNodeStatus","metadata":{"name":"s"},"status":{"bgp":{"numberEstablishedV4":1}}}`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := string(JSON(t, test.document)); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestADocumentSharesNothingWithItsSpec(t *testing.T) {
	spec := Spec{"bgp": map[string]any{"asNumber": 1}}
	Document(t, calico.KindNode, "n", spec, ASNumber(2))
	if got := spec["bgp"].(map[string]any)["asNumber"]; got != 1 {
		t.Errorf("a tweak changed the spec: AS number %v", got)
	}
}

func TestNumberedNodes(t *testing.T) {
	nodes := Nodes(t, 300, Label("rack", "a"))
	n := nodes[299].(*calico.Node)
	if n.Name != "node-00299" || n.Address[calico.IPv4].String() != "10.0.1.43/8" || n.Labels["rack"] != "a" {
		t.Errorf("got %+v", n)
	}
	if Mesh(t, false).MeshEnabled() || ClusterInformation(t, "v3.31.2").Version.String() != "3.31.2" {
		t.Error("got the mesh on, or another version")
	}
	if got := BGPPeer(t, "p", Spec{"peerIP": "10.0.0.1", "asNumber": 64513}); got.ASNumber != 64513 {
		t.Errorf("got %+v", got)
	}
	if got := IPPool(t, "pool", Spec{"cidr": "fd00::/64"}); got.Family != calico.IPv6 {
		t.Errorf("got %+v", got)
	}
}

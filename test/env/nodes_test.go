package env

import (
	"maps"
	"net/netip"
	"testing"
)

func TestNodeIsAnnotatedAsCalicoDoes(t *testing.T) {
	want := map[string]string{
		"node.alpha.kubernetes.io/ttl":                           "0",
		"projectcalico.org/ASNumber":                             "64513",
		"projectcalico.org/IPv4Address":                          "10.0.1.2/16",
		"projectcalico.org/IPv4IPIPTunnelAddr":                   "192.168.1.2",
		"projectcalico.org/IPv6Address":                          "fd00:10::1:2/64",
		"projectcalico.org/RouteReflectorClusterID":              "244.0.0.1",
		"volumes.kubernetes.io/controller-managed-attach-detach": "true",
	}
	node := Node(251, RouteReflector("244.0.0.1"), ASNumber(64513))
	if !maps.Equal(node.Annotations, want) {
		t.Errorf("\n got: %v\nwant: %v", node.Annotations, want)
	}
}

func TestNodesHaveAddressesOfTheirOwn(t *testing.T) {
	owners := map[netip.Addr]string{}
	for _, node := range Nodes(10_000) {
		for _, annotation := range []string{"projectcalico.org/IPv4Address", "projectcalico.org/IPv6Address"} {
			prefix, err := netip.ParsePrefix(node.Annotations[annotation])
			if err != nil {
				t.Fatal(err)
			}
			if owner, taken := owners[prefix.Addr()]; taken {
				t.Fatalf("%s and %s share the address %s", owner, node.Name, prefix.Addr())
			}
			owners[prefix.Addr()] = node.Name
		}
	}
}

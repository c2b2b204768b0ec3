package calico_test

import (
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
)

// owner returns the attributes of an allocated address.
func owner(handle string, secondary map[string]any) map[string]any {
	return map[string]any{"handle_id": handle, "secondary": secondary}
}

func TestIPAMBlocksShowWherePodsHaveAddresses(t *testing.T) {
	pod := owner("k8s-pod-network.1", map[string]any{"namespace": "default", "node": "a", "pod": "web"})
	vxlan := owner("vxlan-tunnel-addr-a", map[string]any{"node": "a", "type": "vxlanTunnelAddress"})
	ipip := owner("ipip-tunnel-addr-a", map[string]any{"node": "a", "type": "ipipTunnelAddress"})
	windows := owner("windows-reserved-ipam-handle", map[string]any{"note": "windows host rsvd"})
	for name, test := range map[string]struct {
		spec calicotest.Spec
		want bool
	}{
		"no allocations":                       {calicotest.Spec{}, false},
		"free addresses":                       {calicotest.Spec{"allocations": []any{nil, nil}, "attributes": []any{}}, false},
		"a pod":                                {calicotest.Spec{"allocations": []any{nil, 0}, "attributes": []any{pod}}, true},
		"tunnels of the node":                  {calicotest.Spec{"allocations": []any{0, nil, 1}, "attributes": []any{vxlan, ipip}}, false},
		"a tunnel and a pod":                   {calicotest.Spec{"allocations": []any{0, 1}, "attributes": []any{vxlan, pod}}, true},
		"addresses that Windows reserves":      {calicotest.Spec{"allocations": []any{0, 0, 0}, "attributes": []any{windows}}, false},
		"an owner without attributes":          {calicotest.Spec{"allocations": []any{3}, "attributes": []any{}}, true},
		"an owner without a handle":            {calicotest.Spec{"allocations": []any{0}, "attributes": []any{map[string]any{}}}, true},
		"an allocation that is no number":      {calicotest.Spec{"allocations": []any{"x"}, "attributes": []any{vxlan}}, true},
		"attributes of a pod that is gone":     {calicotest.Spec{"allocations": []any{nil}, "attributes": []any{pod}}, false},
		"a deleted block":                      {calicotest.Spec{"allocations": []any{0}, "attributes": []any{pod}, "deleted": true}, false},
		"addresses of Services":                {calicotest.Spec{"affinity": "virtual:load-balancer", "allocations": []any{0}, "attributes": []any{owner("lb-1", nil)}}, false},
		"a block without affinity with a pod":  {calicotest.Spec{"allocations": []any{0}, "attributes": []any{pod}}, true},
		"a block of a node with another's pod": {calicotest.Spec{"affinity": "host:b", "allocations": []any{0}, "attributes": []any{pod}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			test.spec["cidr"] = "10.244.0.65/26"
			o := calicotest.Object(t, calico.KindIPAMBlock, "10-244-0-64-26", test.spec)
			b, ok := o.(*calico.IPAMBlock)
			if !ok || b.Pods != test.want || b.CIDR.String() != "10.244.0.64/26" {
				t.Errorf("got %+v, want pods: %t", o, test.want)
			}
			if again := calicotest.Decode(t, calico.Manifest(b)); !calico.Equal(b, again) {
				t.Errorf("its manifest decodes to %+v", again)
			}
		})
	}
}

// Most pods that start and stop change nothing that is stored.
func TestAnIPAMBlockWithOnePodMoreIsEqual(t *testing.T) {
	block := func(pods int) calico.Object {
		allocations := make([]any, pods)
		for i := range allocations {
			allocations[i] = 0
		}
		return calicotest.Object(t, calico.KindIPAMBlock, "b", calicotest.Spec{"cidr": "10.244.0.0/26", "allocations": allocations, "sequenceNumber": pods})
	}
	if !calico.Equal(block(1), block(2)) || calico.Equal(block(0), block(1)) {
		t.Error("blocks with one and two pods differ, or those with none and one do not")
	}
}

func TestAnIPAMBlockWithoutCIDRDoesNotDecode(t *testing.T) {
	for want, spec := range map[string]calicotest.Spec{
		`spec.cidr: must be a CIDR, is ""`:            {},
		`spec.cidr: must be a CIDR, is "10.0.0.0"`:    {"cidr": "10.0.0.0"},
		`spec.cidr: must be a string, is 1`:           {"cidr": 1},
		`spec.allocations: must be a list, is "none"`: {"cidr": "10.0.0.0/26", "allocations": "none"},
	} {
		if _, err := calico.Decode(calicotest.Document(t, calico.KindIPAMBlock, "b", spec)); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

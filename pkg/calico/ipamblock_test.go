package calico_test

import (
	"fmt"
	"maps"
	"math/big"
	"strconv"
	"strings"
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
	other := owner("k8s-pod-network.2", map[string]any{"namespace": "default", "node": "c", "pod": "web"})
	vxlan := owner("vxlan-tunnel-addr-a", map[string]any{"node": "a", "type": "vxlanTunnelAddress"})
	ipip := owner("ipip-tunnel-addr-a", map[string]any{"node": "a", "type": "ipipTunnelAddress"})
	windows := owner("windows-reserved-ipam-handle", map[string]any{"note": "windows host rsvd"})
	for name, test := range map[string]struct {
		spec calicotest.Spec
		want string
	}{
		"no allocations":                       {calicotest.Spec{}, ` own=false []`},
		"free addresses":                       {calicotest.Spec{"allocations": []any{nil, nil}, "attributes": []any{}}, ` own=false []`},
		"a pod":                                {calicotest.Spec{"affinity": "host:a", "allocations": []any{nil, 0}, "attributes": []any{pod}}, `a own=true []`},
		"tunnels of the node":                  {calicotest.Spec{"affinity": "host:a", "allocations": []any{0, nil, 1}, "attributes": []any{vxlan, ipip}}, `a own=false []`},
		"a tunnel of another node":             {calicotest.Spec{"affinity": "host:b", "allocations": []any{0}, "attributes": []any{vxlan}}, `b own=false []`},
		"a tunnel and a pod":                   {calicotest.Spec{"affinity": "host:a", "allocations": []any{0, 1}, "attributes": []any{vxlan, pod}}, `a own=true []`},
		"addresses that Windows reserves":      {calicotest.Spec{"affinity": "host:a", "allocations": []any{0, 0, 0}, "attributes": []any{windows}}, `a own=false []`},
		"an owner without attributes":          {calicotest.Spec{"allocations": []any{3}, "attributes": []any{}}, ` own=true []`},
		"an owner without a handle":            {calicotest.Spec{"allocations": []any{0}, "attributes": []any{map[string]any{}}}, ` own=true []`},
		"an owner without a node":              {calicotest.Spec{"affinity": "host:a", "allocations": []any{0}, "attributes": []any{owner("x", nil)}}, `a own=true []`},
		"an allocation that is no number":      {calicotest.Spec{"allocations": []any{"x"}, "attributes": []any{vxlan}}, ` own=true []`},
		"attributes of a pod that is gone":     {calicotest.Spec{"allocations": []any{nil}, "attributes": []any{pod}}, ` own=false []`},
		"a deleted block":                      {calicotest.Spec{"affinity": "host:a", "allocations": []any{0}, "attributes": []any{pod}, "deleted": true}, `a own=false []`},
		"addresses of Services":                {calicotest.Spec{"affinity": "virtual:load-balancer", "allocations": []any{0}, "attributes": []any{owner("lb-1", nil)}}, ` own=false []`},
		"a block without affinity with a pod":  {calicotest.Spec{"allocations": []any{0}, "attributes": []any{pod}}, ` own=false [{a 10.244.0.64}]`},
		"a block of a node with another's pod": {calicotest.Spec{"affinity": "host:b", "allocations": []any{nil, 0}, "attributes": []any{pod}}, `b own=false [{a 10.244.0.65}]`},
		"pods of three nodes": {
			calicotest.Spec{"affinity": "host:a", "allocations": []any{1, 0, 1, 2}, "attributes": []any{pod, other, owner("x", map[string]any{"node": "d"})}},
			`a own=true [{c 10.244.0.64} {c 10.244.0.66} {d 10.244.0.67}]`,
		},
		"an address after the block": {calicotest.Spec{"cidr": "10.244.0.64/32", "affinity": "host:a", "allocations": []any{nil, 0}, "attributes": []any{other}}, `a own=true []`},
		"an affinity without a host": {calicotest.Spec{"affinity": "host:", "allocations": []any{0}, "attributes": []any{pod}}, ` own=false [{a 10.244.0.64}]`},
	} {
		t.Run(name, func(t *testing.T) {
			if test.spec["cidr"] == nil {
				test.spec["cidr"] = "10.244.0.65/26"
			}
			o := calicotest.Object(t, calico.KindIPAMBlock, "10-244-0-64-26", test.spec)
			b := o.(*calico.IPAMBlock)
			if got := fmt.Sprintf("%s own=%t %v", b.Node, b.Own, b.Borrowed); got != test.want || b.CIDR.Addr().String() != "10.244.0.64" {
				t.Errorf("got %s in %s, want %s", got, b.CIDR, test.want)
			}
			if b.Pods() == strings.HasSuffix(test.want, "own=false []") {
				t.Errorf("pods: %t", b.Pods())
			}
			if again := calicotest.Decode(t, calico.Manifest(b)); !calico.Equal(b, again) {
				t.Errorf("its manifest decodes to %+v", again)
			}
		})
	}
}

// FuzzIPAMBlock compares the nodes of the pods with those of a slow evaluation of each address, and checks
// that the manifest of a block decodes to an equal block.
func FuzzIPAMBlock(f *testing.F) {
	f.Add("10.244.0.64/26", "host:a", "0,1,,2,9", "a;b;;c tunnel")
	f.Add("fd00::/127", "virtual:load-balancer", "0,0,0", "a")
	f.Add("10.0.0.0/31", "", "0,1,2,3", "b;a")
	f.Fuzz(func(t *testing.T, cidr, affinity, allocated, owners string) {
		var allocations, attributes []any
		for one := range strings.SplitSeq(allocated, ",") {
			var entry any
			if n, err := strconv.Atoi(one); err == nil {
				entry = n
			}
			allocations = append(allocations, entry)
		}
		for one := range strings.SplitSeq(owners, ";") {
			node, tunnel := strings.CutSuffix(one, " tunnel")
			secondary := map[string]any{"node": node}
			if tunnel {
				secondary["type"] = "ipipTunnelAddress"
			}
			attributes = append(attributes, owner("h", secondary))
		}
		o, err := calico.Decode(calicotest.Document(t, calico.KindIPAMBlock, "b", calicotest.Spec{
			"cidr": cidr, "affinity": affinity, "allocations": allocations, "attributes": attributes,
		}))
		if err != nil {
			return
		}
		b := o.(*calico.IPAMBlock)
		nodes := map[string]int{}
		for i, entry := range allocations {
			at, ok := entry.(int)
			if !ok || strings.HasPrefix(affinity, "virtual:") {
				continue
			}
			node := "" // The node of the block.
			if at >= 0 && at < len(attributes) {
				text := strings.Split(owners, ";")[at]
				if strings.HasSuffix(text, " tunnel") {
					continue
				}
				address := new(big.Int).Add(new(big.Int).SetBytes(b.CIDR.Addr().AsSlice()), big.NewInt(int64(i)))
				last := new(big.Int).Add(new(big.Int).SetBytes(b.CIDR.Addr().AsSlice()), new(big.Int).Lsh(big.NewInt(1), uint(b.CIDR.Addr().BitLen()-b.CIDR.Bits())))
				if "host:"+text != affinity && address.Cmp(last) < 0 {
					node = text
				}
			}
			nodes[node]++
		}
		got := map[string]int{}
		for _, one := range b.Borrowed {
			got[one.Node]++
			if !b.CIDR.Contains(one.Address) {
				t.Errorf("%s is not in %s", one.Address, b.CIDR)
			}
		}
		if b.Own != (nodes[""] > 0) {
			t.Errorf("own: %t, want %v", b.Own, nodes)
		}
		delete(nodes, "")
		if !maps.Equal(got, nodes) {
			t.Errorf("borrowed: %v, want %v", got, nodes)
		}
		if again := calicotest.Decode(t, calico.Manifest(b)); !calico.Equal(b, again) {
			t.Errorf("%+v: its manifest decodes to %+v", b, again)
		}
	})
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

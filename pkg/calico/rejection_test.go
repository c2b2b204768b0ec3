package calico_test

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/test/golden"
)

// rejected returns the fields that are rejected in a family, with the beginning of the message.
func rejected(list []calico.Rejected) string {
	texts := make([]string, len(list))
	for i, r := range list {
		texts[i] = r.Field + ": " + r.Message
	}
	return strings.Join(texts, "; ")
}

func TestRejectedValuesOfABGPFilter(t *testing.T) {
	for name, c := range map[string]struct {
		field string
		rule  calicotest.Spec
		want  string
	}{
		"a rule without conditions":             {"exportV4", calicotest.Spec{}, ""},
		"a network":                             {"exportV4", calicotest.Spec{"cidr": "10.0.0.0/8", "matchOperator": "In"}, ""},
		"host bits":                             {"importV4", calicotest.Spec{"cidr": "10.0.0.1/8", "matchOperator": "In"}, `spec.importV4[0].cidr: "10.0.0.1/8" has host bits, its network is 10.0.0.0/8`},
		"a mask of 33":                          {"importV4", calicotest.Spec{"cidr": "10.0.0.0/33", "matchOperator": "In"}, `spec.importV4[0].cidr: "10.0.0.0/33" has a mask longer than 32`},
		"the other family":                      {"exportV4", calicotest.Spec{"cidr": "fd00::/8", "matchOperator": "In"}, `spec.exportV4[0].cidr: "fd00::/8" is not an IPv4 network`},
		"an IPv4 network in IPv6":               {"exportV6", calicotest.Spec{"cidr": "10.0.0.1/8", "matchOperator": "In"}, ""},
		"an IPv4 network with a range in IPv6":  {"exportV6", calicotest.Spec{"cidr": "10.0.0.0/8", "matchOperator": "In", "prefixLength": calicotest.Spec{}}, `spec.exportV6[0].cidr: "10.0.0.0/8" is not an IPv6 network, which prefixLength needs`},
		"an address":                            {"exportV4", calicotest.Spec{"cidr": "10.0.0.1", "matchOperator": "In"}, ""},
		"an address with a range":               {"exportV4", calicotest.Spec{"cidr": "10.0.0.1", "matchOperator": "In", "prefixLength": calicotest.Spec{"min": 8}}, `spec.exportV4[0].cidr: "10.0.0.1" is not an IPv4 network, which prefixLength needs`},
		"no network":                            {"exportV4", calicotest.Spec{"cidr": "pods", "matchOperator": "In"}, `spec.exportV4[0].cidr: "pods" is not a network`},
		"a zone":                                {"exportV6", calicotest.Spec{"cidr": "fe80::%eth0/64", "matchOperator": "In"}, `spec.exportV6[0].cidr: "fe80::%eth0/64" is not a network`},
		"no operator":                           {"exportV4", calicotest.Spec{"cidr": "10.0.0.0/8"}, `spec.exportV4[0].matchOperator: "" is not Equal, NotEqual, In or NotIn`},
		"an operator without a cidr":            {"exportV4", calicotest.Spec{"matchOperator": "Contains"}, ""},
		"min above max":                         {"exportV4", calicotest.Spec{"cidr": "10.0.0.0/8", "matchOperator": "In", "prefixLength": calicotest.Spec{"min": 24, "max": 16}}, `spec.exportV4[0].prefixLength: no length is at least 24 and at most 16, in 10.0.0.0/8`},
		"max below the length of the cidr":      {"exportV4", calicotest.Spec{"cidr": "10.0.0.0/8", "matchOperator": "In", "prefixLength": calicotest.Spec{"max": 4}}, `spec.exportV4[0].prefixLength: no length is at least 8 and at most 4, in 10.0.0.0/8`},
		"min below the length of the cidr":      {"exportV4", calicotest.Spec{"cidr": "10.0.0.0/8", "matchOperator": "In", "prefixLength": calicotest.Spec{"min": 4, "max": 40}}, ""},
		"min above 128":                         {"exportV6", calicotest.Spec{"cidr": "fd00::/8", "matchOperator": "In", "prefixLength": calicotest.Spec{"min": 129}}, `spec.exportV6[0].prefixLength: no length is at least 129 and at most 128, in fd00::/8`},
		"a mapped network with a range":         {"exportV6", calicotest.Spec{"cidr": "::ffff:10.0.0.0/104", "matchOperator": "In", "prefixLength": calicotest.Spec{}}, `spec.exportV6[0].prefixLength: no length is at least 104 and at most 32, in ::ffff:10.0.0.0/104`},
		"an action in lower case":               {"exportV4", calicotest.Spec{"action": "accept"}, `spec.exportV4[0].action: "accept" is neither Accept nor Reject`},
		"another source":                        {"exportV4", calicotest.Spec{"source": "Kernel"}, `spec.exportV4[0].source: "Kernel" is not RemotePeers`},
		"an interface with a pattern":           {"exportV4", calicotest.Spec{"interface": "eth*"}, ""},
		"a quotation mark":                      {"exportV4", calicotest.Spec{"interface": `a"b`}, `spec.exportV4[0].interface: contains a quotation mark`},
		"a line break":                          {"exportV4", calicotest.Spec{"interface": "a\nb"}, `spec.exportV4[0].interface: contains a line break`},
		"a large community":                     {"exportV4", calicotest.Spec{"communities": calicotest.Spec{"values": []any{"4294967295:1:2"}}}, ""},
		"a community out of range":              {"exportV4", calicotest.Spec{"communities": calicotest.Spec{"values": []any{"65536:1"}}}, `spec.exportV4[0].communities.values[0]: "65536:1" has a part that is not a number from 0 to 65535`},
		"a large community out of range":        {"exportV4", calicotest.Spec{"communities": calicotest.Spec{"values": []any{"1:2:4294967296"}}}, `spec.exportV4[0].communities.values[0]: "1:2:4294967296" has a part that is not a number from 0 to 4294967295`},
		"a community of one part":               {"exportV4", calicotest.Spec{"communities": calicotest.Spec{"values": []any{"no-export"}}}, `spec.exportV4[0].communities.values[0]: "no-export" does not have two or three parts`},
		"no communities":                        {"exportV4", calicotest.Spec{"communities": calicotest.Spec{"values": []any{}}}, `spec.exportV4[0].communities: has no values`},
		"a negative priority up to 2147483648":  {"exportV4", calicotest.Spec{"priority": -2147483648}, ""},
		"a priority that is out of range":       {"exportV4", calicotest.Spec{"priority": 2147483648}, `spec.exportV4[0].priority: 2147483648 is not a number from 0 to 2147483647`},
		"an operation that sets nothing":        {"exportV4", calicotest.Spec{"operations": []any{calicotest.Spec{}}}, `spec.exportV4[0].operations[0]: sets none of addCommunity, prependASPath and setPriority`},
		"an added community out of range":       {"exportV4", calicotest.Spec{"operations": []any{calicotest.Spec{"addCommunity": calicotest.Spec{"value": "1:65536"}}}}, `spec.exportV4[0].operations[0].addCommunity.value: "1:65536" has a part that is not a number from 0 to 65535`},
		"a priority that an operation sets":     {"exportV4", calicotest.Spec{"operations": []any{calicotest.Spec{"setPriority": calicotest.Spec{"value": 2147483648}}}}, `spec.exportV4[0].operations[0].setPriority.value: 2147483648 is not a number from 0 to 2147483647`},
		"an operation without a value":          {"exportV4", calicotest.Spec{"operations": []any{calicotest.Spec{"setPriority": calicotest.Spec{}}}}, `spec.exportV4[0].operations[0].setPriority.value: is missing`},
		"an AS number of 0 in a path and later": {"exportV4", calicotest.Spec{"asPathPrefix": []any{0}, "operations": []any{calicotest.Spec{"prependASPath": calicotest.Spec{"prefix": []any{0}}}}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			rule := calicotest.Spec{"action": "Accept"}
			maps.Copy(rule, c.rule)
			f := calicotest.Object(t, calico.KindBGPFilter, "f", calicotest.Spec{c.field: []any{rule}}).(*calico.BGPFilter)
			own, other := calico.IPv4, calico.IPv6
			if strings.HasSuffix(c.field, "V6") {
				own, other = other, own
			}
			if got := rejected(f.Rejected(own)); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if got := f.Rejected(other); len(got) > 0 {
				t.Errorf("in %s: got %v", other, got)
			}
		})
	}
}

func TestRejectedValuesOfABGPConfiguration(t *testing.T) {
	cidrs := func(list ...string) []any {
		var out []any
		for _, cidr := range list {
			out = append(out, calicotest.Spec{"cidr": cidr})
		}
		return out
	}
	advertised := func(cidr string, communities ...any) []any {
		return []any{calicotest.Spec{"cidr": cidr, "communities": communities}}
	}
	named := []any{calicotest.Spec{"name": "good", "value": "1:2"}, calicotest.Spec{"name": "bad", "value": "70000:1"}}
	for name, c := range map[string]struct {
		spec       calicotest.Spec
		four, six  string
		on         calico.Written
		ofOneNode  string // what is rejected in the configuration of one node
		ofOneNode6 string
	}{
		"an advertised network": {spec: calicotest.Spec{"prefixAdvertisements": advertised("10.0.0.0/8", "1:2")}},
		"an advertised network with host bits": {
			spec: calicotest.Spec{"prefixAdvertisements": advertised("fd00::1/64", "1:2")}, on: calico.OnAdvertising,
			six: `spec.prefixAdvertisements[0].cidr: "fd00::1/64" has host bits, its network is fd00::/64`, ofOneNode6: `spec.prefixAdvertisements[0].cidr: "fd00::1/64" has host bits, its network is fd00::/64`,
		},
		"a network without a known community is not written": {spec: calicotest.Spec{"prefixAdvertisements": advertised("10.0.0.1/8", "unknown")}},
		"a community out of range": {
			spec: calicotest.Spec{"prefixAdvertisements": advertised("10.0.0.0/8", "1:65536")}, on: calico.OnAdvertising,
			four:      `spec.prefixAdvertisements[0].communities[0]: "1:65536" has a part that is not a number from 0 to 65535`,
			ofOneNode: `spec.prefixAdvertisements[0].communities[0]: "1:65536" has a part that is not a number from 0 to 65535`,
		},
		"a named community out of range": {
			spec: calicotest.Spec{"prefixAdvertisements": advertised("10.0.0.0/8", "good", "bad"), "communities": named}, on: calico.OnAdvertising,
			four:      `spec.communities[1].value: "70000:1" has a part that is not a number from 0 to 65535`,
			ofOneNode: `spec.communities[1].value: "70000:1" has a part that is not a number from 0 to 65535`,
		},
		"a named community that is not used": {spec: calicotest.Spec{"communities": named}},
		"a range of cluster IPs": {
			spec: calicotest.Spec{"serviceClusterIPs": cidrs("10.96.0.1/12", "fd00::1/112")},
			four: `spec.serviceClusterIPs[0].cidr: "10.96.0.1/12" has host bits, its network is 10.96.0.0/12`, six: `spec.serviceClusterIPs[1].cidr: "fd00::1/112" has host bits, its network is fd00::/112`,
		},
		"a list with a range that does not parse is not used": {spec: calicotest.Spec{"serviceClusterIPs": cidrs("10.96.0.1/12", "10.96.0.1")}},
		"single external addresses":                           {spec: calicotest.Spec{"serviceExternalIPs": cidrs("192.0.2.1/32")}},
		"load balancer ranges that are not aggregated": {
			spec: calicotest.Spec{"serviceLoadBalancerIPs": cidrs("192.0.2.1/24"), "serviceLoadBalancerAggregation": "Disabled"}, on: calico.OnReflectors,
			four: `spec.serviceLoadBalancerIPs[0].cidr: "192.0.2.1/24" has host bits, its network is 192.0.2.0/24`,
		},
		"an external range that is no network": {
			spec: calicotest.Spec{"serviceExternalIPs": cidrs("everything")}, on: calico.OnReflectors,
			four: `spec.serviceExternalIPs[0].cidr: "everything" is not a network`,
		},
		"an ignored interface": {
			spec: calicotest.Spec{"ignoredInterfaces": []any{"eth0", `a"b`}},
			four: `spec.ignoredInterfaces[1]: "a\"b" contains a quotation mark`, six: `spec.ignoredInterfaces[1]: "a\"b" contains a quotation mark`,
		},
		"a priority that only half-sessions subtract": {
			spec: calicotest.Spec{"ipv4NormalRoutePriority": 2147483648}, on: calico.OnPeering,
			four: `spec.ipv4NormalRoutePriority: 2147483648 is not a number from 0 to 2147483647`,
		},
		"a negative priority": {spec: calicotest.Spec{"ipv6NormalRoutePriority": -1}, six: `spec.ipv6NormalRoutePriority: -1 is not a number from 0 to 2147483647`},
	} {
		t.Run(name, func(t *testing.T) {
			cluster, node := calicotest.BGPConfiguration(t, calico.Default, c.spec), calicotest.BGPConfiguration(t, "node.a", c.spec)
			for i, want := range []string{c.four, c.six} {
				list := cluster.Rejected(calico.Families[i])
				if got := rejected(list); got != want {
					t.Errorf("%s: got  %s\nwant %s", calico.Families[i], got, want)
				}
				if slices.ContainsFunc(list, func(r calico.Rejected) bool { return r.On != c.on }) {
					t.Errorf("%s: got %+v, want it on %d", calico.Families[i], list, c.on)
				}
			}
			for i, want := range []string{c.ofOneNode, c.ofOneNode6} {
				if got := rejected(node.Rejected(calico.Families[i])); got != want {
					t.Errorf("one node, %s: got  %s\nwant %s", calico.Families[i], got, want)
				}
			}
		})
	}
}

func TestRejectedPasswords(t *testing.T) {
	const values = `"data":{"newline":"aHVudGVyMgo=","plain":"aHVudGVyMg==","replaced":"aHVudGVyMgo="},"stringData":{"quote":"hunt\"er2","replaced":"hunter2"}`
	s := decode(t, `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"bgp"},`+values+`}`).(*calico.Secret)
	if want := []string{"newline", "quote"}; !slices.Equal(s.Rejected, want) || len(s.Keys) != 4 {
		t.Errorf("got %q of %q, want %q", s.Rejected, s.Keys, want)
	}
	fixed := decode(t, `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"bgp"},"stringData":{"newline":"hunter2","new":"a\nb"}}`).(*calico.Secret)
	merged := s.Merge(fixed)
	if want := []string{"new", "quote"}; !slices.Equal(merged.Rejected, want) || len(merged.Keys) != 5 {
		t.Errorf("merged: got %q of %q, want %q", merged.Rejected, merged.Keys, want)
	}
	if calico.Equal(s, merged) || leaks(fmt.Sprintf("%+v", s)) {
		t.Errorf("got %+v", s)
	}
}

func TestTheTableOfRejections(t *testing.T) {
	reasons := map[string]bool{}
	for _, r := range calico.Rules {
		if r.Kind.Index() < 0 || r.Field == "" || r.Reason == "" || r.Fix == "" || r.Source == "" || reasons[r.Reason] {
			t.Errorf("incomplete or twice: %+v", r)
		}
		reasons[r.Reason] = true
	}
	var page strings.Builder
	page.WriteString(`# Values that BIRD rejects

Kubernetes stores these values, and Calico writes them into the configuration of BIRD. BIRD, or confd in calico-node, rejects the
file. The node then keeps its old configuration until the value is fixed, and after a restart of calico-node it has no BGP. The
policy [bird-accepts](policies/bird-accepts.md) denies them. What BIRD accepts was observed with ` + "`bird -p`" + ` of BIRD 1.6.8;
` + "`test/bird`" + ` compares it with the prediction in random states. Sources are files of
[Calico](https://github.com/projectcalico/calico), or of ` + "`node/filesystem/etc/calico/confd/templates`" + ` in it; BIRD or Calico
is the program that rejects the value.

A field of a BGPFilter is a field of a rule. Calico writes all BGPFilters on every node with an address of the rule's family,
also those that no BGPPeer names. The values of a BGPPeer are on the nodes with its half-sessions.

| kind | field | rejected | fix | source |
| --- | --- | --- | --- | --- |
`)
	for _, r := range calico.Rules {
		fmt.Fprintf(&page, "| %s | `%s` | %s | %s | %s |\n", r.Kind, r.Field, r.Reason, r.Fix, r.Source)
	}
	golden.Check(t, filepath.Join("..", "..", "docs", "rejections.md"), []byte(page.String()))
}

package topology

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// choices is a source of decisions: a random generator or the bytes of a fuzzer.
type choices interface {
	// IntN returns a number in [0, n).
	IntN(n int) int
}

// byteChoices reads each decision from one byte. After the last byte, it returns 0.
type byteChoices struct{ bytes []byte }

// IntN implements choices.
func (c *byteChoices) IntN(n int) int {
	if len(c.bytes) == 0 {
		return 0
	}
	b := c.bytes[0]
	c.bytes = c.bytes[1:]
	return int(b) % n
}

// generator makes objects. Most of them are consistent. The share of odd objects differs
// between states, so some states have many established sessions.
type generator struct {
	t       testing.TB
	choices choices
	// odd is the number of odd decisions out of 12: 0, 1 or 3.
	odd int
	// filtered means that BGPFilters are frequent.
	filtered bool
	// divided means that nodes are in several subnets.
	divided bool
}

func newGenerator(t testing.TB, c choices) *generator {
	return &generator{t: t, choices: c, odd: pick(c, 0, 1, 3), filtered: c.IntN(3) == 0, divided: c.IntN(4) == 0}
}

func pick[T any](c choices, of ...T) T { return of[c.IntN(len(of))] }

func (g *generator) one(in int) bool { return g.choices.IntN(in) == 0 }

func (g *generator) oddly() bool { return g.choices.IntN(12) < g.odd }

// maxNodes and maxPeers are the maximum numbers of nodes and BGPPeers of a state.
const (
	maxNodes = 10
	maxPeers = 6
)

// hosts are the last parts of the nodes' addresses. Their order as texts differs from
// their order as numbers.
var hosts = [maxNodes]int{9, 10, 100, 8, 99, 101, 11, 200, 12, 90}

func (g *generator) state() []calico.Object {
	var out []calico.Object
	for i := range 1 + g.choices.IntN(maxNodes) {
		out = append(out, g.node(i))
	}
	for i := range g.choices.IntN(maxPeers + 1) {
		out = append(out, g.bgpPeer(i))
	}
	if !g.one(3) {
		out = append(out, g.configuration())
	}
	for range g.choices.IntN(1 + g.odd) {
		if c := g.nodeConfiguration(); !slices.ContainsFunc(out, func(o calico.Object) bool { return o.ID() == c.ID() }) {
			out = append(out, c)
		}
	}
	if !g.one(3) {
		out = append(out, g.version())
	}
	for _, name := range []string{"f", "g"} {
		if g.filtered || g.oddly() {
			out = append(out, g.filter(name))
		}
	}
	for i := range pools {
		if g.one(2) {
			out = append(out, g.pool(i))
		}
	}
	return out
}

// blocks returns IPAMBlocks for a state, in one of three states.
func (g *generator) blocks() []calico.Object {
	var out []calico.Object
	if !g.one(3) {
		return nil
	}
	for _, cidr := range ipamBlocks {
		if !g.one(3) {
			out = append(out, g.ipamBlock(cidr))
		}
	}
	return out
}

// ipamBlocks are blocks of the pools. Some are smaller than the pools' blocks.
var ipamBlocks = []string{
	"10.244.0.0/26", "10.244.0.64/26", "10.244.0.128/26", "10.244.0.192/28", "10.245.0.0/26", "10.245.0.192/26",
	"fd00:244::/122", "fd00:244::40/122", "fd00:244::80/124",
}

// ipamBlock returns a block with addresses of pods of its node and of others.
func (g *generator) ipamBlock(cidr string) calico.Object {
	var attributes, allocations []any
	for range 1 + g.choices.IntN(3) {
		attributes = append(attributes, map[string]any{"secondary": map[string]any{"node": nodeName(g.choices.IntN(maxNodes))}})
	}
	spec := calicotest.Spec{"cidr": cidr}
	if !g.one(5) {
		spec["affinity"] = "host:" + attributes[0].(map[string]any)["secondary"].(map[string]any)["node"].(string)
	}
	for range 1 + g.choices.IntN(3) {
		allocations = append(allocations, pick[any](g.choices, 0, 0, 0, nil, 1, 2)) // 2 may have no attributes: its node is not known.
	}
	spec["allocations"], spec["attributes"] = allocations, attributes
	return calicotest.Object(g.t, calico.KindIPAMBlock, strings.NewReplacer(".", "-", ":", "-", "/", "-").Replace(cidr), spec)
}

// pools are the CIDRs of IPPools, with two or four blocks each. Some are inside others.
var pools = []string{"10.244.0.0/24", "10.245.0.0/24", "fd00:244::/120", "10.244.0.128/25", "fd00:244::80/121"}

func (g *generator) pool(i int) calico.Object {
	return calicotest.Object(g.t, "IPPool", fmt.Sprintf("pool-%d", i), map[string]any{
		"cidr": pools[i], "ipipMode": "Never", "vxlanMode": pick(g.choices, "Never", "Never", "Always"), "disableBGPExport": g.one(pick(g.choices, 3, 8)),
	})
}

// twins returns BGPPeers that differ from others only in their names and nodes.
func (g *generator) twins(of []calico.Object) []calico.Object {
	var out []calico.Object
	for _, o := range of {
		p, ok := o.(*calico.BGPPeer)
		if !ok || !g.one(2) {
			continue
		}
		spec := maps.Clone(p.Spec)
		switch {
		case spec["peerSelector"] != nil && g.one(2):
			spec["peerSelector"] = g.selector()
		case g.one(2):
			delete(spec, "nodeSelector")
			spec["node"] = nodeName(g.choices.IntN(maxNodes))
		default:
			delete(spec, "node")
			spec["nodeSelector"] = g.selector()
		}
		if spec["peerIP"] == "192.0.2.1" {
			spec["peerIP"] = "192.0.2.2"
		}
		out = append(out, calicotest.Object(g.t, "BGPPeer", p.Name+"-twin", spec))
	}
	return out
}

func nodeName(i int) string { return fmt.Sprintf("n%02d", i) }

func (g *generator) node(i int) calico.Object {
	host := func() int {
		if g.oddly() && g.one(4) {
			return hosts[g.choices.IntN(maxNodes)] // Two nodes may share this address.
		}
		return hosts[i]
	}
	masks := []int{24, 64}
	if g.divided {
		masks = []int{pick(g.choices, 28, 28, 26, 24, 32), pick(g.choices, 124, 124, 120, 64, 128)}
	}
	var options []calicotest.Tweak
	switch {
	case g.oddly() && g.one(4):
		options = append(options, calicotest.BGP("ipv4Address", "0.0.0.0"))
	case g.oddly():
	case g.oddly() && g.one(2): // Addresses that autodetection takes from the wrong interface.
		options = append(options, calicotest.BGP("ipv4Address", pick(g.choices, "172.17.0.1/16", "172.18.0.1/16", "10.9.0.5/24", "10.9.0.6/16", "10.9.0.7")))
	default:
		options = append(options, calicotest.BGP("ipv4Address", fmt.Sprintf("10.0.0.%d/%d", host(), masks[0])))
	}
	switch {
	case g.one(2):
	case g.oddly() && g.one(4):
		options = append(options, calicotest.BGP("ipv6Address", fmt.Sprintf("fe80::%d", host())))
	default:
		options = append(options, calicotest.BGP("ipv6Address", fmt.Sprintf("fd00::%d/%d", host(), masks[1])))
	}
	if g.one(3) {
		options = append(options, calicotest.BGP("routeReflectorClusterID", g.clusterID()), calicotest.Label("rr", ""))
	} else if g.oddly() {
		options = append(options, calicotest.Label("rr", pick(g.choices, "false", "Off", "disabled", "no")))
	}
	switch {
	case g.one(4):
		options = append(options, calicotest.BGP("asNumber", g.asn()))
	case g.one(6): // An AS number of its own, which no other node has.
		options = append(options, calicotest.BGP("asNumber", int64(65100+i)))
	}
	if g.one(5) {
		options = append(options, calicotest.Label("node.kubernetes.io/exclude-from-external-load-balancers", pick(g.choices, "true", "true", "")))
	}
	n := calicotest.Node(g.t, nodeName(i), append(options, calicotest.Label("rack", pick(g.choices, "a", "b", "c")))...)
	n.NotReady = g.oddly()
	if g.one(8) { // Another address of its own, which BGPPeers may name.
		n.Others = []netip.Addr{netip.AddrFrom4([4]byte{198, 51, 100, byte(1 + g.choices.IntN(2))})}
		n.InternalIP[calico.IPv4], n.Listed[calico.IPv4] = n.Others[0], g.one(3)
	}
	return n
}

func (g *generator) clusterID() string {
	if g.oddly() && g.one(4) {
		return pick(g.choices, "244.0.0.0/8", "::ffff:244.0.0.1")
	}
	return pick(g.choices, "244.0.0.1", "244.0.0.1", "244.0.0.2", "244.0.0.3")
}

func (g *generator) asn() int64 {
	if g.oddly() && g.one(4) {
		return 0
	}
	return pick[int64](g.choices, 64512, 64512, 64513, 64514)
}

func (g *generator) selector() string {
	if g.oddly() {
		return pick(g.choices, " ", "broken =", "has(nothing)", "rack != 'a'")
	}
	return pick(g.choices, "all()", "has(rr)", "has(rr)", "!has(rr)", "rack == 'a'", "rack in {'b', 'c'}", "has(rr) && rr != 'no'", "rack == 'b' || has(rr)")
}

func (g *generator) bgpPeer(i int) calico.Object {
	spec := map[string]any{}
	if g.oddly() && g.one(2) {
		// Two BGPPeers that connect two nodes by address and port.
		spec["peerIP"], spec["asNumber"] = fmt.Sprintf("10.0.0.%d:%d", hosts[g.choices.IntN(2)], pick(g.choices, 179, 1790, 1791)), int64(64512)
		spec["reversePeering"] = "Manual"
		if g.one(2) {
			spec["nodeSelector"] = "all()"
		}
		return calicotest.Object(g.t, "BGPPeer", fmt.Sprintf("p%d", i), spec)
	}
	switch g.choices.IntN(5) {
	case 0:
	case 1:
		spec["node"] = nodeName(g.choices.IntN(maxNodes + 1))
	default:
		spec["nodeSelector"] = g.selector()
	}
	g.remote(spec)
	g.settings(spec)
	return calicotest.Object(g.t, "BGPPeer", fmt.Sprintf("p%d", i), spec)
}

// remote sets the fields that select the peers.
func (g *generator) remote(spec map[string]any) {
	if g.oddly() {
		switch g.choices.IntN(3) {
		case 0:
			return // A BGPPeer without a peer.
		case 1:
			spec["localWorkloadSelector"] = "all()"
			spec["asNumber"] = g.asn()
			g.localASN(spec)
			return
		}
	}
	if !g.one(3) {
		spec["peerSelector"] = g.selector()
		return
	}
	spec["peerIP"] = g.peerIP()
	if !g.oddly() {
		spec["asNumber"] = g.asn()
	}
	g.localASN(spec)
}

func (g *generator) localASN(spec map[string]any) {
	if g.oddly() {
		spec["localASNumber"] = pick[int64](g.choices, 64512, 64513, 65000)
	}
	if g.oddly() {
		spec["numAllowedLocalASNumbers"] = int64(g.choices.IntN(4) - 1)
	}
	if g.oddly() {
		spec["keepOriginalNextHop"] = true
	}
}

func (g *generator) peerIP() string {
	host := hosts[g.choices.IntN(pick(g.choices, 2, maxNodes))]
	if g.oddly() {
		port := pick(g.choices, 179, 179, 1790, 1791)
		switch g.choices.IntN(12) {
		case 0:
			return fmt.Sprintf("fd00:0:0::%d", host)
		case 1:
			return fmt.Sprintf("[fd00::%d]:%d", host, port)
		case 2:
			return fmt.Sprintf("[fd00:0::%d]:%d", host, port)
		case 3:
			return fmt.Sprintf("192.0.2.1:%d", port)
		case 4:
			return pick(g.choices, "nonsense", "0.0.0.0", "fe80::9", "::", "10.0.0.255")
		case 5:
			return fmt.Sprintf("[10.0.0.%d]:%d", host, port)
		case 6:
			return fmt.Sprintf("10.0.0.%d:%s", host, pick(g.choices, "0263", "0xb3", "1_79", "08", "70000", "0"))
		case 7:
			return fmt.Sprintf("::ffff:10.0.0.%d", host)
		case 8:
			return fmt.Sprintf(":%d", port)
		}
		return fmt.Sprintf("10.0.0.%d:%d", host, port)
	}
	if g.one(3) {
		return pick(g.choices, "192.0.2.1", "192.0.2.1", "192.0.2.2", "2001:db8::1", "198.51.100.1", "127.0.0.1", "224.0.0.5")
	}
	return fmt.Sprintf(pick(g.choices, "10.0.0.%d", "fd00::%d"), host)
}

// settings sets further fields of a BGPPeer.
func (g *generator) settings(spec map[string]any) {
	secret := func(key string) map[string]any {
		return map[string]any{"secretKeyRef": map[string]any{"name": "bgp", "key": key}}
	}
	for _, s := range []struct {
		key    string
		values []any
	}{ // A slice has an order, so a seed always makes the same state.
		{"password", []any{secret("a"), secret("b")}},
		{"ttlSecurity", []any{int64(1), int64(2)}},
		{"maxRestartTime", []any{"120s", "0s", "89600ms", "-5s"}},
		{"keepaliveTime", []any{"300ms", "20s", "1200000h"}},
		{"reachableBy", []any{"10.0.0.254", "fd00::fe", "::ffff:10.0.0.254"}},
		{"sourceAddress", []any{"None", "UseNodeIP", "Other"}},
		{"reversePeering", []any{"Manual", "Auto", "Other"}},
		{"keepOriginalNextHop", []any{true, false}},
		{"filters", []any{[]any{"f"}, []any{"f", "g"}}},
	} {
		if g.oddly() && g.one(2) || s.key == "filters" && g.filtered && g.one(2) {
			spec[s.key] = pick(g.choices, s.values...)
		}
	}
	if g.oddly() {
		spec["nextHopMode"] = pick(g.choices, "Self", "Keep", "Auto", "Other")
	}
}

func (g *generator) configuration() calico.Object {
	spec := map[string]any{}
	if !g.one(3) {
		spec["nodeToNodeMeshEnabled"] = g.one(2)
	}
	if g.one(4) {
		spec["asNumber"] = g.asn()
	}
	if g.oddly() {
		spec["listenPort"] = pick[int64](g.choices, 179, 1790)
	}
	if g.oddly() {
		spec["nodeMeshMaxRestartTime"] = pick(g.choices, "180s", "-1s")
	}
	if g.oddly() {
		spec["localWorkloadPeeringIPV4"] = "169.254.0.1"
	}
	if g.oddly() {
		spec["nodeMeshPassword"] = map[string]any{"secretKeyRef": map[string]any{"name": "bgp", "key": "a"}}
	}
	if g.oddly() && g.one(2) {
		g.rejected(spec)
	}
	g.advertisements(spec)
	g.services(spec)
	return calicotest.Object(g.t, "BGPConfiguration", calico.Default, spec)
}

// services sets ranges of addresses of Services. Some are inside an IPPool.
func (g *generator) services(spec map[string]any) {
	if !g.one(3) {
		return
	}
	cidrs := []string{"10.96.0.0/29", "10.96.0.0/30", "10.244.0.192/29", "10.244.0.64/26", "10.96.0.5/32", "10.0.0.0/29", "10.9.0.4/30", "fd00:96::/125", "fd00:244::f8/125", "fd00:244::40/122"}
	for _, field := range naiveServiceFields {
		if spec[field] == nil && g.one(2) {
			list := []any{map[string]any{"cidr": pick(g.choices, cidrs...)}, map[string]any{"cidr": pick(g.choices, cidrs...)}}
			if g.oddly() {
				list = append(list, map[string]any{"cidr": "10.96.0.9"})
			}
			spec[field] = list
			if field == "serviceLoadBalancerIPs" && g.one(2) {
				spec["serviceLoadBalancerAggregation"] = "Disabled"
			}
		}
	}
}

// advertisements sets prefixAdvertisements.
func (g *generator) advertisements(spec map[string]any) {
	if g.filtered && g.one(3) && spec["prefixAdvertisements"] == nil {
		spec["prefixAdvertisements"] = []any{map[string]any{
			"cidr": pick(g.choices, "10.244.0.0/16", "10.244.0.128/25", "fd00:244::/64"), "communities": []any{pick(g.choices, "1:1", "65535:65282", "65535:65281", "7:7")},
		}}
	}
}

// rejected sets a field of a BGPConfiguration that BIRD rejects on some nodes.
func (g *generator) rejected(spec map[string]any) {
	network := []any{map[string]any{"cidr": pick(g.choices, "10.96.0.1/12", "fd00::1/64", "10.96.0.1/33"), "communities": []any{"1:2"}}}
	switch g.choices.IntN(4) {
	case 0:
		spec["prefixAdvertisements"] = network
	case 1:
		spec["serviceLoadBalancerIPs"] = network
	case 2:
		spec["ipv4NormalRoutePriority"] = pick[int64](g.choices, -1, 3000000000)
	default:
		spec["ignoredInterfaces"] = []any{"a\"b"}
	}
}

func (g *generator) nodeConfiguration() calico.Object {
	spec := map[string]any{"listenPort": pick[int64](g.choices, 179, 1790, 1791)}
	if g.one(3) {
		spec["nodeToNodeMeshEnabled"] = false // Calico ignores the field here.
	}
	if g.oddly() && g.one(2) {
		g.rejected(spec)
	}
	g.advertisements(spec)
	return calicotest.Object(g.t, "BGPConfiguration", "node."+nodeName(g.choices.IntN(pick(g.choices, 2, maxNodes))), spec)
}

func (g *generator) version() calico.Object {
	return calicotest.ClusterInformation(g.t, pick(g.choices, "v3.30.1", "v3.31.2", "v3.32.0", "v3.33.0", "master"))
}

func (g *generator) filter(name string) calico.Object {
	if !g.filtered {
		return calicotest.Object(g.t, "BGPFilter", name, pick(g.choices, nil, map[string]any{"exportV6": []any{map[string]any{"action": "Reject"}}}))
	}
	spec := map[string]any{}
	for _, field := range []string{"importV4", "exportV4", "importV6", "exportV6"} {
		var rules []any
		for range g.choices.IntN(3) {
			rules = append(rules, g.rule(field))
		}
		if rules != nil {
			spec[field] = rules
		}
	}
	return calicotest.Object(g.t, "BGPFilter", name, spec)
}

// rule returns a rule of a field of a BGPFilter.
func (g *generator) rule(field string) any {
	rule := map[string]any{"action": pick(g.choices, "Accept", "Reject")}
	if !g.one(4) {
		cidrs, low := []string{"10.244.0.0/24", "10.244.0.0/25", "10.244.0.64/26", "10.0.0.0/8", "10.245.0.192/26", "10.96.0.0/30"}, int64(24)
		if strings.HasSuffix(field, "V6") {
			cidrs, low = []string{"fd00:244::/120", "fd00:244::80/121", "fd00:244::40/122", "fd00::/8", "fd00:96::/126"}, 120
		}
		rule["cidr"] = pick(g.choices, cidrs...)
		rule["matchOperator"] = pick(g.choices, "In", "In", "NotIn", "Equal", "NotEqual")
		if g.one(4) && !strings.Contains(rule["cidr"].(string), "96") { // Else it is a range of lengths below that of the CIDR.
			rule["prefixLength"] = map[string]any{"min": low, "max": low + pick[int64](g.choices, 2, 2, 6)}
		}
	}
	conditions := []struct {
		key    string
		values []any
	}{
		{"source", []any{"RemotePeers"}},
		{"interface", []any{"*", "eth0", "vxlan.calico", "cali*"}},
		{"peerType", []any{"eBGP", "iBGP"}},
		{"communities", []any{map[string]any{"values": []any{"1:1"}}, map[string]any{"values": []any{"1:2:3"}}}},
		{"asPathPrefix", []any{[]any{int64(64512)}, []any{int64(64513), int64(64512)}}},
		{"priority", []any{int64(1024), int64(5)}},
	}
	for _, c := range conditions {
		if g.one(8) {
			rule[c.key] = pick(g.choices, c.values...)
		}
	}
	if rule["action"] == "Accept" && g.one(3) {
		rule["operations"] = []any{pick(g.choices,
			map[string]any{"addCommunity": map[string]any{"value": pick(g.choices, "1:1", "1:2:3", "65535:65281", "65535:65282")}},
			map[string]any{"prependASPath": map[string]any{"prefix": []any{int64(64513), int64(65000)}}},
			map[string]any{"setPriority": map[string]any{"value": int64(5)}},
		)}
	}
	return rule
}

// beside returns an object that does not affect sessions.
func (g *generator) beside() calico.Object {
	program := map[string]any{"programClusterRoutes": pick(g.choices, "Enabled", "Disabled", "EnabledIPIPOnly")}
	switch g.choices.IntN(5) {
	case 0:
		return calicotest.Object(g.t, "FelixConfiguration", pick(g.choices, calico.Default, "node.n00"), program)
	case 1:
		return calicotest.Object(g.t, "BGPConfiguration", calico.Default, program)
	case 2:
		return g.filter(pick(g.choices, "f", "g"))
	case 3:
		return &calico.Secret{Name: "bgp", Keys: []string{pick(g.choices, "a", "b")}}
	default:
		return calicotest.Object(g.t, "IPPool", pick(g.choices, "a", "b"), map[string]any{
			"cidr": pick(g.choices, "10.246.0.0/24", "fd00:246::/120"), "ipipMode": pick(g.choices, "Never", "Always"), "disableBGPExport": g.one(4),
		})
	}
}

// change returns a change of one object: create, update or delete.
func (g *generator) change() state.Change {
	var o calico.Object
	switch g.choices.IntN(12) {
	case 0, 1, 2, 3:
		o = g.node(g.choices.IntN(maxNodes))
	case 4, 5, 6:
		o = g.bgpPeer(g.choices.IntN(maxPeers))
	case 7:
		o = g.configuration()
	case 8:
		o = g.nodeConfiguration()
	case 9, 10:
		o = g.beside()
	default:
		o = g.version()
	}
	if g.one(4) {
		return state.Change{Before: o}
	}
	return state.Change{After: o}
}

//go:build system

package bird

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology"
	"github.com/bgpguard/bgpguard/pkg/topology/topologytest"
)

// extremeStates is the number of random states with extreme values; the number of each is its seed.
const extremeStates = 1200

// TestExtremeStates has BIRD parse the configuration of every node in random states with extreme values, and compares the
// result with the prediction.
func TestExtremeStates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	reached := make([]map[string]bool, extremeStates)
	for seed := range uint64(extremeStates) {
		g := &extremes{Rand: rand.New(rand.NewPCG(seed, 1)), t: t}
		list := g.state()
		group.Go(func() error {
			reasons, err := parsed(t, dir, seed, list, g.passwords)
			reached[seed] = reasons
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, rule := range calico.Rules {
		if rule == calico.RejectUndecodable { // Calico writes no file, and the API server stores few such values.
			continue
		}
		count := 0
		for _, reasons := range reached {
			if reasons[rule.Reason] {
				count++
			}
		}
		if count < 3 {
			t.Errorf("%d states have %s, want 3 or more", count, rule.Reason)
		}
	}
}

// parsed compares the prediction for a state with BIRD. It returns the reasons of the rejections that were predicted.
func parsed(t *testing.T, dir string, seed uint64, list []object, passwords map[string]string) (map[string]bool, error) {
	var decoded []calico.Object
	var documents strings.Builder
	for _, o := range list {
		document := calicotest.Document(t, o.kind, o.name, o.spec, o.tweaks...)
		fmt.Fprintf(&documents, "---\n%s\n", calicotest.JSON(t, document))
		decoded = append(decoded, calicotest.Decode(t, document))
	}
	if len(passwords) > 0 {
		decoded = append(decoded, secretOf(passwords))
	}
	s := state.New(decoded...)
	computed := topologytest.Compute(t, s, nil)
	for range computed.Ambiguous("") { // BIRD gets one of several configurations.
		return nil, nil
	}
	predicted := map[Speaker][]topology.RejectedValue{}
	reasons := map[string]bool{}
	for _, n := range computed.Frozen() {
		for _, f := range calico.Families {
			if n.Family == f.String() {
				predicted[Speaker{n.Node, f}] = n.Rejected
			}
		}
		for _, v := range n.Rejected {
			reasons[v.Reason] = true
		}
	}
	for _, n := range Nodes(s, computed) {
		n.Passwords = passwords
		for _, f := range calico.Families {
			if !n.runs(f) {
				continue
			}
			place := filepath.Join(dir, fmt.Sprint(seed))
			if err := os.MkdirAll(place, 0o700); err != nil {
				return nil, err
			}
			d, err := newDaemon(place, &n, f)
			if err != nil {
				return nil, err
			}
			why := d.rejected()
			values := predicted[d.speaker]
			if (why != "") != (len(values) > 0) {
				config, _ := n.Config(f)
				t.Errorf("seed %d, %s %s: BIRD answers %q, the prediction is %v\n%s\n%s", seed, n.Name, f, why, values, documents.String(), config)
			}
		}
		if err := os.RemoveAll(filepath.Join(dir, fmt.Sprint(seed))); err != nil {
			return nil, err
		}
	}
	return reasons, nil
}

// secretOf returns the Secret bgp with passwords, by "bgp/key".
func secretOf(passwords map[string]string) *calico.Secret {
	values := map[string]string{}
	for reference, value := range passwords {
		values[strings.TrimPrefix(reference, "bgp/")] = value
	}
	return calico.SecretFromCore(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "bgp"}, StringData: values})
}

// extremes makes random states in which some values are extreme: most of them valid, some not.
type extremes struct {
	*rand.Rand
	t         *testing.T
	passwords map[string]string
	rate      int // one of rate values is extreme
}

func (g *extremes) one(in int) bool { return g.IntN(in) == 0 }

func (g *extremes) extreme() bool { return g.one(g.rate) }

func (g *extremes) state() []object {
	g.rate = pick(g.Rand, 6, 12, 30)
	var list []object
	n := 1 + g.IntN(4)
	for i := range n {
		list = append(list, g.node(i+1))
	}
	spec := spec{"nodeToNodeMeshEnabled": !g.one(3)}
	g.configuration(spec)
	list = append(list, configuration(spec))
	if g.one(5) {
		own := map[string]any{}
		g.advertise(own)
		list = append(list, object{kind: calico.KindBGPConfiguration, name: fmt.Sprintf("node.node-%d", 1+g.IntN(n)), spec: own})
	}
	if g.one(2) {
		list = append(list, peer("peer", g.peer(n)))
	}
	if g.one(4) {
		list = append(list, peer("router", g.router()))
	}
	for i := range g.IntN(3) {
		list = append(list, object{kind: calico.KindBGPFilter, name: fmt.Sprintf("filter-%d", i), spec: g.filter()})
	}
	return list
}

func (g *extremes) node(i int) object {
	tweaks := []calicotest.Tweak{label("rr", pick(g.Rand, "true", "false"))}
	switch {
	case !g.extreme():
	case g.one(3):
		tweaks = append(tweaks, calicotest.BGP("ipv4Address", nil))
	default:
		tweaks = append(tweaks, calicotest.IPv4(pick(g.Rand, "0.0.0.0", "10.192.0.1/16", "224.0.0.1", "127.0.0.1", "255.255.255.255", "nonsense")))
	}
	switch {
	case g.one(2):
	case g.extreme():
		tweaks = append(tweaks, calicotest.IPv6(pick(g.Rand, "fe80::1/64", "::", "ff02::1", "::1", "fd00:192::1")))
	default:
		tweaks = append(tweaks, dualStack)
	}
	if g.one(4) {
		id := pick(g.Rand, "244.0.0.1", "244.0.0.2")
		if g.extreme() {
			id = pick(g.Rand, "244.0.0.0/8", "244.0.0.1/32", "244.0.0.0/08", "::ffff:244.0.0.1", "0.0.0.0", "255.255.255.255", "244.0.0.1/8", "fd00::1")
		}
		tweaks = append(tweaks, clusterID(id))
	}
	if g.one(5) {
		tweaks = append(tweaks, asNumber(pick[uint32](g.Rand, 64512, 65001, 4294967295)))
	} else if g.extreme() {
		tweaks = append(tweaks, asNumber(0))
	}
	return node(i, tweaks...)
}

// networks are texts of networks, those that BIRD accepts first.
func (g *extremes) network() string {
	if !g.extreme() {
		return pick(g.Rand, "10.96.0.0/12", "192.0.2.0/24", "fd00:96::/112", "10.244.0.0/16")
	}
	return pick(g.Rand, "10.96.0.1/12", "10.96.0.0/33", "fd00:96::1/112", "0.0.0.0/0", "::/0", "10.96.0.5/32", "10.96.0.5", "fd00:96::5", "fd00:96::5/128",
		"10.96.0.0/08", "010.96.0.0/12", "FD00:96:0::/112", "::ffff:10.96.0.0/108", "::ffff:10.96.0.1/108", "nonsense", "", "10.96.0.0/", "fd00:96::/129", "fe80::%eth0/64")
}

func (g *extremes) communities(spec map[string]any) []any {
	spec["communities"] = []any{
		map[string]any{"name": "small", "value": "64512:1"}, map[string]any{"name": "large", "value": pick(g.Rand, "1:2:3", "4294967295:1:1", "4294967296:1:1", "70000:1", "x:1")},
	}
	if !g.extreme() {
		return []any{pick(g.Rand, "small", "1:2", "65535:65535", "nobody")}
	}
	return pick(g.Rand, []any{}, []any{"large"}, []any{"65536:1"}, []any{"1:65536"}, []any{"00001:2"}, []any{"1:2:4294967296"}, []any{"small", "nobody"})
}

func (g *extremes) advertise(spec map[string]any) {
	var list []any
	for range g.IntN(3) {
		list = append(list, map[string]any{"cidr": g.network(), "communities": g.communities(spec)})
	}
	if list != nil || g.one(3) {
		spec["prefixAdvertisements"] = list
	}
}

func (g *extremes) configuration(spec map[string]any) {
	g.advertise(spec)
	for _, field := range []string{"serviceClusterIPs", "serviceExternalIPs", "serviceLoadBalancerIPs"} {
		if g.one(4) {
			var list []any
			for range 1 + g.IntN(2) {
				list = append(list, map[string]any{"cidr": g.network()})
			}
			spec[field] = list
		}
	}
	if g.one(6) {
		spec["serviceLoadBalancerAggregation"] = pick(g.Rand, "Enabled", "Disabled")
	}
	if g.extreme() {
		spec["ignoredInterfaces"] = []any{pick(g.Rand, "eth0", "*", "", "a b", "a-name-that-is-far-too-long", `a"b`, "a\nb", `a\`)}
	}
	if g.one(4) {
		spec["nodeMeshMaxRestartTime"] = g.duration()
	}
	if g.one(6) {
		spec["nodeMeshPassword"] = g.password("mesh")
	}
	if g.extreme() {
		spec["asNumber"] = pick(g.Rand, 0, 1, 4294967295)
	}
	for _, field := range []string{"ipv4NormalRoutePriority", "ipv6NormalRoutePriority"} {
		if g.extreme() {
			spec[field] = pick[int64](g.Rand, 0, 1, 2147483647, 2147483648, 4294967295, 4294967296, -1)
		}
	}
	if g.one(8) {
		spec["bindMode"] = "NodeIP"
	}
	if g.one(8) {
		spec["listenPort"] = pick(g.Rand, 1, 65535)
	}
	if g.one(8) {
		spec["logSeverityScreen"] = pick(g.Rand, "Debug", "None", "Whatever")
	}
}

func (g *extremes) duration() string {
	if !g.extreme() {
		return pick(g.Rand, "120s", "0s", "4096s")
	}
	return pick(g.Rand, "-5s", "-500ms", "-499ms", "1193046h", "1193047h", "2562047h", "300ms")
}

// password returns a reference to a password, and adds the password.
func (g *extremes) password(key string) spec {
	if g.passwords == nil {
		g.passwords = map[string]string{}
	}
	value := "hunter2"
	if g.extreme() {
		value = pick(g.Rand, "hunter2\n", `hunt"er`, `hunter\`, "hünter", "hunter 2", strings.Repeat("h", 200), "hunter\r2")
	}
	g.passwords["bgp/"+key] = value
	return spec{"secretKeyRef": spec{"name": "bgp", "key": key}}
}

// peer returns the spec of a BGPPeer between n nodes.
func (g *extremes) peer(n int) spec {
	s := spec{}
	if g.one(2) {
		s["nodeSelector"] = pick(g.Rand, "all()", "rr == 'false'")
	}
	if g.one(3) {
		s["peerIP"], s["asNumber"] = fmt.Sprintf("10.192.0.%d", 1+g.IntN(n)), pick(g.Rand, 64512, 65001, 0)
	} else {
		s["peerSelector"] = pick(g.Rand, "all()", "rr == 'true'")
	}
	g.settings(s)
	// A gateway of the node's own address is written too; that is compared for global BGPPeers only.
	if g.extreme() && s["nodeSelector"] == nil && s["peerSelector"] != nil {
		s["reachableBy"] = pick(g.Rand, "10.192.255.254", "fd00:192::fffe", "::ffff:10.192.255.254", "nonsense", "010.192.255.254")
	}
	return s
}

// router returns the spec of a BGPPeer with an external peer.
func (g *extremes) router() spec {
	s := spec{"peerIP": "192.0.2.1", "asNumber": pick(g.Rand, 64512, 65009)}
	if g.extreme() {
		s["peerIP"] = pick(g.Rand, "0.0.0.0", "::", "::ffff:0.0.0.0", "fe80::1", "fe80::1%eth0", "224.0.0.5", "255.255.255.255", "127.0.0.1", "2001:db8::1", "ff02::5",
			"192.0.2.1:0179", "[2001:db8::1]:65535", "192.0.2.1:0", "169.254.0.1", "::1")
	}
	if g.extreme() {
		delete(s, "asNumber")
	}
	g.settings(s)
	if g.extreme() {
		s["reachableBy"] = pick(g.Rand, "192.0.2.254", "::ffff:192.0.2.254", "2001:db8::fffe", "nonsense", "fe80::1")
	}
	if g.one(6) {
		s["localASNumber"] = pick(g.Rand, 0, 65001, 64512)
	}
	if g.one(6) {
		s["numAllowedLocalASNumbers"] = pick[int64](g.Rand, 1, 2147483647)
	}
	return s
}

func (g *extremes) settings(s spec) {
	if g.one(3) {
		s["maxRestartTime"] = g.duration()
	}
	if g.one(3) {
		s["keepaliveTime"] = g.duration()
	}
	if g.one(5) {
		s["password"] = g.password("peer")
	}
	if g.one(5) {
		s["ttlSecurity"] = pick(g.Rand, 1, 255)
	}
	if g.one(5) {
		s["sourceAddress"] = pick(g.Rand, "None", "UseNodeIP")
	}
	if g.one(5) {
		s["nextHopMode"] = pick(g.Rand, "Self", "Keep", "Auto")
	}
	if g.one(3) {
		s["filters"] = []any{"filter-0", "unknown"}
	}
}

// filter returns the spec of a BGPFilter. No BGPPeer needs to name it.
func (g *extremes) filter() spec {
	s := spec{}
	for _, field := range []string{"importV4", "exportV4", "importV6", "exportV6"} {
		var rules []any
		for range g.IntN(3) {
			rules = append(rules, g.rule(strings.HasSuffix(field, "V6")))
		}
		if rules != nil {
			s[field] = rules
		}
	}
	return s
}

func (g *extremes) rule(six bool) map[string]any {
	r := map[string]any{"action": pick(g.Rand, "Accept", "Reject")}
	if g.extreme() && g.one(2) {
		r["action"] = pick(g.Rand, "accept", "", "Deny")
	}
	if g.one(2) {
		r["cidr"], r["matchOperator"] = pick(g.Rand, "10.0.0.0/8", "10.244.0.0/16"), pick(g.Rand, "Equal", "NotEqual", "In", "NotIn")
		if six {
			r["cidr"] = pick(g.Rand, "fd00::/8", "2001:db8::/32")
		}
		if g.extreme() {
			r["cidr"] = g.network()
		}
		if g.extreme() {
			r["matchOperator"] = pick(g.Rand, "", "in", "Contains")
		}
		if g.one(3) {
			r["prefixLength"] = g.prefixLength()
		}
	}
	if g.one(4) {
		r["source"] = "RemotePeers"
		if g.extreme() {
			r["source"] = pick(g.Rand, "", "Kernel")
		}
	}
	if g.extreme() {
		r["interface"] = pick(g.Rand, "eth*", "*", "", "e?h0", `a"b`, "a\nb", "far-too-long-for-linux")
	}
	if g.one(6) {
		r["peerType"] = pick(g.Rand, "eBGP", "iBGP", "other")
	}
	if g.one(6) {
		r["communities"] = map[string]any{"values": g.filterCommunities()}
	}
	if g.one(6) {
		r["asPathPrefix"] = []any{pick(g.Rand, 0, 64512, 4294967295)}
	}
	if g.one(8) {
		r["priority"] = g.priority()
	}
	if r["action"] == "Accept" && g.one(4) {
		r["operations"] = g.operations()
	}
	return r
}

func (g *extremes) prefixLength() map[string]any {
	length := map[string]any{}
	if g.one(2) {
		length["min"] = pick(g.Rand, 16, 24, 26)
	}
	if g.one(2) {
		length["max"] = pick(g.Rand, 26, 28, 32)
	}
	if g.extreme() {
		length[pick(g.Rand, "min", "max")] = pick[int64](g.Rand, 0, 4, 33, 129, -1)
	}
	return length
}

func (g *extremes) filterCommunities() []any {
	if !g.extreme() {
		return []any{pick(g.Rand, "64512:1", "1:2:3", "0:0")}
	}
	return pick(g.Rand, []any{}, []any{"65536:1"}, []any{"1"}, []any{"1:2:3:4"}, []any{"a:b"}, []any{"1:2", "65536:1"}, []any{"4294967295:1:1"}, []any{"4294967296:1:1"})
}

func (g *extremes) priority() int64 {
	if !g.extreme() {
		return pick[int64](g.Rand, 0, 512, 1024)
	}
	return pick[int64](g.Rand, -1, 2147483647, 2147483648, -2147483648, -2147483649)
}

func (g *extremes) operations() []any {
	if g.extreme() {
		return []any{pick(g.Rand, map[string]any{}, map[string]any{"addCommunity": map[string]any{"value": "65536:1"}}, map[string]any{"addCommunity": map[string]any{}},
			map[string]any{"setPriority": map[string]any{}}, map[string]any{"setPriority": map[string]any{"value": g.priority()}})}
	}
	return []any{
		map[string]any{"addCommunity": map[string]any{"value": "64512:1"}}, map[string]any{"prependASPath": map[string]any{"prefix": []any{0, 64512}}},
		map[string]any{"setPriority": map[string]any{"value": g.priority()}},
	}
}

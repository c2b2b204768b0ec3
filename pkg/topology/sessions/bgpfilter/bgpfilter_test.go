package bgpfilter

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"path"
	"reflect"
	"strings"
	"testing"
	"time"
)

// field returns a field of a BGPFilter as it is decoded from JSON.
func field(t testing.TB, text string) any {
	t.Helper()
	var out any
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return out
}

func TestSame(t *testing.T) {
	const (
		pods      = `{"action": "Reject", "matchOperator": "In", "cidr": "10.244.0.0/16"}`
		lower     = `{"action": "Reject", "matchOperator": "In", "cidr": "10.244.0.0/17"}`
		upper     = `{"action": "Reject", "matchOperator": "In", "cidr": "10.244.128.0/17"}`
		whole     = `{"action": "Reject", "matchOperator": "Equal", "cidr": "10.244.0.0/16"}`
		services  = `{"action": "Reject", "matchOperator": "In", "cidr": "10.96.0.0/12"}`
		accept    = `{"action": "Accept"}`
		reject    = `{"action": "Reject"}`
		takePods  = `{"action": "Accept", "matchOperator": "In", "cidr": "10.244.0.0/16"}`
		learned   = `{"action": "Reject", "source": "RemotePeers"}`
		external  = `{"action": "Reject", "peerType": "eBGP"}`
		internal  = `{"action": "Reject", "peerType": "iBGP"}`
		tunnel    = `{"action": "Reject", "interface": "vxlan*"}`
		anything  = `{"action": "Reject", "interface": "*"}`
		unknown   = `{"action": "Reject", "newCondition": "x"}`
		hostBits  = `{"action": "Reject", "matchOperator": "In", "cidr": "10.244.0.1/16"}`
		withRange = `{"action": "Reject", "matchOperator": "Equal", "cidr": "10.244.0.0/16", "prefixLength": {"min": 16, "max": 16}}`
		blocks    = `{"action": "Reject", "matchOperator": "In", "cidr": "10.244.0.0/16", "prefixLength": {"min": 17}}`
		preferred = `{"action": "Accept", "operations": [{"setPriority": {"value": 1}}]}`
	)
	tests := []struct {
		name           string
		a, b           string
		imports, sends bool
	}{
		{"no rules", "", "", true, true},
		{"order of rules with one action", pods + "," + services, services + "," + pods, true, true},
		{"another rule", pods, services, false, false},
		{"rules after a rule without conditions", reject, reject + "," + takePods, true, true},
		{"two halves are the whole, but for its own prefix", lower + "," + upper, pods, false, false},
		{"two halves and the whole's own prefix", lower + "," + upper + "," + whole, pods, true, true},
		{"order of rules with different actions", pods + "," + takePods, takePods + "," + pods, false, false},
		{"Accept is the default of imports only", "", accept, true, false},
		{"Accept that protects nothing", takePods, "", true, false},
		{"imported routes come from peers", learned, reject, true, false},
		{"both kinds of sessions", external + "," + internal, reject, true, true},
		{"one kind of sessions", external, reject, false, false},
		{"an interface", tunnel, reject, false, false},
		{"any interface", anything, reject, true, true},
		{"a rule that is a part of another one", pods + "," + lower, pods, true, true},
		{"Equal with prefixLength matches nothing", withRange, "", true, true},
		{"lengths", blocks + "," + whole, pods, true, true},
		{"unknown conditions are compared as text", unknown, unknown, true, true},
		{"unknown conditions", unknown, unknown + "," + pods, false, false},
		{"a rule that BIRD rejects", hostBits, pods, false, false},
		{"operations", preferred, accept, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for d, want := range map[Direction]bool{Import: tt.imports, Export: tt.sends} {
				a, b := Parse(d, 32, field(t, "["+tt.a+"]"), false), Parse(d, 32, field(t, "["+tt.b+"]"), false)
				if got, back := Same(a, b), Same(b, a); got != want || back != want {
					t.Errorf("direction %d: got %t and %t, want %t", d, got, back, want)
				}
			}
		})
	}
}

func TestParseAcceptsAnyValue(t *testing.T) {
	for _, text := range []string{`"x"`, `{}`, `[1]`, `[{"action": 1}]`, `[{"action": "accept"}]`, `[{"action": "Reject", "operations": [{}]}]`,
		`[{"action": "Reject", "cidr": "10.0.0.0/8"}]`, `[{"action": "Reject", "cidr": "fd00::/8", "matchOperator": "In"}]`,
		`[{"action": "Reject", "cidr": "10.0.0.0/8", "matchOperator": "In", "prefixLength": {"min": 20, "max": 10}}]`,
		`[{"action": "Reject", "communities": {"values": []}}]`, `[{"action": "Reject", "source": "x"}]`} {
		r := Parse(Export, 32, field(t, text), false)
		if !r.opaque || !Same(r, Parse(Export, 32, field(t, text), false)) || Same(r, Rules{direction: Export, bits: 32}) {
			t.Errorf("%s: got %+v, want rules without a known meaning, which are equal to themselves alone", text, r)
		}
	}
	if a, b := Unknown(Export, 32, "a"), Unknown(Export, 32, "b"); Same(a, b) || !Same(a, Unknown(Export, 32, "a")) {
		t.Error("rules that are not known are equal by name")
	}
}

func TestJoin(t *testing.T) {
	a := Parse(Import, 32, field(t, `[{"action": "Reject", "cidr": "10.0.0.0/8", "matchOperator": "In"}]`), false)
	b := Parse(Import, 32, field(t, `[{"action": "Reject", "cidr": "11.0.0.0/8", "matchOperator": "In"}]`), false)
	both := Parse(Import, 32, field(t, `[{"action": "Reject", "cidr": "10.0.0.0/7", "matchOperator": "In"}, {"action": "Accept"}]`), false)
	if Same(a.Join(b), both) {
		t.Error("10.0.0.0/7 itself is in neither half")
	}
	if !Same(a.Join(b), b.Join(a)) {
		t.Error("the order of BGPFilters that reject is a difference")
	}
}

func TestFor(t *testing.T) {
	const rules = `[
		{"action": "Reject", "matchOperator": "In", "cidr": "10.244.0.0/17", "source": "RemotePeers", "interface": "eth*"},
		{"action": "Accept", "matchOperator": "NotIn", "cidr": "10.244.0.0/16", "peerType": "iBGP", "communities": {"values": ["1:2"]}, "asPathPrefix": [65001], "priority": 7},
		{"action": "Accept", "operations": [{"addCommunity": {"value": "1:2:3"}}, {"prependASPath": {"prefix": [1, 2]}}, {"prependASPath": {"prefix": [3]}}, {"setPriority": {"value": 5}}]}
	]`
	seven, five := uint32(7), uint32(5)
	first := Effect{Learned: true, Interface: "eth*"}
	second := Effect{IBGP: true, Community: "1:2", Path: []uint32{65001}, Priority: &seven, Accept: true, Index: 1}
	third := Effect{Accept: true, Add: []string{"1:2:3"}, Prepend: []uint32{3, 1, 2}, Set: &five, Index: 2}
	tests := []struct {
		prefix string
		old    bool
		want   []Effect
	}{
		{"10.244.0.0/26", false, []Effect{first, third}},
		{"10.244.128.0/26", false, []Effect{third}},
		{"10.96.0.0/26", false, []Effect{second, third}},
		// Before v3.32, conditions and operations that Calico does not know have no effect.
		{"10.96.0.0/26", true, []Effect{{Accept: true, Index: 1}, {Accept: true, Index: 2}}},
	}
	for _, tt := range tests {
		got := Parse(Export, 32, field(t, rules), tt.old).For(netip.MustParsePrefix(tt.prefix))
		if !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s, old %t: got %+v, want %+v", tt.prefix, tt.old, got, tt.want)
		}
	}
}

// BIRD fails to compare a prefix with an address, and then rejects every route that reaches the rule.
func TestARuleThatFailsRejectsEverything(t *testing.T) {
	for _, tt := range []struct {
		bits   int
		rule   string
		prefix string
	}{
		{32, `{"action": "Accept", "matchOperator": "In", "cidr": "10.0.0.0", "peerType": "eBGP"}`, "192.0.2.0/24"},
		{128, `{"action": "Accept", "matchOperator": "In", "cidr": "10.0.0.0/8"}`, "fd00::/64"},
	} {
		r := Parse(Export, tt.bits, field(t, "["+tt.rule+"]"), false)
		if got := r.For(netip.MustParsePrefix(tt.prefix)); !r.Understood() || !reflect.DeepEqual(got, []Effect{{}}) {
			t.Errorf("%s: got %+v, want a rule that rejects all routes", tt.rule, got)
		}
	}
}

func TestRegions(t *testing.T) {
	rules := Parse(Export, 32, field(t, `[{"action": "Reject", "matchOperator": "In", "cidr": "10.244.128.0/17"}, {"action": "Reject", "matchOperator": "Equal", "cidr": "10.244.0.64/26"}]`), false)
	further := []netip.Prefix{netip.MustParsePrefix("10.244.192.0/18"), netip.MustParsePrefix("192.0.2.0/24")}
	got, all := Regions(netip.MustParsePrefix("10.244.0.0/16"), 26, further, rules)
	want := "[{10.244.0.0/16 [10.244.0.64/26 10.244.128.0/17] 10.244.0.0/26} {10.244.0.64/26 [] 10.244.0.64/26} " +
		"{10.244.128.0/17 [10.244.192.0/18] 10.244.128.0/26} {10.244.192.0/18 [] 10.244.192.0/26}]"
	if fmt.Sprint(got) != want || !all {
		t.Errorf("got %v, all %t, want %s", got, all, want)
	}
	keys := map[string]bool{}
	for _, region := range got[:3] {
		keys[string(rules.AppendMatches(nil, region.Prefix, true))] = true
	}
	if len(keys) != 3 {
		t.Errorf("%d of 3 kinds of prefixes have keys of their own", len(keys))
	}
}

// world is a small space of prefixes, whose first five bits vary, in which a naive evaluation
// can visit every prefix. No CIDR or length of the rules is longer than five.
type world struct {
	bits     int
	prefixes []netip.Prefix
}

func newWorld(bits int) world {
	w := world{bits: bits}
	for _, length := range []int{0, 1, 2, 3, 4, 5, 6, bits} {
		for value := range 1 << min(length, 5) {
			w.prefixes = append(w.prefixes, w.prefix(value<<(5-min(length, 5)), length))
		}
	}
	return w
}

// prefix returns the prefix whose address has the given first five bits.
func (w world) prefix(value, length int) netip.Prefix {
	address := make([]byte, w.bits/8)
	address[0] = byte(value << 3)
	ip, _ := netip.AddrFromSlice(address)
	return netip.PrefixFrom(ip, length)
}

// randomRules returns rules as JSON.
func (w world) randomRules(r *rand.Rand) []any {
	var out []any
	for range r.IntN(5) {
		rule := map[string]any{"action": []string{"Accept", "Reject"}[r.IntN(2)]}
		if r.IntN(6) > 0 {
			length := r.IntN(6)
			rule["cidr"] = w.prefix(r.IntN(32), length).Masked().String()
			rule["matchOperator"] = []string{"In", "In", "NotIn", "Equal", "NotEqual"}[r.IntN(5)]
			if r.IntN(3) == 0 {
				lengths := map[string]any{}
				if r.IntN(2) == 0 {
					lengths["max"] = float64(length + r.IntN(6-length))
				}
				if r.IntN(2) == 0 {
					lengths["min"] = float64(r.IntN(length + 1))
				}
				rule["prefixLength"] = lengths
			}
		}
		for name, values := range map[string][]string{"source": {"RemotePeers"}, "interface": {"*", "eth0"}, "peerType": {"eBGP", "iBGP", "x"}} {
			if r.IntN(5) == 0 {
				rule[name] = values[r.IntN(len(values))]
			}
		}
		out = append(out, rule)
	}
	return out
}

// route is a route to a prefix.
type route struct {
	prefix            netip.Prefix
	learned, external bool
	interfaceName     string
}

// naive returns what rules do with a route, rule by rule as the documentation says.
func naive(d Direction, bits int, rules []any, r route) string {
	for _, one := range rules {
		rule, _ := one.(map[string]any)
		if naiveMatches(d, bits, rule, r) {
			return rule["action"].(string)
		}
	}
	return map[Direction]string{Import: "Accept", Export: "default"}[d]
}

func naiveMatches(d Direction, bits int, rule map[string]any, r route) bool {
	if glob, ok := rule["interface"].(string); ok {
		if matched, _ := path.Match(glob, r.interfaceName); !matched {
			return false
		}
	}
	switch {
	case rule["source"] == "RemotePeers" && d == Export && !r.learned,
		rule["peerType"] == "eBGP" && !r.external, rule["peerType"] == "iBGP" && r.external:
		return false
	case rule["cidr"] == nil:
		return true
	}
	cidr := netip.MustParsePrefix(rule["cidr"].(string))
	lengths, limited := rule["prefixLength"].(map[string]any)
	operator := rule["matchOperator"].(string)
	var matches bool
	if strings.HasSuffix(operator, "In") {
		lowest, highest := float64(cidr.Bits()), float64(bits)
		if v, ok := lengths["min"].(float64); ok && v > lowest {
			lowest = v
		}
		if v, ok := lengths["max"].(float64); ok {
			highest = v
		}
		length := float64(r.prefix.Bits())
		matches = cidr.Contains(r.prefix.Addr()) && length >= lowest && length <= highest
	} else {
		matches = !limited && cidr == r.prefix
	}
	return matches != strings.HasPrefix(operator, "Not")
}

// TestSameIsNaive compares Same with the evaluation of every prefix and every combination of
// conditions, for random lists of rules.
func TestSameIsNaive(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 0))
	count := map[bool]int{}
	worlds := []world{newWorld(32), newWorld(128)}
	for range 3000 {
		w, d := worlds[r.IntN(2)], Direction(r.IntN(2))
		a := w.randomRules(r)
		b := w.randomRules(r)
		if r.IntN(2) == 0 { // Lists that differ little.
			b = append(b[:0:0], a...)
			r.Shuffle(len(b), func(i, j int) { b[i], b[j] = b[j], b[i] })
			if len(b) > 0 && r.IntN(2) == 0 {
				b = append(b, b[r.IntN(len(b))])
			}
		}
		want := true
		for _, p := range w.prefixes {
			for mask := range 8 {
				one := route{prefix: p, learned: mask&1 != 0, external: mask&2 != 0, interfaceName: []string{"eth0", "eth1"}[mask>>2]}
				want = want && naive(d, w.bits, a, one) == naive(d, w.bits, b, one)
			}
		}
		count[want]++
		if got := Same(Parse(d, w.bits, a, false), Parse(d, w.bits, b, false)); got != want {
			t.Fatalf("seed %d, direction %d: got %t, want %t for\n%v\n%v", seed, d, got, want, a, b)
		}
	}
	if count[true] < 300 || count[false] < 300 {
		t.Errorf("got %d equal and %d different lists, want at least 300 of each", count[true], count[false])
	}
}

// TestSameIsBounded compares lists that take more steps than allowed: they count as different.
func TestSameIsBounded(t *testing.T) {
	var many, conditions []any
	for i := range 4000 {
		many = append(many, map[string]any{"action": "Reject", "matchOperator": "In", "cidr": fmt.Sprintf("10.%d.%d.0/24", i/250, i%250)})
	}
	for i := range 40 {
		conditions = append(conditions, map[string]any{"action": []string{"Accept", "Reject"}[i%2], "interface": fmt.Sprintf("eth%d", i)})
	}
	for _, list := range [][]any{many, conditions} {
		other := append([]any{map[string]any{"action": "Reject", "matchOperator": "In", "cidr": "11.0.0.0/8"}}, list...)
		if Same(Parse(Export, 32, list, false), Parse(Export, 32, other, false)) {
			t.Errorf("lists of %d rules are different", len(list))
		}
	}
}

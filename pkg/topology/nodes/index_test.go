package nodes

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
)

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// randomNode returns node i with random labels and addresses. It sometimes shares its
// address with another node.
func randomNode(t *testing.T, r *rand.Rand, i int) *calico.Node {
	tweaks := []calicotest.Tweak{calicotest.Label("n", fmt.Sprint(i))}
	for _, key := range []string{"a", "b"} {
		if r.IntN(3) > 0 {
			tweaks = append(tweaks, calicotest.Label(key, pick(r, "", "x", "y", "xy", "it's", `it"s`)))
		}
	}
	host := i
	if r.IntN(60) == 0 {
		host = r.IntN(150)
	}
	if r.IntN(8) > 0 {
		tweaks = append(tweaks, calicotest.IPv4(fmt.Sprintf("10.0.0.%d/24", host)))
	}
	if r.IntN(3) == 0 {
		tweaks = append(tweaks, calicotest.IPv6(fmt.Sprintf(pick(r, "fd00::%d/64", "fd00::%d/64", "fe80::%d"), host+1)))
	}
	if r.IntN(6) == 0 {
		tweaks = append(tweaks, calicotest.RouteReflector(pick(r, "244.0.0.1", "244.0.0.2")))
	}
	if r.IntN(6) == 0 {
		tweaks = append(tweaks, calicotest.ASNumber(pick[uint32](r, 0, 64512, 64513)))
	}
	n := calicotest.Node(t, fmt.Sprintf("n%03d", i), tweaks...)
	n.NotReady = r.IntN(5) == 0
	return n
}

// edited returns nodes after some random creates, updates and deletes of nodes that
// are next to each other.
func edited(t *testing.T, r *rand.Rand, nodes []*calico.Node) []*calico.Node {
	out := slices.Clone(nodes)
	for at := r.IntN(150); at < 150 && r.IntN(3) > 0; at++ {
		i, ok := slices.BinarySearchFunc(out, fmt.Sprintf("n%03d", at), func(n *calico.Node, name string) int {
			return strings.Compare(n.Name, name)
		})
		if ok {
			out = slices.Delete(out, i, i+1)
		}
		if !ok || r.IntN(2) == 0 {
			out = slices.Insert(out, i, randomNode(t, r, at))
		}
	}
	return out
}

// forEdits calls check with the index of random nodes after each of many edits.
func forEdits(t *testing.T, check func(r *rand.Rand, ix *Index)) {
	t.Helper()
	r := rand.New(rand.NewPCG(5, 6))
	var nodes []*calico.Node
	for i := range 70 {
		nodes = append(nodes, randomNode(t, r, 2*i))
	}
	ix := New(nodes, nil, nil)
	for range 300 {
		check(r, ix)
		nodes = edited(t, r, nodes)
		ix = New(nodes, ix, func(string) bool { return true })
	}
}

// TestSelectIsWhatCalicoEvaluates compares Select with Calico's evaluation of the
// selector for each node.
func TestSelectIsWhatCalicoEvaluates(t *testing.T) {
	leaves := []string{
		"a == 'x'", `a == "y"`, "a == ''", "a == 'unknown'", "a != 'x'", `a != ""`, "b != 'unknown'", "has(a)", "!has(b)", "has(unknown)", "unknown == ''",
		"b in {'x', 'it\"s'}", `b in {"it's"}`, "b in {}", "b not in {'x', ''}", "b not in {}", "unknown not in {'x'}", "unknown in {'x'}",
		"a contains 'x'", "b starts with 'x'", "b ends with 'y'", "n == '12'", "n in {'3', '4', '200'}", "n != '14'", "all()", "global()",
	}
	var random func(r *rand.Rand, depth int) string
	random = func(r *rand.Rand, depth int) string {
		if depth == 0 || r.IntN(3) == 0 {
			return pick(r, leaves...)
		}
		return fmt.Sprintf(pick(r, "(%s && %s)", "(%s || %s)", "!(%s) && %s"), random(r, depth-1), random(r, depth-1))
	}
	forEdits(t, func(r *rand.Rand, ix *Index) {
		for _, text := range append(leaves, random(r, 3), random(r, 3)) {
			selector, err := calico.ParseSelector(text)
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			set := ix.Select(text, selector)
			for i, n := range ix.Nodes {
				if got, want := set.Test(uint(i)), selector.Matches(n.Labels); got != want {
					t.Fatalf("%s for a node with the labels %v: the index says %v, Calico %v", text, n.Labels, got, want)
				}
			}
		}
	})
	if set := New(calicotestNodes(t, 3), nil, nil).Select("broken =", nil); set.Any() {
		t.Errorf("a selector that does not parse matches %v", set)
	}
}

func calicotestNodes(t *testing.T, n int) []*calico.Node {
	var out []*calico.Node
	for i := range n {
		out = append(out, calicotest.NumberedNode(t, i))
	}
	return out
}

// TestSelectionsAfterEditsOfLabels edits labels that selectors read and others. Each index has the nodes that Calico selects, and
// knows of which selectors these are the same as in the index before.
func TestSelectionsAfterEditsOfLabels(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	labels := []string{"a", "b", "c", "d"}
	selector := func(text string) *calico.Selector {
		s, err := calico.ParseSelector(text)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	texts := []string{"has(a)", "a == 'x'", "has(b) && !has(a)", "b in {'x', 'false'}"}
	later := []string{"has(c)", "c == 'x' || has(a)"}
	node := func(i int, values map[string]string) *calico.Node {
		tweaks := []calicotest.Tweak{calicotest.IPv4(calicotest.NodeAddress(i))}
		for _, label := range labels {
			if v := values[label]; v != "" {
				tweaks = append(tweaks, calicotest.Label(label, v))
			}
		}
		return calicotest.Node(t, calicotest.NodeName(i), tweaks...)
	}
	values := make([]map[string]string, 20)
	nodes := make([]*calico.Node, len(values))
	for i := range nodes {
		values[i] = map[string]string{}
		nodes[i] = node(i, values[i])
	}
	ix := New(nodes, nil, nil)
	same, shared := 0, 0
	for round := range 400 {
		ix.Reserve(100)
		if round == 200 {
			texts = append(texts, later...)
		}
		for _, text := range texts {
			set, unintended := ix.Select(text, selector(text)), ix.Unintended(text, selector(text))
			for i, n := range ix.Nodes {
				if set.Test(uint(i)) != selector(text).Matches(n.Labels) || unintended.Test(uint(i)) != selector(text).Unintended(n.Labels) {
					t.Fatalf("round %d, %s: node %d with the labels %v is selected: %t, unintendedly: %t", round, text, i, n.Labels, set.Test(uint(i)), unintended.Test(uint(i)))
				}
			}
		}
		i := r.IntN(len(nodes))
		nodes = slices.Clone(nodes)
		values[i][pick(r, labels...)] = pick(r, "", "x", "y", "false")
		nodes[i] = node(i, values[i])
		next := New(nodes, ix, func(string) bool { return true })
		if len(next.shared) > 0 {
			shared++
		}
		for _, text := range texts {
			if next.SameSelection(ix, text, selector(text)) {
				same++
				if !next.Select(text, selector(text)).Equal(ix.Select(text, selector(text))) || !next.Unintended(text, selector(text)).Equal(ix.Unintended(text, selector(text))) {
					t.Fatalf("round %d: %s does not select the same", round, text)
				}
			} else if next.Select(text, selector(text)) == ix.Select(text, selector(text)) && next.Unintended(text, selector(text)) == ix.Unintended(text, selector(text)) {
				t.Fatalf("round %d: %s selects the same", round, text)
			}
		}
		ix = next
	}
	if same < 400 || shared < 100 {
		t.Errorf("%d selections were the same, and %d indexes shared all of them", same, shared)
	}
	if fresh := New(nodes, nil, nil); fresh.SameSelection(ix, "has(a)", selector("has(a)")) {
		t.Error("a fresh index knows what an older one selected")
	}
}

// TestEditedIndexEqualsAFreshOne compares an index that New makes from an old index with
// an index that New makes without one.
func TestEditedIndexEqualsAFreshOne(t *testing.T) {
	sharing := 0
	forEdits(t, func(_ *rand.Rand, ix *Index) {
		fresh := New(ix.Nodes, nil, nil)
		for _, set := range []struct {
			name      string
			got, want *bitset.BitSet
		}{
			{"IPv4", ix.BGP[0], fresh.BGP[0]}, {"IPv6", ix.BGP[1], fresh.BGP[1]}, {"speakers", ix.Speakers, fresh.Speakers},
			{"reflectors", ix.Reflectors, fresh.Reflectors}, {"not ready", ix.NotReady, fresh.NotReady},
		} {
			if !set.got.Equal(set.want) {
				t.Fatalf("%s: got %v, want %v", set.name, set.got, set.want)
			}
		}
		if got, want := ix.ASNumbers(), fresh.ASNumbers(); len(want) > len(got) {
			t.Fatalf("AS numbers: got %v, want at least %v", got, want)
		}
		for i, n := range ix.Nodes {
			if at, ok := ix.Find(n.Name); !ok || at != uint(i) || !ix.Named(n.Name).Test(uint(i)) || ix.Named(n.Name).Count() != 1 {
				t.Fatalf("node %d is found at %d, %v", i, at, ok)
			}
			if ix.Zones.ID(uint32(i)) != 0 {
				t.Fatalf("node %d has a zone", i)
			}
			for _, f := range calico.Families {
				if !n.SpeaksBGP(f) {
					continue
				}
				var want []uint32
				for k, other := range ix.Nodes {
					if other.SpeaksBGP(f) && other.Address[f].Addr() == n.Address[f].Addr() {
						want = append(want, uint32(k))
					}
				}
				if got := ix.At(n.Address[f].Addr()); !slices.Equal(got, want) {
					t.Fatalf("at %s: got %v, want %v", n.Address[f].Addr(), got, want)
				}
				if got := ix.Shared(f).Test(uint(i)); got != (len(want) > 1) || got && !ix.Shares(uint32(i)) {
					t.Fatalf("%s shares its address: got %v, want %v", n.Name, got, len(want) > 1)
				}
				if len(want) > 1 {
					sharing++
				}
			}
		}
		if got := ix.At(netip.MustParseAddr("192.0.2.1")); len(got) > 0 {
			t.Fatalf("at an address of no node: got %v", got)
		}
		if _, ok := ix.Find("unknown"); ok || ix.Named("unknown").Any() {
			t.Fatal("an unknown node is found")
		}
	})
	if sharing == 0 {
		t.Error("no nodes shared an address")
	}
}

// TestClassesAreWhatNodesHaveInCommon compares classes with a simple grouping by the
// same properties.
func TestClassesAreWhatNodesHaveInCommon(t *testing.T) {
	var before *Classes
	reused := 0
	forEdits(t, func(r *rand.Rand, ix *Index) {
		d := Defaults{ASN: pick[uint32](r, 64512, 64513), Port: pick[uint16](r, 0, 1790), Ports: map[uint16]*bitset.BitSet{179: bitset.New(ix.Len())}}
		d.Ports[179].Set(uint(r.IntN(len(ix.Nodes))))
		var sets []*bitset.BitSet
		for range r.IntN(4) {
			set := bitset.New(ix.Len())
			for range r.IntN(10) {
				set.Set(uint(r.IntN(len(ix.Nodes))))
			}
			sets = append(sets, set, nil, set)
		}
		classes := ix.Divide(d, sets, before)
		if again := ix.Divide(d, sets, classes); again == classes {
			reused++
		}
		type key struct {
			four, six, linkLocal, own bool
			asn                       uint32
			port                      uint16
			clusterID, sets           string
			alone                     int
		}
		numbers := map[key]uint32{}
		var want Classes
		for i, n := range ix.Nodes {
			k := key{four: n.SpeaksBGP(calico.IPv4), six: n.SpeaksBGP(calico.IPv6), asn: d.ASN, port: d.Port, clusterID: n.ClusterID}
			k.linkLocal = k.six && n.Address[calico.IPv6].Addr().IsLinkLocalUnicast()
			if n.ASNumber != nil {
				k.own, k.asn = true, *n.ASNumber
			}
			if d.Ports[179].Test(uint(i)) {
				k.port = 179
			}
			if ix.Shares(uint32(i)) {
				k.alone = i + 1
			}
			for _, set := range sets {
				k.sets += fmt.Sprint(set != nil && set.Test(uint(i)))
			}
			number, ok := numbers[k]
			if !ok {
				number = uint32(len(want.List))
				numbers[k] = number
				want.List = append(want.List, Class{Identity: Identity{IPv4: k.four, IPv6: k.six, OwnASN: k.own, ASN: k.asn, ClusterID: k.clusterID, linkLocal: k.linkLocal, alone: uint32(k.alone)}, Port: k.port})
			}
			want.Of = append(want.Of, number)
			one := &want.List[number]
			one.Nodes++
			if len(one.First) < MaxFirst {
				one.First = append(one.First, uint32(i))
			}
		}
		if !slices.Equal(classes.Of, want.Of) || !reflect.DeepEqual(classes.List, want.List) {
			t.Fatalf("got %+v\nwant %+v", classes.List, want.List)
		}
		for c, members := range classes.Members() {
			got := classes.Union(func(i int) bool { return i == c })
			if len(members) != want.List[c].Nodes || got.Count() != uint(len(members)) || !got.Test(uint(members[0])) {
				t.Fatalf("class %d: members %v, set %v", c, members, got)
			}
		}
		if got := classes.Union(func(int) bool { return false }); got != nil {
			t.Fatalf("the union of no class is %v", got)
		}
		before = classes
	})
	if reused < 300 {
		t.Errorf("classes were reused %d times", reused)
	}
}

func TestPairs(t *testing.T) {
	c := &Classes{List: []Class{{Nodes: 3}, {Nodes: 4}}}
	if a, b, d := c.Pairs(0, 0), c.Pairs(0, 1), c.Pairs(1, 1); a != 3 || b != 12 || d != 6 {
		t.Errorf("got %d, %d, %d, want 3, 12, 6", a, b, d)
	}
}

// TestLists compares short and long lists with their sets.
func TestLists(t *testing.T) {
	for _, n := range []int{0, 1, MaxShort, MaxShort + 1, 200} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			set := bitset.New(1000)
			for i := range n {
				set.Set(uint(3 * i))
			}
			l := NewList(set)
			if l.Len != n || (l.Short != nil) != (n > 0 && n <= MaxShort) {
				t.Errorf("got %d nodes, short %v", l.Len, l.Short)
			}
			sum := bitset.New(1000)
			l.AddTo(sum)
			if !sum.Equal(set) {
				t.Errorf("added %v, want %v", sum, set)
			}
			var got []uint32
			l.Each(func(i uint32) bool {
				got = append(got, i)
				return len(got) < 3
			})
			if want := []uint32{0, 3, 6}[:min(n, 3)]; !slices.Equal(got, want) {
				t.Errorf("visited %v, want %v", got, want)
			}
			last := uint32(3 * (n - 1))
			if got := l.Some(func(i uint32) bool { return i == last }); got != (n > 0) {
				t.Errorf("some node is the last: %v", got)
			}
			if l.Some(func(i uint32) bool { return i == 1 }) || l.Meets(bitset.New(1000).Set(1)) {
				t.Error("node 1 is in it")
			}
			if got := l.Meets(bitset.New(1000).Set(uint(max(0, 3*(n-1))))); got != (n > 0) {
				t.Errorf("meets the set of the last: %v", got)
			}
		})
	}
}

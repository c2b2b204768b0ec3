package routes

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestRoutes(t *testing.T) {
	reflector := func(name, cluster string) speaker { return speaker{name: name, cluster: cluster} }
	in := func(name string, asn uint32) speaker { return speaker{name: name, asn: asn} }
	a, b, m := speaker{name: "a"}, speaker{name: "b"}, speaker{name: "m"}
	for name, c := range map[string]struct {
		network                     *network
		withoutTransit, withTransit string // missing routes
	}{
		"a session carries routes both ways":        {chain(a, b), "", ""},
		"a node without sessions has no routes":     {&network{speakers: speakers("a", "b")}, "a>b b>a", "a>b b>a"},
		"iBGP is not passed on":                     {chain(a, m, b), "a>b b>a", "a>b b>a"},
		"a full mesh needs nobody to pass it on":    {&network{speakers: speakers("a", "b", "c"), links: []link{{a: "a", b: "b"}, {a: "b", b: "c"}, {a: "a", b: "c"}}}, "", ""},
		"a reflector reflects between its clients":  {chain(a, reflector("r", "1"), b), "", ""},
		"reflectors of several clusters in a row":   {chain(a, reflector("r", "1"), reflector("s", "2"), reflector("u", "3"), b), "", ""},
		"a cluster ID that comes again is a loop":   {chain(a, reflector("r", "1"), reflector("s", "2"), reflector("u", "1"), b), "a>u a>b b>a b>r", "a>u a>b b>a b>r"},
		"reflectors of one cluster are no clients":  {chain(a, reflector("r", "1"), reflector("s", "1"), b), "a>b b>a", "a>b b>a"},
		"eBGP is passed on":                         {chain(in("a", 1), in("m", 2), in("b", 3)), "", ""},
		"eBGP to iBGP and back is passed on":        {chain(in("a", 64513), m, in("b", 64514)), "", ""},
		"the own AS number in the path is a loop":   {chain(in("a", 64513), m, in("b", 64513)), "a>b b>a", "a>b b>a"},
		"the first AS number in between is no loop": {chain(in("a", 64513), in("m", 64514), in("n", 64515), in("b", 64516)), "", ""},
		"a session may accept the own AS number": {
			&network{speakers: []speaker{in("a", 64513), m, in("b", 64513)}, links: []link{{a: "a", b: "m", allowed: 1}, {a: "m", b: "b", allowed: 1}}}, "", ""},
		"as often as it says": {
			&network{
				speakers: []speaker{in("a", 64513), m, in("b", 64513), {name: "n", asn: 64514}, in("c", 64513)},
				links:    []link{{a: "a", b: "m"}, {a: "m", b: "b", allowed: 1}, {a: "b", b: "n"}, {a: "n", b: "c", allowed: 1}},
			}, "a>c b>a n>a c>a c>m c>b", "a>c b>a n>a c>a c>m c>b"},
		"another AS number on one session passes iBGP on": {
			&network{speakers: []speaker{a, m, in("b", 64513)}, links: []link{{a: "a", b: "m"}, {a: "m", b: "b", asn: 64513}}}, "", ""},
		"eBGP resets the cluster list": {
			chain(a, reflector("r", "1"), in("x", 64513), speaker{name: "s", asn: 64514, cluster: "1"}, in("b", 64514)), "", ""},
		"the nodes of a vertex have no routes of each other by themselves": {&network{speakers: []speaker{{name: "a", nodes: 2}}}, "a>a", "a>a"},
		"they have by sessions among them":                                 {&network{speakers: []speaker{{name: "a", nodes: 2}}, links: []link{{a: "a", b: "a"}}}, "", ""},
		"a single node needs no route to itself":                           {&network{speakers: []speaker{a}, links: []link{{a: "a", b: "a"}}}, "", ""},
		"they have over a reflector":                                       {chain(speaker{name: "a", nodes: 3}, reflector("r", "1")), "", ""},
		"an external peer with transit passes routes on":                   {&network{speakers: speakers("a", "b"), external: []external{{name: "a", asn: 65000}, {name: "b", asn: 65000}}}, "a>b b>a", ""},
		"to all external peers":                                            {&network{speakers: speakers("a", "b"), external: []external{{name: "a", asn: 65000}, {name: "b", asn: 65001}}}, "a>b b>a", ""},
		"also among the nodes of a vertex":                                 {&network{speakers: []speaker{{name: "a", nodes: 2}}, external: []external{{name: "a", asn: 65000}}}, "a>a", ""},
		"not to nodes without one":                                         {&network{speakers: speakers("a", "b"), external: []external{{name: "a", asn: 65000}}}, "a>b b>a", "a>b b>a"},
		"what iBGP gave does not go out by iBGP": {
			&network{speakers: speakers("c", "a", "b"), links: []link{{a: "c", b: "a"}}, external: []external{{name: "a", asn: 64512}, {name: "b", asn: 64512}}},
			"c>b a>b b>c b>a", "c>b b>c"},
		"what iBGP gave goes out by eBGP": {
			&network{speakers: speakers("c", "a", "b"), links: []link{{a: "c", b: "a"}}, external: []external{{name: "a", asn: 65000}, {name: "b", asn: 65000}}},
			"c>b a>b b>c b>a", ""},
		"what a client gave goes out of a reflector by iBGP": {
			&network{speakers: []speaker{{name: "c"}, {name: "a", cluster: "1"}, {name: "b"}}, links: []link{{a: "c", b: "a"}}, external: []external{{name: "a", asn: 64512}, {name: "b", asn: 64512}}},
			"c>b a>b b>c b>a", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := computed(t, c.network.graph())
			if got := c.network.missing(r[WithoutTransit]); got != c.withoutTransit {
				t.Errorf("without transit: missing %q, want %q", got, c.withoutTransit)
			}
			if got := c.network.missing(r[WithTransit]); got != c.withTransit {
				t.Errorf("with transit: missing %q, want %q", got, c.withTransit)
			}
			if same := r[WithTransit] == r[WithoutTransit]; same != (len(c.network.external) == 0) {
				t.Errorf("one reading for both: %v", same)
			}
		})
	}
}

// TestPartitionsAndPairs verifies Partitions, Missing and Isolated.
func TestPartitionsAndPairs(t *testing.T) {
	for name, c := range map[string]struct {
		network        *network
		count, largest int
		missing        string // pairs of vertices, each with its number of pairs of nodes
		isolated       string
	}{
		"no nodes":                    {&network{}, 0, 0, "", ""},
		"one node":                    {&network{speakers: speakers("a")}, 1, 1, "", "a"},
		"nodes without sessions":      {&network{speakers: []speaker{{name: "a", nodes: 3}, {name: "b"}}}, 4, 1, "a-a:3 b-a:3", "a b"},
		"two partitions":              {&network{speakers: []speaker{{name: "a", nodes: 3}, {name: "b", nodes: 2}}, links: []link{{a: "a", b: "a"}, {a: "b", b: "b"}}}, 2, 3, "b-a:6", ""},
		"a mesh":                      {&network{speakers: []speaker{{name: "a", nodes: 3}, {name: "b", nodes: 2}}, links: []link{{a: "a", b: "a"}, {a: "b", b: "b"}, {a: "a", b: "b"}}}, 1, 5, "", ""},
		"nodes that see a hub alone":  {chain(speaker{name: "a", nodes: 3}, speaker{name: "m"}), 1, 4, "a-a:3", ""},
		"a chain that nobody extends": {chain(speakers("a", "m", "b")...), 1, 3, "b-a:1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := computed(t, c.network.graph())[WithoutTransit]
			if count, largest, err := r.Partitions(t.Context()); count != c.count || largest != c.largest || err != nil {
				t.Errorf("%d partitions, the largest of %d nodes, %v; want %d and %d", count, largest, err, c.count, c.largest)
			}
			var missing, isolated []string
			err := r.Missing(t.Context(), func(a, b, pairs int) {
				missing = append(missing, fmt.Sprintf("%s-%s:%d", c.network.speakers[a].name, c.network.speakers[b].name, pairs))
			})
			if got := strings.Join(missing, " "); got != c.missing || err != nil {
				t.Errorf("missing %q, %v, want %q", got, err, c.missing)
			}
			for v, s := range c.network.speakers {
				if r.Isolated(v) {
					isolated = append(isolated, s.name)
				}
			}
			if got := strings.Join(isolated, " "); got != c.isolated {
				t.Errorf("isolated %q, want %q", got, c.isolated)
			}
		})
	}
}

func TestARouteOneWayIsMissing(t *testing.T) {
	g := chain(speakers("a", "b")...).graph()
	g.Vertices[1].Sessions = nil // b advertises nothing.
	r := computed(t, g)[WithoutTransit]
	if !r.Has(0, 1) || r.Has(1, 0) || r.Mutual(0, 1) || r.Isolated(0) || r.Isolated(1) {
		t.Errorf("a to b %v, b to a %v", r.Has(0, 1), r.Has(1, 0))
	}
	if count, largest, err := r.Partitions(t.Context()); count != 2 || largest != 1 || err != nil {
		t.Errorf("%d partitions, the largest of %d, %v", count, largest, err)
	}
}

func TestDependencies(t *testing.T) {
	rr := func(name string, zone int) speaker { return speaker{name: name, cluster: "1", zone: zone} }
	for name, c := range map[string]struct {
		network *network
		// want and withTransit name the vertices with a dependency, without and with transit.
		want, withTransit string
	}{
		"workers with one reflector": {chain(speaker{name: "w", nodes: 3}, rr("r", 0)), "w: node r", "w: node r"},
		"a peer alone is no loss of others": {
			chain(speaker{name: "a"}, speaker{name: "b"}), "", ""},
		"two nodes that peer with each other alone": {
			&network{speakers: []speaker{{name: "a", nodes: 2}}, links: []link{{a: "a", b: "a"}}}, "", ""},
		"two reflectors in two zones": {
			&network{speakers: []speaker{{name: "w", nodes: 3}, rr("r", 1), rr("s", 2)}, links: []link{{a: "w", b: "r"}, {a: "w", b: "s"}}}, "", ""},
		"two reflectors in one zone": {
			&network{speakers: []speaker{{name: "w", nodes: 3, zone: 2}, rr("r", 1), rr("s", 1)}, links: []link{{a: "w", b: "r"}, {a: "w", b: "s"}}}, "w: zone 1", "w: zone 1"},
		"two reflectors in zones that are not known": {
			&network{speakers: []speaker{{name: "w", nodes: 3}, rr("r", 0), rr("s", 0)}, links: []link{{a: "w", b: "r"}, {a: "w", b: "s"}}}, "", ""},
		"a reflector of two nodes": {
			chain(speaker{name: "w", nodes: 3}, speaker{name: "r", nodes: 2, cluster: "1"}), "", ""},
		"external peers alone": {
			&network{speakers: speakers("a", "b"), external: []external{{name: "a", asn: 65000}, {name: "b", asn: 65000}}}, "", "a: external b: external"},
		"external peers beside a reflector": {
			&network{speakers: []speaker{{name: "a"}, {name: "b"}, rr("r", 0)}, links: []link{{a: "a", b: "r"}, {a: "b", b: "r"}}, external: []external{{name: "a", asn: 65000}}},
			"a: node r b: node r", "b: node r"},
	} {
		t.Run(name, func(t *testing.T) {
			r := computed(t, c.network.graph())
			for reading, want := range map[Reading]string{WithoutTransit: c.want, WithTransit: c.withTransit} {
				var got []string
				for v, s := range c.network.speakers {
					switch d := r[reading].Dependency(v); d.Kind {
					case None:
					case OnNode:
						got = append(got, s.name+": node "+c.network.speakers[d.Vertex].name)
					case OnZone:
						got = append(got, fmt.Sprintf("%s: zone %d", s.name, d.Zone))
					case OnExternal:
						got = append(got, s.name+": external")
					}
				}
				if text := strings.Join(got, " "); text != want {
					t.Errorf("reading %d: got %q, want %q", reading, text, want)
				}
			}
		})
	}
}

// TestNetworksInLayersStayBounded verifies maxRoutes in a network with 2^12 paths from
// one end to the other, each with different AS numbers.
func TestNetworksInLayersStayBounded(t *testing.T) {
	n := &network{speakers: []speaker{{name: "first", asn: 1}}}
	above := []string{"first"}
	for layer := range 12 {
		var below []string
		for k := range 2 {
			s := speaker{name: fmt.Sprintf("l%d-%d", layer, k), asn: uint32(100 + 10*layer + k)}
			n.speakers = append(n.speakers, s)
			below = append(below, s.name)
			for _, a := range above {
				n.links = append(n.links, link{a: a, b: s.name})
			}
		}
		above = below
	}
	// A second node of the first AS drops all routes of the first node, so the flood
	// does not end early.
	n.speakers = append(n.speakers, speaker{name: "last", asn: 1})
	for _, a := range above {
		n.links = append(n.links, link{a: a, b: "last"})
	}
	g := n.graph()
	f := newFlood(g, WithoutTransit, batchOf(&Destination{}))
	if err := f.run(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	most := 0
	for _, list := range f.routes {
		most = max(most, len(list))
	}
	if most != maxRoutes {
		t.Errorf("a vertex keeps %d paths, want %d", most, maxRoutes)
	}
	if missing := n.missing(computed(t, g)[WithoutTransit]); missing != "first>last last>first" {
		t.Errorf("missing %q", missing)
	}
}

// counting is a context that counts the calls of Err. If done is not 0, the context is
// done from that call.
type counting struct {
	context.Context
	asked, done int
}

func (c *counting) Err() error {
	c.asked++
	if c.done > 0 && c.asked >= c.done {
		return context.Canceled
	}
	return nil
}

// TestComputeEndsWithItsContext cancels the context at each call of Err. Compute must
// return without calling Err again. Each step must call Err at least once per vertex.
func TestComputeEndsWithItsContext(t *testing.T) {
	n := chain(speaker{name: "a", nodes: 2}, speaker{name: "r", cluster: "1"}, speaker{name: "b"})
	n.external = []external{{name: "a", asn: 65000}}
	g := n.graph()
	all := func(ctx context.Context) error {
		r, err := Compute(ctx, g)
		if err != nil {
			return err
		}
		if _, _, err := r[WithTransit].Partitions(ctx); err != nil {
			return err
		}
		return r[WithTransit].Missing(ctx, func(int, int, int) {})
	}
	whole := &counting{Context: t.Context()}
	if err := all(whole); err != nil {
		t.Fatal(err)
	}
	if least := 4 * len(g.Vertices); whole.asked < least {
		t.Errorf("asked %d times, want at least %d", whole.asked, least)
	}
	for done := 1; done <= whole.asked; done++ {
		ctx := &counting{Context: t.Context(), done: done}
		if err := all(ctx); !errors.Is(err, context.Canceled) || ctx.asked != done {
			t.Errorf("done at %d: %v, asked %d times", done, err, ctx.asked)
		}
	}
}

package topology

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// routeTrap is a state and its missing IPv4 routes, without and with transit.
type routeTrap struct {
	objects                     []calico.Object
	withoutTransit, withTransit string
}

func (c *routeTrap) check(t *testing.T, v *view, s *state.Snapshot) {
	t.Helper()
	missing := func(transit bool) string {
		var out []string
		for _, from := range s.Nodes() {
			for _, to := range s.Nodes() {
				if from != to && !v.hasRoute(calico.IPv4, from.Name, to.Name, transit) {
					out = append(out, fmt.Sprintf("%s>%s", from.Name, to.Name))
				}
			}
		}
		return strings.Join(out, " ")
	}
	if withoutTransit, withTransit := missing(false), missing(true); withoutTransit != c.withoutTransit || withTransit != c.withTransit {
		t.Errorf("missing without transit %q, with %q, want %q and %q\nstate:\n%s", withoutTransit, withTransit, c.withoutTransit, c.withTransit, show(s))
	}
}

func TestRouteTraps(t *testing.T) {
	for name, c := range routeTraps(t) {
		t.Run(name, func(t *testing.T) {
			s := state.New(c.objects...)
			c.check(t, viewOf(compute(t, s, nil)), s)
		})
	}
}

func TestTheNaiveModelKnowsTheRouteTraps(t *testing.T) {
	for name, c := range routeTraps(t) {
		t.Run(name, func(t *testing.T) {
			s := state.New(c.objects...)
			c.check(t, newNaive(s).view(), s)
		})
	}
}

func routeTraps(t *testing.T) map[string]*routeTrap {
	t.Helper()
	out := insideRouteTraps(t)
	maps.Copy(out, externalRouteTraps(t))
	return out
}

// joins returns a BGPPeer between two nodes.
func joins(t *testing.T, from, to string, more map[string]any) calico.Object {
	t.Helper()
	spec := map[string]any{"nodeSelector": fmt.Sprintf("name == '%s'", from), "peerSelector": fmt.Sprintf("name == '%s'", to)}
	maps.Copy(spec, more)
	return bgpPeer(t, from+"-"+to, spec)
}

// named returns a node with address 10.0.0.N and its name as a label.
func named(t *testing.T, name string, n int, options ...calicotest.Tweak) calico.Object {
	t.Helper()
	return at(t, name, fmt.Sprintf("10.0.0.%d", n), append(options, calicotest.Label("name", name))...)
}

func insideRouteTraps(t *testing.T) map[string]*routeTrap {
	t.Helper()
	id := func(id string) calicotest.Tweak { return calicotest.BGP("routeReflectorClusterID", id) }
	asn := func(n int64) calicotest.Tweak { return calicotest.BGP("asNumber", n) }
	chain := func(ids ...string) []calico.Object {
		// A chain of sessions: a, a route reflector for each ID, b.
		out := []calico.Object{noMesh(t), named(t, "a", 1), named(t, "b", 2)}
		before := "a"
		for i, c := range ids {
			name := fmt.Sprintf("r%d", i)
			out = append(out, named(t, name, 10+i, id(c)), joins(t, before, name, nil))
			before = name
		}
		return append(out, joins(t, before, "b", nil))
	}
	ebgp := func(a, middle, b int64) []calico.Object {
		return []calico.Object{noMesh(t), named(t, "a", 1, asn(a)), named(t, "m", 2, asn(middle)), named(t, "z", 3, asn(b)), joins(t, "a", "m", nil), joins(t, "m", "z", nil)}
	}
	return map[string]*routeTrap{
		"a node in the middle is no reflector": {
			objects:        []calico.Object{noMesh(t), named(t, "a", 1), named(t, "m", 2), named(t, "z", 3), joins(t, "a", "m", nil), joins(t, "m", "z", nil)},
			withoutTransit: "a>z z>a", withTransit: "a>z z>a",
		},
		"a reflector in the middle reflects":       {objects: chain("244.0.0.1")},
		"reflectors in a row with an ID each do":   {objects: chain("244.0.0.1", "244.0.0.2", "244.0.0.3")},
		"an ID that comes again stops at the last": {objects: chain("244.0.0.1", "244.0.0.2", "244.0.0.1"), withoutTransit: "a>b a>r2 b>a b>r0", withTransit: "a>b a>r2 b>a b>r0"},
		"the AS in the middle passes on":           {objects: ebgp(64513, 64512, 64514)},
		"the same AS on both ends is a loop":       {objects: ebgp(64513, 64512, 64513), withoutTransit: "a>z z>a", withTransit: "a>z z>a"},
		"iBGP, then eBGP passes on":                {objects: ebgp(64512, 64512, 64513)},
		"a local AS number for one session passes routes on that none reflects": {
			objects: []calico.Object{noMesh(t), named(t, "a", 1), named(t, "m", 2), named(t, "z", 3, asn(64513)), joins(t, "a", "m", nil),
				bgpPeer(t, "there", map[string]any{"node": "m", "peerIP": "10.0.0.3", "asNumber": int64(64513), "localASNumber": int64(64513), "reversePeering": "Manual"}),
				bgpPeer(t, "back", map[string]any{"node": "z", "peerIP": "10.0.0.2", "asNumber": int64(64513), "reversePeering": "Manual"})},
		},
	}
}

func externalRouteTraps(t *testing.T) map[string]*routeTrap {
	t.Helper()
	router := func(asn int64) calico.Object {
		return bgpPeer(t, "router", map[string]any{"nodeSelector": "has(name)", "peerIP": "192.0.2.1", "asNumber": asn})
	}
	return map[string]*routeTrap{
		"an external peer may carry all":                 {objects: []calico.Object{noMesh(t), named(t, "a", 1), named(t, "b", 2), router(65000)}, withoutTransit: "a>b b>a"},
		"an external peer of the same AS may too":        {objects: []calico.Object{noMesh(t), named(t, "a", 1), named(t, "b", 2), router(64512)}, withoutTransit: "a>b b>a"},
		"an external peer leaves those without it alone": {objects: []calico.Object{noMesh(t), named(t, "a", 1), at(t, "b", "10.0.0.2"), router(65000)}, withoutTransit: "a>b b>a", withTransit: "a>b b>a"},
		"what an iBGP neighbour gave does not go out by iBGP": {
			objects: []calico.Object{noMesh(t), named(t, "a", 1), named(t, "b", 2), at(t, "c", "10.0.0.3", calicotest.Label("inner", "")), router(64512),
				bgpPeer(t, "in", map[string]any{"nodeSelector": "has(inner)", "peerSelector": "name == 'a'"})},
			withoutTransit: "a>b b>a b>c c>b", withTransit: "b>c c>b",
		},
		"what an iBGP neighbour gave goes out by eBGP, and comes in": {
			objects: []calico.Object{noMesh(t), named(t, "a", 1), named(t, "b", 2), at(t, "c", "10.0.0.3", calicotest.Label("inner", "")), router(65000),
				bgpPeer(t, "in", map[string]any{"nodeSelector": "has(inner)", "peerSelector": "name == 'a'"})},
			withoutTransit: "a>b b>a b>c c>b",
		},
		"pods on a node carry nothing": {
			objects:        []calico.Object{noMesh(t), named(t, "a", 1), named(t, "b", 2), bgpPeer(t, "pods", map[string]any{"localWorkloadSelector": "all()", "asNumber": int64(65000)})},
			withoutTransit: "a>b b>a", withTransit: "a>b b>a",
		},
	}
}

package topology

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/state"
)

func TestSelectors(t *testing.T) {
	peers := map[string]map[string]any{
		"all":        {"nodeSelector": "has(a) && b == 'c'", "node": "gone", "peerSelector": "all()", "peerIP": "172.16.0.9"},
		"no-local":   {"node": "gone", "peerIP": "172.16.0.1", "asNumber": int64(64600)},
		"no-peer":    {"peerSelector": "z == 'y'"},
		"no-side":    {"nodeSelector": "b == 'x'", "peerSelector": "b == 'y'"},
		"everywhere": {"peerIP": "172.16.0.2", "asNumber": int64(64600)},
	}
	objects := append(makeNodes(t, 2), calicotest.Node(t, "n", calicotest.BGP("ipv4Address", "10.2.0.1/16"), calicotest.Label("a", ""), calicotest.Label("b", "c")))
	for name, spec := range peers {
		objects = append(objects, calicotest.Object(t, "BGPPeer", name, spec))
	}
	s := compute(t, state.New(objects...), nil).Summary()
	want := &Selectors{Labels: []string{"a", "b", "z"}, Wide: PerFamily[[]SelectingBGPPeer]{[]SelectingBGPPeer{}, []SelectingBGPPeer{}}, Unused: []SelectingBGPPeer{
		{"no-local", []string{"spec.node"}}, {"no-peer", []string{"spec.peerSelector"}}, {"no-side", []string{"spec.nodeSelector", "spec.peerSelector"}},
	}}
	if !reflect.DeepEqual(s.Selectors, want) {
		t.Errorf("got %+v, want %+v", s.Selectors, want)
	}
	for name, want := range map[string][]string{
		"all": {"spec.nodeSelector", "spec.peerSelector"}, "no-local": {"spec.node", "spec.peerIP"}, "no-peer": {"spec.peerSelector"}, "everywhere": {"spec.peerIP"},
	} {
		if got := s.BGPPeers[name].Selects; !slices.Equal(got, want) {
			t.Errorf("%s selects by %v, want %v", name, got, want)
		}
	}
}

func TestWideBGPPeers(t *testing.T) {
	both := []string{"spec.nodeSelector", "spec.peerSelector"}
	objects := append(makeNodes(t, 5), calicotest.Mesh(t, false),
		calicotest.Node(t, "rr", calicotest.BGP("ipv4Address", "10.2.0.1/16"), calicotest.BGP("routeReflectorClusterID", "244.0.0.1"), calicotest.Label("rr", "")),
		calicotest.Object(t, "BGPPeer", "one", map[string]any{"nodeSelector": "!has(rr)", "peerSelector": "has(rr)"}),
		calicotest.Object(t, "BGPPeer", "external", map[string]any{"nodeSelector": "all()", "peerIP": "172.16.0.1", "asNumber": int64(64600)}),
		calicotest.Object(t, "BGPPeer", "reflectors", map[string]any{"nodeSelector": "has(rr)", "peerSelector": "has(rr)"}))
	s := state.New(objects...)
	before := compute(t, s, nil)
	want := PerFamily[[]SelectingBGPPeer]{[]SelectingBGPPeer{{"one", both}}, []SelectingBGPPeer{}}
	if got := before.Summary().Selectors.Wide; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for i := range maxWide {
		s = s.Apply(state.Change{After: calicotest.Object(t, "BGPPeer", fmt.Sprintf("p%d", i), map[string]any{"nodeSelector": "!has(rr)", "peerSelector": "has(rr)"})})
	}
	want.IPv4 = []SelectingBGPPeer{}
	if got := compute(t, s, before).Summary().Selectors.Wide; !reflect.DeepEqual(got, want) {
		t.Errorf("with %d: got %+v, want none", maxWide+1, got)
	}
}

func TestUnusedBGPPeersAreBounded(t *testing.T) {
	var objects []calico.Object
	for i := range maxUnused + 5 {
		objects = append(objects, calicotest.Object(t, "BGPPeer", fmt.Sprintf("p%02d", i), map[string]any{"node": "gone", "peerIP": "172.16.0.1"}))
	}
	unused := compute(t, state.New(append(makeNodes(t, 1), objects...)...), nil).Summary().Selectors.Unused
	if len(unused) != maxUnused || unused[maxUnused-1].Name != "p09" {
		t.Errorf("got %v", unused)
	}
}

func TestSelectorsAreSharedUnlessTheyDiffer(t *testing.T) {
	with := func(spec map[string]any) state.Change {
		return state.Change{After: calicotest.Object(t, "BGPPeer", "a", spec)}
	}
	s := state.New(append(makeNodes(t, 5), calicotest.Object(t, "BGPPeer", "a", map[string]any{"nodeSelector": "all()", "peerSelector": "has(rr)"}))...)
	before := compute(t, s, nil)
	for name, c := range map[string]struct {
		change state.Change
		same   bool
	}{
		"a timer":       {with(map[string]any{"nodeSelector": "all()", "peerSelector": "has(rr)", "keepaliveTime": "10s"}), true},
		"another label": {with(map[string]any{"nodeSelector": "all()", "peerSelector": "has(other)"}), false},
		"used":          {with(map[string]any{"nodeSelector": "all()", "peerSelector": "!has(rr)"}), false},
		"deleted":       {state.Change{Before: s.BGPPeers()[0]}, false},
	} {
		t.Run(name, func(t *testing.T) {
			after := compute(t, s.Apply(c.change), before)
			if same := after.Summary().Selectors == before.Summary().Selectors; same != c.same {
				t.Errorf("shared: %v, want %v: %+v", same, c.same, after.Summary().Selectors)
			}
		})
	}
}

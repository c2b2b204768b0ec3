package validate

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology/topologytest"
)

// parts returns the parts of the summary of a state as JSON.
func partsOf(t *testing.T, s *state.Snapshot) map[string]string {
	t.Helper()
	text, err := json.Marshal(topologytest.Compute(t, s, nil).Summary())
	if err != nil {
		t.Fatal(err)
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for part, value := range raw {
		out[part] = string(value)
	}
	return out
}

// The table of dependents is complete: no other part of a summary depends on an object of it.
func TestTheTableOfDependentsIsComplete(t *testing.T) {
	type spec = map[string]any
	mesh := append(calicotest.Nodes(t, 6), calicotest.NumberedNode(t, 9, calicotest.ASNumber(65002)))
	objects := slices.Concat(mesh, []calico.Object{
		calicotest.NumberedNode(t, 6, calicotest.Label("rr", "true"), calicotest.RouteReflector("244.0.0.1")),
		calicotest.NumberedNode(t, 7, calicotest.Label("rr", "true"), calicotest.RouteReflector("244.0.0.1"), calicotest.ASNumber(65001)),
		calicotest.NumberedNode(t, 8, calicotest.RouteReflector("244.0.0.2")),
		calicotest.BGPPeer(t, "by-number", spec{"nodeSelector": "all()", "peerIP": calicotest.NodeAddress(8), "asNumber": 64512}),
		calicotest.BGPPeer(t, "reflectors", spec{"nodeSelector": "all()", "peerSelector": "has(rr)"}),
		calicotest.BGPPeer(t, "tor", spec{"nodeSelector": "all()", "peerIP": "10.9.9.9", "asNumber": 64512}),
		calicotest.BGPPeer(t, "by-address", spec{"node": calicotest.NodeName(0), "peerIP": calicotest.NodeAddress(1), "asNumber": 64512}),
		calicotest.BGPPeer(t, "newer", spec{"nodeSelector": "has(rr)", "peerSelector": "all()", "keepaliveTime": "30s", "reversePeering": "Manual"}),
		calicotest.Object(t, calico.KindBGPFilter, "newer", spec{"exportV4": []any{spec{"action": "Accept", "peerType": "eBGP"}}}),
		calicotest.IPPool(t, "ipip", spec{"cidr": "192.168.0.0/17", "ipipMode": "Always", "disableBGPExport": true}),
		calicotest.IPPool(t, "none", spec{"cidr": "192.168.128.0/17", "disableBGPExport": true}),
	})
	for kind, variants := range map[calico.Kind][]spec{
		calico.KindBGPConfiguration: {
			{"nodeToNodeMeshEnabled": false},
			{"asNumber": 65000}, {"listenPort": 1790},
			{"nodeMeshMaxRestartTime": "300s"},
			{"programClusterRoutes": "Enabled"}, {"programClusterRoutes": "Disabled"},
		},
		calico.KindFelixConfiguration: {{"programClusterRoutes": "Enabled"}, {"programClusterRoutes": "Disabled"}, {"programClusterRoutes": "EnabledNoEncapOnly"}},
		calico.KindClusterInformation: {{"calicoVersion": "v3.20.0"}, {"calicoVersion": "v3.30.0"}, {"calicoVersion": "v3.31.0"}, {"calicoVersion": "v3.32.0"}, {"calicoVersion": "v3.33.0"}},
	} {
		t.Run(string(kind), func(t *testing.T) {
			others := [][]calico.Object{nil}
			if kind != calico.KindClusterInformation {
				others = append(others, []calico.Object{calicotest.ClusterInformation(t, "v3.33.0")}, []calico.Object{calicotest.ClusterInformation(t, "v3.32.0")})
			}
			if kind != calico.KindBGPConfiguration {
				others = append(others, []calico.Object{calicotest.BGPConfiguration(t, calico.Default, spec{"programClusterRoutes": "Disabled", "nodeMeshMaxRestartTime": "300s"})})
			}
			if kind != calico.KindFelixConfiguration {
				others = append(others, []calico.Object{calicotest.Object(t, calico.KindFelixConfiguration, calico.Default, spec{"programClusterRoutes": "Enabled"}), calicotest.ClusterInformation(t, "v3.33.0")})
			}
			differ := map[string]bool{}
			states := [][]calico.Object{mesh}
			for _, more := range others {
				states = append(states, slices.Concat(objects, more))
			}
			for _, one := range states {
				base := state.New(one...)
				without := partsOf(t, base.Apply(state.Change{Before: base.Get(calico.ID{Kind: kind, Name: calico.Default})}))
				for _, variant := range variants {
					with := partsOf(t, base.Apply(state.Change{After: calicotest.Object(t, kind, calico.Default, variant)}))
					for part := range with {
						if with[part] != without[part] {
							differ[part] = true
						}
					}
				}
			}
			for _, part := range slices.Sorted(maps.Keys(differ)) {
				if !slices.Contains(dependents[kind], part) {
					t.Errorf("%s depends on it, and the table does not say so", part)
				}
			}
			known := partsOf(t, nil)
			for _, part := range dependents[kind] {
				if _, ok := known[part]; !ok {
					t.Errorf("%s is not a part of the summary", part)
				}
			}
			// A rule of thumb against a table that lists every part.
			if most := len(dependents[kind]) - 1; len(differ) < most {
				t.Errorf("the table lists %q, and only %q depend on it", dependents[kind], slices.Sorted(maps.Keys(differ)))
			}
		})
	}
}

// unparsed returns an object that does not parse.
func unparsed(kind calico.Kind, name string) *calico.Unparsed {
	return calico.NewUnparsed(calico.ID{Kind: kind, Name: name}, errors.New("spec.x: must be a string, is 7"))
}

// Without its BGPConfiguration, a large mesh is neither on nor off.
func TestWhatDependsOnAnUnreadObjectIsAnError(t *testing.T) {
	set := defaults(t, "mesh-node-limit", "encapsulation-change", "change-window")
	unread := unparsed(calico.KindBGPConfiguration, calico.Default)
	large := append(calicotest.Nodes(t, 120), unread)
	someone := state.Change{After: calicotest.Node(t, "new")}
	for name, test := range map[string]struct {
		before []calico.Object
		change state.Change
		failed string // policies and errors
		denied string // by violations
		warned string
	}{
		"another object changes": {
			before: large, change: someone,
			failed: "mesh-node-limit: BGPConfiguration default does not parse (spec.x: must be a string, is 7): fix or delete it",
		},
		"a change fixes it": {
			before: large, change: state.Change{Before: unread, After: calicotest.Mesh(t, false)},
		},
		"a change fixes it to a bad state": {
			before: large, change: state.Change{Before: unread, After: calicotest.Mesh(t, true)},
			warned: " (allowed: the object did not parse before this change, so the state before it is not known)",
		},
		"it is deleted": {
			before: large, change: state.Change{Before: unread},
			warned: " (allowed: the object did not parse before this change, so the state before it is not known)",
		},
		"the request is newer than the snapshot": {
			before: append(calicotest.Nodes(t, 120), calicotest.Mesh(t, false)), change: state.Change{Before: unread, After: calicotest.Mesh(t, true)},
			warned: " (allowed: the object did not parse before this change, so the state before it is not known)",
		},
		"another object that does not parse": {
			before: append(calicotest.Nodes(t, 120), calicotest.Mesh(t, false), unparsed(calico.KindBGPPeer, "a")),
			change: state.Change{Before: calicotest.Mesh(t, false), After: calicotest.Mesh(t, true)},
			denied: "mesh-node-limit",
		},
		"the FelixConfiguration decides which IPPools need BGP": {
			before: append(calicotest.Nodes(t, 120), calicotest.Mesh(t, false), unparsed(calico.KindFelixConfiguration, calico.Default)),
			change: state.Change{Before: calicotest.Mesh(t, false), After: calicotest.Mesh(t, true)},
			failed: "mesh-node-limit: FelixConfiguration default does not parse (spec.x: must be a string, is 7): fix or delete it",
		},
		"the FelixConfiguration of another name": {
			before: append(calicotest.Nodes(t, 120), calicotest.Mesh(t, false), unparsed(calico.KindFelixConfiguration, "node.a")), change: someone,
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := NewEngine(set)
			for range 2 { // The second decision reads the cache.
				d := e.Decide(t.Context(), state.New(test.before...), Request{Change: test.change})
				var failed, denied []string
				for _, f := range d.Failures {
					if f.Policy == "mesh-node-limit" {
						failed = append(failed, f.Policy+": "+f.Err.Error())
					}
				}
				for v := range d.Worse() {
					if v.denies() {
						denied = append(denied, v.Violation.Policy)
					}
				}
				if got := strings.Join(failed, "; "); got != test.failed {
					t.Errorf("failed: %q, want %q", got, test.failed)
				}
				if got := strings.Join(denied, "; "); got != test.denied {
					t.Errorf("denied: %q, want %q", got, test.denied)
				}
				if d.Allowed != (test.failed == "" && test.denied == "") {
					t.Errorf("allowed %t: %s", d.Allowed, d.Message())
				}
				if got := strings.Join(d.Warnings(), "\n"); !strings.Contains(got, test.warned) {
					t.Errorf("warned: %q, want %q", got, test.warned)
				}
			}
		})
	}
}

// Of two objects that do not parse, each can be fixed first.
func TestTwoUnreadObjectsCanBeFixed(t *testing.T) {
	set := defaults(t)
	bgp, felix := unparsed(calico.KindBGPConfiguration, calico.Default), unparsed(calico.KindFelixConfiguration, calico.Default)
	before := append(calicotest.Nodes(t, 3), bgp, felix)
	for _, c := range []state.Change{{Before: bgp}, {Before: felix}, {Before: bgp, After: calicotest.Mesh(t, false)}} {
		if d := decide(t, set, before, c); !d.Allowed || !d.Alters {
			t.Errorf("%s: %s", c.ID(), d.Message())
		}
	}
}

// An evaluation is not reused once an object no longer parses, or parses again.
func TestEvaluationsAreNotReusedAcrossUnreadObjects(t *testing.T) {
	e := NewEngine(defaults(t, "mesh-node-limit"))
	off, unread := calicotest.Mesh(t, false), unparsed(calico.KindBGPConfiguration, calico.Default)
	s := state.New(append(calicotest.Nodes(t, 120), off)...)
	for i, o := range []calico.Object{off, unread, off, unread, nil, unread} {
		s = s.Apply(state.Change{Before: s.Get(off.ID()), After: o})
		v := e.Evaluate(t.Context(), s)
		if failed := len(v.Failures()) == 1; failed != (o == unread) {
			t.Errorf("step %d: %d policies failed", i, len(v.Failures()))
		}
		if found := len(v.Violations()) == 1; found != (o == nil) {
			t.Errorf("step %d: %d violations", i, len(v.Violations()))
		}
		if again := e.Evaluate(t.Context(), s); again != v {
			t.Errorf("step %d: it is evaluated again", i)
		}
	}
}

package validate

import (
	"slices"
	"strings"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// reflected is a cluster whose sessions all come from BGPPeer peer-a.
func reflected(t testing.TB, more ...calico.Object) []calico.Object {
	t.Helper()
	objects := []calico.Object{calicotest.Mesh(t, false), peer(t, "peer-a", "all()", "rr == 'a'")}
	for i, name := range []string{"rr-a", "w-0", "w-1"} {
		objects = append(objects, member(t, i, name, false))
	}
	return append(objects, more...)
}

// rejected is BGPPeer peer-a with a field that Calico ignores and that its validator rejects.
func rejected(t testing.TB) calico.Object {
	t.Helper()
	return peer(t, "peer-a", "all()", "rr == 'a'", "filters", []any{"Upper"})
}

// rejectedByOld is BGPPeer peer-a with a field that only the validator before v3.33 rejects.
func rejectedByOld(t testing.TB) calico.Object {
	t.Helper()
	return peer(t, "peer-a", "all()", "rr == 'a'", "node", "w-0")
}

func TestDecideWithAndWithoutTypha(t *testing.T) {
	const assumes = "this assumes that Typha is installed, which drops what Calico's validator rejects: BGPPeer peer-a"
	information := func(spec calicotest.Spec) calico.Object {
		return calicotest.Object(t, calico.KindClusterInformation, calico.Default, spec)
	}
	operator := information(calicotest.Spec{"calicoVersion": "v3.31.2", "clusterType": "k8s,operator,bgp"})
	good := state.New(reflected(t)...)
	bad := state.New(append(reflected(t), rejected(t))...)
	for name, c := range map[string]struct {
		state   *state.Snapshot
		after   calico.Object
		pending calico.Object
		deny    string // a part of the message, "" if the change is allowed
		not     string // what the message must not contain
	}{
		"it is not known":                      {state: good, after: rejected(t), deny: assumes},
		"Typha is installed":                   {state: state.New(reflected(t, operator)...), after: rejected(t), deny: "[reach] ", not: "assumes"},
		"Typha is not installed":               {state: good.WithTypha(state.TyphaAbsent), after: rejected(t)},
		"the CRDs of v3.33 have the rule":      {state: state.New(reflected(t, information(calicotest.Spec{"calicoVersion": "v3.33.0"}))...), after: rejectedByOld(t)},
		"the version is not known":             {state: good, after: rejectedByOld(t)},
		"an unrelated change":                  {state: bad, after: member(t, 3, "w-2", false)},
		"the object is fixed":                  {state: bad, after: peer(t, "peer-a", "all()", "rr == 'a'")},
		"it is fixed where Typha is installed": {state: state.New(reflected(t, rejected(t), operator)...), after: peer(t, "peer-a", "all()", "rr == 'a'")},
		"another BGPPeer takes its place":      {state: state.New(reflected(t, peer(t, "peer-b", "all()", "has(rr)"))...), after: rejected(t)},
		"with a pending change that Typha drops": {state: state.New(reflected(t, peer(t, "peer-b", "all()", "has(rr)"))...), after: peer(t, "peer-b", "all()", "rr == 'b'"), pending: rejected(t),
			deny: "the update of BGPPeer peer-a, which was just allowed, takes effect, and Typha is installed"},
	} {
		t.Run(name, func(t *testing.T) {
			r := Request{Change: state.Change{Before: c.state.Get(c.after.ID()), After: c.after}}
			if c.pending != nil {
				r.Pending = []Pending{{Change: state.Change{Before: c.state.Get(c.pending.ID()), After: c.pending}}}
			}
			d := NewEngine(compiled(t, document("reach", "reachability-preserved", "Deny", ""))).Decide(t.Context(), c.state, r)
			if d.Allowed != (c.deny == "") || !strings.Contains(d.Message(), c.deny) || c.not != "" && strings.Contains(d.Message(), c.not) || len(d.Failures) > 0 {
				t.Errorf("allowed %t: %q, want %q; failures %v", d.Allowed, d.Message(), c.deny, d.Failures)
			}
		})
	}
}

// During Calico's migration it is not known whether it still reads the objects of v1, or those of v3 already.
func TestDecideInBothGroups(t *testing.T) {
	v1 := func(objects ...calico.Object) *state.Snapshot {
		return state.New(objects...).ReadFrom(calico.APIVersionV1, nil)
	}
	both := func(v1, v3 *state.Snapshot) *state.Snapshot {
		return v1.ReadFrom(calico.APIVersionV1, v3.ReadFrom(calico.APIVersionV3, nil))
	}
	stale := v1(reflected(t, peer(t, "peer-b", "all()", "has(rr)"))...)
	live := state.New(reflected(t)...)
	// A part of the objects is copied: the mesh is off, and there is no BGPPeer yet.
	copied := state.New(live.BGPConfiguration(calico.Default), live.Nodes()[0], live.Nodes()[1], live.Nodes()[2])
	for name, c := range map[string]struct {
		state  *state.Snapshot
		change state.Change
		deny   string
	}{
		"v1 alone":       {stale, deleteOf(live, calico.KindBGPPeer, "peer-a"), ""},
		"harm in v3":     {both(stale, live), deleteOf(live, calico.KindBGPPeer, "peer-a"), "this assumes that Calico reads its objects from projectcalico.org/v3"},
		"harm in v1":     {both(v1(reflected(t)...), stale), deleteOf(live, calico.KindBGPPeer, "peer-a"), "[reach] "},
		"harm in none":   {both(stale, stale), deleteOf(live, calico.KindBGPPeer, "peer-a"), ""},
		"what is copied": {both(v1(reflected(t)...), state.New(live.Nodes()[0], live.Nodes()[1], live.Nodes()[2])), state.Change{After: calicotest.Mesh(t, false)}, ""},
		"a new object":   {both(v1(reflected(t)...), copied), state.Change{After: peer(t, "peer-c", "all()", "has(rr)")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := NewEngine(compiled(t, document("reach", "reachability-preserved", "Deny", ""))).Decide(t.Context(), c.state, Request{Change: c.change})
			if d.Allowed != (c.deny == "") || !strings.Contains(d.Message(), c.deny) || len(d.Failures) > 0 {
				t.Errorf("allowed %t: %q, want %q; failures %v", d.Allowed, d.Message(), c.deny, d.Failures)
			}
		})
	}
}

func TestEachReadingHasASlot(t *testing.T) {
	e := NewEngine(compiled(t, document("reach", "reachability-preserved", "Deny", "")))
	slots := map[*slot]bool{}
	for _, r := range allReadings {
		slots[e.slot(r)] = true
	}
	if len(slots) != readingCount || len(allReadings) != readingCount || allReadings[0] != asConfigured {
		t.Errorf("%d readings have %d slots, want %d", len(allReadings), len(slots), readingCount)
	}
}

// Each reading is evaluated on its own, so a change has only those that could make a difference.
func TestReadingsThatMakeADifference(t *testing.T) {
	good, fine := state.New(reflected(t)...), peer(t, "peer-b", "all()", "has(rr)")
	update := func(after calico.Object) state.Change {
		return state.Change{Before: good.Get(after.ID()), After: after}
	}
	for name, c := range map[string]struct {
		state  *state.Snapshot
		change state.Change
		want   []reading
	}{
		"nothing is rejected":    {good, update(fine), []reading{asConfigured}},
		"a change to be dropped": {good, update(rejected(t)), []reading{asConfigured, {typha: true}}},
		"an object is dropped":   {state.New(append(reflected(t), rejected(t))...), update(fine), []reading{asConfigured, {typha: true}}},
		"no Typha":               {good.WithTypha(state.TyphaAbsent), update(rejected(t)), []reading{asConfigured}},
		"both groups":            {good.ReadFrom(calico.APIVersionV1, good.ReadFrom(calico.APIVersionV3, nil)), update(fine), []reading{asConfigured, {other: true}}},
	} {
		t.Run(name, func(t *testing.T) {
			e := NewEngine(compiled(t, document("reach", "reachability-preserved", "Deny", "")))
			if got := e.readings(c.state, c.change); !slices.Equal(got, c.want) {
				t.Errorf("readings %v, want %v", got, c.want)
			}
		})
	}
}

package state

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

var kinds = []calico.Kind{calico.KindNode, calico.KindBGPPeer, calico.KindBGPConfiguration, calico.KindIPPool, calico.KindFelixConfiguration, calico.KindClusterInformation, calico.KindBGPFilter, calico.KindSecret}

// object makes an object; variant tells two of one id apart.
func object(t *testing.T, kind calico.Kind, name string, variant int) calico.Object {
	t.Helper()
	if kind == calico.KindSecret {
		return &calico.Secret{Name: name, Keys: []string{fmt.Sprint(variant)}}
	}
	o, err := calico.Decode(map[string]any{
		"apiVersion": "projectcalico.org/v3", "kind": string(kind),
		"metadata": map[string]any{"name": name, "labels": map[string]any{"variant": fmt.Sprint(variant)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// objects lists what a snapshot holds, by the accessors of each kind.
func objects(s *Snapshot) []calico.Object {
	var out []calico.Object
	for _, o := range s.Nodes() {
		out = append(out, o)
	}
	for _, o := range s.BGPPeers() {
		out = append(out, o)
	}
	for _, o := range s.BGPConfigurations() {
		out = append(out, o)
	}
	for _, o := range s.IPPools() {
		out = append(out, o)
	}
	for _, o := range s.FelixConfigurations() {
		out = append(out, o)
	}
	for _, o := range s.BGPFilters() {
		out = append(out, o)
	}
	for _, o := range s.Secrets() {
		out = append(out, o)
	}
	if o := s.ClusterInformation(); o != nil {
		out = append(out, o)
	}
	return out
}

func same(a, b []calico.Object) bool {
	return slices.EqualFunc(a, b, func(a, b calico.Object) bool { return a.ID() == b.ID() && calico.Equal(a, b) })
}

func TestApplyGivesWhatRebuildingGives(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 0))
		current := map[calico.ID]calico.Object{}
		s := New()
		for step := range 200 {
			kind := kinds[random.IntN(len(kinds))]
			name := []string{"default", "a", "b", "c", "node-10", "node-9"}[random.IntN(6)]
			id := calico.ID{Kind: kind, Name: name}
			c := Change{Before: current[id], After: object(t, kind, name, random.IntN(3))}
			if c.Before != nil && random.IntN(3) == 0 {
				c.After = nil
			}
			before, held := s, objects(s)
			s = s.Apply(c)
			if c.After == nil {
				delete(current, id)
			} else {
				current[id] = c.After
			}
			var all []calico.Object
			for _, o := range current { // In any order.
				all = append(all, o)
			}
			if rebuilt := New(all...); !same(objects(s), objects(rebuilt)) {
				t.Fatalf("seed %d, step %d, %s %s: applied\n%v\nrebuilt\n%v", seed, step, c.Operation(), id, objects(s), objects(rebuilt))
			}
			if !calico.Equal(s.Get(id), c.After) {
				t.Fatalf("seed %d, step %d: Get(%s) = %v after %s", seed, step, id, s.Get(id), c.Operation())
			}
			if !same(objects(before), held) {
				t.Fatalf("seed %d, step %d: %s %s changed the snapshot before", seed, step, c.Operation(), id)
			}
		}
	}
}

// Two changes to one snapshot, as by two requests at once.
func TestChangesToOneSnapshotDoNotMeet(t *testing.T) {
	s := New(object(t, calico.KindNode, "a", 0), object(t, calico.KindNode, "c", 0), object(t, calico.KindNode, "e", 0))
	s = s.Apply(Change{After: object(t, calico.KindNode, "f", 0)})
	left := s.Apply(Change{After: object(t, calico.KindNode, "b", 1)})
	right := s.Apply(Change{After: object(t, calico.KindNode, "g", 2)})
	gone := s.Apply(Change{Before: s.Get(calico.ID{Kind: calico.KindNode, Name: "a"})})
	for want, s := range map[string]*Snapshot{"[a c e f]": s, "[a b c e f]": left, "[a c e f g]": right, "[c e f]": gone} {
		var names []string
		for _, n := range s.Nodes() {
			names = append(names, n.Name)
		}
		if got := fmt.Sprint(names); got != want {
			t.Errorf("nodes %s, want %s", got, want)
		}
	}
}

func TestTheLastOfTwoWithOneIDHolds(t *testing.T) {
	for _, kind := range kinds {
		last := object(t, kind, "default", 2)
		s := New(object(t, kind, "default", 1), object(t, kind, "zz", 0), object(t, kind, "default", 3), object(t, kind, "aa", 0), last)
		if got := s.Get(last.ID()); got != last {
			t.Errorf("%s: holds %v, want the last", kind, got)
		}
		all := len(s.nodes) + len(s.peers) + len(s.configurations) + len(s.pools) + len(s.felix) + len(s.clusters) + len(s.filters) + len(s.secrets)
		if all != 3 {
			t.Errorf("%s: holds %d objects, want 3", kind, all)
		}
	}
}

func TestAChangeOfNothingGivesTheSameSnapshot(t *testing.T) {
	for _, kind := range kinds {
		s := New(object(t, kind, "default", 1))
		for name, c := range map[string]Change{
			"an update that says the same":  {Before: object(t, kind, "default", 1), After: object(t, kind, "default", 1)},
			"a create of what is there":     {After: object(t, kind, "default", 1)},
			"a delete of what is not there": {Before: object(t, kind, "other", 1)},
		} {
			if s.Apply(c) != s {
				t.Errorf("%s, %s: another snapshot", kind, name)
			}
		}
		if s.Apply(Change{After: object(t, kind, "default", 2)}) == s {
			t.Errorf("%s: an update gave the same snapshot", kind)
		}
	}
}

func TestANilSnapshotIsTheEmptyState(t *testing.T) {
	var s *Snapshot
	if got := objects(s); len(got) > 0 || s.BGPConfiguration("default") != nil {
		t.Errorf("holds %v", got)
	}
	n := object(t, calico.KindNode, "a", 0)
	if s.Apply(Change{Before: n}) != nil {
		t.Error("a delete from nothing made a snapshot")
	}
	if got := objects(s.Apply(Change{After: n})); len(got) != 1 || got[0] != n {
		t.Errorf("after a create it holds %v", got)
	}
}

func TestOperationAndIDAreDerivedFromTheSides(t *testing.T) {
	o := object(t, calico.KindBGPPeer, "p", 0)
	for want, c := range map[Operation]Change{Create: {After: o}, Update: {Before: o, After: o}, Delete: {Before: o}} {
		if got := c.Operation(); got != want || c.ID().String() != "BGPPeer p" {
			t.Errorf("%s of %s, want %s of BGPPeer p", got, c.ID(), want)
		}
	}
}

func TestWhatASnapshotKnows(t *testing.T) {
	filter := object(t, calico.KindBGPFilter, "f", 0)
	for name, c := range map[string]struct {
		snapshot         *Snapshot
		filters, secrets bool
	}{
		"the empty state":                       {nil, false, false},
		"a state without":                       {New(object(t, calico.KindNode, "a", 0)), false, false},
		"a state with a BGPFilter":              {New(filter), true, false},
		"a state with a Secret":                 {New(object(t, calico.KindSecret, "s", 0)), false, true},
		"a state whose maker asked for both":    {New().Knowing(calico.KindBGPFilter, calico.KindSecret), true, true},
		"an empty state whose maker asked":      {(*Snapshot)(nil).Knowing(calico.KindSecret), false, true},
		"another kind was asked for":            {New().Knowing(calico.KindNode), false, false},
		"the only BGPFilter is deleted":         {New(filter).Apply(Change{Before: filter}), true, false},
		"a change creates the first BGPFilter":  {New().Apply(Change{After: filter}), false, false},
		"a change of what was asked for before": {New().Knowing(calico.KindBGPFilter).Apply(Change{After: filter}), true, false},
	} {
		if filters, secrets := c.snapshot.Knows(calico.KindBGPFilter), c.snapshot.Knows(calico.KindSecret); filters != c.filters || secrets != c.secrets {
			t.Errorf("%s: knows BGPFilters %v and Secrets %v, want %v and %v", name, filters, secrets, c.filters, c.secrets)
		}
		if !c.snapshot.Knows(calico.KindNode) {
			t.Errorf("%s: does not know the Nodes", name)
		}
	}
	s := New(filter)
	if s.Knowing(calico.KindBGPFilter, calico.KindNode) != s || (*Snapshot)(nil).Knowing() != nil {
		t.Error("a snapshot that says the same is made anew")
	}
	if more := s.Knowing(calico.KindSecret); s.Knows(calico.KindSecret) || !more.Knows(calico.KindSecret) {
		t.Error("a snapshot was changed in place")
	}
}

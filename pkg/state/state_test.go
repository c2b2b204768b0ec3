package state

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
)

var kinds = func() (out []calico.Kind) {
	for _, info := range calico.Kinds() {
		out = append(out, info.Kind)
	}
	return out
}()

// object returns an object. Objects of one ID differ if their variants differ.
func object(t *testing.T, kind calico.Kind, name string, variant int) calico.Object {
	t.Helper()
	if kind == calico.KindSecret {
		return &calico.Secret{Name: name, Keys: []string{fmt.Sprint(variant)}}
	}
	if kind == calico.KindIPAMBlock {
		return &calico.IPAMBlock{Name: name, CIDR: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 244, byte(variant)}), 26)}
	}
	return calicotest.Object(t, kind, name, nil, calicotest.Label("variant", fmt.Sprint(variant)),
		calicotest.Status(map[string]any{"bgp": map[string]any{"numberEstablishedV4": variant}}))
}

// objects lists the objects of a snapshot with the accessors of each kind.
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
	for _, o := range s.NodeStatuses() {
		out = append(out, o)
	}
	for _, o := range s.IPAMBlocks() {
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
			for _, o := range current { // in any order
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

// Two concurrent requests change the same snapshot.
func TestChangesToOneSnapshotAreIndependent(t *testing.T) {
	s := New(object(t, calico.KindNode, "a", 0), object(t, calico.KindNode, "c", 0), object(t, calico.KindNode, "e", 0))
	s = s.Apply(Change{After: object(t, calico.KindNode, "f", 0)})
	left := s.Apply(Change{After: object(t, calico.KindNode, "b", 1)})
	right := s.Apply(Change{After: object(t, calico.KindNode, "g", 2)})
	gone := s.Apply(Change{Before: s.Get(calico.ID{Kind: calico.KindNode, Name: "a"})})
	for want, s := range map[string]*Snapshot{"[a c e f]": s, "[a b c e f]": left, "[a c e f g]": right, "[c e f]": gone} {
		t.Run(want, func(t *testing.T) {
			var names []string
			for _, n := range s.Nodes() {
				names = append(names, n.Name)
			}
			if got := fmt.Sprint(names); got != want {
				t.Errorf("nodes %s, want %s", got, want)
			}
		})
	}
}

func TestLastObjectWithAnIDWins(t *testing.T) {
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			last := object(t, kind, "default", 2)
			s := New(object(t, kind, "default", 1), object(t, kind, "zz", 0), object(t, kind, "default", 3), object(t, kind, "aa", 0), last)
			if got := s.Get(last.ID()); got != last {
				t.Errorf("holds %v, want the last", got)
			}
			all := 0
			for _, list := range s.lists {
				all += list.Len()
			}
			if all != 3 {
				t.Errorf("holds %d objects, want 3", all)
			}
		})
	}
}

func TestChangeWithoutEffectReturnsTheSameSnapshot(t *testing.T) {
	for _, kind := range kinds {
		s := New(object(t, kind, "default", 1))
		for name, c := range map[string]Change{
			"an update without change":     {Before: object(t, kind, "default", 1), After: object(t, kind, "default", 1)},
			"a create of an equal object":  {After: object(t, kind, "default", 1)},
			"a delete of an absent object": {Before: object(t, kind, "other", 1)},
		} {
			t.Run(string(kind)+", "+name, func(t *testing.T) {
				if s.Apply(c) != s {
					t.Error("got another snapshot")
				}
			})
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

func TestOperationAndID(t *testing.T) {
	o := object(t, calico.KindBGPPeer, "p", 0)
	for want, c := range map[Operation]Change{Create: {After: o}, Update: {Before: o, After: o}, Delete: {Before: o}} {
		t.Run(string(want), func(t *testing.T) {
			if got := c.Operation(); got != want || c.ID().String() != "BGPPeer p" {
				t.Errorf("%s of %s, want %s of BGPPeer p", got, c.ID(), want)
			}
		})
	}
}

func TestKnows(t *testing.T) {
	filter, status := object(t, calico.KindBGPFilter, "f", 0), object(t, calico.KindCalicoNodeStatus, "a", 0)
	asked := []calico.Kind{calico.KindBGPFilter, calico.KindSecret, calico.KindCalicoNodeStatus}
	for name, c := range map[string]struct {
		snapshot *Snapshot
		want     []calico.Kind
	}{
		"the empty state":                      {nil, nil},
		"a state without such objects":         {New(object(t, calico.KindNode, "a", 0)), nil},
		"a state with a BGPFilter":             {New(filter), asked[:1]},
		"a state with a Secret":                {New(object(t, calico.KindSecret, "s", 0)), asked[1:2]},
		"a state with a CalicoNodeStatus":      {New(status), asked[2:]},
		"a state that knows all":               {New().Knowing(asked...), asked},
		"an empty state that knows Secrets":    {(*Snapshot)(nil).Knowing(calico.KindSecret), asked[1:2]},
		"a state that knows another kind":      {New().Knowing(calico.KindNode), nil},
		"the only BGPFilter is deleted":        {New(filter).Apply(Change{Before: filter}), asked[:1]},
		"the only CalicoNodeStatus is deleted": {New(status).Apply(Change{Before: status}), asked[2:]},
		"a change creates the first BGPFilter": {New().Apply(Change{After: filter}), nil},
		"a change creates the first status":    {New().Apply(Change{After: status}), nil},
		"a change of a known kind":             {New().Knowing(calico.KindBGPFilter).Apply(Change{After: filter}), asked[:1]},
	} {
		t.Run(name, func(t *testing.T) {
			for _, kind := range asked {
				if got := c.snapshot.Knows(kind); got != slices.Contains(c.want, kind) {
					t.Errorf("knows all %s: %v", kind, got)
				}
			}
			if !c.snapshot.Knows(calico.KindNode) {
				t.Error("does not know the Nodes")
			}
		})
	}
	s := New(filter)
	if s.Knowing(calico.KindBGPFilter, calico.KindNode) != s || (*Snapshot)(nil).Knowing() != nil {
		t.Error("knowing a known kind returned another snapshot")
	}
	for _, kind := range asked[1:] {
		if more := s.Knowing(kind); s.Knows(kind) || !more.Knows(kind) {
			t.Errorf("%s: a snapshot was changed in place", kind)
		}
	}
}

func TestSameConfigurationAndSameKind(t *testing.T) {
	var all []calico.Object
	for _, kind := range kinds {
		all = append(all, object(t, kind, "default", 0))
	}
	s := New(all...)
	empty := New()
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			next := s.Apply(Change{After: object(t, kind, "default", 1)})
			if got, want := SameConfiguration(s, next), kind == calico.KindCalicoNodeStatus; got != want {
				t.Errorf("same configuration after a change: got %v, want %v", got, want)
			}
			if got, want := SameKind(s, next, calico.KindNode), kind != calico.KindNode; got != want {
				t.Errorf("same nodes after a change: got %v, want %v", got, want)
			}
			if got, want := SameConfiguration(empty, empty.Knowing(kind)), kind.Info().Need != calico.Optional || kind.Info().Observation; got != want {
				t.Errorf("same configuration once the kind is known: got %v, want %v", got, want)
			}
		})
	}
	if SameConfiguration(nil, s) || !SameConfiguration(nil, nil) {
		t.Error("a nil snapshot is compared wrongly")
	}
}

// A second snapshot of the same objects has other lists with the same contents.
func TestSharingKeepsEqualLists(t *testing.T) {
	var all []calico.Object
	for _, kind := range kinds {
		all = append(all, object(t, kind, "default", 0))
	}
	s := New(all...)
	for i, kind := range kinds {
		changed := slices.Clone(all)
		changed[i] = object(t, kind, "default", 1)
		again := New(changed...).Sharing(s)
		if !same(objects(again), objects(New(changed...))) {
			t.Errorf("a change of a %s: holds %v", kind, objects(again))
		}
		if got, want := SameConfiguration(s, again), kind == calico.KindCalicoNodeStatus; got != want {
			t.Errorf("a change of a %s: the same configuration: %v", kind, got)
		}
	}
	if again := New(all...); SameConfiguration(s, again) || !SameConfiguration(s, again.Sharing(s)) {
		t.Error("lists are shared without Sharing, or not with it")
	}
	if (*Snapshot)(nil).Sharing(s) != nil || s.Sharing(nil) != s {
		t.Error("sharing with nothing makes another snapshot")
	}
}

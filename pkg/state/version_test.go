package state

import (
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
)

// The lists have the objects as the version of Calico reads them, in whatever order object and version
// appear, and again with all fields after an upgrade.
func TestObjectsAreReadInTheVersionOfCalico(t *testing.T) {
	filter := func(community string) calico.Object {
		return calicotest.Object(t, calico.KindBGPFilter, "f", map[string]any{"exportV4": []any{
			map[string]any{"action": "Accept", "communities": map[string]any{"values": []any{community}}},
		}})
	}
	f, old, newest := filter("70000:1"), calicotest.ClusterInformation(t, "v3.31.0"), calicotest.ClusterInformation(t, "v3.32.0")
	rejected := func(s *Snapshot) int { return len(s.BGPFilters()[0].Rejected(calico.IPv4)) }
	read := New(f, old)
	for name, s := range map[string]*Snapshot{
		"read together": read, "the object later": New(old).Apply(Change{After: f}), "the version later": New(f).Apply(Change{After: old}),
		"read again": read.Apply(Change{Before: f, After: f}), "a downgrade": New(f, newest).Apply(Change{After: old}),
	} {
		if rejected(s) != 0 || len(s.BGPFilters()[0].Problems()) != 1 {
			t.Errorf("%s: %d rejected values, problems %v", name, rejected(s), s.BGPFilters()[0].Problems())
		}
		if upgraded := s.Apply(Change{After: newest}); rejected(upgraded) != 1 || upgraded.Get(f.ID()) != f {
			t.Errorf("%s: after the upgrade, %d values are rejected in %v", name, rejected(upgraded), upgraded.Get(f.ID()))
		}
	}
	if again := read.Apply(Change{Before: f, After: filter("70000:1")}); again != read {
		t.Error("an equal object changes the snapshot")
	}
	if other := read.Apply(Change{Before: f, After: filter("70000:2")}); other == read || rejected(other.Apply(Change{After: newest})) != 1 {
		t.Error("a change of a field that the version does not have is lost")
	}
	if fresh := New(f, old); fresh.BGPFilters()[0] != read.BGPFilters()[0] {
		t.Error("a new snapshot does not share the object")
	}
	if s := New(f); rejected(s) != 1 {
		t.Error("an unknown version drops the field")
	}
}

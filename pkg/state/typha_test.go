package state

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
)

// typhaObjects are versions of objects that Calico's validator accepts, rejects in every version, or
// rejects before v3.33 only, and versions of the ClusterInformation.
func typhaObjects(t *testing.T) map[calico.ID][]calico.Object {
	t.Helper()
	out := map[calico.ID][]calico.Object{}
	add := func(kind calico.Kind, name string, spec calicotest.Spec, tweaks ...calicotest.Tweak) {
		o := calicotest.Object(t, kind, name, spec, tweaks...)
		out[o.ID()] = append(out[o.ID()], o)
	}
	for _, name := range []string{calico.Default, "node.a"} {
		add(calico.KindBGPConfiguration, name, calicotest.Spec{"asNumber": 64600})
		add(calico.KindBGPConfiguration, name, calicotest.Spec{"serviceClusterIPs": []any{calicotest.Spec{"cidr": "10.96.0.1/12"}}})
		add(calico.KindBGPConfiguration, name, calicotest.Spec{"nodeToNodeMeshEnabled": false, "nodeMeshMaxRestartTime": "60s"})
	}
	for _, name := range []string{"a", "b"} {
		add(calico.KindBGPPeer, name, calicotest.Spec{"peerSelector": "all()"})
		add(calico.KindBGPPeer, name, calicotest.Spec{"peerSelector": "has("}, calicotest.DeletionTimestamp)
		add(calico.KindBGPPeer, name, calicotest.Spec{"peerSelector": "all()", "peerIP": "192.0.2.1"})
	}
	for _, spec := range []calicotest.Spec{
		{"calicoVersion": "v3.31.0"}, {"calicoVersion": "v3.33.0"}, {"calicoVersion": "v3.31.0", "clusterType": "k8s,operator,bgp"}, {"calicoVersion": "v3.33.0", "clusterType": "typha"},
	} {
		add(calico.KindClusterInformation, calico.Default, spec)
	}
	add(calico.KindClusterInformation, calico.Default, calicotest.Spec{"clusterType": "operator"}, calicotest.DeletionTimestamp)
	return out
}

// identical reports whether two snapshots have the same lists, and reject and drop the same objects.
func identical(a, b *Snapshot) bool {
	for i := range a.lists {
		n := 0
		if a.lists[i].Len() == b.lists[i].Len() {
			a.lists[i].Changes(b.lists[i], func(calico.Object, calico.Object) { n++ })
		}
		if a.lists[i].Len() != b.lists[i].Len() || n > 0 {
			return false
		}
	}
	return a.Drops() == b.Drops() && slices.Equal(a.Rejected(), b.Rejected())
}

// TestTyphaDropsTheSameAfterEveryWay applies random changes, and compares the result with a snapshot of the
// same objects, and the assumption and the live state before and after a change.
func TestTyphaDropsTheSameAfterEveryWay(t *testing.T) {
	versions := typhaObjects(t)
	var ids []calico.ID
	for id := range versions {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, compareIDs)
	dropped, kept := 0, 0
	for seed := range uint64(40) {
		random := rand.New(rand.NewPCG(seed, 14))
		have := map[calico.ID]calico.Object{}
		s := New()
		if seed%8 == 0 {
			s = s.WithTypha(TyphaAbsent)
		}
		for step := range 40 {
			id := ids[random.IntN(len(ids))]
			c := Change{Before: have[id]}
			if of := versions[id]; random.IntN(4) > 0 || c.Before == nil {
				c.After = of[random.IntN(len(of))]
			}
			have[id] = c.After
			if c.After == nil {
				delete(have, id)
			}
			at := fmt.Sprintf("seed %d, step %d, %s", seed, step, c.ID())
			before := s
			s = s.Apply(c)
			var objects []calico.Object
			for _, o := range have {
				objects = append(objects, o)
			}
			if !identical(s, New(objects...).WithTypha(before.typha.set)) {
				t.Fatalf("%s: the snapshot differs from one of the same objects", at)
			}
			if before.Typha() == TyphaUnknown && s.Typha() == TyphaUnknown && !identical(before.AssumingTypha().Apply(c), s.AssumingTypha()) {
				t.Fatalf("%s: the assumption after the change differs from the change under the assumption", at)
			}
			if live := s.Live(nil); !identical(live, before.Live(nil).Apply(LiveChange(c))) {
				t.Fatalf("%s: the live state differs", at)
			}
			for id, o := range have {
				if s.Get(id) != o {
					t.Fatalf("%s: %s is %v", at, id, s.Get(id))
				}
			}
			again := before
			for _, d := range Difference(before, s) {
				again = again.Apply(d)
			}
			if !identical(again, s) {
				t.Fatalf("%s: the difference does not lead to the state after the change", at)
			}
			if len(s.Rejected()) > 0 {
				if s.Drops() {
					dropped++
				} else {
					kept++
				}
			}
		}
	}
	if dropped < 100 || kept < 100 {
		t.Errorf("%d snapshots drop objects, and %d have some that they do not drop", dropped, kept)
	}
}

func TestTyphaDropsWhatItsVersionRejects(t *testing.T) {
	old := calicotest.BGPConfiguration(t, calico.Default, calicotest.Spec{"nodeToNodeMeshEnabled": false, "nodeMeshMaxRestartTime": "60s"})
	if s := New(old); len(s.Rejected()) > 0 {
		t.Errorf("not every version rejects %v", s.Rejected())
	}
	s := New(old, calicotest.ClusterInformation(t, "v3.32.1"))
	if s.Typha() != TyphaUnknown || s.Drops() || s.BGPConfiguration(calico.Default) != old || len(s.Rejected()) != 1 {
		t.Errorf("without a clusterType: %v, %v, %v", s.Typha(), s.Drops(), s.Rejected())
	}
	if assumed := s.AssumingTypha(); assumed.BGPConfiguration(calico.Default) != nil || assumed.Get(old.ID()) != calico.Object(old) || SameConfiguration(s, assumed) {
		t.Error("the assumption drops nothing, or Get does not return the object")
	}
	if absent := s.WithTypha(TyphaAbsent); absent.AssumingTypha() != absent || absent.Drops() {
		t.Error("Typha is assumed although it is known to be absent")
	}
	for version, want := range map[string]*calico.BGPConfiguration{"v3.32.1": nil, "v3.33.0": old} {
		information := calicotest.Object(t, calico.KindClusterInformation, calico.Default, calicotest.Spec{"calicoVersion": version, "clusterType": "k8s,operator"})
		if got := s.Apply(Change{After: information}); got.Typha() != TyphaInstalled || got.BGPConfiguration(calico.Default) != want {
			t.Errorf("%s with Typha: the BGPConfiguration is %v", version, got.BGPConfiguration(calico.Default))
		}
	}
}

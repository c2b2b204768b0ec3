package state

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

func TestTheDifferenceLeadsFromOneStateToTheOther(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	some := func() *Snapshot {
		var all []calico.Object
		for _, kind := range kinds {
			for i := range 6 {
				if kind != calico.KindCalicoNodeStatus && random.IntN(3) > 0 {
					name := fmt.Sprintf("n%d", i)
					if kind == calico.KindClusterInformation {
						name = calico.Default
					}
					all = append(all, object(t, kind, name, random.IntN(2)))
				}
			}
		}
		return New(all...)
	}
	for range 300 {
		a, b := some(), some()
		got, changes := a, Difference(a, b)
		for _, c := range changes {
			if !calico.Equal(a.Get(c.ID()), c.Before) || calico.Equal(c.Before, c.After) {
				t.Fatalf("%s is no change of the state before", c.ID())
			}
			got = got.Apply(c)
		}
		if !same(objects(got), objects(b)) {
			t.Fatalf("%d changes lead to another state", len(changes))
		}
	}
}

func TestThereIsNoDifferenceBetweenEqualStates(t *testing.T) {
	a, b := New(object(t, calico.KindNode, "n", 1)), New(object(t, calico.KindNode, "n", 1))
	if got := Difference(a, b); len(got) > 0 {
		t.Errorf("got %v", got)
	}
	if got := Difference(a, a.Apply(Change{After: object(t, calico.KindCalicoNodeStatus, "n", 1)})); len(got) > 0 {
		t.Errorf("of a CalicoNodeStatus: %v", got)
	}
	if got := Difference(nil, nil); len(got) > 0 {
		t.Errorf("of nothing: %v", got)
	}
	if got := Difference(nil, a); len(got) != 1 || got[0].Operation() != Create {
		t.Errorf("from nothing: %v", got)
	}
}

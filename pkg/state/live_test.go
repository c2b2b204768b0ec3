package state

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
)

// downVariants are the tweaks that make an object down.
var downVariants = map[string]calicotest.Tweak{
	"terminating": calicotest.DeletionTimestamp,
	"not ready":   calicotest.NotReady,
}

// downObject returns an object that is down, if its kind can be.
func downObject(t testing.TB, kind calico.Kind, name, how string) calico.Object {
	t.Helper()
	if kind == calico.KindSecret {
		return &calico.Secret{Name: name}
	}
	return calicotest.Decode(t, calicotest.Document(t, kind, name, nil, func(document map[string]any) {
		if kind == calico.KindNode {
			document["apiVersion"] = calico.APIVersionCore
		}
		downVariants[how](document)
	}))
}

func TestLiveDropsWhatIsDown(t *testing.T) {
	for how := range downVariants {
		for _, kind := range kinds {
			t.Run(fmt.Sprint(kind, " ", how), func(t *testing.T) {
				down, up := downObject(t, kind, "a", how), object(t, kind, "default", 0)
				s := New(up, down, object(t, calico.KindNode, "n", 0), object(t, calico.KindBGPPeer, "p", 0))
				live := s.Live(nil)
				drops := how == "terminating" && kind != calico.KindSecret && kind != calico.KindIPAMBlock && kind != calico.KindCalicoNodeStatus || kind == calico.KindNode
				if got := live.Get(down.ID()) == nil; got != drops || calico.Down(down) != drops {
					t.Errorf("dropped: %v, down: %v, want %v", got, calico.Down(down), drops)
				}
				if (live != s) != drops || live.Get(up.ID()) != up || s.Get(down.ID()) != down {
					t.Error("another snapshot, an object that is up is dropped, or s changed")
				}
				for i, other := range kinds {
					if other != kind && !live.lists[i].Same(s.lists[i]) {
						t.Errorf("the list of %s is copied", other)
					}
				}
				// A change of another kind leaves the lists of the live state as they are.
				other := calico.KindIPPool
				if kind == other {
					other = calico.KindBGPPeer
				}
				next := s.Apply(Change{After: object(t, other, "new", 1)})
				if again := next.Live(live); !again.lists[kind.Index()].Same(live.lists[kind.Index()]) {
					t.Error("a list that equals that of the earlier live state is not shared with it")
				}
			})
		}
	}
	var s *Snapshot
	if s.Live(nil) != nil || s.Live(New()) != nil {
		t.Error("the live state of the empty state is another one")
	}
}

// TestLiveChangeKeepsTheLiveState applies random changes, some of which make an object down
// or bring it back, to a state and to its live state.
func TestLiveChangeKeepsTheLiveState(t *testing.T) {
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(seed, 0))
		s := New()
		live := s.Live(nil)
		for step := range 50 {
			kind := kinds[random.IntN(len(kinds))]
			name := []string{"default", "a", "b", "node.a"}[random.IntN(4)]
			c := Change{Before: s.Get(calico.ID{Kind: kind, Name: name})}
			switch random.IntN(5) {
			case 0:
				c.After = downObject(t, kind, name, "terminating")
			case 1:
				c.After = downObject(t, kind, name, "not ready")
			case 2:
				if c.Before == nil {
					continue
				}
			default:
				c.After = object(t, kind, name, random.IntN(3))
			}
			lc := LiveChange(c)
			if touched := live.Apply(lc) != live; touched && lc == (Change{}) {
				t.Fatal("no change changed the live state")
			}
			s, live = s.Apply(c), live.Apply(lc)
			want := s.Live(nil)
			if !same(objects(live), objects(want)) {
				t.Fatalf("seed %d, step %d, %s %s: applied\n%v\nwant\n%v", seed, step, c.Operation(), c.ID(), objects(live), objects(want))
			}
			for _, info := range calico.Kinds() {
				if live.Knows(info.Kind) != want.Knows(info.Kind) {
					t.Fatalf("seed %d, step %d: knows %s: %v", seed, step, info.Kind, live.Knows(info.Kind))
				}
			}
			if again := s.Live(live); !SameConfiguration(again, live) && len(Difference(again, live)) > 0 {
				t.Fatalf("seed %d, step %d: sharing gave another state", seed, step)
			}
		}
	}
}

func BenchmarkLive(b *testing.B) {
	for name, of := range map[string]int{"down=0": 0, "down=50": 50} {
		objects := benchObjects(b)
		for i := range of {
			objects[i*100] = downObject(b, calico.KindNode, calicotest.NodeName(i*100), "not ready")
		}
		s := New(objects...)
		before := s.Live(nil)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if len(s.Live(before).Nodes()) != 5000-of {
					b.Fatal("other nodes")
				}
			}
		})
		b.Run(name+"/change", func(b *testing.B) {
			change := Change{Before: objects[1], After: calicotest.NumberedNode(b, 1, calicotest.Label("rack", "b"))}
			b.ReportAllocs()
			for b.Loop() {
				if before.Apply(LiveChange(change)) == before {
					b.Fatal("nothing changed")
				}
			}
		})
	}
}

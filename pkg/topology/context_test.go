package topology

import (
	"context"
	"fmt"

	"errors"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// counting is a context that counts the calls of Err. If done is not 0, the context is
// done from that call.
type counting struct {
	context.Context
	asked, done int
}

func (c *counting) Err() error {
	c.asked++
	if c.done > 0 && c.asked >= c.done {
		return context.Canceled
	}
	return nil
}

// TestComputeEndsWithItsContext cancels the context at each call of Err. Compute must
// return an error after at most one more call of Err.
func TestComputeEndsWithItsContext(t *testing.T) {
	objects := append(makeNodes(t, 6), rackPeer(t, "a", "all()"), calicotest.Object(t, "BGPPeer", "tor", map[string]any{"peerIP": "192.0.2.1", "asNumber": int64(65000)}))
	s := state.New(objects...)
	before := compute(t, s, nil)
	next := s.Apply(state.Change{After: configuration(t, map[string]any{"nodeToNodeMeshEnabled": false})})
	for name, c := range map[string]struct {
		snapshot *state.Snapshot
		before   *Topology
	}{"from nothing": {s, nil}, "from before": {next, before}} {
		t.Run(name, func(t *testing.T) {
			whole := &counting{Context: t.Context()}
			if _, err := Compute(whole, c.snapshot, c.before); err != nil {
				t.Fatal(err)
			}
			for done := 1; done <= whole.asked; done++ {
				ctx := &counting{Context: t.Context(), done: done}
				topology, err := Compute(ctx, c.snapshot, c.before)
				if topology != nil || !errors.Is(err, context.Canceled) {
					t.Errorf("done at %d of %d: got %v, %v", done, whole.asked, topology, err)
				}
				if more := ctx.asked - done; more > 1 {
					t.Errorf("done at %d of %d: asked %d times more", done, whole.asked, more)
				}
			}
		})
	}
}

// TestTheContextIsAskedAsTheWorkGrows verifies that Compute calls Err at least once for
// each BGPPeer and for each vertex whose routes it follows.
func TestTheContextIsAskedAsTheWorkGrows(t *testing.T) {
	for _, n := range []int{20, 200} {
		var objects []calico.Object
		for i := range n {
			name := fmt.Sprintf("n%d", i)
			objects = append(objects, clusterNode(t, i, calicotest.Label("name", name)), calicotest.Object(t, "BGPPeer", name, map[string]any{
				// Different times, because BGPPeers that differ only in their nodes form one group.
				"nodeSelector": fmt.Sprintf("name == '%s'", name), "peerSelector": "has(rr)", "maxRestartTime": fmt.Sprintf("%ds", i+1),
			}))
		}
		ctx := &counting{Context: t.Context()}
		topology, err := Compute(ctx, state.New(objects...), nil)
		if err != nil {
			t.Fatal(err)
		}
		if least := n + len(topology.sessions.Classes.List) + topology.work().vertices; len(topology.sessions.Classes.List) < n || ctx.asked < least {
			t.Errorf("%d BGPPeers, %d groups and %+v: asked %d times, want at least %d", n, len(topology.sessions.Classes.List), topology.work(), ctx.asked, least)
		}
	}
}

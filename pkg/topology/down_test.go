package topology

import (
	"math/rand/v2"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// TestADeletionTimestampDoesNotChangeTheTopology makes each object of random states
// terminating. calico-node configures such objects until they are gone.
func TestADeletionTimestampDoesNotChangeTheTopology(t *testing.T) {
	forRandomStates(t, 8, seeds/32, func(_ *rand.Rand, objects []calico.Object) string {
		s := state.New(objects...)
		before := compute(t, s, nil)
		for _, o := range objects {
			var down calico.Object
			if node, ok := o.(*calico.Node); ok {
				copied := *node
				copied.DeletionTimestamp = "2026-01-02T03:04:05Z"
				down = &copied
			} else if calico.MetadataOf(o) != nil {
				document := calico.Manifest(o)
				calicotest.DeletionTimestamp(document)
				down = calicotest.Decode(t, document)
			} else {
				continue // Secrets and observations do not have one.
			}
			next := s.Apply(state.Change{Before: o, After: down})
			if next == s {
				return o.ID().String() + ": the snapshot did not change"
			}
			after := compute(t, next, before)
			shared := before.index.Shared(calico.IPv4).Any() || before.index.Shared(calico.IPv6).Any() // Nodes with shared addresses are compared again.
			if !shared && (after.sessions.Networks != before.sessions.Networks || after.routings != before.routings) {
				return o.ID().String() + ": the sessions or the routes are computed again"
			}
			if fault := topologiesDiffer(after, compute(t, next, nil)); fault != "" {
				return o.ID().String() + ": " + fault
			}
			if fault := topologiesDiffer(after, before); fault != "" {
				return o.ID().String() + ": " + fault
			}
		}
		return ""
	})
}

package cluster

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// What the watch brings while a snapshot is evaluated, and while the evaluation waits, is one snapshot. The test counts
// snapshots, so that it does not depend on time.
func TestChangesAreEvaluatedOnceForTheNewestSnapshot(t *testing.T) {
	const changes = 1000
	s := syncedStore(calico.KindNode, calico.KindBGPPeer)
	nodes := s.handler(calico.KindNode)
	change := func(from, to int) {
		for i := from; i < to; i++ {
			nodes.OnUpdate(nil, storedNode("a", label("rack", fmt.Sprint(i))))
		}
	}
	nodes.OnAdd(storedNode("a"), true)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var seen []string
	waits := 0
	idle := func(context.Context) {
		waits++
		if waits == 2 { // Requests keep the CPUs busy while more changes arrive.
			change(changes, 2*changes)
		}
	}
	s.announceTo(ctx, idle, func(_ context.Context, snapshot *state.Snapshot) {
		seen = append(seen, names(snapshot))
		switch len(seen) {
		case 1: // While this snapshot is evaluated, the watch brings changes.
			change(0, changes)
			if s.contents.current != snapshot {
				t.Error("a snapshot was built that nobody asked for")
			}
		case 2:
			select {
			case <-s.announce:
				t.Error("the newest snapshot would be evaluated again")
			default:
			}
			cancel()
		}
	})
	if want := []string{"a", fmt.Sprint("a", 2*changes-1)}; !slices.Equal(seen, want) || waits != 2 {
		t.Errorf("evaluated %q after %d waits, want %q after 2", seen, waits, want)
	}
}

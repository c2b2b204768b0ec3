package cluster

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/text"
)

// processMemory is what a process may use in a container, less what it leaves to others: see server.reservedMemory.
func processMemory(containerMiB int64) int64 { return (containerMiB - 76) << 20 }

func TestCapacityGrowsWithMemory(t *testing.T) {
	if _, bounded := NewCapacity(0).BGPPeers(5000); bounded {
		t.Error("a process without a memory limit has a bound")
	}
	before := 0
	for _, container := range []int64{128, 256, 512, 1024} {
		limit, bounded := NewCapacity(processMemory(container)).BGPPeers(5000)
		if !bounded || limit < minBGPPeers || limit < before {
			t.Errorf("%d MiB: %d BGPPeers, bounded %t", container, limit, bounded)
		}
		before = limit
	}
	few, _ := NewCapacity(processMemory(256)).BGPPeers(100)
	many, _ := NewCapacity(processMemory(256)).BGPPeers(10000)
	if few <= many {
		t.Errorf("%d BGPPeers beside 100 Nodes, %d beside 10,000", few, many)
	}
}

// The memory that the error asks for suffices.
func TestCapacityAsksForEnoughMemory(t *testing.T) {
	for _, peers := range []int{7500, 20000, 100000} {
		memory := processMemory(256)
		err := NewCapacity(memory).check(5000, peers+peers/headroom)
		if !errors.Is(err, state.ErrTooLarge) {
			t.Fatalf("%d BGPPeers fit: %v", peers, err)
		}
		var more int64
		if _, err := fmt.Sscan(strings.ReplaceAll(regexp.MustCompile(`at least ([0-9,]+) MiB`).FindStringSubmatch(err.Error())[1], ",", ""), &more); err != nil {
			t.Fatal(err)
		}
		if err := NewCapacity(memory+more<<20).check(5000, peers+peers/headroom); err != nil {
			t.Errorf("with %d MiB more: %v", more, err)
		}
	}
}

func TestRoomForAnotherBGPPeer(t *testing.T) {
	capacity := NewCapacity(1) // For the least number.
	objects := make([]calico.Object, 0, minBGPPeers)
	for i := range minBGPPeers {
		objects = append(objects, calicotest.BGPPeer(t, fmt.Sprint("peer-", i), calicotest.Spec{"peerIP": "10.0.0.1", "asNumber": 64512}))
	}
	if err := capacity.Room(state.New(objects[1:]...)); err != nil {
		t.Errorf("%d BGPPeers leave no room: %v", minBGPPeers-1, err)
	}
	err := capacity.Room(state.New(objects...))
	if want := "state too large: the cluster has 1,000 BGPPeers beside 0 Nodes, and the memory of bgpguard suffices for 1,000: "; !errors.Is(err, state.ErrTooLarge) || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
	if err := NewCapacity(0).Room(state.New(objects...)); err != nil {
		t.Errorf("without a bound: %v", err)
	}
}

// A state that is too large has no snapshot, so that the process survives it, and is reported everywhere. It is evaluated again when
// BGPPeers were deleted.
func TestAStateThatIsTooLarge(t *testing.T) {
	s := syncedStore(calico.KindNode, calico.KindBGPPeer)
	s.SetCapacity(NewCapacity(1))
	h := s.handler(calico.KindBGPPeer)
	most := minBGPPeers + minBGPPeers/headroom
	for i := range most {
		h.OnAdd(peer(t, fmt.Sprint("peer-", i), 64512), true)
	}
	if _, _, err := s.Snapshot(); err != nil || s.Check(nil) != nil || s.Full() != "" {
		t.Fatalf("%d BGPPeers are too many: %v", most, err)
	}
	h.OnAdd(peer(t, "one-more", 64512), true)
	_, _, err := s.Snapshot()
	if !errors.Is(err, state.ErrTooLarge) || s.Check(nil) == nil || s.Full() != err.Error() {
		t.Errorf("the snapshot says %v, readiness %v, the status %q", err, s.Check(nil), s.Full())
	}
	if _, ok := s.latest(); ok {
		t.Error("a snapshot is announced")
	}
	s.setGauges()
	if tooLarge, limit := testutil.ToFloat64(snapshotTooLarge), testutil.ToFloat64(maximumBGPPeers); tooLarge != 1 || limit != minBGPPeers {
		t.Errorf("the metrics are %g and %g", tooLarge, limit)
	}
	h.OnDelete(peer(t, "one-more", 64512))
	if got := snapshot(t, s); len(got.BGPPeers()) != most {
		t.Errorf("%d BGPPeers after the deletion", len(got.BGPPeers()))
	}
	s.setGauges()
	if testutil.ToFloat64(snapshotTooLarge) != 0 {
		t.Error("the metric still says that the state is too large")
	}
}

// docs/install.md has the numbers of Capacity.
func TestDocumentedCapacity(t *testing.T) {
	page, err := os.ReadFile("../../docs/install.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, container := range []int64{256, 512, 1024} {
		row := fmt.Sprintf("| %s MiB |", text.Number(int(container)))
		for _, nodes := range []int{100, 5000, 10000} {
			limit, _ := NewCapacity(processMemory(container)).BGPPeers(nodes)
			row += fmt.Sprintf(" %s |", text.Number(limit))
		}
		if !strings.Contains(string(page), row+"\n") {
			t.Errorf("docs/install.md lacks the row %s", row)
		}
	}
}

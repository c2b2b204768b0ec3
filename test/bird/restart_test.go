//go:build system

package bird

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/topology"
)

// TestRestart starts BIRD as calico-node does and compares the protocols that it waits for with the prediction. BIRD waits
// up to 240 s for every half-session that cannot come up, except those that fail at once by a wrong AS number.
func TestRestart(t *testing.T) {
	t.Parallel()
	manual := spec{"reversePeering": "Manual"}
	tests := map[string]struct {
		objects []object
		dead    map[string]bool
	}{
		"a mesh that is whole": {objects: nodes(1, 4)},
		"a mesh with a node that is dead and not yet removed": {
			objects: objects(nodes(1, 3), deadNode(4)), dead: map[string]bool{"node-4": true},
		},
		"a BGPPeer over a mesh": {objects: objects(nodes(1, 3), between("again", "all()", "has(again)"), node(4, label("again", "")))},
		"a node of another AS number than expected": {
			objects: objects(noMesh(), nodes(1, 2), node(3, asNumber(65001)),
				peer("three", spec{"node": "node-1", "peerIP": "10.192.0.3", "asNumber": 65002}),
				peer("one", spec{"node": "node-3", "peerIP": "10.192.0.1", "asNumber": 64512, "reversePeering": "Manual"})),
		},
		"a BGPPeer without a way back": {
			objects: objects(noMesh(), nodes(1, 2), node(3, label("one", "")), between("one-way", "!has(one)", "has(one)", manual)),
		},
		"passwords that differ": {
			objects: objects(noMesh(), nodes(1, 2), node(3, label("one", "")), between("there", "!has(one)", "has(one)", manual, spec{"password": secret("there")}),
				between("back", "has(one)", "!has(one)", manual)),
		},
		"ports on which nobody listens": {
			objects: objects(noMesh(), nodes(1, 3),
				peer("three", spec{"node": "node-1", "peerIP": "10.192.0.3:1790", "asNumber": 64512, "reversePeering": "Manual"}),
				peer("one", spec{"node": "node-3", "peerIP": "10.192.0.1:1790", "asNumber": 64512, "reversePeering": "Manual"})),
		},
		"a router that isn't there": {objects: objects(nodes(1, 3), peer("router", spec{"node": "node-2", "peerIP": "10.192.9.9", "asNumber": 65001}))},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, tc.objects)
			want, waiting := map[string]int{}, len(tc.dead) // Whoever the others wait for waits for them, once it starts.
			for _, n := range w.nodes {
				if !tc.dead[n.Name] {
					broken := w.hopeless(n, tc.dead)
					want[n.Name] = broken + external(n)
					waiting += min(broken, 1)
				}
			}
			// Of what is outside the summary can't tell whether it is there.
			if got := w.topology.Summary().Convergence.Waiting; got.Nodes != waiting {
				t.Errorf("the summary says that %d nodes wait, by its half-sessions it is %d\n\nthe state:\n%s", got.Nodes, waiting, w.yaml())
			}
			awaitRecovery(t, start(t, w.nodes, Options{Recovery: true, Dead: tc.dead}), want)
		})
	}
}

// deadNode returns a core/v1 Node whose condition Ready is Unknown.
func deadNode(n int) object {
	return object{kind: calico.KindNode, name: fmt.Sprintf("node-%d", n), tweaks: []calicotest.Tweak{
		calicotest.APIVersion(calico.APIVersionCore),
		calicotest.Annotation(calico.AnnotationIPv4Address, fmt.Sprintf("10.192.0.%d/16", n)),
		calicotest.Status(map[string]any{"conditions": []any{map[string]any{"type": "Ready", "status": "Unknown"}}}),
	}}
}

// hopeless counts the half-sessions of a node that BIRD waits for and that cannot come up while some nodes are dead. BIRD
// does not wait for a protocol that failed with a BGP error, such as a wrong AS number (nest/proto.c,
// proto_falling_down).
func (w *world) hopeless(n Node, dead map[string]bool) int {
	count := 0
	for _, h := range n.HalfSessions {
		if dead[h.PeerNode] {
			count++
		}
	}
	for b := range w.topology.Broken(n.Name) {
		if b.Reason != topology.ASNumberMismatch && !dead[b.PeerNode] {
			count++
		}
	}
	return count
}

// external counts the half-sessions of a node to external peers, which do not exist in the test.
func external(n Node) int {
	count := 0
	for _, h := range n.HalfSessions {
		if h.Status == topology.External {
			count++
		}
	}
	return count
}

// awaitRecovery waits until the BIRD of every node waits only for the number of protocols in want; 0 means that it has
// recovered.
func awaitRecovery(t *testing.T, c *Cluster, want map[string]int) {
	t.Helper()
	deadline := time.Now().Add(convergeTimeout)
	for {
		seen := map[string]int{}
		var err error
		for name := range want {
			var lines []string
			if lines, err = c.Status(t.Context(), Speaker{name, calico.IPv4}); err != nil {
				break
			}
			seen[name] = waitsFor(lines)
		}
		switch {
		case err == nil && maps.Equal(seen, want) && time.Since(c.changed) >= settleAge:
			return
		case time.Now().After(deadline):
			t.Fatalf("protocols that BIRD waits for: predicted %v, seen %v (%v)", want, seen, err)
		}
		time.Sleep(pollInterval)
	}
}

// waitsFor returns the number of protocols that a recovering BIRD waits for, from the answer to `show status`: 0 if it is
// not recovering, -1 if its wait time is not the predicted 240 s.
func waitsFor(lines []string) int {
	recovery, protocols, seconds, limit := false, 0, 0, 0
	for _, line := range lines {
		var n int
		switch {
		case line == "Graceful restart recovery in progress":
			recovery = true
		default:
			if _, err := fmt.Sscanf(line, "  Waiting for %d protocols", &n); err == nil {
				protocols = n
			}
			_, _ = fmt.Sscanf(line, "  Wait timer is %d/%d", &seconds, &limit)
		}
	}
	switch {
	case !recovery:
		return 0
	case limit != 240:
		return -1
	}
	return protocols
}

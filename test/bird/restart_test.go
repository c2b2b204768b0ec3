//go:build system

package bird

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology"
)

// TestRestart starts BIRD as calico-node does and compares for what it waits with the prediction: for every half-session
// on which no session comes up, up to 240 s, but for those that fail at once because of an AS number.
func TestRestart(t *testing.T) {
	t.Parallel()
	manual := object{"reversePeering": "Manual"}
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
			objects: objects(noMesh(), nodes(1, 2), node(3, ofAS(65001)),
				peer("three", object{"node": "node-1", "peerIP": "10.192.0.3", "asNumber": 65002}),
				peer("one", object{"node": "node-3", "peerIP": "10.192.0.1", "asNumber": 64512, "reversePeering": "Manual"})),
		},
		"a BGPPeer without a way back": {
			objects: objects(noMesh(), nodes(1, 2), node(3, label("one", "")), between("one-way", "!has(one)", "has(one)", manual)),
		},
		"passwords that differ": {
			objects: objects(noMesh(), nodes(1, 2), node(3, label("one", "")), between("there", "!has(one)", "has(one)", manual, object{"password": secret("there")}),
				between("back", "has(one)", "!has(one)", manual)),
		},
		"ports on which nobody listens": {
			objects: objects(noMesh(), nodes(1, 3),
				peer("three", object{"node": "node-1", "peerIP": "10.192.0.3:1790", "asNumber": 64512, "reversePeering": "Manual"}),
				peer("one", object{"node": "node-3", "peerIP": "10.192.0.1:1790", "asNumber": 64512, "reversePeering": "Manual"})),
		},
		"a router that isn't there": {objects: objects(nodes(1, 3), peer("router", object{"node": "node-2", "peerIP": "10.192.9.9", "asNumber": 65001}))},
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

// deadNode is a node of core/v1, which tells whether it is ready.
func deadNode(n int) object {
	return object{
		"apiVersion": "v1", "kind": "Node",
		"metadata": object{
			"name":        fmt.Sprintf("node-%d", n),
			"annotations": object{calico.AnnotationIPv4Address: fmt.Sprintf("10.192.0.%d/16", n)},
		},
		"status": object{"conditions": []any{object{"type": "Ready", "status": "Unknown"}}},
	}
}

// hopeless counts the half-sessions of a node for which its BIRD waits in vain while some nodes are dead. It does not
// wait for one that has failed by an error of BGP (nest/proto.c, proto_falling_down), which a wrong AS number is.
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

// external counts the half-sessions of a node to what is no node of the state, and so not there.
func external(n Node) int {
	count := 0
	for _, h := range n.HalfSessions {
		if h.Status == topology.External {
			count++
		}
	}
	return count
}

// awaitRecovery waits until every node's BIRD waits for as many protocols as want says, when those that can have come
// up; for 0, until it has recovered.
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

// waitsFor reads from `show status` for how many protocols a BIRD waits that recovers, 0 when it doesn't, -1 when the
// time that it waits at the most is not the 240 s that are foretold.
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

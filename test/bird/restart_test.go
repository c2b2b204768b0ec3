package bird

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology"
)

// TestRestart starts BIRD as calico-node does and compares what it waits for with the prediction: a node waits as long
// as there is a half-session on which no session comes up, 240 s at the most.
func TestRestart(t *testing.T) {
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
			objects: objects(noMesh(), node(1, reflector, clusterID("244.0.0.1")), nodes(2, 3), toReflectors(),
				node(4, ofAS(65001)), peer("four", object{"node": "node-1", "peerIP": "10.192.0.4", "asNumber": 65002})),
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, tc.objects)
			want := map[string]int{}
			for _, n := range w.nodes {
				if !tc.dead[n.Name] {
					want[n.Name] = hopeless(n, tc.dead)
				}
			}
			waiting := w.topology.Summary().Convergence.Waiting
			if n := len(slices.DeleteFunc(slices.Collect(maps.Values(want)), func(n int) bool { return n == 0 })) + len(tc.dead); waiting.Nodes != n {
				t.Errorf("the summary says that %d nodes wait, by its half-sessions it is %d", waiting.Nodes, n)
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

// hopeless counts the half-sessions of a node on which no session comes up while some nodes are dead.
func hopeless(n Node, dead map[string]bool) int {
	count := 0
	for _, h := range n.HalfSessions {
		if h.Status != topology.Paired || dead[h.PeerNode] {
			count++
		}
	}
	return count
}

// awaitRecovery waits until every node's BIRD waits for as many protocols as want says; for 0, until it has recovered.
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
		case err == nil && maps.Equal(seen, want):
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

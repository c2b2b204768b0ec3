package validate

import (
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// ways are the ways in which a BGPPeer selects a single node.
var ways = map[string]func(number int) map[string]any{
	"node": func(i int) map[string]any { return map[string]any{"node": calicotest.NodeName(i)} },
	"nodeSelector": func(i int) map[string]any {
		return map[string]any{"nodeSelector": fmt.Sprintf("kubernetes.io/hostname == '%s'", calicotest.NodeName(i))}
	},
}

// routerOf returns the BGPPeer of a node with a router of its own.
func routerOf(t testing.TB, way string, number int, more ...any) calico.Object {
	t.Helper()
	spec := ways[way](number)
	spec["peerIP"], spec["asNumber"] = fmt.Sprintf("172.16.%d.%d", number>>8, number&255), int64(64700)
	for i := 0; i < len(more); i += 2 {
		spec[more[i].(string)] = more[i+1]
	}
	return calicotest.Object(t, "BGPPeer", "router-of-"+calicotest.NodeName(number), spec)
}

// labeled returns a node of perNode, with further labels.
func labeled(t testing.TB, i int, labels ...string) calico.Object {
	t.Helper()
	tweaks := []calicotest.Tweak{calicotest.Label("rack", fmt.Sprintf("r%d", i%16)), calicotest.Label("kubernetes.io/hostname", calicotest.NodeName(i))}
	if i < 3 {
		tweaks = append(tweaks, calicotest.RouteReflector("244.0.0.1"), calicotest.Label("rr", "true"))
	}
	for k := 0; k < len(labels); k += 2 {
		tweaks = append(tweaks, calicotest.Label(labels[k], labels[k+1]))
	}
	return calicotest.NumberedNode(t, i, tweaks...)
}

// perNode returns a cluster of nodes with 3 route reflectors, with which the nodes of each of 16 racks peer, and a BGPPeer for each of
// the first nodes.
func perNode(t testing.TB, way string, nodes, peers int) *state.Snapshot {
	t.Helper()
	objects := []calico.Object{calicotest.Mesh(t, false), peer(t, "reflectors", "has(rr)", "has(rr)")}
	for i := range nodes {
		objects = append(objects, labeled(t, i))
	}
	for i := range 16 {
		objects = append(objects, peer(t, fmt.Sprintf("rack-%02d", i), fmt.Sprintf("rack == 'r%d'", i), "has(rr)"))
	}
	for i := range peers {
		objects = append(objects, routerOf(t, way, i))
	}
	return state.New(objects...)
}

// perNodeChanges returns the changes of perNode that are measured, by name.
func perNodeChanges(t testing.TB, way string) map[string]state.Change {
	t.Helper()
	return map[string]state.Change{
		"create":      {After: calicotest.Object(t, "BGPPeer", "second-router", calicotest.Spec{"node": calicotest.NodeName(7), "peerIP": "172.30.0.1", "asNumber": int64(64700)})},
		"update":      {After: routerOf(t, way, 7, "keepOriginalNextHop", true)},
		"delete":      {Before: routerOf(t, way, 7)},
		"label":       {After: labeled(t, 7, "example.com/owner", "platform")},
		"read-label":  {After: labeled(t, 7, "rack", "r0")},
		"timer":       {After: calicotest.BGPConfiguration(t, "default", calicotest.Spec{"nodeToNodeMeshEnabled": false, "nodeMeshMaxRestartTime": "300s"})},
		"peer-timer":  {After: peer(t, "rack-00", "rack == 'r0'", "has(rr)", "maxRestartTime", "300s")},
		"rack-delete": {Before: peer(t, "rack-00", "rack == 'r0'", "has(rr)")},
	}
}

// BenchmarkDecideWithBGPPeerPerNode measures one admission request as BenchmarkDecide does, in a cluster with a BGPPeer for each node. The
// change was not decided before.
func BenchmarkDecideWithBGPPeerPerNode(b *testing.B) {
	const n = 5000
	for _, way := range []string{"node", "nodeSelector"} {
		changes := perNodeChanges(b, way)
		names := make([]string, 0, len(changes))
		for name := range changes {
			names = append(names, name)
		}
		slices.Sort(names)
		s := perNode(b, way, n, n)
		for _, name := range names {
			b.Run(fmt.Sprintf("by=%s/change=%s", way, name), func(b *testing.B) {
				e := NewEngine(defaults(b))
				if err := e.Warm(b.Context(), s); err != nil {
					b.Fatal(err)
				}
				change := known(s, changes[name])
				e.Decide(b.Context(), s, Request{Change: change}) // Caches what holds for each such change.
				b.ReportAllocs()
				before := cpuTime(b)
				for b.Loop() {
					e.forget()
					if d := e.Decide(b.Context(), s, Request{Change: change}); len(d.Failures) > 0 {
						b.Fatal(d.Failures)
					}
				}
				b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/1000/float64(b.N), "cpu-ms/op")
			})
		}
	}
}

// cpuTime returns the CPU time of the process, with that of the garbage collector.
func cpuTime(t testing.TB) time.Duration {
	t.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

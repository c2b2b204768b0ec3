package health

import (
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology/topologytest"
)

// reporting returns the status of node i with a session to each of the given nodes.
func reporting(t testing.TB, i int, kind func(peer int) calico.PeerType, peers []int, sessionState calico.SessionState) calico.Object {
	rows := make([]any, 0, len(peers))
	established := int64(0)
	for _, p := range peers {
		rows = append(rows, map[string]any{"peerIP": calicotest.NodeAddress(p), "type": kind(p).String(), "state": sessionState.String(), "since": "11:00:05"})
		if sessionState == calico.SessionEstablished {
			established++
		}
	}
	daemon := map[string]any{"state": "Ready", "version": "v0.3.3+birdv1.6.8", "routerID": calicotest.NodeAddress(i), "lastBootTime": "2026-11-24 11:00:00"}
	return calicotest.Object(t, calico.KindCalicoNodeStatus, calicotest.NodeName(i), calicotest.Spec{"node": calicotest.NodeName(i), "classes": []any{"Agent", "BGP"}, "updatePeriodSeconds": int64(10)}, calicotest.Status(map[string]any{
		"lastUpdated": "2026-11-24T11:30:05Z", "agent": map[string]any{"birdV4": daemon, "birdV6": daemon},
		"bgp": map[string]any{"numberEstablishedV4": established, "peersV4": rows},
	}))
}

func clusterNode(t testing.TB, i int, reflector bool) calico.Object {
	if reflector {
		return calicotest.NumberedNode(t, i, calicotest.RouteReflector("244.0.0.1"), calicotest.Label("rr", ""))
	}
	return calicotest.NumberedNode(t, i)
}

// reflectors returns a state of n nodes with three route reflectors. All nodes report.
// sessionState returns the state of the sessions of worker i.
func reflectors(t testing.TB, n int, sessionState func(i int) calico.SessionState) *state.Snapshot {
	objects := []calico.Object{calicotest.Mesh(t, false), calicotest.BGPPeer(t, "default", calicotest.Spec{"peerSelector": "has(rr)"})}
	// The route reflectors have the reverse half-sessions that Calico configures.
	kind := func(peer int) calico.PeerType {
		if peer < 3 {
			return calico.PeerGlobal
		}
		return calico.PeerNode
	}
	all := make([]int, n)
	for i := range n {
		all[i] = i
		objects = append(objects, clusterNode(t, i, i < 3))
	}
	for i := range n {
		peers, as := all[:3], sessionState(i)
		if i < 3 {
			peers, as = append(append([]int{}, all[:i]...), all[i+1:]...), calico.SessionEstablished
		}
		objects = append(objects, reporting(t, i, kind, peers, as))
	}
	return state.New(objects...)
}

// meshed returns a state of n nodes in a full mesh. All nodes report.
func meshed(t testing.TB, n int) *state.Snapshot {
	var objects []calico.Object
	for i := range n {
		var peers []int
		for j := range n {
			if i != j {
				peers = append(peers, j)
			}
		}
		objects = append(objects, clusterNode(t, i, false), reporting(t, i, func(int) calico.PeerType { return calico.PeerMesh }, peers, calico.SessionEstablished))
	}
	return state.New(objects...)
}

func up(int) calico.SessionState { return calico.SessionEstablished }

func BenchmarkCompare(b *testing.B) {
	for _, c := range []struct {
		name     string
		snapshot func() *state.Snapshot
	}{
		{"reflectors/nodes=100", func() *state.Snapshot { return reflectors(b, 100, up) }},
		{"reflectors/nodes=5000", func() *state.Snapshot { return reflectors(b, 5000, up) }},
		{"mesh/nodes=100", func() *state.Snapshot { return meshed(b, 100) }},
		{"mesh/nodes=500", func() *state.Snapshot { return meshed(b, 500) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := c.snapshot()
			t := topologytest.Compute(b, s, nil)
			b.ReportAllocs()
			for b.Loop() {
				if h := Compare(s, t, now); h.Reporting != h.Nodes || h.Down.Total+h.Absent.Total+h.Unexpected.Total > 0 {
					b.Fatalf("wrong")
				}
			}
		})
	}
}

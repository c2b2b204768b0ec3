//go:build system

package bird

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/topology"
)

// randomStates is the number of random states; the number of each is its seed.
const randomStates = 40

// compareRandomly compares BIRD with the prediction in a number of random states, each from a seed of its own in a stream:
// sessions, which nodes have routes to the pods of which, and the routes of nodes and routers with their attributes.
func compareRandomly(t *testing.T, states int, stream uint64, state func(*rand.Rand) []object) {
	t.Helper()
	for seed := range uint64(states) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, stream))
			w := newWorld(t, state(r))
			for uncertain(w) {
				w = newWorld(t, state(r))
			}
			w.addRouters(t)
			c := start(t, w.nodes, Options{})
			w.await(t, c)
			if len(w.topology.Frozen()) == 0 {
				w.awaitRoutes(t, c)
			}
		})
	}
}

// TestRandomStates compares BIRD with the prediction in random states.
func TestRandomStates(t *testing.T) {
	t.Parallel()
	compareRandomly(t, randomStates, 0, randomState)
}

// uncertain reports whether the result depends on chance: on the order in which Calico visits BGPPeers, or on a connection
// collision between two nodes that both have a second protocol for the same neighbor (see TestPairing).
func uncertain(w *world) bool {
	for range w.topology.Ambiguous("") {
		return true
	}
	type link struct{ node, peer, family string }
	protocols, dialling := map[link]int{}, map[link]int{}
	for h := range w.topology.HalfSessions("") {
		l := link{h.Node, h.PeerNode, h.Family}
		protocols[l]++
		if h.Status == topology.Paired && !h.Passive {
			dialling[l]++
		}
	}
	for l, n := range protocols {
		if back := (link{l.peer, l.node, l.family}); n > 1 && l.peer != "" && dialling[l] > 0 && dialling[back] > 0 {
			return true
		}
	}
	return false
}

// randomState returns three to eight nodes and the objects that decide their sessions. Each field has few values, so that
// fields of different objects match.
func randomState(r *rand.Rand) []object {
	one := func(in int) bool { return r.IntN(in) == 0 }
	stacks := one(4)
	n := 3 + r.IntN(6)
	if stacks {
		n = 3 + r.IntN(3)
	}
	list := pools()
	for i := range n {
		list = append(list, randomNode(r, 8+i, stacks))
	}
	s := spec{}
	if one(2) {
		s["nodeToNodeMeshEnabled"] = false
	} else if one(4) {
		s["nodeMeshPassword"] = secret("mesh")
	}
	if one(4) {
		s["asNumber"] = 65001
	}
	if one(6) {
		s["listenPort"] = 1790
	}
	list = append(list, configuration(s))
	if one(3) {
		list = append(list, listensOn(8+r.IntN(n), 1791))
	}
	if one(2) {
		list = append(list, version(pick(r, "v3.31.0", "v3.32.1")))
	}
	for i := range r.IntN(5) {
		list = append(list, peer(fmt.Sprintf("peer-%d", i), randomPeer(r, 8, n)))
	}
	return list
}

// pools returns the IPPools of the pods.
func pools() []object {
	return []object{
		{kind: calico.KindIPPool, name: "pods", spec: spec{"cidr": podNetworks[calico.IPv4].String(), "ipipMode": "Never", "vxlanMode": "Never"}},
		{kind: calico.KindIPPool, name: "pods-6", spec: spec{"cidr": podNetworks[calico.IPv6].String(), "vxlanMode": "Never"}},
	}
}

func randomNode(r *rand.Rand, i int, stacks bool) object {
	rack, role := pick(r, "a", "b"), pick(r, "reflector", "worker", "worker")
	tweaks := []calicotest.Tweak{label("rack", rack), label("role", role)}
	if stacks && r.IntN(4) > 0 {
		tweaks = append(tweaks, dualStack)
	}
	if r.IntN(4) == 0 {
		tweaks = append(tweaks, asNumber(pick[uint32](r, 64512, 65001, 65002)))
	}
	if role == "reflector" && r.IntN(4) > 0 {
		tweaks = append(tweaks, clusterID(pick(r, "244.0.0.1", "244.0.0.1", "244.0.0.2")))
	}
	return node(i, tweaks...)
}

// randomPeer returns the spec of a BGPPeer between n nodes, numbered from first.
func randomPeer(r *rand.Rand, first, n int) spec {
	s := spec{}
	selectors := []string{"all()", "rack == 'a'", "rack == 'b'", "role == 'reflector'", "role != 'reflector'", "role == 'reflector' && rack == 'a'"}
	switch r.IntN(4) {
	case 0: // all nodes
	case 1:
		s["node"] = fmt.Sprintf("node-%d", first+r.IntN(n))
	default:
		s["nodeSelector"] = pick(r, selectors...)
	}
	switch r.IntN(6) {
	case 0:
		s["peerIP"], s["asNumber"] = fmt.Sprintf("10.192.0.%d%s", first+r.IntN(n), pick(r, "", "", ":179", ":1791")), pick(r, 64512, 64512, 65001)
		if r.IntN(3) == 0 {
			s["numAllowedLocalASNumbers"] = 1
		}
		if r.IntN(6) == 0 {
			s["localASNumber"] = pick(r, 64512, 65002)
		}
	case 1:
		s["peerIP"], s["asNumber"] = "10.192.9.9", 65009
	default:
		s["peerSelector"] = pick(r, selectors...)
	}
	if r.IntN(5) == 0 {
		s["password"] = secret(pick(r, "one", "two"))
	}
	if r.IntN(5) == 0 {
		s["reversePeering"] = "Manual"
	}
	if r.IntN(5) == 0 {
		s["nextHopMode"] = pick(r, "Self", "Keep")
	}
	if r.IntN(5) == 0 {
		s["maxRestartTime"], s["keepaliveTime"] = "30s", "20s"
	}
	return s
}

func pick[T any](r *rand.Rand, values ...T) T { return values[r.IntN(len(values))] }

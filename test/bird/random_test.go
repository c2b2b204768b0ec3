//go:build system

package bird

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/topology"
)

// randomStates is the number of random states; the number of each is its seed.
const randomStates = 40

// TestRandomStates compares BIRD with the prediction in random states.
func TestRandomStates(t *testing.T) {
	t.Parallel()
	for seed := range uint64(randomStates) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 0))
			w := newWorld(t, randomState(r))
			for uncertain(w) {
				w = newWorld(t, randomState(r))
			}
			w.await(t, start(t, w.nodes, Options{}))
		})
	}
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
	var list []object
	for i := range n {
		list = append(list, randomNode(r, 8+i, stacks))
	}
	spec := object{}
	if one(2) {
		spec["nodeToNodeMeshEnabled"] = false
	} else if one(4) {
		spec["nodeMeshPassword"] = secret("mesh")
	}
	if one(4) {
		spec["asNumber"] = 65001
	}
	if one(6) {
		spec["listenPort"] = 1790
	}
	list = append(list, configuration(spec))
	if one(3) {
		list = append(list, listensOn(8+r.IntN(n), 1791))
	}
	if one(2) {
		list = append(list, calicoObject("ClusterInformation", "default", object{"calicoVersion": pick(r, "v3.31.0", "v3.32.1")}))
	}
	for i := range r.IntN(5) {
		list = append(list, peer(fmt.Sprintf("peer-%d", i), randomPeer(r, 8, n)))
	}
	return list
}

func randomNode(r *rand.Rand, i int, stacks bool) object {
	return node(i, func(n int, bgp, labels object) {
		labels["rack"], labels["role"] = pick(r, "a", "b"), pick(r, "reflector", "worker", "worker")
		if stacks && r.IntN(4) > 0 {
			dualStack(n, bgp, labels)
		}
		if r.IntN(4) == 0 {
			bgp["asNumber"] = pick(r, 64512, 65001, 65002)
		}
		if labels["role"] == "reflector" && r.IntN(4) > 0 {
			bgp["routeReflectorClusterID"] = pick(r, "244.0.0.1", "244.0.0.1", "244.0.0.2")
		}
	})
}

// randomPeer returns the spec of a BGPPeer between n nodes, numbered from first.
func randomPeer(r *rand.Rand, first, n int) object {
	spec := object{}
	selectors := []string{"all()", "rack == 'a'", "rack == 'b'", "role == 'reflector'", "role != 'reflector'", "role == 'reflector' && rack == 'a'"}
	switch r.IntN(4) {
	case 0: // all nodes
	case 1:
		spec["node"] = fmt.Sprintf("node-%d", first+r.IntN(n))
	default:
		spec["nodeSelector"] = pick(r, selectors...)
	}
	switch r.IntN(6) {
	case 0:
		spec["peerIP"], spec["asNumber"] = fmt.Sprintf("10.192.0.%d%s", first+r.IntN(n), pick(r, "", "", ":179", ":1791")), pick(r, 64512, 64512, 65001)
		if r.IntN(3) == 0 {
			spec["numAllowedLocalASNumbers"] = 1
		}
		if r.IntN(6) == 0 {
			spec["localASNumber"] = pick(r, 64512, 65002)
		}
	case 1:
		spec["peerIP"], spec["asNumber"] = "10.192.9.9", 65009
	default:
		spec["peerSelector"] = pick(r, selectors...)
	}
	if r.IntN(5) == 0 {
		spec["password"] = secret(pick(r, "one", "two"))
	}
	if r.IntN(5) == 0 {
		spec["reversePeering"] = "Manual"
	}
	if r.IntN(5) == 0 {
		spec["nextHopMode"] = pick(r, "Self", "Keep")
	}
	if r.IntN(5) == 0 {
		spec["maxRestartTime"], spec["keepaliveTime"] = "30s", "20s"
	}
	return spec
}

func pick[T any](r *rand.Rand, values ...T) T { return values[r.IntN(len(values))] }

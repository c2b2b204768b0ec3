package topology

import (
	"slices"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/state"
)

func TestEffectsSayWhatSessionsABGPPeerGives(t *testing.T) {
	s := state.New(newObject(t, "BGPConfiguration", "default", map[string]any{"nodeToNodeMeshEnabled": false}))
	for i, address := range []string{"10.0.0.1", "10.0.0.2", "10.0.0.3"} {
		s = s.Apply(state.Change{After: node(t, string(rune('a'+i)), with("ipv4Address", address))})
	}
	for name, c := range map[string]struct {
		spec map[string]any
		want string
	}{
		"sessions between nodes":  {map[string]any{"nodeSelector": "all()", "peerSelector": "all()"}, "3 sessions"},
		"with a router":           {map[string]any{"peerIP": "172.16.0.1", "asNumber": int64(65001)}, "3 nodes sessions with a peer outside the cluster"},
		"with a router on a node": {map[string]any{"node": "a", "peerIP": "172.16.0.1", "asNumber": int64(65001)}, "1 node sessions with a peer outside the cluster"},
		"with pods":               {map[string]any{"localWorkloadSelector": "all()", "asNumber": int64(65001)}, "3 nodes sessions with pods"},
	} {
		t.Run(name, func(t *testing.T) {
			peer := newObject(t, "BGPPeer", "p", c.spec)
			create := state.Change{After: peer}
			before := compute(t, s, nil)
			after := compute(t, s.Apply(create), before)
			if got := after.Effects(before, create); !slices.Contains(got, "BGPPeer p is new, and gives "+c.want) {
				t.Errorf("of its creation, got %q", got)
			}
			if got := before.Effects(after, state.Change{Before: peer}); !slices.Contains(got, "BGPPeer p goes, which gave "+c.want) {
				t.Errorf("of its deletion, got %q", got)
			}
		})
	}
}

func TestOnlyAMeshThatIsOnIsLeftByARouteReflector(t *testing.T) {
	for name, c := range map[string]struct {
		mesh bool
		want string
	}{
		"mesh on":  {true, "Node b becomes a route reflector (cluster ID 244.0.0.1) and leaves the node-to-node mesh"},
		"mesh off": {false, "Node b becomes a route reflector (cluster ID 244.0.0.1)"},
	} {
		t.Run(name, func(t *testing.T) {
			plain := node(t, "b", with("ipv4Address", "10.0.0.2"))
			s := state.New(
				newObject(t, "BGPConfiguration", "default", map[string]any{"nodeToNodeMeshEnabled": c.mesh}),
				newObject(t, "BGPPeer", "p", map[string]any{"nodeSelector": "all()", "peerSelector": "all()"}),
				node(t, "a", with("ipv4Address", "10.0.0.1")), plain,
			)
			change := state.Change{
				Before: plain,
				After:  node(t, "b", with("ipv4Address", "10.0.0.2"), with("routeReflectorClusterID", "244.0.0.1")),
			}
			before := compute(t, s, nil)
			after := compute(t, s.Apply(change), before)
			if got := after.Effects(before, change); !slices.Contains(got, c.want) {
				t.Errorf("got %q", got)
			}
		})
	}
}

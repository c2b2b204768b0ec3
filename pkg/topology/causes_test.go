package topology

import (
	"maps"
	"slices"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/state"
)

func TestCausesSayWhatSessionsABGPPeerGives(t *testing.T) {
	s := state.New(calicotest.Object(t, "BGPConfiguration", "default", map[string]any{"nodeToNodeMeshEnabled": false}))
	for i, address := range []string{"10.0.0.1", "10.0.0.2", "10.0.0.3"} {
		s = s.Apply(state.Change{After: calicotest.Node(t, string(rune('a'+i)), calicotest.BGP("ipv4Address", address))})
	}
	for name, c := range map[string]struct {
		spec map[string]any
		want string
	}{
		"sessions between nodes":  {map[string]any{"nodeSelector": "all()", "peerSelector": "all()"}, "3 sessions"},
		"with a router":           {map[string]any{"peerIP": "172.16.0.1", "asNumber": int64(65001)}, "sessions with an external peer on 3 nodes"},
		"with a router on a node": {map[string]any{"node": "a", "peerIP": "172.16.0.1", "asNumber": int64(65001)}, "sessions with an external peer on 1 node"},
		"with pods":               {map[string]any{"localWorkloadSelector": "all()", "asNumber": int64(65001)}, "sessions with pods on 3 nodes"},
	} {
		t.Run(name, func(t *testing.T) {
			peer := calicotest.Object(t, "BGPPeer", "p", c.spec)
			create := state.Change{After: peer}
			before := compute(t, s, nil)
			after := compute(t, s.Apply(create), before)
			if got := after.causes(before); !slices.Contains(got, "BGPPeer p is created and configures "+c.want) {
				t.Errorf("creation: got %q", got)
			}
			if got := before.causes(after); !slices.Contains(got, "BGPPeer p is deleted, which configured "+c.want) {
				t.Errorf("deletion: got %q", got)
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
			plain := calicotest.Node(t, "b", calicotest.BGP("ipv4Address", "10.0.0.2"))
			s := state.New(
				calicotest.Object(t, "BGPConfiguration", "default", map[string]any{"nodeToNodeMeshEnabled": c.mesh}),
				calicotest.Object(t, "BGPPeer", "p", map[string]any{"nodeSelector": "all()", "peerSelector": "all()"}),
				calicotest.Node(t, "a", calicotest.BGP("ipv4Address", "10.0.0.1")), plain,
			)
			change := state.Change{
				Before: plain,
				After:  calicotest.Node(t, "b", calicotest.BGP("ipv4Address", "10.0.0.2"), calicotest.BGP("routeReflectorClusterID", "244.0.0.1")),
			}
			before := compute(t, s, nil)
			after := compute(t, s.Apply(change), before)
			if got := after.causes(before); !slices.Contains(got, c.want) {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestCausesOfFieldsAndNodes(t *testing.T) {
	at := func(address string, options ...calicotest.Tweak) calico.Object {
		return calicotest.Node(t, "b", append(options, calicotest.BGP("ipv4Address", address))...)
	}
	router := func(more map[string]any) calico.Object {
		spec := map[string]any{"peerIP": "172.16.0.1", "asNumber": int64(65001)}
		maps.Copy(spec, more)
		return calicotest.Object(t, "BGPPeer", "router", spec)
	}
	secret := map[string]any{"secretKeyRef": map[string]any{"name": "bgp", "key": "a"}}
	other := map[string]any{"secretKeyRef": map[string]any{"name": "bgp", "key": "b"}}
	all := func(name string, selector string) calico.Object {
		return calicotest.Object(t, "BGPPeer", name, map[string]any{"nodeSelector": selector, "peerSelector": "all()"})
	}
	for name, c := range map[string]struct {
		before, after calico.Object
		want          []string
	}{
		"a scalar changes":    {router(map[string]any{"keepaliveTime": "10s"}), router(map[string]any{"keepaliveTime": "20s"}), []string{"BGPPeer router: keepaliveTime changes from 10s to 20s"}},
		"a scalar is set":     {router(nil), router(map[string]any{"keepaliveTime": "20s"}), []string{"BGPPeer router: keepaliveTime is set to 20s"}},
		"a scalar is unset":   {router(map[string]any{"keepaliveTime": "10s"}), router(nil), []string{"BGPPeer router: keepaliveTime is unset, it was 10s"}},
		"a map is set":        {router(nil), router(map[string]any{"password": secret}), []string{"BGPPeer router: password is set"}},
		"a map changes":       {router(map[string]any{"password": secret}), router(map[string]any{"password": other}), []string{"BGPPeer router: password changes"}},
		"a map is unset":      {router(map[string]any{"password": secret}), router(nil), []string{"BGPPeer router: password is unset"}},
		"a selector changes":  {all("p", "has(x)"), all("p", "has(y)"), []string{`BGPPeer p: nodeSelector "has(y)" matches 0 nodes; before, "has(x)" matched 1`}},
		"a node is deleted":   {at("10.0.0.2"), nil, []string{"Node b is deleted"}},
		"an address changes":  {at("10.0.0.2"), at("10.0.0.3"), []string{"the BGP address of Node b changes from 10.0.0.2 to 10.0.0.3"}},
		"an address is lost":  {at("10.0.0.2", calicotest.BGP("ipv6Address", "fd00::2")), at("10.0.0.2"), []string{"Node b loses its IPv6 BGP address fd00::2"}},
		"an AS number is set": {at("10.0.0.2"), at("10.0.0.2", calicotest.BGP("asNumber", int64(65001))), []string{"the AS number of Node b changes from the cluster's to 65001"}},
		"a cluster ID changes": {at("10.0.0.2", calicotest.BGP("routeReflectorClusterID", "244.0.0.1")), at("10.0.0.2", calicotest.BGP("routeReflectorClusterID", "244.0.0.2")),
			[]string{"the cluster ID of Node b changes from 244.0.0.1 to 244.0.0.2"}},
		"a cluster ID is unset": {at("10.0.0.2", calicotest.BGP("routeReflectorClusterID", "244.0.0.1")), at("10.0.0.2"), []string{"Node b is no longer a route reflector (cluster ID 244.0.0.1 before)"}},
		"the mesh is turned off": {configuration(t, map[string]any{"nodeToNodeMeshEnabled": true}), configuration(t, map[string]any{"nodeToNodeMeshEnabled": false}),
			[]string{"the node-to-node mesh is turned off"}},
		"the mesh is turned on": {configuration(t, map[string]any{"nodeToNodeMeshEnabled": false}), configuration(t, map[string]any{"nodeToNodeMeshEnabled": true}),
			[]string{"the node-to-node mesh is turned on"}},
		"the cluster's AS number changes": {configuration(t, map[string]any{"asNumber": int64(65001)}), configuration(t, map[string]any{"asNumber": int64(65002)}),
			[]string{"the cluster's AS number changes from 65001 to 65002"}},
	} {
		t.Run(name, func(t *testing.T) {
			objects := []calico.Object{calicotest.Node(t, "a", calicotest.BGP("ipv4Address", "10.0.0.1"), calicotest.Label("x", "")), calicotest.Object(t, "BGPPeer", "tor", map[string]any{"peerIP": "172.16.0.9", "asNumber": int64(65009)})}
			if c.before.ID().Kind != calico.KindNode {
				objects = append(objects, calicotest.Node(t, "c", calicotest.BGP("ipv4Address", "10.0.0.4")))
			}
			s := state.New(append(objects, c.before)...)
			change := state.Change{Before: c.before, After: c.after}
			before := compute(t, s, nil)
			if got := compute(t, s.Apply(change), before).causes(before); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

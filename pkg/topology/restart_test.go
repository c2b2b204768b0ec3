package topology

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// TestRestart changes settings of the listening socket, which BIRD does not move while it runs, and others.
func TestRestart(t *testing.T) {
	mesh := func(spec calicotest.Spec) calico.Object { return calicotest.BGPConfiguration(t, calico.Default, spec) }
	own := func(port int) calico.Object {
		return calicotest.BGPConfiguration(t, calico.NodeConfiguration(calicotest.NodeName(1)), calicotest.Spec{"listenPort": port})
	}
	off := calicotest.Object(t, calico.KindInstallation, calico.Default, calicotest.Spec{"calicoNetwork": calicotest.Spec{"bgp": "Disabled"}})
	base := append(calicotest.Nodes(t, 3), mesh(calicotest.Spec{}))
	for name, test := range map[string]struct {
		with, after []calico.Object
		want        Restart
		resets      int
		text        string
	}{
		"the address of the node": {nil, []calico.Object{mesh(calicotest.Spec{"bindMode": "NodeIP"})}, Restart{3, 0, 7}, 0,
			"3 nodes listen as before until calico-node restarts there, and each restart leaves its node without routes for about 7 s"},
		"all addresses, written out": {nil, []calico.Object{mesh(calicotest.Spec{"bindMode": "None"})}, Restart{}, 0, "changes no session and no route between nodes"},
		"another port": {nil, []calico.Object{mesh(calicotest.Spec{"listenPort": 1790})}, Restart{3, 3, 7}, 3,
			"; before, no neighbor connects to them on the new port"},
		"the default port, written out":  {nil, []calico.Object{mesh(calicotest.Spec{"listenPort": 179})}, Restart{}, 0, "changes no session and no route between nodes"},
		"the port of one node":           {nil, []calico.Object{own(1790)}, Restart{1, 1, 7}, 2, "1 node listens as before until calico-node restarts there"},
		"that of a node with its own":    {[]calico.Object{own(1790)}, []calico.Object{mesh(calicotest.Spec{"listenPort": 1790})}, Restart{2, 2, 7}, 3, "2 nodes listen as before"},
		"a new node":                     {nil, []calico.Object{calicotest.NumberedNode(t, 7), mesh(calicotest.Spec{"bindMode": "NodeIP"})}, Restart{3, 0, 7}, 0, "3 nodes listen as before"},
		"a password":                     {nil, []calico.Object{mesh(calicotest.Spec{"nodeMeshPassword": calicotest.Spec{"secretKeyRef": calicotest.Spec{"name": "a", "key": "b"}}})}, Restart{}, 3, "resets 3 mesh sessions (on 3 nodes)"},
		"a calico-node without BIRD":     {[]calico.Object{off}, []calico.Object{mesh(calicotest.Spec{"bindMode": "NodeIP", "listenPort": 1790})}, Restart{}, 0, "changes no session and no route between nodes"},
		"a calico-node that starts BIRD": {nil, []calico.Object{off}, Restart{}, 0, "removes 3 mesh sessions"},
	} {
		t.Run(name, func(t *testing.T) {
			was := slices.Concat(base, test.with)
			before := compute(t, state.New(was...), nil)
			impact := compute(t, state.New(slices.Concat(was, test.after)...), before).Impact(before)
			if impact.Restart != test.want || impact.Reset.Mesh != test.resets {
				t.Errorf("got %+v, %d sessions reset, want %+v, %d", impact.Restart, impact.Reset.Mesh, test.want, test.resets)
			}
			if text := impact.String(); !strings.Contains(text, test.text) {
				t.Errorf("got %q, want %q", text, test.text)
			}
		})
	}
}

// TestWithoutBIRD turns BGP off and on in a cluster with all sorts of sessions. What is computed from
// the topology before must be what is computed from nothing.
func TestWithoutBIRD(t *testing.T) {
	objects := calicotest.Nodes(t, 4)
	for i := range 2 {
		objects = append(objects, calicotest.NumberedNode(t, 10+i, calicotest.RouteReflector("244.0.0.1"), calicotest.Label("rr", "")))
	}
	objects = append(objects,
		calicotest.Mesh(t, true),
		calicotest.IPPool(t, "pods", calicotest.Spec{"cidr": "10.244.0.0/16"}),
		calicotest.BGPPeer(t, "reflectors", calicotest.Spec{"nodeSelector": "all()", "peerSelector": "has(rr)"}),
		calicotest.BGPPeer(t, "router", calicotest.Spec{"peerIP": "192.0.2.1", "asNumber": 64513}),
	)
	on := state.New(objects...)
	off := on.Apply(state.Change{After: calicotest.Object(t, calico.KindInstallation, calico.Default,
		calicotest.Spec{"calicoNetwork": calicotest.Spec{"bgp": "Disabled"}})})
	with := compute(t, on, nil)
	without := compute(t, off, with)
	same := func(name string, a, b *Topology) {
		t.Helper()
		x, err := json.Marshal(a.Summary())
		if err != nil {
			t.Fatal(err)
		}
		y, err := json.Marshal(b.Summary())
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(x, y) {
			t.Errorf("%s: incrementally\n%s\nfrom nothing\n%s", name, x, y)
		}
	}
	same("off", without, compute(t, off, nil))
	same("on again", compute(t, on, without), with)

	sessions, routes := without.Summary().Sessions.IPv4, without.Summary().Routes.IPv4.WithTransit
	if sessions.Total != 0 || sessions.External != 0 || sessions.Broken != 0 || without.Summary().Mesh.Sessions != 0 {
		t.Errorf("there are sessions: %+v", sessions)
	}
	if routes.Isolated.Nodes != 6 || routes.WithoutRoute.Pairs != 15 {
		t.Errorf("isolated %d, pairs %d", routes.Isolated.Nodes, routes.WithoutRoute.Pairs)
	}
	if !without.Summary().PodTraffic.IPv4.NeedsBGP || without.Summary().ClusterRoutes.NoEncap.BIRD {
		t.Error("BIRD counts as programming routes")
	}
	was := with.Summary().Sessions.IPv4
	impact := without.Impact(with)
	if impact.Removed.Total() != was.Total+was.External || impact.Removed.External != 6 || impact.Kept != (Kinds{}) {
		t.Errorf("removed %+v, kept %+v of %+v", impact.Removed, impact.Kept, was)
	}
}

package plan

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/scenario"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/validate"
)

// zonedMesh returns a mesh of n nodes in zones a, b and c, of which the first three are the
// control plane.
func zonedMesh(t testing.TB, n int, more ...calico.Object) *state.Snapshot {
	objects := append([]calico.Object{calicotest.Mesh(t, true), calicotest.IPPool(t, "pods", calicotest.Spec{"cidr": "10.244.0.0/16"})}, more...)
	for i := range n {
		tweaks := []calicotest.Tweak{calicotest.Label(zoneLabel, string(rune('a'+i%3)))}
		if i < 3 {
			tweaks = append(tweaks, calicotest.Label(controlPlane[0], ""))
		}
		objects = append(objects, calicotest.NumberedNode(t, i, tweaks...))
	}
	return state.New(objects...)
}

func inputFor(t testing.TB, s *state.Snapshot) Input {
	return Input{Snapshot: s, Engine: newEngine(t), Now: time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC)}
}

func TestTo(t *testing.T) {
	for name, test := range map[string]struct {
		s     *state.Snapshot
		goal  Goal
		o     DesignOptions
		steps []string
		after int // sessions
	}{
		"route reflectors": {zonedMesh(t, 30), RouteReflectors, DesignOptions{}, []string{"watch", "bgppeers", "reflector-node-00000", "reflector-node-00001", "reflector-node-00002", "mesh-off"}, 84},
		"two of them": {zonedMesh(t, 30), RouteReflectors, DesignOptions{Reflectors: 2},
			[]string{"watch", "bgppeers", "reflector-node-00000", "reflector-node-00001", "mesh-off"}, 57},
		"per zone": {zonedMesh(t, 30), RouteReflectors, DesignOptions{PerZone: true}, []string{
			"watch", "bgppeers", "reflector-node-00000", "reflector-node-00003", "reflector-node-00001", "reflector-node-00004", "reflector-node-00002", "reflector-node-00005",
			"bgppeers", "mesh-off", "bgppeers",
		}, 63},
		"VXLANCrossSubnet": {zonedMesh(t, 30), VXLANCrossSubnet, DesignOptions{}, []string{"ippool-pods", "mesh-off"}, 0},
		"mesh timers":      {zonedMesh(t, 30), MeshTimers, DesignOptions{}, []string{"mesh-timers"}, 435},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := To(t.Context(), inputFor(t, test.s), test.goal, test.o)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for i, s := range p.Steps {
				got = append(got, s.Name)
				if s.Number != i+1 || len(s.Commands) == 0 || len(s.Back) == 0 || s.Wait.Text == "" || s.Effect == "" || s.Why == "" {
					t.Errorf("step %d lacks a part: %+v", i+1, s)
				}
			}
			if !slices.Equal(got, test.steps) || p.After.Sessions != test.after || p.After.Isolated != 0 {
				t.Errorf("got steps %q and %d sessions, want %q and %d", got, p.After.Sessions, test.steps, test.after)
			}
			replay(t, test.s, p)
		})
	}
}

// replay runs the scenario of a plan from its files.
func replay(t *testing.T, s *state.Snapshot, p *Plan) {
	t.Helper()
	files, err := p.Files(s, nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(p.Names(), name) {
			t.Errorf("Names does not have %s", name)
		}
	}
	scenarios, err := scenario.Load([]string{filepath.Join(dir, ScenarioFile)})
	if err != nil {
		t.Fatal(err)
	}
	library, err := newLibrary()
	if err != nil {
		t.Fatal(err)
	}
	r, err := scenario.Run(t.Context(), scenarios[0], library)
	if err != nil || !r.Passed() {
		t.Errorf("the scenario of the plan: %+v, %v", r, err)
	}
	again, err := Read(files[File])
	if err != nil {
		t.Fatal(err)
	}
	if second, err := again.Files(s, nil); err != nil || !bytes.Equal(second[File], files[File]) {
		t.Errorf("the plan differs after it was read back: %v", err)
	}
}

func TestToIsDeniedByThePoliciesOfTheCluster(t *testing.T) {
	in := inputFor(t, zonedMesh(t, 30))
	in.Engine = newEngine(t, "reachability-preserved", "route-reflectors-required")
	_, err := To(t.Context(), in, RouteReflectors, DesignOptions{Reflectors: 2})
	if err != nil {
		t.Fatal(err)
	}
	library, err := newLibrary()
	if err != nil {
		t.Fatal(err)
	}
	document, err := policy.Decode(map[string]any{
		"apiVersion": apiVersion, "kind": "BGPPolicy", "metadata": map[string]any{"name": "four"},
		"spec": map[string]any{"policy": "route-reflectors-required", "parameters": map[string]any{"minReflectors": int64(4)}, "validationActions": []any{"Deny"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	set, err := library.Compile([]policy.Document{document})
	if err != nil {
		t.Fatal(err)
	}
	in.Engine.SetPolicies(set)
	_, err = To(t.Context(), in, RouteReflectors, DesignOptions{Reflectors: 2})
	if err == nil || !strings.Contains(err.Error(), `the step "Turn the node-to-node mesh off" (BGPConfiguration default) would be denied`) || !strings.Contains(err.Error(), "[four] too few IPv4 sessions") {
		t.Errorf("got %v, want the step and the denial", err)
	}
}

func TestToRejects(t *testing.T) {
	off := zonedMesh(t, 10).Apply(state.Change{After: calicotest.IPPool(t, "pods", calicotest.Spec{"cidr": "10.244.0.0/16", "vxlanMode": "CrossSubnet"})})
	for name, test := range map[string]struct {
		s    *state.Snapshot
		goal Goal
		want string
	}{
		"per-rack without routers": {zonedMesh(t, 10), PerRack, "the cluster lacks external peers"},
		"a design that is there":   {off.Apply(state.Change{After: calicotest.Mesh(t, false)}), VXLANCrossSubnet, "has this design already"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := To(t.Context(), inputFor(t, test.s), test.goal, DesignOptions{}); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestVerify(t *testing.T) {
	s := zonedMesh(t, 6)
	in := inputFor(t, s)
	p, err := To(t.Context(), in, RouteReflectors, DesignOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for made := range len(p.Steps) + 1 {
		in.Snapshot = s
		v, err := Verify(t.Context(), in, p)
		if err != nil {
			t.Fatal(err)
		}
		if v.Made != made || len(v.Drift) > 0 || v.NextDenied != "" || (v.Next == 0) != (made == len(p.Steps)) {
			t.Errorf("after %d steps: got %+v", made, v)
		}
		if made == len(p.Steps) {
			break
		}
		for _, e := range p.Steps[made].Edits {
			c, err := e.change(s)
			if err != nil {
				t.Fatal(err)
			}
			s = s.Apply(c)
		}
	}
	// The fourth step alone is undone, and the mesh is off without it.
	id := calico.ID{Kind: calico.KindNode, Name: "node-00001"}
	in.Snapshot = s.Apply(state.Change{Before: s.Get(id), After: zonedMesh(t, 6).Get(id)})
	v, err := Verify(t.Context(), in, p)
	if err != nil {
		t.Fatal(err)
	}
	if v.Made != 3 || len(v.Drift) != 2 || v.Ready() {
		t.Errorf("got %+v, want 3 steps made and that later ones are", v)
	}
	in.Snapshot = s.Apply(state.Change{Before: s.Get(id), After: calicotest.NumberedNode(t, 1, calicotest.RouteReflector("244.0.0.9"))})
	v, err = Verify(t.Context(), in, p)
	if err != nil {
		t.Fatal(err)
	}
	if v.Steps[3].Status != Drifted || !strings.Contains(v.Drift[0], "Node node-00001 is neither as before nor as after step 4") {
		t.Errorf("got %+v, want drift of node-00001", v)
	}
}

func TestVerifyWaitsForReports(t *testing.T) {
	s := zonedMesh(t, 3)
	in := inputFor(t, s)
	p, err := To(t.Context(), in, RouteReflectors, DesignOptions{Reflectors: 2})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range p.Steps[:3] {
		for _, e := range step.Edits {
			c, err := e.change(s)
			if err != nil {
				t.Fatal(err)
			}
			s = s.Apply(c)
		}
	}
	report := func(states ...string) calico.Object {
		var peers []any
		up := 0
		for i, state := range states {
			peers = append(peers, map[string]any{"peerIP": calicotest.NodeAddress(i + 1), "type": "NodePeer", "state": state, "since": "00:00:00"})
			if state == "Established" {
				up++
			}
		}
		return calicotest.Object(t, calico.KindCalicoNodeStatus, "node-00000", calicotest.Spec{"node": "node-00000", "classes": []any{"BGP"}, "updatePeriodSeconds": int64(10)},
			calicotest.Status(map[string]any{"lastUpdated": "2026-11-29T00:00:00Z", "bgp": map[string]any{"peersV4": peers, "numberEstablishedV4": int64(up), "numberNotEstablishedV4": int64(len(peers) - up)}}))
	}
	for name, test := range map[string]struct {
		status calico.Object
		want   Waited
	}{
		"no report":   {nil, WaitUnknown},
		"one is down": {report("Established", "Active"), WaitNotOver},
		"all are up":  {report("Established", "Established"), WaitOver},
	} {
		t.Run(name, func(t *testing.T) {
			in.Snapshot = s
			if test.status != nil {
				in.Snapshot = s.Apply(state.Change{After: test.status})
			}
			v, err := Verify(t.Context(), in, p)
			if err != nil {
				t.Fatal(err)
			}
			if v.Made != 3 || v.Wait != test.want || (len(v.NextCommands) == 0) != (test.want == WaitNotOver) {
				t.Errorf("got %+v, want wait %s", v, test.want)
			}
		})
	}
}

func BenchmarkTo(b *testing.B) {
	s := zonedMesh(b, 800)
	engine := newEngine(b)
	for b.Loop() {
		in := Input{Snapshot: s, Engine: validate.NewEngine(engine.Policies()), Now: time.Now()}
		if _, err := To(b.Context(), in, RouteReflectors, DesignOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}

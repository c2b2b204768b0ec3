package plan

import (
	"fmt"
	"testing"
	"time"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// mesh returns a mesh of n nodes in zones a, b and c, of which the first three are the control
// plane.
func mesh(t testing.TB, n int, more ...calico.Object) *state.Snapshot {
	objects := append([]calico.Object{calicotest.Mesh(t, true), calicotest.IPPool(t, "pods", calicotest.Spec{"cidr": "10.244.0.0/16"})}, more...)
	for i := range n {
		tweaks := []calicotest.Tweak{calicotest.Label(zoneLabel, string(rune('a'+i%3)))}
		if i < 3 {
			tweaks = append(tweaks, calicotest.Label("node-role.kubernetes.io/control-plane", ""))
		}
		objects = append(objects, calicotest.NumberedNode(t, i, tweaks...))
	}
	return state.New(objects...)
}

func input(t testing.TB, s *state.Snapshot) Input {
	return Input{Snapshot: s, Engine: newEngine(t), Now: time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC)}
}

func TestToRouteReflectors(t *testing.T) {
	p, err := To(t.Context(), input(t, mesh(t, 800)), RouteReflectors, DesignOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range p.Steps {
		fmt.Printf("%d %s: %s\n  %v\n  %s\n  wait %s %d %v\n  back %v %s\n  warn %q\n", s.Number, s.Name, s.Title, s.Commands, s.Effect, s.Wait.Text, s.Wait.Sessions, s.Wait.Commands, s.Back, s.BackDenied, s.Warnings)
	}
	fmt.Printf("%+v\n%+v\n%+v\n%q\n%q\n", p.Before, p.After, p.Reflectors, p.Choices, p.Notes)
}

package validate

import (
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// A node that is not ready can still harm others: Calico configures its sessions.
func TestADownNodeMustNotHarmOthers(t *testing.T) {
	set := compiled(t, document("reach", "reachability-preserved", "Deny", "")+document("bird", "bird-accepts", "Deny", ""))
	mesh := []calico.Object{calicotest.Mesh(t, true)}
	for i, name := range []string{"w-0", "w-1", "w-2"} {
		mesh = append(mesh, member(t, i, name, false))
	}
	for name, c := range map[string]struct {
		before, after calico.Object
		allowed       bool
	}{
		"the address of another node":               {member(t, 8, "down", true), member(t, 1, "down", true), false},
		"its own address":                           {member(t, 8, "down", true), member(t, 9, "down", true), true},
		"it gives the address of another node back": {member(t, 1, "down", true), member(t, 9, "down", true), true},
		"it is deleted":                             {member(t, 8, "down", true), nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := state.New(append(mesh, c.before)...)
			d := NewEngine(set).Decide(t.Context(), s, Request{Change: state.Change{Before: c.before, After: c.after}})
			if d.Allowed != c.allowed {
				t.Errorf("allowed %t: %s %v", d.Allowed, d.Message(), d.Warnings())
			}
		})
	}
}

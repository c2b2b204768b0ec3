package validate

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// fails returns a policy that evaluates changes and fails on those with a condition.
func fails(t *testing.T, condition string) *policy.Set {
	t.Helper()
	return own(t, policy.JudgesChange, `violation contains {"id": "x", "size": 1 / 0, "msg": "m"} if { `+condition+` }`, "")
}

// A user who can propose a change on which a policy fails must not end its enforcement.
func TestOnlySamplesQuarantineAPolicyOfChanges(t *testing.T) {
	objects := append(nodes(t, 3, 1), calicotest.BGPPeer(t, "first", calicotest.Spec{"peerSelector": "has(rr)"}))
	create := func(name string) state.Change { return state.Change{After: peer(t, name, "all()", "has(rr)")} }
	first := state.New(objects...).Get(calico.ID{Kind: calico.KindBGPPeer, Name: "first"})
	for name, c := range map[string]struct {
		condition string
		change    state.Change
		want      bool
	}{
		"on a strange object":                      {`input.change.name == "strange"`, create("strange"), false},
		"on an object that exists":                 {`input.change.name == "first"`, state.Change{Before: first}, false},
		"for a user":                               {`input.change.user == "jane"`, create("p"), false},
		"on every change":                          {`input.change.kind`, create("p"), true},
		"on every create":                          {`input.change.operation == "CREATE"`, create("p"), true},
		"on every delete":                          {`input.change.operation == "DELETE"`, state.Change{Before: first}, true},
		"on a kind of which there is no other":     {`input.change.kind in {"BGPPeer", "Node"}`, state.Change{Before: first}, true},
		"on a kind of which there is no other one": {`input.change.kind == "IPPool"`, state.Change{After: calicotest.IPPool(t, "p", calicotest.Spec{"cidr": "10.0.0.0/16"})}, false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				e, s := NewEngine(fails(t, c.condition)), state.New(objects...)
				for range 10 {
					if d := e.Decide(t.Context(), s, Request{Change: c.change, User: "jane"}); len(d.Failures) != 1 {
						t.Fatalf("the policy does not fail: %+v", d)
					}
					time.Sleep(5 * time.Second)
				}
				err := e.Policies().Policies()[0].Quarantined()
				if (err != nil) != c.want {
					t.Errorf("quarantined: %v, want %t", err, c.want)
				}
				if d := e.Decide(t.Context(), s, Request{Change: c.change, User: "jane"}); d.Allowed != c.want {
					t.Errorf("allowed %t: %+v", d.Allowed, d.Failures)
				}
			})
		})
	}
}

// A policy that works again, because the state has changed, is enforced again.
func TestASampleEndsTheQuarantine(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := NewEngine(own(t, policy.JudgesChange, `violation contains {"id": "x", "size": 1 / (3 - input.state.nodes.total), "msg": "m"}`, ""))
		change := Request{Change: state.Change{After: peer(t, "p", "all()", "has(rr)")}}
		broken, works := state.New(nodes(t, 3, 1)...), state.New(nodes(t, 2, 1)...)
		for range 10 {
			e.Decide(t.Context(), broken, change)
			time.Sleep(5 * time.Second)
		}
		if d := e.Decide(t.Context(), broken, change); !d.Allowed || !errors.Is(d.Failures[0].Err, policy.ErrQuarantined) {
			t.Fatalf("not quarantined: %+v", d)
		}
		time.Sleep(time.Minute)
		d := e.Decide(t.Context(), works, change)
		if d.Allowed || len(d.Failures) > 0 || !strings.Contains(d.Message(), "own") {
			t.Errorf("not enforced again: %+v", d)
		}
	})
}

// bubble runs a test with a clock of its own. It ends when the goroutines have that the engine keeps for later evaluations.
func bubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Minute)
		test(t)
	})
}

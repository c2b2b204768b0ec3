package validate

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// An evaluation has a topology if anything was computed for it.
func TestADoneContextComputesNothing(t *testing.T) {
	s := state.New(nodes(t, 5, 1)...)
	change := known(s, state.Change{After: peer(t, "workers", "!has(rr)", "has(rr)")})
	for name, cause := range map[string]struct {
		end  func(context.Context) (context.Context, context.CancelFunc)
		want error
	}{
		"canceled": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			return ctx, cancel
		}, context.Canceled},
		"past its deadline": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 0)
		}, context.DeadlineExceeded},
	} {
		for _, waits := range []bool{true, false} {
			t.Run(map[bool]string{true: name + " while another request computes", false: name}[waits], func(t *testing.T) {
				e := NewEngine(compiled(t, document("deny", "mesh-node-limit", "Deny", "")+document("warn", "mesh-node-limit", "Warn", "")))
				if waits {
					e.configured.busy <- struct{}{}
				}
				ctx, cancel := cause.end(t.Context())
				defer cancel()
				if j := e.Evaluate(ctx, s); j.Topology != nil || j.input != nil || e.configured.last.Load() != nil {
					t.Errorf("an evaluation was computed: %+v", j)
				}
				d := e.Decide(ctx, s, Request{Change: change})
				if d.Allowed || d.Evaluated() || len(worseOf(d)) > 0 || len(d.Failures) != 2 || len(d.Warnings()) != 1 {
					t.Fatalf("got %+v", d)
				}
				for i, want := range []violation.Action{violation.Deny, violation.Warn} {
					if f := d.Failures[i]; f.Action != want || !errors.Is(f.Err, cause.want) {
						t.Errorf("got %s: %v, want %s: %v", f.Action, f.Err, want, cause.want)
					}
				}
				if j := e.Evaluate(ctx, s); j.Topology != nil || len(j.Violations()) > 0 || len(j.Failures()) != 2 {
					t.Errorf("got %+v", j)
				}
				if _, _, err := e.Input(ctx, s, Request{Change: change}); !errors.Is(err, cause.want) {
					t.Errorf("input: %v, want %v", err, cause.want)
				}
				if waits {
					<-e.configured.busy
				}
				if d := e.Decide(t.Context(), s, Request{Change: change}); len(d.Failures) > 0 {
					t.Errorf("the next request fails: %+v", d.Failures)
				}
			})
		}
	}
}

// The state before the change is cached, so that only the state after it must be computed.
func TestTheDeadlineEndsTheStateAfterToo(t *testing.T) {
	s := state.New(nodes(t, 5, 1)...)
	e := NewEngine(defaults(t, aboutSessions...))
	if err := e.Warm(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d := e.Decide(ctx, s, Request{Change: known(s, state.Change{After: peer(t, "workers", "!has(rr)", "has(rr)")})})
	if d.Allowed || d.Evaluated() || len(worseOf(d)) > 0 {
		t.Errorf("got %+v", d)
	}
	if !slices.ContainsFunc(d.Failures, func(f Failure) bool { return f.Action == violation.Deny && errors.Is(f.Err, context.Canceled) }) {
		t.Errorf("no policy that denies failed: %+v", d.Failures)
	}
	if e.configured.last.Load().Topology == nil || e.configured.last.Load().Snapshot.Get(calico.ID{Kind: calico.KindBGPPeer, Name: "workers"}) != nil {
		t.Error("the evaluation of the state before is lost")
	}
}

func TestATopologyThatIsLateIsNoErrorOfThePolicy(t *testing.T) {
	s := state.New(nodes(t, 5, 1)...)
	p := own(t, "state", `violation contains {"id": "x", "size": 1, "msg": "m"}`, "").Policies()[0]
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	e := NewEngine(defaults(t, aboutSessions...))
	if _, err := e.Try(ctx, s, p, p.Evaluate); !errors.Is(err, ErrNoTopology) || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := e.Warm(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Try(ctx, s, p, p.Evaluate); errors.Is(err, ErrNoTopology) || !errors.Is(err, context.Canceled) {
		t.Errorf("a policy that is late: %v", err)
	}
}

// A topology that takes longer than the time limit of a request must be computed once.
func TestWarmBoundsThePoliciesAndNotTheTopology(t *testing.T) {
	s := state.New(nodes(t, 5, 1)...)
	e := NewEngine(defaults(t, aboutSessions...))
	e.warmTime = time.Nanosecond
	if err := e.Warm(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	warm := e.configured.last.Load()
	if warm == nil || warm.Topology == nil || len(warm.Failures()) != len(aboutSessions) || !errors.Is(warm.Failures()[0].Err, context.DeadlineExceeded) {
		t.Fatalf("got %+v", warm)
	}
	if v := e.Evaluate(t.Context(), s); v.Topology != warm.Topology || len(v.Failures()) > 0 {
		t.Errorf("the topology is computed again, or policies still fail: %+v", v.Failures())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	e = NewEngine(defaults(t, aboutSessions...))
	if err := e.Warm(ctx, s); err != nil || e.configured.last.Load() != nil {
		t.Errorf("at the end of the process: %v, %+v", err, e.configured.last.Load())
	}
}

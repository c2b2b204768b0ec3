package validate

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/types"
	"golang.org/x/sync/semaphore"

	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// slowly is the rule of a policy whose evaluation ends with its context. The tests run in bubbles of synctest, so that it
// takes no time.
const slowly = `violation contains {"id": "x", "size": test.wait(), "msg": "m"}`

var registerWait = sync.OnceFunc(func() {
	const name = "test.wait"
	ast.RegisterBuiltin(&ast.Builtin{Name: name, Decl: types.NewFunction(nil, types.N)})
	topdown.RegisterBuiltinFunc(name, func(c topdown.BuiltinContext, _ []*ast.Term, _ func(*ast.Term) error) error {
		<-c.Context.Done()
		return c.Context.Err()
	})
})

// slowAnd returns the policy "own", which is slow, and "zz-fine" after it.
func slowAnd(t *testing.T) *policy.Set {
	t.Helper()
	registerWait()
	return policy.NewSet(slices.Concat(own(t, policy.JudgesState, slowly, "").Policies(), compiled(t, document("zz-fine", "mesh-node-limit", "Deny", "")).Policies()))
}

// inBubble calls f with an engine with a number of turns, a state, and a change of it.
func inBubble(t *testing.T, policies *policy.Set, turns int64, f func(t *testing.T, e *Engine, s *state.Snapshot, r Request)) {
	t.Helper()
	s := state.New(nodes(t, 5, 1)...)
	r := Request{Change: known(s, state.Change{After: peer(t, "workers", "!has(rr)", "has(rr)")})}
	bubble(t, func(t *testing.T) {
		e := NewEngine(policies)
		e.turns = semaphore.NewWeighted(turns)
		f(t, e, s, r)
		if !e.turns.TryAcquire(turns) {
			t.Error("a turn is not given back")
		}
	})
}

// A request that gets no turn before its deadline is one that could not be evaluated.
func TestARequestWithoutATurnIsNotEvaluated(t *testing.T) {
	policies := compiled(t, document("deny", "mesh-node-limit", "Deny", "")+document("warn", "mesh-node-limit", "Warn", ""))
	inBubble(t, policies, 1, func(t *testing.T, e *Engine, s *state.Snapshot, r Request) {
		end, err := e.turn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		d := e.Decide(ctx, s, r)
		if d.Allowed || d.Evaluated() || !d.Alters || len(d.Failures) != 2 || len(d.Verdicts) > 0 {
			t.Fatalf("got %+v", d)
		}
		const want = "waiting for the evaluation of earlier requests: context deadline exceeded"
		if f := d.Failures[0]; f.Action != violation.Deny || !errors.Is(f.Err, context.DeadlineExceeded) || f.Err.Error() != want {
			t.Errorf("got %s: %v, want %s", f.Action, f.Err, want)
		}
		if e.configured.last.Load() != nil {
			t.Error("it was evaluated")
		}
		if _, err := e.Try(ctx, s, policies.Policies()[0], policies.Policies()[0].Evaluate); !errors.Is(err, ErrNoTopology) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a policy that is tried: %v", err)
		}
		end()
		if d := e.Decide(t.Context(), s, r); !d.Allowed || len(d.Failures) > 0 {
			t.Errorf("the next request: %+v", d.Failures)
		}
	})
}

func TestRequestsTakeTurnsInOrderOfArrival(t *testing.T) {
	inBubble(t, defaults(t, "mesh-node-limit"), 1, func(t *testing.T, e *Engine, _ *state.Snapshot, _ Request) {
		end, err := e.turn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var order []int // Only the one whose turn it is writes it.
		var wg sync.WaitGroup
		for i := range 5 {
			wg.Go(func() {
				end, err := e.turn(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				order = append(order, i)
				end()
			})
			synctest.Wait() // It waits in the queue.
		}
		end()
		wg.Wait()
		if want := []int{0, 1, 2, 3, 4}; !slices.Equal(order, want) {
			t.Errorf("got %v, want %v", order, want)
		}
	})
}

// failed returns the names of the policies that could not be evaluated.
func failed(d *Decision) []string {
	var names []string
	for _, f := range d.Failures {
		names = append(names, f.Policy)
	}
	return names
}

// A policy that does not end fails alone, and a request is answered before its deadline.
func TestASlowPolicyLeavesTimeForTheOthers(t *testing.T) {
	inBubble(t, slowAnd(t), 1, func(t *testing.T, e *Engine, s *state.Snapshot, r Request) {
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		start := time.Now()
		d := e.Decide(ctx, s, r)
		if got := failed(d); !slices.Equal(got, []string{"own"}) || !errors.Is(d.Failures[0].Err, context.DeadlineExceeded) || ctx.Err() != nil {
			t.Errorf("failed %q, %v", got, d.Failures)
		}
		// It has half of the time once, and is not evaluated on the state after the change.
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("took %s", took)
		}
	})
}

// While a request evaluates a slow policy, others compute neither its topology again nor wait until their own deadline.
func TestNoRequestFailsBecauseAnotherOneIsSlow(t *testing.T) {
	inBubble(t, slowAnd(t), 2, func(t *testing.T, e *Engine, s *state.Snapshot, r Request) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() { e.Decide(ctx, s, r) })
		synctest.Wait()
		started := e.configured.started.Load()
		if started == nil || len(e.configured.busy) != 1 {
			t.Fatal("the first request does not evaluate the policy")
		}
		for range 3 {
			short, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			d := e.Decide(short, s, r)
			if got := failed(d); !slices.Equal(got, []string{"own"}) || short.Err() != nil {
				t.Errorf("failed %q, %v", got, d.Failures)
			}
			cancel()
		}
		if e.configured.started.Load() != started {
			t.Error("the first request has ended, so that nothing was tested")
		}
		cancel()
		wg.Wait()
		if v := e.configured.last.Load(); v == nil || v.Topology != started.Topology || e.configured.started.Load() != nil {
			t.Errorf("got %+v", v)
		}
	})
}

// While the evaluation of another state takes long, such as Warm's of an older one, a request evaluates its own state.
func TestNoRequestWaitsForAnotherState(t *testing.T) {
	inBubble(t, slowAnd(t), 2, func(t *testing.T, e *Engine, s *state.Snapshot, r Request) {
		ctx, cancel := context.WithCancel(t.Context())
		e.warmTime = time.Hour
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := e.Warm(ctx, s); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		newer := s.Apply(state.Change{After: peer(t, "other", "!has(rr)", "has(rr)")})
		short, cancelShort := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancelShort()
		d := e.Decide(short, newer, r)
		if got := failed(d); !slices.Equal(got, []string{"own"}) || short.Err() != nil {
			t.Errorf("failed %q, %v", got, d.Failures)
		}
		cancel()
		wg.Wait()
	})
}

// Requests go first: Warm begins when a turn is free, or after a while, and then takes no turn from them.
func TestWarmGivesWayToRequests(t *testing.T) {
	inBubble(t, slowAnd(t), 2, func(t *testing.T, e *Engine, s *state.Snapshot, r Request) {
		waited := func() time.Duration {
			start := time.Now()
			e.AwaitIdle(t.Context())
			return time.Since(start)
		}
		if got := waited(); got != 0 {
			t.Errorf("without requests it waited %s", got)
		}
		var ends []func()
		for range 2 {
			end, err := e.turn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			ends = append(ends, end)
		}
		if got := waited(); got != idleTime {
			t.Errorf("while requests never end it waited %s, want %s", got, idleTime)
		}
		time.AfterFunc(idleTime/2, ends[0])
		if got := waited(); got < idleTime/2 || got >= idleTime {
			t.Errorf("until a request ends it waited %s", got)
		}
		ends[1]()

		// Warm evaluates the slow policy for seconds.
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := e.Warm(t.Context(), s); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		if !e.turns.TryAcquire(2) {
			t.Fatal("Warm holds a turn")
		}
		e.turns.Release(2)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if d := e.Decide(ctx, s, r); !slices.Equal(failed(d), []string{"own"}) || ctx.Err() != nil {
			t.Errorf("beside Warm, failed %q, %v", failed(d), d.Failures)
		}
		wg.Wait()
	})
}

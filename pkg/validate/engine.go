// Package validate evaluates policies. From a snapshot and a change it computes a decision,
// from a snapshot alone the violations. It has no side effects outside the process.
//
// A policy describes a bad state. The engine evaluates it on the states before and after a
// change, and Compare compares the violations. New, Larger and Spread violations are worse,
// and the action of the policy applies to them. All other violations are allowed, so that
// users can fix a bad state step by step.
package validate

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"golang.org/x/sync/semaphore"

	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// Engine evaluates a set of policies on states and changes. It is safe for concurrent use.
type Engine struct {
	policies   atomic.Pointer[policy.Set]
	exceptions atomic.Pointer[[]*policy.Exception]
	now        func() time.Time
	// turns has one turn for each CPU. A decision holds one, so that those that run finish in
	// time and the others wait, in order of arrival.
	turns   *semaphore.Weighted
	workers policy.Workers

	// configured holds the last evaluation by Evaluate, assumed those of the other readings, in order
	// of allReadings.
	configured slot
	assumed    [readingCount]slot
	// proposed and changes hold results of the last decisions.
	proposed recent[*proposal]
	changes  recent[*changeResult]
	// warmTime bounds the policies of Warm, idleTime the wait of AwaitIdle.
	warmTime, idleTime time.Duration
}

// slot caches the last state of one reading and its last evaluation. busy holds one element
// while an evaluation runs, so that concurrent calls do not repeat it. started is that evaluation
// without results, nil until its topology is computed.
type slot struct {
	read    atomic.Pointer[readState]
	last    atomic.Pointer[Evaluation]
	started atomic.Pointer[Evaluation]
	busy    chan struct{}
}

// Evaluation holds the results of a set of policies on one snapshot. It is immutable.
type Evaluation struct {
	Snapshot *state.Snapshot
	Policies *policy.Set
	// Topology is the topology of the snapshot. It is nil if the context ended before it
	// was computed; all policies have then failed.
	Topology *topology.Topology

	at       time.Time // input.now
	input    *stateInput
	document ast.Object // the whole input without the parameters
	data     *stateData
	affected *affectedCache
	results  []result // in order of the policies; empty for those that evaluate changes
	// unaltered holds the violations of the policies that evaluate changes, in order of the
	// policies, for a change from the snapshot that alters nothing of what the policy reads.
	unaltered []atomic.Pointer[[]violation.Violation]
}

// result holds the violations of one policy, or the error if it could not be evaluated.
type result struct {
	violations []violation.Violation
	err        error
}

// Violations returns the violations of the policies that evaluate states, sorted by policy
// and id. Violations with an assumption only serve comparisons and are not included.
func (v *Evaluation) Violations() []violation.Violation {
	var out []violation.Violation
	for i := range v.results {
		for _, one := range v.results[i].violations {
			if one.Assumption == "" {
				out = append(out, one)
			}
		}
	}
	return out
}

// Failures returns the policies that could not be evaluated, by name.
func (v *Evaluation) Failures() []Failure {
	var out []Failure
	for i, p := range v.Policies.Policies() {
		if err := v.results[i].err; err != nil {
			out = append(out, Failure{Policy: p.Name, Action: p.Action, Err: err})
		}
	}
	return out
}

// Found returns the violations and failures in the form that Compare takes.
func (v *Evaluation) Found() Found {
	f := Found{Violations: v.Violations(), Topology: v.Topology}
	for _, failure := range v.Failures() {
		f.Failed = append(f.Failed, failure.Policy)
	}
	return f
}

// NewEngine returns an engine that evaluates policies.
func NewEngine(policies *policy.Set) *Engine {
	e := &Engine{now: time.Now, turns: semaphore.NewWeighted(int64(runtime.GOMAXPROCS(0))), warmTime: warmTime, idleTime: idleTime}
	for _, r := range allReadings {
		e.slot(r).busy = make(chan struct{}, 1)
	}
	e.policies.Store(policies)
	return e
}

// Fork returns an engine for policies that begins with the last evaluation of e, so that it recomputes only what differs in other
// states. What the fork evaluates does not replace what e has cached.
func (e *Engine) Fork(policies *policy.Set) *Engine {
	out := NewEngine(policies)
	out.now = e.now
	out.configured.last.Store(e.configured.last.Load())
	return out
}

// SetClock replaces the clock of input.now. It must be called before the first evaluation.
func (e *Engine) SetClock(now func() time.Time) { e.now = now }

// SetPolicies replaces the policies. Running evaluations finish with the old ones.
func (e *Engine) SetPolicies(policies *policy.Set) { e.policies.Store(policies) }

// SetExceptions replaces the exceptions that Decide and DecideSet apply. It has none at first.
func (e *Engine) SetExceptions(exceptions []*policy.Exception) { e.exceptions.Store(&exceptions) }

// Policies returns the policies in force.
func (e *Engine) Policies() *policy.Set { return e.policies.Load() }

// turn waits for a turn, which the caller ends with end. The error is that of ctx.
func (e *Engine) turn(ctx context.Context) (end func(), err error) {
	// Acquire fails if ctx is done, also where nobody waits.
	if !e.turns.TryAcquire(1) {
		if err := e.turns.Acquire(ctx, 1); err != nil {
			return nil, fmt.Errorf("waiting for the evaluation of earlier requests: %w", err)
		}
	}
	return func() { e.turns.Release(1) }, nil
}

const (
	// warmTime is the longest time that a request waits for an answer.
	warmTime = 5 * time.Second
	// idleTime is how long Warm gives way to requests. It must end: requests alone could never
	// finish a topology that takes longer than one of them.
	idleTime = time.Second
	// idleInterval is the time between two looks at the turns.
	idleInterval = 5 * time.Millisecond
)

// AwaitIdle waits until a turn is free that no request wants, for at most a second, or until ctx
// is done. Call it before Warm, with the snapshot that is the newest afterwards. Warm holds no
// turn: requests do not wait for it.
func (e *Engine) AwaitIdle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, e.idleTime)
	defer cancel()
	look := time.NewTicker(idleInterval)
	defer look.Stop()
	for !e.turns.TryAcquire(1) {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
	}
	e.turns.Release(1)
}

// Warm evaluates s and caches the result for the next Decide. The policies get the time of
// one request; Decide evaluates those that fail again. The topology has no time limit of
// its own: a request that runs out of time discards its topology, so requests alone could
// never finish a topology that takes longer than one request. Warm returns a panic as an
// error: in a request a panic ends only the request, but here it would end the process.
func (e *Engine) Warm(ctx context.Context, s *state.Snapshot) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("evaluating the state panicked: %v", r)
		}
	}()
	base := e.evaluateOnce(ctx, asConfigured, s, nil, e.warmTime)
	for _, r := range e.readings(s) {
		if r != asConfigured && base.Topology != nil {
			e.evaluateOnce(ctx, r, e.read(r, s), base, e.warmTime)
		}
	}
	return nil
}

// Evaluate evaluates the policies in force on s. The result is cached for the pair of
// snapshot and policies; parts of the previous result are reused. Policies that evaluate
// changes are skipped. If ctx ends before the topology is computed, all policies fail.
func (e *Engine) Evaluate(ctx context.Context, s *state.Snapshot) *Evaluation {
	return e.evaluateOnce(ctx, asConfigured, s, nil, 0)
}

// evaluateOnce evaluates s, a state of a reading, unless its slot holds the evaluation. base is the evaluation of a
// similar state for the same decision, whose policies are used, or nil for the policies in force. limit bounds the
// time of the policies; with 0, only ctx does.
//
// While another call evaluates, evaluateOnce waits for it, because it would compute the same. If
// the other call takes too long for ctx, evaluateOnce evaluates s itself, so that no request fails
// because of another one. It reuses the topology of the other call if that has it, and caches
// nothing.
func (e *Engine) evaluateOnce(ctx context.Context, r reading, s *state.Snapshot, base *Evaluation, limit time.Duration) *Evaluation {
	in, policies := e.slot(r), e.policies.Load()
	if base != nil {
		policies = base.Policies
	}
	if v := in.last.Load(); v.fits(s, policies, e.now()) {
		return v
	}
	previous := func() *Evaluation {
		if old := in.last.Load(); old != nil {
			return old
		}
		return base
	}
	if !in.enter(ctx, patience(ctx)) {
		old, started := previous(), in.started.Load()
		if !started.fits(s, policies, e.now()) {
			var err error
			if started, err = e.start(ctx, s, policies, old); err != nil {
				return unevaluated(s, policies, err)
			}
		}
		v := *started
		e.fill(ctx, &v, old, base, limit)
		return &v
	}
	defer in.leave()
	old := previous()
	if old.fits(s, policies, e.now()) {
		return old
	}
	v, err := e.start(ctx, s, policies, old)
	if err != nil {
		return unevaluated(s, policies, err)
	}
	in.started.Store(v)
	out := *v
	e.fill(ctx, &out, old, base, limit)
	in.last.Store(&out)
	return &out
}

// enter waits until no other call evaluates, and reports whether the caller now does. It gives up
// when ctx is done or enough receives.
func (in *slot) enter(ctx context.Context, enough <-chan time.Time) bool {
	select {
	case in.busy <- struct{}{}:
		return true
	case <-enough:
	case <-ctx.Done():
	}
	return false
}

// leave ends what enter began.
func (in *slot) leave() {
	in.started.Store(nil)
	<-in.busy
}

// patience returns a channel that receives after half of the remaining time of ctx, nil if ctx has
// no deadline.
func patience(ctx context.Context) <-chan time.Time {
	deadline, ok := ctx.Deadline()
	if !ok {
		return nil
	}
	return time.After(time.Until(deadline) / 2)
}

// unevaluated returns an evaluation of s without a topology, in which all policies fail
// with err.
func unevaluated(s *state.Snapshot, policies *policy.Set, err error) *Evaluation {
	v := &Evaluation{Snapshot: s, Policies: policies, results: make([]result, len(policies.Policies()))}
	for i := range v.results {
		v.results[i].err = err
	}
	return v
}

// maxAge is how long a cached evaluation is used if a policy reads the time. A violation that
// only the passage of time causes is thus found in the state before the next change, and is
// not attributed to that change.
const maxAge = time.Second

// fits reports whether v is the evaluation of s by policies. An evaluation in which a
// policy failed is not reused, because the failure may be a timeout, unless it is an
// UnreadError.
func (v *Evaluation) fits(s *state.Snapshot, policies *policy.Set, now time.Time) bool {
	if v == nil || v.Snapshot != s || v.Policies != policies {
		return false
	}
	if now.Sub(v.at) >= maxAge && policies.ReadsTime() {
		return false
	}
	for i := range v.results {
		if err := v.results[i].err; err != nil && !isUnread(err) {
			return false
		}
	}
	return true
}

// evaluate evaluates all policies on s, a state that the cluster does not have. A policy that fails does not hide the violations of
// the others. before, which may be nil, is an evaluation for the same decision. Its results are
// reused if the input of the policy is the same.
func (e *Engine) evaluate(ctx context.Context, s *state.Snapshot, policies *policy.Set, before *Evaluation) *Evaluation {
	v, err := e.start(ctx, s, policies, before)
	if err != nil {
		return unevaluated(s, policies, err)
	}
	e.fillProposed(ctx, v, before)
	return v
}

// start returns the evaluation of s by policies without results; see prepare.
func (e *Engine) start(ctx context.Context, s *state.Snapshot, policies *policy.Set, before *Evaluation) (*Evaluation, error) {
	v, err := e.prepare(ctx, s, policies, policies.Reads, before, before != nil && before.Policies == policies)
	if err == nil {
		v.Policies = policies
	}
	return v, err
}

// fill sets the results of an evaluation of a state of the cluster from start, with the same before. decided, which may
// be nil, is an evaluation for the same decision: a policy that exceeded its time there fails here
// as well, and leaves the time to the others. limit bounds the time of the policies; with 0, only
// ctx does.
func (e *Engine) fill(ctx context.Context, v, before, decided *Evaluation, limit time.Duration) {
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	for _, p := range e.reuse(v, before, decided) {
		v.run(ctx, p, (*policy.Policy).Evaluate)
	}
}

// fillProposed is fill for a state that a change leads to. It evaluates policies side by side as far as CPUs are idle. The
// caller holds a turn.
func (e *Engine) fillProposed(ctx context.Context, v, before *Evaluation) {
	policies := e.reuse(v, before, before)
	var next atomic.Int64
	work := func(ctx context.Context) {
		for k := next.Add(1) - 1; k < int64(len(policies)); k = next.Add(1) - 1 {
			v.run(ctx, policies[k], (*policy.Policy).EvaluateProposed)
		}
	}
	var others sync.WaitGroup
	for range len(policies) - 1 {
		if !e.turns.TryAcquire(1) {
			break
		}
		others.Go(func() {
			defer e.turns.Release(1)
			ctx, end := e.workers.Together(ctx)
			defer end()
			work(ctx)
		})
	}
	work(ctx)
	others.Wait()
}

// open is the number of a policy that must be evaluated. partly evaluates it on some BGPPeers, nil if it cannot; see similar.partly.
type open struct {
	number int
	partly func(context.Context, method) ([]violation.Violation, error)
}

// reuse sets the results of v that are known without an evaluation, and returns the other policies; see fill.
// It reuses results of before, or else of the last states that changes led to, of policies that read equal values of both.
func (e *Engine) reuse(v, before, decided *Evaluation) (others []open) {
	known := v.similar(before, e.proposed.all())
	policies := v.Policies.Policies()
	v.results = make([]result, len(policies))
	v.unaltered = make([]atomic.Pointer[[]violation.Violation], len(policies))
	for i, p := range policies {
		if p.Definition.Judges == policy.JudgesChange {
			continue
		}
		if err := unreadBy(p, v.Snapshot); err != nil {
			v.results[i].err = err
			continue
		}
		if r, ok := known.result(v, i); ok {
			v.results[i] = r
			continue
		}
		if decided != nil && decided.Policies == v.Policies && errors.Is(decided.results[i].err, context.DeadlineExceeded) {
			v.results[i].err = decided.results[i].err
			continue
		}
		others = append(others, open{i, known.partly(v, i)})
	}
	return others
}

// run evaluates a policy.
func (v *Evaluation) run(ctx context.Context, p open, evaluate method) {
	r := &v.results[p.number]
	if p.partly != nil {
		r.violations, r.err = p.partly(ctx, evaluate)
		return
	}
	r.violations, r.err = run(ctx, v.Policies.Policies()[p.number], evaluate, v.document, v.data)
}

// prepare returns the evaluation of s without results: its topology and the input of
// policies. It computes the readings of external peers that policies need, and converts only
// the parts that reads selects. It reuses the topology and the data of before, and its input
// if sameParts reports that reads selects the same parts. The only error is that of ctx.
func (e *Engine) prepare(ctx context.Context, s *state.Snapshot, policies *policy.Set, reads func(part string) bool, before *Evaluation, sameParts bool) (*Evaluation, error) {
	v := &Evaluation{Snapshot: s, affected: &affectedCache{}}
	var oldTopology *topology.Topology
	var oldInput *stateInput
	var oldData *stateData
	if before != nil {
		oldTopology, oldData = before.Topology, before.data
	}
	if sameParts {
		oldInput = before.input
	}
	var err error
	if v.Topology, err = topology.Compute(ctx, s, oldTopology, transitPeers(policies)...); err != nil {
		return nil, err
	}
	v.input = newStateInput(v.Topology, reads, oldInput)
	v.at = e.now()
	v.document = newDocument(v.input.value, v.at)
	v.data = newStateData(s, oldData)
	return v, nil
}

// transitPeers returns the external peers that policies know to pass routes on.
func transitPeers(policies *policy.Set) []*topology.TransitPeers {
	var out []*topology.TransitPeers
	for _, list := range policies.TransitPeers() {
		out = append(out, topology.NewTransitPeers(list))
	}
	return out
}

// method is policy.Policy.Evaluate or policy.Policy.EvaluateProposed.
type method func(*policy.Policy, context.Context, ast.Object, func() ast.Value) ([]violation.Violation, error)

// run evaluates one policy, which may use half of the remaining time. So a policy that does not
// end leaves time for the others, and one that is only slow has enough.
func run(ctx context.Context, p *policy.Policy, evaluate method, document ast.Object, data *stateData) ([]violation.Violation, error) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/2)
		defer cancel()
	}
	return evaluate(p, ctx, document, func() ast.Value { return data.value(p.ReadsDataPart) })
}

// ErrNoTopology is wrapped by the error of Try if ctx ends before the topology is computed.
// It does not mean that the policy is invalid.
var ErrNoTopology = errors.New("the topology was not computed in time")

// Evaluate evaluates a policy on an input without parameters. state returns data.state.
// The method of a policy is one.
type Evaluate func(ctx context.Context, input ast.Object, state func() ast.Value) ([]violation.Violation, error)

// Try returns the violations in s of a policy that is not in force, sorted by id, as evaluate
// finds them. For a policy that evaluates changes it returns none.
func (e *Engine) Try(ctx context.Context, s *state.Snapshot, p *policy.Policy, evaluate Evaluate) ([]violation.Violation, error) {
	if p.Definition.Judges == policy.JudgesChange {
		return nil, nil
	}
	v, err := e.inTurn(ctx, s, policy.NewSet([]*policy.Policy{p}))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoTopology, err)
	}
	if err := unreadBy(p, s); err != nil {
		return nil, err
	}
	return evaluate(ctx, v.document, func() ast.Value { return v.data.value(p.ReadsDataPart) })
}

// inTurn waits for a turn and returns the evaluation of s by policies without results. It keeps the
// turn only for that, so that no request waits for a policy that is tried.
func (e *Engine) inTurn(ctx context.Context, s *state.Snapshot, policies *policy.Set) (*Evaluation, error) {
	end, err := e.turn(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	return e.prepare(ctx, s, policies, policies.Reads, e.configured.last.Load(), false)
}

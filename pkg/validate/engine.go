// Package validate is the heart of bgpguard, and pure: a snapshot and a change
// give a decision, a snapshot gives violations.
//
// A policy describes a bad state. The engine evaluates it on the state before
// a change and after it and compares the violations by policy and id: what is
// new, or larger, is held against the change; what was there before is not, so
// that nobody is kept from mending; what is gone is not spoken of.
package validate

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// Engine judges changes by a set of policies. It is safe for concurrent use.
type Engine struct {
	policies atomic.Pointer[policy.Set]
	now      func() time.Time

	turn chan struct{} // holds one while base is computed anew, so that it is once
	base atomic.Pointer[judgement]
}

// judgement is what all policies say of one snapshot.
type judgement struct {
	snapshot *state.Snapshot
	policies *policy.Set
	at       time.Time // that the policies took for the time
	// topology is nil where the context ended before it was computed: every
	// policy has failed then, and what follows but the results is not set.
	topology *topology.Topology
	input    *stateInput
	document ast.Object // the whole input but for the parameters
	data     func() ast.Value
	results  []result // in order of the policies; empty for those that judge changes
}

// result is what one policy says of one snapshot: violations, or why it could
// not judge.
type result struct {
	violations []violation.Violation
	err        error
}

// NewEngine returns an engine that judges by policies.
func NewEngine(policies *policy.Set) *Engine {
	e := &Engine{now: time.Now, turn: make(chan struct{}, 1)}
	e.policies.Store(policies)
	return e
}

// SetClock has the policies take now for the time. It is for use before the
// first decision.
func (e *Engine) SetClock(now func() time.Time) { e.now = now }

// SetPolicies replaces the policies; requests under way finish with the old.
func (e *Engine) SetPolicies(policies *policy.Set) { e.policies.Store(policies) }

// Policies returns the policies in force.
func (e *Engine) Policies() *policy.Set { return e.policies.Load() }

// warmTime bounds Warm: no request waits longer for an answer.
const warmTime = 5 * time.Second

// Warm judges s itself, so that the next Decide on it need not. What a policy
// could not judge is tried again by Decide; so is what panics, which there ends
// one request and not the process.
func (e *Engine) Warm(ctx context.Context, s *state.Snapshot) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("judging the state panicked: %v", r)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, warmTime)
	defer cancel()
	e.judgeBase(ctx, s)
	return nil
}

// judgeBase returns the judgement of s, computed once for each pair of
// snapshot and policies, and from the one before as far as that reaches.
func (e *Engine) judgeBase(ctx context.Context, s *state.Snapshot) *judgement {
	policies := e.policies.Load()
	if j := e.base.Load(); j.fits(s, policies, e.now()) {
		return j
	}
	select {
	case e.turn <- struct{}{}:
		defer func() { <-e.turn }()
	case <-ctx.Done():
		return unjudged(s, policies, fmt.Errorf("waiting for the topology: %w", ctx.Err()))
	}
	old := e.base.Load()
	if old.fits(s, policies, e.now()) {
		return old
	}
	j := e.judge(ctx, s, policies, old)
	if j.topology != nil {
		e.base.Store(j)
	}
	return j
}

// unjudged is the judgement of s without a topology: all policies fail with err.
func unjudged(s *state.Snapshot, policies *policy.Set, err error) *judgement {
	j := &judgement{snapshot: s, policies: policies, results: make([]result, len(policies.Policies()))}
	for i := range j.results {
		j.results[i].err = err
	}
	return j
}

// timely is how old a judgement may be by policies that look at the time. What has
// come about by time alone is there before the next change, and not held against it.
const timely = time.Second

// fits reports whether j is the judgement asked for. One in which a policy
// failed, perhaps for want of time, is not kept.
func (j *judgement) fits(s *state.Snapshot, policies *policy.Set, now time.Time) bool {
	if j == nil || j.snapshot != s || j.policies != policies {
		return false
	}
	if now.Sub(j.at) >= timely && policies.ReadsTime() {
		return false
	}
	for _, r := range j.results {
		if r.err != nil {
			return false
		}
	}
	return true
}

// judge evaluates all policies on s, always all of them: one that fails hides
// no other's violations. What before has judged and the way from its snapshot
// to s does not touch is taken from there.
func (e *Engine) judge(ctx context.Context, s *state.Snapshot, policies *policy.Set, before *judgement) *judgement {
	reusable := before != nil && before.policies == policies
	j, err := e.look(ctx, s, policies.Reads, before, reusable)
	if err != nil {
		return unjudged(s, policies, err)
	}
	j.policies = policies
	sameNodes := before != nil && state.SameNodes(before.snapshot, s)
	j.results = make([]result, len(policies.Policies()))
	for i, p := range policies.Policies() {
		if p.Definition.Judges == policy.JudgesChange {
			continue
		}
		if reusable && before.results[i].err == nil && (sameNodes || !p.ReadsData()) && p.Unaffected(before.document, j.document) {
			j.results[i] = before.results[i]
			continue
		}
		j.results[i].violations, j.results[i].err = evaluate(ctx, p, j.document, j.data, len(j.results)-i)
	}
	return j
}

// look gives what policies see of s, of which no more than the parts that they
// read is converted. What before has seen is taken from there, its parts where
// they are the same that were asked for. The only error is that of ctx.
func (e *Engine) look(ctx context.Context, s *state.Snapshot, reads func(part string) bool, before *judgement, sameParts bool) (*judgement, error) {
	j := &judgement{snapshot: s}
	var oldTopology *topology.Topology
	var oldInput *stateInput
	if before != nil {
		oldTopology, j.data = before.topology, before.data
	}
	if sameParts {
		oldInput = before.input
	}
	var err error
	if j.topology, err = topology.Compute(ctx, s, oldTopology); err != nil {
		return nil, err
	}
	j.input = newStateInput(j.topology.Summary(), reads, oldInput)
	j.at = e.now()
	j.document = j.input.document(j.at)
	if before == nil || !state.SameNodes(before.snapshot, s) {
		j.data = newStateData(s)
	}
	return j, nil
}

// evaluate gives a policy its share of the time that is left for so many, so
// that one that does not end takes no time from the others.
func evaluate(ctx context.Context, p *policy.Policy, document ast.Object, data func() ast.Value, left int) ([]violation.Violation, error) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/time.Duration(left+1))
		defer cancel()
	}
	return p.Evaluate(ctx, document, data)
}

// Try returns what a policy that is not in force would find in s, sorted by id. A
// policy that judges changes finds nothing, as there is none.
func (e *Engine) Try(ctx context.Context, s *state.Snapshot, p *policy.Policy) ([]violation.Violation, error) {
	if p.Definition.Judges == policy.JudgesChange {
		return nil, nil
	}
	r := e.judge(ctx, s, policy.NewSet([]*policy.Policy{p}), e.base.Load()).results[0]
	return r.violations, r.err
}

// Judged is what policies say of a state as it is.
type Judged struct {
	// Policies are those that were asked.
	Policies *policy.Set
	// Topology is that of the state; nil where the context ended before it was
	// computed, and all policies failed.
	Topology *topology.Topology
	// Violations are sorted by policy and id.
	Violations []violation.Violation
	// Failures are the policies that could not judge, by name.
	Failures []Failure
}

// Judge judges s as it is. Policies that judge changes have no part in it.
func (e *Engine) Judge(ctx context.Context, s *state.Snapshot) Judged {
	j := e.judgeBase(ctx, s)
	out := Judged{Policies: j.policies, Topology: j.topology}
	for i, p := range j.policies.Policies() {
		out.Violations = append(out.Violations, j.results[i].violations...)
		if err := j.results[i].err; err != nil {
			out.Failures = append(out.Failures, Failure{p.Name, p.Action, err})
		}
	}
	return out
}

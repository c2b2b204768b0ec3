package validate

import (
	"context"
	"errors"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// evaluateChange evaluates a policy on a change that a user asks for, from document, which leads to
// after. Such a change does not show whether the policy works: users could quarantine a policy by a
// change on which it fails. If it fails or is quarantined, it is also evaluated on samples.
func (e *Engine) evaluateChange(ctx context.Context, p *policy.Policy, asked *policy.Request, document ast.Object, after *Evaluation) ([]violation.Violation, error) {
	if found, ok := e.ofChange(p, document, after.data); ok {
		return found, nil
	}
	found, err := run(ctx, p, (*policy.Policy).EvaluateProposed, document, after.data)
	if err != nil && e.trySamples(ctx, p, asked) && errors.Is(err, policy.ErrQuarantined) {
		found, err = run(ctx, p, (*policy.Policy).EvaluateProposed, document, after.data)
	}
	if err == nil {
		e.changes.add(&changeResult{p, document, after.data, found}, func(*changeResult) bool { return false })
	}
	return found, err
}

// trySamples evaluates a policy on samples until it does not fail, and reports whether there was
// one. Its failures count towards the quarantine of the policy, and a success ends the quarantine.
// A quarantined policy is evaluated only once a minute.
func (e *Engine) trySamples(ctx context.Context, p *policy.Policy, asked *policy.Request) bool {
	base := e.configured.last.Load()
	if base == nil || base.Policies != e.policies.Load() {
		return false // The input may lack parts that the policy reads.
	}
	for _, c := range samples(ctx, base.Snapshot, p, asked) {
		r := &Request{Change: c, DryRun: true}
		if _, err := run(ctx, p, (*policy.Policy).Evaluate, e.changeDocuments(base, base, r).of(p), base.data); err == nil {
			return true
		}
	}
	return false
}

// samples returns at most two changes by the operation that asked asks for, which alter nothing of
// s: of the first and the last other object of the same kind, or, if there are none, of other kinds
// about which the policy is. O(objects).
func samples(ctx context.Context, s *state.Snapshot, p *policy.Policy, asked *policy.Request) []state.Change {
	var same, others []calico.Object
	for _, c := range state.Difference(s, nil) {
		switch id := c.ID(); {
		case string(id.Kind) == asked.Kind && id.Name == asked.Name: // The user may have made it.
		case string(id.Kind) == asked.Kind:
			same = append(same, c.Before)
		case p.CanFire(ctx, string(id.Kind), asked.Operation):
			others = append(others, c.Before)
		}
	}
	if len(same) == 0 {
		same = others
	}
	var out []state.Change
	for i, o := range same {
		if i > 0 && i < len(same)-1 {
			continue
		}
		c := state.Change{Before: o, After: o}
		switch state.Operation(asked.Operation) {
		case state.Create:
			c.Before = nil
		case state.Update:
		case state.Delete:
			c.After = nil
		}
		out = append(out, c)
	}
	return out
}

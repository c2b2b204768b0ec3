package validate

import (
	"context"
	"fmt"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// Request is a change and the user who asks for it.
type Request struct {
	state.Change
	// User asks for the change, and is in Groups; "" where the user is not known.
	User   string
	Groups []string
	// DryRun reports that the change is not persisted.
	DryRun bool
	// Pending are changes that were allowed and that the snapshot does not show: each of them
	// may or may not be persisted. The change is decided for every combination of at most
	// MaxPending of them; of more, for the state after all of them.
	Pending []Pending
}

// MaxPending is the number of pending changes of which every combination is decided.
const MaxPending = 3

// Pending is a change that was allowed and that no snapshot shows yet.
type Pending struct {
	state.Change
	// User made the change.
	User string
}

// Decide evaluates the policies on a change to s. It evaluates only the policies whose
// input the change alters; the evaluation of s itself is cached between calls. A request
// without a change is allowed. If ctx ends before the topologies are computed, all policies
// fail.
func (e *Engine) Decide(ctx context.Context, s *state.Snapshot, r Request) *Decision {
	if r.Before == nil && r.After == nil {
		return &Decision{Allowed: true}
	}
	d := &Decision{Object: violation.Object{Kind: string(r.ID().Kind), Name: r.ID().Name}}
	c := e.compared(ctx, s, &r)
	d.Verdicts = c.room()
	asked := r.asked()
	for i, p := range c.after.Policies.Policies() {
		if !p.Matches(asked) {
			continue
		}
		exempt, from := p.Exempts(asked), len(d.Verdicts)
		var err error
		if d.Verdicts, err = c.verdicts(ctx, d.Verdicts, i); err != nil {
			d.Failures = append(d.Failures, Failure{Policy: p.Name, Action: p.Action, Exempt: exempt, Err: err})
		}
		for j := range d.Verdicts[from:] {
			v := &d.Verdicts[from+j]
			v.Exempt = exempt
			if by := v.Violation.SetBy; by != nil && *by == d.Object {
				v.Violation.Advisory = true
			}
		}
	}
	d.Allowed = !d.denied()
	if c.after.Topology == nil {
		return d
	}
	for v := range d.Worse() {
		if len(v.Violation.Members) > 0 {
			d.Effects = c.after.Topology.Effects(c.before.Topology, r.Change)
			break
		}
	}
	if problems := c.after.Topology.Problems(r.ID()); len(problems) > 0 {
		fields := d.fields()
		for _, p := range problems {
			if !slices.Contains(fields, p.Field) {
				d.Problems = append(d.Problems, p)
			}
		}
	}
	return d
}

// asKnown returns s with the changed object as it is in c.Before. A request holds the
// current object, while a snapshot may lag behind. So two changes of one object in quick
// succession are evaluated separately.
func asKnown(s *state.Snapshot, c state.Change) *state.Snapshot {
	return s.Apply(state.Change{Before: s.Get(c.ID()), After: c.Before})
}

// asked returns the request in the form that the match and exempt fields of a BGPPolicy
// select.
func (r *Request) asked() *policy.Request {
	return &policy.Request{
		Kind: string(r.ID().Kind), Name: r.ID().Name, Operation: string(r.Operation()),
		Labels: [2]map[string]string{calico.Labels(r.Before), calico.Labels(r.After)}, User: r.User, Groups: r.Groups,
	}
}

// comparison holds the evaluations of the states before and after a change, by the same
// policies.
type comparison struct {
	before, after *Evaluation
	// document returns the input of policies that evaluate changes.
	document func() ast.Object
}

// compared evaluates the states before and after the change of r. If the topology before
// the change cannot be computed, after is the same as before.
func (e *Engine) compared(ctx context.Context, s *state.Snapshot, r *Request) *comparison {
	c := &comparison{before: e.Evaluate(ctx, s)}
	policies := c.before.Policies
	if known := asKnown(s, r.Change); known != s && c.before.Topology != nil {
		s = known
		c.before = e.evaluate(ctx, s, policies, c.before)
	}
	c.after = c.before
	if next := s.Apply(r.Change); next != s && c.before.Topology != nil {
		c.after = e.evaluate(ctx, next, policies, c.before)
	}
	c.document = e.changeDocument(c.before, c.after, r)
	return c
}

// room returns an empty list with room for the verdicts of the policies that evaluate
// states.
func (c *comparison) room() []Verdict {
	n := 0
	for i := range c.after.results {
		n += max(len(c.before.results[i].violations), len(c.after.results[i].violations))
	}
	return make([]Verdict, 0, n)
}

// verdicts appends the verdicts of policy number i to out. An error means that the policy
// could not be evaluated on one of the states, or that the members of a violation are
// unknown.
func (c *comparison) verdicts(ctx context.Context, out []Verdict, i int) ([]Verdict, error) {
	before, after := &c.before.results[i], &c.after.results[i]
	if after.err != nil {
		return out, after.err
	}
	p := c.after.Policies.Policies()[i]
	if p.Definition.Judges == policy.JudgesChange {
		found, err := run(ctx, p, c.document(), c.after.data, len(c.after.results)-i)
		for _, v := range found {
			out = append(out, Verdict{Violation: v, Relation: New})
		}
		return out, err
	}
	out, failures := compare(out, Found{Violations: before.violations, Topology: c.before.Topology}, Found{Violations: after.violations, Topology: c.after.Topology})
	switch {
	case len(failures) > 0:
		return out, failures[0].Err
	case before.err != nil:
		return out, fmt.Errorf("on the state before the change: %w", before.err)
	default:
		return out, nil
	}
}

// denied reports whether a verdict or a failure denies the change.
func (d *Decision) denied() bool {
	return slices.ContainsFunc(d.Verdicts, func(v Verdict) bool { return v.denies() }) ||
		slices.ContainsFunc(d.Failures, func(f Failure) bool { return f.Applied() == violation.Deny })
}

// fields lists the fields of the changed object that the message or a warning names.
func (d *Decision) fields() []string {
	var out []string
	for i := range d.Verdicts {
		v := &d.Verdicts[i]
		if v.Violation.Action != violation.Audit && v.Violation.Concerns(d.Object) && v.Relation != Gone {
			out = append(out, v.Violation.Fields()...)
		}
	}
	return out
}

package validate

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// maxRecent is how many results of decisions an engine keeps. Each costs a comparison with each later state.
const maxRecent = 4

// recent holds the last maxRecent values, the newest first. It is safe for concurrent use.
type recent[T any] struct{ list atomic.Pointer[[]T] }

// all returns the values. The list must not be changed.
func (r *recent[T]) all() []T {
	if list := r.list.Load(); list != nil {
		return *list
	}
	return nil
}

// add adds a value instead of those that it replaces, or of the oldest one if there are too many.
func (r *recent[T]) add(value T, replaces func(T) bool) {
	for {
		old := r.list.Load()
		next := []T{value}
		if old != nil {
			next = append(next, slices.DeleteFunc(slices.Clone(*old), replaces)...)
		}
		next = next[:min(len(next), maxRecent)]
		if r.list.CompareAndSwap(old, &next) {
			return
		}
	}
}

// proposal is changes of a state that were decided, with the state after them.
type proposal struct {
	before  *Evaluation
	changes []state.Change
	after   *Evaluation
	// verdicts holds those of the policies that evaluate states, in order of the policies, nil where they are not known.
	verdicts []atomic.Pointer[[]Verdict]
	impact   func() *topology.Impact
}

// is reports whether a proposal is for the same changes.
func (p *proposal) is(changes []state.Change) bool {
	return slices.EqualFunc(p.changes, changes, func(a, b state.Change) bool { return a.ID() == b.ID() && calico.Equal(a.After, b.After) })
}

// propose evaluates the state after changes of s, of which before is the evaluation. It returns the same proposal if the same
// changes were just decided, for example in a dry run or in the first of two reviews. If the topology before the changes could
// not be computed, the state after them is the same as before.
func (e *Engine) propose(ctx context.Context, s *state.Snapshot, changes []state.Change, before *Evaluation) *proposal {
	changes = slices.DeleteFunc(changes, func(c state.Change) bool { return c.Before == nil && c.After == nil })
	for _, p := range e.proposed.all() {
		if p.before == before && p.is(changes) && p.after.fits(p.after.Snapshot, before.Policies, e.now()) {
			return p
		}
	}
	after, next := before, s
	for _, c := range changes {
		next = next.Apply(c)
	}
	if next != s && before.Topology != nil {
		after = e.evaluate(ctx, next, before.Policies, before)
	}
	p := newProposal(before, changes, after)
	if after != before && after.Topology != nil {
		e.proposed.add(p, func(old *proposal) bool { return old.is(changes) })
	}
	return p
}

func newProposal(before *Evaluation, changes []state.Change, after *Evaluation) *proposal {
	return &proposal{
		before, changes, after, make([]atomic.Pointer[[]Verdict], len(after.results)),
		sync.OnceValue(func() *topology.Impact { return after.Topology.Impact(before.Topology) }),
	}
}

// similar holds evaluations by the same policies, with their differences from another one.
type similar []similarEvaluation

type similarEvaluation struct {
	*Evaluation

	difference *policy.Difference
}

// similar returns before, which may be nil, and those of proposals, without those by other policies.
func (v *Evaluation) similar(before *Evaluation, proposals []*proposal) similar {
	out := make(similar, 0, 1+len(proposals))
	add := func(other *Evaluation) {
		if other != nil && other.Policies == v.Policies && other.document != nil {
			out = append(out, similarEvaluation{other, policy.NewDifference(other.document, v.document)})
		}
	}
	add(before)
	for _, p := range proposals {
		add(p.after)
	}
	return out
}

// result returns the result of policy number i for v, if it is known: from an evaluation in which all that the policy reads is
// equal, and in which it did not fail.
func (s similar) result(v *Evaluation, i int) (result, bool) {
	p := v.Policies.Policies()[i]
	for _, known := range s {
		if known.results[i].err == nil && v.data.sameFor(p, known.data) && known.difference.Unaffected(p) {
			return known.results[i], true
		}
	}
	return result{}, false
}

// changeResult is what a policy that evaluates changes found on a change.
type changeResult struct {
	policy   *policy.Policy
	document ast.Object
	data     *stateData
	found    []violation.Violation
}

// ofChange returns what a policy finds on the change of a document, if one of the last decisions evaluated it on equal values.
func (e *Engine) ofChange(p *policy.Policy, document ast.Object, data *stateData) ([]violation.Violation, bool) {
	for _, known := range e.changes.all() {
		if known.policy == p && data.sameFor(p, known.data) && policy.NewDifference(known.document, document).Unaffected(p) {
			return known.found, true
		}
	}
	return nil, false
}

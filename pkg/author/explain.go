package author

import (
	"context"
	"slices"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/validate"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// Explanation is a decision with traces of the policies behind it.
type Explanation struct {
	Request  validate.Request
	Decision *validate.Decision
	// Policies are the traced policies.
	Policies []ExplainedPolicy
	// Silent is the number of policies that are not traced because they found no violations.
	Silent int
}

// ExplainedPolicy is a policy with its traced evaluations.
type ExplainedPolicy struct {
	Policy *policy.Policy
	// Evaluations are the evaluations of the states before and after the change, or the
	// single evaluation of the change.
	Evaluations []Evaluation
}

// Evaluation is a traced evaluation of one input.
type Evaluation struct {
	// On names the input: "the state before the change".
	On         string
	Violations []violation.Violation
	// Err is the evaluation error, or nil.
	Err error
	// Rules are the evaluated rules of the policy, in the order of their first
	// evaluation.
	Rules []RuleTrace
}

// Explain decides on a change and traces the named policy. If name is "", it traces every
// policy that finds a violation before or after the change. now is the clock of policies.
func Explain(ctx context.Context, set *policy.Set, now func() time.Time, name string, s *state.Snapshot, r validate.Request) (*Explanation, error) {
	engine := validate.NewEngine(set)
	engine.SetClock(now)
	r.All = true
	out := &Explanation{Request: r, Decision: engine.Decide(ctx, s, r)}
	before, dataBefore, err := engine.Input(ctx, s, validate.Request{})
	if err != nil {
		return nil, err
	}
	after, dataAfter, err := engine.Input(ctx, s, r)
	if err != nil {
		return nil, err
	}
	for _, p := range set.Policies() {
		if name != "" && p.Name != name {
			continue
		}
		modules, err := parse(p.Definition.Modules())
		if err != nil {
			return nil, err
		}
		pkg := modules[p.Definition.File].Package.Path
		evaluate := func(on string, input ast.Object, data ast.Value) Evaluation {
			t := newTrace(modules, pkg)
			e := Evaluation{On: on}
			e.Violations, e.Err = p.Trace(ctx, input, func() ast.Value { return data }, t)
			e.Rules = t.traced()
			return e
		}
		x := ExplainedPolicy{Policy: p}
		if p.Definition.Judges == policy.JudgesChange {
			x.Evaluations = []Evaluation{evaluate("the change", after, dataAfter)}
		} else {
			x.Evaluations = []Evaluation{
				evaluate("the state before the change", before, dataBefore),
				evaluate("the state after the change", after, dataAfter),
			}
		}
		silent := !slices.ContainsFunc(x.Evaluations, func(e Evaluation) bool { return len(e.Violations) > 0 || e.Err != nil })
		if silent && name == "" {
			out.Silent++
			continue
		}
		out.Policies = append(out.Policies, x)
	}
	return out, nil
}

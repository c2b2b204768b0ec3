package policy

import (
	"context"
	"slices"
	"sync"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
)

// reach holds the kinds and operations for which a policy that evaluates changes can find
// violations.
type reach struct {
	mutex sync.Mutex
	known map[[2]string]bool // by kind and operation
}

// CanFire reports whether the policy, which must evaluate changes, can find a violation in
// any change of an object of this kind by this operation. OPA derives it from the Rego by
// partial evaluation, in which the parameters, the kind and the operation are known and
// everything else is not. The result is cached; the first call for a kind and an operation
// takes milliseconds. If the derivation fails or ctx ends, CanFire returns true.
func (p *Policy) CanFire(ctx context.Context, kind, operation string) bool {
	key := [2]string{kind, operation}
	p.reach.mutex.Lock()
	can, known := p.reach.known[key]
	p.reach.mutex.Unlock()
	if known {
		return can
	}
	if ctx.Err() != nil { // An evaluation that is begun and abandoned costs milliseconds, too.
		return true
	}
	can, err := p.canFire(ctx, kind, operation)
	if ctx.Err() != nil { // More time may give another result.
		return true
	}
	can = can || err != nil
	p.reach.mutex.Lock()
	defer p.reach.mutex.Unlock()
	p.reach.known[key] = can
	return can
}

// unknownOfChange are the parts of the input that differ between changes of one kind by one
// operation.
var unknownOfChange = []string{"input.state", "input.before", "input.now", "input.change.name", "input.change.user", "input.change.groups", "input.change.dryRun", "input.change.installation", "data.state"}

func (p *Policy) canFire(ctx context.Context, kind, operation string) (bool, error) {
	change := ast.NewObject(
		[2]*ast.Term{ast.InternedTerm("kind"), ast.StringTerm(kind)},
		[2]*ast.Term{ast.InternedTerm("operation"), ast.StringTerm(operation)},
	)
	unknown := unknownOfChange
	for side, missing := range map[string]string{"object": "DELETE", "oldObject": "CREATE"} {
		if operation == missing {
			change.Insert(ast.StringTerm(side), ast.NullTerm())
		} else {
			unknown = append(slices.Clip(unknown), "input.change."+side)
		}
	}
	input := ast.NewObject(
		[2]*ast.Term{parametersKey, p.parameters},
		[2]*ast.Term{changeKey, ast.NewTerm(change)},
	)
	one := append(p.Definition.query(), ast.NewTerm(ast.Var("violation")))
	queries, running, err := untilDone(ctx, func() (*rego.PartialQueries, error) {
		return rego.New(
			rego.ParsedQuery(ast.NewBody(ast.NewExpr(ast.NewTerm(one)))),
			rego.Compiler(p.Definition.unit.compiler),
			rego.Store(p.Definition.unit.store),
			rego.ParsedInput(input),
			rego.Unknowns(unknown),
			// Without it, rules are inlined into each other, which can take seconds.
			rego.ShallowInlining(true),
			// An evaluation may fail where the partial one fails.
			rego.StrictBuiltinErrors(true),
		).Partial(ctx)
	})
	p.abandon(running)
	if err != nil {
		return false, err
	}
	return len(queries.Queries) > 0, nil
}

// ReadsOnlyStates reports whether the violations of the policy, which must evaluate changes,
// depend only on the summaries of the states before and after a change.
func (p *Policy) ReadsOnlyStates() bool {
	r := p.Definition.reads
	return !p.ReadsData() && r.of(partChange) == nil && r.of(partNow) == nil
}

package author

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/validate"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// Explanation is how a decision came about.
type Explanation struct {
	request  validate.Request
	decision *validate.Decision
	policies []explained
	silent   int // policies that have no part in it
}

// explained is what one policy had to do with it.
type explained struct {
	policy *policy.Policy
	// evaluations are that on the state before the change and that after it, or the
	// one of the change.
	evaluations []evaluation
}

type evaluation struct {
	on    string
	found []violation.Violation
	err   error
	trace *trace
}

// Explain decides about a change and traces the policies that have a part in it:
// that of the given name, or all that find something on either side of the change.
func Explain(ctx context.Context, set *policy.Set, name string, s *state.Snapshot, r validate.Request) (*Explanation, error) {
	engine := validate.NewEngine(set)
	out := &Explanation{request: r, decision: engine.Decide(ctx, s, r)}
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
		evaluate := func(on string, input ast.Object, data ast.Value) evaluation {
			e := evaluation{on: on, trace: newTrace(modules, pkg)}
			e.found, e.err = p.Trace(ctx, input, func() ast.Value { return data }, e.trace)
			return e
		}
		x := explained{policy: p}
		if p.Definition.Judges == policy.JudgesChange {
			x.evaluations = []evaluation{evaluate("the change", after, dataAfter)}
		} else {
			x.evaluations = []evaluation{
				evaluate("the state before the change", before, dataBefore),
				evaluate("the state after the change", after, dataAfter),
			}
		}
		silent := !slices.ContainsFunc(x.evaluations, func(e evaluation) bool { return len(e.found) > 0 || e.err != nil })
		if silent && name == "" {
			out.silent++
			continue
		}
		out.policies = append(out.policies, x)
	}
	return out, nil
}

// WriteText writes the explanation: the traces, what was found, and what the engine
// made of it.
func (e *Explanation) WriteText(w io.Writer) error {
	var b strings.Builder
	for _, x := range e.policies {
		d := x.policy.Definition
		fmt.Fprintf(&b, "%s: %s (%s)\n", x.policy.Name, d.Title, d.File)
		known := map[string]string{}
		for _, ev := range x.evaluations {
			fmt.Fprintf(&b, "\n  On %s: %s\n", ev.on, ev.result())
			rules := ev.trace.text()
			if len(rules) == 0 {
				b.WriteString("    no rule was evaluated: a look at their first expressions tells that none can hold\n")
			}
			for _, lines := range rules {
				text := strings.Join(lines, "\n    ")
				if known[lines[0]] == text {
					text = lines[0] + ", as before"
				}
				known[lines[0]] = text
				fmt.Fprintf(&b, "    %s\n", text)
			}
		}
		b.WriteString("\n  Why:\n")
		for _, line := range e.reasons(&x) {
			fmt.Fprintf(&b, "    %s\n", line)
		}
		b.WriteString("\n")
	}
	if e.silent > 0 {
		one, many := "policy", "policies"
		if len(e.policies) > 0 {
			one, many = "other policy", "other policies"
		}
		fmt.Fprintf(&b, "%s found nothing, neither before the change nor after it.\n", text.Count(e.silent, one, many))
	}
	word := "allowed"
	if !e.decision.Allowed {
		word = "denied"
	}
	fmt.Fprintf(&b, "%s %s: %s\n", strings.ToLower(string(e.request.Operation())), text.Clean(e.request.ID().String()), word)
	_, err := io.WriteString(w, b.String())
	return err
}

func (ev *evaluation) result() string {
	if ev.err != nil {
		return "policy error: " + text.Clean(ev.err.Error())
	}
	return text.Count(len(ev.found), "violation")
}

// reasons returns, for each violation, how the engine judged it.
func (e *Explanation) reasons(x *explained) []string {
	var out []string
	for _, ev := range x.evaluations {
		if ev.err != nil {
			out = append(out, fmt.Sprintf("policy error on %s: %s", ev.on, e.failed(x.policy)))
		}
	}
	describe := func(v *violation.Violation, format string, args ...any) {
		out = append(out, fmt.Sprintf("%q, size %s, %s", v.ID, size(v.Size), fmt.Sprintf(format, args...)), "  "+text.Clean(v.Message))
	}
	judged := false
	for i := range e.decision.Verdicts {
		v := &e.decision.Verdicts[i]
		if v.Violation.Policy != x.policy.Name {
			continue
		}
		judged = true
		switch v.Relation {
		case validate.New:
			reason := "is new: " + consequence(v.Applied(), v.Exempt)
			if x.policy.Definition.Judges == policy.JudgesChange {
				reason = consequence(v.Applied(), v.Exempt)
			}
			describe(&v.Violation, "%s", reason)
		case validate.Larger:
			describe(&v.Violation, "grew from size %s: %s", size(v.Before.Size), consequence(v.Applied(), v.Exempt))
		case validate.Spread:
			describe(&v.Violation, "reaches %s that it did not reach before: %s", text.SomeOf(v.Sample, v.Gained), consequence(v.Applied(), v.Exempt))
		case validate.Standing, validate.Smaller:
			describe(&v.Violation, "was there before with size %s, and is not worse: the change is not blamed for it", size(v.Before.Size))
		case validate.Gone:
			out = append(out, fmt.Sprintf("%q is gone: the change resolves it", v.Violation.ID), "  "+text.Clean(v.Violation.Message))
		}
	}
	if !judged && e.failure(x.policy) == nil {
		for _, v := range x.evaluations[len(x.evaluations)-1].found {
			describe(&v, "the BGPPolicy's match does not select this change, which is not blamed for it")
		}
	}
	if len(out) == 0 {
		out = append(out, "it found nothing, so the change is not blamed for anything")
	}
	return out
}

// failure returns the evaluation error of a policy, nil where there is none.
func (e *Explanation) failure(p *policy.Policy) *validate.Failure {
	for i := range e.decision.Failures {
		if f := &e.decision.Failures[i]; f.Policy == p.Name {
			return f
		}
	}
	return nil
}

// failed returns what follows from a policy that could not be evaluated.
func (e *Explanation) failed(p *policy.Policy) string {
	if f := e.failure(p); f != nil {
		return consequence(f.Applied(), f.Exempt)
	}
	return "the BGPPolicy's match does not select this change"
}

// consequence describes what follows from an action.
func consequence(action violation.Action, exempt bool) string {
	switch {
	case exempt:
		return "the user is exempt, so it is not enforced, and is recorded"
	case action == violation.Deny:
		return "the change is denied"
	case action == violation.Warn:
		return "the user is warned"
	default:
		return "it is recorded"
	}
}

func size(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

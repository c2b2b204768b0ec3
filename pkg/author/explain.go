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
		return "it could not judge: " + text.Clean(ev.err.Error())
	}
	return text.Count(len(ev.found), "violation")
}

// reasons says of each violation what the engine made of it.
func (e *Explanation) reasons(x *explained) []string {
	last := x.evaluations[len(x.evaluations)-1]
	before := map[string]violation.Violation{}
	if len(x.evaluations) > 1 {
		for _, v := range x.evaluations[0].found {
			before[v.ID] = v
		}
	}
	var out []string
	for _, ev := range x.evaluations {
		if ev.err != nil {
			out = append(out, fmt.Sprintf("it could not judge %s: %s", ev.on, e.failed(x.policy)))
		}
	}
	for _, v := range last.found {
		was, there := before[v.ID]
		delete(before, v.ID)
		held, effect := e.effect(x.policy, &v)
		var reason string
		switch {
		case !held && !there:
			reason = "the BGPPolicy's match passes this change over: it is not held against it"
		case !held:
			reason = fmt.Sprintf("was there before with size %s, and is not larger: it is not held against the change", size(was.Size))
		case x.policy.Definition.Judges == policy.JudgesChange:
			reason = effect
		case !there:
			reason = "is new: " + effect
		case v.Size > was.Size:
			reason = fmt.Sprintf("grew from size %s: %s", size(was.Size), effect)
		default:
			reason = "reaches nodes that it did not reach before: " + effect
		}
		out = append(out, fmt.Sprintf("%q, size %s, %s", v.ID, size(v.Size), reason), "  "+text.Clean(v.Message))
	}
	for _, v := range x.evaluations[0].found {
		if _, gone := before[v.ID]; gone {
			out = append(out, fmt.Sprintf("%q is gone: nothing is said of it", v.ID), "  "+text.Clean(v.Message))
		}
	}
	if len(out) == 0 {
		out = append(out, "it found nothing, so there is nothing to hold against the change")
	}
	return out
}

// effect reports whether a violation is held against the change, and what follows.
func (e *Explanation) effect(p *policy.Policy, v *violation.Violation) (held bool, text string) {
	for _, d := range e.decision.Violations {
		if violation.Compare(d, *v) == 0 {
			return true, consequence(p.Action, d.Action)
		}
	}
	return false, ""
}

// failed says what follows from a policy that could not judge.
func (e *Explanation) failed(p *policy.Policy) string {
	for _, f := range e.decision.Failures {
		if f.Policy == p.Name {
			return consequence(p.Action, f.Action)
		}
	}
	return "the BGPPolicy's match passes this change over"
}

// consequence says what an action does, which is another one for users who are
// exempt.
func consequence(own, action violation.Action) string {
	switch {
	case own != action:
		return "the user is exempt, so it is told and recorded"
	case action == violation.Deny:
		return "the change is denied"
	case action == violation.Warn:
		return "the user is warned"
	default:
		return "it is recorded"
	}
}

func size(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

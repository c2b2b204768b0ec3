package report

import (
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/author"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/validate"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// writePolicyExplainText writes the traces of the policies, their violations, and the
// effects of the violations.
func writePolicyExplainText(w io.Writer, e *author.Explanation) error {
	var b strings.Builder
	for i := range e.Policies {
		x := &e.Policies[i]
		d := x.Policy.Definition
		fmt.Fprintf(&b, "%s: %s (%s)\n", x.Policy.Name, d.Title, d.File)
		known := map[string]string{}
		for j := range x.Evaluations {
			ev := &x.Evaluations[j]
			fmt.Fprintf(&b, "\n  On %s: %s\n", ev.On, resultOf(ev))
			if len(ev.Rules) == 0 {
				b.WriteString("    no rule was evaluated: the rule index excluded all of them\n")
			}
			for k := range ev.Rules {
				lines := ruleLines(&ev.Rules[k])
				whole := strings.Join(lines, "\n    ")
				if known[lines[0]] == whole {
					whole = lines[0] + ", as before"
				}
				known[lines[0]] = whole
				fmt.Fprintf(&b, "    %s\n", whole)
			}
		}
		b.WriteString("\n  Why:\n")
		for _, line := range reasons(e, x) {
			fmt.Fprintf(&b, "    %s\n", line)
		}
		b.WriteString("\n")
	}
	if e.Silent > 0 {
		one, many := "policy", "policies"
		if len(e.Policies) > 0 {
			one, many = "other policy", "other policies"
		}
		fmt.Fprintf(&b, "%s found no violations, before or after the change.\n", Count(e.Silent, one, many))
	}
	word := "allowed"
	if !e.Decision.Allowed {
		word = "denied"
	}
	fmt.Fprintf(&b, "%s %s: %s\n", strings.ToLower(string(e.Request.Operation())), clean(e.Request.ID().String()), word)
	return writeString(w, b.String())
}

// ruleLines returns a line about a rule and lines about its expressions.
func ruleLines(r *author.RuleTrace) []string {
	lines := []string{fmt.Sprintf("%s (%s:%d): %s", r.Name, path.Base(r.File), r.Row, outcome(r.True, r.False, "not true"))}
	for _, s := range r.Steps {
		expression := "head of the rule, undefined if false"
		if s.Expression != "" {
			expression = firstLine(s.Expression)
		}
		indent := strings.Repeat("  ", s.Depth)
		lines = append(lines, fmt.Sprintf("  %4d  %s%s: %s", s.Row, indent, expression, outcome(s.True, s.False, "false")))
		for _, values := range []struct{ prefix, text string }{{"false with ", s.FalseWith}, {"true with ", s.TrueWith}} {
			if values.text == "" {
				continue
			}
			if s.True == 0 || s.False == 0 {
				values.prefix = "with "
			}
			lines = append(lines, "          "+indent+values.prefix+values.text)
		}
	}
	return lines
}

// outcome counts results: "true", "false 3 times", "true 2 of 5 times". not is the name
// of the results that are not true.
func outcome(yes, no int, not string) string {
	switch {
	case yes == 1 && no == 0:
		return "true"
	case yes == 0 && no == 1:
		return not
	case no == 0:
		return fmt.Sprintf("true %d times", yes)
	case yes == 0:
		return fmt.Sprintf("%s %d times", not, no)
	default:
		return fmt.Sprintf("true %d of %d times", yes, yes+no)
	}
}

// firstLine returns the first line of an expression.
func firstLine(expression string) string {
	const limit = 100
	line, rest, more := strings.Cut(expression, "\n")
	line = strings.TrimSpace(line)
	if more && strings.TrimSpace(rest) != "" {
		line += " ..."
	}
	return text.Cut(line, limit)
}

// resultOf counts the violations of an evaluation, or returns its error.
func resultOf(ev *author.Evaluation) string {
	if ev.Err != nil {
		return "evaluation error: " + clean(ev.Err.Error())
	}
	return Count(len(ev.Violations), "violation")
}

// reasons returns the effect of each violation and its reason.
func reasons(e *author.Explanation, x *author.ExplainedPolicy) []string {
	var out []string
	for _, ev := range x.Evaluations {
		if ev.Err != nil {
			out = append(out, fmt.Sprintf("evaluation error on %s: %s", ev.On, failedEffect(e, x.Policy)))
		}
	}
	describe := func(v *violation.Violation, format string, args ...any) {
		out = append(out, fmt.Sprintf("%q, size %s, %s", v.ID, size(v.Size), fmt.Sprintf(format, args...)), "  "+clean(v.Message))
	}
	judged := false
	for i := range e.Decision.Verdicts {
		v := &e.Decision.Verdicts[i]
		if v.Violation.Policy != x.Policy.Name {
			continue
		}
		judged = true
		switch v.Relation {
		case validate.Joined:
			describe(&v.Violation, "reaches only nodes that had no address before, which lose nothing: it does not count against the change")
		case validate.New:
			reason := "is new: " + consequence(v.Applied(), v.Exempt)
			if x.Policy.Definition.Judges == policy.JudgesChange {
				reason = consequence(v.Applied(), v.Exempt)
			}
			describe(&v.Violation, "%s", reason)
		case validate.Larger:
			describe(&v.Violation, "grew from size %s: %s", size(v.Before.Size), consequence(v.Applied(), v.Exempt))
		case validate.Spread:
			describe(&v.Violation, "reaches %s that it did not reach before: %s", text.SomeOf(v.Sample, v.Gained), consequence(v.Applied(), v.Exempt))
		case validate.Standing, validate.Smaller:
			describe(&v.Violation, "was there before with size %s, and is not worse: it does not count against the change", size(v.Before.Size))
		case validate.Gone:
			out = append(out, fmt.Sprintf("%q is resolved by the change", v.Violation.ID), "  "+clean(v.Violation.Message))
		}
		if v.Assumption != "" {
			out = append(out, "  this assumes that "+clean(v.Assumption))
		}
		if v.Waived != "" {
			out = append(out, "  it warns only: "+clean(v.Waived))
		}
	}
	if !judged && policyFailure(e, x.Policy) == nil {
		for _, v := range x.Evaluations[len(x.Evaluations)-1].Violations {
			describe(&v, "the match of the BGPPolicy does not select this change, so it does not count")
		}
	}
	if len(out) == 0 {
		out = append(out, "the policy found no violations")
	}
	return out
}

// policyFailure returns the evaluation error of a policy, nil if there is none.
func policyFailure(e *author.Explanation, p *policy.Policy) *validate.Failure {
	for i := range e.Decision.Failures {
		if f := &e.Decision.Failures[i]; f.Policy == p.Name {
			return f
		}
	}
	return nil
}

// failedEffect returns the effect of an evaluation error of the policy.
func failedEffect(e *author.Explanation, p *policy.Policy) string {
	if f := policyFailure(e, p); f != nil {
		return consequence(f.Applied(), f.Exempt)
	}
	return "the match of the BGPPolicy does not select this change"
}

// consequence describes what follows from an action.
func consequence(action violation.Action, exempt bool) string {
	switch {
	case exempt:
		return "the user is exempt, so it is recorded but not enforced"
	case action == violation.Deny:
		return "the change is denied"
	case action == violation.Warn:
		return "the user is warned"
	default:
		return "it is recorded"
	}
}

package validate

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/topology"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// Request is a change, and who asks for it.
type Request struct {
	state.Change
	// User asks for the change, and is in Groups; "" where nobody is known.
	User   string
	Groups []string
	// DryRun tells that the change is not going to be made.
	DryRun bool
}

// Decision is what a change gets.
type Decision struct {
	// Allowed is false where a policy whose action is Deny found a new or
	// larger violation, or could not judge; see Judged.
	Allowed bool
	// Warnings are for the user: violations of policies whose action is Warn,
	// violations that were there before and are about the changed object, and
	// what Calico would ignore in it.
	Warnings []string
	// Violations are those that the change makes or makes larger, sorted by
	// policy and id, whatever their action.
	Violations []violation.Violation
	// Earlier are, of those, the ones that were there before the change, as they
	// were.
	Earlier []violation.Violation
	// Standing are the violations that are about the changed object and that the
	// change makes no larger.
	Standing []violation.Violation
	// Problems are what Calico would ignore or refuse in the changed object, but
	// for fields of which a violation says it.
	Problems []calico.Problem
	// Effects says how the change reaches sessions, where violations are about
	// the nodes that it harms; see topology.Topology.Effects.
	Effects []string
	// Failures are the policies that could not judge, by name.
	Failures []Failure
	// Exempted names the policies that would have denied the change, had the
	// user not been exempt from them.
	Exempted []string

	// told are the fields of the changed object of which a violation tells the user.
	told []string
}

// Failure is a policy that could not judge. It is an error, not a denial.
type Failure struct {
	Policy string
	Action violation.Action
	Err    error
}

// What ends the warning of a violation that was there before the change, and of
// one that does not hold its user back.
const (
	SoBefore    = " (this was so before)"
	NotEnforced = " (not enforced: you are exempt from this policy)"
)

// Decide judges a change to s. It evaluates only what the change can have
// touched; the judgement of s itself is kept between calls. A request without a
// change is allowed.
func (e *Engine) Decide(ctx context.Context, s *state.Snapshot, r Request) *Decision {
	d := &Decision{Allowed: true}
	c := r.Change
	if c.Before == nil && c.After == nil {
		return d
	}
	base := e.judgeBase(ctx, s)
	if k := asKnown(s, c); k != s && base.topology != nil {
		s = k
		base = e.judge(ctx, s, base.policies, base)
	}
	after := base
	if next := s.Apply(c); next != s && base.topology != nil {
		after = e.judge(ctx, next, base.policies, base)
	}
	asked := r.asked()
	if after.topology == nil {
		d.failAll(after, asked)
		return d
	}
	document := e.changeDocument(base, after, &r)
	for i, p := range base.policies.Policies() {
		if !p.Matches(asked) {
			continue
		}
		exempt := p.Exempts(asked)
		var err error
		switch p.Definition.Judges {
		case policy.JudgesChange:
			err = d.judgeChange(ctx, p, document, after, c, exempt, len(base.results)-i)
		default:
			if err = after.results[i].err; err == nil {
				err = d.compare(base, after, c, i, exempt)
			}
			err = firstOf(err, base.results[i].err)
		}
		if err != nil {
			d.fail(Failure{p.Name, p.Action, err}, exempt)
		}
	}
	if d.Allowed && len(d.Warnings) > 0 && len(d.Effects) > 0 {
		d.Warnings = append(d.Warnings, d.Effect())
	}
	for _, p := range after.topology.Problems(c.ID()) {
		if !slices.Contains(d.told, p.Field) {
			d.Problems = append(d.Problems, p)
			d.Warnings = append(d.Warnings, changedBy(c).String()+": "+p.String())
		}
	}
	return d
}

// asKnown is s with the object of a change as the change knows it before. A request
// knows better than a snapshot, which may lag behind: two changes of an object in
// a row are each judged on their own.
func asKnown(s *state.Snapshot, c state.Change) *state.Snapshot {
	return s.Apply(state.Change{Before: s.Get(c.ID()), After: c.Before})
}

// asked is what a BGPPolicy's match and exempt look at.
func (r *Request) asked() *policy.Request {
	return &policy.Request{
		Kind: string(r.ID().Kind), Name: r.ID().Name, Operation: string(r.Operation()),
		Labels: [2]map[string]string{calico.Labels(r.Before), calico.Labels(r.After)}, User: r.User, Groups: r.Groups,
	}
}

// judgeChange evaluates a policy that judges changes; each of its violations
// counts.
func (d *Decision) judgeChange(ctx context.Context, p *policy.Policy, document func() ast.Object, after *judgement, c state.Change, exempt bool, left int) error {
	found, err := evaluate(ctx, p, document(), after.data, left)
	if err != nil {
		return err
	}
	for _, v := range found {
		d.tell(&v, c)
		d.add(v, exempt)
	}
	return nil
}

// changedBy is the object of a change.
func changedBy(c state.Change) violation.Object {
	return violation.Object{Kind: string(c.ID().Kind), Name: c.ID().Name}
}

// compare takes what the policy of number i says of the states before and after
// the change into the decision. An error means that it gave sets of nodes that
// are none.
func (d *Decision) compare(before, after *judgement, c state.Change, i int, exempt bool) error {
	was, is := before.results[i], after.results[i]
	earlier := map[string]violation.Violation{}
	for _, v := range was.violations {
		earlier[v.ID] = v
	}
	for _, v := range is.violations {
		old, there := earlier[v.ID]
		gained := ""
		if there {
			var err error
			if gained, err = gain(after.topology, before.topology, &v); err != nil {
				return err
			}
		}
		switch {
		// Where the state before could not be judged, nothing is known to
		// have been there: the change gets the blame rather than a pass.
		case was.err != nil || !there || v.Size > old.Size || gained != "":
			if gained != "" {
				v.Message += "; new among them: " + gained
			}
			if len(v.Members) > 0 && d.Effects == nil {
				d.Effects = after.topology.Effects(before.topology, c)
			}
			if there {
				d.Earlier = append(d.Earlier, old)
			}
			d.tell(&v, c)
			d.add(v, exempt)
		case v.Concerns(changedBy(c)):
			d.Standing = append(d.Standing, v)
			d.Warnings = append(d.Warnings, line(v)+SoBefore)
			d.tell(&v, c)
		}
	}
	return nil
}

// tell records the fields of the changed object of which v tells the user.
func (d *Decision) tell(v *violation.Violation, c state.Change) {
	if v.Action != violation.Audit && v.Concerns(changedBy(c)) {
		d.told = append(d.told, v.Fields()...)
	}
}

// gain names the nodes, or pairs of nodes, that are in the sets of v now and
// were not before the change: a violation that no longer harms one node and
// newly harms another is not the same, whatever its size. "" where there is
// none. The sets are nested, so the first that gained says it.
func gain(after, before *topology.Topology, v *violation.Violation) (string, error) {
	for _, members := range v.Members {
		n, sample, err := after.Gained(before, members)
		if err != nil {
			return "", fmt.Errorf("violation %q: %w", v.ID, err)
		}
		if n > 0 {
			return text.SomeOf(sample, n), nil
		}
	}
	return "", nil
}

// firstOf is the error on the state after a change, else that on the state
// before it, which it says.
func firstOf(after, before error) error {
	if after != nil {
		return after
	}
	if before != nil {
		return fmt.Errorf("on the state before the change: %w", before)
	}
	return nil
}

// add takes in a violation. What an exempt user's change brings about is told
// and recorded, and holds nothing back.
func (d *Decision) add(v violation.Violation, exempt bool) {
	if exempt {
		d.exempt(v.Policy, v.Action, line(v))
		v.Action = violation.Audit
	}
	d.Violations = append(d.Violations, v)
	switch v.Action {
	case violation.Deny:
		d.Allowed = false
	case violation.Warn:
		d.Warnings = append(d.Warnings, line(v))
	case violation.Audit:
	}
}

// fail records a policy that could not judge. Where its action is Deny the
// change is held back: a policy that fails must not be a way around it. Else
// the user is told, as by a violation.
func (d *Decision) fail(f Failure, exempt bool) {
	if exempt {
		d.exempt(f.Policy, f.Action, f.line())
		f.Action = violation.Audit
	}
	d.Failures = append(d.Failures, f)
	switch f.Action {
	case violation.Deny:
		d.Allowed = false
	case violation.Warn:
		d.Warnings = append(d.Warnings, f.line())
	case violation.Audit:
	}
}

// failAll records that no policy could judge.
func (d *Decision) failAll(j *judgement, asked *policy.Request) {
	for i, p := range j.policies.Policies() {
		if p.Matches(asked) {
			d.fail(Failure{p.Name, p.Action, j.results[i].err}, p.Exempts(asked))
		}
	}
}

// exempt tells what the action would have been.
func (d *Decision) exempt(name string, action violation.Action, text string) {
	if action == violation.Audit {
		return
	}
	d.Warnings = append(d.Warnings, text+NotEnforced)
	if action == violation.Deny && !slices.Contains(d.Exempted, name) {
		d.Exempted = append(d.Exempted, name)
	}
}

// Judged reports whether the decision rests on a judgement: false where a
// policy whose action is Deny could not judge and no other one denies.
func (d *Decision) Judged() bool {
	for _, v := range d.Violations {
		if v.Action == violation.Deny {
			return true
		}
	}
	return d.Allowed
}

// maxLines bounds the lines of a message: a terminal's screen.
const maxLines = 20

// Message says why the change is not allowed: a line for each violation that
// denies it and each policy that could not judge; "" where it is allowed.
func (d *Decision) Message() string {
	var lines []string
	for _, v := range d.Violations {
		if v.Action == violation.Deny {
			lines = append(lines, line(v))
		}
	}
	for _, f := range d.Failures {
		if f.Action == violation.Deny {
			lines = append(lines, f.line())
		}
	}
	if more := len(lines) - maxLines; more > 0 {
		lines = append(lines[:maxLines], fmt.Sprintf("and %d more", more))
	}
	if len(lines) > 0 && len(d.Effects) > 0 {
		lines = append(lines, d.Effect())
	}
	return strings.Join(lines, "\n")
}

// maxEffects bounds the effects in a message.
const maxEffects = 4

// Effect is the line that says what the change does, "" where Effects are none.
func (d *Decision) Effect() string {
	if len(d.Effects) == 0 {
		return ""
	}
	text := "what the change does: " + strings.Join(d.Effects[:min(len(d.Effects), maxEffects)], "; ")
	if more := len(d.Effects) - maxEffects; more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return text
}

func line(v violation.Violation) string { return "[" + v.Policy + "] " + v.Text() }

// Text says what the failure means.
func (f *Failure) Text() string {
	return fmt.Sprintf("could not be evaluated, which is an error of the policy and no verdict: %v", f.Err)
}

func (f *Failure) line() string { return "[" + f.Policy + "] " + f.Text() }

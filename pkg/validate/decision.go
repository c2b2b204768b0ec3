package validate

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/topology"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// Decision is the result of Decide for a change. Its methods render all text about it that
// users see.
type Decision struct {
	// Allowed is false if a policy whose action is Deny found a worse violation or could
	// not be evaluated; see Evaluated.
	Allowed bool
	// NotEnforced is the reason why the change is allowed although policies deny it; see
	// Request.NotEnforced. It is "" if there is none.
	NotEnforced string
	// Objects are the changed objects: one, or several of DecideSet.
	Objects []violation.Object
	// Alters reports that the change alters the topology under one of the assumptions, or that
	// this is not known.
	Alters bool
	// Verdicts are those of the policies that match the change, sorted by policy and id, without
	// those on violations that stand and are not about the changed object; see Request.All.
	// Each violation of a policy that evaluates changes is New.
	Verdicts []Verdict
	// Failures are the policies that could not be evaluated, by name.
	Failures []Failure
	// Problems are what Calico ignores or rejects in the changed object, without the
	// fields that a violation is about. It is empty for several objects.
	Problems []calico.Problem
	// Advice says what a change of an IPPool means for its delete, and how to take it back; ""
	// for nothing.
	Advice string
	// Written is what tigera-operator does because of a changed Installation, "" for nothing.
	// It is part of the change that was evaluated.
	Written string
	// Impact is what the change does to sessions and routes. It is nil if the change alters
	// neither, if the topology is not known, and for an allowed change that a component of
	// the cluster makes of a Node.
	Impact *topology.Impact
}

// Failure is a policy that could not be evaluated. It is an error, not a violation.
type Failure struct {
	Policy string
	// Action is that of the policy.
	Action violation.Action
	// Exempt reports that the user is exempt from the policy: the failure is not enforced.
	Exempt bool
	// Exception is the BGPException because of which the failure does not deny the change, nil for
	// none.
	Exception *policy.Exception
	Err       error
}

// Applied returns the action that bgpguard takes: the action of the policy, Audit if the user is
// exempt, and at most Warn if the policy is quarantined or the failure excepted.
func (f *Failure) Applied() violation.Action {
	if action := applied(f.Action, f.Exempt); action != violation.Deny || !f.quarantined() && f.Exception == nil {
		return action
	}
	return violation.Warn
}

func (f *Failure) quarantined() bool { return errors.Is(f.Err, policy.ErrQuarantined) }

// Text returns the message for the user.
func (f *Failure) Text() string {
	if f.quarantined() {
		return fmt.Sprintf("not enforced: %v", f.Err)
	}
	return fmt.Sprintf("evaluation error: %v", f.Err)
}

// The suffixes of the warnings about a violation that existed before the change, and about
// a violation that is not enforced.
const (
	BeforeChange = " (already so before this change)"
	NotEnforced  = " (not enforced: you are exempt from this policy)"
	NodesJoined  = " (allowed: these nodes had no address before, so they lose nothing)"
)

// Worse iterates over the verdicts on violations that the change makes worse, in order.
func (d *Decision) Worse() iter.Seq[*Verdict] {
	return func(yield func(*Verdict) bool) {
		for i := range d.Verdicts {
			if v := &d.Verdicts[i]; v.Relation.Worse() && !yield(v) {
				return
			}
		}
	}
}

// Standing iterates over the verdicts on violations that are about the changed object and
// that the change does not make worse, in order.
func (d *Decision) Standing() iter.Seq[*Verdict] {
	return func(yield func(*Verdict) bool) {
		for i := range d.Verdicts {
			if v := &d.Verdicts[i]; d.standing(v) && !yield(v) {
				return
			}
		}
	}
}

// standing does not include Joined: users are warned about it whatever the changed object is.
func (d *Decision) standing(v *Verdict) bool {
	return (v.Relation == Standing || v.Relation == Smaller) && !v.untouched && d.concerned(v)
}

// concerned reports whether v is about a changed object.
func (d *Decision) concerned(v *Verdict) bool {
	return slices.ContainsFunc(d.Objects, v.Violation.Concerns)
}

// denies reports whether v denies the change.
func (v *Verdict) denies() bool { return v.Relation.Worse() && v.Applied() == violation.Deny }

// Evaluated reports whether verdicts determine the decision. It is false if the only reason
// to deny the change is a policy that could not be evaluated.
func (d *Decision) Evaluated() bool {
	return d.Allowed || slices.ContainsFunc(d.Verdicts, func(v Verdict) bool { return v.denies() })
}

// Exempted names the policies that would have denied the change if the user were not
// exempt from them, sorted.
func (d *Decision) Exempted() []string {
	var out []string
	for v := range d.Worse() {
		if v.Exempt && v.Violation.Action == violation.Deny && !v.Violation.Advisory {
			out = append(out, v.Violation.Policy)
		}
	}
	for _, f := range d.Failures {
		if f.Exempt && f.Action == violation.Deny {
			out = append(out, f.Policy)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// maxLines bounds the lines of a message, so that it fits on a terminal's screen.
const maxLines = 20

// Message returns the reason why the change is not allowed: a line for each violation that
// denies it and each policy that could not be evaluated, then what the change does. It is "" if
// nothing denies the change. If d.NotEnforced is set, the change is allowed in spite of it.
func (d *Decision) Message() string {
	var lines []string
	for i := range d.Verdicts {
		if v := &d.Verdicts[i]; v.denies() {
			lines = append(lines, v.line())
		}
	}
	for _, f := range grouped(d.Failures) {
		if f.Applied() == violation.Deny {
			lines = append(lines, f.line())
		}
	}
	if more := len(lines) - maxLines; more > 0 {
		lines = append(lines[:maxLines], fmt.Sprintf("and %d more", more))
	}
	if len(lines) == 0 {
		return ""
	}
	if d.Advice != "" {
		lines = append(lines, d.Advice)
	}
	if line := d.Effect(); line != "" {
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// Warnings returns the warnings for the user. If a denial is not enforced, its message comes
// first. Then, in order of policies, come violations of policies whose action is Warn or from
// which the user is exempt or that an exception covers, violations that existed before and are about the changed object,
// and policies that could not be evaluated. What Calico ignores in the object follows. What
// an allowed change does is in Notice.
func (d *Decision) Warnings() []string {
	var out []string
	if d.NotEnforced != "" {
		out = append([]string{d.subject() + " is allowed anyway: " + d.NotEnforced}, strings.Split(d.Message(), "\n")...)
	}
	failures := grouped(d.Failures)
	for i := range d.Verdicts {
		v := &d.Verdicts[i]
		for len(failures) > 0 && failures[0].Policy < v.Violation.Policy {
			out = failures[0].warn(out)
			failures = failures[1:]
		}
		if suffix, ok := d.warns(v); ok {
			out = append(out, v.line()+suffix)
		}
	}
	for i := range failures {
		out = failures[i].warn(out)
	}
	for _, p := range d.Problems {
		out = append(out, d.subject()+": "+p.String())
	}
	if d.Advice != "" && d.Allowed {
		out = append(out, d.Advice)
	}
	return out
}

// subject names the changed objects, of several the first few.
func (d *Decision) subject() string {
	const most = 3
	names := make([]string, min(len(d.Objects), most))
	for i := range names {
		names[i] = d.Objects[i].String()
	}
	return text.SomeOf(names, len(d.Objects))
}

// warns reports whether the user is warned about v, and the suffix of the warning.
func (d *Decision) warns(v *Verdict) (suffix string, ok bool) {
	switch worse := v.Relation.Worse(); {
	case worse && v.Exempt:
		return NotEnforced, v.Violation.Action != violation.Audit
	case worse && v.Exception != nil:
		return ExceptedBy(v.Exception), true
	case worse && v.Waived != "":
		return " (allowed: " + v.Waived + ")", v.Applied() == violation.Warn
	case worse:
		return "", v.Applied() == violation.Warn
	case v.Relation == Joined:
		return NodesJoined, v.Violation.Action != violation.Audit
	default:
		return BeforeChange, d.standing(v)
	}
}

// maxFailed bounds the policies that one line about the same failure names.
const maxFailed = 3

// grouped returns failures with those of one cause, such as an object that does not parse,
// as one failure that names the policies. O(failures).
func grouped(failures []Failure) []Failure {
	type cause struct {
		text   string
		action violation.Action
		exempt bool
		by     *policy.Exception
	}
	var out []Failure
	var names [][]string
	index := map[cause]int{}
	for _, f := range failures {
		key := cause{f.Text(), f.Action, f.Exempt, f.Exception}
		at, ok := index[key]
		if !ok {
			at = len(out)
			index[key] = at
			out, names = append(out, f), append(names, nil)
		}
		names[at] = append(names[at], f.Policy)
	}
	for i := range out {
		out[i].Policy = text.SomeOf(names[i][:min(len(names[i]), maxFailed)], len(names[i]))
	}
	return out
}

func (f *Failure) warn(out []string) []string {
	switch {
	case f.Exempt && f.Action != violation.Audit:
		return append(out, f.line()+NotEnforced)
	case f.Exception != nil:
		return append(out, f.line()+ExceptedBy(f.Exception))
	case !f.Exempt && f.Applied() == violation.Warn:
		return append(out, f.line())
	default:
		return out
	}
}

// See returns the line with the links of all policies that Message and Warnings show, each
// once. The links of policies that deny come first. It returns "" if there is no link. The
// line is the last one of an answer.
func (d *Decision) See() string {
	var denying, warning []string
	for i := range d.Verdicts {
		v := &d.Verdicts[i]
		if v.denies() {
			denying = append(denying, v.Violation.Link)
		} else if _, ok := d.warns(v); ok {
			warning = append(warning, v.Violation.Link)
		}
	}
	return violation.See(append(denying, warning...)...)
}

// Notice returns what the change does if it is allowed; see Effect. The message of a change
// that policies deny contains it.
func (d *Decision) Notice() string {
	if !d.Allowed || d.NotEnforced != "" {
		return ""
	}
	return d.Effect()
}

// EffectPrefix begins the line that says what a change does. The line of an allowed change is
// a warning of the API server, because kubectl shows nothing else, but is not about a fault.
const EffectPrefix = "what the change does: "

// maxCauses bounds the causes in the line of Effect.
const maxCauses = 4

// Effect returns the line that says what the change does, with its causes if it does harm.
// It is "" if the change alters no session and no route, and the operator writes nothing.
func (d *Decision) Effect() string {
	if d.Impact == nil || d.Impact.Empty() {
		if d.Written == "" {
			return ""
		}
		return EffectPrefix + d.Written
	}
	parts := []string{d.Impact.String()}
	if harmful := slices.ContainsFunc(d.Verdicts, func(v Verdict) bool { return v.Relation.Worse() && v.Applied() != violation.Audit }); harmful {
		causes := d.Impact.Causes
		parts = append(slices.Clone(causes[:min(len(causes), maxCauses)]), parts...)
		if more := len(causes) - maxCauses; more > 0 {
			parts[maxCauses-1] += fmt.Sprintf("; and %d more", more)
		}
	}
	if d.Written != "" {
		parts = append([]string{d.Written}, parts...)
	}
	return EffectPrefix + strings.Join(parts, "; ")
}

func (v *Verdict) line() string { return "[" + v.Violation.Policy + "] " + v.Text() }

func (f *Failure) line() string { return "[" + f.Policy + "] " + f.Text() }

package report

import (
	"slices"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/violation"
)

// ignoredRule is the name under which formats that name a rule for everything
// list what Calico would ignore or refuse in the changed object.
const ignoredRule = "calico-ignores"

// finding is one thing that a decision says of a change, whoever says it.
type finding struct {
	// rule is the name of the BGPPolicy, or ignoredRule.
	rule   string
	action violation.Action
	// failed tells that the policy could not judge.
	failed bool
	// old tells that it was so before the change.
	old bool
	// field is the field of the changed object that it is about, "" where that
	// cannot be told.
	field   string
	message string
}

// oldSuffix ends the warning about a violation that was there before.
const oldSuffix = " (this was so before)"

// findings lists what the decision on c says: violations, policies that could not
// judge, and those of the warnings that are neither.
func (c *Checked) findings() []finding {
	d := c.Decision
	var out []finding
	said := map[string]bool{}
	for _, v := range d.Violations {
		out = append(out, finding{rule: v.Policy, action: v.Action, field: c.named(&v), message: v.Message})
		said["["+v.Policy+"] "+v.Message] = true
	}
	for _, f := range d.Failures {
		out = append(out, finding{
			rule: f.Policy, action: f.Action, failed: true,
			message: "could not be evaluated, which is an error of the policy and no verdict: " + f.Err.Error(),
		})
		said["["+f.Policy+"] "+out[len(out)-1].message] = true
	}
	for _, w := range d.Warnings {
		if said[w] || (len(d.Effects) > 0 && strings.HasPrefix(w, effectPrefix)) {
			continue
		}
		out = append(out, c.warning(w))
	}
	return out
}

// named is the field of the changed object that v names in its details, "" where
// it names none or is about other objects too.
func (c *Checked) named(v *violation.Violation) string {
	id := c.Change.ID()
	field, _ := v.Details["field"].(string)
	if len(v.Objects) != 1 || v.Objects[0] != (violation.Object{Kind: string(id.Kind), Name: id.Name}) || !isField(field) {
		return ""
	}
	return field
}

func isField(s string) bool { return strings.HasPrefix(s, "spec") || strings.HasPrefix(s, "metadata") }

// effectPrefix begins the warning that says what the change does.
const effectPrefix = "what the change does: "

// warning reads a warning that is neither a new violation nor a failure: "[policy]
// message", or "Kind name: field: message" about the changed object.
func (c *Checked) warning(text string) finding {
	f := finding{rule: ignoredRule, action: violation.Warn, message: text, old: strings.HasSuffix(text, oldSuffix)}
	if rest, ok := strings.CutPrefix(text, "["); ok {
		if policy, message, ok := strings.Cut(rest, "] "); ok {
			f.rule, f.message = policy, message
		}
		return f
	}
	if rest, ok := strings.CutPrefix(text, c.Change.ID().String()+": "); ok {
		f.message = rest
		field, _, _ := strings.Cut(rest, ": ")
		if isField(field) {
			f.field = field
		}
	}
	return f
}

// place returns the line of the changed object that f is about: that of the field
// that it names; else, if the change brought it about and is of one field alone,
// that field's; else the object's.
func (c *Checked) place(f finding, changed []changedField) int {
	field := f.field
	if field == "" && !f.old && len(changed) == 1 {
		field = changed[0].Field
	}
	return c.Source.line(field)
}

// marks tells for each field what is about it: names of policies, or "warning".
// What does not name its field and was not so before is about all that changed.
func marks(found []finding, changed []changedField) map[string][]string {
	out := map[string][]string{}
	mark := func(field, by string) {
		if !slices.Contains(out[field], by) {
			out[field] = append(out[field], by)
		}
	}
	for _, f := range found {
		switch {
		case f.field != "" && f.rule == ignoredRule:
			mark(f.field, "warning")
		case f.field != "":
			mark(f.field, f.rule)
		case !f.old && !f.failed && f.rule != ignoredRule:
			for _, c := range changed {
				mark(c.Field, f.rule)
			}
		}
	}
	return out
}

package report

import (
	"slices"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/validate"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// problemRule is the rule of settings that Calico would ignore or reject, in formats
// that need a rule for each result. No BGPPolicy can have this name.
const problemRule = "calico/problem"

// finding is a violation, an evaluation error, or a setting that Calico would ignore or
// reject.
type finding struct {
	// rule is the name of the BGPPolicy, or problemRule.
	rule   string
	action violation.Action
	// failed reports that the policy could not be evaluated, standing that the change did
	// not cause the violation, exempt that the user is exempt from the policy.
	failed, standing, exempt bool
	// exception allows it, nil for none.
	exception *policy.Exception
	// fields are the fields of the changed object that it is about; empty if unknown. at is
	// the field whose line is shown, or their parent.
	fields  []string
	at      string
	message string
	// nodes are the names of all nodes that it is about; nil if they are not known.
	nodes []string
	// link is the page about the policy, "" for none.
	link string
}

// caused reports whether the change caused f.
func (f finding) caused() bool { return !f.failed && !f.standing && f.rule != problemRule }

// findings lists violations, evaluation errors, and settings that Calico would ignore
// or reject.
func (c *Check) findings(change *Checked) []finding {
	d := change.Decision
	var out []finding
	for v := range d.Worse() {
		f := change.finding(v)
		f.action, f.exempt, f.exception = v.Applied(), v.Exempt && v.Violation.Action != violation.Audit, v.Exception
		out = append(out, f.notEnforced())
	}
	for v := range d.Standing() {
		f := change.finding(v)
		f.action, f.standing = violation.Warn, true
		f.message += validate.BeforeChange
		out = append(out, f)
	}
	for i := range d.Failures {
		failure := &d.Failures[i]
		f := finding{
			rule: failure.Policy, action: failure.Applied(), failed: true, message: failure.Text(),
			exempt: failure.Exempt && failure.Action != violation.Audit, exception: failure.Exception,
		}
		out = append(out, f.notEnforced())
	}
	for _, p := range d.Problems {
		out = append(out, finding{rule: problemRule, action: violation.Warn, fields: change.leaves(p.Field), at: p.Field, message: p.String()})
	}
	return out
}

// finding returns the finding of a verdict.
func (c *Checked) finding(v *validate.Verdict) finding {
	f := finding{rule: v.Violation.Policy, fields: c.fieldsOf(&v.Violation), message: v.Text(), nodes: v.Nodes(), link: v.Violation.Link}
	if !v.Relation.Worse() {
		return f
	}
	// The cause is among the changed fields.
	changed := slices.DeleteFunc(c.changed(), func(one field) bool { return !slices.Contains(f.fields, one.Field) })
	if len(changed) > 0 {
		f.fields = slices.DeleteFunc(f.fields, func(path string) bool {
			return !slices.ContainsFunc(changed, func(one field) bool { return one.Field == path })
		})
	}
	return f
}

// notEnforced returns f. If f is not enforced, its message contains the reason.
func (f finding) notEnforced() finding {
	switch {
	case f.exempt:
		f.message += validate.NotEnforced
	case f.exception != nil:
		f.message += validate.ExceptedBy(f.exception)
	}
	return f
}

// policy returns the policy in force with that name, or nil.
func (c *Check) policy(name string) *policy.Policy {
	for _, p := range c.Policies {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// fieldsOf lists the fields of the changed object that v names.
func (c *Checked) fieldsOf(v *violation.Violation) []string {
	id := c.Change.ID()
	var out []string
	for _, field := range v.Fields(violation.Object{Kind: string(id.Kind), Name: id.Name}) {
		out = append(out, c.leaves(field)...)
	}
	return out
}

// leaves lists the fields of the changed object, before or after the change, that are
// field or below it; none for the whole object.
func (c *Checked) leaves(field string) []string {
	if field == "spec" || field == "metadata" {
		return nil
	}
	var out []string
	for _, f := range c.fields() {
		if rest, ok := strings.CutPrefix(f.Field, field); ok && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			out = append(out, f.Field)
		}
	}
	return out
}

// line returns the line of f in the changed object: the line of its first field. Without
// fields, it is the line of the only changed field if the change caused f, else the line of
// the object. It is 0 if the object is not from a file.
func (c *Checked) line(f *finding) int {
	if f.at != "" {
		return c.Source.line(f.at)
	}
	if len(f.fields) > 0 {
		return c.Source.line(f.fields[0])
	}
	if changed := c.changed(); f.caused() && len(changed) == 1 {
		return c.Source.line(changed[0].Field)
	}
	return c.Source.line("")
}

// marks returns the marks of each field: names of policies, or "warning" for a setting
// that Calico would ignore or reject. A finding marks only the fields that it names.
func (c *Checked) marks(found []finding) map[string][]string {
	out := map[string][]string{}
	mark := func(field, by string) {
		if !slices.Contains(out[field], by) {
			out[field] = append(out[field], by)
		}
	}
	for _, f := range found {
		by := f.rule
		if f.rule == problemRule {
			by = "warning"
		}
		for _, field := range f.fields {
			mark(field, by)
		}
	}
	return out
}

// text returns the message of f with its link.
func (c *Checked) text(f finding) string {
	if see := see([]finding{f}); see != "" {
		return c.message(&f) + "\n" + see
	}
	return c.message(&f)
}

// see returns the line with the links of findings, those that deny first; "" for none.
func see(found []finding) string {
	var denying, others []string
	for i := range found {
		if f := &found[i]; f.action == violation.Deny {
			denying = append(denying, f.link)
		} else {
			others = append(others, f.link)
		}
	}
	return clean(violation.See(append(denying, others...)...))
}

// message returns the message of f, and what a denied change does if it caused f.
func (c *Checked) message(f *finding) string {
	text := clean(f.message)
	if effect := c.Decision.Effect(); f.caused() && !c.Decision.Allowed && effect != "" {
		text += "\n" + clean(effect)
	}
	return text
}

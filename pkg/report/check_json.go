package report

import (
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology"
	"github.com/bgpguard/bgpguard/pkg/validate"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// checkDocument is the JSON form of a check; check.schema.json describes it.
type checkDocument struct {
	Allowed bool             `json:"allowed"`
	Changes []changeDocument `json:"changes"`
	Set     *setDocument     `json:"set,omitempty"`
}

// setDocument is the JSON form of a Set.
type setDocument struct {
	Allowed       bool                `json:"allowed"`
	Violations    []violationDocument `json:"violations"`
	Warnings      []string            `json:"warnings"`
	Impact        *impactDocument     `json:"impact"`
	Notes         []string            `json:"notes"`
	Failures      []failureDocument   `json:"failures"`
	DeniedInOrder *changeDocument     `json:"deniedInOrder"`
	Knot          *knotDocument       `json:"knot"`
}

type knotDocument struct {
	After      []changeDocument `json:"after"`
	Changes    []changeDocument `json:"changes"`
	Incomplete bool             `json:"incomplete"`
}

type changeDocument struct {
	Kind          string              `json:"kind"`
	Name          string              `json:"name"`
	Operation     state.Operation     `json:"operation"`
	File          string              `json:"file,omitempty"`
	Line          int                 `json:"line,omitempty"`
	Allowed       bool                `json:"allowed"`
	ChangedFields []field             `json:"changedFields"`
	Violations    []violationDocument `json:"violations"`
	Warnings      []string            `json:"warnings"`
	Impact        *impactDocument     `json:"impact"`
	Notes         []string            `json:"notes"`
	Failures      []failureDocument   `json:"failures"`
}

type violationDocument struct {
	violation.Violation

	Explanation *explanation `json:"explanation,omitempty"`
}

type failureDocument struct {
	Policy  string           `json:"policy"`
	Action  violation.Action `json:"action"`
	Message string           `json:"message"`
}

// impactDocument is what a change does, and the line that says it.
type impactDocument struct {
	Text string `json:"text"`
	*topology.Impact
}

// impactOf returns the document of an impact, nil for nil.
func impactOf(i *topology.Impact) *impactDocument {
	if i == nil {
		return nil
	}
	return &impactDocument{i.String(), i}
}

func (c *Check) document() *checkDocument {
	out := &checkDocument{Allowed: c.allowed(), Changes: []changeDocument{}}
	for i := range c.Changes {
		out.Changes = append(out.Changes, c.changeDocument(&c.Changes[i]))
	}
	if c.Set == nil {
		return out
	}
	d := c.Set.Together
	out.Set = &setDocument{
		Allowed: d.Allowed, Violations: c.violations(d), Warnings: list0(c.Set.warnings()), Impact: impactOf(d.Impact), Notes: list0(c.Set.Notes), Failures: failures(d),
	}
	if first := c.Set.First; first != nil {
		document := c.changeDocument(first)
		out.Set.DeniedInOrder = &document
	}
	if k := c.Set.Knot; k != nil {
		knot := &knotDocument{After: []changeDocument{}, Changes: []changeDocument{}, Incomplete: k.Incomplete}
		for i := range k.After {
			knot.After = append(knot.After, c.changeDocument(&k.After[i]))
		}
		for i := range k.Changes {
			knot.Changes = append(knot.Changes, c.changeDocument(&k.Changes[i]))
		}
		out.Set.Knot = knot
	}
	return out
}

func (c *Check) changeDocument(change *Checked) changeDocument {
	d, id := change.Decision, change.Change.ID()
	out := changeDocument{
		Kind: string(id.Kind), Name: id.Name, Operation: change.Change.Operation(), File: change.Source.File, Line: change.Source.line(""),
		Allowed: d.Allowed, ChangedFields: list0(change.changed()), Violations: c.violations(d), Warnings: list0(d.Warnings()), Impact: impactOf(d.Impact), Notes: list0(change.Notes), Failures: failures(d),
	}
	return out
}

// violations returns the violations that are worse.
func (c *Check) violations(d *validate.Decision) []violationDocument {
	out := []violationDocument{}
	for v := range d.Worse() {
		document := violationDocument{Violation: rendered(v)}
		if c.Explain {
			document.Explanation = c.explain(v)
		}
		out = append(out, document)
	}
	return out
}

// failures returns the policies that could not be evaluated.
func failures(d *validate.Decision) []failureDocument {
	out := []failureDocument{}
	for _, f := range d.Failures {
		out = append(out, failureDocument{f.Policy, f.Applied(), f.Err.Error()})
	}
	return out
}

// rendered returns the violation of a verdict as users see it: with the nodes that it
// newly reaches, what the verdict assumes, and the action that is taken.
func rendered(v *validate.Verdict) violation.Violation {
	out := v.Violation
	out.Message, out.Action, out.Assumption, out.Nodes = v.Text(), v.Applied(), v.Assumption, v.Nodes()
	return out
}

// list0 returns list, or an empty list for nil.
func list0[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

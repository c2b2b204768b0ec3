package report

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/validate"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// explanation is the policy and the numbers behind a violation.
type explanation struct {
	Policy      string         `json:"policy"`
	Title       string         `json:"title"`
	Description string         `json:"description"`
	Severity    string         `json:"severity"`
	Links       []policy.Link  `json:"links"`
	Parameters  map[string]any `json:"parameters"`
	Before      *numbers       `json:"before"`
}

// numbers are the numbers of a violation.
type numbers struct {
	Size    float64        `json:"size"`
	Details map[string]any `json:"details"`
}

// explain returns the policy behind a verdict and the numbers before the change.
func (c *Check) explain(v *validate.Verdict) *explanation {
	out := &explanation{Links: []policy.Link{}, Parameters: map[string]any{}}
	if p := c.policy(v.Violation.Policy); p != nil {
		of := p.Definition
		out.Policy, out.Title, out.Description, out.Severity = of.Name, of.Title, of.Description, of.Severity
		out.Links, out.Parameters = append(out.Links, of.Related...), p.Parameters()
	}
	if v.Before != nil {
		out.Before = &numbers{v.Before.Size, v.Before.Details}
	}
	return out
}

// textExplanation writes the explanation of v.
func textExplanation(b *strings.Builder, v *violation.Violation, e *explanation) {
	line := func(format string, args ...any) { fmt.Fprintf(b, "    "+format+"\n", args...) }
	fmt.Fprintf(b, "  Why [%s], %s, %s:\n", clean(v.Policy), clean(v.ID), v.Action)
	line("%s (policy %s, severity %s)", clean(e.Title), clean(e.Policy), clean(e.Severity))
	for text := range strings.Lines(e.Description) {
		line("  %s", clean(strings.TrimSpace(text)))
	}
	for _, l := range e.Links {
		text := "see " + clean(l.Ref)
		if l.Description != "" {
			text += " (" + clean(l.Description) + ")"
		}
		line("%s", text)
	}
	if len(e.Parameters) > 0 {
		line("parameters: %s", pairs(e.Parameters, e.Parameters))
	}
	before := v.Details
	if e.Before == nil {
		line("size: %s; new with this change", size(v.Size))
	} else {
		line("size: %s, before %s", size(v.Size), size(e.Before.Size))
		before = e.Before.Details
	}
	if len(v.Details) > 0 {
		line("numbers: %s", pairs(v.Details, before))
	}
	if len(v.Objects) > 0 {
		objects := make([]string, len(v.Objects))
		for i, o := range v.Objects {
			objects[i] = clean(o.String())
		}
		line("about: %s", strings.Join(objects, ", "))
	}
}

// pairs lists the members of m, with the previous value where that differs.
func pairs(m, before map[string]any) string {
	out := make([]string, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		is, was := compact(m[k]), compact(before[k])
		text := clean(k) + " " + clean(cut(is, 0))
		if is != was {
			was, is = shorten(was, is)
			text = fmt.Sprintf("%s %s (before %s)", clean(k), clean(is), clean(was))
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

func size(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }

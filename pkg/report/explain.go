package report

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/violation"
)

// textExplanation writes what is behind v.
func textExplanation(b *strings.Builder, v *violation.Violation, e *Explanation) {
	line := func(format string, args ...any) { fmt.Fprintf(b, "    "+format+"\n", args...) }
	fmt.Fprintf(b, "  Why [%s], %s, %s:\n", clean(v.Policy), clean(v.ID), v.Action)
	r := e.Rule
	title := clean(r.Title)
	if r.Severity != "" {
		title += " (severity " + clean(r.Severity) + ")"
	}
	line("%s", title)
	for text := range strings.Lines(r.Description) {
		line("  %s", clean(strings.TrimSpace(text)))
	}
	for _, l := range r.Links {
		text := "see " + clean(l.Ref)
		if l.Description != "" {
			text += " (" + clean(l.Description) + ")"
		}
		line("%s", text)
	}
	if len(r.Parameters) > 0 {
		line("parameters: %s", pairs(r.Parameters, r.Parameters))
	}
	if e.Before == nil {
		line("size: %s; there was no such violation before the change", size(v.Size))
	} else {
		line("size: %s, before %s", size(v.Size), size(e.Before.Size))
	}
	if len(v.Details) > 0 {
		before := v.Details
		if e.Before != nil {
			before = e.Before.Details
		}
		line("numbers: %s", pairs(v.Details, before))
	}
	if len(v.Objects) > 0 {
		objects := make([]string, len(v.Objects))
		for i, o := range v.Objects {
			objects[i] = clean(o.String())
		}
		line("about: %s", strings.Join(objects, ", "))
	}
	if e.Gained.Total > 0 {
		line("not so before for: %s", names(e.Gained.Sample, e.Gained.Total))
	}
}

// pairs lists the members of m; those that were others before with these.
func pairs(m, before map[string]any) string {
	out := make([]string, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		is, was := shorten(compact(m[k]), compact(before[k]))
		text := clean(k) + " " + clean(is)
		if is != was {
			text += fmt.Sprintf(" (before %s)", clean(was))
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

func size(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }

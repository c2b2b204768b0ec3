package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/audit"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/topology"
)

// Difference compares two states.
type Difference struct {
	// Names are the names of the states, as the user gave them.
	Names [2]string
	// Objects are the changes of objects that lead from the first state to the second.
	Objects []Checked
	// Impact is what these changes do together; nil if the sessions and routes are the same.
	Impact *topology.Impact
	// Before and After are the audits of both states. After is compared with Before.
	Before, After *audit.Audit
	// All makes Text name all nodes of a violation.
	All bool
	// Color makes Text use the colors of a terminal.
	Color bool
}

// ChangesBetween returns the changes of objects that lead from one state to another:
// creations and updates, then deletions, each by kind and name. Objects with equal fields are
// no change.
func ChangesBetween(before, after *state.Snapshot) []Checked {
	var out, deleted []Checked
	for _, change := range state.Difference(before, after) {
		c := Checked{Change: change}
		switch {
		case change.After == nil:
			deleted = append(deleted, c)
		case change.Before == nil || len(c.changed()) > 0:
			out = append(out, c)
		}
	}
	return append(out, deleted...)
}

// Differs reports whether sessions, routes or violations differ. Objects may differ without
// an effect on any of them.
func (d *Difference) Differs() bool {
	return d.Impact != nil && !d.Impact.Empty() || len(d.After.Resolved) > 0 || len(d.worse()) > 0
}

// worse lists the violations that are new or worse in the second state.
func (d *Difference) worse() []*audit.Violation {
	var out []*audit.Violation
	for i := range d.After.Violations {
		if v := &d.After.Violations[i]; v.Compared != audit.Known {
			out = append(out, v)
		}
	}
	return out
}

// verdict says whether the states differ.
func (d *Difference) verdict() string {
	return either(btoi(d.Differs()), "differs", "same sessions, routes and violations")
}

// impactText says what the changes do together.
func (d *Difference) impactText() string {
	if d.Impact == nil {
		return (&topology.Impact{}).String()
	}
	return d.Impact.String()
}

// objectsText counts the changes of objects.
func (d *Difference) objectsText() string {
	counts := map[state.Operation]int{}
	for i := range d.Objects {
		counts[d.Objects[i].Change.Operation()]++
	}
	return fmt.Sprintf("%s created, %s changed, %s deleted", Count(counts[state.Create], "object"), number(counts[state.Update]), number(counts[state.Delete]))
}

// violationsText counts the violations by their relation to the first state.
func (d *Difference) violationsText() string {
	counts := map[audit.Comparison]int{}
	for i := range d.After.Violations {
		counts[d.After.Violations[i].Compared]++
	}
	return fmt.Sprintf("%s new, %s worse, %s resolved, %s as before", Count(counts[audit.New], "violation"), number(counts[audit.Worse]), number(len(d.After.Resolved)), number(counts[audit.Known]))
}

// objectLine names a changed object and the fields that differ.
func objectLine(c *Checked) string {
	var fields []string
	for _, f := range c.changed() {
		fields = append(fields, f.Field)
	}
	line := c.what()
	if len(fields) > 0 {
		line += ": " + clean(names(fields[:min(len(fields), shown)], len(fields)))
	}
	return line
}

func writeDiffText(w io.Writer, d *Difference) error {
	var b strings.Builder
	p := painter(d.Color)
	color := green
	if d.Differs() {
		color = yellow
	}
	fmt.Fprintf(&b, "%s and %s: %s\n", clean(d.Names[0]), clean(d.Names[1]), p.paint(color, d.verdict()))
	fmt.Fprintf(&b, "  %s\n", clean(d.impactText()))
	if d.Impact != nil {
		for _, cause := range d.Impact.Causes {
			fmt.Fprintf(&b, "    %s\n", clean(cause))
		}
	}
	fmt.Fprintf(&b, "\n%s\n", d.objectsText())
	listed := d.Objects
	if !d.All {
		listed = listed[:min(len(listed), 4*shown)]
	}
	for i := range listed {
		fmt.Fprintf(&b, "  %s\n", objectLine(&listed[i]))
	}
	if more := len(d.Objects) - len(listed); more > 0 {
		fmt.Fprintf(&b, "  and %s more (--all names them)\n", number(more))
	}
	fmt.Fprintf(&b, "\n%s\n", d.violationsText())
	for _, v := range d.worse() {
		fmt.Fprintf(&b, "  %s %s: [%s] %s\n", strings.ToLower(string(v.Compared)), p.paint(severityColors[v.Severity], v.Severity), clean(v.Policy), clean(v.Text()))
		if line := nodesText(v.Message, v.Nodes, d.All); line != "" {
			fmt.Fprintf(&b, "    %s\n", line)
		}
	}
	for i := range d.After.Resolved {
		v := &d.After.Resolved[i]
		fmt.Fprintf(&b, "  resolved %s: [%s] %s\n", v.Severity, clean(v.Policy), clean(v.Message))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func writeDiffMarkdown(w io.Writer, d *Difference) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# BGP: %s and %s\n\n**%s**\n\n%s\n", markdown(d.Names[0]), markdown(d.Names[1]), markdown(d.verdict()), markdown(d.impactText()))
	var causes, objects, violations []string
	if d.Impact != nil {
		for _, cause := range d.Impact.Causes {
			causes = append(causes, markdown(cause))
		}
	}
	for i := range d.Objects {
		objects = append(objects, markdown(objectLine(&d.Objects[i])))
	}
	for _, v := range d.worse() {
		violations = append(violations, markdown(strings.ToLower(string(v.Compared)))+" "+markdownViolation(d.After, v))
	}
	for i := range d.After.Resolved {
		v := &d.After.Resolved[i]
		violations = append(violations, fmt.Sprintf("resolved **%s** %s %s", markdown(v.Severity), codeSpan(v.Policy), markdown(v.Message)))
	}
	markdownList(&b, "Causes", causes)
	fmt.Fprintf(&b, "\n%s\n", markdown(d.objectsText()))
	markdownList(&b, "Objects", objects)
	fmt.Fprintf(&b, "\n%s\n", markdown(d.violationsText()))
	markdownList(&b, "Violations", violations)
	_, err := io.WriteString(w, b.String())
	return err
}

// diffDocument is the JSON form of a Difference; diff.schema.json describes it.
type diffDocument struct {
	Before     string            `json:"before"`
	After      string            `json:"after"`
	Differs    bool              `json:"differs"`
	Impact     *impactDocument   `json:"impact"`
	Objects    []objectDocument  `json:"objects"`
	Violations []audit.Violation `json:"violations"`
	Resolved   []audit.Violation `json:"resolved"`
}

type objectDocument struct {
	Kind          string          `json:"kind"`
	Name          string          `json:"name"`
	Operation     state.Operation `json:"operation"`
	ChangedFields []field         `json:"changedFields"`
}

func (d *Difference) document() *diffDocument {
	out := &diffDocument{
		Before: d.Names[0], After: d.Names[1], Differs: d.Differs(), Impact: impactOf(d.Impact),
		Objects: []objectDocument{}, Violations: d.After.Violations, Resolved: d.After.Resolved,
	}
	for i := range d.Objects {
		c := &d.Objects[i]
		id := c.Change.ID()
		out.Objects = append(out.Objects, objectDocument{string(id.Kind), id.Name, c.Change.Operation(), list0(c.changed())})
	}
	return out
}

func writeDiffJSON(w io.Writer, d *Difference) error { return text.JSON(w, d.document()) }

func writeDiffYAML(w io.Writer, d *Difference) error { return text.YAML(w, d.document()) }

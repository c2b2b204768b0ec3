package report

import (
	"bytes"
	"encoding/json"
	"io"

	"sigs.k8s.io/yaml"

	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// checkDocument is the JSON form of a check; check.schema.json describes it.
type checkDocument struct {
	Allowed bool             `json:"allowed"`
	Changes []changeDocument `json:"changes"`
}

type changeDocument struct {
	Kind          string              `json:"kind"`
	Name          string              `json:"name"`
	Operation     state.Operation     `json:"operation"`
	File          string              `json:"file,omitempty"`
	Line          int                 `json:"line,omitempty"`
	Allowed       bool                `json:"allowed"`
	ChangedFields []changedField      `json:"changedFields"`
	Violations    []violationDocument `json:"violations"`
	Warnings      []string            `json:"warnings"`
	Effects       []string            `json:"effects"`
	Failures      []failureDocument   `json:"failures"`
}

type violationDocument struct {
	violation.Violation

	Explanation *explanationDocument `json:"explanation,omitempty"`
}

type explanationDocument struct {
	Policy      string         `json:"policy"`
	Title       string         `json:"title"`
	Description string         `json:"description"`
	Severity    string         `json:"severity"`
	Links       []Link         `json:"links"`
	Parameters  map[string]any `json:"parameters"`
	Before      *numbers       `json:"before"`
	After       numbers        `json:"after"`
	Gained      Gained         `json:"gained"`
}

type numbers struct {
	Size    float64        `json:"size"`
	Details map[string]any `json:"details"`
}

type failureDocument struct {
	Policy  string           `json:"policy"`
	Action  violation.Action `json:"action"`
	Message string           `json:"message"`
}

func newCheckDocument(c *Check) *checkDocument {
	out := &checkDocument{Allowed: c.denied() == 0, Changes: []changeDocument{}}
	for i := range c.Changes {
		out.Changes = append(out.Changes, newChangeDocument(&c.Changes[i]))
	}
	return out
}

func newChangeDocument(c *Checked) changeDocument {
	d, id := c.Decision, c.Change.ID()
	out := changeDocument{
		Kind: string(id.Kind), Name: id.Name, Operation: c.Change.Operation(), File: c.Source.File, Line: c.Source.line(""),
		Allowed: d.Allowed, ChangedFields: changedFields(c.Change), Violations: []violationDocument{},
		Warnings: list0(d.Warnings), Effects: list0(d.Effects), Failures: []failureDocument{},
	}
	for i, v := range d.Violations {
		document := violationDocument{Violation: v}
		if i < len(c.Explanations) {
			document.Explanation = newExplanationDocument(&v, &c.Explanations[i])
		}
		out.Violations = append(out.Violations, document)
	}
	for _, f := range d.Failures {
		out.Failures = append(out.Failures, failureDocument{f.Policy, f.Action, f.Err.Error()})
	}
	return out
}

func newExplanationDocument(v *violation.Violation, e *Explanation) *explanationDocument {
	r := e.Rule
	out := &explanationDocument{
		Policy: r.Policy, Title: r.Title, Description: r.Description, Severity: r.Severity, Links: list0(r.Links),
		Parameters: r.Parameters, After: numbers{v.Size, v.Details}, Gained: Gained{e.Gained.Total, list0(e.Gained.Sample)},
	}
	if out.Parameters == nil {
		out.Parameters = map[string]any{}
	}
	if e.Before != nil {
		out.Before = &numbers{e.Before.Size, e.Before.Details}
	}
	return out
}

// list0 is list, empty rather than null.
func list0[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func writeJSON(w io.Writer, c *Check) error { return encode(w, newCheckDocument(c)) }

// encode writes v as JSON for people: indented, and with < and & as they are.
func encode(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

func writeYAML(w io.Writer, c *Check) error {
	var b bytes.Buffer
	if err := writeJSON(&b, c); err != nil {
		return err
	}
	text, err := yaml.JSONToYAML(b.Bytes())
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}

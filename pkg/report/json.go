package report

import (
	"encoding/json"
	"io"

	"github.com/bgpguard/bgpguard/pkg/violation"
)

// decision is the JSON form of the decisions on all changes taken together.
type decision struct {
	Allowed    bool                  `json:"allowed"`
	Warnings   []string              `json:"warnings"`
	Violations []violation.Violation `json:"violations"`
	Errors     []string              `json:"errors,omitempty"`
}

func writeJSON(w io.Writer, checked []Checked) error {
	out := decision{Allowed: true, Warnings: []string{}, Violations: []violation.Violation{}}
	for _, c := range checked {
		out.Allowed = out.Allowed && c.Decision.Allowed
		out.Warnings = append(out.Warnings, c.Decision.Warnings...)
		out.Violations = append(out.Violations, c.Decision.Violations...)
		for _, f := range c.Decision.Failures {
			out.Errors = append(out.Errors, f.Policy+": "+f.Err.Error())
		}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(out)
}

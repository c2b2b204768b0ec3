// Package report renders what the CLI found. Each format has a file; Formats
// lists them all.
package report

import (
	"fmt"
	"io"

	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/validate"
)

// The output formats.
const (
	Text = "text"
	JSON = "json"
)

// Formats lists the output formats, the default first.
var Formats = []string{Text, JSON}

// Checked is a change and its decision.
type Checked struct {
	Change   state.Change
	Decision *validate.Decision
}

// Write writes the decisions on a sequence of changes to w.
func Write(w io.Writer, format string, checked []Checked) error {
	switch format {
	case Text:
		return writeText(w, checked)
	case JSON:
		return writeJSON(w, checked)
	default:
		return fmt.Errorf("unknown output format %q", format)
	}
}

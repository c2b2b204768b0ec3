package report

import (
	"fmt"
	"io"

	"github.com/bgpguard/bgpguard/pkg/audit"
)

// AuditFormats lists the output formats of an audit, the default first.
var AuditFormats = []string{HTML}

// WriteAudit writes r to w in one of AuditFormats.
func WriteAudit(w io.Writer, format string, r *audit.Report) error {
	if format == HTML {
		return writeAuditHTML(w, r)
	}
	return fmt.Errorf("unknown output format %q", format)
}

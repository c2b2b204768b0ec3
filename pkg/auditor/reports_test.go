package auditor

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/go-logr/logr"

	"github.com/bgpguard/bgpguard/pkg/audit"
)

// A panic must not end the process, because it answers requests too.
func TestReportsThatPanicDoNotEndTheProcess(t *testing.T) {
	var log bytes.Buffer
	r := &Reports{ // Without clients it panics.
		options: ReportOptions{Kind: ReportsAuto}, latest: &audit.Audit{}, log: logr.FromSlogHandler(slog.NewTextHandler(&log, nil)),
	}
	for range 2 {
		r.Refresh(t.Context())
	}
	if got := log.String(); strings.Count(got, "Cannot write reports") != 1 || !strings.Contains(got, "panic: ") || !strings.Contains(got, "reports_test.go") {
		t.Errorf("logged\n%s", got)
	}
}

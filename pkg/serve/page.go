package serve

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/go-logr/logr"

	"github.com/bgpguard/bgpguard/pkg/audit"
	"github.com/bgpguard/bgpguard/pkg/report"
)

// pagePath is the path of the page.
const pagePath = "/report"

// page serves the report of the current audit as HTML.
type page struct {
	log    logr.Logger
	audit  func(context.Context) (*audit.Audit, error)
	render func(io.Writer, *audit.Audit) error

	// One page is rendered at a time, and once for each audit.
	mu       sync.Mutex
	of       *audit.Audit
	rendered []byte
}

// newPage returns the page of the audits that current returns; version is that of
// bgpguard.
func newPage(current func(context.Context) (*audit.Audit, error), version string, log logr.Logger) *page {
	return &page{log: log, audit: current, render: func(w io.Writer, a *audit.Audit) error {
		return report.AuditFormats.Write(w, report.HTML, &report.Audit{Report: &audit.Report{Version: version, Clusters: []*audit.Audit{a}}})
	}}
}

// ServeHTTP answers 503 until the state is known.
func (p *page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "The report is read-only: use GET.", http.StatusMethodNotAllowed)
		return
	}
	a, err := p.audit(r.Context())
	if err != nil {
		w.Header().Set("Retry-After", "5")
		http.Error(w, "There is no report yet: "+err.Error(), http.StatusServiceUnavailable)
		return
	}
	text, err := p.renderOnce(a)
	if err != nil {
		p.log.Error(err, "Cannot render the report")
		http.Error(w, "The report cannot be rendered: see the log of bgpguard.", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "private, no-cache")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	http.ServeContent(w, r, "", a.Time, bytes.NewReader(text))
}

// renderOnce returns the page of an audit. A panic fails one request and not the
// process.
func (p *page) renderOnce(a *audit.Audit) (text []byte, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of == a {
		return p.rendered, nil
	}
	defer func() {
		if r := recover(); r != nil {
			text, err = nil, fmt.Errorf("rendering panicked: %v", r)
		}
	}()
	var b bytes.Buffer
	if err := p.render(&b, a); err != nil {
		return nil, err
	}
	p.of, p.rendered = a, b.Bytes()
	return p.rendered, nil
}

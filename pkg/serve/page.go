package serve

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"github.com/bgpguard/bgpguard/pkg/audit"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/report"
)

// pagePath is the path of the page.
const pagePath = "/report"

// audits are what the page shows.
type audits []*current

// report returns the current audits, and why others cannot be had. Audits run at the same
// time.
func (a audits) report(ctx context.Context) *audit.Report {
	found, errs := make([]*audit.Audit, len(a)), make([]error, len(a))
	var wg sync.WaitGroup
	for i, c := range a {
		wg.Go(func() { found[i], errs[i] = c.Audit(ctx) })
	}
	wg.Wait()
	r := &audit.Report{Clusters: []*audit.Audit{}, Unread: []audit.Unread{}}
	for i, c := range a {
		if errs[i] != nil {
			r.Unread = append(r.Unread, audit.Unread{Cluster: c.origin, Message: errs[i].Error()})
		} else {
			r.Clusters = append(r.Clusters, found[i])
		}
	}
	return r
}

// Check is a healthz.Checker for readiness: it fails until there is something to show.
func (a audits) Check(r *http.Request) error {
	var first error
	for _, c := range a {
		err := c.Check(r)
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// setLibrary replaces the library of policies.
func (a audits) setLibrary(library *policy.Library) {
	for _, c := range a {
		c.keeper.SetLibrary(library)
	}
}

// page serves the report of the current audits as HTML.
type page struct {
	log    logr.Logger
	report func(context.Context) *audit.Report
	render func(io.Writer, *report.Audit) error

	// One page is rendered at a time, and once for each report.
	mu       sync.Mutex
	of       *audit.Report
	version  string
	rendered []byte
}

// newPage returns the page of audits.
func newPage(shown audits, o *Options, log logr.Logger) *page {
	return &page{log: log, report: shown.report, render: func(w io.Writer, a *report.Audit) error {
		a.Version = o.Version
		if o.Secure {
			a.Logout = loginPath
		}
		return report.AuditFormats.Write(w, report.HTML, a)
	}}
}

// ServeHTTP answers 503, with the reasons, while no state is known.
func (p *page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "The report is read-only: use GET.", http.StatusMethodNotAllowed)
		return
	}
	current := p.report(r.Context())
	text, version, err := p.renderOnce(current)
	if err != nil {
		p.log.Error(err, "Cannot render the report")
		http.Error(w, "The report cannot be rendered: see the log of bgpguard.", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "private, no-cache")
	h.Set("ETag", strconv.Quote(version)) // The page compares it with its own version.
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	if len(current.Clusters) == 0 {
		h.Set("Retry-After", "5")
		w.WriteHeader(http.StatusServiceUnavailable)
		if r.Method == http.MethodGet {
			_, _ = w.Write(text) // The reader can reload the page.
		}
		return
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(text))
}

// renderOnce returns the page of a report and its version. A panic fails one request and not
// the process.
func (p *page) renderOnce(r *audit.Report) (text []byte, version string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of != nil && slices.Equal(p.of.Clusters, r.Clusters) && slices.Equal(p.of.Unread, r.Unread) {
		return p.rendered, p.version, nil
	}
	defer func() {
		if r := recover(); r != nil {
			text, err = nil, fmt.Errorf("rendering panicked: %v", r)
		}
	}()
	// Unlike a number, a time does not repeat after a restart of the process.
	version = strconv.FormatInt(time.Now().UnixNano(), 36)
	var b bytes.Buffer
	if err := p.render(&b, &report.Audit{Report: r, Live: version}); err != nil {
		return nil, "", err
	}
	p.of, p.version, p.rendered = r, version, b.Bytes()
	return p.rendered, p.version, nil
}

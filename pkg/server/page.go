package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"

	"github.com/bgpguard/bgpguard/pkg/audit"
	"github.com/bgpguard/bgpguard/pkg/report"
)

// reportPath is where the report is served.
const reportPath = "/report"

// Bounds of the server of the report, which is for a few people and must take
// nothing from those who wait for a decision.
const (
	reportHeaderTimeout = 10 * time.Second
	reportTimeout       = time.Minute
	reportHeaderBytes   = 16 << 10
)

// page serves the report of the current audit as HTML, and nothing else.
type page struct {
	log    logr.Logger
	audit  func(context.Context) (*audit.Audit, error)
	render func(io.Writer, *audit.Audit) error

	// One page is drawn at a time, and once for each audit.
	mu    sync.Mutex
	of    *audit.Audit
	drawn []byte
}

// newPage returns the page of what current gives; version is that of bgpguard.
func newPage(current func(context.Context) (*audit.Audit, error), version string, log logr.Logger) *page {
	return &page{log: log, audit: current, render: func(w io.Writer, a *audit.Audit) error {
		return report.AuditFormats.Write(w, report.HTML, &report.Audit{Report: &audit.Report{Version: version, Clusters: []*audit.Audit{a}}})
	}}
}

// ServeHTTP answers 503 where the state is not known yet.
func (p *page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "The report can only be read: use GET.", http.StatusMethodNotAllowed)
		return
	}
	a, err := p.audit(r.Context())
	if err != nil {
		w.Header().Set("Retry-After", "5")
		http.Error(w, "There is no report yet: "+err.Error(), http.StatusServiceUnavailable)
		return
	}
	text, err := p.draw(a)
	if err != nil {
		p.log.Error(err, "Cannot draw the report")
		http.Error(w, "The report cannot be drawn; the log of bgpguard says why.", http.StatusInternalServerError)
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

// draw returns the page of an audit. A panic is that of one page, not of the
// process.
func (p *page) draw(a *audit.Audit) (text []byte, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of == a {
		return p.drawn, nil
	}
	defer func() {
		if r := recover(); r != nil {
			text, err = nil, fmt.Errorf("drawing it panicked: %v", r)
		}
	}()
	var b bytes.Buffer
	if err := p.render(&b, a); err != nil {
		return nil, err
	}
	p.of, p.drawn = a, b.Bytes()
	return p.drawn, nil
}

// addPage serves p over HTTPS on address, to those whom RBAC lets "get" the URL
// /report.
func addPage(mgr manager.Manager, address string, p *page, withCertificate func(*tls.Config)) error {
	filter, err := filters.WithAuthenticationAndAuthorization(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return err
	}
	guarded, err := filter(p.log, p)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle(reportPath, guarded)
	config := &tls.Config{NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS13}
	withCertificate(config)
	return mgr.Add(&pageServer{address: address, config: config, server: &http.Server{
		Handler: mux, ReadHeaderTimeout: reportHeaderTimeout, ReadTimeout: reportHeaderTimeout, WriteTimeout: reportTimeout,
		IdleTimeout: reportTimeout, MaxHeaderBytes: reportHeaderBytes,
	}})
}

// pageServer listens only once it is started, as the other servers of the manager
// do: every replica serves the report, the elected one or not.
type pageServer struct {
	address string
	config  *tls.Config
	server  *http.Server
}

// NeedLeaderElection tells the manager that every replica serves.
func (s *pageServer) NeedLeaderElection() bool { return false }

// Start serves until ctx is done.
func (s *pageServer) Start(ctx context.Context) error {
	listener, err := tls.Listen("tcp", s.address, s.config)
	if err != nil {
		return fmt.Errorf("the report's address: %w", err)
	}
	defer context.AfterFunc(ctx, func() { _ = s.server.Close() })() // A page is quickly asked for again.
	if err := s.server.Serve(listener); err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

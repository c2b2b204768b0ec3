package process

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
)

// probeTimeout bounds the reading of a probe's request.
const probeTimeout = 10 * time.Second

// Probes serve /healthz, which succeeds while the process runs, and /readyz, which succeeds
// while all checks do. Unlike those of a controller-runtime manager they are served before the
// process has connected to an API server, and they name the reasons.
type Probes struct {
	log    logr.Logger
	server *http.Server // nil at NoAddress

	mu     sync.Mutex
	checks map[string]healthz.Checker
	// unready reports that the last answer of /readyz was that the process is not ready.
	unready bool
}

// ServeProbes serves probes at a HOST:PORT, or nothing at NoAddress, until Close. /readyz fails
// until Check is called.
func ServeProbes(address string, log logr.Logger) (*Probes, error) {
	p := &Probes{log: log}
	p.NotReady("process", errors.New("not ready: still starting"))
	if address == NoAddress {
		return p, nil
	}
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("probes: %w", err)
	}
	p.server = &http.Server{Handler: p.handler(), ReadTimeout: probeTimeout}
	go p.server.Serve(listener) //nolint:errcheck // It ends with Close.
	return p, nil
}

// handler also serves single checks, such as /readyz/cluster.
func (p *Probes) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		failed := p.failed(r)
		p.logChange(failed)
		answer(w, failed)
	})
	mux.HandleFunc("GET /readyz/{check}", func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("check")
		check := p.current()[name]
		if check == nil {
			http.NotFound(w, r)
			return
		}
		answer(w, check(r))
	})
	return mux
}

// answer writes the status of a probe, and the reasons if it fails.
func answer(w http.ResponseWriter, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	fmt.Fprintln(w, "ok")
}

func (p *Probes) current() map[string]healthz.Checker {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.checks
}

// failed returns the checks that fail with their reasons, one in a line, or nil.
func (p *Probes) failed(r *http.Request) error {
	checks := p.current()
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(checks)) {
		if err := checks[name](r); err != nil {
			lines = append(lines, name+": "+err.Error())
		}
	}
	if lines == nil {
		return nil
	}
	return errors.New(strings.Join(lines, "\n"))
}

// logChange logs when the process becomes ready and when it no longer is.
func (p *Probes) logChange(failed error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case failed == nil && p.unready:
		p.log.Info("Ready")
	case failed != nil && !p.unready:
		p.log.Info("Not ready", "reasons", failed.Error())
	}
	p.unready = failed != nil
}

// Check makes /readyz succeed while all checks do.
func (p *Probes) Check(checks map[string]healthz.Checker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.checks = checks
}

// NotReady makes /readyz fail for a reason.
func (p *Probes) NotReady(check string, reason error) {
	p.Check(map[string]healthz.Checker{check: func(*http.Request) error { return reason }})
}

// Close stops serving the probes.
func (p *Probes) Close() {
	if p.server != nil {
		p.server.Close()
	}
}

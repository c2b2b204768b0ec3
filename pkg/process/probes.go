package process

import (
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/healthz"
)

// probeTimeout bounds the reading of a probe's request.
const probeTimeout = 10 * time.Second

// Probes serve /healthz, which succeeds while the process runs, and /readyz, which succeeds
// while all checks do. They are served before the process can connect to an API server, unlike
// those of a controller-runtime manager.
type Probes struct {
	server *http.Server // nil at NoAddress
	ready  atomic.Pointer[healthz.Handler]
}

// ServeProbes serves probes at a HOST:PORT, or nothing at NoAddress, until Close. /readyz fails
// until Check is called.
func ServeProbes(address string) (*Probes, error) {
	p := &Probes{}
	p.NotReady("process", fmt.Errorf("not ready: the process starts"))
	if address == NoAddress {
		return p, nil
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("probes: %w", err)
	}
	p.server = &http.Server{Handler: p.handler(), ReadTimeout: probeTimeout}
	go p.server.Serve(listener) //nolint:errcheck // It ends with Close.
	return p, nil
}

// handler also serves single checks, such as /readyz/cluster, which names the reason.
func (p *Probes) handler() http.Handler {
	mux := http.NewServeMux()
	for path, probe := range map[string]http.Handler{
		"/healthz": &healthz.Handler{Checks: map[string]healthz.Checker{"ping": healthz.Ping}},
		"/readyz":  http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.ready.Load().ServeHTTP(w, r) }),
	} {
		mux.Handle(path, http.StripPrefix(path, probe))
		mux.Handle(path+"/", http.StripPrefix(path, probe))
	}
	return mux
}

// Check makes /readyz succeed while all checks do.
func (p *Probes) Check(checks map[string]healthz.Checker) {
	p.ready.Store(&healthz.Handler{Checks: checks})
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

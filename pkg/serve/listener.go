package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
	"sigs.k8s.io/controller-runtime/pkg/healthz"

	"github.com/bgpguard/bgpguard/pkg/process"
)

// Bounds of the HTTP server.
const (
	headerTimeout = 10 * time.Second
	pageTimeout   = time.Minute
	headerBytes   = 16 << 10
)

// listener is an HTTP server, which listens once it is started.
type listener struct {
	flag, address string
	// opened is called with the URL of the server when it listens.
	opened func(url string)
	tls    *tls.Config // nil for HTTP
	server *http.Server
	open   atomic.Bool
}

// newListener returns a listener on the address that a flag names.
func newListener(flag, address string, handler http.Handler, opened func(url string)) *listener {
	return &listener{flag: flag, address: address, opened: opened, server: &http.Server{
		Handler: handler, ReadHeaderTimeout: headerTimeout, ReadTimeout: headerTimeout, WriteTimeout: pageTimeout,
		IdleTimeout: pageTimeout, MaxHeaderBytes: headerBytes,
	}}
}

// newListeners returns what serves the page and the probes.
func newListeners(page http.Handler, ready healthz.Checker, o *Options, log logr.Logger) ([]runnable, error) {
	log = log.WithName("page")
	var out []runnable
	mux := http.NewServeMux()
	mux.Handle(pagePath, onlyLoopback(page))
	var config *tls.Config
	if o.Secure {
		authorized, err := authorizer(o.Clusters[0].Config, log)
		if err != nil {
			return nil, err
		}
		mux = secureMux(newLogin(page, authorized))
		get, watcher, err := certificate(o.CertDir)
		if err != nil {
			return nil, fmt.Errorf("certificate: %w", err)
		}
		if watcher != nil {
			out = append(out, watcher)
		}
		config = &tls.Config{NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS13, GetCertificate: get}
	}
	listener := newListener("bind-address", o.BindAddress, mux, func(url string) {
		log.Info("Serving the report of the current audit", "url", url+pagePath)
	})
	listener.tls = config
	out = append(out, listener)
	if o.HealthProbeBindAddress != process.NoAddress {
		checks := map[string]healthz.Checker{"state": ready, "page": listener.Check}
		out = append(out, newListener("health-probe-bind-address", o.HealthProbeBindAddress, probes(checks), func(string) {}))
	}
	return out, nil
}

// probes serves /healthz, which succeeds while the process runs, and /readyz, which succeeds
// while all checks do.
func probes(ready map[string]healthz.Checker) http.Handler {
	mux := http.NewServeMux()
	for path, checks := range map[string]map[string]healthz.Checker{"/healthz": {"ping": healthz.Ping}, "/readyz": ready} {
		mux.Handle(path, http.StripPrefix(path, &healthz.Handler{Checks: checks}))
	}
	return mux
}

// authorizer returns a function that wraps a handler: it then serves the requests that the API
// server of config authenticates and authorizes.
func authorizer(config *rest.Config, log logr.Logger) (func(http.Handler) http.Handler, error) {
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	filter, err := process.Authorization(config, client)
	if err != nil {
		return nil, err
	}
	// A trial, so that errors in the configuration end the process at once.
	if _, err := filter(log, http.NotFoundHandler()); err != nil {
		return nil, err
	}
	return func(next http.Handler) http.Handler {
		handler, err := filter(log, next)
		if err != nil {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				log.Error(err, "Cannot authenticate the request")
				http.Error(w, "The request cannot be authenticated.", http.StatusInternalServerError)
			})
		}
		return handler
	}, nil
}

// secureMux serves the page and the form to log in. Browsers cannot send the form from
// another site.
func secureMux(l *login) *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle(pagePath, http.HandlerFunc(l.ServePage))
	mux.Handle(loginPath, http.NewCrossOriginProtection().Handler(l))
	return mux
}

// certificate returns a function for tls.Config.GetCertificate: the certificate in
// dir, which the returned watcher reloads when it is replaced, or a self-signed one where dir
// is "".
func certificate(dir string) (func(*tls.ClientHelloInfo) (*tls.Certificate, error), *certwatcher.CertWatcher, error) {
	if dir == "" {
		s := &selfSigned{now: time.Now}
		_, err := s.get(nil)
		return s.get, nil, err
	}
	watcher, err := certwatcher.New(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"))
	if err != nil {
		return nil, nil, err
	}
	return watcher.GetCertificate, watcher, nil
}

// onlyLoopback rejects requests whose Host header does not name this machine: a web
// page of somebody else, whose DNS name resolves to a loopback address, must not
// read the report in the user's browser.
func onlyLoopback(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if !process.IsLoopback(host) {
			http.Error(w, "The host must be localhost or a loopback address.", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Check is a healthz.Checker for readiness: it fails until the server listens.
func (l *listener) Check(*http.Request) error {
	if !l.open.Load() {
		return errors.New("not listening yet")
	}
	return nil
}

// Start serves until ctx is done.
func (l *listener) Start(ctx context.Context) error {
	listening, err := (&net.ListenConfig{}).Listen(ctx, "tcp", l.address)
	if err != nil {
		return fmt.Errorf("flag --%s: %w", l.flag, err)
	}
	scheme := "http"
	if l.tls != nil {
		scheme, listening = "https", tls.NewListener(listening, l.tls)
	}
	l.open.Store(true)
	l.opened(scheme + "://" + listening.Addr().String())
	defer context.AfterFunc(ctx, func() { _ = l.server.Close() })() // A reader can reload the page.
	if err := l.server.Serve(listening); err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

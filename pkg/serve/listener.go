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
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/bgpguard/bgpguard/pkg/process"
)

// Bounds of the HTTP server.
const (
	headerTimeout = 10 * time.Second
	pageTimeout   = time.Minute
	headerBytes   = 16 << 10
)

// listener serves the page. It is a manager.Runnable, which listens once it is
// started.
type listener struct {
	address string
	tls     *tls.Config // nil for HTTP
	server  *http.Server
	log     logr.Logger
	open    atomic.Bool
}

// newListener returns the listener of the page: over HTTPS to users who may "get"
// the URL of the page, or over HTTP on loopback.
func newListener(mgr manager.Manager, page http.Handler, o *Options) (*listener, error) {
	log := mgr.GetLogger().WithName("page")
	l := &listener{address: o.BindAddress, log: log}
	mux := http.NewServeMux()
	mux.Handle(pagePath, onlyLoopback(page))
	if o.Secure {
		filter, err := filters.WithAuthenticationAndAuthorization(mgr.GetConfig(), mgr.GetHTTPClient())
		if err != nil {
			return nil, err
		}
		authorized, err := authorizer(filter, log)
		if err != nil {
			return nil, err
		}
		mux = secureMux(newLogin(page, authorized))
		get, err := certificate(mgr, o.CertDir)
		if err != nil {
			return nil, fmt.Errorf("certificate: %w", err)
		}
		l.tls = &tls.Config{NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS13, GetCertificate: get}
	}
	l.server = &http.Server{
		Handler: mux, ReadHeaderTimeout: headerTimeout, ReadTimeout: headerTimeout, WriteTimeout: pageTimeout,
		IdleTimeout: pageTimeout, MaxHeaderBytes: headerBytes,
	}
	return l, nil
}

// authorizer returns a function that wraps handlers with filter, after one trial.
func authorizer(filter metricsserver.Filter, log logr.Logger) (func(http.Handler) http.Handler, error) {
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
// dir, which is reloaded when it is replaced, or a self-signed one where dir is "".
func certificate(mgr manager.Manager, dir string) (func(*tls.ClientHelloInfo) (*tls.Certificate, error), error) {
	if dir == "" {
		s := &selfSigned{now: time.Now}
		if _, err := s.get(nil); err != nil {
			return nil, err
		}
		return s.get, nil
	}
	watcher, err := certwatcher.New(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"))
	if err != nil {
		return nil, err
	}
	return watcher.GetCertificate, mgr.Add(watcher)
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

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (l *listener) NeedLeaderElection() bool { return false }

// Check is a healthz.Checker for readiness: it fails until the page can be
// requested.
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
		return fmt.Errorf("flag --bind-address: %w", err)
	}
	scheme := "http"
	if l.tls != nil {
		scheme, listening = "https", tls.NewListener(listening, l.tls)
	}
	l.open.Store(true)
	l.log.Info("Serving the report of the current audit", "url", scheme+"://"+listening.Addr().String()+pagePath)
	defer context.AfterFunc(ctx, func() { _ = l.server.Close() })() // A reader can reload the page.
	if err := l.server.Serve(listening); err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

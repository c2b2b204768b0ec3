package server

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/net/netutil"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
)

// The bounds of a connection to the webhook. Every client that reaches the port can open one.
const (
	// headerTime bounds the TLS handshake, and the time until the header of a request is read.
	headerTime = 10 * time.Second
	// idleTime is how long an idle connection stays open. The API server closes its own after 90 s.
	idleTime = 90 * time.Second
	// answerMargin is the time to read and write a request, which is added to its timeout. The
	// body has a shorter time; see admission.Intake.
	answerMargin = 5 * time.Second
	// maxHeader is the largest header of a request, in bytes.
	maxHeader = 64 << 10
	// maxConnections bounds the connections; others wait until one is closed. One with TLS needs about
	// 30 KiB. The API server keeps at most 25 idle ones.
	maxConnections = 1000
	// drainTime bounds the wait for the last answers at a shutdown.
	drainTime = time.Minute
)

// webhookServer is a webhook.Server that bounds its connections, which that of controller-runtime
// does not, and speaks HTTP/1.1 only: HTTP/2 has many requests on one connection, without a time
// limit for the body of each. API servers call webhooks in a cluster by HTTP/1.1.
type webhookServer struct {
	webhook.Server // has the handlers and their metrics

	http    *http.Server
	tls     *tls.Config
	address string
	started atomic.Bool
}

// newWebhookServer returns a server whose answers take at most timeout.
func newWebhookServer(host string, port int, timeout time.Duration, options ...func(*tls.Config)) *webhookServer {
	s := &webhookServer{
		Server:  webhook.NewServer(webhook.Options{}),
		tls:     &tls.Config{MinVersion: tls.VersionTLS13},
		address: net.JoinHostPort(host, strconv.Itoa(port)),
		http: &http.Server{
			ReadHeaderTimeout: headerTime,
			ReadTimeout:       headerTime + timeout + answerMargin,
			WriteTimeout:      timeout + answerMargin,
			IdleTimeout:       idleTime,
			MaxHeaderBytes:    maxHeader,
		},
	}
	for _, option := range options {
		option(s.tls)
	}
	s.tls.NextProtos = []string{"http/1.1"}
	s.http.Protocols = &http.Protocols{}
	s.http.Protocols.SetHTTP1(true)
	return s
}

// Start implements webhook.Server: it serves until ctx is done and all requests are answered.
func (s *webhookServer) Start(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.address)
	if err != nil {
		return err
	}
	s.http.Handler = s.WebhookMux()
	s.started.Store(true)
	drain := drainTime
	serve := &manager.Server{Name: "webhook", Server: s.http, Listener: tls.NewListener(netutil.LimitListener(listener, maxConnections), s.tls), ShutdownTimeout: &drain}
	return serve.Start(ctx)
}

// StartedChecker implements webhook.Server: the check fails until the server accepts connections.
func (s *webhookServer) StartedChecker() healthz.Checker {
	return func(*http.Request) error {
		if !s.started.Load() {
			return errors.New("the webhook does not accept connections yet")
		}
		return nil
	}
}

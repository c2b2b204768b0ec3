package server

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"sync"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/bgpguard/bgpguard/pkg/loop"
)

var unauthenticated = prometheus.NewCounter(prometheus.CounterOpts{
	Name: "bgpguard_unauthenticated_requests_total",
	Help: "Requests to the webhook that were rejected because the client has no certificate of the client CA.",
})

// clientCA authenticates the clients of the webhook by their certificates. Its methods are safe
// for concurrent use.
type clientCA struct {
	path string
	log  logr.Logger

	mu      sync.Mutex
	data    []byte // the file as it was read last
	pool    *x509.CertPool
	failure loop.Failure
}

// newClientCA returns nil if path is "". An error means that the file has no certificate.
func newClientCA(path string, log logr.Logger) (*clientCA, error) {
	if path == "" {
		log.Info("The webhook answers every client that reaches its port: set --client-ca-file to answer the API server only")
		return nil, nil
	}
	c := &clientCA{path: path, log: log}
	if err := c.read(); err != nil {
		return nil, err
	}
	return c, nil
}

// read reads the file if it has changed. After an error, the last pool stays.
func (c *clientCA) read() error {
	data, err := os.ReadFile(c.path)
	if err != nil {
		return fmt.Errorf("reading the client CA: %w", err)
	}
	if c.pool != nil && bytes.Equal(data, c.data) {
		return nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return fmt.Errorf("client CA: %s contains no certificate in PEM", c.path)
	}
	c.data, c.pool = data, pool
	return nil
}

// current returns the CAs that the file contains, or did when it was last valid: it is replaced
// while the process runs.
func (c *clientCA) current() *x509.CertPool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.read(); err == nil {
		c.failure.Clear()
	} else if c.failure.Changed(err) {
		c.log.Error(err, "Cannot read the client CA, still using the previous one")
	}
	return c.pool
}

// configure makes a server verify the certificate that a client sends. A connection without a
// certificate is not an error, because the readiness probe opens one.
func (c *clientCA) configure(base *tls.Config) {
	if c == nil {
		return
	}
	base.ClientAuth = tls.VerifyClientCertIfGiven
	base.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		config := base.Clone()
		config.GetConfigForClient, config.ClientCAs = nil, c.current()
		return config, nil
	}
}

// protect returns a handler that answers 401 to clients without a certificate of the CA.
func (c *clientCA) protect(next http.Handler) http.Handler {
	if c == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
			unauthenticated.Inc()
			http.Error(w, "bgpguard: a client certificate is required: the API server needs one for this webhook in its AdmissionConfiguration", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

//go:build system

package races

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bgpguard/bgpguard/test/env"
)

// balancer sends each request of the API server to the next replica, so that changes at the same moment reach different
// ones. A Service does this for each connection, and the API server reuses connections.
type balancer struct {
	server   *http.Server
	roots    *x509.CertPool
	replicas atomic.Pointer[[]*replica]
	turn     atomic.Uint64
}

// replica is a replica of the webhook.
type replica struct {
	url    string
	client *http.Client
	proxy  *httputil.ReverseProxy
}

// newBalancer serves on the port of the webhook configurations with the certificate of the replicas.
func newBalancer(ctx context.Context, e *env.Environment) (*balancer, error) {
	secret, err := e.Client.CoreV1().Secrets("bgpguard-system").Get(ctx, "bgpguard-webhook-cert", metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(secret.Data["tls.crt"], secret.Data["tls.key"])
	if err != nil {
		return nil, err
	}
	b := &balancer{roots: x509.NewCertPool()}
	if !b.roots.AppendCertsFromPEM(secret.Data["ca.crt"]) {
		return nil, errors.New("the Secret holds no certificate of a CA")
	}
	b.replicas.Store(&[]*replica{})
	listener, err := tls.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(e.WebhookPort)), &tls.Config{
		Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13,
	})
	if err != nil {
		return nil, err
	}
	b.server = &http.Server{Handler: b, ReadHeaderTimeout: time.Minute, IdleTimeout: time.Hour}
	go b.server.Serve(listener) //nolint:errcheck // The API server reports that it cannot call the webhook.
	return b, nil
}

func (b *balancer) close() { b.server.Close() }

// ServeHTTP implements http.Handler.
func (b *balancer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	replicas := *b.replicas.Load()
	if len(replicas) == 0 {
		http.Error(w, "there is no replica", http.StatusServiceUnavailable)
		return
	}
	replicas[b.turn.Add(1)%uint64(len(replicas))].proxy.ServeHTTP(w, r)
}

// add makes the API server ask a further replica.
func (b *balancer) add(webhook *env.Webhook) (*replica, error) {
	target, err := url.Parse(webhook.URL)
	if err != nil {
		return nil, err
	}
	host := &url.URL{Scheme: target.Scheme, Host: target.Host}
	// A connection for each request: one that is reused can be closed while the answer is on its way, and the API server
	// admits a change of a Node that gets no answer.
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: b.roots, MinVersion: tls.VersionTLS13}, DisableKeepAlives: true,
	}
	r := &replica{
		url:    webhook.URL,
		client: &http.Client{Transport: transport},
		proxy:  &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(host) }, Transport: transport},
	}
	b.use(append([]*replica{r}, *b.replicas.Load()...)...)
	return r, nil
}

// use makes the API server ask these replicas in turn.
func (b *balancer) use(replicas ...*replica) { b.replicas.Store(&replicas) }

// answers returns an error unless the replica allows or denies a review.
func (r *replica) answers(ctx context.Context, review []byte, allowed bool) error {
	answer, err := env.PostReview(ctx, r.client, r.url, review)
	if err != nil {
		return err
	}
	code := answer.Result.Code
	if answer.Allowed != allowed || !allowed && code != http.StatusForbidden {
		return fmt.Errorf("allowed=%t with code %d: %s", answer.Allowed, code, answer.Result.Message)
	}
	return nil
}

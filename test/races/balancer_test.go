//go:build system

package races

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

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

// deletionReview returns the body of a dry-run review of the deletion of an object.
func deletionReview(object *unstructured.Unstructured) ([]byte, error) {
	gvk := object.GroupVersionKind()
	kind := metav1.GroupVersionKind{Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind}
	of := metav1.GroupVersionResource{Group: gvk.Group, Version: gvk.Version, Resource: "bgppeers"}
	raw, err := object.MarshalJSON()
	if err != nil {
		return nil, err
	}
	review := admissionv1.AdmissionReview{Request: &admissionv1.AdmissionRequest{
		UID: "probe", Kind: kind, RequestKind: &kind, Resource: of, RequestResource: &of,
		Name: object.GetName(), Operation: admissionv1.Delete, DryRun: new(true),
		UserInfo: authenticationv1.UserInfo{Username: "probe", Groups: []string{"system:authenticated"}},
	}}
	review.Request.OldObject.Raw = raw
	review.SetGroupVersionKind(admissionv1.SchemeGroupVersion.WithKind("AdmissionReview"))
	return json.Marshal(review)
}

// answers returns an error unless the replica allows or denies a review.
func (r *replica) answers(ctx context.Context, review []byte, allowed bool) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url+"?timeout=5s", bytes.NewReader(review))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := r.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	var answer admissionv1.AdmissionReview
	if err := json.Unmarshal(body, &answer); err != nil || answer.Response == nil {
		return fmt.Errorf("%s: not an AdmissionReview: %s", response.Status, body)
	}
	code := answer.Response.Result.Code
	if answer.Response.Allowed != allowed || !allowed && code != http.StatusForbidden {
		return fmt.Errorf("allowed=%t with code %d: %s", answer.Response.Allowed, code, answer.Response.Result.Message)
	}
	return nil
}

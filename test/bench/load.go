package main

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
	"slices"
	"sync"
	"sync/atomic"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// warmup is the number of requests on each connection before the measurement.
	warmup = 20
	// maxRequests bounds the requests of one connection in a repetition.
	maxRequests = 100_000
	// patience is the longest timeoutSeconds that Kubernetes accepts, and requestTimeout that of bgpguard: a busy machine makes
	// answers late, and must not end the benchmark.
	patience       = 30 * time.Second
	requestTimeout = patience - time.Second
)

// numbers makes every request of this process unique.
var numbers atomic.Int64

// target is a webhook that is measured.
type target struct {
	url     string
	tls     *tls.Config
	allowed func(question) bool
	// isDenial reports whether the status of an answer is that of a denial, and not of an error.
	isDenial func(*metav1.Status) bool
}

func isAllowed(q question) bool { return q.allowed }

func isForbidden(status *metav1.Status) bool { return status.Code == http.StatusForbidden }

func newTarget(address string, ca []byte, allowed func(question) bool) (*target, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, errors.New("the CA is not a certificate")
	}
	return &target{
		url:      address + "?timeout=" + patience.String(),
		tls:      &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13},
		allowed:  allowed,
		isDenial: isForbidden,
	}, nil
}

// client has one persistent connection.
func (t *target) client() *http.Client {
	transport := &http.Transport{
		TLSClientConfig: t.tls, DisableCompression: true, MaxConnsPerHost: 1,
		Protocols: new(http.Protocols),
		// Whatever the name resolves to, only this machine is loaded.
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
		},
	}
	transport.Protocols.SetHTTP1(true)
	return &http.Client{Transport: transport, Timeout: patience}
}

// timing is the result of one repetition.
type timing struct {
	p50, p99  time.Duration
	perSecond float64
}

// measure sends a question for some time on several connections, each request after the answer to the one before.
func (t *target) measure(ctx context.Context, q question, connections int, duration time.Duration) (timing, error) {
	latencies, took, err := t.load(ctx, func(int) question { return q }, connections, duration)
	if err != nil {
		return timing{}, fmt.Errorf("%s at %s: %w", q.name, t.url, err)
	}
	slices.Sort(latencies)
	return timing{
		p50: percentile(latencies, 50), p99: percentile(latencies, 99),
		perSecond: float64(len(latencies)) / took.Seconds(),
	}, nil
}

// load sends questions for some time on several connections, after a warm-up. next returns the question of a number, which
// counts the requests of a connection from 0. It returns the duration of each answer, and of all.
func (t *target) load(ctx context.Context, next func(int) question, connections int, duration time.Duration) ([]time.Duration, time.Duration, error) {
	clients := make([]*http.Client, connections)
	for i := range clients {
		clients[i] = t.client()
	}
	defer func() {
		for _, client := range clients {
			client.CloseIdleConnections()
		}
	}()
	began := time.Now()
	if _, err := t.ask(ctx, clients, next, func(asked int) bool { return asked < warmup && time.Since(began) < duration }); err != nil {
		return nil, 0, err
	}
	began = time.Now()
	latencies, err := t.ask(ctx, clients, next, func(asked int) bool { return asked < maxRequests && time.Since(began) < duration })
	return latencies, time.Since(began), err
}

// ask returns the duration of each answer, over all connections. The first failure ends all of them.
func (t *target) ask(ctx context.Context, clients []*http.Client, next func(int) question, more func(asked int) bool) ([]time.Duration, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	latencies := make([][]time.Duration, len(clients))
	var group sync.WaitGroup
	for i, client := range clients {
		group.Go(func() {
			own := make([]time.Duration, 0, 1<<14)
			for more(len(own)) {
				latency, err := t.askOnce(ctx, client, next(len(own)))
				if err != nil {
					cancel(err)
					return
				}
				own = append(own, latency)
			}
			latencies[i] = own
		})
	}
	group.Wait()
	return slices.Concat(latencies...), context.Cause(ctx)
}

// askOnce measures one answer and then checks it.
func (t *target) askOnce(ctx context.Context, client *http.Client, q question) (time.Duration, error) {
	body, uid := q.review(numbers.Add(1))
	began := time.Now()
	answer, err := post(ctx, client, t.url, body)
	latency := time.Since(began)
	if err != nil {
		return 0, err
	}
	return latency, t.checkAnswer(answer, uid, t.allowed(q))
}

func post(ctx context.Context, client *http.Client, address string, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, answer)
	}
	return answer, err
}

// checkAnswer returns an error unless the answer is the right decision: an error would be fast too.
func (t *target) checkAnswer(answer []byte, uid string, allowed bool) error {
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(answer, &review); err != nil {
		return fmt.Errorf("the answer is not an AdmissionReview: %w", err)
	}
	response := review.Response
	switch {
	case response == nil || string(response.UID) != uid:
		return fmt.Errorf("this answers another request than %s: %s", uid, answer)
	case response.Allowed != allowed:
		return fmt.Errorf("allowed should be %t: %s", allowed, answer)
	case !allowed && (response.Result == nil || !t.isDenial(response.Result)):
		return fmt.Errorf("this is an error, not a denial: %s", answer)
	}
	return nil
}

package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	certmetrics "sigs.k8s.io/controller-runtime/pkg/certwatcher/metrics"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bgpguard/bgpguard/pkg/loop"
)

// selfManaged serves the certificate of the Secret from memory. It watches the Secret instead of mounting it: the
// kubelet updates a mounted Secret up to 90 s later, and until then the API server may not trust the certificate.
type selfManaged struct {
	secret        types.NamespacedName
	configuration string

	cache    cache.Cache
	log      logr.Logger
	rollover rollover
	// missing is the reason why no certificate is served.
	missing atomic.Pointer[error]
	// failure is the reason why the Secret's certificate is not served.
	failure loop.Failure
	// marker is the file by which cert-controller detects that this process has a certificate. cert-controller
	// expects the mounted certificate there; bgpguard writes an empty file, and no private key to the disk.
	marker string
}

// NeedLeaderElection implements manager.LeaderElectionRunnable: every replica serves.
func (s *selfManaged) NeedLeaderElection() bool { return false }

// Start keeps the served certificate in step with the Secret and the webhook configuration until ctx ends.
func (s *selfManaged) Start(ctx context.Context) error {
	defer os.RemoveAll(filepath.Dir(s.marker))

	changed := loop.NewSignal()
	for _, obj := range []client.Object{&corev1.Secret{}, &admissionregistrationv1.ValidatingWebhookConfiguration{}} {
		informer, err := s.cache.GetInformer(ctx, obj, cache.BlockUntilSynced(false))
		if err != nil {
			return fmt.Errorf("watching %T: %w", obj, err)
		}
		if _, err := informer.AddEventHandler(notify(changed)); err != nil {
			return fmt.Errorf("watching %T: %w", obj, err)
		}
	}
	stopped := make(chan error, 1)
	go func() { stopped <- s.cache.Start(ctx) }()
	// Before the cache is synced, a webhook configuration that was not listed yet looks like one that does not exist.
	if s.cache.WaitForCacheSync(ctx) {
		s.run(ctx, s.cache, changed)
	}
	return <-stopped
}

// notify returns a handler that sends changed for every event.
func notify(changed loop.Signal) toolscache.ResourceEventHandler {
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { changed.Send() },
		UpdateFunc: func(any, any) { changed.Send() },
		DeleteFunc: func(any) { changed.Send() },
	}
}

func (s *selfManaged) run(ctx context.Context, reader client.Reader, changed loop.Signal) {
	for {
		var again <-chan time.Time
		if left := s.refresh(ctx, reader, time.Now()); left > 0 {
			again = time.After(left)
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-again:
		}
	}
}

// refresh reads the Secret and the webhook configuration. It returns the time after which to call it again even if
// neither changes, 0 for never.
func (s *selfManaged) refresh(ctx context.Context, reader client.Reader, now time.Time) time.Duration {
	pair, err := s.read(ctx, reader)
	if err != nil {
		s.reject(err)
		return 0
	}
	trusted, err := s.trusted(ctx, reader)
	if err != nil {
		s.reject(err)
		return 0
	}
	before := s.rollover.served.Load()
	served, again := s.rollover.consider(pair, trusted, now)
	if !served {
		s.hold()
		return again
	}
	s.failure.Clear()
	if !pair.equal(before) {
		reportExpiry(pair.cert.Leaf, pair.ca)
		s.log.Info("Serving the certificate of the Secret", "secret", s.secret,
			"notAfter", pair.cert.Leaf.NotAfter, "caNotAfter", pair.ca.NotAfter)
		s.mark()
	}
	return 0
}

func (s *selfManaged) read(ctx context.Context, reader client.Reader) (*keyPair, error) {
	var secret corev1.Secret
	if err := reader.Get(ctx, s.secret, &secret); err != nil {
		return nil, err
	}
	return parseSecret(&secret)
}

// trusted returns the CAs that the API server accepts, for each webhook of the configuration.
func (s *selfManaged) trusted(ctx context.Context, reader client.Reader) ([][]*x509.Certificate, error) {
	var configuration admissionregistrationv1.ValidatingWebhookConfiguration
	err := reader.Get(ctx, types.NamespacedName{Name: s.configuration}, &configuration)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	trusted := make([][]*x509.Certificate, 0, len(configuration.Webhooks))
	for _, webhook := range configuration.Webhooks {
		trusted = append(trusted, parseCertificates(webhook.ClientConfig.CABundle))
	}
	return trusted, nil
}

// reject reports that the Secret is invalid. The served certificate stays, until it expires.
func (s *selfManaged) reject(err error) {
	s.wait(err)
	if s.rollover.served.Load() == nil && errors.Is(err, errEmpty) {
		return // A new installation.
	}
	if s.failure.Changed(err) {
		certmetrics.ReadCertificateErrors.Inc()
		s.log.Error(err, "The certificate Secret is invalid, still serving the previous certificate", "secret", s.secret)
	}
}

// hold reports that the certificate of the Secret cannot be served yet.
func (s *selfManaged) hold() {
	reason := fmt.Errorf("ValidatingWebhookConfiguration %q does not trust its CA yet", s.configuration)
	s.wait(reason)
	if s.failure.Changed(reason) {
		s.log.Info("Not serving the new certificate until every API server trusts its CA", "secret", s.secret)
	}
}

func (s *selfManaged) wait(reason error) {
	err := fmt.Errorf("no serving certificate yet: Secret %q: %w", s.secret, reason)
	s.missing.Store(&err)
}

func (s *selfManaged) current() (*tls.Certificate, error) {
	if served := s.rollover.served.Load(); served != nil {
		return served.cert, nil
	}
	return nil, *s.missing.Load()
}

// mark writes the marker. If that fails, cert-controller ends the process after about 20 minutes.
func (s *selfManaged) mark() {
	if err := os.WriteFile(s.marker, nil, 0o600); err != nil {
		s.log.Error(err, "Cannot write the marker file for cert-controller")
	}
}

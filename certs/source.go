// Package certs owns the serving certificate of the webhook.
//
// A process uses one of two kinds of certificates. By default cert-controller creates and renews a CA and a serving
// certificate in a Secret, and writes the CA into the webhook configuration; see selfManaged. With Options.Dir set,
// something else manages the certificate, for example cert-manager: it is read from files, and bgpguard writes neither
// the Secret nor the webhook configuration.
package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"

	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// The keys of the Secret and the names of the files, as in Secrets of type kubernetes.io/tls and cert-manager.
const (
	certName = "tls.crt"
	keyName  = "tls.key"
	caName   = "ca.crt"
)

// Options configures the source of the serving certificate.
type Options struct {
	// Dir is a directory with tls.crt and tls.key, and optionally ca.crt, whose expiry is then reported.
	// If it is set, all other options are ignored. If it is empty, all but ExtraDNSNames are required.
	Dir string

	// Namespace holds the Secret and the Service.
	Namespace string
	// Secret holds the CA and the serving certificate. It must exist; it may be empty.
	Secret string
	// Service is the name of the Service through which the API server calls the webhook.
	Service string
	// WebhookConfiguration is the name of the ValidatingWebhookConfiguration that gets the CA.
	WebhookConfiguration string
	// ExtraDNSNames are additional names of the certificate. A change takes effect when the next certificate is created:
	// at the renewal, or after tls.crt is removed from the Secret.
	ExtraDNSNames []string
}

func (o Options) validate() error {
	if o.Dir != "" {
		return nil
	}
	var errs []error
	for _, required := range []struct{ name, value string }{
		{"Namespace", o.Namespace},
		{"Secret", o.Secret},
		{"Service", o.Service},
		{"WebhookConfiguration", o.WebhookConfiguration},
	} {
		if required.value == "" {
			errs = append(errs, fmt.Errorf("%s is required without Dir", required.name))
		}
	}
	for _, name := range o.ExtraDNSNames {
		// cert-controller writes DNS names only, and TLS clients don't look for an address among those.
		if net.ParseIP(name) != nil {
			errs = append(errs, fmt.Errorf("ExtraDNSNames: %q is an IP address, not a DNS name", name))
		}
	}
	return errors.Join(errs...)
}

// Source returns the current serving certificate. It is safe for concurrent use after SetupWithManager.
type Source struct {
	options Options
	current func() (*tls.Certificate, error)
}

// NewSource returns a source without a certificate. The servers of a manager can refer to it before the manager exists;
// SetupWithManager completes it.
func NewSource(o Options) *Source {
	return &Source{options: o, current: func() (*tls.Certificate, error) {
		return nil, errors.New("no serving certificate yet: no manager runs")
	}}
}

// SetupWithManager adds everything that keeps the certificate current to mgr. All of it runs on every replica: each
// replica serves, and any of them may renew.
func (s *Source) SetupWithManager(mgr manager.Manager) error {
	if err := s.options.validate(); err != nil {
		return fmt.Errorf("options of the serving certificate: %w", err)
	}
	var err error
	if s.options.Dir != "" {
		s.current, err = setupFiles(mgr, s.options.Dir)
	} else {
		s.current, err = setupSelfManaged(mgr, s.options)
	}
	return err
}

// GetCertificate implements tls.Config.GetCertificate. Until there is a certificate, it returns an error that names
// what is missing. After that it always returns the last valid certificate.
func (s *Source) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return s.current()
}

// VerifiedBy returns an error if no certificate of caBundle verifies the serving certificate. Without a serving
// certificate it returns nil.
func (s *Source) VerifiedBy(caBundle []byte) error {
	serving, err := s.current()
	if err != nil {
		return nil //nolint:nilerr // Check reports it.
	}
	roots := x509.NewCertPool()
	for _, ca := range parseCertificates(caBundle) {
		roots.AddCert(ca)
	}
	intermediates := x509.NewCertPool()
	for _, der := range serving.Certificate[1:] {
		if between, err := x509.ParseCertificate(der); err == nil {
			intermediates.AddCert(between)
		}
	}
	_, err = serving.Leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates})
	return err
}

// Check is a healthz.Checker for readiness: it fails until there is a certificate.
func (s *Source) Check(*http.Request) error {
	_, err := s.current()
	return err
}

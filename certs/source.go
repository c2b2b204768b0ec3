// Package certs owns the certificate with which the webhook serves, and exports the source of the current one.
//
// There are two ways to get a certificate, and a process uses exactly one of them. By default cert-controller makes and
// renews a CA and a serving certificate in a Secret and tells the API server about the CA; see selfManaged. With
// Options.Dir set, the certificate is somebody else's (cert-manager's, say): it is read from files and neither the Secret
// nor the webhook configuration is touched.
package certs

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"

	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// The keys of the Secret and the names of the files, as Secrets of type kubernetes.io/tls and cert-manager have them.
const (
	certName = "tls.crt"
	keyName  = "tls.key"
	caName   = "ca.crt"
)

// Options says where the serving certificate comes from.
type Options struct {
	// Dir is a directory with tls.crt and tls.key, and ca.crt if the CA's expiry is to be reported.
	// When it is set, all other options are ignored; when it is empty, all but ExtraDNSNames are required.
	Dir string

	// Namespace holds the Secret and the Service.
	Namespace string
	// Secret is where the CA and the serving certificate are kept. It has to exist; it may be empty.
	Secret string
	// Service is the name under which the API server calls the webhook.
	Service string
	// WebhookConfiguration is the ValidatingWebhookConfiguration that is told about the CA.
	WebhookConfiguration string
	// ExtraDNSNames are further names for which the certificate is valid. They count when a certificate is made: an
	// existing one stays until its renewal, or until tls.crt is removed from the Secret.
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
			errs = append(errs, fmt.Errorf("%s is required where no Dir is given", required.name))
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

// Source hands out the current serving certificate. It is safe for concurrent use.
type Source struct {
	current func() (*tls.Certificate, error)
}

// New returns the source that the options ask for and adds what keeps it current to the manager. All of that runs on
// every replica, whether it leads or not: each replica serves, and any of them may be the one that renews.
func New(mgr manager.Manager, o Options) (*Source, error) {
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("options of the serving certificate: %w", err)
	}
	if o.Dir != "" {
		return newFromFiles(mgr, o.Dir)
	}
	return newSelfManaged(mgr, o)
}

// GetCertificate fits tls.Config.GetCertificate. It returns an error that says what is missing until there is a
// certificate, and from then on always the last good one.
func (s *Source) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return s.current()
}

// Check is a healthz.Checker for readiness: it fails until there is a certificate.
func (s *Source) Check(*http.Request) error {
	_, err := s.current()
	return err
}

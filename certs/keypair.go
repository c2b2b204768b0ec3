package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

// errEmpty is the error of a Secret without data, which is how every installation begins.
var errEmpty = errors.New("it holds no certificate yet")

// keyPair is a serving certificate with its key and the CA that signed it. It is immutable.
type keyPair struct {
	cert *tls.Certificate
	ca   *x509.Certificate
}

// parseSecret returns errors without any of the data: errors are logged and shown by the readiness probe.
func parseSecret(secret *corev1.Secret) (*keyPair, error) {
	if len(secret.Data[certName]) == 0 && len(secret.Data[keyName]) == 0 {
		return nil, errEmpty
	}
	cert, err := tls.X509KeyPair(secret.Data[certName], secret.Data[keyName])
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", certName, keyName, err)
	}
	cas := parseCertificates(secret.Data[caName])
	if len(cas) == 0 {
		return nil, fmt.Errorf("%s: no certificate found", caName)
	}
	pair := &keyPair{cert: &cert, ca: cas[0]}
	if !pair.trustedBy(cas[0]) {
		return nil, fmt.Errorf("%s was not signed by %s", certName, caName)
	}
	return pair, nil
}

func (p *keyPair) equal(other *keyPair) bool {
	return other != nil && bytes.Equal(p.cert.Leaf.Raw, other.cert.Leaf.Raw) && p.ca.Equal(other.ca)
}

// trustedBy reports whether a client that trusts these CAs accepts the certificate, regardless of its expiry: where
// there is no other, serving an expired certificate gives clients an error that names the cause.
func (p *keyPair) trustedBy(cas ...*x509.Certificate) bool {
	roots := x509.NewCertPool()
	for _, ca := range cas {
		roots.AddCert(ca)
	}
	_, err := p.cert.Leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: p.cert.Leaf.NotBefore})
	return err == nil
}

// parseCertificates returns the certificates of a PEM bundle in order. It skips everything else, like the API server
// does with a caBundle.
func parseCertificates(data []byte) []*x509.Certificate {
	var certificates []*x509.Certificate
	for {
		var block *pem.Block
		block, data = pem.Decode(data)
		if block == nil {
			return certificates
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		if certificate, err := x509.ParseCertificate(block.Bytes); err == nil {
			certificates = append(certificates, certificate)
		}
	}
}

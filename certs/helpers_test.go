package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// epoch is the time of the first CA of a test. Tests use fixed times, not the clock.
var epoch = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

const year = 365 * 24 * time.Hour

// authorityOf is a CA that issues certificates.
type authorityOf struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

// newCA creates a CA that is valid for ten years from start. All CAs have the same name and serial number, like those of
// cert-controller.
func newCA(t *testing.T, start time.Time) *authorityOf {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(0),
		Subject:               pkix.Name{CommonName: authority},
		NotBefore:             start,
		NotAfter:              start.Add(10 * year),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	cert, pemData := sign(t, template, template, key, key)
	return &authorityOf{cert: cert, key: key, pem: pemData}
}

// issue returns a certificate and its key as PEM.
func (a *authorityOf) issue(t *testing.T, start time.Time) (cert, key []byte) {
	t.Helper()
	leafKey := newKey(t)
	_, cert = sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(1),
		DNSNames:     []string{"bgpguard-webhook.bgpguard-system.svc"},
		NotBefore:    start,
		NotAfter:     start.Add(year),
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, a.cert, leafKey, a.key)
	der, err := x509.MarshalPKCS8PrivateKey(leafKey)
	if err != nil {
		t.Fatal(err)
	}
	return cert, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// secret returns a Secret as cert-controller leaves it after issuing a certificate.
func (a *authorityOf) secret(t *testing.T, start time.Time) *corev1.Secret {
	t.Helper()
	cert, key := a.issue(t, start)
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "bgpguard-system", Name: "bgpguard-webhook-cert"},
		Data:       map[string][]byte{certName: cert, keyName: key, caName: a.pem},
	}
}

func (a *authorityOf) pair(t *testing.T, start time.Time) *keyPair {
	t.Helper()
	pair, err := parseSecret(a.secret(t, start))
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t *testing.T, template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) (*x509.Certificate, []byte) {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func bundle(cas ...*authorityOf) []byte {
	var data []byte
	for _, ca := range cas {
		data = append(data, ca.pem...)
	}
	return data
}

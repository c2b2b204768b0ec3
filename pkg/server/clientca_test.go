package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
)

// authority is a CA that signs client certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "client CA"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{certificate, key}
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw})
}

// client returns a client certificate.
func (a *authority) client(t *testing.T) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: a.key}
}

// get returns the status of a request with client certificates, 0 if the server ends the
// connection.
func get(t *testing.T, server *httptest.Server, certificates ...tls.Certificate) (status int, body string) {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: certificates}}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Get(server.URL)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(data)
}

func TestClientsNeedACertificateOfTheCA(t *testing.T) {
	first, second := newAuthority(t), newAuthority(t)
	file := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(file, first.pem(), 0o600); err != nil {
		t.Fatal(err)
	}
	clients, err := newClientCA(file, logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(clients.protect(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })))
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{first.client(t)}}
	clients.configure(server.TLS)
	server.Config.ErrorLog = nil
	server.StartTLS()
	defer server.Close()

	if status, body := get(t, server); status != http.StatusUnauthorized || !strings.Contains(body, "a client certificate is required") {
		t.Errorf("without a certificate: status %d, %q", status, body)
	}
	if status, body := get(t, server, first.client(t)); status != http.StatusNoContent {
		t.Errorf("with a certificate: status %d, %q", status, body)
	}
	if status, _ := get(t, server, second.client(t)); status != 0 {
		t.Errorf("with a certificate of another CA: status %d", status)
	}
	// An invalid file changes nothing, a valid one replaces the CA.
	for _, step := range []struct {
		file []byte
		want *authority
	}{{[]byte("no certificate"), first}, {second.pem(), second}} {
		if err := os.WriteFile(file, step.file, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, a := range []*authority{first, second} {
			if status, body := get(t, server, a.client(t)); (status == http.StatusNoContent) != (a == step.want) {
				t.Errorf("after the file was replaced by %q: the first CA %t, status %d, %q", step.file, a == first, status, body)
			}
		}
	}
}

func TestAClientCAMustHaveACertificate(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{empty, filepath.Join(t.TempDir(), "missing")} {
		if _, err := newClientCA(path, logr.Discard()); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("got %v", err)
		}
	}
}

func TestWithoutAClientCAEveryClientIsAnswered(t *testing.T) {
	clients, err := newClientCA("", logr.Discard())
	if err != nil || clients != nil {
		t.Fatalf("got %v, %v", clients, err)
	}
	config := &tls.Config{}
	clients.configure(config)
	if config.ClientAuth != tls.NoClientCert {
		t.Error("clients are asked for a certificate")
	}
	answered := false
	clients.protect(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { answered = true })).ServeHTTP(nil, nil)
	if !answered {
		t.Error("a request was not answered")
	}
}

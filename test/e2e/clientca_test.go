//go:build system

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bgpguard/bgpguard/test/env"
)

// writePEM writes one block to a file of dir and returns its path.
func writePEM(t *testing.T, dir, name, kind string, der []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// certificate writes a certificate and its key to dir. Without a parent it is a CA.
func certificate(t *testing.T, dir, name string, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (path, keyPath string, out *x509.Certificate, key *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), NotAfter: time.Now().Add(time.Hour)}
	if parent == nil {
		template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
		parent, parentKey = template, key
	} else {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		t.Fatal(err)
	}
	if out, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return writePEM(t, dir, name+".crt", "CERTIFICATE", der), writePEM(t, dir, name+".key", "PRIVATE KEY", keyDER), out, key
}

// The API server has a certificate for the webhook as docs/install.md describes it, others have
// none.
func TestOnlyTheAPIServerIsAnswered(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca, _, parent, parentKey := certificate(t, dir, "ca", nil, nil)
	client, key, _, _ := certificate(t, dir, "client", parent, parentKey)
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	// The webhook of the tests has a URL, so that the name of the user is not that of a Service.
	kubeconfig := write("webhooks.kubeconfig", fmt.Sprintf("apiVersion: v1\nkind: Config\nusers:\n- name: '*'\n  user: {client-certificate: %s, client-key: %s}\n", client, key))
	admission := write("admission.yaml", fmt.Sprintf(`apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: ValidatingAdmissionWebhook
  configuration:
    apiVersion: apiserver.config.k8s.io/v1
    kind: WebhookAdmissionConfiguration
    kubeConfigFile: %s
`, kubeconfig))
	c := &cluster{Environment: startEnvironment(t, env.Options{Groups: []env.Group{env.GroupV3}, AdmissionConfiguration: admission}), group: env.GroupV3}
	if err := c.CreateNodes(t.Context(), env.Nodes(3)); err != nil {
		t.Fatal(err)
	}
	if err := c.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	var err error
	if c.webhook, err = c.StartWebhook(t.Context(), env.WebhookOptions{Args: []string{"--client-ca-file=" + ca}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.webhook.Stop(); err != nil {
			t.Error(err)
		}
	})
	c.denied(t, "route-reflectors-required", c.object("BGPConfiguration", "default", "nodeToNodeMeshEnabled: false"), "apply -f -")
	c.allowed(t, c.object("BGPConfiguration", "default", "nodeToNodeMeshEnabled: true"), "apply -f -")
	for _, path := range []string{"/validate", "/validate-bgppolicy"} {
		status, _, body := fetch(t, http.MethodPost, strings.TrimSuffix(c.webhook.URL, "/validate")+path, "")
		if status != http.StatusUnauthorized {
			t.Errorf("a client without a certificate: status %d of %s: %s", status, path, body)
		}
	}
	if _, metrics := c.scrape(t, c.prometheus(t)); !strings.Contains(metrics, "bgpguard_unauthenticated_requests_total 2") {
		t.Errorf("the metrics:\n%s", grep(metrics, "unauthenticated"))
	}
}

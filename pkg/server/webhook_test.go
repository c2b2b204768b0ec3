package server

import (
	"crypto/tls"
	"os"
	"slices"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"sigs.k8s.io/yaml"

	"github.com/bgpguard/bgpguard/pkg/admission"
)

func TestConnectionsToTheWebhookEnd(t *testing.T) {
	const timeout = 3 * time.Second
	s := newWebhookServer("127.0.0.1", 9443, timeout, func(c *tls.Config) { c.NextProtos = []string{"h2"} })
	if h := s.http; h.ReadHeaderTimeout <= 0 || h.ReadTimeout <= timeout || h.WriteTimeout <= timeout || h.IdleTimeout <= 0 || h.MaxHeaderBytes <= 0 {
		t.Errorf("a connection has no limit: %+v", h)
	}
	if !slices.Equal(s.tls.NextProtos, []string{"http/1.1"}) || s.http.Protocols.HTTP2() || s.http.Protocols.UnencryptedHTTP2() {
		t.Errorf("it offers %q, %s", s.tls.NextProtos, s.http.Protocols)
	}
	if err := s.StartedChecker()(nil); err == nil {
		t.Error("it is ready before it listens")
	}
}

// A review must end before the API server stops to wait for it.
func TestTimeoutsOfTheManifestsCoverThoseOfTheServer(t *testing.T) {
	text, err := os.ReadFile("../../config/webhook/validating_webhook.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var configuration admissionregistrationv1.ValidatingWebhookConfiguration
	if err := yaml.Unmarshal(text, &configuration); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, hook := range configuration.Webhooks {
		if path := *hook.ClientConfig.Service.Path; path == admission.PolicyPath {
			seen[path] = true
			if got := time.Duration(*hook.TimeoutSeconds) * time.Second; got != policyTimeout {
				t.Errorf("%s: timeoutSeconds is %s, and a review takes up to %s", hook.Name, got, policyTimeout)
			}
		}
	}
	if !seen[admission.PolicyPath] {
		t.Errorf("no webhook has the path %s", admission.PolicyPath)
	}
}

package certs

import (
	"crypto/tls"
	"net/http"
	"testing"

	"github.com/go-logr/logr"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

// newManager creates a manager of an unreachable cluster: the tests do not need one.
func newManager(t *testing.T) manager.Manager {
	t.Helper()
	mgr, err := ctrl.NewManager(&rest.Config{Host: "http://127.0.0.1:1"}, ctrl.Options{
		Logger:  logr.Discard(),
		Metrics: server.Options{BindAddress: "0"},
		MapperProvider: func(*rest.Config, *http.Client) (meta.RESTMapper, error) {
			mapper := meta.NewDefaultRESTMapper(nil)
			mapper.Add(corev1.SchemeGroupVersion.WithKind("Secret"), meta.RESTScopeNamespace)
			mapper.Add(admissionregistrationv1.SchemeGroupVersion.WithKind("ValidatingWebhookConfiguration"), meta.RESTScopeRoot)
			return mapper, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return mgr
}

func TestOptions(t *testing.T) {
	tests := map[string]struct {
		options Options
		want    string
	}{
		"a self-managed certificate needs to know where": {
			options: Options{},
			want: "options of the serving certificate: Namespace is required without Dir\n" +
				"Secret is required without Dir\n" +
				"Service is required without Dir\n" +
				"WebhookConfiguration is required without Dir",
		},
		"an address is not a DNS name": {
			options: Options{
				Namespace: "bgpguard-system", Secret: "bgpguard-webhook-cert", Service: "bgpguard-webhook",
				WebhookConfiguration: "bgpguard", ExtraDNSNames: []string{"localhost", "127.0.0.1"},
			},
			want: `options of the serving certificate: ExtraDNSNames: "127.0.0.1" is an IP address, not a DNS name`,
		},
		"a directory without certificate is an error that names the file": {
			options: Options{Dir: "testdata/none"},
			want:    "reading the serving certificate: open testdata/none/tls.crt: no such file or directory",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := NewSource(test.options).SetupWithManager(newManager(t))
			if err == nil || err.Error() != test.want {
				t.Errorf("got error %v, want %s", err, test.want)
			}
		})
	}
}

func TestTwoSourcesInOneProcess(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	const want = `no serving certificate yet: Secret "bgpguard-system/bgpguard-webhook-cert": not read yet`
	for range 2 {
		source := NewSource(Options{
			Namespace: "bgpguard-system", Secret: "bgpguard-webhook-cert", Service: "bgpguard-webhook",
			WebhookConfiguration: "bgpguard",
		})
		if err := source.Check(nil); err == nil || err.Error() != "no serving certificate yet: no manager runs" {
			t.Errorf("before it is set up: %v", err)
		}
		if err := source.SetupWithManager(newManager(t)); err != nil {
			t.Fatal(err)
		}
		if _, err := source.GetCertificate(&tls.ClientHelloInfo{}); err == nil || err.Error() != want {
			t.Errorf("GetCertificate: got error %v, want %s", err, want)
		}
		if err := source.Check(nil); err == nil || err.Error() != want {
			t.Errorf("Check: got error %v, want %s", err, want)
		}
	}
}

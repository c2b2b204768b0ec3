package serve

import (
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/healthz"
)

func TestValidate(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Options)
		want   string
	}{
		"the defaults":                {func(*Options) {}, ""},
		"another loopback address":    {func(o *Options) { o.BindAddress = "[::1]:0" }, ""},
		"localhost":                   {func(o *Options) { o.BindAddress = "localhost:8080" }, ""},
		"all addresses, secure":       {func(o *Options) { o.BindAddress, o.Secure, o.CertDir = ":8444", true, "/certs" }, ""},
		"all addresses, not secure":   {func(o *Options) { o.BindAddress = ":8444" }, `flag --bind-address must be a loopback address without --secure, is ":8444"`},
		"a host of the network":       {func(o *Options) { o.BindAddress = "10.0.0.1:80" }, `flag --bind-address must be a loopback address without --secure, is "10.0.0.1:80"`},
		"no page":                     {func(o *Options) { o.BindAddress = "0" }, `flag --bind-address must be HOST:PORT or :PORT, is "0"`},
		"an address without a port":   {func(o *Options) { o.BindAddress = "localhost" }, `flag --bind-address must be HOST:PORT or :PORT, is "localhost"`},
		"a certificate without HTTPS": {func(o *Options) { o.CertDir = "/certs" }, `flag --cert-dir requires --secure, is "/certs"`},
		"probes without a port":       {func(o *Options) { o.HealthProbeBindAddress = "localhost" }, `flag --health-probe-bind-address must be HOST:PORT, :PORT or 0, is "localhost"`},
		"an unknown log format":       {func(o *Options) { o.LogFormat = "xml" }, `flag --log-format must be json or text, is "xml"`},
		"an unknown log level":        {func(o *Options) { o.LogLevel = "loud" }, `flag --log-level must be one of debug, info, error, is "loud"`},
		"files":                       {func(o *Options) { o.Files = []string{"state.yaml"} }, ""},
		"files, secure":               {func(o *Options) { o.Files, o.Secure = []string{"state.yaml"}, true }, `flag --secure requires clusters, whose API server authenticates the readers, is "true"`},
		"stdin":                       {func(o *Options) { o.Files = []string{"-"} }, `flag --filename must be a file or directory, which can be read again, is "-"`},
		"two flags":                   {func(o *Options) { o.LogFormat, o.LogLevel = "", "" }, "flag --log-format must be json or text, is \"\"\nflag --log-level must be one of debug, info, error, is \"\""},
	} {
		t.Run(name, func(t *testing.T) {
			o, got := DefaultOptions(), ""
			c.change(&o)
			if err := o.Validate(); err != nil {
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestOtherHostsAreRejectedOnLoopback(t *testing.T) {
	handler := onlyLoopback(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	for host, want := range map[string]int{
		"localhost:8080": http.StatusNoContent, "127.0.0.1:8080": http.StatusNoContent, "[::1]:8080": http.StatusNoContent, "localhost": http.StatusNoContent,
		"example.com:8080": http.StatusForbidden, "localhost.example.com": http.StatusForbidden, "10.0.0.1": http.StatusForbidden, "": http.StatusForbidden,
	} {
		t.Run(host, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, pagePath, http.NoBody)
			r.Host = host
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if w.Code != want {
				t.Errorf("got %d, want %d", w.Code, want)
			}
		})
	}
}

func TestProbes(t *testing.T) {
	var failure error
	h := probes(map[string]healthz.Checker{"state": func(*http.Request) error { return failure }})
	status := func(path string) int {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody))
		return w.Code
	}
	if got := status("/readyz"); got != http.StatusOK {
		t.Errorf("ready: %d", got)
	}
	failure = errors.New("still reading")
	if got := status("/readyz"); got != http.StatusInternalServerError {
		t.Errorf("not ready: %d", got)
	}
	if got := status("/healthz"); got != http.StatusOK {
		t.Errorf("healthy: %d", got)
	}
}

func TestTheSelfSignedCertificateIsRenewed(t *testing.T) {
	now := time.Now()
	s := &selfSigned{now: func() time.Time { return now }}
	get := func() *tls.Certificate {
		t.Helper()
		c, err := s.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := get()
	for _, name := range []string{"localhost", "127.0.0.1", "::1"} {
		if err := first.Leaf.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	now = first.Leaf.NotAfter.Add(-renewBefore - time.Minute)
	if get() != first {
		t.Error("renewed too early")
	}
	now = first.Leaf.NotAfter.Add(-renewBefore)
	if get() == first {
		t.Error("not renewed")
	}
}

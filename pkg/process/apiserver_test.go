package process

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
)

// probe returns the status and the body of a probe.
func probe(t *testing.T, p *Probes, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	p.handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody))
	body, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, strings.TrimSpace(string(body))
}

func TestProbes(t *testing.T) {
	var log bytes.Buffer
	p, err := ServeProbes("127.0.0.1:0", NewLogger(&log, LogText, "info"))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	check := func(path string, status int, body string) {
		t.Helper()
		if code, text := probe(t, p, path); code != status || !strings.Contains(text, body) {
			t.Errorf("%s: %d %q, want %d %q", path, code, text, status, body)
		}
	}
	check("/healthz", http.StatusOK, "ok")
	check("/readyz", http.StatusInternalServerError, "process: not ready: still starting")
	p.NotReady("apiserver", errors.New("not ready: gone"))
	check("/healthz", http.StatusOK, "ok")
	check("/readyz", http.StatusInternalServerError, "apiserver: not ready: gone")
	check("/readyz/apiserver", http.StatusInternalServerError, "not ready: gone")
	p.Check(map[string]healthz.Checker{"all": healthz.Ping})
	check("/readyz", http.StatusOK, "ok")
	check("/readyz/all", http.StatusOK, "ok")
	check("/readyz/other", http.StatusNotFound, "")
	check("/other", http.StatusNotFound, "")
	if got := regexp.MustCompile(`msg=.*`).FindAllString(log.String(), -1); strings.Join(got, "; ") != `msg="Not ready" reasons="process: not ready: still starting"; msg=Ready` {
		t.Errorf("logged %s", got)
	}
}

func TestAnAddressInUseIsAnError(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	if _, err := ServeProbes(s.Listener.Addr().String(), logr.Discard()); err == nil || !strings.HasPrefix(err.Error(), "probes: listen tcp") {
		t.Errorf("got %v", err)
	}
	p, err := ServeProbes(NoAddress, logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
}

// forbidden is the body of an API server that answers 403 to all requests but that for its probe.
const forbidden = "forbidden"

func TestReadinessOfTheAPIServer(t *testing.T) {
	for name, test := range map[string]struct {
		status int
		body   string
		want   string
	}{
		"it is ready":          {http.StatusOK, "ok", ""},
		"it hides its probe":   {http.StatusForbidden, "no", ""},
		"it has no such probe": {http.StatusNotFound, "no", ""},
		"it permits nothing":   {http.StatusOK, forbidden, "reading the API groups: unknown"},
		"etcd is away":         {http.StatusInternalServerError, "[+]ping ok\n[-]etcd failed: reason withheld\n[-]informer-sync failed: reason withheld\nreadyz check failed\n", "etcd failed: reason withheld, informer-sync failed: reason withheld"},
		"the token is invalid": {http.StatusUnauthorized, "no", "the server has asked for the client to provide credentials"},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				switch {
				case r.URL.Path == "/readyz":
					w.WriteHeader(test.status)
					io.WriteString(w, test.body) //nolint:errcheck // The client shows it.
				case test.body == forbidden:
					w.WriteHeader(http.StatusForbidden)
				default:
					io.WriteString(w, `{"kind":"APIGroupList","apiVersion":"v1","groups":[{"name":"apps"}]}`) //nolint:errcheck // As above.
				}
			}))
			defer s.Close()
			p, err := ServeProbes(NoAddress, logr.Discard())
			if err != nil {
				t.Fatal(err)
			}
			// The first answer counts: without one that is ready, the context ends.
			ctx, cancel := context.WithTimeout(t.Context(), askInterval/2)
			defer cancel()
			err = AwaitAPIServer(ctx, &rest.Config{Host: s.URL}, p, NewLogger(io.Discard, LogText, "error"))
			if ready := err == nil; ready != (test.want == "") {
				t.Errorf("got %v", err)
			}
			if _, text := probe(t, p, "/readyz/apiserver"); test.want != "" && text != "not ready: waiting for the API server: "+test.want {
				t.Errorf("got %q", text)
			}
		})
	}
}

func TestTheReasonIsLoggedAtGrowingIntervals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := ServeProbes(NoAddress, logr.Discard())
		if err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		began := time.Now()
		err = await(t.Context(), func(context.Context) error {
			if time.Since(began) >= 20*time.Minute {
				return nil
			}
			return errors.New("connection refused")
		}, p, NewLogger(&log, LogText, "info"))
		if err != nil {
			t.Error(err)
		}
		var waited []string
		for _, match := range regexp.MustCompile(`waited=(\S+)`).FindAllStringSubmatch(log.String(), -1) {
			waited = append(waited, match[1])
		}
		if got := strings.Join(waited, " "); got != "0s 1s 3s 7s 15s 31s 1m3s 2m7s 4m15s 8m31s 13m31s 18m31s 20m0s" {
			t.Errorf("logged after %s", got)
		}
	})
}

func TestASignalEndsTheWait(t *testing.T) {
	p, err := ServeProbes(NoAddress, logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err = await(ctx, func(context.Context) error { cancel(); return errors.New("connection refused") }, p, NewLogger(io.Discard, LogText, "error"))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

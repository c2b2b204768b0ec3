package server

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/bgpguard/bgpguard/pkg/process"
)

func TestMetricsAreRegisteredOnce(t *testing.T) {
	registry := prometheus.NewRegistry()
	for range 2 {
		if err := registerMetrics(registry); err != nil {
			t.Error(err)
		}
	}
	if _, err := registry.Gather(); err != nil {
		t.Error(err)
	}
}

func TestAShutdownBeginsWithReadiness(t *testing.T) {
	s := &shutdown{log: logr.Discard(), delay: time.Millisecond}
	ctx, cancel := context.WithCancel(t.Context())
	running, stop := s.after(ctx)
	defer stop()
	if err := s.Check(nil); err != nil {
		t.Errorf("not ready before the signal: %v", err)
	}
	cancel()
	<-running.Done()
	if err := s.Check(nil); err == nil || err.Error() != "shutting down" {
		t.Errorf("readiness is %v after the signal", err)
	}
}

func TestShutdownWaitsForTheDelay(t *testing.T) {
	s := &shutdown{log: logr.Discard(), delay: time.Hour}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	running, stop := s.after(ctx)
	for s.Check(nil) == nil {
		time.Sleep(time.Millisecond)
	}
	if running.Err() != nil {
		t.Error("the process ended before the delay")
	}
	stop()
}

// Clients must not send further requests over the connections of a replica that shuts down.
func TestConnectionsCloseDuringAShutdown(t *testing.T) {
	s := &shutdown{log: logr.Discard()}
	for _, test := range []struct {
		begun bool
		want  string
	}{{false, ""}, {true, "close"}} {
		s.begun.Store(test.begun)
		w := httptest.NewRecorder()
		s.handler(http.NotFoundHandler()).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/validate", http.NoBody))
		if got := w.Header().Get("Connection"); got != test.want || w.Code != http.StatusNotFound {
			t.Errorf("%t: %d, Connection %q", test.begun, w.Code, got)
		}
	}
}

// Without the API server the process starts, answers its probes and waits until a signal.
func TestRunWaitsForTheAPIServer(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	o := DefaultOptions()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	// Nothing listens there.
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	config := clientcmdapi.NewConfig()
	config.Clusters["c"] = &clientcmdapi.Cluster{Server: "http://127.0.0.1:1"}
	config.Contexts["c"] = &clientcmdapi.Context{Cluster: "c"}
	config.CurrentContext = "c"
	if err := clientcmd.WriteToFile(*config, kubeconfig); err != nil {
		t.Fatal(err)
	}
	o.Kubeconfig, o.HealthProbeBindAddress, o.LeaderElect = kubeconfig, process.NoAddress, true
	log := &waiting{cancel: cancel}
	if err := Run(ctx, o, log); err != nil {
		t.Errorf("got %v", err)
	}
	if !log.seen {
		t.Error("it did not wait for the API server")
	}
}

// waiting is a log that sends the signal when the process waits for the API server.
type waiting struct {
	cancel context.CancelFunc
	seen   bool
}

func (w *waiting) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte("Waiting for the API server")) {
		w.seen = true
		w.cancel()
	}
	return len(line), nil
}

func TestAnInvalidKubeconfigEndsTheStart(t *testing.T) {
	o := DefaultOptions()
	o.Kubeconfig = filepath.Join(t.TempDir(), "missing")
	if err := Run(t.Context(), o, &bytes.Buffer{}); err == nil || !strings.HasPrefix(err.Error(), "kubeconfig: ") {
		t.Errorf("got %v", err)
	}
}

func TestRunNamesAnInvalidFlag(t *testing.T) {
	o := DefaultOptions()
	o.Port = -1
	if err := Run(t.Context(), o, &bytes.Buffer{}); err == nil || err.Error() != `--port: must be from 1 to 65535, is "-1"` {
		t.Errorf("got %v", err)
	}
}

func TestInvalidPoliciesEndTheStart(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing.yaml")
	o := DefaultOptions()
	o.Policies = []string{missing}
	err := Run(t.Context(), o, &bytes.Buffer{})
	if err == nil || !strings.Contains(err.Error(), missing) {
		t.Errorf("got %v", err)
	}
}

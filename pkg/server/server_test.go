package server

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
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

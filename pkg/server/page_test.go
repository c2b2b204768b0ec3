package server

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"github.com/bgpguard/bgpguard/pkg/audit"
)

// ask returns the answer of p, read to its end.
func ask(t *testing.T, p *page, method string) (*http.Response, string) {
	t.Helper()
	w := httptest.NewRecorder()
	p.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, reportPath, http.NoBody))
	return w.Result(), w.Body.String()
}

func TestThePageIsDrawnOncePerAudit(t *testing.T) {
	current, drawn := &audit.Audit{Time: time.Now()}, 0
	p := &page{
		log: logr.Discard(), audit: func(context.Context) (*audit.Audit, error) { return current, nil },
		render: func(w io.Writer, a *audit.Audit) error {
			drawn++
			_, err := io.WriteString(w, "cluster "+a.Cluster)
			return err
		},
	}
	for range 3 {
		if response, body := ask(t, p, http.MethodGet); response.StatusCode != http.StatusOK || body != "cluster " ||
			response.Header.Get("Content-Type") != "text/html; charset=utf-8" || response.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("got %d, %q, %v", response.StatusCode, body, response.Header)
		}
	}
	if drawn != 1 {
		t.Errorf("drawn %d times", drawn)
	}
	current = &audit.Audit{Cluster: "c", Time: time.Now()}
	if _, body := ask(t, p, http.MethodGet); body != "cluster c" || drawn != 2 {
		t.Errorf("of the next audit: %q, drawn %d times", body, drawn)
	}
}

func TestThePageSaysWhyThereIsNone(t *testing.T) {
	works := func(context.Context) (*audit.Audit, error) { return &audit.Audit{}, nil }
	for name, c := range map[string]struct {
		method string
		audit  func(context.Context) (*audit.Audit, error)
		render func(io.Writer, *audit.Audit) error
		status int
		body   string
	}{
		"the state is not known": {http.MethodGet, func(context.Context) (*audit.Audit, error) { return nil, errors.New("still reading Node") }, nil, http.StatusServiceUnavailable, "still reading Node"},
		"it cannot be drawn":     {http.MethodGet, works, func(io.Writer, *audit.Audit) error { return errors.New("secret detail") }, http.StatusInternalServerError, "the log of bgpguard says why"},
		"drawing it panics":      {http.MethodGet, works, func(io.Writer, *audit.Audit) error { panic("secret detail") }, http.StatusInternalServerError, "the log of bgpguard says why"},
		"somebody writes":        {http.MethodPost, works, nil, http.StatusMethodNotAllowed, "use GET"},
	} {
		response, body := ask(t, &page{log: logr.Discard(), audit: c.audit, render: c.render}, c.method)
		if response.StatusCode != c.status || !strings.Contains(body, c.body) || strings.Contains(body, "secret detail") {
			t.Errorf("%s: %d, %q", name, response.StatusCode, body)
		}
	}
}

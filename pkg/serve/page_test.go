package serve

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"github.com/bgpguard/bgpguard/pkg/audit"
)

// ask returns the answer of p, and its text.
func ask(t *testing.T, p *page, method string) (answer *httptest.ResponseRecorder, text string) {
	t.Helper()
	w := httptest.NewRecorder()
	p.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, pagePath, http.NoBody))
	return w, w.Body.String()
}

func TestThePageIsRenderedOncePerAudit(t *testing.T) {
	current, rendered := &audit.Audit{Time: time.Now()}, 0
	p := &page{
		log: logr.Discard(), audit: func(context.Context) (*audit.Audit, error) { return current, nil },
		render: func(w io.Writer, a *audit.Audit) error {
			rendered++
			_, err := io.WriteString(w, "cluster "+a.Cluster)
			return err
		},
	}
	for range 3 {
		if response, body := ask(t, p, http.MethodGet); response.Code != http.StatusOK || body != "cluster " ||
			response.Header().Get("Content-Type") != "text/html; charset=utf-8" || response.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("got %d, %q, %v", response.Code, body, response.Header())
		}
	}
	if rendered != 1 {
		t.Errorf("rendered %d times", rendered)
	}
	current = &audit.Audit{Cluster: "c", Time: time.Now()}
	if _, body := ask(t, p, http.MethodGet); body != "cluster c" || rendered != 2 {
		t.Errorf("of the next audit: %q, rendered %d times", body, rendered)
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
		"the state is not known": {
			http.MethodGet, func(context.Context) (*audit.Audit, error) { return nil, errors.New("still reading Node") }, nil,
			http.StatusServiceUnavailable, "There is no report yet: still reading Node\n",
		},
		"it cannot be rendered": {
			http.MethodGet, works, func(io.Writer, *audit.Audit) error { return errors.New("secret detail") },
			http.StatusInternalServerError, "The report cannot be rendered: see the log of bgpguard.\n",
		},
		"rendering panics": {
			http.MethodGet, works, func(io.Writer, *audit.Audit) error { panic("secret detail") },
			http.StatusInternalServerError, "The report cannot be rendered: see the log of bgpguard.\n",
		},
		"somebody writes": {http.MethodPost, works, nil, http.StatusMethodNotAllowed, "The report is read-only: use GET.\n"},
	} {
		t.Run(name, func(t *testing.T) {
			response, body := ask(t, &page{log: logr.Discard(), audit: c.audit, render: c.render}, c.method)
			if response.Code != c.status || body != c.body {
				t.Errorf("%d, %q", response.Code, body)
			}
		})
	}
}

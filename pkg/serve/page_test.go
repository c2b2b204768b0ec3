package serve

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"github.com/bgpguard/bgpguard/pkg/audit"
	"github.com/bgpguard/bgpguard/pkg/report"
)

// ask returns the answer of p, and its text.
func ask(t *testing.T, p *page, method string) (answer *httptest.ResponseRecorder, text string) {
	t.Helper()
	w := httptest.NewRecorder()
	p.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, pagePath, http.NoBody))
	return w, w.Body.String()
}

// reportOf returns a function that returns a report of the audits.
func reportOf(audits ...*audit.Audit) func(context.Context) *audit.Report {
	return func(context.Context) *audit.Report { return &audit.Report{Clusters: audits} }
}

func TestThePageIsRenderedOncePerAudit(t *testing.T) {
	current, rendered := &audit.Audit{Time: time.Now()}, 0
	p := &page{
		log: logr.Discard(), report: func(ctx context.Context) *audit.Report { return reportOf(current)(ctx) },
		render: func(w io.Writer, r *report.Audit) error {
			rendered++
			_, err := io.WriteString(w, "cluster "+r.Clusters[0].Cluster)
			return err
		},
	}
	var versions []string
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodGet} {
		response, body := ask(t, p, method)
		if response.Code != http.StatusOK || (method == http.MethodGet) != (body == "cluster ") ||
			response.Header().Get("Content-Type") != "text/html; charset=utf-8" || response.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: got %d, %q, %v", method, response.Code, body, response.Header())
		}
		versions = append(versions, response.Header().Get("ETag"))
	}
	if rendered != 1 {
		t.Errorf("rendered %d times", rendered)
	}
	current = &audit.Audit{Cluster: "c", Time: time.Now()}
	response, body := ask(t, p, http.MethodGet)
	if body != "cluster c" || rendered != 2 {
		t.Errorf("of the next audit: %q, rendered %d times", body, rendered)
	}
	versions = append(versions, response.Header().Get("ETag"))
	slices.Sort(versions)
	if len(slices.Compact(versions)) != 2 {
		t.Errorf("the versions are %q", versions)
	}
}

func TestThePageKnowsItsVersion(t *testing.T) {
	current, _, _ := watch(t, meshLimit)
	response, body := ask(t, newPage(audits{current}, &Options{Version: "v1.2.3"}, logr.Discard()), http.MethodGet)
	version, err := strconv.Unquote(response.Header().Get("ETag"))
	if err != nil || !strings.Contains(body, `<body data-live="`+version+`">`) || !strings.Contains(body, "bgpguard v1.2.3") {
		t.Errorf("of version %q: %v, %s", version, err, body)
	}
}

func TestUnreadableStatesAreShown(t *testing.T) {
	one, _, _ := watch(t, meshLimit)
	lost, f, _ := watch(t, meshLimit)
	lost.name, lost.origin, f.err = "lab", "lab", errors.New("still reading Node")
	response, body := ask(t, newPage(audits{one, lost}, &Options{Secure: true}, logr.Discard()), http.MethodGet)
	if response.Code != http.StatusOK || !strings.Contains(body, `<a href="/login">Log out</a>`) || !strings.Contains(body, "BGP audit of 2 clusters") || !strings.Contains(body, "still reading Node") {
		t.Errorf("one of two: %d %s", response.Code, body)
	}
	if err := (audits{lost, one}).Check(nil); err != nil {
		t.Errorf("one of two: not ready: %v", err)
	}
	p := newPage(audits{lost}, &Options{}, logr.Discard())
	response, body = ask(t, p, http.MethodGet)
	if response.Code != http.StatusServiceUnavailable || response.Header().Get("Retry-After") == "" || response.Header().Get("ETag") == "" ||
		!strings.Contains(body, "Nothing was checked") || strings.Contains(body, "Log out") || !strings.Contains(body, "still reading Node") {
		t.Errorf("none: %d %v %s", response.Code, response.Header(), body)
	}
	if response, body := ask(t, p, http.MethodHead); response.Code != http.StatusServiceUnavailable || body != "" {
		t.Errorf("none: HEAD %d %q", response.Code, body)
	}
	if err := (audits{lost}).Check(nil); !errors.Is(err, f.err) {
		t.Errorf("none: ready: %v", err)
	}
}

func TestThePageSaysWhyThereIsNone(t *testing.T) {
	for name, c := range map[string]struct {
		method string
		render func(io.Writer, *report.Audit) error
		status int
		body   string
	}{
		"it cannot be rendered": {
			http.MethodGet, func(io.Writer, *report.Audit) error { return errors.New("secret detail") },
			http.StatusInternalServerError, "The report cannot be rendered: see the log of bgpguard.\n",
		},
		"rendering panics": {
			http.MethodGet, func(io.Writer, *report.Audit) error { panic("secret detail") },
			http.StatusInternalServerError, "The report cannot be rendered: see the log of bgpguard.\n",
		},
		"somebody writes": {http.MethodPost, nil, http.StatusMethodNotAllowed, "The report is read-only: use GET.\n"},
	} {
		t.Run(name, func(t *testing.T) {
			response, body := ask(t, &page{log: logr.Discard(), report: reportOf(&audit.Audit{}), render: c.render}, c.method)
			if response.Code != c.status || body != c.body {
				t.Errorf("%d, %q", response.Code, body)
			}
		})
	}
}

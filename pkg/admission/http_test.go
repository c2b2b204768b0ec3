package admission

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/validate"
)

// review returns an AdmissionReview about a BGPPeer.
func review() string {
	return `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"uid-1","operation":"CREATE","name":"a","kind":{"group":"projectcalico.org","version":"v3","kind":"BGPPeer"},"object":` + peer(v3, "a", goodSpec) + `}}`
}

func post(t *testing.T, decider Decider, url, body string) (answer, log string) {
	t.Helper()
	var out bytes.Buffer
	h, err := New(fakeCluster{}, decider).HTTP(jsonLogger(&out), 4*time.Second, NewIntake())
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return strings.TrimSpace(w.Body.String()), out.String()
}

func TestHTTP(t *testing.T) {
	tests := map[string]struct {
		body    string
		decider Decider
		want    string
	}{
		"an AdmissionReview is answered with its UID": {
			body: review(), decider: always(allowed()),
			want: `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","response":{"uid":"uid-1","allowed":true,"status":{"metadata":{},"code":200},"auditAnnotations":{"data-age":"3s","decision":"allowed"}}}`,
		},
		"an empty body is a bad request": {
			want: `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","response":{"uid":"","allowed":false,"status":{"metadata":{},"status":"Failure","message":"the body is not an AdmissionReview with a request","reason":"BadRequest","code":400},"auditAnnotations":{"data-age":"3s","decision":"invalid"}}}`,
		},
		"a malformed AdmissionReview is a bad request": {
			body: `{"kind":`,
			want: `{"response":{"uid":"","allowed":false,"status":{"metadata":{},"message":"couldn't get version/kind; json parse error: unexpected end of JSON input","code":400}}}`,
		},
		"something other than an AdmissionReview is a bad request": {
			body: `{"apiVersion":"v1","kind":"Pod"}`,
			want: `{"kind":"Pod","apiVersion":"v1","response":{"uid":"","allowed":false,"status":{"metadata":{},"status":"Failure","message":"the body is not an AdmissionReview with a request","reason":"BadRequest","code":400},"auditAnnotations":{"data-age":"3s","decision":"invalid"}}}`,
		},
		"an AdmissionReview without a request is a bad request": {
			body: `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}`,
			want: `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","response":{"uid":"","allowed":false,"status":{"metadata":{},"status":"Failure","message":"the body is not an AdmissionReview with a request","reason":"BadRequest","code":400},"auditAnnotations":{"data-age":"3s","decision":"invalid"}}}`,
		},
		"a panic is an error with the request's UID": {
			body:    review(),
			decider: outOfCheese,
			want:    `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","response":{"uid":"uid-1","allowed":false,"status":{"metadata":{},"status":"Failure","message":"the change could not be evaluated: bgpguard panicked: out of cheese","reason":"InternalError","code":500},"auditAnnotations":{"data-age":"0s","decision":"error"}}}`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got, _ := post(t, test.decider, "/validate", test.body); got != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

func TestLogHoldsNoObjects(t *testing.T) {
	body := strings.Replace(review(), `"asNumber"`, `"password":{"secretKeyRef":{"name":"bgp","key":"hunter2"}},"asNumber"`, 1)
	for name, decider := range map[string]Decider{"denied": always(denied()), "allowed": always(allowed())} {
		t.Run(name, func(t *testing.T) {
			if _, log := post(t, decider, "/validate", body); strings.Contains(log, "hunter2") {
				t.Errorf("the log holds what was in the object: %s", log)
			}
		})
	}
}

func TestRequestOutlivesTheServersContext(t *testing.T) {
	decider := deciderFunc(func(ctx context.Context, _ *state.Snapshot, _ validate.Request) *validate.Decision {
		if err := ctx.Err(); err != nil {
			t.Errorf("a shutdown ended the request: %v", err)
		}
		if _, ok := ctx.Deadline(); !ok {
			t.Error("the request has no deadline")
		}
		return allowed()
	})
	h, err := New(fakeCluster{}, decider).HTTP(jsonLogger(&bytes.Buffer{}), time.Minute, NewIntake())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/validate?timeout=30s", strings.NewReader(review()))
	r.Header.Set("Content-Type", "application/json")
	h.ServeHTTP(httptest.NewRecorder(), r)
}

func TestDeadline(t *testing.T) {
	tests := map[string]struct {
		asked string
		limit time.Duration
		want  time.Duration
	}{
		"the API server waits for less":           {"2s", 4500 * time.Millisecond, 1800 * time.Millisecond},
		"the API server waits for more":           {"10s", 4500 * time.Millisecond, 4300 * time.Millisecond},
		"the API server has no timeout":           {"", 4 * time.Second, 3800 * time.Millisecond},
		"a timeout that does not parse":           {"soon", 4 * time.Second, 3800 * time.Millisecond},
		"a negative timeout":                      {"-1s", 4 * time.Second, 3800 * time.Millisecond},
		"a short timeout keeps most of its value": {"100ms", 4 * time.Second, 90 * time.Millisecond},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := deadline(test.asked, test.limit); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

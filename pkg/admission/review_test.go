package admission

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

// reviewBodies are bodies of reviews, with whether decodeReview decodes them.
var reviewBodies = map[string]bool{
	`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"1","kind":{"group":"","version":"v1","kind":"Node"},
		"resource":{"group":"","version":"v1","resource":"nodes"},"requestKind":{"group":"","version":"v1","kind":"Node"},"requestResource":{"group":"","version":"v1","resource":"nodes"},
		"name":"a","operation":"UPDATE","userInfo":{"username":"admin","uid":"2","groups":["system:masters"],"extra":{"a.b/c":["d"]}},"object":{"kind":"Node", "status":{"a":[1,2.0]}},
		"oldObject":{"kind":"Node"},"dryRun":true,"options":{"kind":"UpdateOptions","apiVersion":"meta.k8s.io/v1","fieldManager":"kubectl"}}}`: true,
	`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"1","subResource":"status","namespace":"a","operation":"DELETE","object":null,"oldObject":{"a":"\u00e9"},"dryRun":false,"options":null}}`: true,
	`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"unknown":{"a":[{}]}},"response":{"uid":"1","allowed":true}}`:                                                                                   true,
	`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1beta1","request":{"uid":"1"}}`:                                                                                                                               false,
	`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}`:                                                                                                                                                          false,
	`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"1","uid":"2"}}`:                                                                                                                          false,
	`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":1}}`:                                                                                                                                      false,
	`{"kind":"Node","apiVersion":"v1","request":{"uid":"1"}}`:                                                                                                                                                                false,
	"{\"kind\":\"AdmissionReview\",\"apiVersion\":\"admission.k8s.io/v1\",\"request\":{\"uid\":\"1\",\"name\":\"\xff\"}}":                                                                                                    false,
	`{"request":`: false,
	``:            false,
}

func TestReviewsAreDecodedAsByControllerRuntime(t *testing.T) {
	for body, want := range reviewBodies {
		if got := decodeReview([]byte(body)) != nil; got != want {
			t.Errorf("%s\nis decoded: %v, want %v", body, got, want)
		}
		compareReview(t, []byte(body))
	}
}

func FuzzReview(f *testing.F) {
	for body := range reviewBodies {
		f.Add([]byte(body))
	}
	f.Fuzz(compareReview)
}

// compareReview compares what decodeReview makes of a body, and the response to it, with what the handler of
// controller-runtime does.
func compareReview(t *testing.T, body []byte) {
	got := decodeReview(body)
	if got == nil {
		return
	}
	var want *admissionv1.AdmissionRequest
	hook := &admission.Webhook{Handler: admission.HandlerFunc(func(_ context.Context, r admission.Request) admission.Response {
		want = &r.AdmissionRequest
		return admission.Denied("no").WithWarnings("a")
	})}
	handler, err := admission.StandaloneWebhook(hook, admission.StandaloneOptions{Logger: logr.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, Path, bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	theirs, ours := httptest.NewRecorder(), httptest.NewRecorder()
	handler.ServeHTTP(theirs, r)
	if want == nil {
		t.Fatalf("%q\nis invalid for controller-runtime: %s", body, theirs.Body)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%q\ngot  %+v\nwant %+v", body, got, want)
	}
	response := hook.Handle(t.Context(), admission.Request{AdmissionRequest: *got})
	writeReview(ours, logr.Discard(), &response)
	if a, b := ours.Body.String(), theirs.Body.String(); a != b || ours.Code != theirs.Code {
		t.Errorf("%q\nresponse %d %s\nwant     %d %s", body, ours.Code, a, theirs.Code, b)
	}
}

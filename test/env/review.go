package env

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// DryRunReview returns the body of a dry-run review of a change of one of Calico's objects: before is nil if it is created,
// after if it is deleted. resource is its kind in URLs, such as "bgppeers".
func DryRunReview(resource string, before, after *unstructured.Unstructured) ([]byte, error) {
	operation, object := admissionv1.Update, after
	switch {
	case before == nil:
		operation = admissionv1.Create
	case after == nil:
		operation, object = admissionv1.Delete, before
	}
	gvk := object.GroupVersionKind()
	kind := metav1.GroupVersionKind{Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind}
	of := metav1.GroupVersionResource{Group: gvk.Group, Version: gvk.Version, Resource: resource}
	request := &admissionv1.AdmissionRequest{
		UID: "probe", Kind: kind, RequestKind: &kind, Resource: of, RequestResource: &of,
		Name: object.GetName(), Operation: operation, DryRun: new(true),
		UserInfo: authenticationv1.UserInfo{Username: "probe", Groups: []string{"system:authenticated"}},
	}
	for to, from := range map[*runtime.RawExtension]*unstructured.Unstructured{&request.OldObject: before, &request.Object: after} {
		if from == nil {
			continue
		}
		raw, err := from.MarshalJSON()
		if err != nil {
			return nil, err
		}
		to.Raw = raw
	}
	review := admissionv1.AdmissionReview{Request: request}
	review.SetGroupVersionKind(admissionv1.SchemeGroupVersion.WithKind("AdmissionReview"))
	return json.Marshal(review)
}

// PostReview sends a review to a webhook and returns its answer.
func PostReview(ctx context.Context, client *http.Client, url string, review []byte) (*admissionv1.AdmissionResponse, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"?timeout=5s", bytes.NewReader(review))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	var answer admissionv1.AdmissionReview
	if err := json.Unmarshal(body, &answer); err != nil || answer.Response == nil {
		return nil, fmt.Errorf("%s: not an AdmissionReview: %s", response.Status, body)
	}
	if answer.Response.Result == nil {
		answer.Response.Result = &metav1.Status{}
	}
	return answer.Response, nil
}

// Review sends a review to the webhook, without the API server.
func (w *Webhook) Review(ctx context.Context, review []byte) (*admissionv1.AdmissionResponse, error) {
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // It is on loopback.
	return PostReview(ctx, &http.Client{Transport: transport}, w.URL, review)
}

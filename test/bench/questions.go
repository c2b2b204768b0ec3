package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/bgpguard/bgpguard/test/env"
)

// The parts of a review that differ between requests.
const (
	uidMarker    = "@uid@"
	numberMarker = "@number@"
	// numberKey is the annotation, or the extra field of the user, that holds the number.
	numberKey = "bench.bgpguard.io/number"
)

// question is an AdmissionReview that is sent many times, each time about a different change.
type question struct {
	name    string
	allowed bool
	// head, middle and tail are the review around its UID and its number.
	head, middle, tail []byte
}

// review returns the body of the request with that number, and its UID.
func (q *question) review(number int64) (body []byte, uid string) {
	uid = fmt.Sprintf("00000000-0000-4000-8000-%012x", number)
	return bytes.Join([][]byte{q.head, []byte(uid), q.middle, fmt.Appendf(nil, "%012d", number), q.tail}, nil), uid
}

// readQuestions makes the questions from the live objects, as the API server stores them.
func readQuestions(ctx context.Context, e *env.Environment, nodes int) ([]question, error) {
	peer, err := read(ctx, e, "bgppeers", rackPeer(0))
	if err != nil {
		return nil, err
	}
	configuration, err := read(ctx, e, "bgpconfigurations", "default")
	if err != nil {
		return nil, err
	}
	// config/policies allows a mesh of 100 nodes; route reflectors do not count.
	mesh := question{name: "mesh-on-deny"}
	if nodes-reflectors <= 100 {
		mesh = question{name: "mesh-on-allow", allowed: true}
	}
	questions := []struct {
		question
		operation admissionv1.Operation
		resource  string
		live      *unstructured.Unstructured
		field     string
		value     any
	}{
		{question{name: "peer-update-allow", allowed: true}, admissionv1.Update, "bgppeers", peer, "keepOriginalNextHop", true},
		{question{name: "peer-timer-deny"}, admissionv1.Update, "bgppeers", peer, "maxRestartTime", "300s"},
		{question{name: "peer-delete-deny"}, admissionv1.Delete, "bgppeers", peer, "", nil},
		{mesh, admissionv1.Update, "bgpconfigurations", configuration, "nodeToNodeMeshEnabled", true},
	}
	result := make([]question, len(questions))
	for i, q := range questions {
		request, err := newRequest(q.operation, q.resource, q.live, q.field, q.value)
		if err != nil {
			return nil, err
		}
		if err := q.split(request); err != nil {
			return nil, fmt.Errorf("%s: %w", q.name, err)
		}
		result[i] = q.question
	}
	return result, nil
}

// read returns an object as the API server sends it.
func read(ctx context.Context, e *env.Environment, resource, name string) (*unstructured.Unstructured, error) {
	path := "/apis/" + env.GroupV1.APIVersion() + "/" + resource + "/" + name
	raw, err := e.Client.CoreV1().RESTClient().Get().AbsPath(path).DoRaw(ctx)
	if err != nil {
		return nil, err
	}
	object := &unstructured.Unstructured{}
	err = object.UnmarshalJSON(raw)
	return object, err
}

// newRequest returns the request to delete the live object, or to change one field of it.
func newRequest(operation admissionv1.Operation, resource string, live *unstructured.Unstructured, field string, value any) (*admissionv1.AdmissionRequest, error) {
	gvk := live.GroupVersionKind()
	kind := metav1.GroupVersionKind{Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind}
	of := metav1.GroupVersionResource{Group: gvk.Group, Version: gvk.Version, Resource: resource}
	request := &admissionv1.AdmissionRequest{
		UID: uidMarker, Kind: kind, RequestKind: &kind, Resource: of, RequestResource: &of,
		Name: live.GetName(), Operation: operation, DryRun: new(false),
		UserInfo: authenticationv1.UserInfo{Username: "operator", Groups: []string{"network-operators", "system:authenticated"}},
	}
	if operation == admissionv1.Delete {
		request.Options.Raw = []byte(`{"kind":"DeleteOptions","apiVersion":"meta.k8s.io/v1","propagationPolicy":"Background"}`)
		// The object is deleted as it is, or it would be another one than the cluster's: only the user can differ.
		request.UserInfo.Extra = map[string]authenticationv1.ExtraValue{numberKey: {numberMarker}}
		var err error
		request.OldObject.Raw, err = live.MarshalJSON()
		return request, err
	}
	request.Options.Raw = []byte(`{"kind":"UpdateOptions","apiVersion":"meta.k8s.io/v1","fieldManager":"kubectl-edit"}`)
	changed := live.DeepCopy()
	changed.SetGeneration(live.GetGeneration() + 1)
	if err := unstructured.SetNestedField(changed.Object, value, "spec", field); err != nil {
		return nil, err
	}
	var err error
	if request.Object, err = numbered(changed); err != nil {
		return nil, err
	}
	request.OldObject.Raw, err = live.MarshalJSON()
	return request, err
}

// numbered returns the object with an annotation that is unique to the request, so that no answer can be cached.
func numbered(object *unstructured.Unstructured) (runtime.RawExtension, error) {
	object = object.DeepCopy()
	annotations := object.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[numberKey] = numberMarker
	object.SetAnnotations(annotations)
	raw, err := object.MarshalJSON()
	return runtime.RawExtension{Raw: raw}, err
}

// split splits the review of a request at the parts that differ.
func (q *question) split(request *admissionv1.AdmissionRequest) error {
	review := admissionv1.AdmissionReview{Request: request}
	review.SetGroupVersionKind(admissionv1.SchemeGroupVersion.WithKind("AdmissionReview"))
	body, err := json.Marshal(review)
	if err != nil {
		return err
	}
	var uid, number bool
	q.head, body, uid = bytes.Cut(body, []byte(uidMarker))
	q.middle, q.tail, number = bytes.Cut(body, []byte(numberMarker))
	if !uid || !number {
		return fmt.Errorf("the review has lost its UID or its number: %s", body)
	}
	return nil
}

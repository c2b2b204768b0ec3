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

// question is an AdmissionReview that is sent many times, each time with another number.
type question struct {
	name    string
	allowed bool
	floor   floorKind
	// head, middle and tail are the review around its UID and its number.
	head, middle, tail []byte
}

// floorKind says with which floor a question is compared. Questions with the same floor have reviews of about the same size.
type floorKind string

const (
	floorOfNodes  floorKind = "Node"
	floorOfCalico floorKind = "Calico object"
	floorOfWrites floorKind = "Calico object, with a write of a ConfigMap"
)

// review returns the body of the request with that number, and its UID.
func (q *question) review(number int64) (body []byte, uid string) {
	uid = fmt.Sprintf("00000000-0000-4000-8000-%012x", number)
	return bytes.Join([][]byte{q.head, []byte(uid), q.middle, fmt.Appendf(nil, "%012d", number), q.tail}, nil), uid
}

// The questions. A dry run reserves nothing. A real change that matters is reserved, which writes a ConfigMap, and bgpguard
// allows any other real change only after it has looked for reservations of other replicas.
const (
	labelDry      = "label of a Node that nobody reads, dry run"
	labelReal     = "label of a Node that nobody reads, real"
	heartbeatDry  = "heartbeat of a Node, dry run"
	heartbeatReal = "heartbeat of a Node, real"
	updateDry     = "BGPPeer update, allowed, dry run"
	updateReal    = "BGPPeer update, allowed, real"
	timerDenied   = "BGPPeer timer, denied"
	deleteDenied  = "BGPPeer delete, denied"
	meshDenied    = "mesh on, denied"
)

// change is a change that a question asks about.
type change struct {
	name      string
	denied    bool
	floor     floorKind
	dryRun    bool
	operation admissionv1.Operation
	resource  string
	status    bool // of the subresource status
	// live is the object as the API server has it, nil for a create. edit changes it, or makes the one to create.
	live *unstructured.Unstructured
	edit func(*unstructured.Unstructured) error
}

// readQuestions makes the questions from the live objects, as the API server stores them.
func readQuestions(ctx context.Context, e *env.Environment, nodes int) ([]question, error) {
	node, err := read(ctx, e, "/api/v1/nodes/"+env.Node(reflectors).Name)
	if err != nil {
		return nil, err
	}
	peer, err := readCalico(ctx, e, "bgppeers", rackPeer(0))
	if err != nil {
		return nil, err
	}
	configuration, err := readCalico(ctx, e, "bgpconfigurations", "default")
	if err != nil {
		return nil, err
	}
	update := spec("keepOriginalNextHop", true)
	changes := []change{
		{name: labelDry, floor: floorOfNodes, dryRun: true, operation: admissionv1.Update, resource: "nodes", live: node, edit: label("example.com/owner")},
		{name: heartbeatDry, floor: floorOfNodes, dryRun: true, operation: admissionv1.Update, resource: "nodes", status: true, live: node, edit: heartbeat},
		{name: labelReal, floor: floorOfNodes, operation: admissionv1.Update, resource: "nodes", live: node, edit: label("example.com/owner")},
		{name: heartbeatReal, floor: floorOfNodes, operation: admissionv1.Update, resource: "nodes", status: true, live: node, edit: heartbeat},
		{name: updateDry, floor: floorOfCalico, dryRun: true, operation: admissionv1.Update, resource: "bgppeers", live: peer, edit: numbered(update)},
		{name: timerDenied, floor: floorOfCalico, denied: true, operation: admissionv1.Update, resource: "bgppeers", live: peer, edit: numbered(spec("maxRestartTime", "300s"))},
		{name: deleteDenied, floor: floorOfCalico, denied: true, operation: admissionv1.Delete, resource: "bgppeers", live: peer},
		{name: meshDenied, floor: floorOfCalico, denied: true, operation: admissionv1.Update, resource: "bgpconfigurations", live: configuration, edit: numbered(spec("nodeToNodeMeshEnabled", true))},
		// Last, because its reservation stays open. The number is not in the object: it is the same reservation each time.
		{name: updateReal, floor: floorOfWrites, operation: admissionv1.Update, resource: "bgppeers", live: peer, edit: update},
	}
	var questions []question
	for _, c := range changes {
		// Route reflectors are not in the mesh.
		if c.name == meshDenied && nodes-reflectors <= meshLimit {
			continue
		}
		q, err := c.question()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		questions = append(questions, q)
	}
	return questions, nil
}

// readCalico returns an object of Calico as the API server sends it.
func readCalico(ctx context.Context, e *env.Environment, resource, name string) (*unstructured.Unstructured, error) {
	return read(ctx, e, "/apis/"+env.GroupV1.APIVersion()+"/"+resource+"/"+name)
}

// read returns an object as the API server sends it.
func read(ctx context.Context, e *env.Environment, path string) (*unstructured.Unstructured, error) {
	raw, err := e.Client.CoreV1().RESTClient().Get().AbsPath(path).DoRaw(ctx)
	if err != nil {
		return nil, err
	}
	object := &unstructured.Unstructured{}
	err = object.UnmarshalJSON(raw)
	return object, err
}

// spec sets a field of the spec.
func spec(field string, value any) func(*unstructured.Unstructured) error {
	return func(o *unstructured.Unstructured) error {
		return unstructured.SetNestedField(o.Object, value, "spec", field)
	}
}

// label sets a label to the number.
func label(key string) func(*unstructured.Unstructured) error {
	return func(o *unstructured.Unstructured) error {
		return unstructured.SetNestedField(o.Object, numberMarker, "metadata", "labels", key)
	}
}

// numbered makes an edit that also writes the number into an annotation, so that no two objects are equal.
func numbered(edit func(*unstructured.Unstructured) error) func(*unstructured.Unstructured) error {
	return func(o *unstructured.Unstructured) error {
		if err := edit(o); err != nil {
			return err
		}
		return unstructured.SetNestedField(o.Object, numberMarker, "metadata", "annotations", numberKey)
	}
}

// heartbeat changes the time of a Node's conditions, as kubelet does at least every 5 minutes.
func heartbeat(o *unstructured.Unstructured) error {
	conditions, _, err := unstructured.NestedSlice(o.Object, "status", "conditions")
	if err != nil {
		return err
	}
	for _, condition := range conditions {
		condition.(map[string]any)["lastHeartbeatTime"] = "2040-01-01T00:00:00Z"
	}
	return unstructured.SetNestedSlice(o.Object, conditions, "status", "conditions")
}

// question returns the change as a question.
func (c change) question() (question, error) {
	request, err := c.request()
	if err != nil {
		return question{}, err
	}
	q := question{name: c.name, allowed: !c.denied, floor: c.floor}
	err = q.split(request)
	return q, err
}

// request returns the request to make the change.
func (c change) request() (*admissionv1.AdmissionRequest, error) {
	object := &unstructured.Unstructured{Object: map[string]any{}}
	if c.live != nil {
		object = c.live.DeepCopy()
	}
	if c.edit != nil {
		if err := c.edit(object); err != nil {
			return nil, err
		}
	}
	gvk := object.GroupVersionKind()
	kind := metav1.GroupVersionKind{Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind}
	of := metav1.GroupVersionResource{Group: gvk.Group, Version: gvk.Version, Resource: c.resource}
	request := &admissionv1.AdmissionRequest{
		UID: uidMarker, Kind: kind, RequestKind: &kind, Resource: of, RequestResource: &of,
		Name: object.GetName(), Operation: c.operation, DryRun: new(c.dryRun),
		UserInfo: authenticationv1.UserInfo{Username: "operator", Groups: []string{"network-operators", "system:authenticated"}},
		Options:  runtime.RawExtension{Raw: []byte(`{"kind":"UpdateOptions","apiVersion":"meta.k8s.io/v1","fieldManager":"kubectl-edit"}`)},
	}
	switch c.operation {
	case admissionv1.Create:
		request.Options.Raw = []byte(`{"kind":"CreateOptions","apiVersion":"meta.k8s.io/v1","fieldManager":"kubectl-create"}`)
	case admissionv1.Delete:
		request.Options.Raw = []byte(`{"kind":"DeleteOptions","apiVersion":"meta.k8s.io/v1","propagationPolicy":"Background"}`)
	default:
		object.SetGeneration(object.GetGeneration() + 1)
	}
	if c.status {
		request.SubResource, request.RequestSubResource = "status", "status"
	}
	var err error
	if c.operation != admissionv1.Delete {
		if request.Object.Raw, err = object.MarshalJSON(); err != nil {
			return nil, err
		}
	}
	if c.live != nil {
		request.OldObject.Raw, err = c.live.MarshalJSON()
	}
	// An object that is deleted, or changed in the same way each time, has no number. The user has it.
	if !bytes.Contains(request.Object.Raw, []byte(numberMarker)) {
		request.UserInfo.Extra = map[string]authenticationv1.ExtraValue{numberKey: {numberMarker}}
	}
	return request, err
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

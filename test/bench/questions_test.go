package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func someNode() *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Node",
		"metadata": map[string]any{"name": "node-0003", "resourceVersion": "7"},
		"status":   map[string]any{"conditions": []any{map[string]any{"type": "Ready", "lastHeartbeatTime": "2026-01-01T00:00:00Z"}}},
	}}
}

// asked returns the request number 42 of a change, and its body.
func asked(t *testing.T, c change) (*admissionv1.AdmissionRequest, string) {
	t.Helper()
	q, err := c.question()
	if err != nil {
		t.Fatal(err)
	}
	if q.allowed == c.denied {
		t.Errorf("allowed is %t, denied %t", q.allowed, c.denied)
	}
	body, uid := q.review(42)
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(body, &review); err != nil {
		t.Fatal(err)
	}
	if string(review.Request.UID) != uid {
		t.Errorf("the UID is %s, want %s", review.Request.UID, uid)
	}
	if other, _ := q.review(43); strings.ReplaceAll(string(other), "2b", "2a") == string(body) {
		t.Error("two reviews differ only in their UID")
	}
	return review.Request, string(body)
}

func TestQuestions(t *testing.T) {
	for name, test := range map[string]struct {
		change change
		// inObject says whether the number is in the object or in the user.
		inObject bool
		old      bool
	}{
		"label":     {change{operation: admissionv1.Update, resource: "nodes", live: someNode(), edit: label("owner"), dryRun: true}, true, true},
		"heartbeat": {change{operation: admissionv1.Update, resource: "nodes", status: true, live: someNode(), edit: heartbeat}, false, true},
		"annotated": {change{operation: admissionv1.Update, resource: "nodes", live: someNode(), edit: numbered(spec("podCIDR", "10.0.0.0/24")), denied: true}, true, true},
		"delete":    {change{operation: admissionv1.Delete, resource: "nodes", live: someNode(), denied: true}, false, true},
		"create": {change{operation: admissionv1.Create, resource: "bgppeers", edit: numbered(func(o *unstructured.Unstructured) error {
			o.Object = peerOfNode(forms[0], 3).Object
			return nil
		})}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			c := test.change
			request, body := asked(t, c)
			if request.Operation != c.operation || request.Resource.Resource != c.resource || *request.DryRun != c.dryRun || (request.SubResource == "status") != c.status {
				t.Errorf("another request: %s", body)
			}
			if (len(request.OldObject.Raw) > 0) != test.old || (len(request.Object.Raw) == 0) != (c.operation == admissionv1.Delete) {
				t.Errorf("the objects are those of another operation: %s", body)
			}
			if got := strings.Contains(string(request.Object.Raw), "000000000042"); got != test.inObject {
				t.Errorf("the number is in the object: %t, want %t: %s", got, test.inObject, body)
			}
			if test.inObject == (request.UserInfo.Extra != nil) {
				t.Errorf("the number is in the object and in the user, or in none: %s", body)
			}
		})
	}
}

func TestHeartbeatChangesOnlyTimes(t *testing.T) {
	node := someNode()
	if err := heartbeat(node); err != nil {
		t.Fatal(err)
	}
	before, err := someNode().MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	after, err := node.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Replace(string(before), "2026-01-01T00:00:00Z", "2040-01-01T00:00:00Z", 1); string(after) != want {
		t.Errorf("a heartbeat makes %s, want %s", after, want)
	}
}

func TestByFloor(t *testing.T) {
	var got []int
	for _, group := range byFloor([]question{{floor: floorOfNodes}, {floor: floorOfNodes}, {floor: floorOfCalico}, {floor: floorOfWrites}, {floor: floorOfWrites}}) {
		got = append(got, len(group))
	}
	if want := []int{2, 1, 2}; !slices.Equal(got, want) {
		t.Errorf("groups of %v questions, want %v", got, want)
	}
}

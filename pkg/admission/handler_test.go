package admission

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/validate"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

const (
	create = admissionv1.Create
	update = admissionv1.Update
	remove = admissionv1.Delete
)

func TestHandle(t *testing.T) {
	failed := &validate.Decision{Failures: []validate.Failure{{Policy: "mine", Action: violation.Deny, Err: errors.New("division by zero")}}}
	about := violation.Object{Kind: "BGPPeer", Name: "a"}
	warned := &validate.Decision{Allowed: true, Objects: []violation.Object{about}, Verdicts: []validate.Verdict{{
		Violation: violation.Violation{Policy: "timers-consistent", Message: "2 sessions differ", Objects: violation.Subjects(about)}, Relation: validate.Standing,
	}}}
	tests := map[string]struct {
		request admission.Request
		decider deciderFunc
		cluster fakeCluster
		want    string
	}{
		"a change that breaks nothing is allowed": {
			request: request(create, v3, "BGPPeer", "a", peer(v3, "a", goodSpec), ""),
			decider: always(allowed()),
			want:    `{"uid":"","allowed":true,"auditAnnotations":{"data-age":"3s","decision":"allowed"}}`,
		},
		"a denial carries message, causes and audit annotations": {
			request: request(create, v3, "BGPPeer", "a", peer(v3, "a", goodSpec), ""),
			decider: always(denied()),
			want: `{"uid":"","allowed":false,"status":{"metadata":{},"status":"Failure","message":"[mesh-node-limit] 120 nodes, limit 100: turn the mesh off\nbased on cluster data confirmed 3s ago","reason":"Forbidden","details":{"name":"a","group":"projectcalico.org","kind":"BGPPeer","causes":[{"reason":"mesh-node-limit/mesh","message":"120 nodes, limit 100: turn the mesh off"}]},"code":403},` +
				`"auditAnnotations":{"data-age":"3s","decision":"denied","violations":"[{\"policy\":\"mesh-node-limit\",\"id\":\"mesh\",\"size\":20,\"action\":\"Deny\",\"message\":\"120 nodes, limit 100: turn the mesh off\"}]"}}`,
		},
		"warnings reach a user whose change is allowed": {
			request: request(create, v3, "BGPPeer", "a", peer(v3, "a", goodSpec), ""),
			decider: always(warned),
			want:    `{"uid":"","allowed":true,"auditAnnotations":{"data-age":"3s","decision":"allowed"},"warnings":["[timers-consistent] 2 sessions differ (already so before this change)"]}`,
		},
		"a policy that fails is an error and no denial": {
			request: request(create, v3, "BGPPeer", "a", peer(v3, "a", goodSpec), ""),
			decider: always(failed),
			want:    `{"uid":"","allowed":false,"status":{"metadata":{},"status":"Failure","message":"the change could not be evaluated:\n[mine] evaluation error: division by zero\nbased on cluster data confirmed 3s ago","reason":"InternalError","code":500},"auditAnnotations":{"data-age":"3s","decision":"error","failed-policies":"mine"}}`,
		},
		"requests before the caches are synced fail": {
			request: request(create, v3, "BGPPeer", "a", peer(v3, "a", goodSpec), ""),
			cluster: fakeCluster{err: fmt.Errorf("%w: still reading Node from the API server", state.ErrNotSynced)},
			want:    `{"uid":"","allowed":false,"status":{"metadata":{},"status":"Failure","message":"not ready: still reading Node from the API server","reason":"ServiceUnavailable","code":503},"auditAnnotations":{"data-age":"0s","decision":"error"}}`,
		},
		"requests on stale data fail": {
			request: request(create, v3, "BGPPeer", "a", peer(v3, "a", goodSpec), ""),
			cluster: fakeCluster{err: fmt.Errorf("%w: for 4m0s the API server has sent nothing about Node", state.ErrStale), age: 4 * time.Minute},
			want:    `{"uid":"","allowed":false,"status":{"metadata":{},"status":"Failure","message":"stale data: for 4m0s the API server has sent nothing about Node; this replica is not ready: if the error lasts, all replicas are stale","reason":"ServiceUnavailable","code":503},"auditAnnotations":{"data-age":"4m0s","decision":"error"}}`,
		},
		"an unknown kind is a bad request": {
			request: request(create, v3, "Tier", "a", strings.Replace(peer(v3, "a", "{}"), "BGPPeer", "Tier", 1), ""),
			want: `{"uid":"","allowed":false,"status":{"metadata":{},"status":"Failure","message":"Tier of projectcalico.org/v3 does not decide BGP; known are Node of v1 and projectcalico.org/v3, Secret of v1, BGPConfiguration, BGPFilter, BGPPeer, CalicoNodeStatus, ClusterInformation, FelixConfiguration, IPAMBlock, IPPool of crd.projectcalico.org/v1 and projectcalico.org/v3, and Installation of operator.tigera.io/v1","reason":"BadRequest","code":400},` +
				`"auditAnnotations":{"data-age":"3s","decision":"invalid"}}`,
		},
		"an unknown group is a bad request": {
			request: request(remove, "example.com", "BGPPeer", "a", "", strings.Replace(peer(v3, "a", "{}"), v3, "example.com", 1)),
			want: `{"uid":"","allowed":false,"status":{"metadata":{},"status":"Failure","message":"BGPPeer of example.com/v3 does not decide BGP; known are Node of v1 and projectcalico.org/v3, Secret of v1, BGPConfiguration, BGPFilter, BGPPeer, CalicoNodeStatus, ClusterInformation, FelixConfiguration, IPAMBlock, IPPool of crd.projectcalico.org/v1 and projectcalico.org/v3, and Installation of operator.tigera.io/v1","reason":"BadRequest","code":400},` +
				`"auditAnnotations":{"data-age":"3s","decision":"invalid"}}`,
		},
		"an operation that is not reviewed is a bad request": {
			request: request("CONNECT", v3, "BGPPeer", "a", "", ""),
			want:    `{"uid":"","allowed":false,"status":{"metadata":{},"status":"Failure","message":"operation \"CONNECT\" is not supported; use CREATE, UPDATE or DELETE","reason":"BadRequest","code":400},"auditAnnotations":{"data-age":"3s","decision":"invalid"}}`,
		},
		"an object that does not parse names the field": {
			request: request(create, v3, "BGPPeer", "a", peer(v3, "a", `{"peerIP":7}`), ""),
			want:    `{"uid":"","allowed":false,"status":{"metadata":{},"status":"Failure","message":"BGPPeer a does not parse: spec.peerIP: must be a string, is 7","reason":"Invalid","code":422},"auditAnnotations":{"data-age":"3s","decision":"invalid"}}`,
		},
		"an object that is no JSON is a bad request": {
			request: request(create, v3, "BGPPeer", "a", "{", ""),
			want:    `{"uid":"","allowed":false,"status":{"metadata":{},"status":"Failure","message":"BGPPeer a is not a JSON object: unexpected end of JSON input","reason":"BadRequest","code":400},"auditAnnotations":{"data-age":"3s","decision":"invalid"}}`,
		},
		"an object that does not parse can be deleted": {
			request: request(remove, v3, "BGPPeer", "a", "", `{"apiVersion":"projectcalico.org/v3","kind":"BGPPeer","metadata":{}}`), decider: always(allowed()),
			want: `{"uid":"","allowed":true,"auditAnnotations":{"data-age":"3s","decision":"allowed"},"warnings":["BGPPeer a before the change does not parse and is ignored: metadata.name: is missing"]}`,
		},
		"an object with a value that Calico cannot decode can be deleted": {
			request: request(remove, v3, "BGPPeer", "a", "", peer(v3, "a", `{"peerIP":7}`)), decider: always(allowed()),
			want: `{"uid":"","allowed":true,"auditAnnotations":{"data-age":"3s","decision":"allowed"}}`,
		},
		"an update may leave a value that Calico cannot decode": {
			request: request(update, v3, "BGPPeer", "a", peer(v3, "a", `{"peerIP":7,"asNumber":1}`), peer(v3, "a", `{"peerIP":7}`)), decider: always(allowed()),
			want: `{"uid":"","allowed":true,"auditAnnotations":{"data-age":"3s","decision":"allowed"},"warnings":["BGPPeer a has a value that Calico cannot decode, as before the change: spec.peerIP: must be a string, is 7"]}`,
		},
		"an update must not add another value that Calico cannot decode": {
			request: request(update, v3, "BGPPeer", "a", peer(v3, "a", `{"peerIP":7,"asNumber":"x"}`), peer(v3, "a", `{"peerIP":7}`)),
			want:    `{"uid":"","allowed":false,"status":{"metadata":{},"status":"Failure","message":"BGPPeer a does not parse: spec.asNumber: must be an AS number from 0 to 4294967295, is \"x\"","reason":"Invalid","code":422},"auditAnnotations":{"data-age":"3s","decision":"invalid"}}`,
		},
		"an object that the state depends on and that does not parse can be deleted": {
			request: request(remove, v3, "BGPConfiguration", "default", "", `{"apiVersion":"projectcalico.org/v3","kind":"BGPConfiguration","metadata":{}}`), decider: always(allowed()),
			want: `{"uid":"","allowed":true,"auditAnnotations":{"data-age":"3s","decision":"allowed"},"warnings":["BGPConfiguration default before the change does not parse, so only the state after the change is evaluated: metadata.name: is missing"]}`,
		},
		"other objects that do not parse are named once": {
			request: request(create, v3, "BGPPeer", "a", peer(v3, "a", goodSpec), ""), decider: always(allowed()),
			cluster: fakeCluster{snapshot: state.New(
				unparsed("BGPPeer", "a"), unparsed("BGPPeer", "b"), unparsed("IPPool", "c"), unparsed("BGPConfiguration", "default"), unparsed("CalicoNodeStatus", "d"),
			)},
			want: `{"uid":"","allowed":true,"auditAnnotations":{"data-age":"3s","decision":"allowed"},"warnings":["the decision ignores 2 objects that do not parse: BGPPeer b (spec.x: must be a string, is 7), IPPool c (spec.x: must be a string, is 7); fix or delete them"]}`,
		},
		"changes of Nodes do not name them": {
			request: nodeRequest(update, "jane"), decider: always(allowed()),
			cluster: fakeCluster{snapshot: state.New(unparsed("BGPPeer", "b"))},
			want:    `{"uid":"","allowed":true,"auditAnnotations":{"data-age":"3s","decision":"allowed"}}`,
		},
		"the finalizers of an object with a value that Calico cannot decode can be removed": {
			decider: always(allowed()),
			request: request(update, v3, "BGPPeer", "a", `{"apiVersion":"projectcalico.org/v3","kind":"BGPPeer","metadata":{"name":"a","deletionTimestamp":"2026-11-01T00:00:00Z"},"spec":{"peerIP":7}}`, peer(v3, "a", `{"peerIP":7}`)),
			want:    `{"uid":"","allowed":true,"auditAnnotations":{"data-age":"3s","decision":"allowed"},"warnings":["BGPPeer a has a value that Calico cannot decode, as before the change: spec.peerIP: must be a string, is 7"]}`,
		},
		"the finalizers of an object that does not parse can be removed": {
			request: request(update, v3, "BGPPeer", "a", `{"apiVersion":"projectcalico.org/v3","kind":"BGPPeer","metadata":{"deletionTimestamp":"2026-11-01T00:00:00Z"}}`, `{"apiVersion":"projectcalico.org/v3","kind":"BGPPeer","metadata":{}}`),
			want:    `{"uid":"","allowed":true,"auditAnnotations":{"data-age":"3s","decision":"allowed"},"warnings":["BGPPeer a does not parse and is being deleted, so the change is not evaluated: metadata.name: is missing"]}`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			decider := test.decider
			if decider == nil {
				decider = func(context.Context, *state.Snapshot, validate.Request) *validate.Decision {
					t.Error("the engine was asked")
					return allowed()
				}
			}
			r := New(test.cluster, decider).Handle(t.Context(), test.request)
			if got := toJSON(t, r.AdmissionResponse); got != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

// A BGPPeer for which the memory does not suffice is denied before it is evaluated. Other changes are evaluated.
func TestNoRoomForABGPPeer(t *testing.T) {
	full := fmt.Errorf("%w: 7,000 BGPPeers", state.ErrTooLarge)
	for name, test := range map[string]struct {
		request admission.Request
		want    string
	}{
		"a create": {
			request(create, v3, "BGPPeer", "a", peer(v3, "a", goodSpec), ""),
			`{"uid":"","allowed":false,"status":{"metadata":{},"status":"Failure","message":"state too large: 7,000 BGPPeers","reason":"Forbidden","code":403},"auditAnnotations":{"data-age":"3s","decision":"full"}}`,
		},
		"an update": {
			request(update, v3, "BGPPeer", "a", peer(v3, "a", goodSpec), peer(v3, "a", goodSpec)),
			`{"uid":"","allowed":true,"auditAnnotations":{"data-age":"3s","decision":"allowed"}}`,
		},
		"a delete": {
			request(remove, v3, "BGPPeer", "a", "", peer(v3, "a", goodSpec)),
			`{"uid":"","allowed":true,"auditAnnotations":{"data-age":"3s","decision":"allowed"}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := New(fakeCluster{}, always(allowed()))
			h.SetRoom(func(*state.Snapshot) error { return full })
			if got := toJSON(t, h.Handle(t.Context(), test.request).AdmissionResponse); got != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

func TestAStoredValueThatCalicoCannotDecodeCanBeFixed(t *testing.T) {
	var got state.Change
	decider := deciderFunc(func(_ context.Context, _ *state.Snapshot, c validate.Request) *validate.Decision {
		got = c.Change
		return allowed()
	})
	req := request(update, v3, "BGPPeer", "a", peer(v3, "a", goodSpec), peer(v3, "a", `{"peerIP":7}`))
	r := New(fakeCluster{}, decider).Handle(t.Context(), req)
	if !r.Allowed || len(calico.Odd(got.Before)) != 1 || len(calico.Odd(got.After)) != 0 || len(r.Warnings) > 0 {
		t.Errorf("allowed %t, before %v, after %v", r.Allowed, got.Before, got.After)
	}
}

func TestBothGroupsMakeTheSameChange(t *testing.T) {
	var keys []twin
	decider := deciderFunc(func(_ context.Context, _ *state.Snapshot, c validate.Request) *validate.Decision {
		key, ok := keyOf(&admission.Request{}, c.Change)
		if !ok {
			t.Errorf("%s has no key", c.ID())
		}
		keys = append(keys, key)
		return denied()
	})
	h := New(fakeCluster{}, decider)
	third := h.Handle(t.Context(), request(create, v3, "BGPPeer", "a", `{"apiVersion":"projectcalico.org/v3","kind":"BGPPeer","metadata":{"name":"a","labels":{"rack":"1"},"uid":"x"},"spec":{"peerIP":"10.0.0.1","asNumber":64512}}`, ""))
	first := h.Handle(t.Context(), request(create, v1, "BGPPeer", "a", `{"apiVersion":"crd.projectcalico.org/v1","kind":"BGPPeer","metadata":{"name":"a","annotations":{"projectcalico.org/metadata":"{\"labels\":{\"rack\":\"1\"}}"}},"spec":{"asNumber":64512,"peerIP":"10.0.0.1"}}`, ""))
	if keys[0] != keys[1] {
		t.Errorf("got two changes: %v", keys)
	}
	if third.Result.Message != first.Result.Message || third.Allowed != first.Allowed {
		t.Errorf("got two answers: %s and %s", toJSON(t, third), toJSON(t, first))
	}
}

func TestLongDenialIsBounded(t *testing.T) {
	d := &validate.Decision{}
	for i := range 200 {
		d.Verdicts = append(d.Verdicts, fresh(violation.Violation{Policy: "p", ID: fmt.Sprint(i), Action: violation.Deny, Message: strings.Repeat("long ", 1000)})...)
	}
	r := New(fakeCluster{}, always(d)).Handle(t.Context(), request(create, v3, "BGPPeer", "a", peer(v3, "a", goodSpec), ""))
	if n := len(r.Result.Details.Causes); n != maxCauses {
		t.Errorf("got %d causes", n)
	}
	if n := len(r.Result.Details.Causes[0].Message); n > maxCauseLength {
		t.Errorf("got a cause of %d bytes", n)
	}
	if n := len(r.AuditAnnotations["violations"]); n > maxAuditViolations {
		t.Errorf("got audit annotations of %d bytes", n)
	}
	if got := r.AuditAnnotations["violations-omitted"]; got != "185" {
		t.Errorf("%s violations were omitted", got)
	}
}

func TestLogOfADenial(t *testing.T) {
	ctx, out := logged(t)
	dry := true
	req := request(create, v3, "BGPPeer", "a", peer(v3, "a", `{"peerIP":"10.0.0.1","asNumber":64512,"password":{"secretKeyRef":{"name":"bgp","key":"hunter2"}}}`), "")
	req.DryRun = &dry
	req.UID = types.UID("uid-7")
	h := New(fakeCluster{}, always(denied()))
	ctx = contextWithRequest(ctx, &req)
	h.Handle(ctx, req)
	want := `{"level":"INFO","msg":"Denied","operation":"CREATE","group":"projectcalico.org","kind":"BGPPeer","name":"a","user":"jane","dryRun":true,"requestID":"uid-7","policies":["mesh-node-limit"],"message":"[mesh-node-limit] 120 nodes, limit 100: turn the mesh off\nbased on cluster data confirmed 3s ago"}` + "\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out, want)
	}
}

// unparsed returns an object that does not parse.
func unparsed(kind calico.Kind, name string) calico.Object {
	return calico.NewUnparsed(calico.ID{Kind: kind, Name: name}, errors.New("spec.x: must be a string, is 7"))
}

package admission

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/validate"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// outOfCheese is a decider that panics.
var outOfCheese = deciderFunc(func(context.Context, *state.Snapshot, validate.Request) *validate.Decision { panic("out of cheese") })

// A panic is answered like every other failure: the objects under failurePolicy Fail get an
// error, and Nodes are allowed with a warning.
func TestPanicsAreAnsweredLikeOtherFailures(t *testing.T) {
	const text = "the change could not be evaluated: bgpguard panicked: out of cheese"
	for name, test := range map[string]struct {
		request admission.Request
		allowed bool
	}{
		"a BGPPeer":                {request(create, v3, "BGPPeer", "a", peer(v3, "a", goodSpec), ""), false},
		"a person writes a Node":   {nodeRequest(update, "jane"), true},
		"a kubelet writes a Node":  {kubeletRequest(update, "cp-1"), true},
		"calico-node writes Nodes": {inStatus(nodeRequest(update, calicoNode)), true},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, log := logged(t)
			before := testutil.ToFloat64(panics)
			r := New(fakeCluster{}, outOfCheese).Handle(ctx, test.request)
			if r.Allowed != test.allowed || r.AuditAnnotations["decision"] != resultError {
				t.Errorf("got %s", toJSON(t, r))
			}
			if test.allowed && !strings.Contains(strings.Join(r.Warnings, "\n"), text) {
				t.Errorf("the warnings do not say why: %q", r.Warnings)
			}
			if !test.allowed && (r.Result.Message != text || r.Result.Code != 500) {
				t.Errorf("got %s", toJSON(t, r))
			}
			if got := testutil.ToFloat64(panics) - before; got != 1 {
				t.Errorf("counted %v panics", got)
			}
			if !strings.Contains(log.String(), `"stack":"goroutine `) || !strings.Contains(log.String(), "panic_test.go") {
				t.Errorf("the log has no stack:\n%s", log)
			}
		})
	}
}

// A policy that panics is an evaluation error of this policy, and logged with its stack.
func TestPanicsOfPoliciesAreLogged(t *testing.T) {
	failed := &validate.Decision{Failures: []validate.Failure{
		{Policy: "mine", Action: violation.Deny, Err: errors.Join(&policy.PanicError{Value: "x", Stack: []byte("goroutine 7")})},
		{Policy: "other", Action: violation.Deny, Err: errors.New("division by zero")},
	}}
	ctx, log := logged(t)
	before := testutil.ToFloat64(panics)
	New(fakeCluster{}, always(failed)).Handle(ctx, request(create, v3, "BGPPeer", "a", peer(v3, "a", goodSpec), ""))
	if got := testutil.ToFloat64(panics) - before; got != 1 {
		t.Errorf("counted %v panics", got)
	}
	if want := `"msg":"Recovered from a panic","policy":"mine","err":"panicked: x","stack":"goroutine 7"`; !strings.Contains(log.String(), want) {
		t.Errorf("no %s in\n%s", want, log)
	}
}

// What happens after the answer does not change it.
func TestAPanicAfterTheAnswerDoesNotChangeIt(t *testing.T) {
	h := New(fakeCluster{}, always(denied()))
	h.SetRecord(func(corev1.ObjectReference, string, []validate.Override) { panic("out of cheese") })
	if r := h.Handle(t.Context(), nodeRequest(remove, lifecycle)); !r.Allowed || r.AuditAnnotations["not-enforced"] != nodeRemoved {
		t.Errorf("got %s", toJSON(t, r))
	}
}

// panickingPolicies panics when it checks a document.
type panickingPolicies struct{ fakePolicies }

func (panickingPolicies) Check(context.Context, *policy.Document) (*policy.Policy, error) {
	panic("out of cheese")
}

// The webhook of BGPPolicies has failurePolicy Ignore: a policy can always be changed.
func TestAPanicAllowsABGPPolicy(t *testing.T) {
	ctx, log := logged(t)
	h := NewPolicyHandler(panickingPolicies{inForce(t)}, nil)
	r := h.Handle(ctx, policyRequest(create, "mesh", bgpPolicy("mesh", `{"policy":"mesh-node-limit","validationActions":["Deny"]}`), ""))
	want := `{"uid":"","allowed":true,"auditAnnotations":{"decision":"error"},"warnings":["BGPPolicy mesh was not reviewed: bgpguard panicked: out of cheese"]}`
	if got := toJSON(t, r.AdmissionResponse); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if !strings.Contains(log.String(), `"stack":"goroutine `) {
		t.Errorf("the log has no stack:\n%s", log)
	}
}

// kubeletRequest returns a request of the kubelet of a node about the Node cp-1.
func kubeletRequest(op admissionv1.Operation, node string) admission.Request {
	r := nodeRequest(op, "system:node:"+node)
	r.UserInfo.Groups = []string{"system:nodes", "system:authenticated"}
	return r
}

// An answer in time follows a panic: nothing stays locked.
func TestRequestsAfterAPanicAreAnswered(t *testing.T) {
	first := true
	h := New(fakeCluster{}, deciderFunc(func(context.Context, *state.Snapshot, validate.Request) *validate.Decision {
		if first {
			first = false
			panic("out of cheese")
		}
		return allowed()
	}))
	done := make(chan bool)
	go func() {
		for range 2 {
			r := h.Handle(t.Context(), request(create, v3, "BGPPeer", "a", peer(v3, "a", goodSpec), ""))
			done <- r.Allowed
		}
	}()
	for _, want := range []bool{false, true} {
		select {
		case got := <-done:
			if got != want {
				t.Errorf("allowed %t, want %t", got, want)
			}
		case <-time.After(time.Minute):
			t.Fatal("no answer")
		}
	}
}

package admission

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/bgpguard/bgpguard/pkg/api/v1alpha1"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/validate"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// fakeCluster is a Cluster whose data is three seconds old, or of the given age if there is
// an error.
type fakeCluster struct {
	snapshot *state.Snapshot
	err      error
	age      time.Duration
}

func (c fakeCluster) Snapshot() (*state.Snapshot, time.Duration, error) {
	if c.err != nil {
		return nil, c.age, c.err
	}
	return c.snapshot, 3 * time.Second, nil
}

// deciderFunc is a Decider.
type deciderFunc func(context.Context, *state.Snapshot, validate.Request) *validate.Decision

func (f deciderFunc) Decide(ctx context.Context, s *state.Snapshot, c validate.Request) *validate.Decision {
	return f(ctx, s, c)
}

func always(d *validate.Decision) deciderFunc {
	return func(_ context.Context, _ *state.Snapshot, r validate.Request) *validate.Decision {
		own := *d
		own.Objects = []violation.Object{{Kind: string(r.ID().Kind), Name: r.ID().Name}}
		own.Admit(&r)
		return &own
	}
}

func allowed() *validate.Decision { return &validate.Decision{Allowed: true} }

func denied() *validate.Decision {
	return &validate.Decision{Verdicts: fresh(violation.Violation{
		Policy: "mesh-node-limit", ID: "mesh", Size: 20, Action: violation.Deny, Message: "120 nodes, limit 100: turn the mesh off",
	})}
}

// fresh returns verdicts on new violations.
func fresh(violations ...violation.Violation) []validate.Verdict {
	var out []validate.Verdict
	for _, v := range violations {
		out = append(out, validate.Verdict{Violation: v, Relation: validate.New})
	}
	return out
}

// exempt returns verdicts of policies that deny and from which the user is exempt.
func exempt(policies ...string) []validate.Verdict {
	var out []validate.Verdict
	for _, name := range policies {
		v := validate.Verdict{Violation: violation.Violation{Policy: name, Action: violation.Deny, Message: "120 nodes"}, Relation: validate.New, Exempt: true}
		out = append(out, v)
	}
	return out
}

// excepted returns a decision that the BGPException incident allows: a policy denies the change, and another
// one cannot be evaluated.
func excepted(t *testing.T) *validate.Decision {
	t.Helper()
	x, err := policy.NewException(&v1alpha1.BGPException{
		ObjectMeta: metav1.ObjectMeta{Name: "incident", UID: "u-1"},
		Spec: v1alpha1.BGPExceptionSpec{
			Policies: []string{"*"}, Reason: "INC-1: no routes", Expires: metav1.NewTime(time.Date(2026, 3, 14, 19, 0, 0, 0, time.UTC)),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	d := denied()
	d.Allowed, d.Verdicts[0].Exception = true, x
	d.Failures = []validate.Failure{{Policy: "failing", Action: violation.Deny, Exception: x, Err: errors.New("timeout")}}
	return d
}

// calicoAPIServer is the user as which Calico's API server writes.
const calicoAPIServer = "system:serviceaccount:calico-apiserver:calico-apiserver"

// request returns a request of user jane about a BGPPeer or BGPConfiguration.
func request(op admissionv1.Operation, group, kind, name, object, old string) admission.Request {
	r := admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{
		UID: "uid-1", Operation: op, Name: name,
		Kind:     metav1.GroupVersionKind{Group: group, Version: map[string]string{v1: "v1", v3: "v3"}[group], Kind: kind},
		UserInfo: authenticationv1.UserInfo{Username: "jane", Groups: []string{"secret-group"}},
	}}
	if object != "" {
		r.Object = runtime.RawExtension{Raw: []byte(object)}
	}
	if old != "" {
		r.OldObject = runtime.RawExtension{Raw: []byte(old)}
	}
	return r
}

const (
	v1 = "crd.projectcalico.org"
	v3 = "projectcalico.org"
)

// peer returns a BGPPeer as JSON.
func peer(group, name, spec string) string {
	version := map[string]string{v1: "v1", v3: "v3"}[group]
	return `{"apiVersion":"` + group + `/` + version + `","kind":"BGPPeer","metadata":{"name":"` + name + `"},"spec":` + spec + `}`
}

const goodSpec = `{"peerIP":"10.0.0.1","asNumber":64512}`

// logged returns a context whose logger writes to the returned buffer, without
// the time.
func logged(t *testing.T) (context.Context, *bytes.Buffer) {
	t.Helper()
	var b bytes.Buffer
	return logf.IntoContext(t.Context(), jsonLogger(&b)), &b
}

func jsonLogger(b *bytes.Buffer) logr.Logger {
	return logr.FromSlogHandler(slog.NewJSONHandler(b, &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

func toJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// contextWithRequest adds the request to the logger, as HTTP does for every request.
func contextWithRequest(ctx context.Context, req *admission.Request) context.Context {
	return logf.IntoContext(ctx, withRequest(logf.FromContext(ctx), req))
}

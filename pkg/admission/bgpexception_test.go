package admission

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	admissionv1 "k8s.io/api/admission/v1"

	"github.com/bgpguard/bgpguard/pkg/api/v1alpha1"
)

// bgpException returns a BGPException as JSON.
func bgpException(spec string) string {
	return `{"apiVersion":"policy.bgpguard.io/v1alpha1","kind":"BGPException","metadata":{"name":"incident"},"spec":` + spec + `}`
}

func TestExceptionsAreReviewed(t *testing.T) {
	const (
		valid   = `{"policies":["mesh-node-limit"],"match":{"names":["a"]},"reason":"INC-1","expires":"2026-03-14T13:00:00Z"}`
		earlier = `{"policies":["mesh-node-limit"],"match":{"names":["a"]},"reason":"INC-1","expires":"2026-03-14T11:00:00Z"}`
		record  = "BGPException incident for mesh-node-limit until 2026-03-14T13:00:00Z: INC-1"
	)
	now := time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)
	replaced := func(old, is string) string { return strings.Replace(valid, old, is, 1) }
	for name, test := range map[string]struct {
		op          admissionv1.Operation
		object, old string
		// rejected is the beginning of the message, annotation "KEY TEXT", warning the only one.
		rejected, annotation, warning string
	}{
		"a new one": {create, valid, "", "", "exception-created " + record, ""},
		"one of a policy that is not in force": {
			create, replaced("mesh-node-limit", "mesh"), "", "", "exception-created " + strings.Replace(record, "mesh-node-limit", "mesh", 1),
			"BGPException incident: no BGPPolicy of this name is in force: mesh",
		},
		"one for everything": {
			create, `{"policies":["*"],"match":{},"reason":"INC-1","expires":"2026-03-14T13:00:00Z"}`, "", "",
			"exception-created " + strings.Replace(record, "mesh-node-limit", "*", 1), "BGPException incident: no policy denies any change until 2026-03-14T13:00:00Z",
		},
		"one that has expired":    {create, earlier, "", "BGPException incident: spec.expires: must be in the future", "", ""},
		"one for too long":        {create, replaced("2026-03-14T13", "2027-03-14T13"), "", "BGPException incident: spec.expires: must be at most 7 days ahead", "", ""},
		"one without a reason":    {create, replaced("INC-1", " "), "", "BGPException incident: spec.reason: is missing", "", ""},
		"one that does not parse": {create, `{"policies":1}`, "", "BGPException incident does not parse: ", "", ""},
		"one that ends earlier":   {update, earlier, valid, "", "exception-changed " + strings.Replace(record, "T13", "T11", 1), ""},
		"one that gets a label":   {update, earlier, earlier, "", "", ""},
		"one that is deleted":     {remove, "", valid, "", "exception-deleted " + record, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := NewPolicyHandler(inForce(t), nil)
			h.now = func() time.Time { return now }
			object, old := test.object, test.old
			if object != "" {
				object = bgpException(object)
			}
			if old != "" {
				old = bgpException(old)
			}
			r := policyRequest(test.op, "incident", object, old)
			r.Kind.Kind = v1alpha1.KindBGPException
			ctx, log := logged(t)
			result := map[bool]string{true: resultAllowed, false: resultInvalid}[test.rejected == ""]
			count := func() float64 {
				return testutil.ToFloat64(requests.WithLabelValues(result, string(test.op), v1alpha1.KindBGPException, "false"))
			}
			before := count()
			answer := h.Handle(ctx, r)
			if count() != before+1 {
				t.Error("it is not counted")
			}
			switch {
			case test.rejected == "" && !answer.Allowed, test.rejected != "" && (answer.Allowed || !strings.HasPrefix(answer.Result.Message, test.rejected)):
				t.Errorf("answered %s", toJSON(t, answer))
			}
			if got := strings.Join(answer.Warnings, "\n"); got != test.warning {
				t.Errorf("warned %q", got)
			}
			key, text, _ := strings.Cut(test.annotation, " ")
			if got := answer.AuditAnnotations[key]; test.annotation != "" && (got != text || !strings.Contains(log.String(), `"msg":"BGPException `)) {
				t.Errorf("annotation %q, log %s", got, log)
			}
		})
	}
}

func TestAnExceptedChangeIsRecorded(t *testing.T) {
	h := New(fakeCluster{}, always(excepted(t)))
	counter := exceptedChanges.WithLabelValues("mesh-node-limit", "false")
	before := testutil.ToFloat64(counter)
	ctx, log := logged(t)
	answer := h.Handle(ctx, request(create, v1, "BGPPeer", "a", peer(v1, "a", goodSpec), ""))
	const suffix = " (allowed by BGPException incident until 2026-03-14T19:00:00Z)"
	if want := []string{"[failing] evaluation error: timeout" + suffix, "[mesh-node-limit] 120 nodes, limit 100: turn the mesh off" + suffix}; !answer.Allowed || strings.Join(answer.Warnings, "\n") != strings.Join(want, "\n") {
		t.Errorf("answered %s", toJSON(t, answer))
	}
	if got, want := answer.AuditAnnotations["exceptions"], "BGPException incident until 2026-03-14T19:00:00Z (failing,mesh-node-limit): INC-1: no routes"; got != want {
		t.Errorf("annotation %q, want %q", got, want)
	}
	if want := `{"level":"INFO","msg":"Allowed by a BGPException","exception":"incident","reason":"INC-1: no routes","policies":["failing","mesh-node-limit"]}` + "\n"; log.String() != want {
		t.Errorf("log %s", log)
	}
	if got := testutil.ToFloat64(counter) - before; got != 1 {
		t.Errorf("counted %v", got)
	}
}

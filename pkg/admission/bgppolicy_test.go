package admission

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus/testutil"
	admissionv1 "k8s.io/api/admission/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/bgpguard/bgpguard/pkg/api/v1alpha1"
	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/validate"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// fakePolicies is a Policies with the built-in library. set is in force.
type fakePolicies struct{ set *policy.Set }

func (p fakePolicies) Set() *policy.Set { return p.set }

func (p fakePolicies) Check(ctx context.Context, d *policy.Document) (*policy.Policy, error) {
	l, err := policy.Embedded()
	if err != nil {
		return nil, err
	}
	return l.Check(ctx, d, time.Second)
}

// inForce returns a fakePolicies with four policies of the default install in force.
func inForce(t testing.TB) fakePolicies {
	t.Helper()
	documents, err := policy.Defaults()
	if err != nil {
		t.Fatal(err)
	}
	documents = slices.DeleteFunc(documents, func(d policy.Document) bool {
		return !slices.Contains([]string{"mesh-node-limit", "reachability-preserved", "route-reflectors-required", "timers-consistent"}, d.Name)
	})
	set, err := policy.Compile(documents)
	if err != nil {
		t.Fatal(err)
	}
	return fakePolicies{set}
}

// bgpPolicy returns a BGPPolicy as JSON.
func bgpPolicy(name, spec string) string {
	return `{"apiVersion":"policy.bgpguard.io/v1alpha1","kind":"BGPPolicy","metadata":{"name":"` + name + `"},"spec":` + spec + `}`
}

func policyRequest(op admissionv1.Operation, name, object, old string) admission.Request {
	r := request(op, v1alpha1.Group, v1alpha1.KindBGPPolicy, name, object, old)
	r.Kind.Version = v1alpha1.Version
	return r
}

const ownPolicy = `# METADATA
# title: Own
# description: Finds nothing.
# custom:
#   severity: low
#   judges: state
#   validationActions: [Warn]
package policies.own

violation contains {"id": "a", "size": 1, "msg": "a", "details": {}, "objects": []} if input.state.mesh.nodes == -NUMBER
`

func TestBGPPolicyReview(t *testing.T) {
	const (
		mesh  = `{"policy":"mesh-node-limit","validationActions":["Deny"]}`
		typo  = `{"policy":"mesh-limit","validationActions":["Deny"]}`
		plain = `{"uid":"","allowed":true,"auditAnnotations":{"decision":"allowed"}}`
	)
	weakened := func(how string) string {
		return `{"uid":"","allowed":true,"auditAnnotations":{"decision":"allowed","weakened":"BGPPolicy mesh enforces less than before: ` + how + `"},"warnings":["BGPPolicy mesh enforces less than before: ` + how + `"]}`
	}
	possibly := func(how string) string {
		how = "BGPPolicy mesh may enforce less than before, because the effect of a change is not known: " + how
		return `{"uid":"","allowed":true,"auditAnnotations":{"decision":"allowed","weakened":"` + how + `"},"warnings":["` + how + `"]}`
	}
	// own is a spec with Rego, which differs by a number.
	own := func(number string, more ...string) string {
		text, err := json.Marshal(strings.ReplaceAll(ownPolicy, "NUMBER", number))
		if err != nil {
			t.Fatal(err)
		}
		modules := append([]string{`{"name":"own.rego","text":` + string(text) + `}`}, more...)
		return `{"rego":{"modules":[` + strings.Join(modules, ",") + `]},"validationActions":["Deny"]}`
	}
	deleted := func(text string) string {
		return `{"uid":"","allowed":true,"auditAnnotations":{"decision":"allowed","no-longer-enforced":"` + text + `"},"warnings":["` + text + `"]}`
	}
	l, err := policy.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	known := strings.Join(l.Names(), ", ")
	for name, test := range map[string]struct {
		request  admission.Request
		policies *fakePolicies
		want     string
	}{
		"what can be used is allowed": {request: policyRequest(create, "mesh", bgpPolicy("mesh", mesh), ""), want: plain},
		"a policy that is not known": {
			request: policyRequest(create, "mesh", bgpPolicy("mesh", typo), ""),
			want: `{"uid":"","allowed":false,"status":{"metadata":{},"status":"Failure","message":"BGPPolicy mesh: spec.policy: \"mesh-limit\" is not in the library; known are ` + known + `","reason":"Invalid",` +
				`"details":{"name":"mesh","group":"policy.bgpguard.io","kind":"BGPPolicy","causes":[{"reason":"FieldValueInvalid","message":"\"mesh-limit\" is not in the library; known are ` + known + `","field":"spec.policy"}]},"code":422},"auditAnnotations":{"decision":"invalid"}}`,
		},
		"each field that is wrong is a cause": {
			request: policyRequest(create, "mesh", bgpPolicy("mesh", `{"policy":"mesh-node-limit","validationActions":["Shout"],"match":{"kinds":["Pod"]}}`), ""),
			want: `{"uid":"","allowed":false,"status":{"metadata":{},"status":"Failure","message":"BGPPolicy mesh: spec.match.kinds[0]: must be one of Node, BGPConfiguration, BGPPeer, BGPFilter, IPPool, FelixConfiguration, Installation, is \"Pod\"\nBGPPolicy mesh: spec.validationActions[0]: must be Deny, Warn or Audit, is \"Shout\"","reason":"Invalid",` +
				`"details":{"name":"mesh","group":"policy.bgpguard.io","kind":"BGPPolicy","causes":[{"reason":"FieldValueInvalid","message":"must be one of Node, BGPConfiguration, BGPPeer, BGPFilter, IPPool, FelixConfiguration, Installation, is \"Pod\"","field":"spec.match.kinds[0]"},{"reason":"FieldValueInvalid","message":"must be Deny, Warn or Audit, is \"Shout\"","field":"spec.validationActions[0]"}]},"code":422},"auditAnnotations":{"decision":"invalid"}}`,
		},
		"one without a name yet": {
			request: policyRequest(create, "", strings.Replace(bgpPolicy("", mesh), `"name":""`, `"generateName":"mesh-"`, 1), ""), want: plain,
		},
		"a bad one that is there can get a label": {
			request: policyRequest(update, "mesh", strings.Replace(bgpPolicy("mesh", typo), `"name":"mesh"`, `"name":"mesh","labels":{"a":"b"}`, 1), bgpPolicy("mesh", typo)), want: plain,
		},
		"a bad one that is being deleted loses its finalizers": {
			request: policyRequest(update, "mesh", strings.Replace(bgpPolicy("mesh", typo), `"name":"mesh"`, `"name":"mesh","deletionTimestamp":"2026-11-01T00:00:00Z"`, 1), bgpPolicy("mesh", mesh)), want: plain,
		},
		"a bad one can be fixed": {request: policyRequest(update, "mesh", bgpPolicy("mesh", mesh), bgpPolicy("mesh", `{"validationActions":[7]}`)), want: plain},
		"one that denies no longer": {
			request: policyRequest(update, "mesh", bgpPolicy("mesh", strings.Replace(mesh, "Deny", "Audit", 1)), bgpPolicy("mesh", mesh)),
			want:    weakened("it no longer denies (validationActions: Audit, was Deny)"),
		},
		"one that exempts more": {
			request: policyRequest(update, "mesh",
				bgpPolicy("mesh", strings.Replace(mesh, "{", `{"exempt":{"users":["old","jane"],"groups":["ops"],"serviceAccounts":[{"namespace":"a","name":"b"}]},`, 1)),
				bgpPolicy("mesh", strings.Replace(mesh, "{", `{"exempt":{"users":["old"]},`, 1))),
			want: weakened("it exempts user jane, group ops, service account a/b"),
		},
		"one that exempts less": {
			request: policyRequest(update, "mesh", bgpPolicy("mesh", mesh), bgpPolicy("mesh", strings.Replace(mesh, "{", `{"exempt":{"users":["old"]},`, 1))), want: plain,
		},
		"one that becomes another policy": {
			request: policyRequest(update, "mesh", bgpPolicy("mesh", strings.Replace(mesh, "mesh-node-limit", "timers-consistent", 1)), bgpPolicy("mesh", mesh)),
			want:    weakened("it no longer enforces policy mesh-node-limit"),
		},
		"a parameter that loosens it": {
			request: policyRequest(update, "mesh", bgpPolicy("mesh", strings.Replace(mesh, "{", `{"parameters":{"maxNodes":300},`, 1)), bgpPolicy("mesh", mesh)),
			want:    weakened("parameter maxNodes is 300, was 100"),
		},
		"a parameter that tightens it": {
			request: policyRequest(update, "mesh", bgpPolicy("mesh", strings.Replace(mesh, "{", `{"parameters":{"maxNodes":30},`, 1)), bgpPolicy("mesh", mesh)), want: plain,
		},
		"a parameter whose effect is not known": {
			request: policyRequest(update, "mesh",
				bgpPolicy("mesh", `{"policy":"timers-consistent","parameters":{"restartTime":"60s","minRestartTime":"5s"},"validationActions":["Deny"]}`),
				bgpPolicy("mesh", `{"policy":"timers-consistent","parameters":{"restartTime":"120s","minRestartTime":"10s"},"validationActions":["Deny"]}`)),
			want: `{"uid":"","allowed":true,"auditAnnotations":{"decision":"allowed","weakened":"BGPPolicy mesh enforces less than before: parameter minRestartTime is \"5s\", was \"10s\"; BGPPolicy mesh may enforce less than before, because the effect of a change is not known: parameter restartTime is \"60s\", was \"120s\""},` +
				`"warnings":["BGPPolicy mesh enforces less than before: parameter minRestartTime is \"5s\", was \"10s\"","BGPPolicy mesh may enforce less than before, because the effect of a change is not known: parameter restartTime is \"60s\", was \"120s\""]}`,
		},
		"old parameters that are not valid": {
			request: policyRequest(update, "mesh", bgpPolicy("mesh", mesh), bgpPolicy("mesh", strings.Replace(mesh, "{", `{"parameters":{"nodes":30},`, 1))),
			want:    possibly("its parameters, of which the old ones do not match the policy (parameters: additional properties 'nodes' not allowed; known are maxNodes)"),
		},
		"other Rego": {
			request: policyRequest(update, "mesh", bgpPolicy("mesh", own("1")), bgpPolicy("mesh", own("2"))), want: possibly("its Rego changed"),
		},
		"other tests of its Rego": {
			request: policyRequest(update, "mesh", bgpPolicy("mesh", own("1", `{"name":"a_test.rego","text":"package policies.own_test\n"}`)), bgpPolicy("mesh", own("1"))), want: plain,
		},
		"a policy of the library in place of Rego": {
			request: policyRequest(update, "mesh", bgpPolicy("mesh", mesh), bgpPolicy("mesh", own("1"))), want: possibly("its Rego is replaced by policy mesh-node-limit"),
		},
		"a delete": {
			request: policyRequest(remove, "mesh-node-limit", "", bgpPolicy("mesh-node-limit", mesh)),
			want:    deleted("BGPPolicy mesh-node-limit is deleted: it no longer enforces policy mesh-node-limit (Deny); 3 policies remain in force"),
		},
		"a delete of one that was not in force": {
			request: policyRequest(remove, "", "", bgpPolicy("bad", typo)),
			want:    deleted("BGPPolicy bad was not in force; 4 policies remain in force"),
		},
		"a delete of the last": {
			request: policyRequest(remove, "mesh", "", ""), policies: &fakePolicies{policy.NewSet(nil)},
			want: deleted("BGPPolicy mesh was not in force; no policy is left, so all changes are allowed"),
		},
		"another kind": {
			request: request(create, v3, "BGPPeer", "a", peer(v3, "a", goodSpec), ""),
			want:    `{"uid":"","allowed":false,"status":{"metadata":{},"status":"Failure","message":"this path reviews BGPPolicy and BGPException, not BGPPeer of \"projectcalico.org\"","reason":"BadRequest","code":400},"auditAnnotations":{"decision":"invalid"}}`,
		},
		"no JSON": {
			request: policyRequest(create, "mesh", "{", ""),
			want:    `{"uid":"","allowed":false,"status":{"metadata":{},"status":"Failure","message":"BGPPolicy mesh does not parse: unexpected end of JSON input","reason":"BadRequest","code":400},"auditAnnotations":{"decision":"invalid"}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			policies := inForce(t)
			if test.policies != nil {
				policies = *test.policies
			}
			r := NewPolicyHandler(policies, nothing).Handle(t.Context(), test.request)
			if got := toJSON(t, r.AdmissionResponse); got != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

func TestBGPPolicyReviewIsLoggedAndCounted(t *testing.T) {
	ctx, log := logged(t)
	counted := func() float64 {
		return testutil.ToFloat64(requests.WithLabelValues("allowed", "DELETE", "BGPPolicy", "false"))
	}
	before := counted()
	req := policyRequest(remove, "timers-consistent", "", bgpPolicy("timers-consistent", `{"policy":"timers-consistent","validationActions":["Deny"]}`))
	r := NewPolicyHandler(inForce(t), nothing, "they are not used").Handle(contextWithRequest(ctx, &req), req)
	want := `{"level":"INFO","msg":"BGPPolicy deleted","operation":"DELETE","group":"policy.bgpguard.io","kind":"BGPPolicy","name":"timers-consistent","user":"jane","dryRun":false,"requestID":"uid-1","message":"BGPPolicy timers-consistent is deleted: it no longer enforces policy timers-consistent (Deny); 3 policies remain in force"}` + "\n"
	if log.String() != want {
		t.Errorf("logged\n%swant\n%s", log, want)
	}
	if n := len(r.Warnings); n != 2 || r.Warnings[1] != "they are not used" {
		t.Errorf("warned %q", r.Warnings)
	}
	if got := counted() - before; got != 1 {
		t.Errorf("counted %v", got)
	}
}

func TestBGPPolicyReviewOverHTTP(t *testing.T) {
	h, err := NewPolicyHandler(inForce(t), nothing).HTTP(logr.Discard(), time.Second, NewIntake())
	if err != nil {
		t.Fatal(err)
	}
	body := `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"uid-1","operation":"CREATE","name":"a","kind":{"group":"policy.bgpguard.io","version":"v1alpha1","kind":"BGPPolicy"},"object":` +
		bgpPolicy("a", `{"policy":"timers-consistent","validationActions":["Deny"]}`) + `}}`
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, PolicyPath, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if !strings.Contains(w.Body.String(), `"uid":"uid-1","allowed":true`) {
		t.Errorf("got %s", w.Body)
	}
}

func TestAnExemptUserIsAllowedAndRecorded(t *testing.T) {
	ctx, log := logged(t)
	decision := &validate.Decision{Allowed: true, Verdicts: exempt("mesh-node-limit", "mine")}
	counted := func() float64 {
		return testutil.ToFloat64(exemptions.WithLabelValues("mesh-node-limit", "false"))
	}
	before := counted()
	r := New(fakeCluster{}, always(decision)).Handle(ctx, request(create, v3, "BGPPeer", "a", peer(v3, "a", goodSpec), ""))
	want := `{"uid":"","allowed":true,"auditAnnotations":{"data-age":"3s","decision":"allowed","exempted":"mesh-node-limit,mine","violations":"[{\"policy\":\"mesh-node-limit\",\"id\":\"\",\"size\":0,\"action\":\"Audit\",\"message\":\"120 nodes\"},{\"policy\":\"mine\",\"id\":\"\",\"size\":0,\"action\":\"Audit\",\"message\":\"120 nodes\"}]"},"warnings":["[mesh-node-limit] 120 nodes (not enforced: you are exempt from this policy)","[mine] 120 nodes (not enforced: you are exempt from this policy)"]}`
	if got := toJSON(t, r.AdmissionResponse); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if want := `{"level":"INFO","msg":"Allowed, as the user is exempt","policies":["mesh-node-limit","mine"]}` + "\n"; log.String() != want {
		t.Errorf("logged\n%swant\n%s", log, want)
	}
	if got := counted() - before; got != 1 {
		t.Errorf("counted %v", got)
	}
}

// nothing is a Try on a state without violations.
func nothing(context.Context, *policy.Document, *policy.Policy) ([]violation.Violation, error) {
	return nil, nil
}

func TestABGPPolicyIsTriedOnTheCurrentState(t *testing.T) {
	req := policyRequest(create, "mesh", bgpPolicy("mesh", `{"policy":"mesh-node-limit","validationActions":["Deny"]}`), "")
	for name, c := range map[string]struct {
		try  Try
		want string
	}{
		"it finds something": {
			func(_ context.Context, _ *policy.Document, p *policy.Policy) ([]violation.Violation, error) {
				return []violation.Violation{{Message: p.Name + " is too large"}, {Message: "x"}}, nil
			},
			`{"uid":"","allowed":true,"auditAnnotations":{"decision":"allowed"},"warnings":["BGPPolicy mesh finds 2 violations in the current state. Only changes that make them worse are affected: mesh is too large; and 1 more"]}`,
		},
		"the state is stale": {
			func(context.Context, *policy.Document, *policy.Policy) ([]violation.Violation, error) {
				return nil, fmt.Errorf("%w: for 4m0s the API server has sent nothing about Node", state.ErrStale)
			},
			`{"uid":"","allowed":true,"auditAnnotations":{"decision":"allowed"},"warnings":["BGPPolicy mesh was not evaluated on the current state: stale data: for 4m0s the API server has sent nothing about Node"]}`,
		},
		"an object does not parse": {
			func(context.Context, *policy.Document, *policy.Policy) ([]violation.Violation, error) {
				return nil, &validate.UnreadError{Object: calico.NewUnparsed(calico.ID{Kind: "BGPConfiguration", Name: "default"}, errors.New("spec.x: must be a string"))}
			},
			`{"uid":"","allowed":true,"auditAnnotations":{"decision":"allowed"},"warnings":["BGPPolicy mesh was not evaluated on the current state: BGPConfiguration default does not parse (spec.x: must be a string): fix or delete it"]}`,
		},
		"the topology is late": {
			func(context.Context, *policy.Document, *policy.Policy) ([]violation.Violation, error) {
				return nil, fmt.Errorf("%w: %w", validate.ErrNoTopology, context.DeadlineExceeded)
			},
			`{"uid":"","allowed":true,"auditAnnotations":{"decision":"allowed"},"warnings":["BGPPolicy mesh was not evaluated on the current state: the topology was not computed in time: context deadline exceeded"]}`,
		},
		"it cannot be evaluated": {
			func(context.Context, *policy.Document, *policy.Policy) ([]violation.Violation, error) {
				return nil, errors.New("division by zero")
			},
			`{"uid":"","allowed":false,"status":{"metadata":{},"status":"Failure","message":"BGPPolicy mesh: cannot be evaluated on the current state: division by zero","reason":"Invalid","details":{"name":"mesh","group":"policy.bgpguard.io","kind":"BGPPolicy","causes":[{"reason":"FieldValueInvalid","message":"BGPPolicy mesh: cannot be evaluated on the current state: division by zero","field":"spec"}]},"code":422},"auditAnnotations":{"decision":"invalid"}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := NewPolicyHandler(inForce(t), c.try).Handle(t.Context(), req)
			if got := toJSON(t, r.AdmissionResponse); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestErrorsWithoutAFieldAreAboutTheSpec(t *testing.T) {
	got := fieldCauses(errors.Join(errors.New("x"), &policy.FieldError{Field: "spec.policy", Err: errors.New("y")}))
	if text := toJSON(t, got); text != `[{"reason":"FieldValueInvalid","message":"x","field":"spec"},{"reason":"FieldValueInvalid","message":"y","field":"spec.policy"}]` {
		t.Errorf("got %s", text)
	}
}

package openreports

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/openreports/reports-api/apis/openreports.io/v1alpha1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/bgpguard/bgpguard/pkg/audit"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

var first = time.Date(2026, 3, 14, 19, 0, 0, 5, time.UTC)

// audited is an audit of a policy with violations.
func audited(action violation.Action, violations ...audit.Violation) *audit.Audit {
	p := audit.Policy{Name: "mesh-node-limit", Title: "The mesh is small", Severity: "high", Action: action, Judges: "state", Violations: len(violations)}
	for i := range violations {
		violations[i].Policy, violations[i].Action, violations[i].Severity = p.Name, action, p.Severity
	}
	return &audit.Audit{Time: first.Add(time.Hour), Policies: []audit.Policy{p}, Violations: violations}
}

func found(id string, size float64) audit.Violation {
	return audit.Violation{
		Violation: violation.Violation{
			ID: id, Size: size, Message: "too many nodes", Link: "https://example.com", Details: map[string]any{"nodes": 120.0, "maxNodes": 100.0},
			Objects: violation.Subjects(violation.Object{Kind: "BGPConfiguration", Name: "default"}, violation.Object{Kind: "Node", Name: "n"}),
		},
		FirstSeen: first, LastSeen: first.Add(time.Hour), Origin: audit.PastAdmission, Cause: "introduced by night",
	}
}

func one(t testing.TB, a *audit.Audit) *v1alpha1.ClusterReport {
	t.Helper()
	reports := Reports(a, References)
	if len(reports) != 1 {
		t.Fatalf("%d reports", len(reports))
	}
	return reports[0]
}

func jsonOf(t testing.TB, value any) string {
	t.Helper()
	out, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestAViolationIsAResult(t *testing.T) {
	r := one(t, audited(violation.Deny, found("limit", 1.5)))
	want := `{"source":"bgpguard","policy":"mesh-node-limit","rule":"limit","category":"BGP","severity":"high",` +
		`"timestamp":{"seconds":1773514800,"nanos":5},"result":"fail","scored":true,"resources":[` +
		`{"kind":"BGPConfiguration","name":"default","apiVersion":"projectcalico.org/v3"},{"kind":"Node","name":"n","apiVersion":"v1"}],` +
		`"message":"too many nodes","properties":{"action":"Deny","cause":"introduced by night","details.maxNodes":"100","details.nodes":"120",` +
		`"first-seen":"2026-03-14T19:00:00Z","link":"https://example.com","origin":"PastAdmission","size":"1.5"}}`
	if got := jsonOf(t, r.Results[0]); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if r.Name != "bgpguard-mesh-node-limit" || r.Labels["app.kubernetes.io/managed-by"] != "bgpguard" || r.Source != "bgpguard" || len(r.Annotations) > 0 {
		t.Errorf("the report is %+v", r.ObjectMeta)
	}
}

func TestSummary(t *testing.T) {
	failing := audited(violation.Warn)
	failing.Failures = []audit.Failure{{Policy: "mesh-node-limit", Message: "divide by zero"}}
	for name, c := range map[string]struct {
		audit   *audit.Audit
		summary v1alpha1.ReportSummary
		result  v1alpha1.Result
		scored  bool
		message string
	}{
		"what a policy denies is a failure, and scored": {
			audited(violation.Deny, found("a", 1), found("b", 1)), v1alpha1.ReportSummary{Fail: 2}, "fail", true, "too many nodes",
		},
		"what it warns of is a warning": {audited(violation.Warn, found("a", 1)), v1alpha1.ReportSummary{Warn: 1}, "warn", false, "too many nodes"},
		"and so is what it only audits": {audited(violation.Audit, found("a", 1)), v1alpha1.ReportSummary{Warn: 1}, "warn", false, "too many nodes"},
		"a policy without violations":   {audited(violation.Deny), v1alpha1.ReportSummary{Pass: 1}, "pass", true, "no violations: The mesh is small"},
		"one that failed is no pass":    {failing, v1alpha1.ReportSummary{Error: 1}, "error", false, "could not be evaluated, so its violations are not known: divide by zero"},
	} {
		t.Run(name, func(t *testing.T) {
			r := one(t, c.audit)
			if r.Summary != c.summary || r.Results[0].Result != c.result || r.Results[0].Scored != c.scored || !strings.Contains(r.Results[0].Description, c.message) {
				t.Errorf("%+v, %+v", r.Summary, r.Results[0])
			}
		})
	}
}

func TestEachReportHasTheNotesOfTheAudit(t *testing.T) {
	for name, a := range map[string]*audit.Audit{
		"without violations": audited(violation.Deny), "with violations": audited(violation.Deny, found("a", 1), found("b", 1)),
	} {
		t.Run(name, func(t *testing.T) {
			if r := one(t, a); r.Results[0].Properties["notes"] != "" {
				t.Errorf("of a state that is known: %v", r.Results[0].Properties)
			}
			a.Notes = []string{"no BGPFilter was read", "BGPPeer p is skipped"}
			for i, result := range one(t, a).Results {
				if got, want := result.Properties["notes"], "no BGPFilter was read; BGPPeer p is skipped"; (got == want) != (i == 0) {
					t.Errorf("result %d has the notes %q", i, got)
				}
			}
		})
	}
}

func TestAPolicyThatJudgesChangesHasNoReport(t *testing.T) {
	a := audited(violation.Deny)
	a.Policies[0].Judges = "change"
	if got := Reports(a, References); len(got) > 0 {
		t.Errorf("got %+v", got)
	}
}

func TestAReportIsBoundedAndSaysWhatIsNotListed(t *testing.T) {
	long := strings.Repeat("ä", 100_000)
	for name, c := range map[string]struct {
		message string
		least   int // results
	}{
		"so many that their number is bounded": {"too many nodes", maxResults},
		"so long that their size is":           {long, 100},
	} {
		t.Run(name, func(t *testing.T) {
			var violations []audit.Violation
			for i := range 10_000 {
				v := found(fmt.Sprintf("v-%05d", i), float64(i%7))
				v.Message = c.message
				v.Details = map[string]any{"many": map[string]any{"a": long, long: 1.0}}
				violations = append(violations, v)
			}
			r := one(t, audited(violation.Deny, violations...))
			listed := len(r.Results) - 1
			if r.Summary.Fail != 10_000 || listed < c.least || listed > maxResults {
				t.Errorf("%d listed of %d", listed, r.Summary.Fail)
			}
			if size := len(jsonOf(t, r)); size > maxSize+8<<10 {
				t.Errorf("%d bytes", size)
			}
			if got, want := r.Annotations[CutAnnotation], fmt.Sprint(10_000-listed); got != want {
				t.Errorf("the annotation says %s, want %s", got, want)
			}
			note := r.Results[0]
			if note.Rule != "results-cut" || note.Result != "fail" || !strings.Contains(note.Description, "of 10,000 violations are not listed") || note.Subjects[0].Kind != "BGPPolicy" {
				t.Errorf("the first result is %+v", note)
			}
			if got := r.Results[1].Properties["size"]; got != "6" {
				t.Errorf("the first that is listed has size %s", got)
			}
			for _, result := range r.Results {
				if !utf8.ValidString(result.Description) || len(result.Description) > maxMessage {
					t.Fatalf("a message of %d bytes", len(result.Description))
				}
			}
		})
	}
}

func TestReportsOfEqualAuditsAreEqual(t *testing.T) {
	violations := func() []audit.Violation {
		var out []audit.Violation
		for i := range 700 {
			out = append(out, found(fmt.Sprint("v-", i), float64(i%3)))
		}
		return out
	}
	want := jsonOf(t, one(t, audited(violation.Deny, violations()...)))
	later := violations()
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(later), func(i, j int) { later[i], later[j] = later[j], later[i] })
	for i := range later {
		later[i].LastSeen = later[i].LastSeen.Add(time.Hour)
	}
	a := audited(violation.Deny, later...)
	a.Time = a.Time.Add(time.Hour)
	if got := jsonOf(t, one(t, a)); got != want {
		t.Error("a later audit that found the same gave another report")
	}
	later[3].Size = 9
	if got := jsonOf(t, one(t, a)); got == want {
		t.Error("one that found something worse gave the same")
	}
}

func TestDetailsBecomeProperties(t *testing.T) {
	many := map[string]any{}
	for i := range 100 {
		many[fmt.Sprint("n", i)] = json.Number("1")
	}
	for name, c := range map[string]struct {
		details map[string]any
		want    map[string]string
	}{
		"numbers, texts and booleans": {map[string]any{"a": 0.5, "b": "x", "c": true, "d": 7}, map[string]string{"d.a": "0.5", "d.b": "x", "d.c": "true", "d.d": "7"}},
		"what is inside has a path":   {map[string]any{"a": map[string]any{"b": 1.0}}, map[string]string{"d.a.b": "1"}},
		"lists of them are joined":    {map[string]any{"a": []any{"x", 1.0}}, map[string]string{"d.a": "x, 1"}},
		"other values are dropped":    {map[string]any{"a": nil, "b": []any{}, "c": []any{map[string]any{}}}, map[string]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			got := map[string]string{}
			flatten(got, "d", c.details)
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
	got := map[string]string{}
	flatten(got, "d", many)
	if len(got) != maxDetails {
		t.Errorf("%d of 100", len(got))
	}
}

func TestNamesAreThoseOfObjectsAndDistinct(t *testing.T) {
	seen := map[string]string{}
	for _, policy := range []string{"a", "a.b", strings.Repeat("a", 253), strings.Repeat("a", 252) + "b", strings.Repeat("a.", 126) + "a", "A", "ä", ""} {
		name := Name(policy)
		if problems := validation.IsDNS1123Subdomain(name); len(problems) > 0 || !strings.HasPrefix(name, NamePrefix) {
			t.Errorf("%q: %q: %q", policy, name, problems)
		}
		if other, ok := seen[name]; ok {
			t.Errorf("%q and %q are both %q", policy, other, name)
		}
		seen[name] = policy
	}
}

func TestObjectsHoldWhatTheirKindKnows(t *testing.T) {
	r := one(t, audited(violation.Deny))
	for kind, c := range map[Kind]struct {
		version    string
		withSource bool
	}{
		ClusterReport: {"openreports.io/v1alpha1", true}, ClusterPolicyReport: {"wgpolicyk8s.io/v1alpha2", false},
	} {
		t.Run(string(kind), func(t *testing.T) {
			o := kind.Object(r)
			if o.GetAPIVersion() != c.version || o.GetKind() != string(kind) || o.GetName() != r.Name {
				t.Errorf("%s %s", o.GetAPIVersion(), o.GetKind())
			}
			_, source := o.Object["source"]
			_, configuration := o.Object["configuration"]
			if source != c.withSource || configuration != c.withSource {
				t.Errorf("source %t, configuration %t", source, configuration)
			}
			results, _, err := unstructured.NestedSlice(o.Object, "results")
			if err != nil || len(results) != 1 {
				t.Fatalf("%v, %v", results, err)
			}
			// Without a time of its own a result would be from 1970.
			if result, ok := results[0].(map[string]any); !ok || result["timestamp"] != nil || result["source"] != "bgpguard" {
				t.Errorf("the result is %v", results[0])
			}
		})
	}
	o := ClusterPolicyReport.Object(one(t, audited(violation.Deny, found("a", 1))))
	results, _, _ := unstructured.NestedSlice(o.Object, "results")
	if seconds, _, _ := unstructured.NestedInt64(results[0].(map[string]any), "timestamp", "seconds"); seconds != first.Unix() {
		t.Errorf("first seen at %d", seconds)
	}
}

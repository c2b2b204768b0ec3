package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/bgpguard/bgpguard/pkg/audit"
	"github.com/bgpguard/bgpguard/pkg/health"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

var monday = time.Date(2026, 3, 16, 8, 0, 0, 0, time.UTC)

// auditPolicies returns four policies that evaluate states and one that evaluates changes. One
// of the four cannot be evaluated.
func auditPolicies() []audit.Policy {
	of := func(name, severity string, action violation.Action, violations int) audit.Policy {
		return audit.Policy{
			Name: name, Policy: name, Title: "All is well with " + name, Description: "A description.", Link: "https://example.com/" + name,
			Severity: severity, Action: action, Judges: policy.JudgesState, Violations: violations,
		}
	}
	window := of("window", "low", violation.Deny, 0)
	window.Judges = policy.JudgesChange
	return []audit.Policy{
		of("broken", "low", violation.Warn, 0), of("cut", "critical", violation.Deny, 1), of("fine", "high", violation.Deny, 0), of("hygiene", "medium", violation.Warn, 2), window,
	}
}

// about returns objects, of which BGPPeers have a field at fault.
func about(objects []violation.Object) []violation.Subject {
	out := violation.Subjects(objects...)
	for i := range out {
		if out[i].Kind == "BGPPeer" {
			out[i].Fields = []string{"spec.peerSelector"}
		}
	}
	return out
}

func auditViolation(policy, id, severity string, action violation.Action, objects ...violation.Object) audit.Violation {
	return audit.Violation{
		Violation: violation.Violation{
			Policy: policy, ID: id, Size: 1, Action: action, Message: "3 nodes are wrong: mend them", Details: map[string]any{"n": 3},
			Link: "https://example.com/" + policy, Objects: about(objects),
		},
		Severity: severity, FirstSeen: monday, LastSeen: monday,
	}
}

// wrong returns an audit in which every optional part is present.
func wrong() *audit.Audit {
	peer := violation.Object{Kind: "BGPPeer", Name: "workers"}
	drift := auditViolation("cut", "nodes", "critical", violation.Deny, peer, violation.Object{Kind: "BGPConfiguration", Name: "default"})
	drift.FirstSeen, drift.Origin, drift.Compared = monday.Add(-time.Hour), audit.PastAdmission, audit.Worse
	drift.Cause = "introduced by a change to BGPPeer workers"
	fresh := auditViolation("hygiene", "a", "medium", violation.Warn, peer)
	fresh.Compared = audit.New
	known := auditViolation("hygiene", "b", "medium", violation.Warn)
	known.Compared, known.FirstSeen = audit.Known, monday.Add(-time.Hour)
	gone := auditViolation("fine", "mesh", "high", violation.Deny, peer)
	gone.Cause = "its policy is no longer in force"
	s := summary(6, 3)
	s.Sessions.IPv4.Total = 12
	return &audit.Audit{
		Cluster: "prod", Time: monday, Policies: auditPolicies(), Violations: []audit.Violation{drift, fresh, known}, Resolved: []audit.Violation{gone},
		Failures: []audit.Failure{{Policy: "broken", Severity: "low", Action: violation.Warn, Message: "divide by zero"}},
		Notes:    []string{"no BGPFilter was read"}, Summary: s,
		Health: reported(),
		Trend:  []audit.Point{{Time: monday.Add(-time.Hour), Violations: map[string]int{"high": 1}, Nodes: 6, Sessions: 12, StartSeconds: 12}},
	}
}

// reported returns the health of a cluster in which three of six nodes report.
func reported() *health.Health {
	rate, slowest, median := 0.75, 12, 7
	h := &health.Health{
		Known: true, Nodes: 6, Reporting: 3, Missing: health.NodeSet{Nodes: 2, Sample: []string{"d", "e"}},
		Outdated:   health.List[health.Outdated]{Total: 1, Items: []health.Outdated{{Status: "f", Node: "f", Reason: health.NotRefreshed, Message: "updatePeriodSeconds is 0"}}},
		Down:       health.List[health.Session]{Total: 1, Items: []health.Session{{Node: "a", Family: "IPv4", PeerIP: "10.0.0.9", Type: "NodePeer", State: "Active", Sources: []string{"workers"}}}},
		Absent:     health.List[health.Session]{Total: 2, Items: []health.Session{}},
		Unexpected: health.List[health.Session]{Items: []health.Session{}},
		NotReady:   health.List[health.Daemon]{Total: 1, Items: []health.Daemon{{Node: "b", Family: "IPv4", State: "NotReady"}}},
		Restarts: health.Restarts{SlowestSeconds: &slowest, MedianSeconds: &median, Measured: health.List[health.Restart]{
			Total: 1, Items: []health.Restart{{Node: "a", Family: "IPv4", Boot: monday, Seconds: 12, Established: 9}},
		}},
	}
	h.Sessions.IPv4 = health.Sessions{Predicted: 12, Established: 9, SuccessRate: &rate}
	return h
}

func clean6() *audit.Audit {
	return &audit.Audit{
		Cluster: "staging", Time: monday, Policies: auditPolicies()[1:], Violations: []audit.Violation{}, Resolved: []audit.Violation{},
		Failures: []audit.Failure{}, Notes: []string{}, Summary: summary(6, 0), Health: health.Compare(nil, nil, monday), Trend: []audit.Point{},
	}
}

func audits() map[string]*Audit {
	sources := func(o violation.Object) Source {
		if o.Kind != "BGPPeer" {
			return Source{}
		}
		return Source{File: "state.yaml", LineOf: func(field string) int { return 7 + len(field) }}
	}
	of := func(clusters ...*audit.Audit) *audit.Report {
		return &audit.Report{Version: "v1.2.3", Clusters: clusters, Unread: []audit.Unread{}}
	}
	fleet := of(wrong(), clean6())
	fleet.Unread = append(fleet.Unread, audit.Unread{Cluster: "lab", Message: "the API server cannot be reached"})
	return map[string]*Audit{
		"found": {Report: of(wrong()), FailOn: "low", Sources: sources},
		"clean": {Report: of(clean6()), FailOn: "low"},
		"fleet": {Report: fleet, FailOn: "high"},
	}
}

func renderAudit(t testing.TB, format string, a *Audit) string {
	t.Helper()
	var b strings.Builder
	if err := AuditFormats.Write(&b, format, a); err != nil {
		t.Fatalf("%s: %v", format, err)
	}
	return b.String()
}

func TestJSONAndYAMLOfAnAuditFollowTheSchema(t *testing.T) {
	written := map[string]bool{}
	for name, a := range audits() {
		t.Run(name, func(t *testing.T) {
			text := renderAudit(t, JSON, a)
			keys(validateJSON(t, "audit.schema.json", text), written)
			var fromJSON, fromYAML any
			if err := errors.Join(json.Unmarshal([]byte(text), &fromJSON), yaml.Unmarshal([]byte(renderAudit(t, YAML, a)), &fromYAML)); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(fromJSON, fromYAML) {
				t.Errorf("YAML says\n%v\nJSON says\n%v", fromYAML, fromJSON)
			}
			r, err := audit.Read(strings.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			if again := renderAudit(t, JSON, &Audit{Report: r}); again != text {
				t.Errorf("read back, it is\n%s\nand was\n%s", again, text)
			}
		})
	}
	// The schema describes no property that is never written.
	for _, property := range schemaProperties(t, "audit.schema.json") {
		if !written[property] {
			t.Errorf("no audit has the property %q of the schema", property)
		}
	}
}

func TestTextOfAnAudit(t *testing.T) {
	for name, want := range map[string]string{
		"found": `cluster prod: 3 violations (1 critical, 2 medium) of 4 policies; 1 could not be evaluated
  Since the baseline: 1 new, 1 worse, 1 as before, 1 resolved.
  6 nodes with BGP, 3 route reflectors, 12 sessions between nodes, mesh off, up to 12 seconds without routes after a start of calico-node
  BGP: 9 of 12 predicted half-sessions established, 1 down, 2 absent, 1 BIRD is not ready, sessions came up within 12 seconds of the last starts (median 7 seconds); reported by 3 of 6 nodes
  Note: no BGPFilter was read
  Error: [broken] divide by zero

critical: [cut] 3 nodes are wrong: mend them (https://example.com/cut)
  about BGPPeer workers, BGPConfiguration default (state.yaml:24)
  worse than before; since 2026-03-16T07:00:00Z; bypassed admission (PastAdmission); introduced by a change to BGPPeer workers

medium: [hygiene] 3 nodes are wrong: mend them (https://example.com/hygiene)
  about BGPPeer workers (state.yaml:24)
  new

medium: [hygiene] 3 nodes are wrong: mend them (https://example.com/hygiene)
  known; since 2026-03-16T07:00:00Z

1 violation is resolved:
  [fine] mesh, about BGPPeer workers: its policy is no longer in force
`,
		"clean": `cluster staging: no violations of 3 policies
  6 nodes with BGP, 0 sessions between nodes, mesh off, up to 12 seconds without routes after a start of calico-node
  BGP: unknown: no CalicoNodeStatus was read
`,
	} {
		t.Run(name, func(t *testing.T) {
			if got := renderAudit(t, Text, audits()[name]); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
	fleet := renderAudit(t, Text, audits()["fleet"])
	for _, want := range []string{
		"CLUSTER  VIOLATIONS  CRITICAL  HIGH  MEDIUM  LOW  DRIFT  NODES  SESSIONS\nprod     3           1         0     2       0    1      6      12\nstaging  0           0         0     0       0    0      6      0\n",
		"\ncluster lab: not read: the API server cannot be reached\n", "\ncluster prod: 3 violations", "\ncluster staging: no violation",
	} {
		if !strings.Contains(fleet, want) {
			t.Errorf("fleet: no %q in\n%s", want, fleet)
		}
	}
	colored := *audits()["found"]
	colored.Color = true
	if got := renderAudit(t, Text, &colored); !strings.Contains(got, "\x1b[31mcritical:\x1b[0m [cut]") || !strings.Contains(got, "\x1b[33mmedium:\x1b[0m [hygiene]") {
		t.Errorf("in colours:\n%q", got)
	}
}

func TestMarkdownOfAnAudit(t *testing.T) {
	many := wrong()
	for i := range 30 {
		many.Violations = append(many.Violations, auditViolation("hygiene", fmt.Sprint(i), "medium", violation.Warn, violation.Object{Kind: "BGPPeer", Name: "<b>|*x*](javascript:y)"}))
	}
	got := renderAudit(t, Markdown, &Audit{Report: &audit.Report{Clusters: []*audit.Audit{many}}})
	for _, want := range []string{
		"# BGP audit\n\n## cluster prod\n\n**33 violations \\(1 critical, 32 medium\\) of 4 policies; 1 could not be evaluated**\n",
		"- **error:** `broken` divide by zero\n- note: no BGPFilter was read\n",
		"- **critical** `cut` 3 nodes are wrong: mend them (<https://example.com/cut>)<br>about BGPPeer workers, BGPConfiguration default<br>worse than before;",
		"\n<details><summary>23 more</summary>\n\n- ", "\n\n</details>\n",
		"about BGPPeer \\<b\\>\\|\\*x\\*\\]\\(javascript:y\\)\n",
		"### Resolved\n\n- `fine` mesh, about BGPPeer workers: its policy is no longer in force\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	fleet := renderAudit(t, Markdown, audits()["fleet"])
	for _, want := range []string{
		"\n| cluster | violations | critical | high | medium | low | drift | nodes | sessions |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n| prod | 3 | 1 | 0 | 2 | 0 | 1 | 6 | 12 |\n",
		"\n**cluster lab was not read:** the API server cannot be reached\n",
	} {
		if !strings.Contains(fleet, want) {
			t.Errorf("no %q in\n%s", want, fleet)
		}
	}
}

func TestSARIFOfAnAudit(t *testing.T) {
	for name, a := range audits() {
		t.Run(name, func(t *testing.T) {
			text := renderAudit(t, SARIF, a)
			validateJSON(t, "testdata/sarif.schema.json", text)
			var log sarifLog
			if err := json.Unmarshal([]byte(text), &log); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, run := range log.Runs {
				got = append(got, fmt.Sprintf("%s %t", run.Automation.ID, run.Invocations[0].ExecutionSuccessful))
				for _, r := range run.Results {
					line := 0
					if len(r.Locations) > 0 && r.Locations[0].Physical != nil {
						line = r.Locations[0].Physical.Region.StartLine
					}
					got = append(got, fmt.Sprintf("  %s %s %s %d", r.Fingerprints["bgpguard/v1"], r.Level, r.State, line))
					if r.RuleIndex >= 0 && run.Tool.Driver.Rules[r.RuleIndex].ID != r.RuleID {
						t.Errorf("index %d of rule %s is another's", r.RuleIndex, r.RuleID)
					}
				}
			}
			prod := []string{"bgpguard-audit/prod/ false", "  cut/nodes error updated 24", "  hygiene/a warning new 24", "  hygiene/b warning unchanged 0", "  fine/mesh error absent 24"}
			want := map[string][]string{
				"found": prod, "clean": {"bgpguard-audit/staging/ true"},
				"fleet": append(append([]string{"bgpguard-audit/lab/ false"}, strings.Split(strings.ReplaceAll(strings.Join(prod, "\n"), " 24", " 0"), "\n")...), "bgpguard-audit/staging/ true"),
			}[name]
			if !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestJUnitOfAnAudit(t *testing.T) {
	for failOn, want := range map[string]string{
		"low":            "broken error, cut failure, fine, hygiene failure",
		"high":           "broken error, cut failure, fine, hygiene skipped",
		audit.NoSeverity: "broken error, cut skipped, fine, hygiene skipped",
	} {
		t.Run("failing on "+failOn, func(t *testing.T) {
			a := audits()["found"]
			a.FailOn = failOn
			suite := parseJUnit(t, renderAudit(t, JUnit, a))
			var got []string
			for _, c := range suite.Cases {
				what := c.Name
				switch {
				case c.Failure != nil:
					what += " failure"
				case c.Error != nil:
					what += " error"
				case c.Skipped != nil:
					what += " skipped"
				}
				got = append(got, what)
			}
			if strings.Join(got, ", ") != want || suite.Name != "bgpguard audit prod" {
				t.Errorf("suite %q: %q, want %q", suite.Name, got, want)
			}
		})
	}
	text := renderAudit(t, JUnit, audits()["fleet"])
	for _, want := range []string{`name="bgpguard audit lab"`, `name="bgpguard audit prod"`, `name="bgpguard audit staging"`, `message="the API server cannot be reached"`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// Violations that are known from the baseline fail no test case.
func TestKnownViolationsDoNotFail(t *testing.T) {
	a := wrong()
	a.Violations = a.Violations[2:]
	suite := parseJUnit(t, renderAudit(t, JUnit, &Audit{Report: &audit.Report{Clusters: []*audit.Audit{a}}, FailOn: "low"}))
	if suite.Failures != 0 || suite.Skipped != 1 {
		t.Errorf("%d failures, %d skipped", suite.Failures, suite.Skipped)
	}
}

// The message of a test case is that of the violation that fails it, not that of a known one.
func TestACaseTellsWhatFailsIt(t *testing.T) {
	a := wrong()
	known, fresh := a.Violations[2], a.Violations[1]
	known.Message, fresh.Message = "known for long", "new today"
	a.Violations = []audit.Violation{known, fresh}
	for _, c := range parseJUnit(t, renderAudit(t, JUnit, &Audit{Report: &audit.Report{Clusters: []*audit.Audit{a}}, FailOn: "low"})).Cases {
		if c.Failure != nil && c.Failure.Message != "medium: new today" {
			t.Errorf("%s fails as %q", c.Name, c.Failure.Message)
		}
	}
}

// Formats with one entry per policy also show errors that belong to no policy in force.
func TestEveryFormatShowsErrorsAndUnreadClusters(t *testing.T) {
	a := wrong()
	a.Failures = []audit.Failure{{Policy: "ours", Message: "cannot be used here"}}
	idle := &audit.Audit{Cluster: "idle", Time: monday}
	r := &Audit{Report: &audit.Report{Clusters: []*audit.Audit{a, idle}, Unread: []audit.Unread{{Cluster: "lab", Message: "no answer\nat all"}}}, FailOn: "low"}
	more := map[string]string{
		JUnit: nothingChecked, Text: nothingChecked, Markdown: nothingChecked, HTML: capital(nothingChecked), OpenReports: "# No report for cluster lab, which could not be read: no answer\\nat all\n",
	}
	for _, format := range AuditFormats.Names() {
		t.Run(format, func(t *testing.T) {
			text := renderAudit(t, format, r)
			for _, want := range []string{"ours", "cannot be used here", "lab", "no answer", more[format]} {
				if !strings.Contains(text, want) {
					t.Errorf("no %q in\n%s", want, text)
				}
			}
		})
	}
}

func TestAnUnknownFormatOfAnAuditIsAnError(t *testing.T) {
	if err := AuditFormats.Write(&strings.Builder{}, "xml", audits()["clean"]); err == nil || err.Error() != AuditFormats.Validate("xml").Error() {
		t.Errorf("got %v", err)
	}
}

func TestAllNodesOfAViolationAreNamed(t *testing.T) {
	var list []string
	for i := range 300 {
		list = append(list, fmt.Sprintf("node-%03d", i))
	}
	v := audit.Violation{Violation: violation.Violation{Policy: "p", ID: "p", Action: violation.Deny, Message: "300 of 300 nodes (node-000, node-001, node-002 and 297 more)", Details: map[string]any{}, Objects: []violation.Subject{}, Nodes: list}, Severity: "high"}
	one := &audit.Audit{Policies: []audit.Policy{{Name: "p", Policy: "p", Title: "P", Severity: "high", Judges: "state"}}, Violations: []audit.Violation{v}, Resolved: []audit.Violation{}, Failures: []audit.Failure{}, Notes: []string{}, Trend: []audit.Point{}}
	a := &Audit{Report: &audit.Report{Clusters: []*audit.Audit{one}, Unread: []audit.Unread{}}, FailOn: "low"}
	for _, format := range []string{JSON, YAML, HTML, Markdown, SARIF, JUnit, Text} {
		var b bytes.Buffer
		a.All = format == Text
		if err := AuditFormats.Write(&b, format, a); err != nil {
			t.Fatal(err)
		}
		out := strings.ReplaceAll(b.String(), `\-`, "-")
		for _, name := range list {
			if !strings.Contains(out, name) {
				t.Errorf("%s does not name %s", format, name)
				break
			}
		}
	}
	var b bytes.Buffer
	a.All = false
	if err := AuditFormats.Write(&b, Text, a); err != nil {
		t.Fatal(err)
	}
	if want := "300 nodes: node-000, node-001, node-002, node-003, node-004, node-005, node-006, node-007, node-008, node-009 and 290 more (--all names them)"; !strings.Contains(b.String(), want) {
		t.Errorf("got %s", b.String())
	}
}

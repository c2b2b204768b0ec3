package report

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/bgpguard/bgpguard/pkg/audit"
	"github.com/bgpguard/bgpguard/pkg/health"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology"
	"github.com/bgpguard/bgpguard/pkg/topology/topologytest"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

var noon = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

// racked is a state with two route reflectors in one zone, their clients in another zone, and
// a BGPPeer that sets a timer.
const racked = `
{apiVersion: projectcalico.org/v3, kind: BGPConfiguration, metadata: {name: default}, spec: {nodeToNodeMeshEnabled: false}}
---
{apiVersion: projectcalico.org/v3, kind: BGPPeer, metadata: {name: clients}, spec: {nodeSelector: '!has(rr)', peerSelector: has(rr)}}
---
{apiVersion: projectcalico.org/v3, kind: BGPPeer, metadata: {name: slow}, spec: {nodeSelector: has(rr), peerSelector: has(rr), keepaliveTime: 10s}}
---
{apiVersion: v1, kind: Node, metadata: {name: rr-1, labels: {rr: "", topology.kubernetes.io/zone: z1}, annotations: {projectcalico.org/IPv4Address: 10.0.0.1/24, projectcalico.org/RouteReflectorClusterID: 244.0.0.1}}}
---
{apiVersion: v1, kind: Node, metadata: {name: rr-2, labels: {rr: "", topology.kubernetes.io/zone: z1}, annotations: {projectcalico.org/IPv4Address: 10.0.0.2/24, projectcalico.org/RouteReflectorClusterID: 244.0.0.2}}}
---
{apiVersion: v1, kind: Node, metadata: {name: worker-1, labels: {topology.kubernetes.io/zone: z2}, annotations: {projectcalico.org/IPv4Address: 10.0.0.11/24}}}
---
{apiVersion: v1, kind: Node, metadata: {name: worker-2, labels: {topology.kubernetes.io/zone: z2}, annotations: {projectcalico.org/IPv4Address: 10.0.0.12/24}}}
`

// audited returns an audit of a state with two policies, without violations.
func audited(t testing.TB, objects string) *audit.Audit {
	t.Helper()
	read, err := state.ReadFiles([]string{"-"}, strings.NewReader(objects))
	if err != nil {
		t.Fatal(err)
	}
	s := state.New(state.Objects(read)...)
	computed := topologytest.Compute(t, s, nil)
	return &audit.Audit{
		Cluster: "prod", Time: noon, Summary: computed.Summary(), Snapshot: s, Topology: computed,
		Policies: []audit.Policy{
			{Name: "reach", Policy: "reach", Title: "Routes between all", Severity: "critical", Action: violation.Deny, Judges: policy.JudgesState},
			{Name: "hygiene", Policy: "hygiene", Title: "Peers with passwords", Severity: "medium", Action: violation.Warn, Judges: policy.JudgesState},
			{Name: "window", Policy: "window", Title: "Changes in windows", Severity: "low", Action: violation.Deny, Judges: policy.JudgesChange},
		},
	}
}

// withFound adds n violations of a policy to a.
func withFound(a *audit.Audit, name string, n int, edit func(*audit.Violation)) *audit.Audit {
	i := slices.IndexFunc(a.Policies, func(p audit.Policy) bool { return p.Name == name })
	a.Policies[i].Violations += n
	for k := range n {
		v := audit.Violation{
			Violation: violation.Violation{
				Policy: name, ID: fmt.Sprintf("id-%05d", k), Action: a.Policies[i].Action, Message: fmt.Sprintf("node-%05d has no password: set spec.password of BGPPeer peer-%05d", k, k),
				Link: "https://example.com/" + name, Objects: violation.Subjects(violation.Object{Kind: "BGPPeer", Name: fmt.Sprintf("peer-%05d", k)}),
			},
			Severity: a.Policies[i].Severity, FirstSeen: noon.Add(-48 * time.Hour), LastSeen: noon,
		}
		if edit != nil {
			edit(&v)
		}
		a.Violations = append(a.Violations, v)
	}
	slices.SortStableFunc(a.Violations, func(x, y audit.Violation) int { return audit.Rank(x.Severity) - audit.Rank(y.Severity) })
	return a
}

func auditPageOf(t testing.TB, audits ...*audit.Audit) string {
	t.Helper()
	var b bytes.Buffer
	if err := AuditFormats.Write(&b, HTML, &Audit{Report: &audit.Report{Version: "v1.2.3", Clusters: audits}}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func parsePage(t testing.TB, page string) *html.Node {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// textOf returns the text of the first element for which is returns true. It replaces each run
// of white space by one space.
func textOf(t testing.TB, page string, is func(*html.Node) bool) string {
	t.Helper()
	for n := range parsePage(t, page).Descendants() {
		if n.Type == html.ElementNode && is(n) {
			return strings.Join(strings.Fields(nodeText(n)), " ")
		}
	}
	t.Fatal("there is no such element")
	return ""
}

func nodeText(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		switch {
		case d.Type == html.TextNode && d.Parent.Data != "style" && d.Parent.Data != "script":
			b.WriteString(d.Data)
		case d.Type == html.ElementNode && d.Data != "tspan":
			b.WriteByte(' ')
		}
	}
	return b.String()
}

// sectionOf returns a function that matches the section whose heading has the given id.
func sectionOf(id string) func(*html.Node) bool {
	return func(n *html.Node) bool { return attribute(n, "aria-labelledby") == id }
}

func attribute(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func TestVerdict(t *testing.T) {
	failure := audit.Failure{Policy: "reach", Severity: "critical", Message: "it took too long"}
	for name, c := range map[string]struct {
		audit func(a *audit.Audit)
		tone  string
		want  string
		more  []string
	}{
		"all hold":     {func(*audit.Audit) {}, good, "No violations: 2 policies evaluated", nil},
		"one alone":    {func(a *audit.Audit) { a.Policies = a.Policies[:1] }, good, "No violations: 1 policy evaluated", nil},
		"no policy":    {func(a *audit.Audit) { a.Policies = a.Policies[2:] }, unsure, "Nothing was checked: no policy that evaluates states is in force", nil},
		"one failed":   {func(a *audit.Audit) { a.Failures = []audit.Failure{failure} }, unsure, "No violations, but 1 of 2 policies could not be evaluated", nil},
		"one found":    {func(a *audit.Audit) { withFound(a, "hygiene", 1, nil) }, "medium", "1 medium violation", nil},
		"one kind":     {func(a *audit.Audit) { withFound(a, "hygiene", 1200, nil) }, "medium", "1,200 medium violations", nil},
		"two kinds":    {func(a *audit.Audit) { withFound(withFound(a, "hygiene", 3, nil), "reach", 2, nil) }, "critical", "5 violations, 2 of them critical", nil},
		"one is worse": {func(a *audit.Audit) { withFound(withFound(a, "hygiene", 3, nil), "reach", 1, nil) }, "critical", "4 violations, 1 of them critical", nil},
		"found and failed": {
			func(a *audit.Audit) { withFound(a, "hygiene", 1, nil).Failures = []audit.Failure{failure} }, "medium", "1 medium violation",
			[]string{"1 policy could not be evaluated, so there may be more violations."},
		},
		"drift": {
			func(a *audit.Audit) {
				withFound(a, "hygiene", 2, func(v *audit.Violation) { v.Origin = audit.PastAdmission })
				withFound(a, "reach", 1, func(v *audit.Violation) { v.Origin = audit.Allowed })
			},
			"critical", "3 violations, 1 of them critical", []string{"Drift: 2 violations bypassed admission, or may have."},
		},
		"a baseline": {
			func(a *audit.Audit) {
				withFound(a, "hygiene", 2, func(v *audit.Violation) { v.Compared = audit.New })
				withFound(a, "hygiene", 1, func(v *audit.Violation) { v.Compared = audit.Worse })
				a.Resolved = a.Violations[:1]
			},
			"medium", "3 medium violations", []string{"Since the baseline: 2 new, 1 worse, 1 resolved."},
		},
		"a change": {
			func(a *audit.Audit) {
				withFound(a, "hygiene", 1, func(v *audit.Violation) { v.Compared = audit.Known })
				a.Before = &audit.Audit{}
			},
			"medium", "1 medium violation", []string{"By the change: 1 as before."},
		},
		"all mended": {
			func(a *audit.Audit) { a.Resolved = []audit.Violation{{}} }, good, "No violations: 2 policies evaluated",
			[]string{"Since the previous audit: 1 resolved."},
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := audited(t, racked)
			c.audit(a)
			got := verdictOf(a)
			if got.Text != c.want || got.Tone != c.tone || got.Icon != c.tone || !slices.Equal(got.More, c.more) {
				t.Errorf("got %s, %s, %q, %q", got.Tone, got.Icon, got.Text, got.More)
			}
		})
	}
}

func TestPageShowsEveryFieldOfAViolation(t *testing.T) {
	a := withFound(audited(t, racked), "reach", 1, func(v *audit.Violation) {
		v.Origin, v.Cause, v.Compared = audit.Exempt, "introduced by a change to BGPPeer peer-00000 by alice, who is exempt from the policy", audit.New
	})
	got := textOf(t, auditPageOf(t, a), func(n *html.Node) bool {
		return n.Data == "li" && strings.HasPrefix(attribute(n, "class"), "violation ")
	})
	want := "critical new drift: change that was exempt reach Routes between all " +
		"node-00000 has no password: set spec.password of BGPPeer peer-00000 " +
		"Introduced by a change to BGPPeer peer-00000 by alice, who is exempt from the policy. " +
		"about BGPPeer peer-00000 first seen 29 Jun 2026 12:00 UTC last seen 1 Jul 2026 12:00 UTC action Deny more https://example.com/reach"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestSectionsOfThePage(t *testing.T) {
	a := withFound(audited(t, racked), "hygiene", 2, nil)
	a.Failures = []audit.Failure{{Policy: "reach", Severity: "critical", Message: "it took too long"}}
	a.Notes = []string{"Secrets are not readable"}
	a.Trend = []audit.Point{{Time: noon.Add(-24 * time.Hour), Violations: map[string]int{"medium": 5}, Nodes: 4, Sessions: 5, StartSeconds: 7}}
	a.Resolved = []audit.Violation{{Violation: violation.Violation{Policy: "hygiene", Objects: violation.Subjects(violation.Object{Kind: "BGPPeer", Name: "old"})}, Severity: "medium", FirstSeen: noon, LastSeen: noon, Cause: "its policy is no longer in force"}}
	page := auditPageOf(t, a)
	for id, wants := range map[string][]string{
		"c1-violations": {"Resolved", "medium hygiene BGPPeer old 1 Jul 2026 12:00 UTC 1 Jul 2026 12:00 UTC its policy is no longer in force"},
		"c1-failures":   {"reach: it took too long"},
		"c1-notes":      {"Secrets are not readable"},
		"c1-topology":   {"2 route reflectors", "2 reflector clients", "Sessions between the groups"},
		"c1-state":      {"Nodes 4, all with BGP, 2 route reflectors", "each of 4 nodes has routes to the pods of all others"},
		"c1-reflectors": {
			"rr-1 z1 244.0.0.1 3", "rr-2 z1 244.0.0.2 3",
			"z1 2 2 single point of failure 2 nodes (worker-1, worker-2) would be isolated, IPv4", "z2 2 0 no other node would be isolated",
		},
		"c1-timers": {
			"Keepalive time between nodes 10 s unusual 1 BGPPeer slow", "Keepalive time between nodes 80 s usual",
			"Graceful restart time between nodes 120 s usual", "BGPPeer clients (unset)",
		},
		"c1-convergence": {"Routes missing after a start of calico-node 7 s", "Routes kept after the crash of a node's last route reflector 120 s"},
		"c1-trend":       {"2 violations now, 3 fewer than the 5 of 30 Jun 2026 12:00 UTC; 2 audits", "30 Jun 2026 12:00 UTC 0 0 5 0 4 5 7"},
		"c1-policies": {
			"reach Routes between all critical Deny evaluation error", "hygiene Peers with passwords medium Warn 2 violations",
			"window Changes in windows low Deny evaluates changes only",
		},
	} {
		t.Run(id, func(t *testing.T) {
			got := textOf(t, page, sectionOf(id))
			for _, want := range wants {
				if !strings.Contains(got, want) {
					t.Errorf("no %q in\n%s", want, got)
				}
			}
		})
	}
	if got := textOf(t, page, func(n *html.Node) bool { return n.Data == "header" }); got != "BGP audit of prod 1 Jul 2026 12:00 UTC · bgpguard v1.2.3 · unknown Calico version" {
		t.Errorf("the header says %q", got)
	}
}

func TestAChangeIsDrawnBeforeAndAfter(t *testing.T) {
	before := audited(t, racked)
	after := audited(t, strings.Replace(racked, "nodeSelector: '!has(rr)'", "nodeSelector: has(rr)", 1))
	after.Before = before
	page := auditPageOf(t, after)
	got := textOf(t, page, sectionOf("c1-topology"))
	for _, want := range []string{"Before and after the change: 2 route reflectors, 2 isolated nodes after it", "before: reflector clients", "removed: "} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not among %q", want, got)
		}
	}
	if got, want := textOf(t, page, sectionOf("c1-moves")), "isolated nodes, IPv4 0 2"; !strings.Contains(got, want) {
		t.Errorf("%q is not in %q", want, got)
	}
}

func TestAFleetHasAnOverview(t *testing.T) {
	clean, failing, bad := audited(t, racked), audited(t, racked), withFound(audited(t, racked), "reach", 7, nil)
	clean.Cluster, failing.Cluster, bad.Cluster = "edge", "", "prod"
	failing.Failures = []audit.Failure{{Policy: "reach"}}
	page := auditPageOf(t, clean, failing, bad)
	got := textOf(t, page, func(n *html.Node) bool { return n.Data == "main" })
	for _, want := range []string{
		"7 critical violations, in 1 of 3 clusters", "edge no violations 0 0 0 0 4 5 1 Jul 2026 12:00 UTC", "the cluster incomplete 0 0 0 0",
		"prod 7 violations 7 0 0 0 4 5", "edge No violations: 2 policies evaluated", "prod 7 critical violations",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the page does not say %q:\n%.2000s", want, got)
		}
	}
	if !strings.Contains(page, `<a href="#c1">prod</a>`) || !strings.Contains(page, `id="c1"`) {
		t.Error("the overview does not lead to prod, which is the worst and comes first")
	}
}

// The verdict on a fleet is good only if all clusters were read and evaluated.
func TestFleetVerdict(t *testing.T) {
	idle := audited(t, racked)
	idle.Policies = idle.Policies[2:]
	old := audited(t, racked)
	old.Stale = time.Hour
	unread := []audit.Unread{{Cluster: "lab", Message: "no answer"}, {Cluster: "eu", Message: "no answer"}}
	for name, c := range map[string]struct {
		report     audit.Report
		tone, want string
	}{
		"all evaluated":         {audit.Report{Clusters: []*audit.Audit{audited(t, racked), audited(t, racked)}}, good, "No violations in 2 clusters"},
		"no policy in one":      {audit.Report{Clusters: []*audit.Audit{audited(t, racked), idle}}, unsure, "No violations in 2 clusters, but 1 could not be fully evaluated"},
		"one could not be read": {audit.Report{Clusters: []*audit.Audit{audited(t, racked)}, Unread: unread[:1]}, unsure, "No violations in 1 cluster"},
		"one is stale":          {audit.Report{Clusters: []*audit.Audit{old, audited(t, racked)}}, unsure, "No violations in 2 clusters"},
		"none could be read":    {audit.Report{Unread: unread}, unsure, "Nothing was checked: no state could be read"},
	} {
		t.Run(name, func(t *testing.T) {
			var parts []*clusterPart
			for _, a := range c.report.Clusters {
				parts = append(parts, &clusterPart{Verdict: verdictOf(a)})
			}
			if got := newFleet(&c.report, parts).Verdict; got.Tone != c.tone || got.Text != c.want {
				t.Errorf("got %s, %q, want %s, %q", got.Tone, got.Text, c.tone, c.want)
			}
		})
	}
}

// What is not known comes before what is bad.
func TestTheOverviewBeginsWithWhatIsNotKnown(t *testing.T) {
	bad := withFound(audited(t, racked), "reach", 1, nil)
	stale := audited(t, racked)
	stale.Stale = 200 * time.Second
	fine := audited(t, racked)
	fine.Cluster, bad.Cluster, stale.Cluster = "good", "bad", "old"
	p, err := newAuditPage(&Audit{Report: &audit.Report{Clusters: []*audit.Audit{fine, bad, stale}, Unread: []audit.Unread{{Cluster: "lab", Message: "no answer"}}}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, row := range p.Fleet.Table.Rows {
		got = append(got, row.Cells[0].Text+": "+row.Cells[1].Badge.Text)
	}
	if want := []string{"lab: could not be read", "old: stale: no violations", "bad: 1 violation", "good: no violations"}; !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if want := "The state may be stale: the API server has sent nothing for 3m20s."; p.Clusters[0].Verdict.Tone != unsure || !slices.Contains(p.Clusters[0].Verdict.More, want) {
		t.Errorf("the verdict of the stale state is %+v", p.Clusters[0].Verdict)
	}
}

// A page that a server updates may ask for itself, and for nothing else.
func TestALivePageHasAVersion(t *testing.T) {
	for _, live := range []string{"", "v7"} {
		var b bytes.Buffer
		if err := writeAuditHTML(&b, &Audit{Report: &audit.Report{Clusters: []*audit.Audit{audited(t, racked)}}, Live: live}); err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{`<body data-live="v7">`, `; connect-src 'self'">`, `<p class="live"`} {
			if got := strings.Contains(b.String(), part); got != (live != "") {
				t.Errorf("version %q: %t for %s", live, got, part)
			}
		}
	}
}

// TestThePageOfManyViolationsIsBounded writes a page of ten thousand violations. Their messages
// are as long as the longest message of the library.
func TestThePageOfManyViolationsIsBounded(t *testing.T) {
	long := strings.Repeat("a word and a half, ", 40)
	a := withFound(audited(t, racked), "hygiene", 9_990, func(v *audit.Violation) { v.Message += long })
	page := auditPageOf(t, withFound(a, "reach", 10, func(v *audit.Violation) { v.Message += long }))
	if size := len(page); size > 2<<20 {
		t.Errorf("the page has %d bytes", size)
	}
	if n := strings.Count(page, `<li class="violation `); n != violationsShown {
		t.Errorf("the page shows %d violations", n)
	}
	atFirst, _, _ := strings.Cut(page, "<noscript>")
	if n := strings.Count(atFirst, `<li class="violation `); n != violationsFirst {
		t.Errorf("the page shows %d violations at first", n)
	}
	if want := "9,500 more, none more severe than these, are not on this page: bgpguard audit -o json lists all."; !strings.Contains(page, want) {
		t.Errorf("the page does not say %q", want)
	}
	if n := strings.Count(page, `data-severity="critical"`); n != 10 {
		t.Errorf("%d of 10 critical violations are shown", n)
	}
}

func TestAFleetSharesOutTheViolations(t *testing.T) {
	var audits []*audit.Audit
	for range 3 {
		audits = append(audits, withFound(audited(t, racked), "hygiene", 400, nil))
	}
	if n := strings.Count(auditPageOf(t, audits...), `<li class="violation `); n != violationsShown/3*3 {
		t.Errorf("the page shows %d violations", n)
	}
}

func TestPageOfAnAuditWithoutState(t *testing.T) {
	a := withFound(audited(t, racked), "hygiene", 1, nil)
	a.Snapshot, a.Topology = nil, nil
	page := auditPageOf(t, a)
	for _, id := range []string{"c1-topology", "c1-state", "c1-timers", "c1-convergence"} {
		if strings.Contains(page, `"`+id+`"`) || strings.Contains(page, `"#`+id+`"`) {
			t.Errorf("there is a section %s", id)
		}
	}
	if got := textOf(t, page, sectionOf("c1-violations")); !strings.Contains(got, "node-00000 has no password") {
		t.Errorf("the violation is not in %q", got)
	}
}

func TestContentSecurityPolicyAllowsTheScript(t *testing.T) {
	page := auditPageOf(t, audited(t, racked))
	var script, csp string
	for n := range parsePage(t, page).Descendants() {
		switch {
		case n.Type != html.ElementNode:
		case n.Data == "script":
			if script != "" {
				t.Error("there are two scripts")
			}
			script = n.FirstChild.Data
		case attribute(n, "http-equiv") == "Content-Security-Policy":
			csp = attribute(n, "content")
		}
	}
	digest := sha256.Sum256([]byte(script))
	want := "default-src 'none'; script-src 'sha256-" + base64.StdEncoding.EncodeToString(digest[:]) + "'; style-src 'unsafe-inline'; font-src data:; img-src data:; base-uri 'none'; form-action 'none'"
	if csp != want {
		t.Errorf("the page lets in %s\nwant %s", csp, want)
	}
}

func TestTrends(t *testing.T) {
	point := func(hours int, counts ...int) audit.Point {
		p := audit.Point{Time: noon.Add(time.Duration(hours) * time.Hour), Violations: map[string]int{}}
		for i, n := range counts {
			p.Violations[policy.Severities[i]] = n
		}
		return p
	}
	for name, c := range map[string]struct {
		trend []audit.Point
		found int
		text  string
		areas string
		rows  int
	}{
		"none before":        {nil, 1, "", "", 0},
		"clean all the time": {[]audit.Point{point(-2)}, 0, "0 violations now, as many as the 0 of 1 Jul 2026 10:00 UTC; 2 audits", "", 2},
		"up": {
			[]audit.Point{point(-2, 0, 0, 1)}, 2, "2 violations now, 1 more than the 1 of 1 Jul 2026 10:00 UTC; 2 audits",
			"medium M52 120L1146 14L1146 226L52 226Z", 2,
		},
		"upon each other": {
			[]audit.Point{point(-4, 1), point(-2, 2, 1, 2)}, 0, "0 violations now, 1 fewer than the 1 of 1 Jul 2026 08:00 UTC; 3 audits",
			"critical M52 184L599 142L1146 226L1146 226L599 226L52 226Z, high M52 184L599 99L1146 226L1146 226L599 142L52 184Z, " +
				"medium M52 184L599 14L1146 226L1146 226L599 99L52 184Z", 3,
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := withFound(audited(t, racked), "hygiene", c.found, nil)
			a.Trend = c.trend
			got := newTrend(a)
			if got == nil {
				if c.rows > 0 {
					t.Fatal("there is no trend")
				}
				return
			}
			var areas []string
			for _, area := range got.Areas {
				areas = append(areas, area.Tone+" "+area.Path)
			}
			if got.Text != c.text || strings.Join(areas, ", ") != c.areas || len(got.Table.Rows) != c.rows {
				t.Errorf("got %q, %q, %d rows", got.Text, areas, len(got.Table.Rows))
			}
		})
	}
	var many []audit.Point
	for i := range 500 {
		many = append(many, point(i-501, 1))
	}
	a := audited(t, racked)
	a.Trend = many
	if got := newTrend(a); len(got.Table.Rows) != pointsShown || got.Table.Rest != "and 401 earlier ones" {
		t.Errorf("%d rows, %q", len(got.Table.Rows), got.Table.Rest)
	}
}

func TestHealth(t *testing.T) {
	sessions := func(established, predicted, waiting int) health.Sessions {
		return health.Sessions{Predicted: predicted, Established: established, Waiting: waiting, SuccessRate: new(float64(established) / float64(predicted))}
	}
	for name, c := range map[string]struct {
		health *health.Health
		want   string
	}{
		"not known": {&health.Health{}, "BGP health, reported by the nodes The CalicoNodeStatuses were not read, so it is unknown which sessions are established."},
		"nobody reports": {
			&health.Health{Known: true, Nodes: 4, Missing: health.NodeSet{Nodes: 4, Sample: []string{"a", "b", "c"}}},
			"BGP health, reported by the nodes Figure Value Nodes that report 0 of 4; there is no CalicoNodeStatus for 4 nodes (a, b, c and 1 more)",
		},
		"all is well": {
			&health.Health{
				Known: true, Nodes: 4, Reporting: 4,
				Sessions: topology.PerFamily[health.Sessions]{IPv4: sessions(10, 10, 0)}, Daemons: topology.PerFamily[health.Daemons]{IPv4: health.Daemons{Ready: 4}},
			},
			"BGP health, reported by the nodes Sessions established, IPv4 100 % 10 of 10 predicted half-sessions on the nodes that report. " +
				"Figure Value Nodes that report 4 of 4 BIRD IPv4 4 ready, 0 not ready",
		},
		"all that can be wrong": {
			&health.Health{
				Known: true, Nodes: 5000, Reporting: 4999, Sessions: topology.PerFamily[health.Sessions]{IPv4: sessions(29_999, 30_000, 0), IPv6: sessions(1, 3, 1)},
				Down: health.List[health.Session]{Total: 60, Items: slices.Repeat([]health.Session{{
					Node: "a", Family: "IPv4", PeerIP: "10.0.0.2", PeerNode: "b", Type: "NodePeer", State: "Active", Since: "08:00:00", Sources: []string{"clients"},
				}}, 60)},
				Outdated: health.List[health.Outdated]{Total: 1, Items: []health.Outdated{{Status: "s", Node: "c", Message: "calico-node has not written it"}}},
				NotReady: health.List[health.Daemon]{Total: 1, Items: []health.Daemon{{Node: "d", Family: "IPv6", State: "NotReady", Version: "v1"}}},
				Restarts: health.Restarts{SlowestSeconds: new(48), MedianSeconds: new(7), Measured: health.List[health.Restart]{
					Total: 1, Items: []health.Restart{{Node: "e", Family: "IPv4", Boot: noon, Seconds: 48, Established: 2, NotEstablished: 1}},
				}},
			},
			"BGP health, reported by the nodes Sessions established, IPv4 99.9 % 29,999 of 30,000 predicted half-sessions on the nodes that report. " +
				"Sessions established, IPv6 33.3 % 1 of 3 predicted half-sessions on the nodes that report. 1 waits for the end of a graceful restart. " +
				"Figure Value Nodes that report 4,999 of 5,000; 1 status not compared " +
				"Starts of BIRD 7 seconds until the last session came up (median), 48 seconds (slowest), of 1 start " +
				"Predicted but not established: 60 Predicted but not established Node Family Peer Type State Since From " +
				strings.Repeat("a IPv4 10.0.0.2 (b) NodePeer Active 08:00:00 clients ", rowsShown) + "and 10 more " +
				"BIRDs that are not ready: 1 BIRDs that are not ready Node Family State Version d IPv6 NotReady v1 " +
				"CalicoNodeStatuses that are not compared: 1 CalicoNodeStatuses that are not compared Node Status Last updated Why c s never calico-node has not written it " +
				"Starts of BIRD, slowest first: 1 Starts of BIRD, slowest first Node Family Start Until the last session came up Established Not established " +
				"e IPv4 1 Jul 2026 12:00 UTC 48 seconds 2 1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := audited(t, racked)
			a.Health, a.Topology = c.health, nil
			if got := textOf(t, auditPageOf(t, a), sectionOf("c1-health")); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestUsualTimers(t *testing.T) {
	peers := map[string]*topology.BGPPeer{"none": {}, "one": {LocalNodes: 1}, "two": {LocalNodes: 2}, "three": {LocalNodes: 3}}
	group := func(seconds, sessions int, objects ...string) topology.TimerGroup {
		g := topology.TimerGroup{Seconds: seconds, Sessions: sessions}
		for _, name := range objects {
			g.Objects = append(g.Objects, topology.TimerObject{Kind: "BGPPeer", Name: name})
		}
		return g
	}
	for name, c := range map[string]struct {
		groups []topology.TimerGroup
		want   int
	}{
		"nothing":               {nil, 80},
		"most sessions":         {[]topology.TimerGroup{group(10, 5, "three"), group(20, 6, "one")}, 20},
		"most nodes":            {[]topology.TimerGroup{group(10, 0, "one", "one"), group(20, 0, "three")}, 20},
		"peers of no node":      {[]topology.TimerGroup{group(80, 0, "one"), group(90, 0, "none", "none")}, 80},
		"BIRD's among equals":   {[]topology.TimerGroup{group(10, 1, "one"), group(80, 1, "one"), group(90, 1, "one")}, 80},
		"sessions before nodes": {[]topology.TimerGroup{group(80, 1, "two", "three"), group(90, 2, "one")}, 90},
	} {
		t.Run(name, func(t *testing.T) {
			if got := usualSeconds(c.groups, peers, 80); got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
}

// skeleton returns the elements of a page and the names of their attributes, without the pictures.
func skeleton(t testing.TB, page string) string {
	t.Helper()
	var b strings.Builder
	var walk func(*html.Node)
	walk = func(n *html.Node) {
		if n.Type == html.ElementNode {
			b.WriteString("<" + n.Data)
			for _, a := range n.Attr {
				b.WriteString(" " + a.Key)
			}
			b.WriteString(">")
			if attribute(n, "role") == "img" || n.Data == "style" {
				return
			}
		}
		for c := range n.ChildNodes() {
			walk(c)
		}
	}
	walk(parsePage(t, page))
	return b.String()
}

// FuzzNoTextBecomesMarkup uses a text as each value that an object, a policy or a user can set.
func FuzzNoTextBecomesMarkup(f *testing.F) {
	for _, s := range []string{
		"<script>alert(1)</script>", `"><img src=x onerror=alert(1)>`, "</style></script><!--", "javascript:alert(1)", "' onmouseover='x", "{{.}}", "\x00\x1b[31m\xff", "]]>", "ſ",
	} {
		f.Add(s)
	}
	page := func(t testing.TB, s string) string {
		a := audited(t, racked)
		a.Cluster, a.Notes = "c"+s, []string{"n" + s}
		a.Failures = []audit.Failure{{Policy: "p" + s, Message: "m" + s}}
		for i := range a.Policies {
			p := &a.Policies[i]
			p.Title, p.Severity, p.Action = "t"+s, "s"+s, violation.Action("a"+s)
		}
		withFound(a, "reach", 1, func(v *audit.Violation) {
			v.Policy, v.Message, v.Cause, v.Objects = "p"+s, "m"+s, "c"+s, violation.Subjects(violation.Object{Kind: "k" + s, Name: "n" + s})
			v.Link = "https://example.com/" + clean(s)
		})
		a.Resolved = a.Violations
		a.Topology = nil // Drawing a picture is slow; TestNoNameOfAnObjectBecomesMarkup tests it.
		return auditPageOf(t, a, a)
	}
	want := skeleton(f, page(f, "x"))
	f.Fuzz(func(t *testing.T, s string) {
		text := page(t, s)
		if got := skeleton(t, text); got != want {
			t.Errorf("with %q the page has other elements", s)
		}
		for _, r := range []string{"\x1b", "\x00"} {
			if strings.Contains(text, r) {
				t.Errorf("with %q there is a control character in the page", s)
			}
		}
	})
}

func TestNoNameOfAnObjectBecomesMarkup(t *testing.T) {
	const hostile = `<script>"'x`
	of := func(name string) string {
		named := strings.NewReplacer("rr-1", name, "worker-1", name+"w", "z1", name, "slow", name, "244.0.0.1", name)
		var objects []string
		for object := range strings.SplitSeq(racked, "---") {
			for _, old := range []string{"rr-1", "worker-1", "z1", "slow", "244.0.0.1"} {
				object = strings.ReplaceAll(object, ": "+old, ": "+strconv.Quote(named.Replace(old)))
			}
			objects = append(objects, object)
		}
		return auditPageOf(t, audited(t, strings.Join(objects, "---")))
	}
	if got, want := skeleton(t, of(hostile)), skeleton(t, of("plain")); got != want {
		t.Errorf("the page has other elements:\n%s\nwant\n%s", got, want)
	}
}

func TestOnlyHTTPLinksAreRendered(t *testing.T) {
	for name, c := range map[string]struct{ link, want string }{
		"HTTPS":            {"https://example.com/a", "https://example.com/a"},
		"HTTP":             {"http://example.com", "http://example.com"},
		"a script":         {"javascript:alert(1)", ""},
		"without a scheme": {"//example.com", ""},
		"none":             {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			v := audit.Violation{Violation: violation.Violation{Link: c.link}}
			if got := newViolationPart(&v, &audit.Audit{}, 0).Link; got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

//go:build system

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/bgpguard/bgpguard/pkg/api/v1alpha1"
	"github.com/bgpguard/bgpguard/pkg/audit"
	"github.com/bgpguard/bgpguard/pkg/auditor"
	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/openreports"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/validate"
	"github.com/bgpguard/bgpguard/pkg/violation"
	"github.com/bgpguard/bgpguard/test/env"
)

// etcdLimit is how large a request etcd takes, and so an object, in bytes.
const etcdLimit = 1536 << 10

// reporting is a cluster with bgpguard's RBAC, and what it takes to write reports there.
type reporting struct {
	*env.Environment
	// ctx ends with the test. Reports are followed across its subtests.
	ctx     context.Context
	objects dynamic.Interface
	user    *rest.Config
	client  *http.Client

	mu  sync.Mutex
	log bytes.Buffer
	// written counts the reports that were sent, and read the requests that read all reports.
	written, read atomic.Int64
}

// counted counts the requests about reports.
type counted struct {
	http.RoundTripper
	reporting *reporting
}

func (c counted) RoundTrip(r *http.Request) (*http.Response, error) {
	switch query := r.URL.Query(); {
	case r.Method == http.MethodPatch:
		c.reporting.written.Add(1)
	// Discovery has no selector. A watch with sendInitialEvents reads like a list.
	case r.Method == http.MethodGet && query.Has("labelSelector") && (!query.Has("watch") || query.Get("sendInitialEvents") == "true"):
		c.reporting.read.Add(1)
	}
	return c.RoundTripper.RoundTrip(r)
}

func startReporting(t *testing.T) *reporting {
	t.Helper()
	r := &reporting{ctx: t.Context(), Environment: startEnvironment(t, env.Options{Groups: []env.Group{env.GroupV1}})}
	if err := r.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	// As bgpguard, with the rights that config/rbac gives it.
	r.user = rest.CopyConfig(r.Config)
	r.user.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:bgpguard-system:bgpguard",
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:bgpguard-system", "system:authenticated"},
	}
	var err error
	if r.client, err = rest.HTTPClientFor(r.user); err != nil {
		t.Fatal(err)
	}
	r.client.Transport = counted{r.client.Transport, r}
	if r.objects, err = dynamic.NewForConfig(r.Config); err != nil {
		t.Fatal(err)
	}
	return r
}

// writer is that of a replica that was just elected.
func (r *reporting) writer(t *testing.T, kind string) *auditor.Reports {
	t.Helper()
	log := funcr.New(func(_, args string) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.log.WriteString(args + "\n")
	}, funcr.Options{})
	w, err := auditor.NewReports(r.user, r.client, auditor.ReportOptions{Kind: kind, Reference: r.reference}, logr.New(log.GetSink()))
	if err != nil {
		t.Fatal(err)
	}
	w.Refresh(r.ctx)
	return w
}

// until calls Refresh until the writer has done what is expected: discovery shows a new kind late.
func (r *reporting) until(t *testing.T, w *auditor.Reports, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		w.Refresh(r.ctx)
		if done() {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the log:\n%s", r.logged())
		}
	}
}

// reference knows BGPPolicies, as the others are not there.
func (r *reporting) reference(ctx context.Context, kind calico.Kind, name string) (corev1.ObjectReference, bool) {
	if kind != v1alpha1.KindBGPPolicy {
		return corev1.ObjectReference{}, false
	}
	ref := corev1.ObjectReference{APIVersion: v1alpha1.APIVersion, Kind: v1alpha1.KindBGPPolicy, Name: name}
	if o, err := r.objects.Resource(v1alpha1.GroupVersion.WithResource("bgppolicies")).Get(ctx, name, metav1.GetOptions{}); err == nil {
		ref.UID = o.GetUID()
	}
	return ref, true
}

func (r *reporting) logged() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.String()
}

// serve has the API server serve a kind of report, or not any more.
func (r *reporting) serve(t *testing.T, kind openreports.Kind, served bool) {
	t.Helper()
	file := filepath.Join("testdata", "reports", "clusterpolicyreports.yaml")
	if kind == openreports.ClusterReport {
		out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/openreports/reports-api").Output()
		if err != nil {
			t.Fatal(err)
		}
		file = filepath.Join(strings.TrimSpace(string(out)), "config", "crd", "openreports.io_clusterreports.yaml")
	}
	verb := "delete"
	if served {
		verb = "apply"
	}
	result, err := r.Admin.Run(t.Context(), verb, "-f", file)
	if err != nil || result.Err() != nil {
		t.Fatal(err, result.Err())
	}
	resource := r.objects.Resource(kind.GroupVersionResource())
	deadline := time.Now().Add(time.Minute)
	for {
		_, err := resource.List(t.Context(), metav1.ListOptions{})
		if served && err == nil || !served && apierrors.IsNotFound(err) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is to be served: %t, but listing says: %v", kind, served, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// list gives the reports that are there, by name.
func (r *reporting) list(t *testing.T, kind openreports.Kind) map[string]*unstructured.Unstructured {
	t.Helper()
	list, err := r.objects.Resource(kind.GroupVersionResource()).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]*unstructured.Unstructured{}
	for i := range list.Items {
		out[list.Items[i].GetName()] = &list.Items[i]
	}
	return out
}

// versions tells of each report when it was last written.
func (r *reporting) versions(t *testing.T, kind openreports.Kind) map[string]string {
	t.Helper()
	out := map[string]string{}
	for name, o := range r.list(t, kind) {
		out[name] = o.GetResourceVersion()
	}
	return out
}

// audited is what the default policies find in a mesh of so many nodes.
func audited(t *testing.T, nodes int, at time.Time) *audit.Audit {
	t.Helper()
	docs, err := policy.Load([]string{"../../config/policies"})
	if err != nil {
		t.Fatal(err)
	}
	set, err := policy.Compile(docs)
	if err != nil {
		t.Fatal(err)
	}
	var objects []calico.Object
	for i := range nodes {
		objects = append(objects, calicotest.Node(t, fmt.Sprintf("node-%04d", i), calicotest.IPv4(calicotest.NodeAddress(i)+"/8")))
	}
	a, err := audit.Run(t.Context(), validate.NewEngine(set), state.New(objects...), audit.Options{Time: at})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (*audit.Trail)(nil).Follow(t.Context(), a, validate.NewEngine(set), audit.Step{}); err != nil {
		t.Fatal(err)
	}
	return a
}

func publish(t *testing.T, w *auditor.Reports, a *audit.Audit) {
	t.Helper()
	if err := w.Publish(t.Context(), a); err != nil {
		t.Fatal(err)
	}
}

// without is an audit after a policy is gone.
func without(a *audit.Audit, name string) *audit.Audit {
	next := *a
	next.Policies = slices.DeleteFunc(slices.Clone(a.Policies), func(p audit.Policy) bool { return p.Name == name })
	next.Violations = slices.DeleteFunc(slices.Clone(a.Violations), func(v audit.Violation) bool { return v.Policy == name })
	return &next
}

// withMany is an audit in which a policy finds n violations with long messages.
func withMany(a *audit.Audit, name string, n int) *audit.Audit {
	next := without(a, "")
	for i := range n {
		next.Violations = append(next.Violations, audit.Violation{
			Violation: violation.Violation{
				Policy: name, ID: fmt.Sprintf("peer-%05d", i), Size: 1, Message: strings.Repeat("BGPPeer selects none ", 40), Details: map[string]any{"i": float64(i)},
				Objects: violation.Subjects(violation.Object{Kind: "BGPPeer", Name: fmt.Sprintf("peer-%05d", i)}),
			},
			Severity: "medium", FirstSeen: a.Time, LastSeen: a.Time, Origin: audit.Standing,
		})
	}
	return next
}

func number(t *testing.T, o *unstructured.Unstructured, path ...string) int64 {
	t.Helper()
	n, found, err := unstructured.NestedInt64(o.Object, path...)
	if err != nil || !found {
		t.Fatalf("%s: %v: %t, %v", o.GetName(), path, found, err)
	}
	return n
}

func TestReports(t *testing.T) {
	t.Parallel()
	c := startReporting(t)
	now := time.Date(2026, 3, 14, 19, 0, 0, 0, time.UTC)
	a := audited(t, 101, now)
	w := c.writer(t, auditor.ReportsAuto)

	t.Run("no kind of report is served", func(t *testing.T) {
		publish(t, w, a)
		w.Refresh(c.ctx)
		if got := strings.Count(c.logged(), "Writing no reports"); got != 1 || strings.Contains(c.logged(), "Cannot") {
			t.Errorf("the log:\n%s", c.logged())
		}
	})
	t.Run("the older kind alone is served", func(t *testing.T) {
		if read := c.read.Load(); read != 0 {
			t.Errorf("%d lists of kinds that are not served", read)
		}
		c.serve(t, openreports.ClusterPolicyReport, true)
		c.until(t, w, func() bool { return len(c.list(t, openreports.ClusterPolicyReport)) > 0 })
		reports := c.list(t, openreports.ClusterPolicyReport)
		if o := reports["bgpguard-mesh-node-limit"]; o == nil || number(t, o, "summary", "fail") != 1 {
			t.Errorf("there are %v; the log:\n%s", slices.Sorted(maps.Keys(reports)), c.logged())
		}
	})
	t.Run("OpenReports comes, and is preferred", func(t *testing.T) {
		c.serve(t, openreports.ClusterReport, true)
		c.until(t, w, func() bool { return len(c.list(t, openreports.ClusterReport)) > 0 })
		if left := c.list(t, openreports.ClusterPolicyReport); len(left) > 0 {
			t.Errorf("%d of the older kind are left", len(left))
		}
		reports := c.list(t, openreports.ClusterReport)
		if len(reports) != len(openreports.Reports(a, openreports.References)) || reports["bgpguard-change-window"] != nil {
			t.Errorf("there are %v", slices.Sorted(maps.Keys(reports)))
		}
		for name, o := range reports {
			fails, ok := number(t, o, "summary", "fail")+number(t, o, "summary", "warn"), number(t, o, "summary", "pass")
			if (fails == 0) != (ok == 1) || number(t, o, "summary", "error") != 0 {
				t.Errorf("%s: %v", name, o.Object["summary"])
			}
			owners := o.GetOwnerReferences()
			if len(owners) != 1 || owners[0].Kind != "BGPPolicy" || "bgpguard-"+owners[0].Name != name || owners[0].UID == "" {
				t.Errorf("%s is owned by %v", name, owners)
			}
			if managers := o.GetManagedFields(); len(managers) != 1 || managers[0].Manager != "bgpguard-audit" || managers[0].Operation != metav1.ManagedFieldsOperationApply {
				t.Errorf("%s is managed by %v", name, managers)
			}
		}
	})
	t.Run("an audit that finds the same writes nothing, nor does the next leader", func(t *testing.T) {
		before, sent := c.versions(t, openreports.ClusterReport), c.written.Load()
		later := audited(t, 101, now.Add(time.Hour))
		for i := range later.Violations {
			later.Violations[i].FirstSeen = now
		}
		next := c.writer(t, auditor.ReportsAuto)
		read := c.read.Load()
		for range 5 {
			publish(t, w, later)
			publish(t, next, later)
		}
		if now := c.read.Load(); now != read || read == 0 {
			t.Errorf("%d lists in 10 audits, after %d before the first", now-read, read)
		}
		if after := c.versions(t, openreports.ClusterReport); !maps.Equal(before, after) {
			t.Errorf("before %v, after %v", before, after)
		}
		if now := c.written.Load(); now != sent || sent == 0 {
			t.Errorf("%d reports were sent, after %d that were due", now-sent, sent)
		}
	})
	t.Run("one that finds other things writes the reports of these alone", func(t *testing.T) {
		before := c.versions(t, openreports.ClusterReport)
		a = audited(t, 102, now)
		publish(t, w, a)
		after := c.versions(t, openreports.ClusterReport)
		maps.DeleteFunc(after, func(name, version string) bool { return before[name] == version })
		if got := slices.Sorted(maps.Keys(after)); !slices.Contains(got, "bgpguard-mesh-node-limit") || len(got) > len(before)/2 {
			t.Errorf("written: %v", got)
		}
	})
	t.Run("what others change or delete is mended", func(t *testing.T) {
		c.kubectl(t, "patch", "clusterreport", "bgpguard-mesh-node-limit", "--type=merge", "-p", `{"results":[],"summary":{"fail":0}}`)
		c.kubectl(t, "delete", "clusterreport", "bgpguard-bird-accepts")
		c.until(t, w, func() bool { // The watch shows it later.
			reports := c.list(t, openreports.ClusterReport)
			return number(t, reports["bgpguard-mesh-node-limit"], "summary", "fail") == 1 && reports["bgpguard-bird-accepts"] != nil
		})
		reports := c.list(t, openreports.ClusterReport)
		if o := reports["bgpguard-mesh-node-limit"]; number(t, o, "summary", "fail") != 1 || o.Object["results"] == nil {
			t.Errorf("patched: %v", o.Object)
		}
		if reports["bgpguard-bird-accepts"] == nil {
			t.Error("deleted")
		}
	})
	t.Run("10,000 violations stay below the size of an object", func(t *testing.T) {
		publish(t, w, withMany(a, "selector-hygiene", 10_000))
		o := c.list(t, openreports.ClusterReport)["bgpguard-selector-hygiene"]
		text, err := o.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		managed, _, _ := unstructured.NestedSlice(o.Object, "metadata", "managedFields")
		results, _, _ := unstructured.NestedSlice(o.Object, "results")
		t.Logf("%d bytes with %d results and managed fields %v", len(text), len(results), managed)
		if len(text) > etcdLimit/2 {
			t.Errorf("%d bytes", len(text))
		}
		if got := number(t, o, "summary", "warn"); got != 10_000 {
			t.Errorf("the summary says %d", got)
		}
		if cut := o.GetAnnotations()[openreports.CutAnnotation]; cut != fmt.Sprint(10_000-len(results)+1) {
			t.Errorf("%s are said to be cut, %d results are there", cut, len(results))
		}
		if first, ok := results[0].(map[string]any); !ok || !strings.Contains(fmt.Sprint(first["message"]), "of 10,000 violations are not listed") {
			t.Errorf("the first result is %v", results[0])
		}
	})
	t.Run("a policy that is gone takes its report with it, and no other", func(t *testing.T) {
		report := func(name, label string) string {
			return fmt.Sprintf("apiVersion: openreports.io/v1alpha1\nkind: ClusterReport\nmetadata: {name: %s, labels: {app.kubernetes.io/managed-by: %s}}\nsource: x\n", name, label)
		}
		for _, manifest := range []string{report("bgpguard-of-another", "x"), report("another", "bgpguard")} {
			result, err := c.Admin.RunWithInput(t.Context(), manifest, "apply", "-f", "-")
			if err != nil || result.Err() != nil {
				t.Fatal(err, result.Err())
			}
		}
		before := c.versions(t, openreports.ClusterReport)
		w.Refresh(c.ctx)
		publish(t, w, without(withMany(a, "selector-hygiene", 10_000), "mesh-node-limit"))
		after := c.versions(t, openreports.ClusterReport)
		delete(before, "bgpguard-mesh-node-limit")
		if !maps.Equal(before, after) {
			t.Errorf("before %v, after %v", before, after)
		}
	})
	t.Run("a kind that is removed is no error, and the other is written", func(t *testing.T) {
		c.serve(t, openreports.ClusterReport, false)
		publish(t, w, a) // Before the writer knows.
		c.until(t, w, func() bool { return len(c.list(t, openreports.ClusterPolicyReport)) > 0 })
		if got := c.list(t, openreports.ClusterPolicyReport); got["bgpguard-mesh-node-limit"] == nil {
			t.Errorf("there are %v", slices.Sorted(maps.Keys(got)))
		}
		c.serve(t, openreports.ClusterPolicyReport, false)
		publish(t, w, a)
		if strings.Contains(c.logged(), "Cannot") {
			t.Errorf("the log:\n%s", c.logged())
		}
	})
	t.Run("a kind that was asked for is waited for", func(t *testing.T) {
		c.serve(t, openreports.ClusterPolicyReport, true)
		publish(t, c.writer(t, auditor.ReportsOpenReports), a)
		if got := c.list(t, openreports.ClusterPolicyReport); len(got) > 0 {
			t.Errorf("%d of the other kind were written", len(got))
		}
		other := c.writer(t, auditor.ReportsPolicyReport)
		publish(t, other, a)
		c.until(t, other, func() bool { return len(c.list(t, openreports.ClusterPolicyReport)) > 0 })
	})
	t.Run("the API server counts what alerts and dashboard ask for", func(t *testing.T) {
		// No webhook runs here: calls fail, openly for Nodes and BGPPolicies, and closed for Calico's objects.
		c.kubectl(t, "label", "bgppolicies", "--all", "x=y")
		peer := "apiVersion: crd.projectcalico.org/v1\nkind: BGPPeer\nmetadata: {name: p}\nspec: {peerIP: 192.0.2.1, asNumber: 64512}\n"
		if result, err := c.Admin.RunWithInput(t.Context(), peer, "apply", "-f", "-"); err != nil || result.Err() == nil {
			t.Fatal("a BGPPeer came in without its webhook", err)
		}
		result, err := c.Admin.Run(t.Context(), "get", "--raw", "/metrics")
		if err != nil || result.Err() != nil {
			t.Fatal(err, result.Err())
		}
		for _, pattern := range []string{
			`apiserver_admission_webhook_fail_open_count\{name="[a-z]+\.bgpguard\.io",`,
			`apiserver_admission_webhook_rejection_count\{error_type="calling_webhook_error",name="bgp\.bgpguard\.io",`,
			`apiserver_admission_webhook_admission_duration_seconds_bucket\{name="[a-z]+\.bgpguard\.io",.*le="1"`,
		} {
			if !regexp.MustCompile(`(?m)^` + pattern).MatchString(result.Stdout) {
				t.Errorf("there is no %s", pattern)
			}
		}
	})
	t.Run("bgpguard may not: the error says so", func(t *testing.T) {
		c.kubectl(t, "delete", "clusterrolebinding", "bgpguard")
		if err := c.writer(t, auditor.ReportsAuto).Publish(t.Context(), a); !apierrors.IsForbidden(err) && (err == nil || !strings.Contains(err.Error(), "forbidden")) {
			t.Errorf("got %v", err)
		}
	})
}

// TestTheWebhookReports runs the process itself: what it audits is in reports and metrics.
func TestTheWebhookReports(t *testing.T) {
	t.Parallel()
	c := start(t, env.GroupV1, "--audit-delay=100ms")
	objects, err := dynamic.NewForConfig(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	r := &reporting{Environment: c.Environment, objects: objects}
	// It looks for the kinds once a minute, and writes the newer one if both are served.
	r.serve(t, openreports.ClusterPolicyReport, true)
	c.allowed(t, "", "wait --for=create --timeout=90s clusterpolicyreport/bgpguard-mesh-node-limit")
	r.serve(t, openreports.ClusterReport, true)
	const name = "clusterreport/bgpguard-mesh-node-limit"
	c.allowed(t, "", "wait --for=create --timeout=90s "+name)
	c.allowed(t, "", "wait --for=jsonpath={.summary.fail}=1 --timeout=60s "+name)
	o := r.list(t, openreports.ClusterReport)["bgpguard-mesh-node-limit"]
	if owners := o.GetOwnerReferences(); len(owners) != 1 || owners[0].Name != "mesh-node-limit" {
		t.Errorf("it is owned by %v", owners)
	}
	token := c.prometheus(t)
	c.untilScraped(t, token, `bgpguard_violations{action="Deny",policy="mesh-node-limit",severity="high"} 1`)
	c.untilScraped(t, token, `bgpguard_predicted_sessions{family="IPv4"} 5995`)
	c.allowed(t, "", "delete bgppolicy mesh-node-limit")
	c.allowed(t, "", "wait --for=delete --timeout=60s "+name)
}

func (r *reporting) kubectl(t *testing.T, args ...string) {
	t.Helper()
	result, err := r.Admin.Run(t.Context(), args...)
	if err != nil || result.Err() != nil {
		t.Fatal(err, result.Err())
	}
}

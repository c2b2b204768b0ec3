// Package monitoring tests config/components/monitoring: each alert fires when it
// should and not otherwise (with promtool), alerts and panels use existing metrics,
// every alert has a runbook, and Prometheus scrapes an existing Service.
package monitoring

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/bgpguard/bgpguard/pkg/server"
	"github.com/bgpguard/bgpguard/test/tool"
)

// runbooks is the document with one section per alert: its URL, and its path here.
const (
	runbooks     = "https://github.com/bgpguard/bgpguard/blob/main/docs/operate.md"
	runbooksFile = "../../docs/operate.md"
)

// foreign are metrics of other programs, with their exporters.
var foreign = map[string]string{
	"up": "Prometheus",
	"apiserver_admission_webhook_fail_open_count":            "kube-apiserver",
	"apiserver_admission_webhook_rejection_count":            "kube-apiserver",
	"apiserver_admission_webhook_admission_duration_seconds": "kube-apiserver",
	"container_cpu_usage_seconds_total":                      "kubelet, from cAdvisor",
	"container_memory_working_set_bytes":                     "kubelet, from cAdvisor",
	"kube_pod_container_resource_limits":                     "kube-state-metrics",
}

// run runs a program of bin/tools and returns what it printed.
func run(name string, args ...string) (string, error) {
	path, err := tool.Path(name)
	if err != nil {
		return "", err
	}
	out, err := exec.Command(path, args...).CombinedOutput()
	return string(out), err
}

// render renders the default installation with the component.
var render = sync.OnceValues(func() ([]*unstructured.Unstructured, error) {
	out, err := run("kustomize", "build", "testdata")
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	var objects []*unstructured.Unstructured
	documents := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(out)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(document, &o.Object); err != nil {
			return nil, err
		}
		objects = append(objects, o)
	}
})

// installed returns the objects of the default installation with the component.
func installed(t *testing.T) []*unstructured.Unstructured {
	t.Helper()
	objects, err := render()
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

// the returns the object of a kind whose name starts with name.
func the(t *testing.T, kind, name string) *unstructured.Unstructured {
	t.Helper()
	for _, o := range installed(t) {
		if o.GetKind() == kind && strings.HasPrefix(o.GetName(), name) {
			return o
		}
	}
	t.Fatalf("there is no %s %s", kind, name)
	return nil
}

type rules struct {
	Groups []group `json:"groups"`
}

type group struct {
	Name  string `json:"name"`
	Rules []rule `json:"rules"`
}

type rule struct {
	Alert       string            `json:"alert,omitempty"`
	Record      string            `json:"record,omitempty"`
	Expr        string            `json:"expr"`
	For         string            `json:"for,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// alerts returns the rules of the PrometheusRule in the format of promtool.
func alerts(t *testing.T) rules {
	t.Helper()
	var out rules
	convert(t, the(t, "PrometheusRule", "bgpguard").Object["spec"], &out)
	return out
}

func (r rules) all() []rule {
	var out []rule
	for _, g := range r.Groups {
		out = append(out, g.Rules...)
	}
	return out
}

func convert(t *testing.T, from, to any) {
	t.Helper()
	text, err := json.Marshal(from)
	if err == nil {
		err = json.Unmarshal(text, to)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, file string, value any) {
	t.Helper()
	text, err := yaml.Marshal(value)
	if err == nil {
		err = os.WriteFile(file, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// parse checks rules with promtool.
func parse(t *testing.T, r rules) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "rules.yaml")
	write(t, file, r)
	if out, err := run("promtool", "check", "rules", "--lint=all", "--lint-fatal", file); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestRulesParse(t *testing.T) { parse(t, alerts(t)) }

func TestAlertsFireWhenTheyShouldAndNotOtherwise(t *testing.T) {
	dir := t.TempDir()
	r := alerts(t)
	for _, g := range r.Groups {
		for i := range g.Rules { // The tests compare the summaries; descriptions have no numbers.
			g.Rules[i].Annotations = map[string]string{"summary": g.Rules[i].Annotations["summary"]}
		}
	}
	write(t, filepath.Join(dir, "rules.yaml"), r)
	text, err := os.ReadFile(filepath.Join("testdata", "alerts.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	tests := filepath.Join(dir, "alerts.yaml")
	if err := os.WriteFile(tests, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := run("promtool", "test", "rules", tests); err != nil {
		t.Errorf("%v\n%s", err, out)
	}

	// Every alert is tested.
	var file struct {
		Tests []struct {
			Cases []struct {
				Alert string `json:"alertname"`
				Fires []any  `json:"exp_alerts"`
			} `json:"alert_rule_test"`
		} `json:"tests"`
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	fires, holds := map[string]bool{}, map[string]bool{}
	for _, test := range file.Tests {
		for _, c := range test.Cases {
			if len(c.Fires) > 0 {
				fires[c.Alert] = true
			} else {
				holds[c.Alert] = true
			}
		}
	}
	for _, r := range r.all() {
		if !fires[r.Alert] || !holds[r.Alert] {
			t.Errorf("%s: testdata/alerts.yaml lets it fire: %t, and not fire: %t", r.Alert, fires[r.Alert], holds[r.Alert])
		}
	}
}

func TestAlertsSayWhatToDo(t *testing.T) {
	text, err := os.ReadFile(runbooksFile)
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]bool{} // by the anchor that GitHub gives a heading of one word
	for _, m := range regexp.MustCompile(`(?m)^#+ ([A-Za-z]+)$`).FindAllStringSubmatch(string(text), -1) {
		sections[strings.ToLower(m[1])] = true
	}
	for _, r := range alerts(t).all() {
		t.Run(r.Alert, func(t *testing.T) {
			if !slices.Contains([]string{"critical", "warning", "info"}, r.Labels["severity"]) {
				t.Errorf("severity %q", r.Labels["severity"])
			}
			if r.Annotations["summary"] == "" || len(r.Annotations["description"]) < 40 {
				t.Error("no summary or no description")
			}
			anchor := strings.ToLower(r.Alert)
			if want := runbooks + "#" + anchor; r.Annotations["runbook_url"] != want {
				t.Errorf("the runbook is %s, want %s", r.Annotations["runbook_url"], want)
			}
			if !sections[anchor] {
				t.Errorf("docs/operate.md has no section %s", r.Alert)
			}
		})
	}
}

// own returns the names of bgpguard's metrics.
func own() map[string]bool {
	names := map[string]bool{}
	described := make(chan *prometheus.Desc)
	go func() {
		defer close(described)
		for _, c := range server.Collectors() {
			c.Describe(described)
		}
	}()
	name := regexp.MustCompile(`fqName: "([^"]+)"`)
	for d := range described {
		names[name.FindStringSubmatch(d.String())[1]] = true
	}
	return names
}

var (
	text       = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	matchers   = regexp.MustCompile(`\{[^{}]*\}`)
	ranges     = regexp.MustCompile(`\[[^\]]*\]`)
	grouping   = regexp.MustCompile(`\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)`)
	identifier = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*\s*\(?`)
	operators  = []string{"and", "or", "unless", "offset", "bool"}
)

// metrics returns the metrics in an expression.
func metrics(expr string) []string {
	for _, strip := range []*regexp.Regexp{text, matchers, ranges, grouping} {
		expr = strip.ReplaceAllString(expr, " ")
	}
	expr = regexp.MustCompile(`\b\d+[a-z]*\b`).ReplaceAllString(expr, " ") // numbers and durations
	var out []string
	for _, name := range identifier.FindAllString(expr, -1) {
		if strings.HasSuffix(name, "(") || slices.Contains(operators, strings.TrimSpace(name)) {
			continue
		}
		out = append(out, strings.TrimSpace(name))
	}
	return out
}

func TestMetricsOfAnExpression(t *testing.T) {
	for expr, want := range map[string][]string{
		`sum by (a) (rate(m_total{x="y_total",z=~"a{2}"}[5m] offset 15m)) > 1000`: {"m_total"},
		`(a:b - on (x) group_left (y) c) / 5 and d == bool 1 or absent(e)`:        {"a:b", "c", "d", "e"},
	} {
		t.Run(expr, func(t *testing.T) {
			if got := metrics(expr); !slices.Equal(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}

func TestAllUsedMetricsExist(t *testing.T) {
	known := own()
	named := map[string]bool{}
	check := func(where, expr string) {
		found := metrics(expr)
		if len(found) == 0 {
			t.Errorf("%s: %s contains no metric", where, expr)
		}
		for _, name := range found {
			base := strings.TrimSuffix(name, "_bucket")
			named[base] = true
			if !known[base] && foreign[base] == "" {
				t.Errorf("%s: there is no metric %s", where, name)
			}
		}
	}
	for _, r := range alerts(t).all() {
		check(r.Alert, r.Expr)
	}
	for _, p := range loadDashboard(t).Panels {
		for _, target := range p.Targets {
			check(p.Title, target.Expr)
		}
	}
	for name, by := range foreign {
		if !named[name] {
			t.Errorf("%s of %s is not used", name, by)
		}
	}
}

func TestPrometheusScrapesOnlyTheMetrics(t *testing.T) {
	monitor := the(t, "ServiceMonitor", "bgpguard")
	selector, _, err := unstructured.NestedStringMap(monitor.Object, "spec", "selector", "matchLabels")
	if err != nil {
		t.Fatal(err)
	}
	var spec struct {
		Endpoints []struct {
			Port      string `json:"port"`
			Scheme    string `json:"scheme"`
			TLSConfig struct {
				ServerName string `json:"serverName"`
				CA         struct {
					Secret struct {
						Name string `json:"name"`
					} `json:"secret"`
				} `json:"ca"`
			} `json:"tlsConfig"`
		} `json:"endpoints"`
	}
	convert(t, monitor.Object["spec"], &spec)
	var services, secrets []string
	for _, o := range installed(t) {
		switch o.GetKind() {
		case "Secret":
			secrets = append(secrets, o.GetName())
		case "Service":
			labels := o.GetLabels()
			for name, value := range selector {
				if labels[name] != value {
					labels = nil
				}
			}
			ports, _, err := unstructured.NestedSlice(o.Object, "spec", "ports")
			if err != nil {
				t.Fatal(err)
			}
			if port, ok := ports[0].(map[string]any); labels != nil && ok && port["name"] == spec.Endpoints[0].Port && o.GetNamespace() == monitor.GetNamespace() {
				services = append(services, o.GetName())
			}
		}
	}
	if !slices.Equal(services, []string{"bgpguard-metrics"}) {
		t.Errorf("it selects %q", services)
	}
	if e := spec.Endpoints[0]; e.Scheme != "https" || !slices.Contains(secrets, e.TLSConfig.CA.Secret.Name) ||
		e.TLSConfig.ServerName != fmt.Sprintf("%s.%s.svc", server.DefaultOptions().CertService, monitor.GetNamespace()) {
		t.Errorf("it scrapes %+v; Secrets are %q", e, secrets)
	}
}

type dashboard struct {
	UID           string `json:"uid"`
	Title         string `json:"title"`
	SchemaVersion int    `json:"schemaVersion"`
	Templating    struct {
		List []struct {
			Name string `json:"name"`
			Type string `json:"type"`
		} `json:"list"`
	} `json:"templating"`
	Panels []struct {
		ID          int             `json:"id"`
		Type        string          `json:"type"`
		Title       string          `json:"title"`
		Description string          `json:"description"`
		Grid        grid            `json:"gridPos"`
		Panels      []any           `json:"panels"`
		Datasource  json.RawMessage `json:"datasource"`
		FieldConfig struct {
			Defaults struct {
				Unit       string `json:"unit"`
				Thresholds struct {
					Steps []any `json:"steps"`
				} `json:"thresholds"`
			} `json:"defaults"`
		} `json:"fieldConfig"`
		Targets []struct {
			RefID string `json:"refId"`
			Expr  string `json:"expr"`
		} `json:"targets"`
	} `json:"panels"`
}

type grid struct {
	X int `json:"x"`
	Y int `json:"y"`
	W int `json:"w"`
	H int `json:"h"`
}

func (g grid) overlaps(o grid) bool {
	return g.X < o.X+o.W && o.X < g.X+g.W && g.Y < o.Y+o.H && o.Y < g.Y+g.H
}

// loadDashboard reads the dashboard from the ConfigMap for Grafana's sidecar.
func loadDashboard(t *testing.T) dashboard {
	t.Helper()
	o := the(t, "ConfigMap", "bgpguard-dashboard")
	if o.GetName() != "bgpguard-dashboard" || o.GetLabels()["grafana_dashboard"] != "1" {
		t.Errorf("the ConfigMap is %s with labels %v", o.GetName(), o.GetLabels())
	}
	data, _, err := unstructured.NestedStringMap(o.Object, "data")
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal([]byte(data["bgpguard.json"]), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDashboard(t *testing.T) {
	d := loadDashboard(t)
	if d.UID != "bgpguard" || d.SchemaVersion < 41 || len(d.Templating.List) != 1 || d.Templating.List[0].Type != "datasource" {
		t.Errorf("the dashboard is %s, schema %d, with variables %v", d.UID, d.SchemaVersion, d.Templating.List)
	}
	ids, titles := map[int]bool{}, map[string]bool{}
	var rows []string
	parsed := rules{Groups: []group{{Name: "panels"}}}
	for i, p := range d.Panels {
		if ids[p.ID] || p.ID == 0 || titles[p.Title] || p.Title == "" {
			t.Errorf("panel %d %q: its ID or its title is missing or not unique", p.ID, p.Title)
		}
		ids[p.ID], titles[p.Title] = true, true
		if p.Grid.X < 0 || p.Grid.X+p.Grid.W > 24 || p.Grid.W < 1 || p.Grid.H < 1 {
			t.Errorf("%s is not within 24 columns: %+v", p.Title, p.Grid)
		}
		for _, o := range d.Panels[:i] {
			if p.Grid.overlaps(o.Grid) {
				t.Errorf("%s and %s overlap", p.Title, o.Title)
			}
		}
		if p.Type == "row" {
			rows = append(rows, p.Title)
			continue
		}
		if !slices.Contains([]string{"stat", "timeseries", "table"}, p.Type) {
			t.Errorf("%s has type %s", p.Title, p.Type)
		}
		if p.Description == "" || p.FieldConfig.Defaults.Unit == "" || len(p.FieldConfig.Defaults.Thresholds.Steps) == 0 || len(p.Targets) == 0 {
			t.Errorf("%s lacks a description, a unit, thresholds or expressions", p.Title)
		}
		if want := `{"type":"prometheus","uid":"${datasource}"}`; strings.Join(strings.Fields(string(p.Datasource)), "") != want {
			t.Errorf("%s has datasource %s", p.Title, p.Datasource)
		}
		for _, target := range p.Targets {
			parsed.Groups[0].Rules = append(parsed.Groups[0].Rules, rule{
				Record: fmt.Sprintf("panel:%d:%s", p.ID, strings.ToLower(target.RefID)), Expr: strings.ReplaceAll(target.Expr, "$__rate_interval", "5m"),
			})
		}
	}
	if want := []string{"Violations", "Topology", "Convergence", "BGP health", "Admission", "Audit", "Control plane"}; !slices.Equal(rows, want) {
		t.Errorf("rows %q, want %q", rows, want)
	}
	parse(t, parsed)
}

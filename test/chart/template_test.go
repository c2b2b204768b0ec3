package chart

import (
	"encoding/base64"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// registered is the value with which a template contains the registration of the webhook.
const registered = "webhook: {register: Always}\n"

// render renders the chart.
func render(t *testing.T, values string, args ...string) Manifests {
	t.Helper()
	manifests, err := Template(values, args...)
	if err != nil {
		t.Fatal(err)
	}
	return manifests
}

func TestHelmRendersWhatKustomizeRenders(t *testing.T) {
	base := func(folder string, with ...string) map[string]any {
		k := map[string]any{"resources": []string{folder}}
		if len(with) > 0 {
			paths := make([]string, len(with))
			for i, component := range with {
				paths[i] = "config/components/" + component
			}
			k["components"] = paths
		}
		return k
	}
	and := func(k map[string]any, field string, value any) map[string]any {
		k = maps.Clone(k)
		k[field] = value
		return k
	}
	patch := func(kind, name, patch string) map[string]any {
		return map[string]any{"target": map[string]any{"kind": kind, "name": name}, "patch": patch}
	}
	everything := "ipam: {enabled: true}\nsecrets: {enabled: true}\nclientCA: {configMapName: bgpguard-client-ca}\nserve: {enabled: true}\nmonitoring: {enabled: true}\n"
	cases := map[string]struct {
		values string
		k      map[string]any
	}{
		"before the registration": {"", base("config/start")},
		"never registered":        {"webhook: {register: Never}\n", base("config/start")},
		"registered":              {registered, base("config/default")},
		"cert-manager":            {registered + "certificates: {source: CertManager}\n", base("config/certmanager")},
		"ipam":                    {registered + "ipam: {enabled: true}\n", base("config/default", "ipam")},
		"secrets":                 {registered + "secrets: {enabled: true}\n", base("config/default", "secrets")},
		"client CA":               {registered + "clientCA: {configMapName: bgpguard-client-ca}\n", base("config/default", "clientca")},
		"serve":                   {registered + "serve: {enabled: true}\n", base("config/default", "serve")},
		"monitoring":              {registered + "monitoring: {enabled: true}\n", base("config/default", "monitoring")},
		"every component":         {registered + everything, base("config/default", "clientca", "ipam", "secrets", "serve", "monitoring")},
		"every component with cert-manager": {
			registered + everything + "certificates: {source: CertManager}\n",
			and(base("config/certmanager", "clientca", "ipam", "secrets", "serve", "monitoring"), "patches", []any{
				patch("ServiceMonitor", "bgpguard", "- {op: replace, path: /spec/endpoints/0/tlsConfig/ca/secret/name, value: bgpguard-webhook-tls}"),
			}),
		},
		"images and replicas": {
			registered + "image: {repository: r.example.com/guard, tag: v9}\nserve: {enabled: true, image: {repository: r.example.com/cli, digest: 'sha256:" + digest + "'}}\nreplicas: 1\n",
			and(and(base("config/default", "serve"), "images", []any{
				map[string]any{"name": "bgpguard/webhook", "newName": "r.example.com/guard", "newTag": "v9"},
				map[string]any{"name": "bgpguard/bgpguard", "newName": "r.example.com/cli", "digest": "sha256:" + digest},
			}), "replicas", []any{map[string]any{"name": "bgpguard", "count": 1}}),
		},
		"reports": {registered + "reports: none\n", and(base("config/default"), "patches", []any{
			patch("Deployment", "bgpguard", "- {op: add, path: /spec/template/spec/containers/0/args/-, value: --reports=none}"),
		})},
		"policies": {
			registered + "transitPeers: [\"64512\"]\npolicies:\n  mesh-node-limit: {parameters: {maxNodes: 7}, validationActions: [Warn]}\n  timer-safety: {enabled: false}\n",
			and(base("config/default"), "patches", []any{
				patch("BGPPolicy", "(encapsulation-change|reachability-preserved|reflector-redundancy)", `- {op: replace, path: /spec/parameters/transitPeers, value: ["64512"]}`),
				patch("BGPPolicy", "mesh-node-limit", "- {op: replace, path: /spec/parameters/maxNodes, value: 7}\n- {op: replace, path: /spec/validationActions, value: [Warn]}"),
				patch("BGPPolicy", "timer-safety", "$patch: delete\napiVersion: policy.bgpguard.io/v1alpha1\nkind: BGPPolicy\nmetadata: {name: timer-safety}"),
			}),
		},
		"pull Secrets, Prometheus and Calico's namespace": {
			registered + "imagePullSecrets: [{name: pull}]\nsecrets: {enabled: true, namespace: kube-system}\nmonitoring: {enabled: true, prometheus: {serviceAccount: p, namespace: ns}}\n",
			and(base("config/default", "secrets", "monitoring"), "patches", []any{
				patch("Deployment", "bgpguard", "- {op: add, path: /spec/template/spec/imagePullSecrets, value: [{name: pull}]}\n- {op: replace, path: /spec/template/spec/containers/0/args/5, value: --calico-namespace=kube-system}"),
				patch("Role", "bgpguard-secrets", "- {op: replace, path: /metadata/namespace, value: kube-system}"),
				patch("RoleBinding", "bgpguard-secrets", "- {op: replace, path: /metadata/namespace, value: kube-system}"),
				patch("ClusterRoleBinding", "bgpguard-metrics-reader", "- {op: replace, path: /subjects/0/name, value: p}\n- {op: replace, path: /subjects/0/namespace, value: ns}"),
			}),
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := render(t, c.values).Objects()
			// Helm creates the namespace of a release itself.
			want := build(t, c.k).Of(func(m *Manifest) bool { return m.Object.GetKind() != "Namespace" }).Objects()
			compare(t, got, want)
		})
	}
	t.Run("kinds", func(t *testing.T) {
		got := render(t, "", "--include-crds").Of(kind("CustomResourceDefinition")).Objects()
		compare(t, got, build(t, base("config/crd")).Objects())
	})
}

var digest = strings.Repeat("0123456789abcdef", 4)

func compare(t *testing.T, got, want map[string]map[string]any) {
	t.Helper()
	if ids := slices.Sorted(maps.Keys(got)); !slices.Equal(ids, slices.Sorted(maps.Keys(want))) {
		t.Errorf("helm renders\n%s\nkustomize renders\n%s", strings.Join(ids, "\n"), strings.Join(slices.Sorted(maps.Keys(want)), "\n"))
	}
	for id, object := range want {
		if other, ok := got[id]; ok && !reflect.DeepEqual(other, object) {
			t.Errorf("%s: helm renders\n%s\nkustomize renders\n%s", id, text(t, other), text(t, object))
		}
	}
}

func text(t *testing.T, object map[string]any) string {
	t.Helper()
	out, err := yaml.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// What only the chart has.

func TestPorts(t *testing.T) {
	objects := render(t, "ports: {webhook: 19443, metrics: 18443, probes: 18081}\n").Objects()
	container := containers(t, objects["Deployment/bgpguard-system/bgpguard"])[0]
	args := fmt.Sprint(container["args"])
	for _, want := range []string{"--port=19443", "--metrics-bind-address=:18443", "--health-probe-bind-address=127.0.0.1:18081"} {
		if !strings.Contains(args, want) {
			t.Errorf("args %s lack %s", args, want)
		}
	}
	if strings.Contains(args, "9443 ") && !strings.Contains(args, "19443 ") {
		t.Errorf("args %s have a default port", args)
	}
	got := map[any]any{}
	for _, port := range container["ports"].([]any) {
		got[port.(map[string]any)["name"]] = port.(map[string]any)["containerPort"]
	}
	if want := fmt.Sprint(map[any]any{"webhook": 19443, "metrics": 18443, "health": 18081}); fmt.Sprint(got) != want {
		t.Errorf("ports %v, want %s", got, want)
	}
}

func containers(t *testing.T, deployment map[string]any) []map[string]any {
	t.Helper()
	list, found, err := unstructured.NestedSlice(deployment, "spec", "template", "spec", "containers")
	if err != nil || !found {
		t.Fatalf("containers: %v, %v", found, err)
	}
	var out []map[string]any
	for _, c := range list {
		out = append(out, c.(map[string]any))
	}
	return out
}

const ca = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"

func TestGivenCertificate(t *testing.T) {
	values := registered + "monitoring: {enabled: true}\ncertificates:\n  source: Given\n  given:\n    secretName: my-certificate\n    caBundle: |\n      " + strings.ReplaceAll(strings.TrimSpace(ca), "\n", "\n      ") + "\n"
	got := render(t, values).Objects()
	want := render(t, registered+"monitoring: {enabled: true}\ncertificates: {source: CertManager}\n").Of(func(m *Manifest) bool {
		return !strings.HasPrefix(m.Object.GetAPIVersion(), "cert-manager.io/")
	}).Objects()
	if slices.Sorted(maps.Keys(got))[0] == "" || len(got) != len(want) {
		t.Fatalf("%d objects, want %d", len(got), len(want))
	}
	webhooks := got["ValidatingWebhookConfiguration//bgpguard"]["webhooks"].([]any)
	for _, webhook := range webhooks {
		bundle := webhook.(map[string]any)["clientConfig"].(map[string]any)["caBundle"]
		if bundle != base64.StdEncoding.EncodeToString([]byte(ca)) {
			t.Errorf("the caBundle of %v is %v", webhook.(map[string]any)["name"], bundle)
		}
	}
	for _, id := range []string{"Deployment/bgpguard-system/bgpguard", "ServiceMonitor/bgpguard-system/bgpguard"} {
		with := strings.ReplaceAll(text(t, want[id]), "bgpguard-webhook-tls", "my-certificate")
		if is := text(t, got[id]); is != with {
			t.Errorf("%s is\n%s\nwant\n%s", id, is, with)
		}
	}
}

func TestFailurePolicyAndAnnotations(t *testing.T) {
	objects := render(t, "webhook: {register: Always, failurePolicy: Ignore, annotations: {argocd.argoproj.io/sync-wave: \"1\"}}\n").Objects()
	if args := containers(t, objects["Deployment/bgpguard-system/bgpguard"])[0]["args"].([]any); !slices.Contains(args, any("--failure-policy=Ignore")) {
		t.Errorf("bgpguard would report the failurePolicy: %v", args)
	}
	got := objects["ValidatingWebhookConfiguration//bgpguard"]
	object := unstructured.Unstructured{Object: got}
	if a := object.GetAnnotations(); len(a) != 1 || a["argocd.argoproj.io/sync-wave"] != "1" {
		t.Errorf("annotations %v", a)
	}
	for _, webhook := range got["webhooks"].([]any) {
		if p := webhook.(map[string]any)["failurePolicy"]; p != "Ignore" {
			t.Errorf("the failurePolicy of %v is %v", webhook.(map[string]any)["name"], p)
		}
	}
}

func TestAnotherNamespace(t *testing.T) {
	out, err := Run("helm", registered+"monitoring: {enabled: true}\nserve: {enabled: true}\ncertificates: {source: CertManager}\n",
		"template", "guard", Folder, "--namespace", "network", "--values", "-")
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(out, "\n") {
		if strings.Contains(line, Namespace) {
			t.Errorf("line %d: %s", i+1, line)
		}
	}
	if !strings.Contains(out, "bgpguard-webhook.network.svc") {
		t.Error("the certificate is not valid for the Service")
	}
}

func TestTheSchemaRejects(t *testing.T) {
	for values, want := range map[string]string{
		"replica: 2":                     "'replica'",
		"replicas: 0":                    "at '/replicas'",
		"image: {tag: 'a b'}":            "at '/image/tag'",
		"image: {digest: latest}":        "at '/image/digest'",
		"ports: {webhook: 70000}":        "at '/ports/webhook'",
		"webhook: {register: Sometimes}": "at '/webhook/register'",
		"webhook: {failurePolicy: fail}": "at '/webhook/failurePolicy'",
		"certificates: {source: Given}":  "at '/certificates/given/secretName'",
		"policies: {mesh-limit: {}}":     "'mesh-limit'",
		"policies: {mesh-node-limit: {parameters: {maxNodes: many}}}": "at '/policies/mesh-node-limit/parameters/maxNodes'",
		"policies: {mesh-node-limit: {parameters: {limit: 3}}}":       "'limit'",
		"policies: {mesh-node-limit: {validationActions: [Block]}}":   "at '/policies/mesh-node-limit/validationActions/0'",
		"transitPeers: tor-1":               "at '/transitPeers'",
		"reports: yes-please":               "at '/reports'",
		"resources: {limit: {memory: 1Gi}}": "'limit'",
	} {
		t.Run(values, func(t *testing.T) {
			if _, err := Template(values + "\n"); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("the error is %v, want one with %q", err, want)
			}
		})
	}
}

func TestLint(t *testing.T) {
	for _, values := range []string{"", registered + "monitoring: {enabled: true}\nserve: {enabled: true}\ncertificates: {source: CertManager}\n"} {
		if out, err := Run("helm", values, "lint", "--strict", Folder, "--values", "-"); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
}

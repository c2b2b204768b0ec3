package chart

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/violation"
	"github.com/bgpguard/bgpguard/test/golden"
)

// kustomization writes a kustomization with paths from the root of the repository, and returns its folder.
func kustomization(t *testing.T, k map[string]any) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if root, err = filepath.EvalSymlinks(root); err != nil {
		t.Fatal(err)
	}
	written := map[string]any{}
	for field, value := range k {
		paths, ok := value.([]string)
		if !ok {
			written[field] = value
			continue
		}
		relative := make([]string, len(paths))
		for i, path := range paths {
			if relative[i], err = filepath.Rel(dir, filepath.Join(root, path)); err != nil {
				t.Fatal(err)
			}
		}
		written[field] = relative
	}
	text, err := yaml.Marshal(written)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// build renders a kustomization.
func build(t *testing.T, k map[string]any) Manifests {
	t.Helper()
	manifests, err := Kustomize(kustomization(t, k))
	if err != nil {
		t.Fatal(err)
	}
	return manifests
}

func kind(kinds ...string) func(*Manifest) bool {
	return func(m *Manifest) bool { return slices.Contains(kinds, m.Object.GetKind()) }
}

// components are the parts of config/components that have objects of their own.
var components = []string{"ipam", "monitoring", "secrets", "serve"}

// TestTheChartHoldsTheManifestsOfConfig writes, with -update, what the templates read.
func TestTheChartHoldsTheManifestsOfConfig(t *testing.T) {
	const header = "# Rendered from config/ by kustomize. `make golden` writes this file.\n"
	installed := build(t, map[string]any{"resources": []string{"config/default"}})
	withCertManager := build(t, map[string]any{"resources": []string{"config/certmanager"}})
	own := installed.Without(withCertManager)
	rest := installed.Without(own).Of(func(m *Manifest) bool { return m.Object.GetKind() != "Namespace" }) // Helm creates it.

	parts := map[string]Manifests{"own-certificates": own, "cert-manager": withCertManager.Without(installed)}
	take := func(name string, kinds ...string) {
		parts[name] = rest.Of(kind(kinds...))
		rest = rest.Without(parts[name])
	}
	take("deployment", "Deployment")
	take("webhook", "ValidatingWebhookConfiguration")
	take("policies", "BGPPolicy")
	take("services", "Service", "PodDisruptionBudget")
	parts["access"] = rest
	for _, component := range components {
		with := build(t, map[string]any{"resources": []string{"config/default"}, "components": []string{"config/components/" + component}})
		parts[component] = with.Without(installed)
	}

	want := map[string]string{}
	for name, manifests := range parts {
		if len(manifests) == 0 {
			t.Errorf("there is no manifest of %s", name)
		}
		want[name+".yaml"] = header + joined(manifests)
	}
	golden.CheckDir(t, filepath.Join(Folder, "manifests"), "*.yaml", want)
	crds := build(t, map[string]any{"resources": []string{"config/crd"}})
	golden.CheckDir(t, filepath.Join(Folder, "crds"), "*.yaml", map[string]string{"bgpguard.yaml": header + joined(crds)})
}

func joined(manifests Manifests) string {
	var texts []string
	for _, m := range manifests {
		texts = append(texts, m.Text)
	}
	return strings.Join(texts, "\n---\n") + "\n"
}

// TestTheSchemaHasTheParametersOfThePolicies writes, with -update, the part of values.schema.json about policies.
func TestTheSchemaHasTheParametersOfThePolicies(t *testing.T) {
	file := filepath.Join(Folder, "values.schema.json")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const start, end = `    "policies": `, "\n    \"transitPeers\": "
	before, rest, found := strings.Cut(string(text), start)
	_, after, ok := strings.Cut(rest, end)
	if !found || !ok {
		t.Fatalf("%s has no %q before %q", file, start, end)
	}
	library, err := policy.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	of := map[string]any{}
	for _, d := range library.Definitions() {
		of[d.Name] = map[string]any{
			"type": "object", "additionalProperties": false,
			"properties": map[string]any{
				"enabled":           map[string]any{"type": "boolean"},
				"validationActions": map[string]any{"type": "array", "minItems": 1, "uniqueItems": true, "items": map[string]any{"enum": violation.Actions}},
				"parameters":        d.Parameters(),
			},
		}
	}
	generated, err := json.MarshalIndent(map[string]any{"type": "object", "additionalProperties": false, "properties": of}, "    ", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, file, []byte(before+start+string(generated)+","+end+after))
}

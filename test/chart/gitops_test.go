package chart

import (
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/bgpguard/bgpguard/test/docs"
)

// application is an Application of Argo CD, with the fields that docs/install.md uses.
type application struct {
	APIVersion string         `json:"apiVersion"`
	Kind       string         `json:"kind"`
	Metadata   map[string]any `json:"metadata"`
	Spec       struct {
		Project     string `json:"project"`
		Destination struct {
			Server    string `json:"server"`
			Namespace string `json:"namespace"`
		} `json:"destination"`
		Source struct {
			RepoURL        string `json:"repoURL"`
			Path           string `json:"path"`
			TargetRevision string `json:"targetRevision"`
			Helm           struct {
				ValuesObject map[string]any `json:"valuesObject"`
			} `json:"helm"`
		} `json:"source"`
		IgnoreDifferences []struct {
			Group             string   `json:"group"`
			Kind              string   `json:"kind"`
			Name              string   `json:"name"`
			JSONPointers      []string `json:"jsonPointers"`
			JQPathExpressions []string `json:"jqPathExpressions"`
		} `json:"ignoreDifferences"`
		SyncPolicy struct {
			SyncOptions []string `json:"syncOptions"`
		} `json:"syncPolicy"`
	} `json:"spec"`
}

// fluxKustomization is a Kustomization of Flux, with the fields that docs/install.md uses.
type fluxKustomization struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"metadata"`
	Spec struct {
		DependsOn []struct {
			Name string `json:"name"`
		} `json:"dependsOn"`
		Interval  string `json:"interval"`
		Path      string `json:"path"`
		Prune     bool   `json:"prune"`
		Wait      bool   `json:"wait"`
		SourceRef struct {
			Kind string `json:"kind"`
			Name string `json:"name"`
		} `json:"sourceRef"`
	} `json:"spec"`
}

// examples returns the documents of docs/install.md of an API group, decoded strictly.
func examples[T any](t *testing.T, group string) []T {
	t.Helper()
	all, err := docs.Read("../..")
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(d *docs.Document) bool { return d.Path == "docs/install.md" })
	var found []T
	for _, block := range all[i].Blocks {
		for text := range strings.SplitSeq(strings.Join(block.Lines, "\n"), "\n---\n") {
			if block.Info != "yaml" || !strings.HasPrefix(text, "apiVersion: "+group+"/") {
				continue
			}
			var document T
			if err := yaml.UnmarshalStrict([]byte(text), &document); err != nil {
				t.Fatalf("docs/install.md, line %d: %v", block.Line, err)
			}
			found = append(found, document)
		}
	}
	if len(found) == 0 {
		t.Fatalf("docs/install.md has no example of %s", group)
	}
	return found
}

// syncWave is the annotation that orders the objects of an Application; without it, an object is in wave 0.
const syncWave = "argocd.argoproj.io/sync-wave"

func TestTheExampleOfArgoCD(t *testing.T) {
	for _, a := range examples[application](t, "argoproj.io") {
		if a.Kind != "Application" || a.Spec.Source.Path != strings.TrimPrefix(Folder, "../../") || a.Spec.Destination.Namespace != Namespace {
			t.Errorf("%s of %s in %s", a.Kind, a.Spec.Source.Path, a.Spec.Destination.Namespace)
		}
		values, err := yaml.Marshal(a.Spec.Source.Helm.ValuesObject)
		if err != nil {
			t.Fatal(err)
		}
		objects := render(t, string(values))
		for i := range objects {
			o, want := &objects[i].Object, ""
			if o.GetKind() == "ValidatingWebhookConfiguration" {
				want = "1"
			}
			if got := o.GetAnnotations()[syncWave]; got != want {
				t.Errorf("%s is in wave %q, want %q", objects[i].ID(), got, want)
			}
		}
		for _, ignored := range a.Spec.IgnoreDifferences {
			named := objects.Of(func(m *Manifest) bool {
				return m.Object.GroupVersionKind().Group == ignored.Group && m.Object.GetKind() == ignored.Kind && m.Object.GetName() == ignored.Name
			})
			if len(named) != 1 {
				t.Errorf("%d objects are the %s %s whose differences are ignored", len(named), ignored.Kind, ignored.Name)
			}
		}
		// Without these, an Application lacks the namespace, or takes the CA out of the registration.
		for _, want := range []string{"CreateNamespace=true", "RespectIgnoreDifferences=true"} {
			if !slices.Contains(a.Spec.SyncPolicy.SyncOptions, want) {
				t.Errorf("the syncOptions %v lack %s", a.Spec.SyncPolicy.SyncOptions, want)
			}
		}
	}
}

func TestTheExampleOfFlux(t *testing.T) {
	rendered := map[string]Manifests{}
	for _, k := range examples[fluxKustomization](t, "kustomize.toolkit.fluxcd.io") {
		if k.Kind != "Kustomization" || k.Spec.Interval == "" || k.Spec.SourceRef.Kind == "" || k.Spec.SourceRef.Name == "" {
			t.Errorf("%s %s has the spec %+v", k.Kind, k.Metadata.Name, k.Spec)
		}
		objects, err := Kustomize(path.Join("../..", k.Spec.Path))
		if err != nil {
			t.Fatal(err)
		}
		for _, before := range k.Spec.DependsOn {
			if rendered[before.Name] == nil {
				t.Errorf("%s depends on %s, which is not before it", k.Metadata.Name, before.Name)
			}
			if left := rendered[before.Name].Without(objects); len(left) > 0 {
				t.Errorf("%s lacks %s of %s", k.Metadata.Name, left[0].ID(), before.Name)
			}
			objects = objects.Without(rendered[before.Name])
		}
		registers := len(objects.Of(kind("ValidatingWebhookConfiguration"))) > 0
		switch {
		case len(k.Spec.DependsOn) == 0 && (registers || !k.Spec.Wait || k.Spec.Prune):
			t.Errorf("%s registers the webhook: %v; waits: %v; prunes what the next one has: %v", k.Metadata.Name, registers, k.Spec.Wait, k.Spec.Prune)
		case len(k.Spec.DependsOn) > 0 && (!registers || len(objects) != 1):
			t.Errorf("%s adds %v, want the registration", k.Metadata.Name, slices.Sorted(maps.Keys(objects.Objects())))
		}
		rendered[k.Metadata.Name] = objects
	}
}

// The kustomizations of docs/install.md render, with this repository in place of its address.
func TestTheExamplesOfKustomizations(t *testing.T) {
	for _, k := range examples[map[string]any](t, "kustomize.config.k8s.io") {
		for _, field := range []string{"resources", "components"} {
			if k[field] == nil {
				continue
			}
			var paths []string
			for _, address := range k[field].([]any) {
				local, ok := strings.CutPrefix(address.(string), "github.com/bgpguard/bgpguard//")
				local, version := strings.CutSuffix(local, "?ref=VERSION")
				if !ok || !version {
					t.Errorf("%s: %v is not of a version of this repository", field, address)
				}
				paths = append(paths, local)
			}
			k[field] = paths
		}
		if manifests := build(t, k); len(manifests.Of(kind("Deployment"))) == 0 {
			t.Errorf("it renders %d objects without a Deployment", len(manifests))
		}
	}
}

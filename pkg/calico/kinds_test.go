package calico_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/policy"
)

// forms returns the API versions of a kind.
func forms(info calico.Info) []string {
	if info.Calico {
		return calico.APIVersions
	}
	return []string{info.APIVersion("")}
}

func TestObjectsOfEveryKindDecodeAndFitTheList(t *testing.T) {
	for _, info := range calico.Kinds() {
		for _, version := range forms(info) {
			t.Run(fmt.Sprint(info.Kind, " of ", version), func(t *testing.T) {
				o := calicotest.Object(t, info.Kind, "default", nil, calicotest.APIVersion(version))
				if o.ID() != (calico.ID{Kind: info.Kind, Name: "default"}) {
					t.Errorf("it is %s", o.ID())
				}
				list := info.Empty.With("default", o)
				if list.Len() != 1 || list.Get("default") != o || info.Empty.Len() != 0 {
					t.Errorf("the list holds %v", list)
				}
				if manifest := calico.Manifest(o); manifest["kind"] != string(info.Kind) || !calico.Equal(o, calicotest.Decode(t, manifest)) {
					t.Errorf("its manifest is %v", manifest)
				}
			})
		}
	}
}

func TestKindTable(t *testing.T) {
	resources := map[string]bool{}
	for i, info := range calico.Kinds() {
		t.Run(string(info.Kind), func(t *testing.T) {
			if info.Kind.Index() != i || info.Kind.Info().Resource != info.Resource || info.Resource != strings.ToLower(string(info.Kind))+"s" && info.Kind != calico.KindCalicoNodeStatus {
				t.Errorf("index %d, resource %s", info.Kind.Index(), info.Resource)
			}
			if resources[info.Resource] {
				t.Errorf("two kinds have the resource %s", info.Resource)
			}
			resources[info.Resource] = true
			if info.OptIn && info.Need != calico.Optional {
				t.Error("a state has to contain a kind that is read only with an option")
			}
			if info.Observation && (info.Review != calico.ReviewNone || info.Need != calico.Optional) {
				t.Error("an observation is reviewed, or has to be known")
			}
		})
	}
	if calico.Kind("Pod").Index() != -1 || !reflect.DeepEqual(calico.Kind("Pod").Info(), calico.Info{}) {
		t.Error("a Pod is in the table")
	}
}

func TestAPIVersions(t *testing.T) {
	for _, test := range []struct{ version, kind, want string }{
		{"v1", "Node", ""},
		{"projectcalico.org/v3", "Node", ""},
		{"v1", "Secret", ""},
		{"operator.tigera.io/v1", "Installation", ""},
		{"operator.tigera.io/v2", "Installation", `apiVersion: must be operator.tigera.io/v1 for an Installation, is "operator.tigera.io/v2"`},
		{"projectcalico.org/v3", "Installation", "Installation of projectcalico.org/v3 does not decide BGP; known are "},
		{"projectcalico.org/v3", "BGPPeer", ""},
		{"crd.projectcalico.org/v1", "BGPPeer", ""},
		{"projectcalico.org/v9", "BGPPeer", `apiVersion: must be crd.projectcalico.org/v1 or projectcalico.org/v3 for a BGPPeer, is "projectcalico.org/v9"`},
		{"projectcalico.org/v1", "BGPPeer", `apiVersion: must be crd.projectcalico.org/v1 or projectcalico.org/v3 for a BGPPeer, is "projectcalico.org/v1"`},
		{"projectcalico.org", "BGPPeer", `apiVersion: must be crd.projectcalico.org/v1 or projectcalico.org/v3 for a BGPPeer, is "projectcalico.org"`},
		{"projectcalico.org/", "CalicoNodeStatus", `apiVersion: must be crd.projectcalico.org/v1 or projectcalico.org/v3 for a CalicoNodeStatus, is "projectcalico.org/"`},
		{"v2", "Node", `apiVersion: must be v1 or projectcalico.org/v3 for a Node, is "v2"`},
		{"v3", "Secret", `apiVersion: must be v1 for a Secret, is "v3"`},
		{"", "Secret", `apiVersion: must be v1 for a Secret, is ""`},
		{"crd.projectcalico.org/v1", "Node", "Node of crd.projectcalico.org/v1 does not decide BGP; known are "},
		{"projectcalico.org/v3", "Secret", "Secret of projectcalico.org/v3 does not decide BGP; known are "},
		{"v1", "BGPPeer", "BGPPeer of v1 does not decide BGP; known are "},
		{"metallb.io/v1beta2", "BGPPeer", "BGPPeer of metallb.io/v1beta2 does not decide BGP; known are "},
		{"projectcalico.org/v3", "Tier", "Tier of projectcalico.org/v3 does not decide BGP; known are "},
	} {
		t.Run(test.kind+" of "+test.version, func(t *testing.T) {
			document := calicotest.Document(t, calico.Kind(test.kind), "a", nil, calicotest.APIVersion(test.version))
			_, decodeErr := calico.Decode(document)
			kind, err := calico.KindOf(test.version, test.kind)
			if test.want == "" {
				if err != nil || decodeErr != nil || kind != calico.Kind(test.kind) {
					t.Errorf("got %s, %v, %v", kind, err, decodeErr)
				}
				return
			}
			for _, err := range []error{err, decodeErr} {
				if err == nil || !strings.HasPrefix(err.Error(), test.want) {
					t.Errorf("got %v, want %s", err, test.want)
				}
			}
		})
	}
}

// documents decodes the YAML documents of a file of config.
func documents[T any](t *testing.T, path string) []T {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "config", filepath.FromSlash(path)))
	if err != nil {
		t.Fatal(err)
	}
	var out []T
	for decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096); ; {
		var one T
		err := decoder.Decode(&one)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, one)
	}
}

// cross returns every combination of the groups, resources and verbs, sorted.
func cross(groups, resources, verbs []string) []string {
	var out []string
	for _, g := range groups {
		for _, r := range resources {
			for _, v := range verbs {
				out = append(out, v+" "+r+" of "+g)
			}
		}
	}
	return out
}

func groupOf(version string) string {
	group, _, ok := strings.Cut(version, "/")
	if !ok {
		return ""
	}
	return group
}

func TestTheWebhookReviewsTheKindsOfTheTable(t *testing.T) {
	operations := map[calico.Review][]string{
		calico.ReviewNone: nil, calico.ReviewBGPFields: {"CREATE", "UPDATE", "DELETE"}, calico.ReviewAll: {"CREATE", "UPDATE", "DELETE"},
	}
	var want []string
	for _, info := range calico.Kinds() {
		want = append(want, cross(forms(info), []string{info.Resource}, operations[info.Review])...)
	}
	// Calico writes a Node through its status.
	want = append(want, "UPDATE nodes/status of v1")
	var got []string
	for _, webhook := range documents[admissionregistrationv1.ValidatingWebhookConfiguration](t, "webhook/validating_webhook.yaml")[0].Webhooks {
		if *webhook.ClientConfig.Service.Path != "/validate" { // The other webhook is for BGPPolicies.
			continue
		}
		for _, rule := range webhook.Rules {
			var versions, operations []string
			for _, group := range rule.APIGroups {
				for _, version := range rule.APIVersions {
					versions = append(versions, strings.TrimPrefix(group+"/"+version, "/"))
				}
			}
			for _, o := range rule.Operations {
				operations = append(operations, string(o))
			}
			got = append(got, cross(versions, rule.Resources, operations)...)
		}
	}
	slices.Sort(want)
	if !slices.Equal(slices.Sorted(slices.Values(got)), want) {
		t.Errorf("config/webhook reviews\n%s\nwant\n%s", strings.Join(slices.Sorted(slices.Values(got)), "\n"), strings.Join(want, "\n"))
	}
}

// The match condition of Nodes names the annotations that decide BGP.
func TestTheMatchConditionOfNodesNamesTheAnnotations(t *testing.T) {
	var names []string
	for _, annotation := range calico.NodeAnnotations {
		names = append(names, "'"+strings.TrimPrefix(annotation, "projectcalico.org/")+"'")
	}
	want := "[" + strings.Join(names, ", ") + "].exists(name,"
	for _, webhook := range documents[admissionregistrationv1.ValidatingWebhookConfiguration](t, "webhook/validating_webhook.yaml")[0].Webhooks {
		if webhook.Name != "nodes.bgpguard.io" {
			continue
		}
		if len(webhook.MatchConditions) != 1 || !strings.Contains(webhook.MatchConditions[0].Expression, want) {
			t.Errorf("the match conditions are %v, want one with %s", webhook.MatchConditions, want)
		}
	}
}

func TestTheRolesReadTheKindsOfTheTable(t *testing.T) {
	webhook := slices.Concat(documents[rbacv1.ClusterRole](t, "rbac/role.yaml")[:1], documents[rbacv1.ClusterRole](t, "components/secrets/role.yaml")[:1], documents[rbacv1.ClusterRole](t, "components/ipam/role.yaml")[:1])
	for name, roles := range map[string][]rbacv1.ClusterRole{
		"webhook": webhook,
		"serve":   documents[rbacv1.ClusterRole](t, "components/serve/rbac.yaml")[1:2], // After the ServiceAccount.
	} {
		t.Run(name, func(t *testing.T) {
			var want []string
			for _, info := range calico.Kinds() {
				if info.OptIn && name == "serve" { // Only the webhook has components for these kinds.
					continue
				}
				for _, version := range forms(info) {
					want = append(want, cross([]string{groupOf(version)}, []string{info.Resource}, []string{"list", "watch"})...)
				}
			}
			var got []string
			for _, role := range roles {
				for _, rule := range role.Rules {
					if slices.ContainsFunc(rule.APIGroups, func(g string) bool {
						return g == "" || strings.Contains(g, "projectcalico") || strings.Contains(g, "tigera")
					}) {
						got = append(got, cross(rule.APIGroups, rule.Resources, rule.Verbs)...)
					}
				}
			}
			slices.Sort(want)
			if !slices.Equal(slices.Sorted(slices.Values(got)), want) {
				t.Errorf("the roles allow\n%s\nwant\n%s", strings.Join(slices.Sorted(slices.Values(got)), "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

func TestABGPPolicyMatchesTheKindsThatAreReviewed(t *testing.T) {
	var want []string
	for _, info := range calico.Kinds() {
		if info.Review != calico.ReviewNone {
			want = append(want, string(info.Kind))
		}
	}
	slices.Sort(want)
	if got := slices.Sorted(slices.Values(policy.Kinds)); !slices.Equal(got, want) {
		t.Errorf("pkg/policy knows %q, want %q", got, want)
	}
	rego, err := os.ReadFile(filepath.Join("..", "..", "policies", "change_window", "change_window.rego"))
	if err != nil {
		t.Fatal(err)
	}
	if parameter := "enum: [" + strings.Join(want, ", ") + "]"; !bytes.Contains(rego, []byte(parameter)) {
		t.Errorf("the parameter changes of change-window has no %s", parameter)
	}
	crd := documents[apiextensionsv1.CustomResourceDefinition](t, "crd/policy.bgpguard.io_bgppolicies.yaml")[0]
	schema := crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
	match := schema.Properties["match"]
	kinds := match.Properties["kinds"]
	var got []string
	for _, value := range kinds.Items.Schema.Enum {
		got = append(got, strings.Trim(string(value.Raw), `"`))
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the CRD accepts %q, want %q", got, want)
	}
}

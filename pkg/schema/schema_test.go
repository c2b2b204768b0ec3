package schema_test

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/manifest"
	"github.com/bgpguard/bgpguard/pkg/schema"
)

// object returns the object of a text. "BGPPeer: spec" stands for an object of
// projectcalico.org/v3 with this spec.
func object(t testing.TB, text string) map[string]any {
	t.Helper()
	if text == "" {
		return nil
	}
	if kind, spec, ok := strings.Cut(text, ": "); ok && strings.HasPrefix(spec, "{") {
		text = "apiVersion: projectcalico.org/v3\nkind: " + kind + "\nmetadata: {name: x}\nspec: " + spec
	}
	docs, err := manifest.Parse("f.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return docs[0].Object
}

// problems returns one line for each problem.
func problems(t testing.TB, s *schema.Set, now, old map[string]any) string {
	t.Helper()
	found, err := s.Validate(t.Context(), now, old)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, p := range found {
		level := "error "
		if p.Warning {
			level = "warning "
		}
		out = append(out, level+p.String())
	}
	return strings.Join(out, "\n")
}

const lost = "; Calico v3.32 does not have it: kubectl apply rejects it, and other clients lose it, unless the cluster's Calico has it"

func TestValidate(t *testing.T) {
	s := schema.New()
	for name, c := range map[string]struct{ now, old, want string }{
		"a valid peer":   {"BGPPeer: {peerIP: 10.0.0.1, asNumber: 65000, keepaliveTime: 3s}", "", ""},
		"a valid filter": {"BGPFilter: {exportV4: [{action: Accept, cidr: 10.0.0.0/8, matchOperator: In, prefixLength: {min: 24}, operations: [{addCommunity: {value: '65535:1'}}]}]}", "", ""},
		"wrong types, all of them": {
			"BGPPeer: {peerIP: 10.0.0.1, asNumber: abc, keepaliveTime: 3, filters: x, password: []}", "",
			`error spec.asNumber: must be an integer, is the string "abc"
error spec.filters: must be a list, is the string "x"
error spec.keepaliveTime: must be a string, is the number 3
error spec.password: must be an object, is a list`,
		},
		"an AS number of 32 bits with the upper bit": {
			"BGPPeer: {peerIP: 10.0.0.1, asNumber: 4200000000}", "",
			"error spec.asNumber: must be in the range -2147483648 to 2147483647 of the schema's format int32, is the number 4200000000",
		},
		"a value that is not in the enumeration": {
			"BGPPeer: {peerIP: 10.0.0.1, nextHopMode: Me}", "",
			`error spec.nextHopMode: must be one of "Auto", "Self", "Keep", is the string "Me"`,
		},
		"a pattern": {
			"BGPConfiguration: {communities: [{name: x, value: none}], logSeverityScreen: Loud, listenPort: 0}", "",
			`error spec.communities[0].value: should match '^(\d+):(\d+)$|^(\d+):(\d+):(\d+)$', is the string "none"
error spec.listenPort: should be greater than or equal to 1, is the number 0
error spec.logSeverityScreen: should match '^(?i)(trace|debug|info|warning|error|fatal)?$', is the string "Loud"`,
		},
		"a community beyond 16 bits": {
			"BGPFilter: {importV6: [{action: Accept, operations: [{addCommunity: {value: '65536:1'}}]}]}", "", "*should match",
		},
		"unknown fields": {
			"BGPPeer: {peerIp: 10.0.0.1, keepAliveTime: 3s, holdTime: 4, nodeSelecter: all(), password: {secretKeyref: {}}}", "",
			`warning spec.holdTime: unknown field` + lost + `
warning spec.keepAliveTime: unknown field, did you mean keepaliveTime` + lost + `
warning spec.nodeSelecter: unknown field, did you mean nodeSelector` + lost + `
warning spec.password.secretKeyref: unknown field, did you mean secretKeyRef` + lost + `
warning spec.peerIp: unknown field, did you mean peerIP` + lost,
		},
		"the beginning of a name": {
			"BGPConfiguration: {nodeToNodeMesh: false}", "", "warning spec.nodeToNodeMesh: unknown field, did you mean nodeToNodeMeshEnabled" + lost,
		},
		"an unknown field in a list": {
			"BGPFilter: {exportV4: [{action: Accept, prefixlength: {}}]}", "",
			"warning spec.exportV4[0].prefixlength: unknown field, did you mean prefixLength" + lost,
		},
		"a field of the spec beside it": {
			"apiVersion: crd.projectcalico.org/v1\nkind: BGPPeer\nmetadata: {name: x}\nasNumber: 1\n", "",
			"warning asNumber: unknown field, did you mean spec.asNumber" + lost,
		},
		"an unknown field that the cluster has stored": {"BGPPeer: {peerIP: 10.0.0.2, x: 1}", "BGPPeer: {peerIP: 10.0.0.1, x: 2}", ""},
		"a CEL rule":                      {"BGPPeer: {peerIP: 10.0.0.1, peerSelector: all()}", "", "error spec: peerIP and peerSelector cannot both be set"},
		"a transition":                    {"IPPool: {cidr: 10.1.0.0/16}", "IPPool: {cidr: 10.0.0.0/16}", `error spec.cidr: cannot be changed: create a new IPPool and migrate to it, is the string "10.1.0.0/16"`},
		"an old error in the same place":  {"BGPPeer: {peerIP: 10.0.0.2, nextHopMode: Me}", "BGPPeer: {peerIP: 10.0.0.1, nextHopMode: Me}", ""},
		"an old error in another place":   {"BGPPeer: {nextHopMode: You}", "BGPPeer: {nextHopMode: Me}", `error spec.nextHopMode: must be one of "Auto", "Self", "Keep", is the string "You"`},
		"no spec in projectcalico.org/v3": {"apiVersion: projectcalico.org/v3\nkind: BGPPeer\nmetadata: {name: x}", "", "error spec: is missing"},
		"no spec in crd.projectcalico.org/v1": {
			"apiVersion: crd.projectcalico.org/v1\nkind: BGPPeer\nmetadata: {name: x}", "", "",
		},
		"service ranges as strings": {
			"BGPConfiguration: {serviceClusterIPs: [10.96.0.0/12], serviceExternalIPs: [{cidr: 10.0.0.1}]}", "",
			`error spec.serviceClusterIPs[0]: must be an object, is the string "10.96.0.0/12"; write cidr: 10.96.0.0/12
error spec.serviceExternalIPs[0].cidr: must be a CIDR such as 10.0.0.0/16, is the string "10.0.0.1"`,
		},
		"an item twice in a set": {"IPPool: {cidr: 10.0.0.0/8, allowedUses: [Tunnel, Tunnel]}", "", `error spec.allowedUses[1]: is in the list twice: the string "Tunnel"`},
		"null unsets":            {"BGPPeer: {peerIP: null, password: null}", "", ""},
		"ranges of ports":        {"FelixConfiguration: {natPortRange: '1:2', kubeNodePortRanges: [3, '4:5']}", "", ""},
		"labels of a Node": {
			"apiVersion: v1\nkind: Node\nmetadata: {name: a, labels: {rack: 1, ready: true}}", "",
			`error metadata.labels[rack]: must be a string, is the number 1; write it in quotes
error metadata.labels[ready]: must be a string, is the boolean true; write it in quotes`,
		},
		"malformed metadata": {
			"apiVersion: v1\nkind: Node\nmetadata: {name: N_, labels: {a/b/c: '1', b: 'a b'}, annotations: {'a b': x}, label: {}}", "",
			`error metadata.annotations[a b]: malformed key: name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character
warning metadata.label: unknown field, did you mean labels; kubectl apply rejects it, and other clients lose it
*malformed key: a valid label key`,
		},
		"labels of calicoctl's Node":      {"apiVersion: projectcalico.org/v3\nkind: Node\nmetadata: {name: a, labels: {rr: true}}", "", ""},
		"types of a Node":                 {"apiVersion: v1\nkind: Node\nmetadata: {name: a}\nspec: {taints: 1}", "", "error spec.taints: must be a list, is a number"},
		"unknown fields of a Node":        {"apiVersion: v1\nkind: Node\nmetadata: {name: a}\nspec: {podCIDRR: x}", "", "warning spec.podCIDRR: is not a field of a Node"},
		"an old label of a Node":          {"apiVersion: v1\nkind: Node\nmetadata: {name: N_, labels: {a: b}}", "apiVersion: v1\nkind: Node\nmetadata: {name: N_}", ""},
		"a name that YAML reads as false": {"apiVersion: v1\nkind: Node\nmetadata: {name: n}", "", "error metadata.name: must be a string, is the boolean false; write it in quotes"},
		"no metadata":                     {"apiVersion: v1\nkind: Node", "", "error metadata: must be an object with a name, is missing"},
		"no name":                         {"apiVersion: v1\nkind: Node\nmetadata: {}", "", "error metadata.name: is missing: name or generateName is required"},
		"another kind":                    {"apiVersion: v1\nkind: Secret\nmetadata: {name: x}\nx: y", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := problems(t, s, object(t, c.now), object(t, c.old))
			head, part, found := strings.Cut(c.want, "*") // Text after an asterisk is only a part.
			if !strings.HasPrefix(got, head) || !found && got != c.want || !strings.Contains(got, part) {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestOwnDefinitionsDecide(t *testing.T) {
	var definition apiextensionsv1.CustomResourceDefinition
	const text = `{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "x"}, "spec": {
		"group": "crd.projectcalico.org", "names": {"kind": "BGPPeer", "plural": "bgppeers"}, "scope": "Cluster", "versions": [{"name": "v1", "schema": {
		"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object", "properties": {"peerIP": {"type": "string"}}}}}}}]}}`
	if err := json.Unmarshal([]byte(text), &definition); err != nil {
		t.Fatal(err)
	}
	s := schema.New(definition)
	// Calico's own API server stores objects of projectcalico.org/v3 in the other group.
	for _, version := range []string{calico.APIVersionV1, calico.APIVersionV3} {
		o := object(t, "BGPPeer: {peerIp: x, asNumber: 1}")
		o["apiVersion"] = version
		const want = `error spec.asNumber: unknown field; kubectl apply rejects it, and other clients lose it
error spec.peerIp: unknown field, did you mean peerIP; kubectl apply rejects it, and other clients lose it`
		if got := problems(t, s, o, nil); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", version, got, want)
		}
	}
	if got := problems(t, s, object(t, "BGPFilter: {x: 1}"), nil); !strings.HasPrefix(got, "warning ") {
		t.Errorf("a kind without a definition of its own: got %s", got)
	}

	definition.Spec.PreserveUnknownFields = true
	o := object(t, "BGPPeer: {peerIp: x}")
	o["apiVersion"] = calico.APIVersionV1
	if got := problems(t, schema.New(definition), o, nil); got != "" {
		t.Errorf("with preserveUnknownFields: got %s", got)
	}
}

func TestDefinitionThatIsNoSchema(t *testing.T) {
	definition := apiextensionsv1.CustomResourceDefinition{Spec: apiextensionsv1.CustomResourceDefinitionSpec{
		Group: calico.GroupV3, Names: apiextensionsv1.CustomResourceDefinitionNames{Kind: "BGPPeer"},
		Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{Name: "v3", Schema: &apiextensionsv1.CustomResourceValidation{
			OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{Properties: map[string]apiextensionsv1.JSONSchemaProps{"spec": {}}},
		}}},
	}}
	_, err := schema.New(definition).Validate(t.Context(), object(t, "BGPPeer: {}"), nil)
	if err == nil || !strings.HasPrefix(err.Error(), "the schema of BGPPeer in projectcalico.org/v3: the schema is not structural: ") {
		t.Errorf("got %v", err)
	}
	for _, object := range []map[string]any{{}, {"apiVersion": "apiextensions.k8s.io/v1beta1"}, {"apiVersion": "apiextensions.k8s.io/v1", "spec": "x"}} {
		if _, err := schema.Definition(object); err == nil {
			t.Errorf("%v: no error", object)
		}
	}
}

func TestEveryKindIsEmbedded(t *testing.T) {
	definitions, err := schema.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for i := range definitions {
		spec := &definitions[i].Spec
		found[spec.Names.Kind+" "+spec.Group+"/"+spec.Versions[0].Name] = true
		if want := spec.Names.Plural + "." + spec.Group; definitions[i].Name != want || calico.Kind(spec.Names.Kind).Info().Resource != spec.Names.Plural {
			t.Errorf("%s: want the name %s and the resource of the table of kinds", definitions[i].Name, want)
		}
	}
	for _, kind := range calico.Kinds() {
		for _, version := range calico.APIVersions {
			if kind.Calico && !found[string(kind.Kind)+" "+version] {
				t.Errorf("no definition of %s in %s", kind.Kind, version)
			}
		}
	}
}

func TestValidateLeavesTheObjectAsItIs(t *testing.T) {
	o := object(t, "IPPool: {cidr: 10.0.0.0/16, x: 1, disabled: null}")
	before := runtime.DeepCopyJSON(o)
	problems(t, schema.New(), o, object(t, "IPPool: {cidr: 10.0.0.0/16, y: 1}"))
	if !reflect.DeepEqual(before, o) {
		t.Errorf("the object became %v", o)
	}
}

func TestValidateConcurrently(t *testing.T) {
	s := schema.New()
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() { _, _ = s.Validate(t.Context(), object(t, "BGPPeer: {peerIP: 10.0.0.1, peerSelector: x}"), nil) })
	}
	wait.Wait()
}

// BenchmarkFirstValidation measures what a check of one file costs in addition.
func BenchmarkFirstValidation(b *testing.B) {
	o := object(b, "BGPPeer: {peerIP: 10.0.0.1}")
	for b.Loop() {
		problems(b, schema.New(), o, nil)
	}
}

func BenchmarkValidate(b *testing.B) {
	s, o := schema.New(), object(b, "BGPPeer: {peerIP: 10.0.0.1, asNumber: 65000}")
	for b.Loop() {
		problems(b, s, o, nil)
	}
}

func FuzzValidate(f *testing.F) {
	s := schema.New()
	samples, err := os.ReadFile("../../config/samples/cluster.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for document := range strings.SplitSeq(string(samples), "\n---\n") {
		f.Add(document, document)
	}
	f.Add("apiVersion: projectcalico.org/v3\nkind: BGPPeer\nmetadata: []\nspec: [1]\n", "")
	f.Add("apiVersion: projectcalico.org/v3\nkind: BGPFilter\nmetadata: {labels: 3}\nspec: {exportV4: [[]]}\nx: "+strings.Repeat("[", 900)+strings.Repeat("]", 900), "")
	f.Fuzz(func(t *testing.T, now, old string) {
		objects, err := manifest.Parse("f.yaml", []byte(now))
		if err != nil {
			return
		}
		before, err := manifest.Parse("f.yaml", []byte(old))
		if err != nil {
			return
		}
		for _, o := range objects {
			olds := []map[string]any{nil}
			for _, b := range before {
				olds = append(olds, b.Object)
			}
			for _, b := range olds {
				found, err := s.Validate(t.Context(), o.Object, b)
				if err != nil {
					t.Fatal(err)
				}
				for _, p := range found {
					if p.Message == "" {
						t.Errorf("%s: no message", p.Field)
					}
					o.LineOf(p.Field)
				}
			}
			o.Tags()
		}
	})
}

package validate

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/schema"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// formed are values of fields whose texts have a form that no schema says.
var formed = map[string]any{
	"nodeMeshMaxRestartTime": "120s", "maxRestartTime": "120s", "keepaliveTime": "30s", "nodeSelector": "all()", "cidr": "10.0.0.0/8",
}

// filled returns a value with every field of a schema.
func filled(name string, s *apiextensionsv1.JSONSchemaProps) any {
	if v, ok := formed[name]; ok {
		return v
	}
	if len(s.Enum) > 0 {
		var v any
		if json.Unmarshal(s.Enum[0].Raw, &v) == nil {
			return v
		}
	}
	switch {
	case s.XIntOrString:
		return int64(1)
	case s.Type == "integer" || s.Type == "number":
		if s.Minimum != nil {
			return int64(*s.Minimum)
		}
		return int64(1)
	case s.Type == "boolean":
		return true
	case s.Type == "array":
		return []any{filled("", s.Items.Schema)}
	case s.Type == "object" && s.AdditionalProperties != nil:
		return map[string]any{"key": filled("", s.AdditionalProperties.Schema)}
	case s.Type == "object":
		out := map[string]any{}
		for field, properties := range s.Properties {
			out[field] = filled(field, &properties)
		}
		return out
	case s.Format == "cidr":
		return "10.0.0.0/8"
	default:
		return "text"
	}
}

// count returns the number of fields in a value.
func count(v any) int {
	n := 0
	switch v := v.(type) {
	case map[string]any:
		for _, field := range v {
			n += 1 + count(field)
		}
	case []any:
		for _, item := range v {
			n += count(item)
		}
	}
	return n
}

// Every field of the newest definitions of Calico reaches the policies, in both API groups, also
// fields that bgpguard does not read.
func TestEveryFieldOfTheNewestDefinitionsReachesPolicies(t *testing.T) {
	path := map[calico.Kind][]string{
		calico.KindBGPConfiguration: {"bgpConfigurations"}, calico.KindBGPPeer: {"bgpPeers"}, calico.KindIPPool: {"ipPools"},
		calico.KindFelixConfiguration: {"felixConfigurations"}, calico.KindBGPFilter: {"bgpFilters", "objects"},
		calico.KindClusterInformation: {"clusterInformations"},
	}
	// A cluster has as many of these as nodes: they are in data.state.
	data := map[calico.Kind]string{calico.KindIPAMBlock: "ipamBlocks", calico.KindCalicoNodeStatus: "calicoNodeStatuses"}
	// What changes with each pod that starts is not kept.
	dropped := map[calico.Kind][]string{calico.KindIPAMBlock: {"allocations", "attributes", "unallocated", "sequenceNumber", "sequenceNumberForAllocation"}}
	definitions, err := schema.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	// The numbers of fields that a definition has at least, against a definition that is not walked.
	least := map[calico.Kind]int{calico.KindBGPConfiguration: 20, calico.KindBGPPeer: 20, calico.KindIPPool: 10, calico.KindFelixConfiguration: 150, calico.KindBGPFilter: 70,
		calico.KindClusterInformation: 4, calico.KindIPAMBlock: 8, calico.KindCalicoNodeStatus: 3}
	seen := 0
	for _, d := range definitions {
		kind := calico.Kind(d.Spec.Names.Kind)
		if path[kind] == nil && data[kind] == "" {
			t.Errorf("%s does not reach policies", kind)
			continue
		}
		seen++
		t.Run(d.Name, func(t *testing.T) {
			properties := d.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
			spec, ok := filled("", &properties).(map[string]any)
			if n := count(spec); !ok || n < least[kind] {
				t.Fatalf("%d fields in %v", n, spec)
			}
			document := map[string]any{
				"apiVersion": d.Spec.Group + "/" + d.Spec.Versions[0].Name, "kind": string(kind), "metadata": map[string]any{"name": calico.Default}, "spec": spec,
			}
			o := calicotest.Decode(t, document)
			s := state.New(append(calicotest.Nodes(t, 2), o)...)
			engine := NewEngine(policy.NewSet(nil))
			plain := func(v ast.Value) any {
				t.Helper()
				out, err := ast.JSON(v)
				if err != nil {
					t.Fatal(err)
				}
				return out
			}
			input := func(r Request) (input, data any) {
				t.Helper()
				value, all, err := engine.Input(t.Context(), s, r)
				if err != nil {
					t.Fatal(err)
				}
				return plain(value), plain(all)
			}
			at := func(v any, steps ...string) any {
				for _, step := range steps {
					fields, _ := v.(map[string]any)
					v = fields[step]
				}
				return v
			}
			whole, objects := input(Request{})
			if part := data[kind]; part != "" {
				for _, field := range dropped[kind] {
					if _, ok := spec[field]; !ok {
						t.Errorf("the definition has no %s", field)
					}
					delete(spec, field)
				}
				sameJSON(t, "data.state", at(objects, part, "objects", calico.Default, "spec"), spec)
				return
			}
			sameJSON(t, "input.state", at(whole, append(append([]string{"state"}, path[kind]...), calico.Default, "spec")...), spec)
			change, _ := input(Request{Change: state.Change{Before: o}})
			sameJSON(t, "input.change.oldObject", at(change, "change", "oldObject", "spec"), spec)
			sameJSON(t, "input.before", at(change, append(append([]string{"before"}, path[kind]...), calico.Default, "spec")...), spec)
		})
	}
	if seen != 2*(len(path)+len(data)) {
		t.Errorf("%d definitions", seen)
	}
}

// sameJSON compares two values as JSON.
func sameJSON(t *testing.T, where string, got, want any) {
	t.Helper()
	plain := func(v any) any {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var out any
		decoder := json.NewDecoder(strings.NewReader(string(text)))
		decoder.UseNumber()
		if err := decoder.Decode(&out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	if a, b := plain(got), plain(want); !reflect.DeepEqual(a, b) {
		t.Errorf("%s has\n%v\nwant\n%v", where, a, b)
	}
}

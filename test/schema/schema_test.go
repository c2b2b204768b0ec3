//go:build system

// Package schema compares pkg/schema with a real API server.
package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	apischema "k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/cluster"
	"github.com/bgpguard/bgpguard/pkg/manifest"
	"github.com/bgpguard/bgpguard/pkg/schema"
	"github.com/bgpguard/bgpguard/test/env"
)

// valid are objects that both accept, by kind. Mutations begin with them.
const valid = `
BGPPeer: {nodeSelector: all(), peerIP: "10.0.0.1:179", asNumber: 65000, maxRestartTime: 30s, filters: [a, b], password: {secretKeyRef: {name: s, key: k}}, numAllowedLocalASNumbers: 2, ttlSecurity: 1, sourceAddress: None, nextHopMode: Self}
BGPConfiguration: {asNumber: 64512, nodeToNodeMeshEnabled: true, logSeverityScreen: Info, listenPort: 179, bindMode: NodeIP, serviceClusterIPs: [{cidr: 10.96.0.0/12}], communities: [{name: a, value: "1:2"}], prefixAdvertisements: [{cidr: 10.0.0.0/8, communities: [a]}], nodeMeshMaxRestartTime: 60s, ignoredInterfaces: [eth1]}
BGPFilter: {exportV4: [{action: Accept, cidr: 10.0.0.0/8, matchOperator: In, prefixLength: {min: 16, max: 24}}, {action: Reject}], importV6: [{action: Reject, source: RemotePeers, interface: eth0}]}
IPPool: {cidr: 10.244.0.0/16, blockSize: 26, ipipMode: Never, vxlanMode: CrossSubnet, natOutgoing: true, nodeSelector: all(), allowedUses: [Workload, Tunnel], disabled: false}
FelixConfiguration: {logSeverityScreen: Info, ipipEnabled: false, vxlanMTU: 1450, routeTableRanges: [{min: 10, max: 20}], failsafeInboundHostPorts: [{protocol: TCP, port: 22}], iptablesBackend: Auto}
`

// handwritten are objects that a user could write. A server that does not serve the kind gets none.
var handwritten = []string{
	"BGPPeer: {peerIP: 10.0.0.1, asNumber: 2147483647}",
	"BGPPeer: {peerIP: 10.0.0.1, asNumber: 2147483648}",
	"BGPPeer: {peerIP: 10.0.0.1, asNumber: 4200000000}",
	"BGPPeer: {peerIP: 10.0.0.1, asNumber: -1}",
	"BGPPeer: {peerIP: 10.0.0.1, asNumber: '65000'}",
	"BGPPeer: {peerIP: 10.0.0.1, asNumber: 65000.0}",
	"BGPPeer: {peerIP: 10.0.0.1, asNumber: 65000.5}",
	"BGPPeer: {peerIP: 10.0.0.1, nodeSelecter: all()}",
	"BGPPeer: {peerIP: 10.0.0.1, peerSelector: all()}",
	"BGPPeer: {node: a, nodeSelector: all(), peerIP: 10.0.0.1}",
	"BGPPeer: {node: '', nodeSelector: all(), peerIP: 10.0.0.1}",
	"BGPPeer: {peerSelector: all(), asNumber: 1}",
	"BGPPeer: {peerSelector: all(), asNumber: 0}",
	"BGPPeer: {localWorkloadSelector: all()}",
	"BGPPeer: {localWorkloadSelector: all(), asNumber: 3}",
	"BGPPeer: {reversePeering: Never}",
	"BGPPeer: {peerIP: null, password: null}",
	"BGPPeer: {password: {secretKeyRef: {name: s}}}",
	"BGPPeer: {}",
	"BGPConfiguration: {serviceClusterIPs: [10.96.0.0/12]}",
	"BGPConfiguration: {serviceClusterIPs: [{cidr: 10.96.0.1}]}",
	"BGPConfiguration: {serviceClusterIPs: 10.96.0.0/12}",
	"BGPConfiguration: {nodeToNodeMeshEnabled: 'false'}",
	"BGPConfiguration: {nodeToNodeMeshEnabled: false, nodeMeshMaxRestartTime: 60s}",
	"BGPConfiguration: {listenPort: 70000}",
	"BGPConfiguration: {communities: [{name: a, value: b}]}",
	"BGPConfiguration: {logSeverityScreen: loud}",
	"BGPFilter: {exportV4: [{cidr: 10.0.0.0/8}]}",
	"BGPFilter: {exportV4: [{action: Accept, cidr: 10.0.0.0/8}]}",
	"BGPFilter: {exportV4: [{action: Accept, prefixLength: {min: 40}}]}",
	"BGPFilter: {exportV4: [{action: accept}]}",
	"BGPFilter: {importV4: [{action: Reject, operations: [{setPriority: {value: 3}}]}]}",
	"BGPFilter: {importV4: [{action: Accept, operations: [{setPriority: {value: 0}}]}]}",
	"IPPool: {cidr: 10.0.0.0/16, ipipMode: Always, vxlanMode: Always}",
	"IPPool: {cidr: 'fd00::/48', ipipMode: Always}",
	"IPPool: {cidr: 10.0.0.0/16, ipipMode: Sometimes}",
	"IPPool: {cidr: 10.0.0.0}",
	"IPPool: {cidr: 10.0.0.0/16, allowedUses: [LoadBalancer, Tunnel]}",
	"IPPool: {cidr: 10.0.0.0/16, allowedUses: [Tunnel, Tunnel]}",
	"FelixConfiguration: {natPortRange: 30000, kubeNodePortRanges: ['1:2', 3]}",
	"FelixConfiguration: {routeTableRange: {min: 1, max: 2}, routeTableRanges: []}",
}

// mutations is the number of mutations of each valid object.
const mutations = 30

func TestAsTheAPIServer(t *testing.T) {
	t.Run("embedded definitions", func(t *testing.T) {
		definitions, err := schema.Embedded()
		if err != nil {
			t.Fatal(err)
		}
		e := env.StartForTest(t, env.Options{})
		install(t, e, definitions)
		compare(t, e.Config, schema.New())
	})
	t.Run("definitions of a cluster", func(t *testing.T) {
		e := env.StartForTest(t, env.Options{Groups: []env.Group{env.GroupV1, env.GroupV3}})
		objects, err := cluster.ReadDefinitions(t.Context(), e.Config)
		if err != nil {
			t.Fatal(err)
		}
		var definitions []apiextensionsv1.CustomResourceDefinition
		for _, object := range objects {
			d, err := schema.Definition(object)
			if err != nil {
				t.Fatal(err)
			}
			definitions = append(definitions, *d)
		}
		if len(definitions) < len(calico.Kinds()) {
			t.Fatalf("read %d definitions", len(definitions))
		}
		compare(t, e.Config, schema.New(definitions...))
		t.Run("kubectl", func(t *testing.T) { kubectl(t, e) })
	})
}

// install installs definitions and waits until they are served.
func install(t *testing.T, e *env.Environment, definitions []apiextensionsv1.CustomResourceDefinition) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "crds.json")
	text, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "List", "items": definitions})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"create", "-f", file}, {"wait", "--for=condition=Established", "--timeout=60s", "-f", file},
	} {
		result, err := e.Admin.Run(t.Context(), args...)
		if err := errors.Join(err, result.Err()); err != nil {
			t.Fatal(err)
		}
	}
}

// server validates objects by dry runs.
type server struct{ dynamic.Interface }

func resource(object map[string]any) apischema.GroupVersionResource {
	gv, _ := apischema.ParseGroupVersion(object["apiVersion"].(string))
	return gv.WithResource(calico.Kind(object["kind"].(string)).Info().Resource)
}

// validate returns the error for an object, for a new one or an update. strict rejects unknown
// fields, as kubectl asks for.
func (s server) validate(t *testing.T, object, old map[string]any, strict bool) error {
	t.Helper()
	validation := metav1.FieldValidationIgnore
	if strict {
		validation = metav1.FieldValidationStrict
	}
	u := &unstructured.Unstructured{Object: runtime.DeepCopyJSON(object)}
	var err error
	if old == nil {
		_, err = s.Resource(resource(object)).Create(t.Context(), u, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldValidation: validation})
	} else {
		_, err = s.Resource(resource(object)).Update(t.Context(), u, metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}, FieldValidation: validation})
	}
	if err != nil && !apierrors.IsInvalid(err) && !apierrors.IsBadRequest(err) {
		t.Fatalf("%v: %v", object, err)
	}
	return err
}

// compare compares what the API server and pkg/schema say about many objects of both groups.
func compare(t *testing.T, config *rest.Config, set *schema.Set) {
	t.Helper()
	config = rest.CopyConfig(config)
	config.QPS, config.WarningHandler = -1, rest.NoWarnings{}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	s := server{client}
	var specs map[string]map[string]any
	if err := yaml.Unmarshal([]byte(valid), &specs); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(13, 1))
	count, accepted := 0, 0
	check := func(object, old map[string]any) {
		count++
		problems, err := set.Validate(t.Context(), object, old)
		if err != nil {
			t.Fatal(err)
		}
		unknown := func(p schema.Problem) bool { return strings.HasPrefix(p.Message, "unknown field") }
		rejected := slices.ContainsFunc(problems, func(p schema.Problem) bool { return !unknown(p) })
		lenient, strict := s.validate(t, object, old, false), s.validate(t, object, old, true)
		if (lenient != nil) != rejected || (strict != nil) != (len(problems) > 0) {
			text, _ := json.Marshal(object) //nolint:errchkjson // It was read from JSON.
			t.Errorf("%s, update %v:\nbgpguard: %v\nAPI server: %v\nstrict: %v", text, old != nil, problems, lenient, strict)
		}
		if len(problems) == 0 {
			accepted++
		}
		if lenient == nil {
			return
		}
		found := map[string]bool{}
		for _, p := range problems {
			found[p.Field] = true
		}
		if status, ok := errors.AsType[*apierrors.StatusError](lenient); ok && status.ErrStatus.Details != nil {
			for _, cause := range status.ErrStatus.Details.Causes {
				if field := cause.Field; field != "<nil>" && !found[field] {
					t.Errorf("the API server rejects %s: %s\nbgpguard: %v", field, cause.Message, problems)
				}
			}
		}
	}
	for _, version := range calico.APIVersions {
		serves := func(kind string) bool {
			_, err := s.Resource(resource(map[string]any{"apiVersion": version, "kind": kind})).List(t.Context(), metav1.ListOptions{})
			return !apierrors.IsNotFound(err)
		}
		for _, text := range handwritten {
			kind, spec, _ := strings.Cut(text, ": ")
			if !serves(kind) {
				continue
			}
			docs, err := manifest.Parse("", fmt.Appendf(nil, "apiVersion: %s\nkind: %s\nmetadata: {name: x}\nspec: %s\n", version, kind, spec))
			if err != nil {
				t.Fatal(err)
			}
			check(docs[0].Object, nil)
		}
		for _, kind := range slices.Sorted(maps.Keys(specs)) {
			if !serves(kind) {
				continue
			}
			base := integers(map[string]any{"apiVersion": version, "kind": kind, "metadata": map[string]any{"name": "base"}, "spec": specs[kind]}).(map[string]any)
			stored, err := s.Resource(resource(base)).Create(t.Context(), &unstructured.Unstructured{Object: runtime.DeepCopyJSON(base)}, metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			for range mutations {
				mutated := runtime.DeepCopyJSON(base)
				for range 1 + random.IntN(2) {
					mutate(random, mutated["spec"].(map[string]any))
				}
				update := runtime.DeepCopyJSON(stored.Object)
				update["spec"] = runtime.DeepCopyJSONValue(mutated["spec"])
				check(update, stored.Object)
				mutated["metadata"] = map[string]any{"name": "new"}
				check(mutated, nil)
			}
		}
	}
	t.Logf("%d objects, %d of them without problems", count, accepted)
}

// integers returns a value with whole numbers as pkg/manifest reads them.
func integers(value any) any {
	switch v := value.(type) {
	case map[string]any:
		out := map[string]any{}
		for key, item := range v {
			out[key] = integers(item)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = integers(item)
		}
		return out
	case float64:
		if v == float64(int64(v)) {
			return int64(v)
		}
	}
	return value
}

// values are what a field may become.
var values = []any{
	"", "x", "10.0.0.0/8", "Always", "true", int64(0), int64(-1), int64(7), int64(100000), int64(2147483648), int64(4294967296), 1.5, true, false,
	nil, []any{}, []any{"x"}, []any{int64(1)}, map[string]any{}, map[string]any{"x": "y"}, strings.Repeat("a", 5000),
}

// mutate changes one field of an object or of something in it.
func mutate(random *rand.Rand, object map[string]any) {
	keys := slices.Sorted(maps.Keys(object))
	if len(keys) == 0 {
		object["x"] = "y"
		return
	}
	key := keys[random.IntN(len(keys))]
	if random.IntN(2) == 0 { // Deeper, where that is possible.
		if nested, ok := object[key].(map[string]any); ok {
			mutate(random, nested)
			return
		}
		if list, ok := object[key].([]any); ok && len(list) > 0 {
			if nested, ok := list[random.IntN(len(list))].(map[string]any); ok {
				mutate(random, nested)
				return
			}
			object[key] = append(slices.Clone(list), list[0])
			return
		}
	}
	switch random.IntN(6) {
	case 0:
		delete(object, key)
	case 1: // A slip of the pen.
		object[key[:len(key)-1]+"x"] = object[key]
		delete(object, key)
	case 2:
		object["extra"] = values[random.IntN(len(values))]
	default:
		value := values[random.IntN(len(values))]
		if reflect.TypeOf(value) == reflect.TypeOf(object[key]) && random.IntN(2) == 0 {
			value = []any{value}
		}
		object[key] = runtime.DeepCopyJSONValue(value)
	}
}

// kubectl runs the real kubectl, whose default is --validate=strict.
func kubectl(t *testing.T, e *env.Environment) {
	const misspelt = "apiVersion: projectcalico.org/v3\nkind: BGPPeer\nmetadata: {name: k}\nspec: {peerIP: 10.0.0.1, nodeSelecter: all()}\n"
	const right = "apiVersion: projectcalico.org/v3\nkind: BGPPeer\nmetadata: {name: k}\nspec: {peerIP: 10.0.0.1, nodeSelector: all()}\n"
	const unknown = `strict decoding error: unknown field "spec.nodeSelecter"`
	apply := func(input string, args ...string) env.Result {
		t.Helper()
		result, err := e.Admin.RunWithInput(t.Context(), input, append([]string{"apply", "-f", "-"}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
	if r := apply(misspelt); r.ExitCode == 0 || !strings.Contains(r.Stderr, unknown) {
		t.Errorf("a new object: %s", r)
	}
	if r := apply(right); r.ExitCode != 0 {
		t.Errorf("a valid object: %s", r)
	}
	if r := apply(misspelt); r.ExitCode == 0 || !strings.Contains(r.Stderr, unknown) {
		t.Errorf("an update: %s", r)
	}
	if r := apply(misspelt, "--validate=ignore"); r.ExitCode != 0 {
		t.Errorf("without validation: %s", r)
	}
}

package apply_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/bgpguard/bgpguard/pkg/apply"
	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/manifest"
)

func document(t *testing.T, text string) map[string]any {
	t.Helper()
	docs, err := manifest.Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return docs[0].Object
}

func decode(t *testing.T, text string) calico.Object {
	t.Helper()
	if text == "" {
		return nil
	}
	o, err := calico.Decode(document(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// parts returns the labels, annotations, spec and status of an object as JSON values, without
// the annotation of kubectl.
func parts(t *testing.T, o calico.Object) map[string]any {
	t.Helper()
	text, err := json.Marshal(calico.Manifest(o))
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	out := map[string]any{}
	meta, _ := m["metadata"].(map[string]any)
	for key, v := range map[string]any{"labels": meta["labels"], "annotations": meta["annotations"], "spec": m["spec"], "status": m["status"]} {
		values, _ := v.(map[string]any)
		delete(values, "kubectl.kubernetes.io/last-applied-configuration")
		if len(values) > 0 {
			out[key] = values
		}
	}
	return out
}

const node = `
apiVersion: v1
kind: Node
metadata:
  name: a
  labels: {kubernetes.io/hostname: a, rack: r1}
  annotations: {projectcalico.org/IPv4Address: 10.0.0.1/24, projectcalico.org/labels: '{"own":"1"}'}
spec: {podCIDR: 10.1.0.0/24}
status: {conditions: [{type: Ready, status: "True"}], addresses: [{type: InternalIP, address: 10.0.0.1}]}
`

func TestApply(t *testing.T) {
	// last returns a document with the annotation of "kubectl apply".
	last := func(before, applied string) string {
		d := document(t, before)
		text, err := json.Marshal(document(t, applied))
		if err != nil {
			t.Fatal(err)
		}
		meta := d["metadata"].(map[string]any)
		meta["annotations"] = map[string]any{"kubectl.kubernetes.io/last-applied-configuration": string(text)}
		out, err := yaml.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	const (
		peer    = "apiVersion: projectcalico.org/v3\nkind: BGPPeer\nmetadata: {name: p}\n"
		peerV1  = "apiVersion: crd.projectcalico.org/v1\nkind: BGPPeer\nmetadata: {name: p}\n"
		config  = "apiVersion: projectcalico.org/v3\nkind: BGPConfiguration\nmetadata: {name: default}\n"
		wrapped = `
apiVersion: crd.projectcalico.org/v1
kind: BGPPeer
metadata:
  name: p
  annotations:
    projectcalico.org/metadata: '{"labels":{"team":"net"},"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{\"spec\":{\"keepOriginalNextHop\":true}}"}}'
spec: {peerIP: 10.0.0.9, asNumber: 64512, keepOriginalNextHop: true}
`
	)
	for _, test := range []struct{ name, before, document, want string }{
		{
			"new object", "", peer + "spec: {peerIP: 10.0.0.9}", "spec: {peerIP: 10.0.0.9}",
		},
		{
			"without the annotation, fields are kept",
			config + "spec: {asNumber: 64512, serviceClusterIPs: [{cidr: 10.96.0.0/12}]}", config + "spec: {nodeToNodeMeshEnabled: false}",
			"spec: {asNumber: 64512, nodeToNodeMeshEnabled: false, serviceClusterIPs: [{cidr: 10.96.0.0/12}]}",
		},
		{
			"a list is replaced",
			config + "spec: {serviceClusterIPs: [{cidr: 10.96.0.0/12}, {cidr: 10.97.0.0/16}]}", config + "spec: {serviceClusterIPs: [{cidr: 10.98.0.0/16}]}",
			"spec: {serviceClusterIPs: [{cidr: 10.98.0.0/16}]}",
		},
		{
			"null removes a field", config + "spec: {asNumber: 64512, nodeToNodeMeshEnabled: true}", config + "spec: {asNumber: null}", "spec: {nodeToNodeMeshEnabled: true}",
		},
		{
			"a field of the last apply is removed, a patched one is kept",
			last(peer+"spec: {nodeSelector: rack == 'a', peerSelector: has(rr), keepOriginalNextHop: true}", peer+"spec: {peerSelector: has(rr), keepOriginalNextHop: true}"),
			peer + "spec: {peerSelector: has(rr)}",
			"spec: {nodeSelector: rack == 'a', peerSelector: has(rr)}",
		},
		{
			"an object that Calico's API server stored",
			wrapped, peer + "spec: {peerIP: 10.0.0.9}", "{labels: {team: net}, spec: {peerIP: 10.0.0.9, asNumber: 64512}}",
		},
		{
			"the same through its CRD, which has no last apply",
			wrapped, peerV1 + "spec: {peerIP: 10.0.0.9}", "{labels: {team: net}, spec: {peerIP: 10.0.0.9, asNumber: 64512, keepOriginalNextHop: true}}",
		},
		{
			"a Node with one label",
			node, "{apiVersion: v1, kind: Node, metadata: {name: a, labels: {team: net}}}",
			`{labels: {kubernetes.io/hostname: a, rack: r1, team: net}, annotations: {projectcalico.org/IPv4Address: 10.0.0.1/24, projectcalico.org/labels: '{"own":"1"}'},
spec: {podCIDR: 10.1.0.0/24}, status: {conditions: [{type: Ready, status: "True"}], addresses: [{type: InternalIP, address: 10.0.0.1}]}}`,
		},
		{
			"the status of a Node is a subresource",
			node, "{apiVersion: v1, kind: Node, metadata: {name: a}, status: {conditions: [{type: Ready, status: Unknown}]}}",
			`{labels: {kubernetes.io/hostname: a, rack: r1}, annotations: {projectcalico.org/IPv4Address: 10.0.0.1/24, projectcalico.org/labels: '{"own":"1"}'},
spec: {podCIDR: 10.1.0.0/24}, status: {conditions: [{type: Ready, status: "True"}], addresses: [{type: InternalIP, address: 10.0.0.1}]}}`,
		},
		{
			"calicoctl's Node keeps the labels of Kubernetes and replaces its own",
			node, `{apiVersion: projectcalico.org/v3, kind: Node, metadata: {name: a, labels: {rack: r2, new: "2", kubernetes.io/hostname: a},
annotations: {projectcalico.org/kube-labels: '{"kubernetes.io/hostname":"a"}'}}, spec: {bgp: {ipv4Address: 10.0.0.2/24, asNumber: 64513}}}`,
			`{labels: {kubernetes.io/hostname: a, rack: r1}, annotations: {projectcalico.org/IPv4Address: 10.0.0.2/24, projectcalico.org/ASNumber: "64513",
projectcalico.org/labels: '{"new":"2","rack":"r2"}'}, spec: {podCIDR: 10.1.0.0/24}, status: {conditions: [{type: Ready, status: "True"}], addresses: [{type: InternalIP, address: 10.0.0.1}]}}`,
		},
		{
			"calicoctl's Node without spec.bgp removes the addresses",
			node, "{apiVersion: projectcalico.org/v3, kind: Node, metadata: {name: a}}",
			`{labels: {kubernetes.io/hostname: a, rack: r1}, spec: {podCIDR: 10.1.0.0/24}, status: {conditions: [{type: Ready, status: "True"}], addresses: [{type: InternalIP, address: 10.0.0.1}]}}`,
		},
		{
			"both in calicoctl's form",
			`{apiVersion: projectcalico.org/v3, kind: Node, metadata: {name: a, labels: {rack: r1, own: "1"}, annotations: {projectcalico.org/kube-labels: '{"rack":"r1"}'}}, spec: {bgp: {ipv4Address: 10.0.0.1/24}}}`,
			`{apiVersion: projectcalico.org/v3, kind: Node, metadata: {name: a}, spec: {bgp: {ipv4Address: 10.0.0.1/24}}}`,
			"{labels: {rack: r1}, annotations: {projectcalico.org/IPv4Address: 10.0.0.1/24}}",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := document(t, test.document)
			o, err := apply.Apply(decode(t, test.before), in)
			if err != nil {
				t.Fatal(err)
			}
			if again := document(t, test.document); !reflect.DeepEqual(in, again) {
				t.Errorf("Apply changed the document: %v, was %v", in, again)
			}
			want := map[string]any{}
			if err := yaml.Unmarshal([]byte(test.want), &want); err != nil {
				t.Fatal(err)
			}
			if got := parts(t, o); !reflect.DeepEqual(got, want) {
				t.Errorf("got  %v\nwant %v", got, want)
			}
		})
	}
}

func TestApplyTwice(t *testing.T) {
	const peer = "apiVersion: projectcalico.org/v3\nkind: BGPPeer\nmetadata: {name: p}\n"
	o := decode(t, peer+"spec: {peerIP: 10.0.0.9}")
	for _, text := range []string{"spec: {keepOriginalNextHop: true}", "spec: {asNumber: 64513}"} {
		var err error
		if o, err = apply.Apply(o, document(t, peer+text)); err != nil {
			t.Fatal(err)
		}
	}
	spec, _ := parts(t, o)["spec"].(map[string]any)
	if want := map[string]any{"peerIP": "10.0.0.9", "asNumber": 64513.0}; !reflect.DeepEqual(spec, want) {
		t.Errorf("got %v, want %v: the second apply removes what the first one had", spec, want)
	}
}

func TestReplace(t *testing.T) {
	o, err := apply.Replace(decode(t, node), document(t, "{apiVersion: v1, kind: Node, metadata: {name: a, labels: {team: net}}}"))
	if err != nil {
		t.Fatal(err)
	}
	got := parts(t, o)
	if got["status"] == nil || got["annotations"] != nil || !reflect.DeepEqual(got["labels"], map[string]any{"team": "net"}) {
		t.Errorf("got %v, want the new label, the old status and nothing else", got)
	}
}

func TestGeneration(t *testing.T) {
	const pool = "apiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata: {name: p, generation: 3}\n"
	before := decode(t, pool+"spec: {cidr: 10.244.0.0/16}")
	for spec, want := range map[string]int64{"spec: {cidr: 10.244.0.0/16}": 3, "spec: {disabled: true}": 4} {
		o, err := apply.Apply(before, document(t, pool+spec))
		if err != nil {
			t.Fatal(err)
		}
		meta, _ := calico.Manifest(o)["metadata"].(map[string]any)
		if meta["generation"] != want {
			t.Errorf("%s: generation %v, want %d", spec, meta["generation"], want)
		}
	}
}

func TestPatch(t *testing.T) {
	o, err := apply.Patch(decode(t, node), map[string]any{"metadata": map[string]any{"labels": map[string]any{"rack": nil, "team": "net"}}})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := parts(t, o)["labels"], map[string]any{"kubernetes.io/hostname": "a", "team": "net"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	_, err = apply.Patch(decode(t, node), map[string]any{"metadata": map[string]any{"name": "b"}})
	if err == nil || !strings.Contains(err.Error(), "must not change the kind or the name, gives Node b") {
		t.Errorf("got %v, want an error of the name", err)
	}
}

func TestSecret(t *testing.T) {
	before := decode(t, "{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: kube-system}, data: {a: eA==}}")
	o, err := apply.Apply(before, document(t, "{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: kube-system}, stringData: {b: x}}"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := o.(*calico.Secret).Keys, []string{"a", "b"}; !reflect.DeepEqual(got, want) {
		t.Errorf("keys %v, want %v", got, want)
	}
}

func TestPatchMerges(t *testing.T) {
	for _, c := range []struct{ target, patch, want string }{ // RFC 7386, appendix A
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":"foo"}`, `{"a":{"b":{"c":null}}}`, `{"a":{"b":{}}}`},
		{`{"e":null}`, `{"a":1}`, `{"a":1,"e":null}`},
	} {
		t.Run(c.target+" and "+c.patch, func(t *testing.T) {
			var target, patch calicotest.Spec
			for text, v := range map[string]*calicotest.Spec{c.target: &target, c.patch: &patch} {
				if err := json.Unmarshal([]byte(text), v); err != nil {
					t.Fatal(err)
				}
			}
			after, err := apply.Patch(calicotest.Object(t, calico.KindBGPFilter, "f", target), calicotest.Spec{"spec": patch})
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.Marshal(after.(*calico.BGPFilter).Spec)
			if err != nil || string(got) != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// What the first "kubectl apply" had and the second one does not have is removed, also without
// an annotation in the files.
func TestApplyRemembersNewObjects(t *testing.T) {
	first := "{apiVersion: projectcalico.org/v3, kind: BGPPeer, metadata: {name: p}, spec: {peerIP: 10.0.0.9, keepOriginalNextHop: true}}"
	second := "{apiVersion: projectcalico.org/v3, kind: BGPPeer, metadata: {name: p}, spec: {peerIP: 10.0.0.9}}"
	before, err := apply.Apply(nil, document(t, first))
	if err != nil {
		t.Fatal(err)
	}
	after, err := apply.Apply(before, document(t, second))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := parts(t, after), parts(t, decode(t, second)); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestPatchStatus(t *testing.T) {
	before := decode(t, node)
	after, err := apply.PatchStatus(before, document(t, `{apiVersion: v1, kind: Node, metadata: {labels: {a: b}, name: x, deletionTimestamp: 2026-01-02T03:04:05Z},
spec: {podCIDR: 10.9.0.0/24}, status: {conditions: [{type: Ready, status: Unknown}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := parts(t, before)
	want["labels"].(map[string]any)["a"] = "b"
	want["status"].(map[string]any)["conditions"] = []any{map[string]any{"type": "Ready", "status": "Unknown"}}
	if got := parts(t, after); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
	if n, ok := after.(*calico.Node); !ok || n.Name != "a" || !n.NotReady || n.DeletionTimestamp != "" {
		t.Errorf("got %+v", after)
	}
}

// A merge keeps a value that Calico cannot decode, and an object that does not exist must not have one.
func TestStoredValuesThatCalicoCannotDecode(t *testing.T) {
	document := func(spec map[string]any) map[string]any {
		return calicotest.Document(t, calico.KindBGPConfiguration, calico.Default, spec)
	}
	before, err := calico.DecodeStored(document(map[string]any{"nodeMeshMaxRestartTime": "2 minutes"}))
	if err != nil {
		t.Fatal(err)
	}
	after, err := apply.Apply(before, document(map[string]any{"nodeToNodeMeshEnabled": false}))
	if c, ok := after.(*calico.BGPConfiguration); err != nil || !ok || c.MeshEnabled() || len(calico.Odd(after)) != 1 {
		t.Errorf("applied: %v, error %v", after, err)
	}
	if after, err = apply.Apply(before, document(map[string]any{"nodeMeshMaxRestartTime": "120s"})); err != nil || len(calico.Odd(after)) > 0 {
		t.Errorf("fixed: %v, error %v", after, err)
	}
	if _, err = apply.Patch(before, map[string]any{"spec": map[string]any{"listenPort": int64(70000)}}); err == nil || err.Error() != "spec.listenPort: must be a whole number from 0 to 65535, is 70000" {
		t.Errorf("another one: error %v", err)
	}
	if _, err = apply.Apply(nil, document(map[string]any{"nodeMeshMaxRestartTime": "2 minutes"})); err == nil {
		t.Error("a new object has one")
	}
}

// An update keeps the time of creation of a FelixConfiguration, which decides between several.
func TestAFelixConfigurationKeepsItsAge(t *testing.T) {
	const at = "2026-01-01T00:00:00Z"
	document := func() map[string]any {
		return calicotest.Document(t, calico.KindFelixConfiguration, "racks", map[string]any{"nodeSelector": "has(rack)"})
	}
	old := document()
	old["metadata"] = map[string]any{"name": "racks", "creationTimestamp": at}
	for name, change := range map[string]func(before calico.Object, document map[string]any) (calico.Object, error){"apply": apply.Apply, "replace": apply.Replace} {
		after, err := change(calicotest.Decode(t, old), document())
		if c, ok := after.(*calico.FelixConfiguration); err != nil || !ok || c.Created != at {
			t.Errorf("%s: %+v, error %v", name, after, err)
		}
	}
}

// An API server rejects a write that names another version of the object, or another object.
func TestOtherVersionsAreRejected(t *testing.T) {
	const old = "{apiVersion: projectcalico.org/v3, kind: BGPPeer, metadata: {name: p, resourceVersion: '7', uid: b}, spec: {peerIP: 10.0.0.9}}"
	const bare = "{apiVersion: projectcalico.org/v3, kind: BGPPeer, metadata: {name: p}, spec: {peerIP: 10.0.0.9}}"
	for metadata, want := range map[string]string{
		"name: p":                               "",
		"name: p, resourceVersion: '7', uid: b": "",
		"name: p, resourceVersion: '6'":         `metadata.resourceVersion: is "6", and that of the object in the state is "7": the object was changed since, so the API server rejects the change; remove the field`,
		"name: p, resourceVersion: '7', uid: a": `metadata.uid: is "a", and that of the object in the state is "b": another object had this name, so the API server rejects the change; remove the field`,
	} {
		text := "{apiVersion: projectcalico.org/v3, kind: BGPPeer, metadata: {" + metadata + "}, spec: {peerIP: 10.0.0.8}}"
		for name, change := range map[string]func(calico.Object, map[string]any) (calico.Object, error){"apply": apply.Apply, "replace": apply.Replace, "patch": apply.Patch} {
			after, err := change(decode(t, old), document(t, text))
			if err == nil && want == "" {
				meta, _ := calico.Manifest(after)["metadata"].(map[string]any)
				if meta["uid"] != "b" || meta["resourceVersion"] != nil {
					t.Errorf("%s of %s: stored as %v", name, metadata, meta)
				}
			} else if err == nil || err.Error() != want {
				t.Errorf("%s of %s: error %v, want %q", name, metadata, err, want)
			}
			if _, err := change(decode(t, bare), document(t, text)); err != nil {
				t.Errorf("%s of %s to an object without a version: %v", name, metadata, err)
			}
		}
		after, err := apply.Apply(nil, document(t, text))
		if meta, _ := calico.Manifest(after)["metadata"].(map[string]any); err != nil || meta["uid"] != nil || meta["resourceVersion"] != nil {
			t.Errorf("new object with %s: %v, error %v", metadata, meta, err)
		}
	}
}

// An API server rejects a patch that removes the version of a custom resource, as "kubectl apply" does if the last one had it.
func TestAVersionThatTheLastApplyHadIsRemoved(t *testing.T) {
	of := func(apiVersion, kind string) (before, after string) {
		const last = `kubectl.kubernetes.io/last-applied-configuration: '{"metadata":{"name":"p","resourceVersion":"6"}}'`
		head := "{apiVersion: " + apiVersion + ", kind: " + kind + ", metadata: {name: p"
		return head + ", resourceVersion: '7', annotations: {" + last + "}}}", head + ", labels: {a: b}}}"
	}
	before, after := of("projectcalico.org/v3", "BGPPeer")
	const want = `metadata.resourceVersion: is removed, because the last "kubectl apply" had it, and the API server rejects the change without it; run "kubectl apply set-last-applied -f FILE" first, or "kubectl replace"`
	if _, err := apply.Apply(decode(t, before), document(t, after)); err == nil || err.Error() != want {
		t.Errorf("apply: error %v, want %s", err, want)
	}
	if _, err := apply.Replace(decode(t, before), document(t, after)); err != nil {
		t.Errorf("replace: %v", err)
	}
	before, after = of("v1", "Node")
	if _, err := apply.Apply(decode(t, before), document(t, after)); err != nil {
		t.Errorf("apply of a Node: %v", err)
	}
}

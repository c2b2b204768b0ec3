//go:build system

package e2e

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/bgpguard/bgpguard/pkg/apply"
	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/manifest"
	"github.com/bgpguard/bgpguard/test/env"
)

// stored returns what the API server has of an object: its labels and annotations, without
// the one of kubectl, and its spec, as JSON values; nil if there is no object.
func stored(t *testing.T, o calico.Object) map[string]any {
	t.Helper()
	if o == nil {
		return nil
	}
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
	for key, value := range map[string]any{"labels": meta["labels"], "annotations": meta["annotations"], "spec": m["spec"]} {
		values, _ := value.(map[string]any)
		delete(values, "serviceLoadBalancerAggregation") // The CRD has a default for it.
		delete(values, "kubectl.kubernetes.io/last-applied-configuration")
		if len(values) > 0 {
			out[key] = values
		}
	}
	return out
}

// bgpguard check computes the object that the API server has after "kubectl apply", "kubectl replace", "kubectl label",
// "kubectl annotate" and "kubectl patch" of the same files, whatever kubectl did to the object before.
func TestFilesAreAppliedAsKubectlDoes(t *testing.T) {
	t.Parallel()
	const (
		peer      = "{apiVersion: %s, kind: BGPPeer, metadata: {name: p, labels: {%s}, annotations: {%s}}, spec: {%s}}"
		defaults  = "{apiVersion: %s, kind: BGPConfiguration, metadata: {name: default}, spec: {%s}}"
		node      = "{apiVersion: v1, kind: Node, metadata: {name: node-a, labels: {%s}, annotations: {%s}}%s}"
		clusterIP = "serviceClusterIPs: [{cidr: 10.96.0.0/12}]"
	)
	planes := map[env.Group]plane{}
	for _, group := range []env.Group{env.GroupV1, env.GroupV3} {
		planes[group] = plane{startEnvironment(t, env.Options{Groups: []env.Group{group}})}
	}
	type step struct{ command, text string } // text is the file or the patch, "" for a label or an annotation.
	for name, steps := range map[string][]step{
		"a field that the file no longer has is removed": {
			{"apply -f -", fmt.Sprintf(peer, "%s", "a: '1', b: '2'", "", "nodeSelector: all(), peerIP: 172.16.0.1, asNumber: 65000")},
			{"apply -f -", fmt.Sprintf(peer, "%s", "b: '3'", "note: one", "peerIP: 172.16.0.1, asNumber: 65001")},
			{"apply -f -", fmt.Sprintf(peer, "%s", "", "", "peerIP: 172.16.0.2, asNumber: 65001")},
		},
		"a field of a patch is kept": {
			{"apply -f -", fmt.Sprintf(peer, "%s", "", "", "peerSelector: has(rr)")},
			{"patch --type=merge", `{"spec": {"nodeSelector": "rack == 'a'"}}`},
			{"apply -f -", fmt.Sprintf(peer, "%s", "", "", "peerSelector: has(reflector)")},
		},
		"an object that was created, not applied": {
			{"create -f -", fmt.Sprintf(defaults, "%s", "asNumber: 64512, nodeToNodeMeshEnabled: true, "+clusterIP)},
			{"apply -f -", fmt.Sprintf(defaults, "%s", "nodeToNodeMeshEnabled: false")},
			{"apply -f -", fmt.Sprintf(defaults, "%s", "listenPort: 178")},
		},
		"lists are replaced": {
			{"apply -f -", fmt.Sprintf(defaults, "%s", "serviceClusterIPs: [{cidr: 10.96.0.0/12}, {cidr: 10.112.0.0/12}], nodeMeshMaxRestartTime: 60s")},
			{"apply -f -", fmt.Sprintf(defaults, "%s", "serviceClusterIPs: [{cidr: 10.128.0.0/12}]")},
		},
		"null removes a field": {
			{"create -f -", fmt.Sprintf(defaults, "%s", "asNumber: 64512, nodeToNodeMeshEnabled: false")},
			{"apply -f -", fmt.Sprintf(defaults, "%s", "nodeToNodeMeshEnabled: null")},
		},
		"a replaced object has what the file has": {
			{"create -f -", fmt.Sprintf(peer, "%s", "a: '1'", "note: one", "nodeSelector: all(), peerIP: 172.16.0.1, asNumber: 65000")},
			{"replace -f -", fmt.Sprintf(peer, "%s", "b: '2'", "", "peerIP: 172.16.0.1, asNumber: 65000")},
		},
		"a Node keeps labels that the file does not name": {
			{"create -f -", fmt.Sprintf(node, "kubernetes.io/hostname: node-a, rack: a", "projectcalico.org/IPv4Address: 10.0.0.1/24", ", spec: {podCIDR: 10.1.0.0/24, podCIDRs: [10.1.0.0/24]}")},
			{"apply -f -", fmt.Sprintf(node, "team: net", "", "")},
			{"apply -f -", fmt.Sprintf(node, "team: core, rack: b", "projectcalico.org/RouteReflectorClusterID: 244.0.0.1", ", spec: {taints: [{key: a, effect: NoSchedule}]}")},
			{"apply -f -", fmt.Sprintf(node, "rack: b", "", ", spec: {taints: [{key: b, effect: NoSchedule}]}")},
		},
		"labels and annotations": {
			{"create -f -", fmt.Sprintf(node, "rack: a, old: x", "projectcalico.org/IPv4Address: 10.0.0.1/24", "")},
			{"label", "rack=b rr=true old-"},
			{"annotate", "projectcalico.org/RouteReflectorClusterID=244.0.0.1"},
			{"annotate", "projectcalico.org/RouteReflectorClusterID-"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			for group, e := range planes {
				t.Run(string(group), func(t *testing.T) {
					target := targetOf(t, strings.Replace(steps[0].text, "%s", group.APIVersion(), 1))
					defer e.kubectl(t, "", append([]string{"delete"}, target...)...)
					for _, s := range steps {
						text := strings.Replace(s.text, "%s", group.APIVersion(), 1)
						if s.command == "create -f -" { // The start of a sequence.
							e.write(t, s.command, text, target)
							continue
						}
						before := e.read(t, target)
						want, err := wanted(t, before, s.command, text)
						if err != nil {
							t.Fatal(err)
						}
						e.write(t, s.command, text, target)
						if got := e.read(t, target); !reflect.DeepEqual(stored(t, got), stored(t, want)) {
							t.Fatalf("%s of %s\n       to %v:\nbgpguard:   %v\nAPI server: %v", s.command, text, stored(t, before), stored(t, want), stored(t, got))
						}
					}
				})
			}
		})
	}
}

// bgpguard check rejects the files that kubectl fails to send because they name another version of the object, or
// another object of the same name, and accepts the others.
func TestFilesOfOtherVersionsAreRejectedAsByTheAPIServer(t *testing.T) {
	t.Parallel()
	const (
		other = "7c2f7d3e-5f0e-4a55-9d5e-000000000001" // a uid
		peer  = "{apiVersion: %s, kind: BGPPeer, metadata: {name: p%s}, spec: {peerIP: 172.16.0.%d, asNumber: 65000}}"
		node  = "{apiVersion: %s, kind: Node, metadata: {name: node-a%s, labels: {rack: r%d}}}"
	)
	e := plane{startEnvironment(t, env.Options{Groups: []env.Group{env.GroupV3}})}
	for name, one := range map[string]struct{ file, version string }{
		"BGPPeer": {peer, calico.APIVersionV3}, "Node": {node, "v1"},
	} {
		t.Run(name, func(t *testing.T) {
			count := 0
			file := func(metadata string) string { // Each one changes the object.
				count++
				return fmt.Sprintf(one.file, one.version, metadata, count)
			}
			target := targetOf(t, file(""))
			e.kubectl(t, file(""), "create", "-f", "-")
			metadata := func(field string) string {
				return strings.TrimSpace(e.kubectl(t, "", append([]string{"get", "-o", "jsonpath={.metadata." + field + "}"}, target...)...))
			}
			first := metadata("resourceVersion")
			e.kubectl(t, file(""), "apply", "-f", "-")
			for _, command := range []string{"apply -f -", "replace -f -", "patch --type=merge"} {
				for _, c := range []struct {
					what   string
					fields func() string
				}{
					{"neither", func() string { return "" }},
					{"the version", func() string { return fmt.Sprintf(", resourceVersion: %q", metadata("resourceVersion")) }},
					{"no version after one", func() string { return "" }},
					{"the version again", func() string { return fmt.Sprintf(", resourceVersion: %q", metadata("resourceVersion")) }},
					{"an old version", func() string { return fmt.Sprintf(", resourceVersion: %q", first) }},
					{"the version and the uid", func() string {
						return fmt.Sprintf(", resourceVersion: %q, uid: %s", metadata("resourceVersion"), metadata("uid"))
					}},
					{"the version and another uid", func() string {
						return fmt.Sprintf(", resourceVersion: %q, uid: %s", metadata("resourceVersion"), other)
					}},
				} {
					t.Run(command+" with "+c.what, func(t *testing.T) {
						text := file(c.fields())
						if strings.HasPrefix(command, "patch") {
							converted, err := yaml.YAMLToJSON([]byte(text))
							if err != nil {
								t.Fatal(err)
							}
							text = string(converted)
						}
						_, predicted := wanted(t, e.read(t, target), command, text)
						result := e.send(t, command, text, target)
						if (predicted != nil) != (result.ExitCode != 0) {
							t.Errorf("bgpguard: %v\nAPI server: %s", predicted, result)
						}
					})
				}
			}
			old := file(fmt.Sprintf(", resourceVersion: %q, uid: %s", first, other))
			e.kubectl(t, old, "delete", "-f", "-")
			for _, verb := range []string{"apply", "create"} {
				if result := e.send(t, verb+" -f -", old, target); result.ExitCode != 0 {
					t.Errorf("%s of a new object with a version: %s", verb, result)
				}
				e.kubectl(t, "", append([]string{"delete"}, target...)...)
			}
		})
	}
}

// plane is a control plane without a webhook.
type plane struct{ *env.Environment }

// kubectl runs kubectl and returns its output.
func (e plane) kubectl(t *testing.T, input string, arguments ...string) string {
	t.Helper()
	result, err := e.Admin.RunWithInput(t.Context(), input, arguments...)
	if err == nil {
		err = result.Err()
	}
	if err != nil {
		t.Fatal(err)
	}
	return result.Stdout
}

// targetOf returns the resource and the name of a file's object, as arguments of kubectl.
func targetOf(t *testing.T, text string) []string {
	t.Helper()
	var o struct {
		APIVersion, Kind string
		Metadata         struct{ Name string }
	}
	if err := yaml.Unmarshal([]byte(text), &o); err != nil {
		t.Fatal(err)
	}
	resource := calico.Kind(o.Kind).Info().Resource
	if group, _, ok := strings.Cut(o.APIVersion, "/"); ok {
		resource += "." + group
	}
	return []string{resource, o.Metadata.Name}
}

// read returns an object of the API server, nil if there is none.
func (e plane) read(t *testing.T, target []string) calico.Object {
	t.Helper()
	text := e.kubectl(t, "", append([]string{"get", "--ignore-not-found", "-o", "json"}, target...)...)
	if strings.TrimSpace(text) == "" {
		return nil
	}
	o, err := calico.DecodeJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// write runs a command of kubectl, which must succeed.
func (e plane) write(t *testing.T, command, text string, target []string) {
	t.Helper()
	if result := e.send(t, command, text, target); result.ExitCode != 0 {
		t.Fatal(result)
	}
}

// send runs a command of kubectl.
func (e plane) send(t *testing.T, command, text string, target []string) env.Result {
	t.Helper()
	arguments := strings.Fields(command)
	switch arguments[0] {
	case "label", "annotate":
		arguments = append(append(arguments, "--overwrite"), append(target, strings.Fields(text)...)...)
		text = ""
	case "patch":
		arguments = append(append(arguments, target...), "-p", text)
		text = ""
	}
	result, err := e.Admin.RunWithInput(t.Context(), text, arguments...)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// wanted returns what bgpguard expects of a command.
func wanted(t *testing.T, before calico.Object, command, text string) (calico.Object, error) {
	t.Helper()
	verb := strings.Fields(command)[0]
	var document map[string]any
	switch verb {
	case "label", "annotate":
		values := map[string]any{}
		for word := range strings.FieldsSeq(text) {
			key, value, set := strings.Cut(word, "=")
			if values[strings.TrimSuffix(key, "-")] = nil; set {
				values[key] = value
			}
		}
		document = map[string]any{"metadata": map[string]any{map[string]string{"label": "labels", "annotate": "annotations"}[verb]: values}}
		verb = "patch"
	case "patch":
		if err := json.Unmarshal([]byte(text), &document); err != nil {
			t.Fatal(err)
		}
	default:
		files, err := manifest.Parse("file", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		document = files[0].Object
	}
	switch verb {
	case "patch":
		return apply.Patch(before, document)
	case "replace":
		return apply.Replace(before, document)
	default:
		return apply.Apply(before, document)
	}
}

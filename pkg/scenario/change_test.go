package scenario

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/manifest"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// objectsAfter reads a scenario and makes the changes of its steps, all of which are allowed. It
// calls each, if it is not nil, with each change as admission reviews it.
func objectsAfter(t *testing.T, text string, each func(state.Change)) objects {
	t.Helper()
	docs, err := manifest.Parse("s.yaml", []byte("apiVersion: policy.bgpguard.io/v1alpha1\nkind: Scenario\nmetadata: {name: s}\n"+text))
	if err != nil {
		t.Fatal(err)
	}
	s, err := read(docs[0])
	if err != nil {
		t.Fatal(err)
	}
	present := s.present()
	for i := range s.Steps {
		for j := range max(1, len(s.Steps[i].documents)) {
			c, err := s.change(i, j, present)
			if err != nil {
				t.Fatal(err)
			}
			if each != nil {
				each(c)
			}
			if c, err = s.stored(i, c); err != nil {
				t.Fatal(err)
			}
			present.apply(c)
		}
	}
	return present
}

// stateAfter is objectsAfter with a line for each reviewed change and for each object that
// remains.
func stateAfter(t *testing.T, text string) string {
	t.Helper()
	var out strings.Builder
	present := objectsAfter(t, text, func(c state.Change) {
		fmt.Fprintf(&out, "%s of %s, reviewed: %t\n", c.Operation(), shown(c.After, c.Before), reviewed(c))
	})
	for _, o := range present {
		fmt.Fprintln(&out, shown(o))
	}
	return out.String()
}

// shown describes the first object that is not nil.
func shown(objects ...calico.Object) string {
	o := objects[0]
	if o == nil {
		o = objects[1]
	}
	out := o.ID().String()
	if list := finalizers(metadata(o)); len(list) > 0 {
		out += fmt.Sprint(" with ", list)
	}
	if at := metadata(o)["deletionTimestamp"]; at != nil {
		out += fmt.Sprint(" deleted at ", at)
	}
	if n, ok := o.(*calico.Node); ok && n.NotReady {
		out += " not ready"
	}
	return out
}

func TestStepsChangeTheStateAsAnAPIServerDoes(t *testing.T) {
	const peer, node = "{apiVersion: projectcalico.org/v3, kind: BGPPeer, metadata: {name: p}}", "{apiVersion: v1, kind: Node, metadata: {name: w}}"
	const peerWith = "{apiVersion: projectcalico.org/v3, kind: BGPPeer, metadata: {name: p, finalizers: [a/b]}}"
	const now = "now: 2026-01-02T03:04:05Z\n"
	patch := func(kind, name, merge string) string {
		return fmt.Sprintf("- {name: s, patch: {kind: %s, name: %s, merge: %s}}\n", kind, name, merge)
	}
	for name, c := range map[string]struct{ text, want string }{
		"a delete": {
			"state: [" + peer + "]\nsteps:\n- {name: s, delete: {kind: BGPPeer, name: p}}\n",
			"DELETE of BGPPeer p, reviewed: true\n",
		},
		"a delete of an object with finalizers": {
			now + "state: [" + peerWith + "]\nsteps:\n- {name: s, delete: {kind: BGPPeer, name: p}}\n- {name: s, delete: {kind: BGPPeer, name: p}}\n",
			"DELETE of BGPPeer p with [a/b], reviewed: true\nDELETE of BGPPeer p with [a/b] deleted at 2026-01-02T03:04:05Z, reviewed: true\n" +
				"BGPPeer p with [a/b] deleted at 2026-01-02T03:04:05Z\n",
		},
		"its finalizers are removed": {
			now + "state: [" + peerWith + "]\nsteps:\n- {name: s, delete: {kind: BGPPeer, name: p}}\n" + patch("BGPPeer", "p", "{metadata: {finalizers: null}}"),
			"DELETE of BGPPeer p with [a/b], reviewed: true\nUPDATE of BGPPeer p deleted at 2026-01-02T03:04:05Z, reviewed: true\n",
		},
		"a delete in the foreground": {
			now + "state: [" + peer + "]\nsteps:\n- {name: s, delete: {kind: BGPPeer, name: p, cascade: foreground}}\n",
			"DELETE of BGPPeer p, reviewed: true\nBGPPeer p with [foregroundDeletion] deleted at 2026-01-02T03:04:05Z\n",
		},
		"nobody sets or removes a deletionTimestamp": {
			now + "state: [" + peerWith + "]\nsteps:\n" + patch("BGPPeer", "p", "{metadata: {deletionTimestamp: 2020-01-01T00:00:00Z}}") +
				"- {name: s, delete: {kind: BGPPeer, name: p}}\n" + patch("BGPPeer", "p", "{metadata: {deletionTimestamp: null}}") + "- {name: s, apply: " + peer + "}\n",
			"UPDATE of BGPPeer p with [a/b], reviewed: true\nDELETE of BGPPeer p with [a/b], reviewed: true\n" +
				strings.Repeat("UPDATE of BGPPeer p with [a/b] deleted at 2026-01-02T03:04:05Z, reviewed: true\n", 2) +
				"BGPPeer p with [a/b] deleted at 2026-01-02T03:04:05Z\n",
		},
		"an object is not created terminating": {
			"steps:\n- {name: s, apply: {apiVersion: v1, kind: Node, metadata: {name: w, deletionTimestamp: 2020-01-01T00:00:00Z}}}\n",
			"CREATE of Node w, reviewed: false\nNode w\n",
		},
		"finalizers are removed from an object that stays": {
			"state: [" + peerWith + "]\nsteps:\n" + patch("BGPPeer", "p", "{metadata: {finalizers: null}}"),
			"UPDATE of BGPPeer p, reviewed: true\nBGPPeer p\n",
		},
		"the status of a Node": {
			"state: [" + node + "]\nsteps:\n" + patch("Node", "w", `{status: {conditions: [{type: Ready, status: "False"}]}}`) + patch("Node", "w", "{metadata: {labels: {a: b}}}") +
				"- {name: s, apply: " + node + "}\n" + "- {name: s, apply: {apiVersion: projectcalico.org/v3, kind: Node, metadata: {name: w}}}\n",
			"UPDATE of Node w not ready, reviewed: false\nUPDATE of Node w not ready, reviewed: true\n" +
				strings.Repeat("UPDATE of Node w not ready, reviewed: false\n", 2) + "Node w not ready\n",
		},
		"a Node with BGP settings": {
			"steps:\n- {name: s, apply: {nodes: {count: 2, prefix: w, ipv4: 10.0.0.0/24, notReady: true}}}\n- {name: s, delete: {kind: Node, name: w1}}\n",
			"CREATE of Node w1 not ready, reviewed: true\nCREATE of Node w2 not ready, reviewed: true\nDELETE of Node w1 not ready, reviewed: true\nNode w2 not ready\n",
		},
		"what admission does not review": {
			"steps:\n- {name: s, apply: {apiVersion: projectcalico.org/v3, kind: ClusterInformation, metadata: {name: default}}}\n",
			"CREATE of ClusterInformation default, reviewed: false\nClusterInformation default\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := stateAfter(t, c.text); got != c.want {
				t.Errorf("got\n%swant\n%s", got, c.want)
			}
		})
	}
}

// TestAppliesADirectoryInOrder applies two files, of which the first is denied.
func TestAppliesADirectoryInOrder(t *testing.T) {
	const scenario = `apiVersion: policy.bgpguard.io/v1alpha1
kind: Scenario
metadata: {name: directory}
state:
- nodes: {count: 3, prefix: w, ipv4: 10.0.0.0/24}
steps:
- name: mesh off before there are route reflectors
  apply: {file: objects}
  expect: {allowed: ALLOWED, policies: [reachability-preserved, route-reflectors-required]}
- name: the second file was applied
  delete: {kind: BGPPeer, name: b}
  expect: {allowed: true}
`
	text := strings.Replace(scenario, "ALLOWED", "false", 1)
	scenarios, err := load(t, strings.Replace(text, "file: objects", "nodes: {count: 1, prefix: x}", 1))
	if err != nil || len(scenarios[0].Applied(0)) != 1 {
		t.Fatal(err)
	}
	for name, object := range map[string]string{
		"a.yaml": "apiVersion: projectcalico.org/v3\nkind: BGPConfiguration\nmetadata: {name: default}\nspec: {nodeToNodeMeshEnabled: false}\n",
		"b.yaml": "apiVersion: projectcalico.org/v3\nkind: BGPPeer\nmetadata: {name: b}\nspec: {nodeSelector: has(x), peerSelector: has(x)}\n",
	} {
		if err := os.MkdirAll("objects", 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join("objects", name), []byte(object), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile("s.yaml", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if scenarios, err = Load([]string{"s.yaml"}); err != nil {
		t.Fatal(err)
	}
	library, err := policy.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	r, err := Run(t.Context(), scenarios[0], library)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := WriteText(&out, []*Result{r}); err != nil || out.String() != "PASS: scenario directory (2 steps)\n" {
		t.Errorf("error %v\n%s", err, out.String())
	}
}

// The fields that a manifest does not have stay, except those that the last step that applied
// the object had.
func TestAppliesPartialManifests(t *testing.T) {
	config := func(spec string) string {
		return "{apiVersion: projectcalico.org/v3, kind: BGPConfiguration, metadata: {name: default}, spec: " + spec + "}"
	}
	present := objectsAfter(t, "state:\n- "+config("{asNumber: 64513, listenPort: 1179}")+
		"\n- {apiVersion: v1, kind: Node, metadata: {name: w, labels: {a: b}, annotations: {projectcalico.org/IPv4Address: 10.0.0.1/24}}}\n"+
		"steps:\n- {name: s, apply: "+config("{nodeToNodeMeshEnabled: false, listenPort: 179}")+"}\n- {name: s, apply: "+config("{nodeToNodeMeshEnabled: false}")+"}\n"+
		"- {name: s, apply: {apiVersion: v1, kind: Node, metadata: {name: w, labels: {c: d}}}}\n", nil)
	spec := present[calico.ID{Kind: calico.KindBGPConfiguration, Name: calico.Default}].(*calico.BGPConfiguration).Spec
	if want := map[string]any{"asNumber": int64(64513), "nodeToNodeMeshEnabled": false}; !reflect.DeepEqual(spec, want) {
		t.Errorf("got %v, want %v", spec, want)
	}
	n := present[calico.ID{Kind: calico.KindNode, Name: "w"}].(*calico.Node)
	if len(n.Labels) != 2 || !n.SpeaksBGP(calico.IPv4) {
		t.Errorf("got %+v, want both labels and the address", n)
	}
}

func TestAReviewedChangeNeedsAnExpectation(t *testing.T) {
	before, _, _ := strings.Cut(good, "  expect:")
	scenarios, err := load(t, before)
	if err != nil {
		t.Fatal(err)
	}
	library, err := policy.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	_, err = Run(t.Context(), scenarios[0], library)
	if want := "s.yaml:8: steps[0].expect: is missing, and admission reviews the change of Node x"; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestGenerationsCountChangesOfTheSpec(t *testing.T) {
	pool := func(fields string) string {
		return "{apiVersion: projectcalico.org/v3, kind: IPPool, metadata: {name: p" + fields + "}, spec: {cidr: 10.0.0.0/16}}"
	}
	patch := func(merge string) string {
		return "- {name: s, patch: {kind: IPPool, name: p, merge: " + merge + "}}\n"
	}
	for name, c := range map[string]struct {
		text string
		want int64
	}{
		"an object of the state":               {"state: [" + pool("") + "]\nsteps:\n" + patch("{metadata: {labels: {a: b}}}"), 1},
		"an object of the state that knows it": {"state: [" + pool(", generation: 7") + "]\nsteps:\n" + patch("{spec: {disabled: true}}"), 8},
		"a new object":                         {"steps:\n- {name: s, apply: " + pool("") + "}\n", 1},
		"an object that is applied again":      {"steps:\n- {name: s, apply: " + pool("") + "}\n- {name: s, apply: " + pool("") + "}\n", 1},
		"two changes of the spec":              {"state: [" + pool("") + "]\nsteps:\n" + patch("{spec: {disabled: true}}") + patch("{spec: {disabled: false}}"), 3},
	} {
		t.Run(name, func(t *testing.T) {
			present := objectsAfter(t, c.text, nil)
			got := metadata(present[calico.ID{Kind: calico.KindIPPool, Name: "p"}])["generation"]
			if got != c.want {
				t.Errorf("got %v, want %d", got, c.want)
			}
		})
	}
}

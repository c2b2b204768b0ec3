//go:build system

package bird

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology"
	"github.com/bgpguard/bgpguard/pkg/topology/topologytest"
)

// spec is the spec of an object, or a part of one.
type spec = calicotest.Spec

// object is an object of a state.
type object struct {
	kind   calico.Kind
	name   string
	spec   spec
	tweaks []calicotest.Tweak
}

// node returns node-N, N from 1 to 255, with the address 10.192.0.N and the tweaks applied.
func node(n int, tweaks ...calicotest.Tweak) object {
	address := calicotest.IPv4(fmt.Sprintf("10.192.0.%d/16", n))
	return object{kind: calico.KindNode, name: fmt.Sprintf("node-%d", n), tweaks: append([]calicotest.Tweak{address}, tweaks...)}
}

// nodes returns the nodes from first to last, each with the same tweaks.
func nodes(first, last int, tweaks ...calicotest.Tweak) []object {
	var list []object
	for n := first; n <= last; n++ {
		list = append(list, node(n, tweaks...))
	}
	return list
}

// Tweaks of a Node.
var (
	label     = calicotest.Label
	asNumber  = calicotest.ASNumber
	clusterID = calicotest.RouteReflector
)

// dualStack adds the address fd00:192::N to node-N.
func dualStack(document map[string]any) {
	n := strings.TrimPrefix(document["metadata"].(map[string]any)["name"].(string), "node-")
	calicotest.IPv6("fd00:192::" + n + "/64")(document)
}

// ipv6Only replaces the address of node-N with fd00:192::N.
func ipv6Only(document map[string]any) {
	dualStack(document)
	calicotest.BGP("ipv4Address", nil)(document)
}

func peer(name string, s spec) object { return object{kind: calico.KindBGPPeer, name: name, spec: s} }

func configuration(s spec) object {
	return object{kind: calico.KindBGPConfiguration, name: calico.Default, spec: s}
}

func noMesh() object { return configuration(spec{"nodeToNodeMeshEnabled": false}) }

func listensOn(n, port int) object {
	return object{kind: calico.KindBGPConfiguration, name: fmt.Sprintf("node.node-%d", n), spec: spec{"listenPort": port}}
}

func version(text string) object {
	return object{kind: calico.KindClusterInformation, name: calico.Default, spec: spec{"calicoVersion": text}}
}

// secret returns a reference to the password in a Secret.
func secret(name string) spec {
	return spec{"secretKeyRef": spec{"name": name, "key": "password"}}
}

// objects joins objects and lists of objects into one list.
func objects(parts ...any) []object {
	var list []object
	for _, p := range parts {
		switch p := p.(type) {
		case object:
			list = append(list, p)
		case []object:
			list = append(list, p...)
		}
	}
	return list
}

// world is a state and its prediction.
type world struct {
	documents []map[string]any
	snapshot  *state.Snapshot
	topology  *topology.Topology
	nodes     []Node
	want      map[Speaker]View
}

// newWorld computes the topology of objects.
func newWorld(t *testing.T, list []object) *world {
	t.Helper()
	w := &world{}
	var decoded []calico.Object
	for _, o := range list {
		document := calicotest.Document(t, o.kind, o.name, o.spec, o.tweaks...)
		w.documents = append(w.documents, document)
		decoded = append(decoded, calicotest.Decode(t, document))
	}
	w.snapshot = state.New(decoded...)
	w.topology = topologytest.Compute(t, w.snapshot, nil)
	w.nodes = Nodes(w.snapshot, w.topology)
	w.predict(t)
	return w
}

// predict sets the prediction.
func (w *world) predict(t *testing.T) {
	t.Helper()
	var err error
	if w.want, err = Predict(t.Context(), w.snapshot, w.topology, w.nodes); err != nil {
		t.Fatal(err)
	}
}

// addRouters adds routers that play the external peers.
func (w *world) addRouters(t *testing.T) {
	t.Helper()
	w.nodes = append(w.nodes, Routers(w.nodes)...)
	w.predict(t)
}

// awaitRoutes fails the test unless the nodes and routers of c receive the predicted routes with the predicted attributes.
func (w *world) awaitRoutes(t *testing.T, c *Cluster) {
	t.Helper()
	want, err := Expect(t.Context(), w.snapshot, w.topology, w.nodes)
	if err != nil {
		t.Fatal(err)
	}
	var wrong []string
	for deadline := time.Now().Add(settleAge); ; time.Sleep(pollInterval) {
		seen, err := c.Received(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		wrong = nil
		for s, one := range want {
			for _, line := range one.Differences(seen[s]) {
				wrong = append(wrong, fmt.Sprintf("%s, %s: %s", s.Node, s.Family, line))
			}
		}
		if len(wrong) == 0 {
			return
		}
		if time.Now().After(deadline) {
			break
		}
	}
	slices.Sort(wrong)
	t.Errorf("routes differ from the prediction:\n%s\n\nthe state:\n%s", strings.Join(wrong, "\n"), w.yaml())
}

// yaml returns the state, to reproduce a failure with `bgpguard topology -f FILE`.
func (w *world) yaml() string {
	var b strings.Builder
	for _, document := range w.documents {
		text, err := yaml.Marshal(document)
		if err != nil {
			text = []byte(err.Error())
		}
		fmt.Fprintf(&b, "---\n%s", text)
	}
	return b.String()
}

// await fails the test unless c converges to the prediction.
func (w *world) await(t *testing.T, c *Cluster) {
	t.Helper()
	rejected := c.Rejected()
	for _, n := range w.topology.Frozen() {
		for _, f := range calico.Families {
			if s := (Speaker{n.Node, f}); n.Family == f.String() && rejected[s] == "" {
				t.Errorf("BIRD accepts the configuration of %s for %s; the prediction is that it rejects it: %v", n.Node, n.Family, n.Rejected)
			}
		}
	}
	for s, why := range rejected {
		if _, predicted := w.want[s]; predicted {
			t.Errorf("BIRD rejects the configuration of %s for %s: %s", s.Node, s.Family, why)
		}
	}
	if err := c.Await(t.Context(), w.want); err != nil {
		t.Errorf("%v\n\nthe state:\n%s", err, w.yaml())
	}
}

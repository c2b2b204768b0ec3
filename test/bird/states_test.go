//go:build system

package bird

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology"
	"github.com/bgpguard/bgpguard/pkg/topology/topologytest"
)

// object is a Kubernetes object, or a part of one.
type object = map[string]any

// calicoObject returns a projectcalico.org/v3 object.
func calicoObject(kind, name string, spec object) object {
	return object{"apiVersion": "projectcalico.org/v3", "kind": kind, "metadata": object{"name": name}, "spec": spec}
}

// node returns node-N, N from 1 to 255, with the address 10.192.0.N and the changes applied.
func node(n int, change ...func(n int, bgp, labels object)) object {
	bgp, labels := object{"ipv4Address": fmt.Sprintf("10.192.0.%d/16", n)}, object{}
	for _, c := range change {
		c(n, bgp, labels)
	}
	o := calicoObject("Node", fmt.Sprintf("node-%d", n), object{"bgp": bgp})
	o["metadata"].(object)["labels"] = labels
	return o
}

// nodes returns the nodes from first to last with the changes applied to each.
func nodes(first, last int, change ...func(n int, bgp, labels object)) []object {
	var list []object
	for n := first; n <= last; n++ {
		list = append(list, node(n, change...))
	}
	return list
}

func label(key, value string) func(int, object, object) {
	return func(_ int, _, labels object) { labels[key] = value }
}

func ofAS(n int) func(int, object, object) {
	return func(_ int, bgp, _ object) { bgp["asNumber"] = n }
}

func clusterID(id string) func(int, object, object) {
	return func(_ int, bgp, _ object) { bgp["routeReflectorClusterID"] = id }
}

func dualStack(n int, bgp, _ object) { bgp["ipv6Address"] = fmt.Sprintf("fd00:192::%x/64", n) }

func ipv6Only(n int, bgp, labels object) {
	dualStack(n, bgp, labels)
	delete(bgp, "ipv4Address")
}

func peer(name string, spec object) object { return calicoObject("BGPPeer", name, spec) }

func configuration(spec object) object { return calicoObject("BGPConfiguration", "default", spec) }

func noMesh() object { return configuration(object{"nodeToNodeMeshEnabled": false}) }

func listensOn(n, port int) object {
	return calicoObject("BGPConfiguration", fmt.Sprintf("node.node-%d", n), object{"listenPort": port})
}

// secret returns a reference to the password in a Secret.
func secret(name string) object {
	return object{"secretKeyRef": object{"name": name, "key": "password"}}
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
	objects  []object
	topology *topology.Topology
	nodes    []Node
	want     map[Speaker]View
}

// newWorld computes the topology of objects.
func newWorld(t *testing.T, list []object) *world {
	t.Helper()
	decoded := make([]calico.Object, 0, len(list))
	for _, o := range list {
		raw, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		d, err := calico.DecodeJSON(raw)
		if err != nil {
			t.Fatalf("%v in %s", err, raw)
		}
		decoded = append(decoded, d)
	}
	s := state.New(decoded...)
	w := &world{objects: list, topology: topologytest.Compute(t, s, nil)}
	var err error
	if w.nodes, err = Nodes(s, w.topology); err != nil {
		t.Fatal(err)
	}
	if w.want, err = Predict(t.Context(), s, w.topology, w.nodes); err != nil {
		t.Fatal(err)
	}
	return w
}

// yaml returns the state, to reproduce a failure with `bgpguard topology -f FILE`.
func (w *world) yaml() string {
	var b strings.Builder
	for _, o := range w.objects {
		text, err := yaml.Marshal(o)
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
				t.Errorf("BIRD accepts the configuration of %s for %s; the prediction is that it rejects it: %v", n.Node, n.Family, n.Reasons)
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

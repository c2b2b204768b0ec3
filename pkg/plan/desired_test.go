package plan

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/state"
)

func stepNames(p *Plan) []string {
	var out []string
	for i := range p.Steps {
		out = append(out, p.Steps[i].Name)
	}
	return out
}

// documents returns the documents of objects.
func documents(objects ...calico.Object) []map[string]any {
	var out []map[string]any
	for _, o := range objects {
		out = append(out, calico.Manifest(o))
	}
	return out
}

func TestToDesiredFindsAnOrder(t *testing.T) {
	s, changes := meshToReflectors(t, 8)
	var wanted []calico.Object
	for _, c := range changes {
		wanted = append(wanted, c.After)
	}
	p, err := ToDesired(t.Context(), inputFor(t, s), documents(wanted...), false)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"bgppeer-workers", "bgppeer-reflectors", "node-node-00000", "node-node-00001", "bgpconfiguration-default"}
	if got := stepNames(p); !slices.Equal(got, want) || !strings.Contains(p.Choices[0], "BGPConfiguration default would be denied") {
		t.Errorf("got steps %q, choices %q, want %q", got, p.Choices, want)
	}
	replay(t, s, p)
}

// movedReflectors returns a cluster whose two route reflectors have the label role=old, and
// the objects with which they have role=new.
func movedReflectors(t *testing.T) (*state.Snapshot, []calico.Object) {
	objects := []calico.Object{
		calicotest.Mesh(t, false), calicotest.IPPool(t, "pods", calicotest.Spec{"cidr": "10.244.0.0/16"}), peerOf(t, "all", "all()", "role == 'old'"),
		reflectorOf(t, 0, "old"), reflectorOf(t, 1, "old"),
	}
	for i := range 4 {
		objects = append(objects, calicotest.NumberedNode(t, i+2))
	}
	return state.New(objects...), []calico.Object{peerOf(t, "all", "all()", "role == 'new'"), reflectorOf(t, 0, "new"), reflectorOf(t, 1, "new")}
}

func reflectorOf(t *testing.T, i int, role string) calico.Object {
	return calicotest.NumberedNode(t, i, calicotest.Label("role", role), calicotest.RouteReflector("244.0.0.1"))
}

func TestToDesiredUntiesAKnot(t *testing.T) {
	s, wanted := movedReflectors(t)
	p, err := ToDesired(t.Context(), inputFor(t, s), documents(wanted...), false)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"bgppeer-all-next", "node-node-00000", "node-node-00001", "bgppeer-all", "bgppeer-all-next"}
	if got := stepNames(p); !slices.Equal(got, want) || !strings.Contains(strings.Join(p.Notes, " "), "creates 1 intermediate BGPPeer and deletes it at the end") {
		t.Errorf("got steps %q, notes %q, want %q", got, p.Notes, want)
	}
	replay(t, s, p)
}

func TestToDesiredReportsTheDeniedState(t *testing.T) {
	s, _ := movedReflectors(t)
	_, err := ToDesired(t.Context(), inputFor(t, s), documents(peerOf(t, "all", "all()", "role == 'nwe'")), false)
	knot, ok := errors.AsType[*KnotError](err)
	if !ok || knot.Knot.Together || !strings.Contains(err.Error(), "the policies deny the wanted state; 1 change is left: update of BGPPeer all\nupdate of BGPPeer all would be denied:\n[") {
		t.Errorf("got %v, want the denied state", err)
	}
}

func TestToDesiredPrunes(t *testing.T) {
	s := zonedMesh(t, 4, calicotest.BGPPeer(t, "unused", calicotest.Spec{"nodeSelector": "has(x)", "peerSelector": "has(y)"}))
	wanted := []calico.Object{calicotest.BGPPeer(t, "tor", calicotest.Spec{"nodeSelector": "has(rack)", "peerIP": "192.0.2.1", "asNumber": int64(65000)})}
	for prune, want := range map[bool][]string{false: {"bgppeer-tor"}, true: {"bgppeer-tor", "bgppeer-unused"}} {
		p, err := ToDesired(t.Context(), inputFor(t, s), documents(wanted...), prune)
		if err != nil {
			t.Fatal(err)
		}
		if got := stepNames(p); !slices.Equal(got, want) {
			t.Errorf("prune %v: got steps %q, want %q", prune, got, want)
		}
		replay(t, s, p)
	}
}

func TestToDesiredKeepsLabelsOfNodes(t *testing.T) {
	s := zonedMesh(t, 4)
	partial := calicotest.Decode(t, map[string]any{
		"apiVersion": "v1", "kind": "Node", "metadata": map[string]any{"name": "node-00001", "labels": map[string]any{"rack": "r1"}},
	})
	p, err := ToDesired(t.Context(), inputFor(t, s), documents(partial), false)
	if err != nil {
		t.Fatal(err)
	}
	if e := p.Steps[0].Edits[0]; !same(e.Patch, map[string]any{"metadata": map[string]any{"labels": map[string]any{"rack": "r1"}}}) {
		t.Errorf("got patch %v, want the new label alone", e.Patch)
	}
	if _, err := ToDesired(t.Context(), inputFor(t, s), documents(calicotest.Mesh(t, true)), false); err == nil {
		t.Error("got no error for a state that is there")
	}
}

// A file that does not have a field keeps it, unless the last "kubectl apply" had it.
func TestToDesiredMergesAsKubectlDoes(t *testing.T) {
	last := `{"spec":{"nodeSelector":"has(x)","keepOriginalNextHop":true}}`
	s := zonedMesh(t, 4, calicotest.Decode(t, map[string]any{
		"apiVersion": "projectcalico.org/v3", "kind": "BGPPeer",
		"metadata": map[string]any{"name": "tor", "annotations": map[string]any{"kubectl.kubernetes.io/last-applied-configuration": last}},
		"spec":     map[string]any{"nodeSelector": "has(x)", "peerIP": "192.0.2.1", "asNumber": int64(65000), "keepOriginalNextHop": true},
	}))
	wanted := calicotest.BGPPeer(t, "tor", calicotest.Spec{"nodeSelector": "has(y)"})
	p, err := ToDesired(t.Context(), inputFor(t, s), documents(wanted), false)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"spec": map[string]any{"nodeSelector": "has(y)", "keepOriginalNextHop": nil}}
	if e := p.Steps[0].Edits[0]; !same(e.Patch, want) {
		t.Errorf("got patch %v, want %v", e.Patch, want)
	}
	replay(t, s, p)
}

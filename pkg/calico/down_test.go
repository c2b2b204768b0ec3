package calico_test

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
)

// TestDeletionTimestamp decodes each kind in each API form with and without a
// deletionTimestamp.
func TestDeletionTimestamp(t *testing.T) {
	for _, info := range calico.Kinds() {
		for _, version := range forms(info) {
			t.Run(fmt.Sprint(info.Kind, " of ", version), func(t *testing.T) {
				form := func(document map[string]any) { document["apiVersion"] = version }
				up := calicotest.Object(t, info.Kind, "default", nil, form)
				down := calicotest.Object(t, info.Kind, "default", nil, form, calicotest.DeletionTimestamp)
				shown := info.Kind != calico.KindSecret && info.Kind != calico.KindIPAMBlock && info.Kind != calico.KindCalicoNodeStatus
				if calico.Down(up) || calico.Down(down) != shown {
					t.Errorf("down: %v without, %v with a deletionTimestamp", calico.Down(up), calico.Down(down))
				}
				if calico.Equal(up, down) == shown {
					t.Error("setting the deletionTimestamp is no change")
				}
				if again := calicotest.Decode(t, calico.Manifest(down)); !calico.Equal(again, down) {
					t.Errorf("the manifest has no deletionTimestamp: %v", calico.Manifest(down))
				}
				if node, ok := down.(*calico.Node); ok && !node.SameBGP(up.(*calico.Node)) {
					t.Error("setting the deletionTimestamp changes BGP")
				}
			})
		}
	}
	if calico.Down(nil) {
		t.Error("nil is down")
	}
}

func TestANodeIsDown(t *testing.T) {
	terminating := metav1.NewTime(time.Date(2026, 1, 2, 4, 4, 5, 0, time.FixedZone("", 3600)))
	for name, c := range map[string]struct {
		ready corev1.ConditionStatus
		since *metav1.Time
		want  bool
	}{
		"without conditions":     {"", nil, false},
		"ready":                  {corev1.ConditionTrue, nil, false},
		"not ready":              {corev1.ConditionFalse, nil, true},
		"ready is unknown":       {corev1.ConditionUnknown, nil, true},
		"ready, and terminating": {corev1.ConditionTrue, &terminating, true},
	} {
		t.Run(name, func(t *testing.T) {
			core := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "default", DeletionTimestamp: c.since}}
			if c.ready != "" {
				core.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: c.ready}}
			}
			node := calico.NodeFromCore(core)
			if calico.Down(node) != c.want {
				t.Errorf("down: %v, want %v", calico.Down(node), c.want)
			}
			if c.since != nil && !calico.Equal(node, calicotest.Node(t, "default", calicotest.DeletionTimestamp)) {
				t.Errorf("the Node of a watch and that of a review differ: %v", calico.Manifest(node))
			}
		})
	}
}

func TestADeletionTimestampOfAnotherType(t *testing.T) {
	document := calicotest.Document(t, calico.KindBGPPeer, "p", nil)
	document["metadata"].(map[string]any)["deletionTimestamp"] = int64(7)
	if _, err := calico.Decode(document); err == nil || err.Error() != "metadata.deletionTimestamp: must be a string, is 7" {
		t.Errorf("got %v", err)
	}
}

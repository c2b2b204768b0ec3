package cluster

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// A heartbeat, or another change that does not affect BGP, is not a change of the state:
// neither the snapshot nor anything computed from it is recomputed. A change of the condition
// Ready is a change.
func TestOnlyWhatBGPNeedsOfANodeIsAChange(t *testing.T) {
	at := func(status corev1.ConditionStatus, beat int64) func(*corev1.Node) {
		return func(n *corev1.Node) {
			n.ResourceVersion = fmt.Sprint(beat)
			n.Annotations = map[string]string{calico.AnnotationIPv4Address: "10.0.0.1/24"}
			n.Status.Conditions = []corev1.NodeCondition{
				{Type: corev1.NodeMemoryPressure, Status: corev1.ConditionFalse, LastHeartbeatTime: metav1.Unix(beat, 0)},
				{Type: corev1.NodeReady, Status: status, Reason: fmt.Sprint("reason ", beat), LastHeartbeatTime: metav1.Unix(beat, 0)},
			}
		}
	}
	full := func(n *corev1.Node) {
		n.Status.Images = []corev1.ContainerImage{{SizeBytes: 1}}
		n.Spec.Unschedulable = true
		n.Annotations["example.com/other"] = "x"
	}
	terminating := func(n *corev1.Node) { n.DeletionTimestamp = &metav1.Time{Time: time.Unix(9, 0)} }
	tests := map[string]struct {
		after    []func(*corev1.Node)
		change   bool
		notReady bool
	}{
		"a heartbeat":                           {[]func(*corev1.Node){at(corev1.ConditionTrue, 2)}, false, false},
		"images, a cordon, other's annotations": {[]func(*corev1.Node){at(corev1.ConditionTrue, 2), full}, false, false},
		"Ready becomes False":                   {[]func(*corev1.Node){at(corev1.ConditionFalse, 2)}, true, true},
		"Ready becomes Unknown":                 {[]func(*corev1.Node){at(corev1.ConditionUnknown, 2)}, true, true},
		"it is being deleted":                   {[]func(*corev1.Node){at(corev1.ConditionTrue, 2), terminating}, true, false},
		"a label":                               {[]func(*corev1.Node){at(corev1.ConditionTrue, 2), label("rack", "1")}, true, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := syncedStore(calico.KindNode)
			h := s.handler(calico.KindNode)
			told := func(tweaks ...func(*corev1.Node)) *stored { return s.storedNode(node("a", tweaks...)) }
			first := told(at(corev1.ConditionTrue, 1))
			h.OnAdd(first, true)
			before := snapshot(t, s)
			h.OnUpdate(first, told(test.after...))
			after := snapshot(t, s)
			if changed := after != before; changed != test.change {
				t.Errorf("a new snapshot: %t, want %t", changed, test.change)
			}
			node := after.Nodes()[0]
			if got, want := calico.Down(node), test.notReady || name == "it is being deleted"; got != want {
				t.Errorf("down: %t, want %t", got, want)
			}
			if got := node.NotReady; got != test.notReady {
				t.Errorf("not ready: %t, want %t", got, test.notReady)
			}
		})
	}
}

package cluster

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// migrated is a BGPPeer of projectcalico.org/v3.
func migrated(t *testing.T, name string, asn int64) *unstructured.Unstructured {
	t.Helper()
	return &unstructured.Unstructured{Object: calicotest.Document(t, calico.KindBGPPeer, name, calicotest.Spec{"peerIP": "10.0.0.1", "asNumber": asn})}
}

// inBoth describes a snapshot and the state in the other group.
func inBoth(s *state.Snapshot) string {
	text := s.APIVersion() + ": " + names(s)
	if other := s.Other(); other != nil {
		text += "; " + other.APIVersion() + ": " + names(other)
	}
	return text
}

func TestTheStoreFollowsTheGroupThatCalicoReads(t *testing.T) {
	s := syncedStore(calico.KindNode, calico.KindBGPPeer)
	s.setGroup(groups[0])
	s.handler(calico.KindNode).OnAdd(storedNode("a"), true)
	s.handler(calico.KindBGPPeer).OnAdd(peer(t, "p", 1), true)
	check := func(when, want string) *state.Snapshot {
		t.Helper()
		got := snapshot(t, s)
		if inBoth(got) != want {
			t.Errorf("%s: got %q, want %q", when, inBoth(got), want)
		}
		return got
	}
	check("v1", "crd.projectcalico.org/v1: a p1")

	other := s.followOther(groups[1])
	feed := s.followIn(other, []calico.Kind{calico.KindBGPPeer})[0]
	if got := s.feedOf(calico.APIVersionV3, calico.KindBGPPeer); got != feed || s.feedOf(calico.APIVersionV1, calico.KindBGPPeer) == feed || s.feedOf("v1", calico.KindNode) != s.feeds[0] {
		t.Error("a feed is that of another group")
	}
	v3 := s.handlerOf(other, calico.KindBGPPeer)
	v3.OnAdd(migrated(t, "p", 1), true)
	check("v3 is not read yet", "crd.projectcalico.org/v1: a p1")
	if s.settle(groups[1]) != nil {
		t.Error("settled before the objects are read")
	}
	s.synced(feed)
	s.handler(calico.KindNode).OnAdd(storedNode("b"), false)
	s.handler(calico.KindBGPPeer).OnAdd(peer(t, "stale", 2), false)
	both := check("both", "crd.projectcalico.org/v1: a b p1 stale2; projectcalico.org/v3: a b p1")
	if snapshot(t, s) != both || both.Stale(calico.APIVersionV1) {
		t.Error("another snapshot without a change, or the objects of v1 count as stale")
	}
	v3.OnAdd(migrated(t, "q", 3), false)
	check("a change in v3", "crd.projectcalico.org/v1: a b p1 stale2; projectcalico.org/v3: a b p1 q3")

	v1 := s.contents
	if s.settle(groups[1]) != v1 || s.contents != other || s.settle(groups[1]) != nil {
		t.Error("settled on another group")
	}
	s.handlerOf(v1, calico.KindBGPPeer).OnAdd(peer(t, "late", 4), false)
	s.handlerOf(v1, calico.KindNode).OnDelete(storedNode("b")) // Its informer goes on.
	live := check("v3", "projectcalico.org/v3: a p1 q3")
	if !live.Stale(calico.APIVersionV1) || live.Stale(calico.APIVersionV3) {
		t.Error("the objects of v1 do not count as stale")
	}

	back := s.followOther(groups[0])
	s.synced(s.followIn(back, []calico.Kind{calico.KindBGPPeer})[0])
	check("both again", "projectcalico.org/v3: a p1 q3; crd.projectcalico.org/v1: a")
	if s.settle(groups[1]) != back {
		t.Error("the other group is still followed")
	}
	check("v3 again", "projectcalico.org/v3: a p1 q3")
}

func TestTheClusterInformationOfAGroup(t *testing.T) {
	s := syncedStore(calico.KindNode, calico.KindClusterInformation)
	s.setGroup(groups[0])
	if got, ok := s.information(groups[0]); got != nil || !ok {
		t.Errorf("without one: got %v, %v", got, ok)
	}
	s.handler(calico.KindClusterInformation).OnAdd(object(t, calico.KindClusterInformation, calico.Default, calicotest.Spec{"datastoreReady": false}), true)
	if got, ok := s.information(groups[0]); got == nil || !ok || *got.DatastoreReady {
		t.Errorf("got %+v, %v, want one that is locked", got, ok)
	}
	if _, ok := s.information(groups[1]); ok {
		t.Error("a group that is not followed is known")
	}
	s.followIn(s.followOther(groups[1]), []calico.Kind{calico.KindClusterInformation})
	if _, ok := s.information(groups[1]); ok {
		t.Error("a group that has not been read is known")
	}
}

func TestAnnotationsThatCalicosValidatorRejectsAreKept(t *testing.T) {
	stripped := stripNode(node("a", func(n *corev1.Node) {
		n.Annotations = map[string]string{
			"projectcalico.org/IPv4VXLANTunnelAddr": "10.244.0.1/32", "projectcalico.org/IPv4IPIPTunnelAddr": "10.244.0.2", "example.com/owner": "a",
		}
	}), &interner{})
	if got := stripped.Annotations; len(got) != 1 || len(calico.ValidatorRejections(calico.NodeFromCore(stripped), nil)) != 1 {
		t.Errorf("kept %v, want the annotation with a mask", got)
	}
}

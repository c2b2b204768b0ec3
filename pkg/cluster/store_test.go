package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	toolscache "k8s.io/client-go/tools/cache"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// syncedStore returns a store that follows kinds and has read all of them.
func syncedStore(kinds ...calico.Kind) *Store {
	s := NewStore(logr.Discard())
	s.follow(kinds)
	for _, f := range s.feeds {
		close(f.synced)
	}
	return s
}

func node(name string, tweaks ...func(*corev1.Node)) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"kubernetes.io/hostname": name}}}
	for _, tweak := range tweaks {
		tweak(n)
	}
	return n
}

// storedNode returns a Node in the form that an informer stores.
func storedNode(name string, tweaks ...func(*corev1.Node)) *stored {
	return NewStore(logr.Discard()).storedNode(node(name, tweaks...))
}

func label(key, value string) func(*corev1.Node) {
	return func(n *corev1.Node) { n.Labels[key] = value }
}

// object returns an object in the form that an informer stores.
func object(t testing.TB, kind calico.Kind, name string, spec calicotest.Spec) *unstructured.Unstructured {
	t.Helper()
	return &unstructured.Unstructured{Object: calicotest.Document(t, kind, name, spec, calicotest.CRD)}
}

func peer(t testing.TB, name string, asn int64) *unstructured.Unstructured {
	t.Helper()
	return object(t, calico.KindBGPPeer, name, map[string]any{"peerIP": "10.0.0.1", "asNumber": asn})
}

func names(s *state.Snapshot) string {
	var out []string
	for _, n := range s.Nodes() {
		out = append(out, n.Name+n.Labels["rack"])
	}
	for _, p := range s.BGPPeers() {
		out = append(out, fmt.Sprint(p.Name, p.ASNumber))
	}
	return strings.Join(out, " ")
}

func snapshot(t *testing.T, s *Store) *state.Snapshot {
	t.Helper()
	got, _, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestSnapshotFollowsEvents(t *testing.T) {
	tests := map[string]struct {
		events func(nodes, peers toolscache.ResourceEventHandler)
		want   string
	}{
		"an object is added": {
			func(nodes, _ toolscache.ResourceEventHandler) { nodes.OnAdd(storedNode("b"), false) },
			"a b p1",
		},
		"an object is changed": {
			func(nodes, _ toolscache.ResourceEventHandler) {
				nodes.OnUpdate(storedNode("a"), storedNode("a", label("rack", "7")))
			},
			"a7 p1",
		},
		"an object is removed": {
			func(_, peers toolscache.ResourceEventHandler) { peers.OnDelete(peer(t, "p", 1)) },
			"a",
		},
		"an object is removed while the watch was broken": {
			func(_, peers toolscache.ResourceEventHandler) {
				peers.OnDelete(toolscache.DeletedFinalStateUnknown{Key: "p"})
			},
			"a",
		},
		"an object comes and goes between two snapshots": {
			func(nodes, _ toolscache.ResourceEventHandler) {
				nodes.OnAdd(storedNode("b"), false)
				nodes.OnDelete(storedNode("b"))
			},
			"a p1",
		},
		"an object no longer parses": {
			func(_, peers toolscache.ResourceEventHandler) {
				peers.OnUpdate(nil, skipped(t, "p"))
			},
			"a",
		},
		"an object parses again": {
			func(_, peers toolscache.ResourceEventHandler) {
				peers.OnUpdate(nil, skipped(t, "p"))
				peers.OnUpdate(nil, peer(t, "p", 2))
			},
			"a p2",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := syncedStore(calico.KindNode, calico.KindBGPPeer)
			nodes, peers := s.handler(calico.KindNode), s.handler(calico.KindBGPPeer)
			nodes.OnAdd(storedNode("a"), true)
			peers.OnAdd(peer(t, "p", 1), true)
			before := snapshot(t, s)
			test.events(nodes, peers)
			if got := names(snapshot(t, s)); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			if got := names(before); got != "a p1" {
				t.Errorf("the snapshot from before became %q", got)
			}
		})
	}
}

func TestBulkAndSingleStepsAgree(t *testing.T) {
	bulk, single := syncedStore(calico.KindNode), syncedStore(calico.KindNode)
	for i := range 4 * bulkFrom {
		n := storedNode(fmt.Sprintf("n%03d", i*7%(2*bulkFrom)), label("rack", fmt.Sprint(i)))
		for _, s := range []*Store{bulk, single} {
			h := s.handler(calico.KindNode)
			h.OnAdd(n, true)
			if i%5 == 0 {
				h.OnDelete(n)
			}
		}
		snapshot(t, single)
	}
	if got, want := names(snapshot(t, bulk)), names(snapshot(t, single)); got != want || got == "" {
		t.Errorf("in bulk\n%s\none by one\n%s", got, want)
	}
}

func TestASnapshotInBulkKnowsWhatIsFollowed(t *testing.T) {
	s := syncedStore(calico.KindNode, calico.KindBGPFilter)
	for i := range bulkFrom {
		s.handler(calico.KindNode).OnAdd(storedNode(fmt.Sprint(i)), true)
	}
	if got := snapshot(t, s); !got.Knows(calico.KindBGPFilter) || got.Knows(calico.KindSecret) {
		t.Errorf("knows BGPFilters %v, Secrets %v", got.Knows(calico.KindBGPFilter), got.Knows(calico.KindSecret))
	}
}

func TestUpdateThatSaysNothingNewKeepsTheSnapshot(t *testing.T) {
	s := syncedStore(calico.KindNode)
	h := s.handler(calico.KindNode)
	h.OnAdd(storedNode("a"), true)
	before := snapshot(t, s)
	<-s.announce
	h.OnUpdate(storedNode("a"), storedNode("a", func(n *corev1.Node) { n.ResourceVersion = "2" }))
	if snapshot(t, s) != before {
		t.Error("there is a new snapshot")
	}
	select {
	case <-s.announce:
		t.Error("the snapshot was announced again")
	default:
	}
}

func TestNotSynced(t *testing.T) {
	s := NewStore(logr.Discard())
	check := func(want string) {
		t.Helper()
		_, _, err := s.Snapshot()
		if !errors.Is(err, state.ErrNotSynced) || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		if ready := s.Check(nil); ready == nil || ready.Error() != want {
			t.Errorf("readiness says %v", ready)
		}
	}
	check("not ready: no API group that serves BGPPeers was found yet")
	s.notFound(errors.New("connection refused"))
	check("not ready: connection refused")
	s.notFound(nil)
	s.follow([]calico.Kind{calico.KindNode, calico.KindBGPPeer})
	check("not ready: still reading Node, BGPPeer from the API server")
	close(s.feeds[0].synced)
	check("not ready: still reading BGPPeer from the API server")
	close(s.feeds[1].synced)
	if err := s.Check(nil); err != nil {
		t.Error(err)
	}
	if got := snapshot(t, s); got != nil {
		t.Errorf("an empty cluster gives %v", got)
	}
}

func TestAgeIsThatOfTheMostSilentKind(t *testing.T) {
	s := syncedStore(calico.KindNode, calico.KindBGPPeer)
	s.elapsed = func() time.Duration { return time.Minute }
	s.feed(calico.KindNode).lastContact.Store(int64(58 * time.Second))
	s.feed(calico.KindBGPPeer).lastContact.Store(int64(20 * time.Second))
	if _, age, _ := s.Snapshot(); age != 40*time.Second {
		t.Errorf("got %s", age)
	}
}

// status returns a CalicoNodeStatus of a node with a route and a row.
func status(t testing.TB, name string, established int64) *unstructured.Unstructured {
	t.Helper()
	s := object(t, calico.KindCalicoNodeStatus, name, map[string]any{"node": name})
	s.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: "calico-node"}})
	s.Object["status"] = map[string]any{
		"bgp":    map[string]any{"numberEstablishedV4": established, "peersV4": []any{map[string]any{"peerIP": "10.0.0.2", "type": "NodeMesh", "state": "Established", "since": "11:00:05"}}},
		"routes": map[string]any{"routesV4": []any{map[string]any{"destination": "10.1.0.0/26"}}},
	}
	return s
}

// statuses describes the CalicoNodeStatuses of a snapshot.
func statuses(s *state.Snapshot) string {
	out := fmt.Sprintf("known %v", s.Knows(calico.KindCalicoNodeStatus))
	for _, one := range s.NodeStatuses() {
		out += fmt.Sprint(" ", one.Name, one.Families[calico.IPv4].Established)
	}
	return out
}

// No decision depends on CalicoNodeStatuses, so bgpguard does not wait for them. A snapshot
// contains either all of them or none, because an incomplete list would be misleading.
func TestCalicoNodeStatusesAreKnownOnceAllWereRead(t *testing.T) {
	for name, count := range map[string]int{"one by one": 2, "in bulk": bulkFrom + 2} {
		t.Run(name, func(t *testing.T) {
			s := NewStore(logr.Discard())
			s.elapsed = func() time.Duration { return time.Minute }
			s.follow([]calico.Kind{calico.KindNode, calico.KindCalicoNodeStatus})
			feeds := s.feeds
			h := s.handler(calico.KindCalicoNodeStatus)
			told := func(name string, established int64) {
				stripped, err := s.transform(status(t, name, established))
				if err != nil {
					t.Fatal(err)
				}
				h.OnAdd(stripped, true)
			}
			if err := s.Check(nil); err == nil || err.Error() != "not ready: still reading Node from the API server" {
				t.Errorf("ready: %v", err)
			}
			for i := range count {
				s.handler(calico.KindNode).OnAdd(storedNode(fmt.Sprintf("n%02d", i)), true)
			}
			s.synced(feeds[0])
			told("a", 1)
			if got := snapshot(t, s); statuses(got) != "known false" || len(got.Nodes()) != count {
				t.Errorf("while they are read: %s, %d nodes", statuses(got), len(got.Nodes()))
			}
			told("b", 2)
			if got := statuses(snapshot(t, s)); got != "known false" {
				t.Errorf("while they are read: %s", got)
			}
			before := snapshot(t, s)
			s.synced(feeds[1])
			if got := snapshot(t, s); statuses(got) != "known true a1 b2" || !state.SameConfiguration(got, before) {
				t.Errorf("once they are read: %s, the same configuration %v", statuses(got), state.SameConfiguration(got, before))
			}
			told("a", 3)
			h.OnDelete(toolscache.DeletedFinalStateUnknown{Key: "b"})
			if got := statuses(snapshot(t, s)); got != "known true a3" {
				t.Errorf("after changes: %s", got)
			}
			for i := range bulkFrom {
				told(fmt.Sprintf("z%02d", i), 1)
			}
			if got := snapshot(t, s); len(got.NodeStatuses()) != bulkFrom+1 || !state.SameConfiguration(got, before) {
				t.Errorf("after many changes at once: %d statuses, the same configuration %v", len(got.NodeStatuses()), state.SameConfiguration(got, before))
			}
			s.feed(calico.KindCalicoNodeStatus).lastContact.Store(0)
			if _, age, err := s.Snapshot(); age != 0 || err != nil {
				t.Errorf("where nothing is heard of them, the state is %s old, error %v", age, err)
			}
		})
	}
}

func TestAStatusThatSaysTheSameIsNotAnnounced(t *testing.T) {
	s := syncedStore(calico.KindNode, calico.KindCalicoNodeStatus)
	h := s.handler(calico.KindCalicoNodeStatus)
	h.OnAdd(newStored(status(t, "a", 1)), true)
	<-s.announce
	h.OnUpdate(nil, newStored(status(t, "a", 1)))
	select {
	case <-s.announce:
		t.Error("the snapshot was announced again")
	default:
	}
}

// skipped returns a BGPPeer that Calico skips, because of notJSON.
func skipped(t testing.TB, name string) *unstructured.Unstructured {
	t.Helper()
	return &unstructured.Unstructured{Object: calicotest.Document(t, calico.KindBGPPeer, name, nil, calicotest.CRD, calicotest.Annotation("projectcalico.org/metadata", "{"))}
}

const notJSON = "metadata.annotations[projectcalico.org/metadata]: is not the JSON that Calico writes: unexpected end of JSON input"

func TestUndecodableObjectIsLoggedOnce(t *testing.T) {
	var out bytes.Buffer
	s := syncedStore(calico.KindBGPPeer)
	s.log = logr.FromSlogHandler(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	h := s.handler(calico.KindBGPPeer)
	bad := skipped(t, "p")
	h.OnAdd(bad, true)
	h.OnUpdate(bad, bad)
	want := `level=ERROR msg="Ignoring an object that Calico skips" err="` + notJSON + `" kind=BGPPeer name=p` + "\n"
	if out.String() != want {
		t.Errorf("got %s", out.String())
	}
	if len(s.undecodable) != 1 {
		t.Errorf("counted %v", s.undecodable)
	}
	out.Reset()
	odd := object(t, calico.KindBGPPeer, "a", map[string]any{"peerIP": int64(8), "asNumber": int64(1), "password": "hunter2"})
	h.OnAdd(odd, false)
	h.OnUpdate(odd, odd)
	want = `level=ERROR msg="An object has a value that Calico cannot decode" err="spec.peerIP: must be a string, is 8" kind=BGPPeer name=a` + "\n"
	if out.String() != want || len(s.undecodable) != 2 {
		t.Errorf("got %s of %v", out.String(), s.undecodable)
	}
	if got := fmt.Sprint(s.Unread()); got != "[BGPPeer a has a value that Calico cannot decode: spec.peerIP: must be a string, is 8 BGPPeer p is ignored, because it does not parse: "+notJSON+"]" {
		t.Errorf("unread are %s", got)
	}
	if list := snapshot(t, s).BGPPeers(); len(list) != 1 || list[0].ASNumber != 1 {
		t.Errorf("got %v", list)
	}
	h.OnDelete(peer(t, "a", 1))
	h.OnDelete(bad)
	if len(s.undecodable) != 0 {
		t.Errorf("still counted: %v", s.undecodable)
	}
}

// An object that does not parse is unread in every snapshot, however it is built, until it
// parses or is deleted.
func TestObjectsThatDoNotParseAreUnread(t *testing.T) {
	for name, nodes := range map[string]int{"one by one": 1, "in bulk": bulkFrom} {
		t.Run(name, func(t *testing.T) {
			s := syncedStore(calico.KindNode, calico.KindBGPPeer)
			handler, more := s.handler(calico.KindBGPPeer), 0
			unread := func() string {
				t.Helper()
				for range nodes { // Many changes are applied in bulk.
					more++
					s.handler(calico.KindNode).OnAdd(storedNode(fmt.Sprint("n", more)), false)
				}
				var out []string
				for _, u := range snapshot(t, s).Unread() {
					out = append(out, u.String())
				}
				return strings.Join(out, "; ") + "; BGPPeers " + fmt.Sprint(len(snapshot(t, s).BGPPeers()), s.counts[calico.KindBGPPeer])
			}
			step := func(want string) {
				t.Helper()
				if got := unread(); got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			}
			bad := skipped(t, "p")
			handler.OnAdd(peer(t, "p", 1), false)
			step("; BGPPeers 1 1")
			handler.OnUpdate(nil, bad)
			step("BGPPeer p (" + notJSON + "); BGPPeers 0 0")
			before := snapshot(t, s)
			handler.OnUpdate(nil, bad)
			if snapshot(t, s) != before {
				t.Error("an equal object makes another snapshot")
			}
			handler.OnUpdate(nil, peer(t, "p", 2))
			step("; BGPPeers 1 1")
			handler.OnUpdate(nil, bad)
			handler.OnDelete(bad)
			step("; BGPPeers 0 0")
		})
	}
}

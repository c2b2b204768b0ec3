package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	toolscache "k8s.io/client-go/tools/cache"
	fcache "k8s.io/client-go/tools/cache/testing"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// fakeInformers makes informers that read from sources in memory, the way a
// manager's cache does.
type fakeInformers struct {
	cache.Informers
	ctx     context.Context
	store   *Store
	mu      sync.Mutex
	sources map[calico.Kind]*fcache.FakeControllerSource
}

func (f *fakeInformers) source(kind calico.Kind) *fcache.FakeControllerSource {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.sources[kind] == nil {
		f.sources[kind] = fcache.NewFakeControllerSource()
	}
	return f.sources[kind]
}

func (f *fakeInformers) GetInformer(_ context.Context, o client.Object, _ ...cache.InformerGetOption) (cache.Informer, error) {
	options := f.store.CacheOptions()
	informer := options.NewInformer(f.source(kindOf(o)), o.DeepCopyObject(), 0, nil)
	if err := informer.SetTransform(options.DefaultTransform); err != nil {
		return nil, err
	}
	go informer.Run(f.ctx.Done())
	return informer, nil
}

// alwaysIdle is an idle function of OnChange.
func alwaysIdle(context.Context) {}

func TestFollowerFeedsTheStore(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	store := NewStore(logr.Discard())
	informers := &fakeInformers{ctx: ctx, store: store, sources: map[calico.Kind]*fcache.FakeControllerSource{}}
	informers.source(calico.KindNode).Add(node("a"))
	informers.source(calico.KindBGPPeer).Add(peer(t, "p", 1))

	announced := make(chan string)
	f := &Follower{
		store: store, log: logr.Discard(), informers: informers,
		discovery: fakeDiscovery{"crd.projectcalico.org/v1": {"bgppeers", "bgpconfigurations"}},
		idle:      alwaysIdle,
		onChange: func(ctx context.Context, s *state.Snapshot) {
			select {
			case announced <- names(s):
			case <-ctx.Done():
			}
		},
	}
	done := make(chan error)
	go func() { done <- f.Start(ctx) }()
	await := func(want string) {
		t.Helper()
		for {
			select {
			case got := <-announced:
				if got == want {
					return
				}
			case err := <-done:
				t.Fatalf("ended with %v", err)
			case <-time.After(30 * time.Second):
				t.Fatalf("%s was never announced", want)
			}
		}
	}
	await("a p1")
	informers.source(calico.KindNode).Add(node("b"))
	await("a b p1")
	informers.source(calico.KindBGPPeer).Modify(peer(t, "p", 2))
	await("a b p2")
	informers.source(calico.KindBGPPeer).Delete(peer(t, "p", 2))
	await("a b")
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// secretsOf describes the BGPFilters and Secrets of a snapshot.
func secretsOf(s *state.Snapshot) string {
	text := fmt.Sprintf("filters %v", s.Knows(calico.KindBGPFilter))
	for _, f := range s.BGPFilters() {
		text += " " + f.Name
	}
	text += fmt.Sprintf(" secrets %v", s.Knows(calico.KindSecret))
	for _, secret := range s.Secrets() {
		text += fmt.Sprintf(" %s/%s%v", secret.Namespace, secret.Name, secret.Keys)
	}
	return text
}

func TestFollowerTellsWhatItKnowsOfBGPFiltersAndSecrets(t *testing.T) {
	secret := func(name string) *corev1.Secret {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "calico-system"}, Data: map[string][]byte{"tor": []byte("hunter2"), "mesh": nil}}
	}
	type sources struct{ filters, secrets *fcache.FakeControllerSource }
	type step struct {
		do   func(sources)
		want string
	}
	nothing := func(sources) {}
	for name, c := range map[string]struct {
		served  []string // in addition to the required kinds
		secrets bool
		steps   []step
	}{
		"neither is asked for":     {nil, false, []step{{nothing, "filters false secrets false"}}},
		"both are there and empty": {[]string{"bgpfilters"}, true, []step{{nothing, "filters true secrets true"}}},
		"they come and go": {[]string{"bgpfilters"}, true, []step{
			{func(s sources) { s.filters.Add(object(t, calico.KindBGPFilter, "f", nil)) }, "filters true f secrets true"},
			{func(s sources) { s.secrets.Add(secret("bgp")) }, "filters true f secrets true calico-system/bgp[mesh tor]"},
			{func(s sources) { s.secrets.Delete(secret("bgp")) }, "filters true f secrets true"},
			{func(s sources) { s.filters.Delete(object(t, calico.KindBGPFilter, "f", nil)) }, "filters true secrets true"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			store := NewStore(logr.Discard())
			informers := &fakeInformers{ctx: ctx, store: store, sources: map[calico.Kind]*fcache.FakeControllerSource{}}
			from := sources{informers.source(calico.KindBGPFilter), fcache.NewFakeControllerSource()}
			announced := make(chan string)
			f := &Follower{
				store: store, log: logr.Discard(), informers: informers,
				discovery: fakeDiscovery{"crd.projectcalico.org/v1": append([]string{"bgppeers", "bgpconfigurations"}, c.served...)},
				idle:      alwaysIdle,
				onChange: func(ctx context.Context, s *state.Snapshot) {
					select {
					case announced <- secretsOf(s):
					case <-ctx.Done():
					}
				},
			}
			if c.secrets {
				f.secrets = from.secrets
			}
			done := make(chan error)
			go func() { done <- f.Start(ctx) }()
			for _, step := range c.steps {
				step.do(from)
				for got := ""; got != step.want; {
					select {
					case got = <-announced:
					case err := <-done:
						t.Fatalf("ended with %v", err)
					case <-time.After(30 * time.Second):
						t.Fatalf("%s was never announced, last %s", step.want, got)
					}
				}
			}
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

// The API server rejects each list of CalicoNodeStatuses if the role of bgpguard is from an
// older version that does not permit it.
func TestFollowerIsReadyWithoutCalicoNodeStatuses(t *testing.T) {
	for name, c := range map[string]struct {
		served  []string
		refused error
		want    string
	}{
		"they are not served":     {nil, nil, "known false"},
		"they may not be listed":  {[]string{"caliconodestatuses"}, errors.New("forbidden"), "known false"},
		"there are none":          {[]string{"caliconodestatuses"}, nil, "known true"},
		"there is one of a node":  {[]string{"caliconodestatuses"}, nil, "known true a1"},
		"there are some of nodes": {[]string{"caliconodestatuses"}, nil, "known true a1 b2"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			store := NewStore(logr.Discard())
			informers := &fakeInformers{ctx: ctx, store: store, sources: map[calico.Kind]*fcache.FakeControllerSource{}}
			source := informers.source(calico.KindCalicoNodeStatus)
			source.ListError = c.refused
			for i, one := range strings.Fields(c.want)[2:] {
				source.Add(status(t, one[:1], int64(i+1)))
			}
			announced := make(chan string)
			f := &Follower{
				store: store, log: logr.Discard(), informers: informers,
				discovery: fakeDiscovery{"crd.projectcalico.org/v1": append([]string{"bgppeers", "bgpconfigurations"}, c.served...)},
				idle:      alwaysIdle,
				onChange: func(ctx context.Context, s *state.Snapshot) {
					select {
					case announced <- statuses(s):
					case <-ctx.Done():
					}
				},
			}
			done := make(chan error)
			go func() { done <- f.Start(ctx) }()
			for got := ""; got != c.want; {
				select {
				case got = <-announced:
				case err := <-done:
					t.Fatalf("ended with %v", err)
				case <-time.After(30 * time.Second):
					t.Fatalf("%s was never announced, last %s", c.want, got)
				}
			}
			if err := store.Check(nil); err != nil {
				t.Errorf("not ready: %v", err)
			}
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

// An informer stores only the parts of a CalicoNodeStatus that a snapshot contains.
func TestTheInformerOfCalicoNodeStatusesKeepsNoRoutes(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	source := fcache.NewFakeControllerSource()
	source.Add(status(t, "a", 1))
	store := NewStore(logr.Discard())
	options := store.CacheOptions()
	kind := object(t, calico.KindCalicoNodeStatus, "", nil)
	informer := options.NewInformer(source, kind, 0, toolscache.Indexers{})
	if err := informer.SetTransform(options.DefaultTransform); err != nil {
		t.Fatal(err)
	}
	go informer.RunWithContext(ctx)
	if !toolscache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		t.Fatal("never read")
	}
	held := informer.GetStore().List()
	if len(held) != 1 {
		t.Fatalf("it holds %v", held)
	}
	kept, ok := held[0].(*stored)
	if !ok || kept.err != nil || kept.name != "a" || kept.version == "" {
		t.Fatalf("it holds %+v", held[0])
	}
	if s, ok := kept.decoded.(*calico.NodeStatus); !ok || s.Node != "a" || len(s.Families[calico.IPv4].Peers) != 1 {
		t.Errorf("it holds %+v", kept.decoded)
	}
}

// A cluster has at least one IPAMBlock for each node, of about 10 KB. The informer and the
// store keep less than 300 bytes of each.
func TestIPAMBlocksTakeLittleMemory(t *testing.T) {
	const blocks = 5000
	store := syncedStore(calico.KindIPAMBlock)
	handler := store.handler(calico.KindIPAMBlock)
	held := make([]any, 0, blocks)
	before := heap()
	size := 0
	for i := range blocks {
		block := fullIPAMBlock(t, i)
		if i == 0 {
			text, err := json.Marshal(block)
			if err != nil {
				t.Fatal(err)
			}
			size = len(text)
		}
		kept, err := store.transform(block)
		if err != nil {
			t.Fatal(err)
		}
		handler.OnAdd(kept, true)
		held = append(held, kept)
	}
	each := int(heap()-before) / blocks
	t.Logf("%d bytes of each block of %d bytes of JSON", each, size)
	if size < 9000 || each > 400 {
		t.Errorf("%d bytes are kept of each block of %d bytes of JSON, want at most 400 of more than 9000", each, size)
	}
	if n := len(snapshot(t, store).IPAMBlocks()); n != blocks || len(held) != blocks {
		t.Errorf("the snapshot has %d blocks", n)
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// fullIPAMBlock returns a block in which every address is allocated to a pod.
func fullIPAMBlock(t *testing.T, i int) *unstructured.Unstructured {
	t.Helper()
	name := fmt.Sprintf("10-%d-%d-0-26", i>>8, i&255)
	allocations, attributes := make([]any, 64), make([]any, 64)
	for n := range allocations {
		allocations[n] = n
		attributes[n] = map[string]any{
			"handle_id": fmt.Sprintf("k8s-pod-network.%064d", n),
			"secondary": map[string]any{"namespace": "default", "node": fmt.Sprint("node-", i), "pod": fmt.Sprint("web-5d4f8c7b9-", n), "timestamp": "2026-01-02 03:04:05"},
		}
	}
	text := calicotest.JSON(t, calicotest.Document(t, calico.KindIPAMBlock, name, calicotest.Spec{
		"affinity": fmt.Sprint("host:node-", i), "cidr": fmt.Sprintf("10.%d.%d.0/26", i>>8, i&255), "allocations": allocations, "attributes": attributes,
	}))
	out := &unstructured.Unstructured{}
	if err := out.UnmarshalJSON(text); err != nil {
		t.Fatal(err)
	}
	out.SetResourceVersion(fmt.Sprint(1000 + i))
	return out
}

func TestSecretInformerKeepsNoValue(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	source := fcache.NewFakeControllerSource()
	source.Add(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name: "bgp", Namespace: "calico-system", Annotations: map[string]string{"last": "hunter2"}, Labels: map[string]string{"a": "hunter2"},
			ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "hunter2"}},
		},
		Data: map[string][]byte{"tor": []byte("hunter2")}, StringData: map[string]string{"tor": "hunter2"},
	})
	store := NewStore(logr.Discard())
	store.follow([]calico.Kind{calico.KindSecret})
	informer, err := store.secretInformer(source, store.feeds[0])
	if err != nil {
		t.Fatal(err)
	}
	go informer.RunWithContext(ctx)
	if !toolscache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		t.Fatal("never read")
	}
	held := informer.GetStore().List()
	text, err := json.Marshal(held)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(text); len(held) != 1 || !strings.Contains(got, `"data":{"tor":null}`) || strings.Contains(got, "hunter2") || strings.Contains(got, "aHVudGVyMg") {
		t.Errorf("it holds %s", got)
	}
}

// directReader is an API server with some objects. It records what is listed.
type directReader struct {
	client.Reader
	objects map[string]string // versions by name
	listed  string
	err     error
}

func (r *directReader) List(_ context.Context, into client.ObjectList, options ...client.ListOption) error {
	var o client.ListOptions
	o.ApplyOptions(options)
	list := into.(*metav1.PartialObjectMetadataList)
	r.listed = fmt.Sprint(list.GroupVersionKind(), " ", o.FieldSelector)
	for name, version := range r.objects {
		list.Items = append(list.Items, metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: name, ResourceVersion: version}})
	}
	return r.err
}

func TestCurrentReadsOneObject(t *testing.T) {
	reader := &directReader{objects: map[string]string{"a": "50"}}
	f := &Follower{direct: reader}
	peerA := calico.ID{Kind: calico.KindBGPPeer, Name: "a"}
	if _, err := f.Current(t.Context(), peerA); !errors.Is(err, errUnknownGroup) {
		t.Errorf("before the group is known: %v", err)
	}
	f.found.Store(&served{group: schema.GroupVersion{Group: "crd.projectcalico.org", Version: "v1"}})
	for id, want := range map[calico.ID]string{
		peerA:                                    "50 crd.projectcalico.org/v1, Kind=BGPPeerList metadata.name=a",
		{Kind: calico.KindBGPPeer, Name: "gone"}: " crd.projectcalico.org/v1, Kind=BGPPeerList metadata.name=gone",
		{Kind: calico.KindNode, Name: "a"}:       "50 /v1, Kind=NodeList metadata.name=a",
	} {
		version, err := f.Current(t.Context(), id)
		if got := version + " " + reader.listed; err != nil || got != want {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
	}
	reader.err = errors.New("timeout")
	if _, err := f.Current(t.Context(), peerA); err == nil || err.Error() != "reading BGPPeer a: timeout" {
		t.Errorf("got %v", err)
	}
}

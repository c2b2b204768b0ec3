package auditor

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	metadatafake "k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/bgpguard/bgpguard/pkg/audit"
	"github.com/bgpguard/bgpguard/pkg/openreports"
)

// A panic must not end the process, because it answers requests too.
func TestReportsThatPanicDoNotEndTheProcess(t *testing.T) {
	var log bytes.Buffer
	r := &Reports{ // Without clients it panics.
		options: ReportOptions{Kind: ReportsAuto}, log: logr.FromSlogHandler(slog.NewTextHandler(&log, nil)),
	}
	for range 2 {
		r.Refresh(t.Context())
	}
	if got := log.String(); strings.Count(got, "Cannot write reports") != 1 || !strings.Contains(got, "panic: ") || !strings.Contains(got, "reports_test.go") {
		t.Errorf("logged\n%s", got)
	}
}

// The auditor and Lead end at the same time, so that an audit may be published after Lead has ended.
func TestAFormerLeaderKeepsNoAudit(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r, _ := newFakeReports(openreports.ClusterReport)
	r.Lead(ctx)
	if err := r.Publish(ctx, &audit.Audit{}); err == nil || r.latest != nil {
		t.Errorf("error %v, the latest audit %+v", err, r.latest)
	}
}

// fakeReportAPI is the part of an API server that reportWatches read. It counts requests by verb and
// kind; those of discovery have the verb "discover".
type fakeReportAPI struct {
	mu       sync.Mutex
	served   map[openreports.Kind]bool
	fails    error // of lists and discovery
	requests map[string]int
	watches  []*watch.FakeWatcher
}

// newFakeReports returns Reports that read from a fake API server which serves kinds.
func newFakeReports(kinds ...openreports.Kind) (*Reports, *fakeReportAPI) {
	api := &fakeReportAPI{served: map[openreports.Kind]bool{}, requests: map[string]int{}}
	for _, kind := range kinds {
		api.served[kind] = true
	}
	client := metadatafake.NewSimpleMetadataClient(metadatafake.NewTestScheme())
	client.PrependReactor("list", "*", func(a clienttesting.Action) (bool, runtime.Object, error) {
		return true, &metav1.List{}, api.asked("list", a.GetResource().GroupVersion())
	})
	client.PrependWatchReactor("*", func(a clienttesting.Action) (bool, watch.Interface, error) {
		err := api.asked("watch", a.GetResource().GroupVersion())
		api.mu.Lock()
		defer api.mu.Unlock()
		w := watch.NewFake()
		api.watches = append(api.watches, w)
		return true, w, err
	})
	return &Reports{
		options: ReportOptions{Kind: ReportsAuto}, watches: newReportWatches(api, client), log: logr.Discard(), written: map[string]int64{},
	}, api
}

// ServerResourcesForGroupVersionWithContext implements discoverer.
func (f *fakeReportAPI) ServerResourcesForGroupVersionWithContext(_ context.Context, version string) (*metav1.APIResourceList, error) {
	group, err := schema.ParseGroupVersion(version)
	if err != nil {
		return nil, err
	}
	return &metav1.APIResourceList{APIResources: []metav1.APIResource{{Name: kindIn(group).GroupVersionResource().Resource}}}, f.asked("discover", group)
}

// asked counts a request and returns its error.
func (f *fakeReportAPI) asked(verb string, group schema.GroupVersion) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	kind := kindIn(group)
	f.requests[verb+" "+string(kind)]++
	if !f.served[kind] {
		return apierrors.NewNotFound(schema.GroupResource{}, "")
	}
	return f.fails
}

// serve makes the API server serve a kind, or end its watches.
func (f *fakeReportAPI) serve(kind openreports.Kind, served bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.served[kind] = served
	for _, w := range f.watches {
		w.Stop()
	}
	f.watches = nil
}

// counted returns the requests since the last call, and forgets them.
func (f *fakeReportAPI) counted() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := f.requests
	f.requests = map[string]int{}
	return out
}

func kindIn(group schema.GroupVersion) openreports.Kind {
	for _, kind := range openreports.Kinds {
		if kind.GroupVersionResource().GroupVersion() == group {
			return kind
		}
	}
	return ""
}

func TestAuditsSendNoRequestsToReadReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, api := newFakeReports(openreports.ClusterPolicyReport)
		ctx, cancel := context.WithCancel(t.Context())
		var lead sync.WaitGroup
		lead.Go(func() { r.Lead(ctx) })
		defer lead.Wait()
		defer cancel()
		audits := func(kind openreports.Kind) {
			t.Helper()
			for range 10 {
				if err := r.Publish(ctx, &audit.Audit{}); err != nil || r.kind != kind {
					t.Errorf("writing %q, want %q; error %v", r.kind, kind, err)
				}
			}
		}
		expect := func(when string, want map[string]int) {
			t.Helper()
			if got := api.counted(); !maps.Equal(got, want) {
				t.Errorf("%s: the requests are %v, want %v", when, got, want)
			}
		}

		time.Sleep(time.Second)
		audits(openreports.ClusterPolicyReport)
		expect("one kind is served", map[string]int{
			"discover ClusterReport": 1, "discover ClusterPolicyReport": 1, "list ClusterPolicyReport": 1, "watch ClusterPolicyReport": 1,
		})
		audits(openreports.ClusterPolicyReport)
		expect("ten audits later", nil)
		time.Sleep(3 * reportsInterval)
		audits(openreports.ClusterPolicyReport)
		expect("three minutes later", map[string]int{"discover ClusterReport": 3, "discover ClusterPolicyReport": 3})

		api.mu.Lock()
		api.served[openreports.ClusterReport] = true
		api.mu.Unlock()
		time.Sleep(reportsInterval + time.Second)
		audits(openreports.ClusterReport)
		expect("another kind is served", map[string]int{
			"discover ClusterReport": 1, "discover ClusterPolicyReport": 1, "list ClusterReport": 1, "watch ClusterReport": 1,
		})
	})
}

func TestTheOtherKindIsWrittenWhenAKindIsNoLongerServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, api := newFakeReports(openreports.Kinds...)
		ctx, cancel := context.WithCancel(t.Context())
		var lead sync.WaitGroup
		lead.Go(func() { r.Lead(ctx) })
		defer lead.Wait()
		defer cancel()
		time.Sleep(time.Second)
		if err := r.Publish(ctx, &audit.Audit{}); err != nil || r.kind != openreports.ClusterReport {
			t.Fatalf("writing %q, error %v", r.kind, err)
		}
		api.serve(openreports.ClusterReport, false)
		time.Sleep(5 * time.Second) // Watches start again after a pause.
		if err := r.Publish(ctx, &audit.Audit{}); err != nil || r.kind != openreports.ClusterPolicyReport {
			t.Errorf("writing %q, error %v", r.kind, err)
		}
		api.counted()
		time.Sleep(reportsInterval - 10*time.Second)
		if got := api.counted(); len(got) > 0 {
			t.Errorf("requests although nothing changed: %v", got)
		}
	})
}

func TestReportsThatCannotBeReadAreAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, api := newFakeReports(openreports.ClusterReport)
		api.fails = apierrors.NewForbidden(schema.GroupResource{Resource: "clusterreports"}, "", errors.New("no permission"))
		ctx, cancel := context.WithCancel(t.Context())
		var lead sync.WaitGroup
		lead.Go(func() { r.Lead(ctx) })
		defer lead.Wait()
		defer cancel()
		time.Sleep(time.Second)
		if err := r.Publish(ctx, &audit.Audit{}); !apierrors.IsForbidden(err) {
			t.Errorf("error %v", err)
		}
		api.mu.Lock()
		api.fails = nil
		api.mu.Unlock()
		time.Sleep(reportsInterval + time.Second)
		if err := r.Publish(ctx, &audit.Audit{}); err != nil || r.kind != openreports.ClusterReport {
			t.Errorf("writing %q, error %v", r.kind, err)
		}
	})
}

package auditor

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	metadatafake "k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/bgpguard/bgpguard/pkg/audit"
	"github.com/bgpguard/bgpguard/pkg/openreports"
)

// A panic must not end the process, because it answers requests too.
func TestReportsThatPanicDoNotEndTheProcess(t *testing.T) {
	var log bytes.Buffer
	r := &Reports{ // Without clients it panics.
		options: ReportOptions{Kind: ReportsAuto}, latest: &audit.Audit{}, log: logr.FromSlogHandler(slog.NewTextHandler(&log, nil)),
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
	r := &Reports{log: logr.Discard()}
	r.Lead(ctx)
	if err := r.Publish(ctx, &audit.Audit{}); err == nil || r.latest != nil {
		t.Errorf("error %v, the latest audit %+v", err, r.latest)
	}
}

func TestKindsThatAreNotServedAreNotListedAtEachAudit(t *testing.T) {
	client := metadatafake.NewSimpleMetadataClient(metadatafake.NewTestScheme())
	lists := 0
	client.PrependReactor("list", "*", func(clienttesting.Action) (bool, runtime.Object, error) {
		lists++
		return true, nil, apierrors.NewNotFound(schema.GroupResource{}, "")
	})
	r := &Reports{
		options: ReportOptions{Kind: ReportsAuto}, metadata: client, log: logr.Discard(), written: map[string]int64{}, unserved: map[openreports.Kind]bool{},
	}
	for _, step := range []struct {
		do   func() error
		want int
	}{
		{func() error { return r.Publish(t.Context(), &audit.Audit{}) }, len(openreports.Kinds)},
		{func() error { return r.Publish(t.Context(), &audit.Audit{}) }, 0},
		{func() error { r.Refresh(t.Context()); return nil }, len(openreports.Kinds)},
	} {
		lists = 0
		if err := step.do(); err != nil || lists != step.want {
			t.Errorf("%d lists, want %d; error %v", lists, step.want, err)
		}
	}
}

package auditor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/openreports/reports-api/apis/openreports.io/v1alpha1"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	bgpguard "github.com/bgpguard/bgpguard/pkg/api/v1alpha1"
	"github.com/bgpguard/bgpguard/pkg/audit"
	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/loop"
	"github.com/bgpguard/bgpguard/pkg/openreports"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// The values of --reports. With ReportsNone the caller makes no Reports.
const (
	// ReportsAuto writes openreports.io if it is served, else wgpolicyk8s.io if that is
	// served, else nothing.
	ReportsAuto = "auto"
	// ReportsOpenReports writes openreports.io only.
	ReportsOpenReports = "openreports"
	// ReportsPolicyReport writes wgpolicyk8s.io only.
	ReportsPolicyReport = "policyreport"
	// ReportsNone writes no reports and keeps existing ones.
	ReportsNone = "none"
)

// ReportKinds lists the values of --reports.
var ReportKinds = []string{ReportsAuto, ReportsOpenReports, ReportsPolicyReport, ReportsNone}

const (
	// reportManager is the field manager of the reports.
	reportManager = "bgpguard-audit"
	// hashAnnotation holds a hash of the contents of a report, so that the next leader
	// knows whether to write it without reading it whole.
	hashAnnotation = "bgpguard.io/content-hash"
	// reportsLimit bounds the time to write all reports, reportWriters the number of
	// concurrent writes.
	reportsLimit  = 20 * time.Second
	reportWriters = 4
	// reportsInterval is how often the served kinds, and reports that others have changed,
	// are checked between audits.
	reportsInterval = time.Minute
)

// ReportOptions configure Reports.
type ReportOptions struct {
	// Kind is one of ReportKinds other than ReportsNone.
	Kind string
	// Reference returns the objects of violations, and the BGPPolicies that own the
	// reports. A BGPPolicy without a UID owns none.
	Reference Reference
}

// Reports writes the results of audits as objects that tools such as Policy Reporter show.
// It is a Publisher. The leader calls Lead, which restores missing reports.
type Reports struct {
	options ReportOptions
	objects dynamic.Interface
	watches *reportWatches
	log     logr.Logger

	mu sync.Mutex
	// discovered reports that the served kinds are known.
	discovered bool
	// latest is the audit that was published last, nil before the first.
	latest *audit.Audit
	// kind is the kind that is written, "" for none; logged reports that it was logged.
	kind   openreports.Kind
	logged bool
	// written are the generations at which reports were last known to be correct, by name.
	// A change to the contents of a report raises its generation.
	written map[string]int64
	failure loop.Failure
}

// NewReports returns a writer of reports. The caller adds it to the publishers of an Auditor.
func NewReports(config *rest.Config, client *http.Client, o ReportOptions, log logr.Logger) (*Reports, error) {
	objects, err := dynamic.NewForConfigAndClient(config, client)
	if err != nil {
		return nil, fmt.Errorf("creating a client for reports: %w", err)
	}
	reads, err := metadata.NewForConfigAndClient(config, client)
	if err != nil {
		return nil, fmt.Errorf("creating a client for reports: %w", err)
	}
	kinds, err := discovery.NewDiscoveryClientForConfigAndClient(config, client)
	if err != nil {
		return nil, fmt.Errorf("creating a client for reports: %w", err)
	}
	return &Reports{options: o, objects: objects, watches: newReportWatches(kinds, reads), log: log, written: map[string]int64{}}, nil
}

// Lead follows the reports, and restores those of the last audit at once and then every minute,
// until ctx is done. It then forgets them: another replica may write reports.
func (r *Reports) Lead(ctx context.Context) {
	defer r.forget()
	ticker := time.NewTicker(reportsInterval)
	defer ticker.Stop()
	for ctx.Err() == nil {
		r.Refresh(ctx)
		select {
		case <-ctx.Done():
		case <-ticker.C:
		case <-r.watches.ended:
		}
	}
}

// forget ends what Refresh has started.
func (r *Reports) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.watches.forget()
	r.latest, r.discovered = nil, false
	clear(r.written)
}

// Refresh finds out which kinds are served, follows them until ctx is done, and writes the reports of
// the last audit that are missing or were changed. It logs an error once. A panic does not end the
// process, which answers requests too.
func (r *Reports) Refresh(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer func() {
		if p := recover(); p != nil {
			r.logError(fmt.Errorf("panic: %v", p), "stack", string(debug.Stack()))
		}
	}()
	limit, cancel := context.WithTimeout(ctx, reportsLimit)
	defer cancel()
	r.watches.discover(ctx, limit)
	r.discovered = true
	if r.latest == nil {
		return
	}
	if err := r.write(limit, r.latest); err != nil && ctx.Err() == nil {
		r.logError(err)
		return
	}
	r.failure.Clear()
}

// logError logs an error, once until Refresh succeeds.
func (r *Reports) logError(err error, more ...any) {
	if r.failure.Changed(err) {
		r.log.Error(err, "Cannot write reports, trying again", more...)
	}
}

// Publish implements Publisher. It is no error if no kind of report is served. Before Lead knows
// the reports, it leaves the audit to Lead.
func (r *Reports) Publish(ctx context.Context, a *audit.Audit) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if ctx.Err() != nil { // Lead may have ended.
		return ctx.Err()
	}
	r.latest = a
	if !r.discovered {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, reportsLimit)
	defer cancel()
	return r.write(ctx, a)
}

// write makes the reports in the cluster equal to those of an audit. It writes those that
// differ, and deletes those of policies that are not in force and of the other kind. The watches
// may not show yet what was written a moment before: to write it again changes nothing.
func (r *Reports) write(ctx context.Context, a *audit.Audit) error {
	existing := map[openreports.Kind][]*metav1.PartialObjectMetadata{}
	var errs []error
	for _, kind := range openreports.Kinds {
		reports, served, err := r.watches.list(kind)
		switch {
		case err != nil && r.wants(kind): // The next kind may be the wrong one.
			return fmt.Errorf("reading reports: %w", err)
		case err != nil:
			errs = append(errs, fmt.Errorf("reading reports: %w", err))
		case served:
			existing[kind] = reports
		}
	}
	r.choose(existing)
	for _, kind := range openreports.Kinds {
		if kind != r.kind {
			errs = append(errs, r.remove(ctx, kind, existing[kind], nil))
		}
	}
	if r.kind != "" {
		errs = append(errs, r.reconcile(ctx, a, existing[r.kind]))
	}
	return errors.Join(errs...)
}

// wants reports whether a kind may be written.
func (r *Reports) wants(kind openreports.Kind) bool {
	switch r.options.Kind {
	case ReportsOpenReports:
		return kind == openreports.ClusterReport
	case ReportsPolicyReport:
		return kind == openreports.ClusterPolicyReport
	default:
		return true
	}
}

// choose selects the first kind that may be written and is served, and logs a change.
func (r *Reports) choose(served map[openreports.Kind][]*metav1.PartialObjectMetadata) {
	chosen := openreports.Kind("")
	for _, kind := range openreports.Kinds {
		if _, ok := served[kind]; ok && r.wants(kind) {
			chosen = kind
			break
		}
	}
	if chosen == r.kind && r.logged {
		return
	}
	r.kind, r.logged = chosen, true
	clear(r.written)
	if chosen == "" {
		r.log.Info("Writing no reports, as the API server does not serve their kind; checking again every minute", "reports", r.options.Kind)
		return
	}
	r.log.Info("Writing reports", "resource", chosen.GroupVersionResource().GroupResource().String())
}

// reconcile writes the reports of an audit that differ from the existing ones, and deletes
// the other existing ones.
func (r *Reports) reconcile(ctx context.Context, a *audit.Audit, existing []*metav1.PartialObjectMetadata) error {
	references := map[violation.Object]corev1.ObjectReference{}
	reports := openreports.Reports(a, func(o violation.Object) corev1.ObjectReference {
		ref, ok := references[o]
		if !ok {
			ref = r.reference(ctx, o)
			references[o] = ref
		}
		return ref
	})
	policies := map[string]string{}
	for i := range a.Policies {
		policies[openreports.Name(a.Policies[i].Name)] = a.Policies[i].Name
	}
	live := make(map[string]*metav1.PartialObjectMetadata, len(existing))
	for _, report := range existing {
		live[report.Name] = report
	}
	wanted := make(map[string]bool, len(reports))
	var due []*unstructured.Unstructured
	for _, report := range reports {
		wanted[report.Name] = true
		object, hash := r.object(report, r.reference(ctx, violation.Object{Kind: bgpguard.KindBGPPolicy, Name: policies[report.Name]}))
		if is := live[report.Name]; is == nil || is.Annotations[hashAnnotation] != hash || !r.correct(is) {
			due = append(due, object)
		}
	}
	errs := r.apply(ctx, due)
	return errors.Join(append(errs, r.remove(ctx, r.kind, existing, wanted))...)
}

// reference returns the object as ReportOptions.Reference does, else by its kind and name.
func (r *Reports) reference(ctx context.Context, o violation.Object) corev1.ObjectReference {
	if r.options.Reference != nil {
		if ref, ok := r.options.Reference(ctx, calico.Kind(o.Kind), o.Name); ok {
			return ref
		}
	}
	return openreports.References(o)
}

// object returns a report in the form in which it is written, and a hash of it. Its
// BGPPolicy owns it, so that the API server deletes both even if bgpguard does not run.
func (r *Reports) object(report *v1alpha1.ClusterReport, policy corev1.ObjectReference) (*unstructured.Unstructured, string) {
	if policy.UID != "" {
		report.OwnerReferences = []metav1.OwnerReference{{APIVersion: policy.APIVersion, Kind: policy.Kind, Name: policy.Name, UID: policy.UID}}
	}
	object := r.kind.Object(report)
	text, err := json.Marshal(object.Object) // Fields are sorted by name.
	if err != nil {
		panic(err) // It was made from an API type.
	}
	sum := sha256.Sum256(text)
	hash := hex.EncodeToString(sum[:16])
	annotations := object.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[hashAnnotation] = hash
	object.SetAnnotations(annotations)
	return object, hash
}

// correct reports whether nobody changed a report since it was last known to be correct. A
// report that is seen for the first time counts as correct: the previous leader wrote it.
func (r *Reports) correct(is *metav1.PartialObjectMetadata) bool {
	generation, ok := r.written[is.Name]
	if !ok {
		r.written[is.Name] = is.Generation
	}
	return !ok || generation == is.Generation
}

// apply writes reports concurrently. It is no error if their kind is not served any more:
// the next choose notices it.
func (r *Reports) apply(ctx context.Context, due []*unstructured.Unstructured) []error {
	var mu sync.Mutex // of r.written and errs
	var errs []error
	var group errgroup.Group
	group.SetLimit(reportWriters)
	for _, object := range due {
		name := object.GetName()
		group.Go(func() error {
			applied, err := r.objects.Resource(r.kind.GroupVersionResource()).Apply(ctx, name, object,
				metav1.ApplyOptions{FieldManager: reportManager, Force: true})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				r.written[name] = applied.GetGeneration()
			case !gone(err): // The others are still written.
				errs = append(errs, fmt.Errorf("writing report %s: %w", name, err))
			}
			return nil
		})
	}
	_ = group.Wait() // The functions return no errors.
	return errs
}

// remove deletes the existing reports of bgpguard that are not wanted.
func (r *Reports) remove(ctx context.Context, kind openreports.Kind, existing []*metav1.PartialObjectMetadata, wanted map[string]bool) error {
	var errs []error
	for _, o := range existing {
		if wanted[o.Name] || !strings.HasPrefix(o.Name, openreports.NamePrefix) {
			continue
		}
		delete(r.written, o.Name)
		err := r.objects.Resource(kind.GroupVersionResource()).Delete(ctx, o.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &o.UID}})
		if err != nil && !gone(err) && !apierrors.IsConflict(err) { // Another object with this name is handled next time.
			errs = append(errs, fmt.Errorf("deleting report %s: %w", o.Name, err))
		}
	}
	return errors.Join(errs...)
}

// gone reports whether an error says that an object or its kind does not exist, or is about
// to be removed.
func gone(err error) bool { return apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) }

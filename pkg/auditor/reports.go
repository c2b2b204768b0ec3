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
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	bgpguard "github.com/bgpguard/bgpguard/pkg/api/v1alpha1"
	"github.com/bgpguard/bgpguard/pkg/audit"
	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/openreports"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// The values of ReportOptions.Kind, beside ReportsNone, with which there is to be no
// Reports at all.
const (
	// ReportsAuto writes openreports.io where it is served, or else wgpolicyk8s.io where
	// that is, or else nothing.
	ReportsAuto = "auto"
	// ReportsOpenReports writes openreports.io only.
	ReportsOpenReports = "openreports"
	// ReportsPolicyReport writes wgpolicyk8s.io only.
	ReportsPolicyReport = "policyreport"
	// ReportsNone writes no reports, and leaves those that are there.
	ReportsNone = "none"
)

// ReportKinds lists what --reports may say.
var ReportKinds = []string{ReportsAuto, ReportsOpenReports, ReportsPolicyReport, ReportsNone}

const (
	// reportManager is the field manager of the reports.
	reportManager = "bgpguard-audit"
	// hashAnnotation holds a hash of what a report says, so that the next replica that
	// is elected knows without reading it all whether it has to be written.
	hashAnnotation = "bgpguard.io/content-hash"
	// reportsLimit bounds the writing of all reports, reportWriters how many are
	// written at once.
	reportsLimit  = 20 * time.Second
	reportWriters = 4
	// reportsInterval is how often it is looked for the kinds that are served, and for
	// reports that others have changed, where no audit does so.
	reportsInterval = time.Minute
)

// ReportOptions say which reports are written.
type ReportOptions struct {
	// Kind is one of ReportKinds, and not ReportsNone.
	Kind string
	// Reference names the objects of violations, and the BGPPolicies that own the
	// reports; those that it names without a UID own none.
	Reference Reference
}

// Reports writes what audits find as objects that tools such as Policy Reporter show. It
// is a Publisher, and a manager.Runnable that writes again what is missing: on the
// elected replica only, both.
type Reports struct {
	options ReportOptions
	objects dynamic.Interface
	// metadata lists reports without what is in them, which can be much.
	metadata metadata.Interface
	log      logr.Logger

	mu sync.Mutex
	// latest is the audit that was published last, nil before the first.
	latest *audit.Audit
	// kind is the one that is written, "" for none; said tells that it is in the log.
	kind openreports.Kind
	said bool
	// written are the generations of the reports as they were last known to be right, by
	// name. Whoever changes what is in one raises its generation.
	written map[string]int64
	// failed is the last error of the runnable in the log.
	failed string
}

// NewReports returns a writer of reports; the caller adds it to the manager, and to the
// publishers of an Auditor.
func NewReports(config *rest.Config, client *http.Client, o ReportOptions, log logr.Logger) (*Reports, error) {
	objects, err := dynamic.NewForConfigAndClient(config, client)
	if err != nil {
		return nil, fmt.Errorf("making a client for reports: %w", err)
	}
	lists, err := metadata.NewForConfigAndClient(config, client)
	if err != nil {
		return nil, fmt.Errorf("making a client for reports: %w", err)
	}
	return &Reports{options: o, objects: objects, metadata: lists, log: log, written: map[string]int64{}}, nil
}

// NeedLeaderElection tells the manager that only the elected replica writes reports.
func (*Reports) NeedLeaderElection() bool { return true }

// Start looks every minute whether the reports of the last audit are all there, until
// ctx is done.
func (r *Reports) Start(ctx context.Context) error {
	ticker := time.NewTicker(reportsInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			r.Refresh(ctx)
		}
	}
}

// Refresh writes the reports of the last audit that are missing or not as they should
// be. What goes wrong is in the log, once; what panics does not end the process, which
// answers requests too.
func (r *Reports) Refresh(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer func() {
		if p := recover(); p != nil {
			r.sayError(fmt.Errorf("it panicked: %v", p), "stack", string(debug.Stack()))
		}
	}()
	if r.latest == nil {
		return
	}
	if err := r.write(ctx, r.latest); err != nil && ctx.Err() == nil {
		r.sayError(err)
		return
	}
	r.failed = ""
}

// sayError logs an error once, until all is well.
func (r *Reports) sayError(err error, more ...any) {
	if text := err.Error(); text != r.failed {
		r.failed = text
		r.log.Error(err, "Cannot write reports, trying again", more...)
	}
}

// Publish implements Publisher. That no kind of report is served is no error.
func (r *Reports) Publish(ctx context.Context, a *audit.Audit) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.latest = a
	return r.write(ctx, a)
}

// write brings the reports in the cluster in line with an audit: those that differ are
// written, those of policies that are gone are deleted, as are those of a kind that is
// not written any more.
func (r *Reports) write(ctx context.Context, a *audit.Audit) error {
	ctx, cancel := context.WithTimeout(ctx, reportsLimit)
	defer cancel()
	there := map[openreports.Kind][]metav1.PartialObjectMetadata{}
	var errs []error
	for _, kind := range openreports.Kinds {
		items, err := r.list(ctx, kind)
		switch {
		case gone(err):
		case err != nil && r.wants(kind): // Taking the next kind could be taking the wrong one.
			return fmt.Errorf("listing reports: %w", err)
		case err != nil:
			errs = append(errs, fmt.Errorf("listing reports: %w", err))
		default:
			there[kind] = items
		}
	}
	r.choose(there)
	for _, kind := range openreports.Kinds {
		if kind != r.kind {
			errs = append(errs, r.remove(ctx, kind, there[kind], nil))
		}
	}
	if r.kind != "" {
		errs = append(errs, r.bring(ctx, a, there[r.kind]))
	}
	return errors.Join(errs...)
}

// list lists the reports of a kind that bgpguard has written.
func (r *Reports) list(ctx context.Context, kind openreports.Kind) ([]metav1.PartialObjectMetadata, error) {
	list, err := r.metadata.Resource(kind.GroupVersionResource()).List(ctx, metav1.ListOptions{
		LabelSelector: openreports.ManagedByLabel + "=" + openreports.Source,
	})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
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

// choose takes the first kind that may be written and is served, and tells of it where
// it is another than before.
func (r *Reports) choose(served map[openreports.Kind][]metav1.PartialObjectMetadata) {
	chosen := openreports.Kind("")
	for _, kind := range openreports.Kinds {
		if _, ok := served[kind]; ok && r.wants(kind) {
			chosen = kind
			break
		}
	}
	if chosen == r.kind && r.said {
		return
	}
	r.kind, r.said = chosen, true
	clear(r.written)
	if chosen == "" {
		r.log.Info("Writing no reports, as the API server does not serve their kind; looking again every minute", "reports", r.options.Kind)
		return
	}
	r.log.Info("Writing reports", "resource", chosen.GroupVersionResource().GroupResource().String())
}

// bring writes the reports that are not as the audit has them and removes the rest of
// those that are there.
func (r *Reports) bring(ctx context.Context, a *audit.Audit, there []metav1.PartialObjectMetadata) error {
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
	live := make(map[string]*metav1.PartialObjectMetadata, len(there))
	for i := range there {
		live[there[i].Name] = &there[i]
	}
	wanted := make(map[string]bool, len(reports))
	var due []*unstructured.Unstructured
	for _, report := range reports {
		wanted[report.Name] = true
		object, hash := r.object(report, r.reference(ctx, violation.Object{Kind: bgpguard.KindBGPPolicy, Name: policies[report.Name]}))
		if is := live[report.Name]; is == nil || is.Annotations[hashAnnotation] != hash || !r.right(is) {
			due = append(due, object)
		}
	}
	errs := r.apply(ctx, due)
	return errors.Join(append(errs, r.remove(ctx, r.kind, there, wanted))...)
}

// reference names an object as the API server serves it, or as a reader would find it.
func (r *Reports) reference(ctx context.Context, o violation.Object) corev1.ObjectReference {
	if r.options.Reference != nil {
		if ref, ok := r.options.Reference(ctx, calico.Kind(o.Kind), o.Name); ok {
			return ref
		}
	}
	return openreports.References(o)
}

// object gives a report the form in which it is written, and a hash of that. Its policy
// owns it where it is an object, so that it goes with it whether or not bgpguard runs.
func (r *Reports) object(report *v1alpha1.ClusterReport, policy corev1.ObjectReference) (*unstructured.Unstructured, string) {
	if policy.UID != "" {
		report.OwnerReferences = []metav1.OwnerReference{{APIVersion: policy.APIVersion, Kind: policy.Kind, Name: policy.Name, UID: policy.UID}}
	}
	object := r.kind.Object(report)
	text, err := json.Marshal(object.Object) // Sorted by the names of fields.
	if err != nil {
		panic(err) // It was made from a type of an API.
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

// right reports whether a report is as it was when it was last known to be right. One
// that is seen for the first time is: the replica before wrote it.
func (r *Reports) right(is *metav1.PartialObjectMetadata) bool {
	generation, ok := r.written[is.Name]
	if !ok {
		r.written[is.Name] = is.Generation
	}
	return !ok || generation == is.Generation
}

// apply writes reports, a few at once. Where their kind is not served any more there is
// nothing to write to; the next look tells.
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
			case !gone(err): // The others are written all the same.
				errs = append(errs, fmt.Errorf("writing report %s: %w", name, err))
			}
			return nil
		})
	}
	_ = group.Wait() // None returns an error.
	return errs
}

// remove deletes bgpguard's reports that are there and not wanted.
func (r *Reports) remove(ctx context.Context, kind openreports.Kind, there []metav1.PartialObjectMetadata, wanted map[string]bool) error {
	var errs []error
	for i := range there {
		o := &there[i]
		if wanted[o.Name] || !strings.HasPrefix(o.Name, openreports.NamePrefix) {
			continue
		}
		delete(r.written, o.Name)
		err := r.objects.Resource(kind.GroupVersionResource()).Delete(ctx, o.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &o.UID}})
		if err != nil && !gone(err) && !apierrors.IsConflict(err) { // Another that has its name now is seen next time.
			errs = append(errs, fmt.Errorf("deleting report %s: %w", o.Name, err))
		}
	}
	return errors.Join(errs...)
}

// gone reports whether an error says that an object, or its kind, is not there, or is
// about to go.
func gone(err error) bool { return apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) }

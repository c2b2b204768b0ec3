package server

import (
	"context"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/bgpguard/bgpguard/pkg/api/v1alpha1"
	"github.com/bgpguard/bgpguard/pkg/audit"
	"github.com/bgpguard/bgpguard/pkg/auditor"
	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/cluster"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/validate"
)

// auditing is what keeps the audit.
type auditing struct {
	*auditor.Auditor
	exemptions *auditor.Exemptions
	reports    *auditor.Reports // nil where none are written
}

// newAuditing audits what follower follows by engine's policies, once known is so.
func newAuditing(mgr manager.Manager, engine *validate.Engine, known auditable, follower *cluster.Follower, policies *policies, o *Options, log logr.Logger) (auditing, error) {
	log = log.WithName("audit")
	named := reference(mgr.GetCache(), follower, policies)
	publishers := []auditor.Publisher{status{policies.recount}}
	a := auditing{exemptions: auditor.NewExemptions(mgr, replica(), log)}
	if o.Reports != auditor.ReportsNone {
		var err error
		if a.reports, err = auditor.NewReports(mgr.GetConfig(), mgr.GetHTTPClient(), auditor.ReportOptions{Kind: o.Reports, Reference: named}, log); err != nil {
			return auditing{}, err
		}
		publishers = append(publishers, a.reports)
	}
	a.Auditor = auditor.New(mgr, engine, known, a.exemptions, auditor.Options{
		Delay: o.AuditDelay, Interval: o.AuditInterval, Namespace: o.namespace(namespaceFile), Replica: replica(),
		Notes: func() []string {
			var notes []string
			for _, u := range known.Unread() {
				notes = append(notes, u.String())
			}
			return notes
		},
		Reference: named, Publishers: publishers,
	}, log)
	return a, nil
}

// runnables are what the manager is to run.
func (a auditing) runnables() []manager.Runnable {
	runnables := []manager.Runnable{a.Auditor, a.exemptions}
	if a.reports != nil {
		runnables = append(runnables, a.reports)
	}
	return runnables
}

// auditable is a cluster that can be audited: all policies are known, with the library
// that they name. Without that, what they find would seem to come and go at each start.
type auditable struct {
	judgedBy
	library healthz.Checker
}

// Snapshot is the store's.
func (c auditable) Snapshot() (*state.Snapshot, time.Duration, error) {
	if err := c.library(nil); err != nil {
		return nil, 0, err
	}
	return c.judgedBy.Snapshot()
}

// status has the violations in the status of BGPPolicies counted again.
type status struct{ recount func() }

// Publish implements auditor.Publisher.
func (s status) Publish(context.Context, *audit.Audit) error {
	s.recount()
	return nil
}

// reference names Calico's objects and Nodes, and BGPPolicies, which are in the cache
// where they are what is enforced.
func reference(cached client.Reader, follower *cluster.Follower, policies *policies) auditor.Reference {
	return func(ctx context.Context, kind calico.Kind, name string) (corev1.ObjectReference, bool) {
		if kind != v1alpha1.KindBGPPolicy {
			return follower.Reference(ctx, kind, name)
		}
		ref := corev1.ObjectReference{APIVersion: v1alpha1.APIVersion, Kind: v1alpha1.KindBGPPolicy, Name: name}
		var o v1alpha1.BGPPolicy
		if policies.objects && cached.Get(ctx, client.ObjectKey{Name: name}, &o) == nil {
			ref.UID = o.UID
		}
		return ref, true
	}
}

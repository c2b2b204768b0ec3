package server

import (
	"context"
	"time"

	"github.com/go-logr/logr"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/bgpguard/bgpguard/pkg/api/v1alpha1"
	"github.com/bgpguard/bgpguard/pkg/auditor"
	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/cluster"
	"github.com/bgpguard/bgpguard/pkg/enforce"
	"github.com/bgpguard/bgpguard/pkg/leader"
	"github.com/bgpguard/bgpguard/pkg/process"
	"github.com/bgpguard/bgpguard/pkg/registration"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/validate"
)

// auditing audits the cluster, and records the changes of exempt users.
type auditing struct {
	*auditor.Auditor

	exemptions   *auditor.Exemptions
	reports      *auditor.Reports // nil with --reports=none
	registration *auditor.Registration
}

// newAuditing audits what follower follows. verify returns an error if a CA bundle does not
// verify the serving certificate.
func newAuditing(mgr manager.Manager, engine *validate.Engine, ready readyCluster, follower *cluster.Follower, p policies, o *Options, verify func([]byte) error, log logr.Logger) (auditing, error) {
	reference := func(ctx context.Context, kind calico.Kind, name string) (corev1.ObjectReference, bool) {
		if kind == v1alpha1.KindBGPPolicy {
			return p.reference(ctx, mgr.GetCache(), name), true
		}
		return follower.Reference(ctx, kind, name)
	}
	a := auditing{exemptions: auditor.NewExemptions(mgr, process.Namespace(o.Namespace), replica(), log)}
	expected := registration.Expected{Name: o.WebhookConfiguration, Namespace: process.Namespace(o.Namespace), Verify: verify, FailurePolicy: admissionregistrationv1.FailurePolicyType(o.FailurePolicy)}
	if o.CertDir == "" {
		expected.Service = o.CertService
	}
	var err error
	if a.registration, err = auditor.NewRegistration(mgr, expected, replica(), log); err != nil {
		return auditing{}, err
	}
	publishers := []auditor.Publisher{p}
	if o.Reports != auditor.ReportsNone {
		if a.reports, err = auditor.NewReports(mgr.GetConfig(), mgr.GetHTTPClient(), auditor.ReportOptions{Kind: o.Reports, Reference: reference}, log); err != nil {
			return auditing{}, err
		}
		publishers = append(publishers, a.reports)
	}
	a.Auditor = auditor.New(mgr, engine, ready, a.exemptions, auditor.Options{
		Delay: o.AuditDelay, Interval: o.AuditInterval, Namespace: process.Namespace(o.Namespace), Replica: replica(),
		Notes: func() []string {
			var notes []string
			for _, u := range ready.Unread() {
				notes = append(notes, u.String())
			}
			if reason, _ := a.notAsked(); reason != "" {
				notes = append(notes, reason)
			}
			return notes
		},
		Reference: reference, Publishers: publishers,
	}, log)
	a.registration.OnChange(func() {
		a.Notify()
		p.refresh()
	})
	return a, nil
}

// notAsked returns why the API server does not ask this webhook about all changes, "" if it
// does, and whether that is known.
func (a auditing) notAsked() (reason string, known bool) {
	differences, known := a.registration.Differences()
	if len(differences) > 0 {
		reason = registration.Describe(differences)
	}
	return reason, known
}

// work returns what depends on the leadership.
func (a auditing) work() []leader.Work {
	work := []leader.Work{{Lead: a.Lead, Follow: a.Follow}, {Lead: a.registration.Lead}}
	if a.reports != nil {
		work = append(work, leader.Work{Lead: a.reports.Lead})
	}
	return work
}

// readyCluster is a store that returns no snapshot before the policies are in
// force: without policies, every change would be allowed.
type readyCluster struct {
	*cluster.Store

	policies policies
	// sources is nil where the library need not be complete.
	sources *enforce.Sources
}

// Snapshot returns the snapshot of the store.
func (c readyCluster) Snapshot() (*state.Snapshot, time.Duration, error) {
	if err := c.policies.check(nil); err != nil {
		return nil, 0, err
	}
	if c.sources != nil {
		if err := c.sources.Check(nil); err != nil {
			return nil, 0, err
		}
	}
	return c.Store.Snapshot()
}

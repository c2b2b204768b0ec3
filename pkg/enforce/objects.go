package enforce

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/bgpguard/bgpguard/pkg/api/v1alpha1"
	"github.com/bgpguard/bgpguard/pkg/loop"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/text"
)

// Intervals of Objects.
const (
	// retryInterval is the time between two attempts to find the CRD of BGPPolicies.
	retryInterval = time.Second
	// recheckInterval is how often tests that exceeded their time limit are run
	// again.
	recheckInterval = time.Minute
)

// ErrNotServed is wrapped by the error of Check if the cluster does not serve BGPPolicies:
// their CRD is not installed.
var ErrNotServed = errors.New("the API server does not serve " + v1alpha1.KindBGPPolicy + " of " + v1alpha1.APIVersion)

// Objects updates a keeper when the BGPPolicies of a cluster change. It is a
// manager.Runnable.
type Objects struct {
	keeper    *Keeper
	cache     cache.Cache
	log       logr.Logger
	changed   loop.Signal
	read      atomic.Bool
	notServed atomic.Bool
	// failed is the last error before the BGPPolicies could be read.
	failed atomic.Pointer[error]
	status *status // nil if the status is not written
}

// NewObjects returns an Objects for the cluster of mgr, whose scheme must include
// BGPPolicies. The caller adds it to mgr.
func NewObjects(mgr manager.Manager, keeper *Keeper, log logr.Logger) *Objects {
	return &Objects{keeper: keeper, cache: mgr.GetCache(), log: log, changed: loop.NewSignal()}
}

// StatusOptions configure the status of BGPPolicies.
type StatusOptions struct {
	// Replica is the name of this process.
	Replica string
	// Count returns the violations.
	Count Count
	// NotAsked returns why the API server does not ask bgpguard about all changes, "" if it does,
	// and whether that is known.
	NotAsked func() (reason string, known bool)
	// TooLarge returns why the state is too large to be evaluated, "" if it is not.
	TooLarge func() string
}

// WriteStatus makes Objects write the status of BGPPolicies: each replica its own
// entry, the leader the rest, in Lead. Call it before Start.
func (o *Objects) WriteStatus(mgr manager.Manager, options StatusOptions) {
	o.status = &status{
		keeper: o.keeper, count: options.Count, notAsked: options.NotAsked, tooLarge: options.TooLarge, replica: options.Replica, log: o.log,
		cached: mgr.GetCache(), live: mgr.GetAPIReader(), writer: mgr.GetClient().Status(), now: time.Now,
		own: loop.NewSignal(), rest: loop.NewSignal(), lagging: map[lag]time.Time{},
	}
}

// NeedLeaderElection implements manager.LeaderElectionRunnable: every replica
// follows the BGPPolicies.
func (o *Objects) NeedLeaderElection() bool { return false }

// Check is a healthz.Checker for readiness: it fails until all BGPPolicies were
// read and the valid ones are in force. The error is a state.ErrNotSynced.
func (o *Objects) Check(*http.Request) error {
	switch {
	case o.read.Load():
		return nil
	case o.notServed.Load():
		return fmt.Errorf("%w: %w", state.ErrNotSynced, ErrNotServed)
	case o.failed.Load() != nil:
		return fmt.Errorf("%w: reading %s of %s: %w", state.ErrNotSynced, v1alpha1.KindBGPPolicy, v1alpha1.APIVersion, *o.failed.Load())
	default:
		return fmt.Errorf("%w: still reading %s of %s from the API server", state.ErrNotSynced, v1alpha1.KindBGPPolicy, v1alpha1.APIVersion)
	}
}

// Lead writes the leader's part of the status until ctx is done.
func (o *Objects) Lead(ctx context.Context) {
	if o.status == nil {
		<-ctx.Done()
		return
	}
	clear(o.status.lagging) // The times are of an earlier term.
	o.status.rest.Send()
	runOnSignal(ctx, o.status.rest, restDelay, restInterval, func() {
		if o.read.Load() {
			o.status.lead(ctx)
		}
	})
}

// Refresh makes the leader write its part of the status soon, if it differs.
func (o *Objects) Refresh() {
	if o.status != nil {
		o.status.rest.Send()
	}
}

// ReportedNotAsked reports whether the status of the BGPPolicies has notAsked as the reason why the
// API server does not ask bgpguard about all changes, "" for none.
func (o *Objects) ReportedNotAsked(ctx context.Context, notAsked string) bool {
	var list v1alpha1.BGPPolicyList
	if !o.read.Load() || o.cache.List(ctx, &list) != nil {
		return false
	}
	written := ""
	for i := range list.Items {
		if c := meta.FindStatusCondition(list.Items[i].Status.Conditions, v1alpha1.ConditionEnforced); c != nil && c.Reason == v1alpha1.ReasonNotAsked {
			written = c.Message
		}
	}
	return written == text.Cut(notAsked, maxMessage)
}

// Start follows the BGPPolicies until ctx is done. They may be served later: bgpguard can be
// installed before its CRD.
func (o *Objects) Start(ctx context.Context) error {
	var failure loop.Failure
	var wg sync.WaitGroup
	defer wg.Wait()
	return followKind(ctx, o.cache, followed{
		kind: &v1alpha1.BGPPolicy{}, retry: retryInterval, changed: o.changed,
		found: func(err error) {
			o.notServed.Store(meta.IsNoMatchError(err))
			o.failed.Store(nil)
			if err != nil {
				o.failed.Store(&err)
			}
			if err != nil && failure.Changed(err) {
				o.log.Error(err, "Cannot read BGPPolicies yet, retrying until they are served: kubectl apply -k config/crd")
			}
		},
		begin: func() {
			if o.status != nil {
				wg.Go(func() { o.status.keepOwn(ctx) })
			}
		},
		load: func() (time.Duration, error) { return recheckInterval, o.load(ctx) },
	})
}

// load passes the current BGPPolicies to the keeper.
func (o *Objects) load(ctx context.Context) error {
	var list v1alpha1.BGPPolicyList
	if err := o.cache.List(ctx, &list); err != nil {
		return fmt.Errorf("reading BGPPolicies: %w", err)
	}
	documents := make([]policy.Document, len(list.Items))
	for i, item := range list.Items {
		documents[i].BGPPolicy = item
	}
	had := len(o.keeper.Outcomes()) > 0
	o.keeper.SetDocuments(documents)
	if first := !o.read.Swap(true); len(documents) == 0 && (first || had) {
		o.log.Info("The cluster has no BGPPolicy: no policy is in force")
	}
	if o.status != nil {
		o.status.own.Send()
		o.status.rest.Send()
	}
	return nil
}

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
	"k8s.io/apimachinery/pkg/util/wait"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/bgpguard/bgpguard/pkg/api/v1alpha1"
	"github.com/bgpguard/bgpguard/pkg/loop"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
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
}

// WriteStatus makes Objects write the status of BGPPolicies: each replica its own
// entry, the leader the rest, in Lead. Call it before Start.
func (o *Objects) WriteStatus(mgr manager.Manager, options StatusOptions) {
	o.status = &status{
		keeper: o.keeper, count: options.Count, notAsked: options.NotAsked, replica: options.Replica, log: o.log,
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

// Start follows the BGPPolicies until ctx is done.
func (o *Objects) Start(ctx context.Context) error {
	registration, err := o.subscribe(ctx)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case <-registration.HasSyncedChecker().Done():
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	if o.status != nil {
		wg.Go(func() { o.status.keepOwn(ctx) })
	}
	recheck := time.NewTicker(recheckInterval)
	defer recheck.Stop()
	for {
		if err := o.load(ctx); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-o.changed:
		case <-recheck.C:
		}
	}
}

// subscribe waits until BGPPolicies are served, so that bgpguard can be installed
// before its CRD. It returns an error when ctx is done first.
func (o *Objects) subscribe(ctx context.Context) (toolscache.ResourceEventHandlerRegistration, error) {
	var failure loop.Failure
	return subscribe(ctx, o.cache, &v1alpha1.BGPPolicy{}, retryInterval, o.changed, func(err error) {
		o.notServed.Store(meta.IsNoMatchError(err))
		o.failed.Store(nil)
		if err != nil {
			o.failed.Store(&err)
		}
		if err != nil && failure.Changed(err) {
			o.log.Error(err, "Cannot read BGPPolicies yet, retrying until they are served: kubectl apply -k config/crd")
		}
	})
}

// subscribe waits until a kind is served, with an interval between two attempts, and calls report
// with the error of each attempt, nil for the last one. Then changed is sent at each event. It
// returns an error when ctx is done first.
func subscribe(ctx context.Context, objects cache.Cache, kind client.Object, interval time.Duration, changed loop.Signal, report func(error)) (toolscache.ResourceEventHandlerRegistration, error) {
	var informer cache.Informer
	if err := wait.PollUntilContextCancel(ctx, interval, true, func(ctx context.Context) (bool, error) {
		var err error
		informer, err = objects.GetInformer(ctx, kind, cache.BlockUntilSynced(false))
		report(err)
		return err == nil, nil
	}); err != nil {
		return nil, err
	}
	return informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { changed.Send() },
		UpdateFunc: func(any, any) { changed.Send() },
		DeleteFunc: func(any) { changed.Send() },
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

package enforce

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/util/wait"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/bgpguard/bgpguard/pkg/api/v1alpha1"
	"github.com/bgpguard/bgpguard/pkg/loop"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// Intervals of Objects.
const (
	// retryInterval is how long it waits for the CRD before it looks again.
	retryInterval = time.Second
	// recheckInterval is how often what failed for want of time is tried again.
	recheckInterval = time.Minute
)

// Objects keeps a keeper in step with the BGPPolicies of a cluster, and their
// status in step with the keeper. It is a manager.Runnable.
type Objects struct {
	keeper  *Keeper
	cache   cache.Cache
	log     logr.Logger
	status  *status
	changed loop.Signal
	read    atomic.Bool
}

// NewObjects returns what keeps keeper in step; the caller adds it to the
// manager, whose scheme must know BGPPolicies. replica names this process in
// their status, and count is for the violations in it.
func NewObjects(mgr manager.Manager, keeper *Keeper, replica string, count Count, log logr.Logger) *Objects {
	return &Objects{
		keeper: keeper, cache: mgr.GetCache(), log: log, changed: loop.NewSignal(),
		status: &status{
			keeper: keeper, count: count, replica: replica, elected: mgr.Elected(), log: log,
			cached: mgr.GetCache(), live: mgr.GetAPIReader(), writer: mgr.GetClient().Status(), now: time.Now,
			own: loop.NewSignal(), rest: loop.NewSignal(), lagging: map[lag]time.Time{},
		},
	}
}

// NeedLeaderElection tells the manager that every replica reads its policies.
func (o *Objects) NeedLeaderElection() bool { return false }

// Check is a healthz.Checker for readiness: it fails until what all BGPPolicies
// say is in force. The error is a state.ErrNotSynced.
func (o *Objects) Check(*http.Request) error {
	if !o.read.Load() {
		return fmt.Errorf("%w: still reading %s of %s from the API server", state.ErrNotSynced, v1alpha1.KindBGPPolicy, v1alpha1.APIVersion)
	}
	return nil
}

// Recount has the violations in the status brought up to date, soon.
func (o *Objects) Recount() { o.status.rest.Send() }

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
	wg.Go(func() { o.status.keep(ctx) })
	recheck := time.NewTicker(recheckInterval)
	defer recheck.Stop()
	for {
		if err := o.take(ctx); err != nil && ctx.Err() == nil {
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
	var informer cache.Informer
	var failure loop.Failure
	if err := wait.PollUntilContextCancel(ctx, retryInterval, true, func(ctx context.Context) (bool, error) {
		var err error
		informer, err = o.cache.GetInformer(ctx, &v1alpha1.BGPPolicy{}, cache.BlockUntilSynced(false))
		if err != nil && failure.Changed(err) {
			o.log.Error(err, "Cannot read BGPPolicies yet, retrying until they are served: kubectl apply -k config/crd")
		}
		return err == nil, nil
	}); err != nil {
		return nil, err
	}
	return informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { o.changed.Send() },
		UpdateFunc: func(any, any) { o.changed.Send() },
		DeleteFunc: func(any) { o.changed.Send() },
	})
}

// take hands the BGPPolicies as they are to the keeper.
func (o *Objects) take(ctx context.Context) error {
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
		o.log.Info("There is no BGPPolicy: nothing is enforced")
	}
	o.status.own.Send()
	o.status.rest.Send()
	return nil
}

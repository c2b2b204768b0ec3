// Package leader elects one leader among the replicas by a Lease. A replica that loses the
// Lease stops the work of the leader, continues to answer requests, and competes again. The
// election of a controller-runtime manager ends the process instead.
package leader

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	coordinationv1client "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// The times are those of the components of Kubernetes.
const (
	// leaseDuration is how long the other replicas wait after the last renewal that they saw.
	leaseDuration = 15 * time.Second
	// renewDeadline is how long the leader tries to renew the Lease before it stops its work.
	renewDeadline = 10 * time.Second
	// retryPeriod is the time between two attempts.
	retryPeriod = 2 * time.Second
	// requestTimeout bounds each request, so that one request that hangs does not lose the Lease.
	requestTimeout = renewDeadline / 2
)

// Work is what a replica does. Lead runs while the replica is the leader, Follow while it is
// not, never both at the same time. They return soon after their context is done. Either may
// be nil.
type Work struct {
	Lead, Follow func(context.Context)
}

// Election runs work by the outcome of an election. It is a manager.Runnable on every
// replica.
type Election struct {
	name string                 // in the metric leader_election_master_status
	lock resourcelock.Interface // nil if the process has no other replicas
	log  logr.Logger
	work []Work
}

// New returns an election by a Lease. replica is the name of this process in the Lease, to
// which New adds a suffix that is unique.
func New(config *rest.Config, lease types.NamespacedName, replica string, log logr.Logger) (*Election, error) {
	config = rest.CopyConfig(config)
	config.Timeout = requestTimeout
	client, err := coordinationv1client.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("creating a client for the Lease: %w", err)
	}
	return newElection(client, lease, replica+"_"+string(uuid.NewUUID()), log), nil
}

func newElection(client coordinationv1client.LeasesGetter, lease types.NamespacedName, identity string, log logr.Logger) *Election {
	log = log.WithValues("lease", lease)
	return &Election{name: lease.Name, log: log, lock: &lock{log: log, Interface: &resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Namespace: lease.Namespace, Name: lease.Name},
		Client:     client,
		LockConfig: resourcelock.ResourceLockConfig{Identity: identity},
	}}}
}

// Alone returns an election of a process without other replicas, which is always the leader.
func Alone() *Election { return &Election{} }

// Add adds work. Call it before Start.
func (e *Election) Add(work ...Work) { e.work = append(e.work, work...) }

// NeedLeaderElection implements manager.LeaderElectionRunnable: every replica competes.
func (e *Election) NeedLeaderElection() bool { return false }

// Start competes for the Lease and runs the work until ctx is done. It then releases the
// Lease, so that another replica leads within seconds.
func (e *Election) Start(ctx context.Context) error {
	if e.lock == nil {
		e.lead(ctx)
		return nil
	}
	// terms has the context of each term of this replica.
	terms := make(chan context.Context)
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Name: e.name, Lock: e.lock,
		LeaseDuration: leaseDuration, RenewDeadline: renewDeadline, RetryPeriod: retryPeriod,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(term context.Context) {
				select {
				case terms <- term:
				case <-term.Done(): // The work of the term before took too long to stop.
				}
			},
			OnStoppedLeading: func() {},
		},
		// The elector would release the Lease while the work still runs.
		ReleaseOnCancel: false,
	})
	if err != nil {
		return fmt.Errorf("leader election: %w", err)
	}
	// The elector logs each failed attempt. The lock logs each reason once.
	quiet := logr.NewContext(ctx, logr.Discard())
	var competing sync.WaitGroup
	competing.Go(func() {
		for ctx.Err() == nil {
			elector.Run(quiet)
		}
	})
	for ctx.Err() == nil {
		term := e.follow(ctx, terms)
		if term == nil {
			continue
		}
		e.log.Info("This replica is the leader")
		e.lead(logr.NewContext(term, e.log))
		if ctx.Err() == nil {
			e.log.Info("This replica is no longer the leader, competing again", "holder", elector.GetLeader())
		}
	}
	competing.Wait()
	if elector.IsLeader() {
		e.release(context.WithoutCancel(ctx))
	}
	return nil
}

// follow runs the work of a replica that is not the leader. It returns the next term, or nil
// if ctx is done first.
func (e *Election) follow(ctx context.Context, terms <-chan context.Context) (term context.Context) {
	following, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	for _, w := range e.work {
		if w.Follow != nil {
			wg.Go(func() { w.Follow(following) })
		}
	}
	select {
	case <-ctx.Done():
		return nil
	case term = <-terms:
		return term
	}
}

// lead runs the work of the leader until its term ends.
func (e *Election) lead(term context.Context) {
	var wg sync.WaitGroup
	for _, w := range e.work {
		if w.Lead != nil {
			wg.Go(func() { w.Lead(term) })
		}
	}
	wg.Wait()
}

// release writes that nobody holds the Lease, if this replica still does.
func (e *Election) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	record, _, err := e.lock.Get(ctx)
	if err != nil || record.HolderIdentity != e.lock.Identity() {
		return
	}
	now := metav1.Now()
	if err := e.lock.Update(ctx, resourcelock.LeaderElectionRecord{
		LeaderTransitions: record.LeaderTransitions, LeaseDurationSeconds: 1, AcquireTime: now, RenewTime: now,
	}); err == nil {
		e.log.Info("Released the Lease")
	}
}

package leader

import (
	"context"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/bgpguard/bgpguard/pkg/loop"
)

// lock is a Lease that logs an error of its requests once, until a request succeeds.
type lock struct {
	resourcelock.Interface

	log     logr.Logger
	failure loop.Failure
}

// Get implements resourcelock.Interface.
func (l *lock) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	record, raw, err := l.Interface.Get(ctx)
	return record, raw, l.logged(err)
}

// Create implements resourcelock.Interface.
func (l *lock) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return l.logged(l.Interface.Create(ctx, record))
}

// Update implements resourcelock.Interface.
func (l *lock) Update(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return l.logged(l.Interface.Update(ctx, record))
}

// logged returns err. That the Lease does not exist yet, or that another replica was faster,
// is part of an election.
func (l *lock) logged(err error) error {
	switch {
	case err == nil:
		l.failure.Clear()
	case apierrors.IsNotFound(err), apierrors.IsAlreadyExists(err), apierrors.IsConflict(err):
	case l.failure.Changed(err):
		l.log.Error(err, "Cannot read or write the Lease of the leader election, trying again")
	}
	return err
}

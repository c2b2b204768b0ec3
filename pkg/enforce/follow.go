package enforce

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bgpguard/bgpguard/pkg/loop"
)

// followed is a kind whose objects followKind follows.
type followed struct {
	kind client.Object
	// retry is the time between two attempts to find the kind. found is called with the error of
	// each attempt, nil for the last one.
	retry time.Duration
	found func(error)
	// changed is sent at each event.
	changed loop.Signal
	// begin is called once all objects are read. load is called then, after each event, and after
	// the time that it returned last. Its error ends followKind.
	begin func()
	load  func() (again time.Duration, err error)
}

// followKind waits until a kind is served, and then follows its objects until ctx is done, which is no
// error.
func followKind(ctx context.Context, objects cache.Cache, f followed) error {
	registration, err := f.subscribe(ctx, objects)
	if isDone(ctx) {
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
	f.begin()
	for {
		again, err := f.load()
		if isDone(ctx) {
			return nil
		}
		if err != nil {
			return err
		}
		timer := time.NewTimer(again)
		select {
		case <-ctx.Done():
		case <-f.changed:
		case <-timer.C:
		}
		timer.Stop()
		if isDone(ctx) {
			return nil
		}
	}
}

// isDone reports whether ctx is done.
func isDone(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return true
	default:
		return false
	}
}

// subscribe waits until the kind is served. It returns an error when ctx is done first.
func (f *followed) subscribe(ctx context.Context, objects cache.Cache) (toolscache.ResourceEventHandlerRegistration, error) {
	var informer cache.Informer
	if err := wait.PollUntilContextCancel(ctx, f.retry, true, func(ctx context.Context) (bool, error) {
		var err error
		informer, err = objects.GetInformer(ctx, f.kind, cache.BlockUntilSynced(false))
		f.found(err)
		return err == nil, nil
	}); err != nil {
		return nil, err
	}
	return informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { f.changed.Send() },
		UpdateFunc: func(any, any) { f.changed.Send() },
		DeleteFunc: func(any) { f.changed.Send() },
	})
}

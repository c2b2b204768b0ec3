package policy

import (
	"context"
	"runtime"
	"sync/atomic"
	"time"
)

// grace is the time that OPA has to stop an evaluation. It stops within a millisecond
// between two expressions and in most builtins that can be slow.
const grace = 50 * time.Millisecond

// maxAbandoned is the number of evaluations of one policy that may run on after their deadline.
// The policy is not evaluated again until one of them ends: each request would leave another one
// running, until memory or CPUs are exhausted. One is not enough to conclude this: on a busy CPU,
// OPA can need longer than grace.
const maxAbandoned = 2

// Together returns a context for evaluations that follow each other, until end is called. They run on one goroutine, which is kept
// for later ones: a new one would grow its stack again each time, which takes a fifth of the time of a short evaluation.
func Together(ctx context.Context) (together context.Context, end func()) {
	var w *worker
	select {
	case w = <-idle:
	default:
		w = newWorker()
	}
	return context.WithValue(ctx, workerKey{}, w), w.release
}

// idle are the workers that are kept. More than one for each CPU cannot run at once.
var idle = make(chan *worker, runtime.GOMAXPROCS(0))

type workerKey struct{}

// worker is a goroutine that makes one call after the other.
type worker struct {
	calls chan func()
	busy  atomic.Bool
}

func newWorker() *worker {
	w := &worker{calls: make(chan func(), 1)}
	go func() {
		for call := range w.calls {
			call()
		}
	}()
	return w
}

// release keeps the worker for later calls. One that still makes a call, which was abandoned, ends after it.
func (w *worker) release() {
	if !w.busy.Load() {
		select {
		case idle <- w:
			return
		default:
		}
	}
	close(w.calls)
}

// start makes a call on the worker of ctx, or on a new goroutine if ctx has none or it makes another call: one that was abandoned.
// done is closed when the call has returned.
func start(ctx context.Context, call func()) (done <-chan struct{}) {
	closed := make(chan struct{})
	w, _ := ctx.Value(workerKey{}).(*worker)
	if w == nil || !w.busy.CompareAndSwap(false, true) {
		go func() {
			defer close(closed)
			call()
		}()
		return closed
	}
	w.calls <- func() {
		defer close(closed)
		defer w.busy.Store(false)
		call()
	}
	return closed
}

// untilDone calls f and returns its result, or its panic as an error. If ctx is done and f
// does not return, as in a builtin that ignores the context, untilDone returns the error of
// ctx and a channel that is closed when f returns. Otherwise the channel is nil.
func untilDone[T any](ctx context.Context, f func() (T, error)) (result T, running <-chan struct{}, err error) {
	var got T
	var failed error
	done := start(ctx, func() {
		defer func() {
			if r := recover(); r != nil {
				failed = recovered(r)
			}
		}()
		got, failed = f()
	})
	select {
	case <-done:
		return got, nil, failed
	case <-ctx.Done():
	}
	select {
	case <-done:
		return got, nil, failed
	case <-time.After(grace):
		return result, done, context.Cause(ctx)
	}
}
